"""The index of the disk level: one SQLite database, with what diskcache keeps in it and our own tables beside that.

diskcache's table has name and body (`Cache.key`, and `value` or `filename`), and its triggers keep count and octets
of all rows, across processes (`Settings`). Ours have what it cannot say: head, marks, any number of tags, and how far
the purge orders were carried out, all in the transaction of the object. One connection a thread.

Knows SQLite, no operations. diskcache's private `_con`, `_local` and `_timeout` are used here and nowhere else
(tests/store/test_disk_index.py names the version).
"""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from diskcache import Cache  # type: ignore[import-untyped]

from seawall.store.disk.bytesdisk import BytesDisk
from seawall.store.disk.trouble import Moved, Spoiled
from seawall.store.level import Stamp

NAME = "cache.db"
SCHEMA_VERSION = 1

# Up to here a body lies in its row; SQLite is faster than a file of its own up to some tens of KiB
# (sqlite.org/fasterthanfs.html), and diskcache draws the line at the same place.
INLINE_BYTES = 32 * 1024

# Another process's transaction is over by then. Longer, and this level counts as down.
BUSY_SECONDS = 2.0

# The log stays this long on the disk when it has been carried over: room in which a full disk can still forget.
LOG_BYTES = 4 << 20

_SETTINGS: dict[str, int | str] = {
    "statistics": 0,
    "tag_index": 0,
    "eviction_policy": "none",  # who leaves is our decision (room.py), and a read writes nothing
    "size_limit": 1 << 62,
    "cull_limit": 0,
    "disk_min_file_size": INLINE_BYTES,
    "disk_pickle_protocol": 0,  # diskcache wants one; BytesDisk has no use for it
    "sqlite_auto_vacuum": 2,  # incremental, in slices of our own: full would move pages in each commit
    "sqlite_cache_size": 2048,  # pages, a connection
    "sqlite_journal_mode": "wal",
    # No memory map: where a file that is mapped gets shorter, the process dies of SIGBUS.
    "sqlite_mmap_size": 0,
    "sqlite_synchronous": 1,  # NORMAL: a killed process loses nothing, a power cut the last seconds
}
_COUNTED = ("count", "size", "hits", "misses")

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS meta (one INTEGER PRIMARY KEY CHECK (one = 1), journal TEXT NOT NULL,"
    " number INTEGER NOT NULL, generation INTEGER NOT NULL, epoch INTEGER NOT NULL, guard INTEGER NOT NULL)",
    # id is Cache.rowid. `family` and `part` are what superseding compares. A mark is kept twice, once negated: SQLite
    # has no checksums, and a flipped bit must not make fresh again what was forgotten.
    "CREATE TABLE IF NOT EXISTS objects (id INTEGER PRIMARY KEY, key TEXT NOT NULL, family TEXT NOT NULL,"
    " part TEXT NOT NULL, body_bytes INTEGER NOT NULL, used_at REAL NOT NULL,"
    " epoch INTEGER NOT NULL, epoch_guard INTEGER NOT NULL, stale_at REAL, stale_guard REAL,"
    " digest BLOB, head BLOB NOT NULL)",
    # A URL is a key up to its first line feed, so this finds URLs, their extended keys and prefixes as well.
    "CREATE INDEX IF NOT EXISTS objects_key ON objects (key, family)",
    "CREATE INDEX IF NOT EXISTS objects_used ON objects (used_at)",
    "CREATE TABLE IF NOT EXISTS tags (tag TEXT NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (tag, id)) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS tags_id ON tags (id)",
    "CREATE INDEX IF NOT EXISTS Cache_file ON Cache (filename) WHERE filename IS NOT NULL",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)


@dataclass(frozen=True, slots=True)
class Meta:
    """How far the orders were carried out. `epoch` rises with each Reset: rows of an older one are invalidated."""

    stamp: Stamp
    epoch: int

    @property
    def guard(self) -> int:
        """What a flipped bit in any of it disagrees with."""
        stamp = self.stamp
        return zlib.crc32(repr((stamp.journal, stamp.number, stamp.generation, self.epoch)).encode())


