"""Bodies in memory that the kernel can send without a copy of ours: pages of a file that lies on no disk.

sendfile(2) hands references to a file's pages to the socket; from an ordinary object it copies the octets. Of a hit of
128 KiB that copy is more than half of all that it costs. Such a file is one for all bodies of a store, without an end:
each new body takes pages behind the last one, and one that leaves gives its pages back to the kernel where they lie. So
nothing is ever written where something was: pages that are still on their way to a slow client, or read by another
thread, stay what they were, because the kernel keeps a page for as long as a socket refers to it.

Linux only (memfd_create(2), fallocate(2)); elsewhere open_arena() is None and bodies stay ordinary objects.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
from collections.abc import Callable, Sequence
from typing import Final

from seawall.telemetry import events

# What lies here. Below, copying costs no more than sending head and body apart; above, writing a body here would hold
# the loop up: 2 ms for the longest.
LEAST_BYTES = 64 * 1024
MOST_BYTES = 4 * 1024 * 1024

# linux/falloc.h: FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
_PUNCH: Final = 0x02 | 0x01

# linux/memfd.h; Python has no name for it.
_NOEXEC_SEAL: Final = 0x08

_Fallocate = Callable[[int, int, int, int], int]


class Extent:
    """One body in an arena. Its pages are given back when nobody has it any more."""

    __slots__ = ("_arena", "length", "offset")

    def __init__(self, arena: Arena, offset: int, length: int) -> None:
        self._arena = arena
        self.offset = offset
        self.length = length

    @property
    def fd(self) -> int:
        """The file that it lies in: not to be kept longer than the extent."""
        return self._arena.fd

    def read(self, first: int, stop: int) -> bytes:
        """A copy of octets [first, stop). 10 us for 128 KiB."""
        stop = min(stop, self.length)
        parts = []
        while first < stop:
            part = os.pread(self._arena.fd, stop - first, self.offset + first)
            if not part:
                raise OSError(f"{self!r} is cut short")
            parts.append(part)
            first += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def __del__(self) -> None:
        self._arena.give_back(self)

    def __repr__(self) -> str:
        return f"<Extent {self.length} bytes at {self.offset}>"


class Arena:
    """The file. `used_bytes` is what its extents hold, in whole pages."""

    __slots__ = ("_end", "_fallocate", "_told", "fd", "used_bytes")

    def __init__(self, fd: int, fallocate: _Fallocate) -> None:
        self.fd = fd
        self._fallocate = fallocate
        self._end = 0
        self._told = False
        self.used_bytes = 0

    def hold(self, pieces: Sequence[bytes]) -> Extent | None:
        """These, one behind the other. None: the kernel has no room for them. 40 us for 128 KiB."""
        length, at = sum(map(len, pieces)), self._end
        extent = Extent(self, at, length)
        self._end += _pages(length)
        self.used_bytes += _pages(length)
        try:
            for piece in pieces:
                view = memoryview(piece)
                while view:
                    written = os.pwrite(self.fd, view, at)
                    at += written
                    view = view[written:]
        except OSError as error:
            if not self._told:
                self._told = True
                events.warning("arena.full", why=error.strerror or str(error))
            return None  # and what is there of it goes with its extent
        return extent

    def give_back(self, extent: Extent) -> None:
        """For an extent at its end."""
        count = _pages(extent.length)
        self.used_bytes -= count
        self._fallocate(self.fd, _PUNCH, extent.offset, count)

    def __del__(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self.fd)

    def __repr__(self) -> str:
        return f"<Arena {self.used_bytes} bytes>"


def open_arena() -> Arena | None:
    """A new one; None where the system has no such thing, or does not let us."""
    try:
        fallocate = ctypes.CDLL(None).fallocate
        fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_longlong, ctypes.c_longlong)
        fd = _new_file()
    except (AttributeError, OSError):
        return None
    arena = Arena(fd, fallocate)
    # Tried once: without holes nothing that is written here would ever be given back.
    if os.pwrite(fd, b"\0", 0) != 1 or fallocate(fd, _PUNCH, 0, mmap.PAGESIZE) != 0 or os.fstat(fd).st_blocks:
        return None
    return arena


def _new_file() -> int:
    name, closed = "seawall-bodies", os.MFD_CLOEXEC
    try:
        return os.memfd_create(name, closed | _NOEXEC_SEAL)  # what hardened systems insist on (vm.memfd_noexec)
    except OSError as error:
        if error.errno != errno.EINVAL:  # Linux before 6.3 does not know it
            raise
        return os.memfd_create(name, closed)


def _pages(length: int) -> int:
    return -(-length // mmap.PAGESIZE) * mmap.PAGESIZE
