"""What the one thread that writes does: opening, batches, making room, dropping; and what then holds.

Blocking. Raises the ERRORS of trouble.py. What a step came to is noted here, in the thread, in the order in which it
was committed: whoever waited for it may have left.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from seawall.store.disk import room
from seawall.store.disk.batch import Batch, Outcome
from seawall.store.disk.bodies import BodyFile
from seawall.store.disk.damage import Damage, delete_damaged
from seawall.store.disk.held import Held
from seawall.store.disk.home import Home
from seawall.store.disk.index import Identity, Index, put_aside
from seawall.store.disk.room import Culled, Victim
from seawall.store.disk.trouble import ERRORS, Moved, Trouble, kind_of
from seawall.store.level import Op, Put, Stamp, Wrote
from seawall.telemetry import events

# Room that is held back so that a full disk can still be told to forget.
BALLAST_BYTES = 4 << 20
# A level of this size makes twice the ballast free at once, so that laying it again does not fill the disk.
_LARGE_BYTES = 64 * BALLAST_BYTES


@dataclass(slots=True)
class Account:
    """How the level stands, as last committed. Written by the writer's thread, one field at a time; read by anybody."""

    stamp: Stamp = field(default_factory=Stamp)
    entries: int = 0
    bytes: int = 0
    evicted: int = 0
    begun_anew: int = 0


class Written(NamedTuple):
    """What a batch came to. `full`: the disk was, and Puts were refused for it."""

    wrote: list[Wrote]
    full: bool


class Writer:
    """Owned by one level; all but `account` in one thread."""

    def __init__(
        self,
        home: Home,
        held: Held,
        size_bytes: int,
        new_file: Callable[[], BodyFile],
        unlink: Callable[[Index, Sequence[object]], None],
    ) -> None:
        """`unlink` is told which files no row names any more."""
        self.account = Account()
        self._home = home
        self._held = held
        self._size_bytes = size_bytes
        self._new_file = new_file
        self._unlink = unlink

    def open(self, spoiled: Identity | None) -> Index:
        """The index of the directory; one that is not ours, or is the `spoiled` one, is put aside and begun anew.

        A new one is empty, so it has survived every order that this process knows of.
        """
        self._held.let_go()
        self._home.enter()
        with self._home.alone():
            if spoiled is not None:
                self.account.begun_anew += put_aside(self._home.directory, spoiled)
            try:
                return self._look_in()
            except ERRORS as error:
                if kind_of(error) is not Trouble.SPOILED:
                    raise
                self._held.let_go()
                events.warning("disk.begun_anew", directory=str(self._home.directory), why=str(error))
                self.account.begun_anew += put_aside(self._home.directory, None)
                return self._look_in()

    def write(self, index: Index, ops: Sequence[Op], full: bool) -> Written:
        """Does these. `full`: the disk was a moment ago, so no Put is tried."""
        if not index.is_current():
            raise Moved("not the file under its name any more")
        puts = [op for op in ops if isinstance(op, Put)]
        try:
            outcome = self._carry_out(index, ops, full)
        except ERRORS as error:
            if kind_of(error) is not Trouble.FULL:
                raise
            # The oldest leave, and all is done but the Puts: a full disk must still forget.
            self._make_room(index, puts)
            return Written(self._carry_out(index, ops, True).wrote, full=True)
        if full or not puts:
            return Written(outcome.wrote, full=False)
        if any(wrote.refused == Trouble.FULL.value for wrote in outcome.wrote):
            with suppress(*ERRORS):
                self._make_room(index, puts)
            return Written(outcome.wrote, full=True)
        self._home.lay_ballast()
        return Written(outcome.wrote, full=False)

    def drop(self, index: Index, victims: Sequence[Victim], spared: Sequence[Victim]) -> Culled:
        """One step of a cull."""
        culled = room.drop(index, victims, spared, time.time())
        self.account.evicted += culled.dropped
        self._note(index, culled.entries, culled.bytes, culled.files)
        return culled

    def drop_damaged(self, index: Index, damages: Sequence[Damage]) -> None:
        """These leave."""
        with index.writing() as con:
            files = delete_damaged(con, damages)
            entries, size = index.counted(con)
        self._note(index, entries, size, files)

    def step(self, index: Index, step: Callable[[], None]) -> None:
        """A step of the sweep."""
        step()
        self._count(index)

    def _look_in(self) -> Index:
        index = self._held.take(Index(self._home.directory, self.account.stamp))
        with index.reading() as con:
            self.account.stamp = index.meta(con).stamp
            self.account.entries, self.account.bytes = index.counted(con)
        return index

    def _carry_out(self, index: Index, ops: Sequence[Op], full: bool) -> Outcome:
        batch = Batch(index, self._home, self._new_file, time.time)
        outcome = batch.carry_out(ops, self._size_bytes, full=full)
        self.account.stamp = outcome.stamp
        self._note(index, outcome.entries, outcome.bytes, outcome.files)
        return outcome

    def _make_room(self, index: Index, puts: Sequence[Put]) -> None:
        need = sum(put.item.body_bytes for put in puts if put.item.in_memory)
        if self.account.bytes > _LARGE_BYTES:
            need = max(need, 2 * BALLAST_BYTES)
        self.account.evicted += room.make_room(index, self._home, need)
        self._count(index)

    def _count(self, index: Index) -> None:
        with index.reading() as con:
            self.account.entries, self.account.bytes = index.counted(con)

    def _note(self, index: Index, entries: int, size: int, files: Sequence[object]) -> None:
        self.account.entries, self.account.bytes = entries, size
        self._unlink(index, files)