@dataclass(frozen=True, slots=True)
class Identity:
    """Which file it is: two processes that share a directory must mean the same one."""

    device: int
    inode: int


class Index(Cache):  # type: ignore[misc]  # diskcache has no types
    """One opened database. Each thread that uses it has a connection, and closes that itself: close()."""

    def __init__(self, directory: Path, stamp: Stamp) -> None:
        """Opens it, or makes it with this stamp. Raises the ERRORS of trouble.py; takes a moment: in a thread."""
        self._file = directory / NAME
        self.identity = self._make_file()
        self._clean()
        try:
            super().__init__(str(directory), timeout=BUSY_SECONDS, disk=BytesDisk, **_SETTINGS)
            with self.writing() as con:
                for statement in _SCHEMA:
                    con.execute(statement)
                if con.execute("SELECT 1 FROM meta").fetchone() is None:
                    if con.execute("SELECT 1 FROM objects").fetchone():
                        raise Spoiled("objects, and nothing of the orders that they survived")
                    self.put_meta(con, Meta(stamp, 1))
        except (TypeError, ValueError, AttributeError, IndexError) as error:
            # Settings that diskcache could not make sense of. They were ours once.
            self.close()
            raise Spoiled(f"settings: {error}") from error
        except BaseException:
            self.close()
            raise

    @property
    def files(self) -> BytesDisk:
        return self._disk  # type: ignore[no-any-return]

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it or nothing. Nobody else writes meanwhile, in this process or another."""
        con = self.connection
        con.execute("BEGIN IMMEDIATE")
        try:
            yield con
            con.execute("COMMIT")
        except BaseException:
            # Where an I/O error has ended the transaction already, there is nothing to roll back.
            with suppress(sqlite3.Error):
                con.execute("ROLLBACK")
            raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Everything as it was at one moment. Waits for no writer."""
        con = self.connection
        con.execute("BEGIN")
        try:
            yield con
        finally:
            with suppress(sqlite3.Error):
                con.execute("COMMIT")

    @property
    def connection(self) -> sqlite3.Connection:
        """This thread's, outside any transaction."""
        con = self._con
        if con.in_transaction:  # one that could not even be ended
            con.execute("ROLLBACK")
        return con

    def is_current(self) -> bool:
        """Is it still the file under its name? Another process may have put it aside, or somebody removed it."""
        try:
            return _identity(self._file) == self.identity
        except FileNotFoundError:
            return False

    def meta(self, con: sqlite3.Connection) -> Meta:
        """Raises Spoiled: what the index says of the orders must be right, or it says nothing."""
        row = con.execute("SELECT journal, number, generation, epoch, guard FROM meta WHERE one = 1").fetchone()
        return meta_of(row or (None,) * 5)

    def put_meta(self, con: sqlite3.Connection, meta: Meta) -> None:
        stamp = meta.stamp
        con.execute(
            "INSERT OR REPLACE INTO meta VALUES (1, ?, ?, ?, ?, ?)",
            (stamp.journal, stamp.number, stamp.generation, meta.epoch, meta.guard),
        )

    def counted(self, con: sqlite3.Connection) -> tuple[int, int]:
        """Objects, and the octets that they cost, as diskcache's triggers keep them."""
        held = dict(con.execute("SELECT key, value FROM Settings WHERE key IN ('count', 'size')").fetchall())
        count, size = held.get("count"), held.get("size")
        if type(count) is not int or type(size) is not int:
            raise Spoiled("counters")
        return count, size

    @property
    def _con(self) -> sqlite3.Connection:
        """diskcache's own would set whatever PRAGMA a row in Settings names."""
        con: sqlite3.Connection | None = getattr(self._local, "con", None)
        if con is None:
            con = self._local.con = self._connect()
        return con

    def _connect(self) -> sqlite3.Connection:
        con = _open(self._file, self._timeout)
        try:
            if not self.is_current():
                raise Moved("put aside")
            # A text that is none must not break the statement: it is one damaged row.
            con.text_factory = _text
            for pragma in (
                "synchronous = 1",
                "mmap_size = 0",
                f"cache_size = {_SETTINGS['sqlite_cache_size']}",
                "temp_store = 2",
                "trusted_schema = 0",
                "cell_size_check = 1",
                f"journal_size_limit = {LOG_BYTES}",
            ):
                con.execute(f"PRAGMA {pragma}").fetchall()
            con.execute("CREATE TEMP TABLE chosen (id INTEGER PRIMARY KEY)")
        except BaseException:
            con.close()
            raise
        return con

    def _make_file(self) -> Identity:
        """SQLite gives its log and its shared memory the rights of the database, so that begins with the right ones."""
        try:
            descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            if error.errno in (errno.EISDIR, errno.ELOOP, errno.ENXIO):
                raise Spoiled("no regular file") from error
            raise
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise Spoiled("no regular file")
            if stat.S_IMODE(status.st_mode) & 0o077:
                os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)
        return Identity(status.st_dev, status.st_ino)

    def _clean(self) -> None:
        """Before diskcache looks at it: is it of this version, and does it say nothing in Settings that is not ours?"""
        con = _open(self._file, BUSY_SECONDS)
        try:
            (version,) = con.execute("PRAGMA user_version").fetchone()
            (tables,) = con.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if version not in (0, SCHEMA_VERSION):
                raise Spoiled(f"of version {version}")
            if con.execute("SELECT 1 FROM sqlite_master WHERE name = 'Settings'").fetchone():
                known = (*_SETTINGS, *_COUNTED)
                marks = ",".join("?" * len(known))
                if con.execute(f"SELECT 1 FROM Settings WHERE key NOT IN ({marks})", known).fetchone():  # noqa: S608
                    con.execute(f"DELETE FROM Settings WHERE key NOT IN ({marks})", known)  # noqa: S608
            elif tables:
                raise Spoiled("of somebody else")
        finally:
            con.close()


