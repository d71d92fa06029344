"""Single flight across the processes of one node: leases that are byte-range locks on one file (POSIX, fcntl(2)).

Knows no HTTP and no flight. Each key is one byte far out in a file that stays empty: the kernel keeps the locks and
takes them back when their process ends, however it ends, so a lease is never left behind. A process that is frozen
keeps its own: who waits waits so long as it said, and then goes on alone.

Two keys may fall on the same byte (62 bits of a digest), which costs one of them a wait and nothing else.

Why not flock(): it locks a whole file, so each key would need one. Why not open-file-description locks: Python's
fcntl.lockf() has none, and what they mend, below, we keep in hand.

A process's locks on a file are gone as soon as it closes *any* descriptor of that file, and it never refuses itself.
So there is one descriptor for the life of this object, nobody else in the process may open the file, and what this
process holds is in a table of its own.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
from hashlib import blake2b
from pathlib import Path

from seawall.flight.lease import Lease

# Between two looks. A look is one system call (1 us), and an origin that is near answers in a few of these.
PAUSE_LEAST_SECONDS = 0.001
PAUSE_MOST_SECONDS = 0.025

_OFFSET_BITS = 62  # off_t is signed, and a range must end before its last value
# struct flock of 64-bit Linux: type, whence, start, length, pid.
_FLOCK = struct.Struct("@hhqqi0q")


class FileLeases:
    """The Leases of the processes that were given the same path. Belongs to one event loop."""

    def __init__(self, path: Path) -> None:
        """Makes the file (0600), or opens the one that is there. Raises OSError."""
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._held: dict[int, Lease] = {}
        self._ends: dict[int, asyncio.TimerHandle] = {}
        self._count = 0

    def __repr__(self) -> str:
        return f"<FileLeases {self._path} held={len(self._held)}>"

    async def take(self, key: str, seconds: float) -> Lease | None:
        """The lease, for so long, or None where somebody else has it. Never waits. Raises nothing.

        Where the file system knows no locks, it is the caller's alone (`shared` is False).
        """
        byte = _byte(key)
        if byte in self._held:
            return None
        self._count += 1
        token = f"{byte}.{self._count}"
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        except (BlockingIOError, PermissionError):  # POSIX allows EACCES for EAGAIN
            return None
        except OSError:
            return Lease(key, token, shared=False)
        lease = self._held[byte] = Lease(key, token, shared=True)
        # Whoever takes longer than it said stops nobody any more.
        self._ends[byte] = asyncio.get_running_loop().call_later(seconds, self._let_go, byte)
        return lease

    async def release(self, lease: Lease) -> None:
        """Lets it go, if it is still the owner's. Raises nothing."""
        byte = _byte(lease.key)
        if self._held.get(byte) is lease:
            self._let_go(byte)

    async def wait(self, key: str, seconds: float) -> None:
        """Returns when it is let go of or has run out, or after so long. Raises nothing."""
        byte = _byte(key)
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        pause = PAUSE_LEAST_SECONDS
        while self._is_held(byte) and (left := until - loop.time()) > 0:
            await asyncio.sleep(min(pause, left))
            pause = min(2 * pause, PAUSE_MOST_SECONDS)

    def close(self) -> None:
        """Lets all go."""
        for byte in tuple(self._held):
            self._let_go(byte)
        os.close(self._file)

    def _let_go(self, byte: int) -> None:
        del self._held[byte]
        self._ends.pop(byte).cancel()
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, byte)

    def _is_held(self, byte: int) -> bool:
        """Looks without taking: a lock that is tried and given back would be somebody's refusal meanwhile."""
        if byte in self._held:
            return True
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
        try:
            answer = fcntl.fcntl(self._file, fcntl.F_GETLK, asked)
        except OSError:
            return False
        return int(_FLOCK.unpack(answer)[0]) != fcntl.F_UNLCK


def _byte(key: str) -> int:
    digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> (64 - _OFFSET_BITS)
