"""The disk level: what store.level.Level promises, over an index and files in one directory.

Nothing blocks the event loop: one thread writes, two read, two bring spooled bodies in. Nothing that is wrong with
the disk is final: an operation that fails is LevelDown, one a second is tried again, and an index that is not ours
any more is put aside and begun anew. Several processes may share a directory.

Owned by one process and one event loop.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from seawall.store.disk import sweep
from seawall.store.disk.bodies import BodyFile, DiskFiled
from seawall.store.disk.crew import Crew, TooSlow
from seawall.store.disk.culling import cull
from seawall.store.disk.damage import Damage
from seawall.store.disk.held import Held
from seawall.store.disk.home import Home
from seawall.store.disk.index import Identity, Index
from seawall.store.disk.looking import look
from seawall.store.disk.room import Culled, Victim, oldest
from seawall.store.disk.spool import DiskSpool, Quota
from seawall.store.disk.trouble import ERRORS, Patience, Trouble, kind_of
from seawall.store.disk.writer import BALLAST_BYTES, Writer
from seawall.store.level import Alive, Found, LevelDown, LevelUsage, Op, Spool, Stamp, Wrote
from seawall.telemetry import events

T = TypeVar("T")

READ_SECONDS = 5.0
# A reader that a hanging disk keeps is not waited for by the others for longer than that.
LET_GO_SECONDS = 0.5
WRITE_SECONDS = 10.0
CLOSE_SECONDS = 5.0
# A sweep that could not be done is tried again.
SWEEP_AGAIN_SECONDS = 60.0
# Files that are unlinked in one go: a spool waits for its turn behind that.
_UNLINKS = 500


async def open_disk(directory: Path, *, size_bytes: int, whole_bytes: int, alive: Alive | None = None) -> DiskLevel:
    """A level in this directory, which is made where it is not there. At most `size_bytes`; bodies up to `whole_bytes`
    are read into memory. `alive` is asked on the event loop.

    Raises ValueError for what no disk can mend, and nothing for what is wrong with the disk: then every operation
    is LevelDown until it works.
    """
    level = DiskLevel(directory, size_bytes=size_bytes, whole_bytes=whole_bytes, alive=alive)
    with suppress(LevelDown):
        await level.opened()
    return level


class DiskLevel:
    """See open_disk. `close()` it."""

    def __init__(self, directory: Path, *, size_bytes: int, whole_bytes: int, alive: Alive | None) -> None:
        if size_bytes <= 0 or whole_bytes < 0:
            raise ValueError("a size that is none")
        directory = directory.absolute()
        if os.path.expandvars(directory) != str(directory):
            raise ValueError("a $ in the directory, where diskcache would put something else")
        self._home = Home(directory, min(BALLAST_BYTES, size_bytes // 16))
        self._size_bytes = size_bytes
        self._whole_bytes = whole_bytes
        self._alive = alive
        self._held = Held()
        self._writers = Crew("disk-writer", 1, leave=self._held.let_go)
        self._readers = Crew("disk-reader", 2, leave=self._held.let_go)
        self._spoolers = Crew("disk-spooler", 2, leave=self._held.let_go)
        self._writer = Writer(self._home, self._held, size_bytes, self._new_file, self._unlink)
        self._quota = Quota(size_bytes)
        self._index: Index | None = None
        self._spoiled: Identity | None = None
        self._damaged = self._failures = 0
        self._door, self._reading, self._writing = Patience(), Patience(), Patience()
        self._full_until = 0.0
        self._told_full = False
        self._told_unopened = ""
        self._opening: asyncio.Task[Index] | None = None
        self._culling = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    # --- what a level does ---

    @property
    def tier(self) -> str:
        return "disk"

    @property
    def shared(self) -> bool:
        return False

    @property
    def stamp(self) -> Stamp:
        """The last one that this process has seen committed; Stamp() where it has seen none."""
        return self._writer.account.stamp

    async def read(self, key: str) -> Found:
        looked = await self._do(
            self._reading, self._readers, lambda index: look(index, key, self._whole_bytes, self._filed), READ_SECONDS
        )
        if looked.damages:
            self._found_damage(*looked.damages)
        return Found(looked.items, looked.stamp)

    async def write(self, ops: Sequence[Op]) -> list[Wrote]:
        if not ops:
            return []
        full = time.monotonic() < self._full_until
        written = await self._write(lambda index: self._writer.write(index, ops, full))
        if written.full:
            self._is_full()
        elif not full:
            self._told_full = False
        if self._writer.account.bytes > self._size_bytes and not self._culling:
            self._culling = True
            self._spawn(self._cull())
        return written.wrote

    def spool(self) -> Spool | None:
        now = time.monotonic()
        if self._closed or self._index is None or now < self._full_until or not self._writing.is_up(now):
            return None
        return DiskSpool(self._new_file, self._spooled, self._spoolers, self._readers, self._quota, self._spool_failed)

    def usage(self) -> LevelUsage:
        account = self._writer.account
        damaged = self._damaged + account.begun_anew
        return LevelUsage(account.bytes, account.entries, account.evicted, damaged, self._failures)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        tasks = [*self._tasks, *([self._opening] if self._opening else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        give_up_at = time.monotonic() + CLOSE_SECONDS
        for crew in (self._spoolers, self._readers, self._writers):
            if crew is self._writers:
                crew.post(self._home.leave)
            if not await crew.close(max(give_up_at - time.monotonic(), 0.01)):
                events.warning("disk.hangs", directory=str(self._home.directory))

    async def opened(self) -> Index:
        """The index, opened if need be. Raises LevelDown."""
        if self._index is not None:
            return self._index
        if self._closed:
            raise LevelDown("closed")
        if self._opening is None:
            self._door.ask(time.monotonic())
            self._opening = asyncio.get_running_loop().create_task(self._open(), name="disk-open")
            self._opening.add_done_callback(self._has_opened)
        return await asyncio.shield(self._opening)

    async def settled(self) -> None:
        """Waits for what goes on in the background: the sweep, a cull, files to be unlinked."""
        while self._tasks:
            await asyncio.gather(*self._tasks)
        for crew in (self._writers, self._readers, self._spoolers):
            await crew.drain(WRITE_SECONDS)

    def __repr__(self) -> str:
        how = "closed" if self._closed else "down" if self._index is None else "up"
        account = self._writer.account
        return f"<DiskLevel {how} {account.entries} objects {account.bytes}/{self._size_bytes} bytes>"

    # --- carrying out, and what may go wrong ---

    async def _write(self, work: Callable[[Index], T]) -> T:
        return await self._do(self._writing, self._writers, work, WRITE_SECONDS)

    async def _do(self, patience: Patience, crew: Crew, work: Callable[[Index], T], within: float) -> T:
        """What `work` returns in a thread of the crew. Raises LevelDown for all that a disk may raise.

        Where the index turns out not to be ours any more, nothing was done: so again, with a new one.
        """
        try:
            index = await self.opened()
            patience.ask(time.monotonic())
            try:
                result = await crew.run(lambda: work(self._held.take(index)), within)
            except ERRORS as error:
                if not self._lose(index, error):
                    raise
                anew = await self.opened()
                result = await crew.run(lambda: work(self._held.take(anew)), within)
        except (*ERRORS, TooSlow) as error:
            self._failures += 1
            raise _down(patience, error) from error
        except LevelDown:
            self._failures += 1
            raise
        patience.worked()
        return result

    def _lose(self, index: Index, error: Exception) -> bool:
        """Is the index at fault? Then it is not used any more."""
        kind = kind_of(error)
        if kind not in (Trouble.SPOILED, Trouble.MOVED):
            return False
        if self._index is index:
            self._index = None
            self._spoiled = index.identity if kind is Trouble.SPOILED else None
            # A reader that has nothing to do would hold on to its files. Where somebody has removed them, they take
            # room until then, and a small disk is too full to begin anew on: for ever, if nobody reads.
            self._readers.each(self._held.let_go, LET_GO_SECONDS)
            events.warning("disk.lost", directory=str(self._home.directory), why=f"{kind.value}: {error}")
        return True

    async def _open(self) -> Index:
        spoiled = self._spoiled
        try:
            index = await self._writers.run(lambda: self._writer.open(spoiled), WRITE_SECONDS)
        except (*ERRORS, TooSlow) as error:
            if self._told_unopened != str(error):
                self._told_unopened = str(error)
                events.warning("disk.unopened", directory=str(self._home.directory), why=str(error))
            raise _down(self._door, error) from error
        self._door.worked()
        self._told_unopened = ""
        self._spoiled = None
        self._index = index
        self._spawn(self._sweep(index))
        return index

    def _has_opened(self, task: asyncio.Task[Index]) -> None:
        self._opening = None
        if not task.cancelled():
            task.exception()  # whoever waits has it; without anybody, the event has told

    def _is_full(self) -> None:
        self._full_until = time.monotonic() + Patience.PAUSE_SECONDS
        if not self._told_full:
            self._told_full = True
            events.warning("disk.full", directory=str(self._home.directory), evicted=self._writer.account.evicted)

    def _spool_failed(self, error: Exception) -> str:
        self._failures += 1
        if kind_of(error) is Trouble.FULL:
            self._is_full()
        return _words(error)

    # --- bodies; from any thread ---

    def _new_file(self) -> BodyFile:
        path = self._home.new_path()
        return BodyFile(self._home, f"{path.name[:2]}/{path.name[2:]}.val", path, self._unlink_path)

    def _unlink_path(self, path: Path) -> None:
        self._spoolers.post(partial(path.unlink, missing_ok=True))

    def _unlink(self, index: Index, files: Sequence[object]) -> None:
        for at in range(0, len(files), _UNLINKS):
            self._spoolers.post(partial(_remove_all, index, files[at : at + _UNLINKS]))

    def _filed(self, filename: str, length: int, sums: Sequence[int], digest: bytes | None, key: str) -> DiskFiled:
        file = BodyFile(self._home, filename, None, self._unlink_path)
        return DiskFiled(file, length, sums, digest, self._readers, partial(self._body_is_damaged, key))

    def _spooled(self, file: BodyFile, length: int, sums: Sequence[int], digest: bytes) -> DiskFiled:
        return DiskFiled(file, length, sums, digest, self._readers, partial(self._body_is_damaged, ""))

    # --- damage ---

    def _body_is_damaged(self, key: str, filename: str, why: str) -> None:
        self._found_damage(Damage(key, why, None, None, filename))

    def _found_damage(self, *damages: Damage) -> None:
        self._damaged += len(damages)
        for damage in damages:
            damage.tell()
        self._spawn(self._drop_damaged(damages))

    async def _drop_damaged(self, damages: Sequence[Damage]) -> None:
        with suppress(LevelDown):
            await self._write(lambda index: self._writer.drop_damaged(index, damages))

    # --- in the background ---

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        if self._closed:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _cull(self) -> None:
        async def next_ones(bytes_to_free: int) -> list[Victim]:
            return await self._write(lambda index: oldest(index, bytes_to_free))

        async def leave(victims: list[Victim], spared: list[Victim]) -> Culled:
            return await self._write(lambda index: self._writer.drop(index, victims, spared))

        try:
            with suppress(LevelDown):
                await cull(self._writer.account.bytes, self._size_bytes, self._alive, next_ones, leave)
        finally:
            self._culling = False

    async def _sweep(self, index: Index) -> None:
        while self._index is index:
            try:
                for step in sweep.steps(index, self._home):
                    await self._writers.run(partial(self._sweep_step, index, step), WRITE_SECONDS)
            except (*ERRORS, LevelDown) as error:
                self._lose(index, error)
                await asyncio.sleep(SWEEP_AGAIN_SECONDS)
            else:
                return

    def _sweep_step(self, index: Index, step: Callable[[], None]) -> None:
        self._writer.step(self._held.take(index), step)


def _down(patience: Patience, error: Exception) -> LevelDown:
    patience.failed(time.monotonic(), _words(error))
    return LevelDown(_words(error))


def _words(error: Exception) -> str:
    return f"{kind_of(error).value}: {error}"


def _remove_all(index: Index, files: Sequence[object]) -> None:
    for file in files:
        index.files.remove(file)