def meta_of(row: tuple[object, ...]) -> Meta:
    """The row of `meta`: journal, number, generation, epoch, guard. Raises Spoiled."""
    journal, number, generation, epoch, guard = row
    if isinstance(journal, str) and isinstance(number, int) and isinstance(generation, int) and isinstance(epoch, int):
        meta = Meta(Stamp(journal, number, generation), epoch)
        if meta.guard == guard:
            return meta
    raise Spoiled("what it says of the orders")


def put_aside(directory: Path, spoiled: Identity | None) -> bool:
    """The index leaves the place to a new one, and stays for whoever wants to look at it; the one before it goes.

    False: somebody else was faster. Who still has it open goes on with it until is_current() tells, which is safe:
    it says itself how far it has carried out the orders. The caller is alone (Home.alone), as who opens one is.
    """
    file = directory / NAME
    with suppress(FileNotFoundError):
        if spoiled is not None and _identity(file) != spoiled:
            return False
        aside = directory / f"{NAME}.spoiled"
        if aside.is_dir() and not aside.is_symlink():
            aside.rename(directory / f"{NAME}.spoiled.{os.urandom(4).hex()}")
        file.rename(aside)
    for end in ("-wal", "-shm", "-journal"):
        with suppress(FileNotFoundError):
            (directory / f"{NAME}{end}").unlink()
    return True


def _open(file: Path, timeout: float) -> sqlite3.Connection:
    # rw: SQLite makes no file of its own, which everybody could read.
    return sqlite3.connect(
        f"file:{quote(str(file))}?mode=rw", timeout=timeout, isolation_level=None, cached_statements=256, uri=True
    )


def _identity(file: Path) -> Identity:
    status = file.stat(follow_symlinks=False)
    return Identity(status.st_dev, status.st_ino)


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "surrogateescape")
