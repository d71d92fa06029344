"""A batch of operations, in their order, in one transaction: all of it is done or none.

Blocking, in the writer's thread, which is the only one of this process that writes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import assert_never

from seawall.store.disk.bodies import BodyFile
from seawall.store.disk.choosing import choose, delete_chosen, each_of, mark_invalidated, mark_stale, met
from seawall.store.disk.home import Home
from seawall.store.disk.index import Index, Meta
from seawall.store.disk.putting import Prepared, prepare, put_in
from seawall.store.level import Forget, How, Op, Put, Reset, Stamp, Used, Wrote


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a batch came to, and how the level stands behind it. `files` are to be unlinked."""

    wrote: list[Wrote]
    stamp: Stamp
    entries: int
    bytes: int
    files: list[object]


class Batch:
    """One batch on its way. `now()` rises with each call: who was used last leaves last."""

    def __init__(self, index: Index, home: Home, new_file: Callable[[], BodyFile], now: Callable[[], float]) -> None:
        self._index = index
        self._home = home
        self._new_file = new_file
        self._now = now
        self._placed: list[BodyFile] = []
        self._files: list[object] = []

    def carry_out(self, ops: Sequence[Op], size_bytes: int, *, full: bool = False) -> Outcome:
        """`full`: no Put is even tried. Raises the ERRORS of trouble.py; then nothing was done."""
        prepared = {
            at: Prepared(op.item, refused="full")
            if full
            else prepare(op, self._index, self._home, self._new_file, size_bytes)
            for at, op in enumerate(ops)
            if isinstance(op, Put)
        }
        try:
            with self._index.writing() as con:
                meta = self._index.meta(con)
                wrote = []
                for at, op in enumerate(ops):
                    meta, done = self._do(con, meta, op, prepared.get(at))
                    wrote.append(done)
                entries, size = self._index.counted(con)
        except BaseException:
            for file in self._placed:
                file.take_back()
            raise
        return Outcome(wrote, meta.stamp, entries, size, self._files)

    def _do(self, con: sqlite3.Connection, meta: Meta, op: Op, prepared: Prepared | None) -> tuple[Meta, Wrote]:
        match op:
            case Put():
                assert prepared is not None  # noqa: S101 (every Put was)
                refused, files = put_in(con, prepared, op, meta, self._now(), self._new_file, self._placed)
                self._files += files
                return meta, Wrote(refused=refused)
            case Forget():
                return self._forget(con, meta, op)
            case Reset(stamp):
                return self._put_meta(con, Meta(stamp, meta.epoch + 1)), Wrote()
            case Used(names):
                now = self._now()
                con.executemany(
                    "UPDATE objects SET used_at = ? WHERE id = (SELECT rowid FROM Cache WHERE key = ? AND raw = 1)",
                    ((now, name) for (name,) in each_of(names)),
                )
                return meta, Wrote()
            case _:
                assert_never(op)

    def _forget(self, con: sqlite3.Connection, meta: Meta, op: Forget) -> tuple[Meta, Wrote]:
        after = op.after
        if after is not None and after.journal == meta.stamp.journal and after.number <= meta.stamp.number:
            return meta, Wrote(met={})
        choose(con, op.names)
        found = met(con)
        match op.how:
            case How.COUNT:
                return meta, Wrote(met=found)
            case How.DROP:
                self._files += delete_chosen(con)
            case How.STALE:
                mark_stale(con, op.at)
            case How.INVALIDATE:
                mark_invalidated(con)
            case _:
                assert_never(op.how)
        if after is not None and after != meta.stamp:
            # Another generation says that orders were lost in between: whatever is here did not survive those.
            epoch = meta.epoch + (after.generation != meta.stamp.generation)
            meta = self._put_meta(con, Meta(after, epoch))
        return meta, Wrote(met=found)

    def _put_meta(self, con: sqlite3.Connection, meta: Meta) -> Meta:
        self._index.put_meta(con, meta)
        return meta
