"""What a disk's errors mean for the level: is there no room, is the index spoiled, or is it simply out of order?

Knows no level. Nothing here is final: a full disk has room again, a read-only one is mounted anew.
"""

from __future__ import annotations

import errno
import re
import sqlite3
from enum import Enum

from seawall.store.level import LevelDown


class Spoiled(Exception):
    """The index is not one that we wrote, or not any more: it is put aside and begun anew."""


class Moved(Exception):
    """Another process has put the index aside, or somebody removed it: what stands in its place is opened."""


class Trouble(Enum):
    FULL = "full"  # no room, or no more than so much: also what a limit on file sizes or a quota says
    SPOILED = "spoiled"
    MOVED = "moved"
    BROKEN = "broken"  # anything else; tried again a little later


# Everything that a disk may raise on us. What is not in here is our own mistake.
ERRORS = (OSError, sqlite3.Error, Spoiled, Moved)

# Of a schema that lacks something. SQLITE_ERROR says other things too.
_NO_SUCH = re.compile(r"^no such |has no column|malformed")

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# SQLite says FULL for ENOSPC only. A write that EFBIG or EDQUOT stopped is an I/O error like any other.
_NO_ROOM_CODES = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE})
_SPOILED_CODES = frozenset({sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS})
# Our statements meet every constraint of tables that are ours.
_SPOILED_KINDS = frozenset(
    {
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_FORMAT,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_CONSTRAINT,
    }
)


def kind_of(error: BaseException) -> Trouble:
    """What this error of a disk means."""
    if isinstance(error, Spoiled):
        return Trouble.SPOILED
    if isinstance(error, Moved):
        return Trouble.MOVED
    if isinstance(error, OSError):
        return Trouble.FULL if error.errno in _NO_ROOM else Trouble.BROKEN
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return Trouble.BROKEN
    if code in _NO_ROOM_CODES:
        return Trouble.FULL
    if code in _SPOILED_CODES or code & 0xFF in _SPOILED_KINDS:
        return Trouble.SPOILED
    if code == sqlite3.SQLITE_ERROR and _NO_SUCH.search(str(error)):
        return Trouble.SPOILED
    return Trouble.BROKEN


class Patience:
    """Who may try a level that did not work: one in a second. Owned by the event loop.

    One for reading and one for writing: on a disk that became read-only, what is there can still be read.
    """

    __slots__ = ("_down", "_try_at", "_why")

    PAUSE_SECONDS = 1.0

    def __init__(self) -> None:
        self._down = False
        self._try_at = 0.0
        self._why = ""

    def is_up(self, now: float) -> bool:
        """Would somebody be let through?"""
        return not self._down or now >= self._try_at

    def ask(self, now: float) -> None:
        """Raises LevelDown where it is too early. Who is let through is the one who tries for all."""
        if self._down:
            if now < self._try_at:
                raise LevelDown(self._why)
            self._try_at = now + self.PAUSE_SECONDS

    def failed(self, now: float, why: str) -> None:
        self._down = True
        self._try_at = now + self.PAUSE_SECONDS
        self._why = why

    def worked(self) -> None:
        self._down = False
