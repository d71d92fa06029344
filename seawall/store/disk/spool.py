"""A body on its way into the disk level, readable while it grows (store.level.Spool).

Pieces are taken at once and written by a thread, together, up to `COALESCE_BYTES` ahead of the disk: a reader who
keeps up reads them from memory, one who does not from the file. Owned by whoever asked for it; one event loop.

    write() ──▶ pending ──▶ in flight (one write of a thread) ──▶ the file
                └──────────── readable from the first moment on ──────┘
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence

from seawall.store.disk.bodies import BodyFile, Descriptor, DiskFiled, Taken
from seawall.store.disk.crew import Crew
from seawall.store.level import LevelDown

COALESCE_BYTES = 1 << 20
# A disk that does not take so much within this time is as good as gone.
WRITE_SECONDS = 10.0

MakeFiled = Callable[[BodyFile, int, Sequence[int], bytes], DiskFiled]


class Quota:
    """How much all spools of a level may hold together. Owned by the level."""

    __slots__ = ("held", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = 0


class DiskSpool:
    """One writer, many readers. What goes wrong is LevelDown, and `failed` is told once."""

    def __init__(
        self,
        new_file: Callable[[], BodyFile],
        filed: MakeFiled,
        writers: Crew,
        readers: Crew,
        quota: Quota,
        failed: Callable[[Exception], str],
    ) -> None:
        """`failed` is told what a disk raised, and says it in words."""
        self._new_file = new_file
        self._filed = filed
        self._writers = writers
        self._readers = readers
        self._quota = quota
        self._failed = failed
        self._file: BodyFile | None = None
        self._descriptor: Descriptor | None = None
        self._taken = Taken()
        self._pending: list[bytes] = []
        self._in_flight: list[bytes] = []
        self._ahead = 0  # octets of both
        self._flushed = 0
        self._moved = asyncio.Event()  # something was written, or never will be
        self._task: asyncio.Task[None] | None = None
        self._why: str | None = None
        self._counted = 0
        self._finished: DiskFiled | None = None

    @property
    def written(self) -> int:
        return self._flushed + self._ahead

    async def write(self, piece: bytes) -> None:
        self._check()
        if not piece:
            return
        if self._quota.held + len(piece) > self._quota.most:
            self._break("too large")
            self._check()
        self._quota.held += len(piece)
        self._counted += len(piece)
        self._pending.append(piece)
        self._ahead += len(piece)
        self._go_on()
        while self._ahead >= COALESCE_BYTES:
            await self._move()

    async def read(self, at: int, most: int) -> bytes:
        if not 0 <= at < self.written:
            raise ValueError(f"octet {at} of {self.written}")
        if at >= self._flushed:
            return self._from_memory(at - self._flushed, most)
        descriptor = self._descriptor
        assert descriptor is not None  # noqa: S101 (something was flushed into it)
        most = min(most, self._flushed - at)
        try:
            piece = await self._readers.run(lambda: descriptor.read(at, most), WRITE_SECONDS)
        except OSError as error:
            raise LevelDown(str(error)) from error
        if len(piece) != most:
            raise LevelDown("what was written is not there any more")
        return piece

    async def finish(self) -> DiskFiled:
        if self._finished is None:
            self._check()
            while self._ahead:
                await self._move()
            try:
                sums, digest = await self._writers.run(self._end, WRITE_SECONDS)
            except OSError as error:
                raise LevelDown(self._failed(error)) from error
            self._check()
            assert self._file is not None  # noqa: S101 (_end made one)
            self._finished = self._filed(self._file, self._flushed, sums, digest)
            self._uncount()
        return self._finished

    def abort(self) -> None:
        if self._finished is None:
            self._break("aborted")
        self._file = self._finished = None

    def __del__(self) -> None:
        self._uncount()

    # --- writing ---

    def _check(self) -> None:
        if self._why is not None:
            raise LevelDown(self._why)
        if self._finished is not None:
            raise LevelDown("finished")

    def _break(self, why: str) -> None:
        if self._why is None:
            self._why = why
            self._file = None  # goes at once; who reads it has it open
            self._uncount()
            self._moved.set()

    def _uncount(self) -> None:
        self._quota.held -= self._counted
        self._counted = 0

    async def _move(self) -> None:
        """Waits until something more was written. Raises LevelDown."""
        self._check()
        self._moved.clear()
        self._go_on()
        await self._moved.wait()
        self._check()

    def _go_on(self) -> None:
        if self._task is None and self._why is None and self._pending:
            self._task = asyncio.get_running_loop().create_task(self._flush(), name="spool")

    async def _flush(self) -> None:
        try:
            while self._pending and self._why is None:
                pieces = self._in_flight = self._pending
                self._pending = []
                at = self._flushed
                await self._writers.run(lambda pieces=pieces, at=at: self._put(at, pieces), WRITE_SECONDS)  # type: ignore[misc]
                size = sum(map(len, pieces))
                self._in_flight = []
                self._flushed += size
                self._ahead -= size
                self._moved.set()
        except LevelDown as error:
            self._break(str(error))
        except OSError as error:
            self._break(self._failed(error))
        finally:
            self._task = None
            if self._in_flight:
                self._break("not written")
            self._moved.set()

    # --- in a writer's thread, one call at a time ---

    def _put(self, at: int, pieces: list[bytes]) -> None:
        self._open().write(at, pieces)
        self._taken.add(pieces)

    def _end(self) -> tuple[list[int], bytes]:
        self._open()
        return self._taken.finish()

    def _open(self) -> Descriptor:
        if self._descriptor is None:
            file = self._new_file()
            assert file.path is not None  # noqa: S101 (it is new)
            self._descriptor = Descriptor(file.path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
            self._file = file
        return self._descriptor

    # --- reading ---

    def _from_memory(self, skip: int, most: int) -> bytes:
        for piece in (*self._in_flight, *self._pending):
            if skip < len(piece):
                return piece[skip : skip + most]
            skip -= len(piece)
        raise AssertionError("what is ahead is in a list")
