"""Room on the disk that only the journal may have: a file that is given up when everything else is full.

A cache fills its disk sooner or later, and the purge that would free it must still be written down first.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


class Reserve:
    """A file of `size` bytes, really allocated. 0 is none. Not safe for use by two threads."""

    __slots__ = ("_held", "_path", "_size")

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size
        self._held = False

    @property
    def held(self) -> bool:
        """Is the room there? True of a reserve of 0, which is all there."""
        return self._held or self._size == 0

    def establish(self) -> bool:
        """Takes the room where the disk has twice as much free: the last of it is left to whoever needs it now."""
        if self.held:
            return True
        try:
            if self._path.exists() and self._path.stat().st_blocks * 512 >= self._size:
                self._held = True
                return True
            disk = os.statvfs(self._path.parent)
            if disk.f_bavail * disk.f_frsize < 2 * self._size:
                return False
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                # Not ftruncate: a hole in a file reserves nothing.
                os.posix_fallocate(handle, 0, self._size)
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
            return False
        self._held = True
        return True

    def release(self) -> bool:
        """Gives the room up. False where there was none to give."""
        if not self._held:
            return False
        self._held = False
        try:
            os.unlink(self._path)
        except OSError:
            return False
        return True
