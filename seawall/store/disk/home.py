"""The directory of a disk level, which several processes may share, and the corner of it that is this process's own.

    cache.db, -wal, -shm      the index
    cache.db.spoiled          one that could not be read any more, for whoever wants to look at it
    ab/<30 digits>.val        a body, from its first octet on; a row of the index names it
    spool/<digits>/           of one process, which holds a lock on `lock` in it as long as it lives:
                              bodies on their way in, and `ballast`, the room in which a full disk can still forget

Blocking, for threads. Knows no index.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from seawall.store.disk.index import NAME
from seawall.telemetry import events

_FOLDERS = frozenset(f"{number:02x}" for number in range(256))
# A corner without a lock this long after it was made has lost its process before it had one.
_MADE_SECONDS = 60.0
# Opening an index takes some milliseconds; a few processes may start together.
_ALONE_SECONDS = 2.0


class Home:
    """Where one level lives. Owned by the level; its threads share it."""

    def __init__(self, directory: Path, ballast_bytes: int) -> None:
        self.directory = directory
        self._ballast_bytes = ballast_bytes
        self._corner: Path | None = None
        self._lock: int | None = None
        self._entering = threading.Lock()

    def enter(self) -> None:
        """Makes the directory and this process's corner, where they are not there. Raises OSError."""
        with self._entering:
            self._make_private()
            if not self._is_here():
                self._leave_lock()
                self._corner, self._lock = self._make_corner()
                self.lay_ballast()

    def leave(self) -> None:
        """This process's corner is gone, with what was still on its way in."""
        if self._corner is not None:
            shutil.rmtree(self._corner, ignore_errors=True)
            self._corner = None
        self._leave_lock()

    def new_path(self) -> Path:
        """For a body on its way in. Raises OSError."""
        if not self._is_here():  # somebody has removed it
            self.enter()
        assert self._corner is not None  # noqa: S101
        return self._corner / os.urandom(16).hex()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other process opens or renames the index meanwhile. Raises BlockingIOError: another one does, for long."""
        descriptor = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _lock(descriptor, _ALONE_SECONDS)
            yield
        finally:
            os.close(descriptor)

    def place(self, path: Path, filename: str) -> None:
        """A body goes to where its row will say that it is. Raises OSError."""
        target = self.directory / filename
        try:
            path.rename(target)
        except FileNotFoundError:
            target.parent.mkdir(mode=0o700, exist_ok=True)
            path.rename(target)

    def sweep_corners(self) -> None:
        """Removes what processes that are no more had on its way in."""
        with suppress(OSError):
            for corner in (self.directory / "spool").iterdir():
                if corner != self._corner and _is_left(corner):
                    shutil.rmtree(corner, ignore_errors=True)

    def folders(self) -> list[str]:
        """Where there may be bodies."""
        return sorted({folder for folder in os.listdir(self.directory) if folder in _FOLDERS})

    def bodies(self, folder: str) -> list[str]:
        """The names of the bodies in one of the folders."""
        with suppress(FileNotFoundError):
            return [f"{folder}/{name}" for name in os.listdir(self.directory / folder)]
        return []

    # --- room ---

    def lay_ballast(self) -> None:
        """Takes the room that drop_ballast() gives back, where there is any."""
        if self._corner is None or (self._corner / "ballast").exists():
            return
        laid = self._corner / "ballast"
        with suppress(OSError):
            descriptor = os.open(laid, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, self._ballast_bytes)
            except OSError:
                laid.unlink()
            finally:
                os.close(descriptor)

    def drop_ballast(self) -> None:
        if self._corner is not None:
            with suppress(OSError):
                (self._corner / "ballast").unlink()

    # --- small steps ---

    def _is_here(self) -> bool:
        return self._corner is not None and (self._corner / "lock").exists()

    def _make_private(self) -> None:
        try:
            self.directory.mkdir(mode=0o700, parents=True)
        except FileExistsError:
            names = os.listdir(self.directory)
            open_to = self.directory.stat().st_mode & 0o077
            if open_to and (not names or NAME in names):
                self.directory.chmod(0o700)
            elif open_to:  # not ours alone: somebody else's rights are not taken away
                events.warning("disk.exposed", directory=str(self.directory), mode=f"{open_to:03o}")
        (self.directory / "spool").mkdir(mode=0o700, exist_ok=True)

    def _make_corner(self) -> tuple[Path, int]:
        while True:
            corner = self.directory / "spool" / os.urandom(8).hex()
            corner.mkdir(mode=0o700)
            lock = os.open(corner / "lock", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if (corner / "lock").exists():  # a sweeper may have been in between
                return corner, lock
            os.close(lock)

    def _leave_lock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _lock(descriptor: int, seconds: float) -> None:
    give_up_at = time.monotonic() + seconds
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.005)


def _is_left(corner: Path) -> bool:
    """Is the process that made it no more?"""
    try:
        descriptor = os.open(corner / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return time.time() - corner.stat().st_mtime > _MADE_SECONDS
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
