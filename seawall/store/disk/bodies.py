"""Bodies in files: from the first octet on, so that any part can be read, and no octet before it is proven.

A file is read through a descriptor of the reader's own, so it may be unlinked meanwhile. Blocking calls are made in
threads; what a thread uses stays open as long as the thread has it.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from array import array
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from seawall.http.body import BodyBroken, BodyReader
from seawall.store.codec import BLOCK_BYTES, BlockSums, Damaged, blocks_of
from seawall.store.disk.crew import Crew
from seawall.store.disk.home import Home
from seawall.store.level import LevelDown
from seawall.store.stored import Gone

# A disk that does not give a block within this time is as good as gone.
READ_SECONDS = 5.0


def new_digest() -> hashlib.blake2b:
    """Of a body that lies in a file: two bodies of one digest are the same. A CRC-32 says only that one is unharmed."""
    return hashlib.blake2b(digest_size=16)


class Descriptor:
    """An open file, closed when the last who holds this lets go of it: a thread may be reading when a reader closes."""

    __slots__ = ("number",)

    def __init__(self, path: Path | str, flags: int) -> None:
        self.number = -1
        self.number = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    @property
    def length(self) -> int:
        return os.fstat(self.number).st_size

    def read(self, at: int, most: int) -> bytes:
        """Octets from `at` on; fewer only where the file ends."""
        pieces = []
        while most > 0 and (piece := os.pread(self.number, most, at)):
            pieces.append(piece)
            at += len(piece)
            most -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def write(self, at: int, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            view = memoryview(piece)
            while view:
                wrote = os.pwrite(self.number, view, at)
                at += wrote
                view = view[wrote:]

    def __del__(self) -> None:
        if self.number >= 0:
            with suppress(OSError):
                os.close(self.number)


class BodyFile:
    """A file and what its name is: on its way in at `path`, or in its place, where a row names it `filename`.

    A file that nobody ever gave a place is unlinked when it is forgotten.
    """

    __slots__ = ("_unlink", "filename", "home", "path", "placed")

    def __init__(self, home: Home, filename: str, path: Path | None, unlink: Callable[[Path], None]) -> None:
        """`unlink` is called in whatever thread forgets it, so it only passes it on."""
        self.home = home
        self.filename = filename
        self.path = path
        self.placed = path is None
        self._unlink = unlink

    def place(self) -> None:
        """Moves it into its place; in the transaction that names it. Raises OSError."""
        if self.path is not None and not self.placed:
            self.home.place(self.path, self.filename)
            self.placed = True

    def take_back(self) -> None:
        """That transaction was not to be."""
        if self.path is not None and self.placed:
            self.placed = False
            with suppress(OSError):
                (self.home.directory / self.filename).rename(self.path)

    def open(self) -> Descriptor:
        """Wherever it is. Raises OSError."""
        where = self.home.directory / self.filename
        # A writer may move it while we look.
        for path in (where, self.path, where):
            if path is not None:
                with suppress(FileNotFoundError):
                    return Descriptor(path, os.O_RDONLY)
        raise FileNotFoundError(self.filename)

    def __del__(self) -> None:
        if not self.placed and self.path is not None:
            with suppress(Exception):
                self._unlink(self.path)


def write_whole(path: Path, body: Sequence[bytes]) -> None:
    """A body that is in memory, into a new file. Raises OSError, and leaves nothing then."""
    try:
        Descriptor(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL).write(0, body)
    except OSError:
        with suppress(OSError):
            path.unlink()
        raise


def block_of(file: Descriptor, number: int, length: int, sums: Sequence[int]) -> bytes:
    """One block of a body of this length, proven. Raises Damaged, OSError."""
    at = number * BLOCK_BYTES
    size = min(BLOCK_BYTES, length - at)
    block = file.read(at, size)
    if len(block) != size or zlib.crc32(block) != sums[number]:
        raise Damaged("a body is not what was put there")
    return block


def read_whole(file: Descriptor, length: int, sums: Sequence[int]) -> tuple[bytes, ...]:
    """The whole body, proven, in pieces of a block. Raises Damaged, OSError."""
    if file.length != length:
        raise Damaged("a body has another length")
    return tuple(block_of(file, number, length, sums) for number in range(blocks_of(length)))


class DiskFiled:
    """A whole body in a file of one level (store.stored.Filed). `damaged` is told what is not what was put there."""

    __slots__ = ("_crew", "_damaged", "_length", "digest", "file", "sums")

    def __init__(
        self,
        file: BodyFile,
        length: int,
        sums: Sequence[int],
        digest: bytes | None,
        crew: Crew,
        damaged: Callable[[str, str], None],
    ) -> None:
        self.file = file
        self.sums = array("I", sums)  # 4 octets each, where a tuple of ints has 36
        self.digest = digest
        self._length = length
        self._crew = crew
        self._damaged = damaged

    @property
    def length(self) -> int:
        return self._length

    async def open(self, first: int, stop: int) -> BodyReader:
        """See Filed.open. Raises Gone."""
        if not 0 <= first <= stop <= self._length:
            raise ValueError(f"octets {first} to {stop} of {self._length}")
        try:
            descriptor, block = await self._crew.run(lambda: self._open(first, stop), READ_SECONDS)
        except Damaged as error:
            self.report(str(error))
            raise Gone(str(error)) from error
        except (OSError, LevelDown) as error:
            raise Gone(str(error)) from error
        return _Reader(self, self._crew, descriptor, first, stop, block)

    def report(self, why: str) -> None:
        self._damaged(self.file.filename, why)

    def block(self, descriptor: Descriptor, number: int) -> bytes:
        """In a thread. Raises Damaged, OSError."""
        return block_of(descriptor, number, self._length, self.sums)

    def _open(self, first: int, stop: int) -> tuple[Descriptor, bytes]:
        descriptor = self.file.open()
        if descriptor.length != self._length:
            raise Damaged("a body has another length")
        return descriptor, self.block(descriptor, first // BLOCK_BYTES) if first < stop else b""

    def __repr__(self) -> str:
        return f"<DiskFiled {self.file.filename} {self._length} bytes>"


class _Reader:
    """One reader's way through a part of a body (http.body.BodyReader). A piece is what it wants of one block."""

    def __init__(self, filed: DiskFiled, crew: Crew, file: Descriptor, first: int, stop: int, block: bytes) -> None:
        self._filed = filed
        self._crew = crew
        self._file: Descriptor | None = file
        self._at = first
        self._stop = stop
        self._length = stop - first
        self._block: bytes | None = block

    @property
    def length(self) -> int | None:
        return self._length

    async def read(self) -> bytes:
        if self._at == self._stop:
            self.close()
            return b""
        number, skip = divmod(self._at, BLOCK_BYTES)
        block, self._block = self._block, None
        if block is None:
            block = await self._next(number)
        piece = block[skip : skip + self._stop - self._at]
        self._at += len(piece)
        return piece

    async def _next(self, number: int) -> bytes:
        file, filed = self._file, self._filed
        if file is None:
            raise BodyBroken("closed")
        try:
            return await self._crew.run(lambda: filed.block(file, number), READ_SECONDS)
        except Damaged as error:
            filed.report(str(error))
            self.close()
            raise BodyBroken(str(error)) from error
        except (OSError, LevelDown) as error:
            self.close()
            raise BodyBroken(str(error)) from error

    def close(self) -> None:
        self._file = None
        self._block = None


class Taken:
    """What is known of a body that comes in pieces, as far as it has come: sums of its blocks, and its digest."""

    __slots__ = ("_blocks", "_digest")

    def __init__(self) -> None:
        self._blocks = BlockSums()
        self._digest = new_digest()

    def add(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            self._blocks.add(piece)
            self._digest.update(piece)

    def finish(self) -> tuple[list[int], bytes]:
        return self._blocks.finish(), self._digest.digest()
