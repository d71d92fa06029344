"""What the index holds under a key: rows of one moment, each proven against the head that was put, or damaged.

Blocking, in a reader's thread. SQLite has no checksums of its own, so nothing in a row is believed that the head, its
CRC-32 and the sums in it do not confirm: a flipped bit is a miss. That goes for the tags as well, or an object whose
tag rotted away in the index would outlive the purge of that tag.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from seawall.policy.entry import Entry
from seawall.policy.invalidate import invalidated, stale_from
from seawall.store.codec import Damaged, Head, blocks_of, decode_head, pieces_of, sums_of
from seawall.store.disk.bodies import DiskFiled, read_whole
from seawall.store.disk.bytesdisk import IN_FILE, is_ours
from seawall.store.disk.damage import Damage
from seawall.store.disk.index import Index, Meta, meta_of
from seawall.store.level import Stamp
from seawall.store.stored import Filed, Stored, stored

# A row that is replaced between our look at it and our opening its file is looked at again, this often.
_LOOKS = 3

# This file is at fault, not the disk as a whole or this process.
_NOT_A_BODY = frozenset({errno.EIO, errno.ELOOP, errno.EISDIR, errno.ENOTDIR, errno.ENXIO})


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it stands: anything may be in it."""

    id: int
    key: str
    body_bytes: object
    epoch: object
    epoch_guard: object
    stale_at: object
    stale_guard: object
    digest: object
    head: object
    name: object
    raw: object
    mode: object
    filename: object
    value: object
    tags: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Looked:
    """What is under a key, and what should have been."""

    items: tuple[Stored, ...]
    stamp: Stamp
    damages: tuple[Damage, ...]


MakeFiled = Callable[[str, int, Sequence[int], bytes | None, str], DiskFiled]

_SELECT = (
    "SELECT m.journal, m.number, m.generation, m.epoch, m.guard,"
    " o.id, o.key, o.body_bytes, o.epoch, o.epoch_guard, o.stale_at, o.stale_guard, o.digest, o.head,"
    " c.key, c.raw, c.mode, c.filename, c.value"
    " FROM meta m LEFT JOIN objects o ON o.key = ? LEFT JOIN Cache c ON c.rowid = o.id WHERE m.one = 1"
)
_META_COLUMNS = 5


def look(index: Index, key: str, whole_bytes: int, filed: MakeFiled) -> Looked:
    """All that is held under the key; bodies up to `whole_bytes` in memory. Raises the ERRORS of trouble.py."""
    for _ in range(_LOOKS - 1):
        with suppress(FileNotFoundError):
            return _look(index, key, whole_bytes, filed, last=False)
    return _look(index, key, whole_bytes, filed, last=True)


def _look(index: Index, key: str, whole_bytes: int, filed: MakeFiled, *, last: bool) -> Looked:
    meta, rows = _rows(index, key)
    items: list[Stored] = []
    damages: list[Damage] = []
    for row in rows:
        try:
            items.append(_item(index, meta, row, key, whole_bytes, filed))
        except FileNotFoundError:
            if not last:
                raise
            damages.append(Damage(key, "a body is missing", row.id, row.head, row.filename))
        except Damaged as error:
            damages.append(Damage(key, str(error), row.id, row.head, row.filename))
    return Looked(tuple(items), meta.stamp, tuple(damages))


def _rows(index: Index, key: str) -> tuple[Meta, list[Row]]:
    with index.reading() as con:
        found = con.execute(_SELECT, (key,)).fetchall()
        if not found:
            index.meta(con)  # raises
        rows = [Row(*(*columns[_META_COLUMNS:], _tags(con, columns[_META_COLUMNS]))) for columns in found]
    return meta_of(found[0][:_META_COLUMNS]), [row for row in rows if row.id is not None]


def _tags(con: sqlite3.Connection, row_id: int) -> tuple[object, ...]:
    return tuple(tag for (tag,) in con.execute("SELECT tag FROM tags WHERE id = ?", (row_id,)))


def _item(index: Index, meta: Meta, row: Row, key: str, whole_bytes: int, filed: MakeFiled) -> Stored:
    """Raises Damaged, FileNotFoundError."""
    head = head_of(row, key)
    return stored(key, _marked(head.entry, row, meta), _body(index, row, head, whole_bytes, filed))


def head_of(row: Row, key: str) -> Head:
    """The head of a row of this key, where all else in the row agrees with it. Raises Damaged."""
    if not isinstance(row.head, bytes):
        raise Damaged("no head")
    head = decode_head(row.head)
    if row.name is None:
        raise Damaged("no body")
    if (head.key, head.name, head.body_bytes, 1) != (key, row.name, row.body_bytes, row.raw):
        raise Damaged("a head of another object")
    if {*head.entry.tags} - {""} != {*row.tags}:
        raise Damaged("other tags than were put")
    if len(head.sums) != blocks_of(head.body_bytes):
        raise Damaged("a head without its sums")
    return head


def _marked(entry: Entry, row: Row, meta: Meta) -> Entry:
    """With what became of it since it was put. Raises Damaged."""
    if type(row.epoch) is not int or row.epoch_guard != -row.epoch or row.epoch > meta.epoch:
        raise Damaged("marks")
    if row.stale_at is not None or row.stale_guard is not None:
        if not isinstance(row.stale_at, float) or row.stale_guard != -row.stale_at:
            raise Damaged("marks")
        entry = stale_from(entry, row.stale_at)
    return invalidated(entry) if row.epoch < meta.epoch else entry


def _body(index: Index, row: Row, head: Head, whole_bytes: int, filed: MakeFiled) -> tuple[bytes, ...] | Filed:
    """Raises Damaged, FileNotFoundError."""
    if row.mode != IN_FILE:
        return _inline(index.files.fetch(row.mode, row.filename, row.value, read=False), head)
    if row.value is not None or not is_ours(row.filename):
        raise Damaged("a body somewhere else")
    digest = row.digest if isinstance(row.digest, bytes) else None
    body = filed(str(row.filename), head.body_bytes, head.sums, digest, head.key)
    try:
        if head.body_bytes <= whole_bytes:
            return read_whole(body.file.open(), head.body_bytes, head.sums)
        if body.file.open().length != head.body_bytes:
            raise Damaged("a body has another length")
    except OSError as error:
        if error.errno not in _NOT_A_BODY:
            raise
        raise Damaged(f"a body cannot be read: {error.strerror}") from error
    return body


def _inline(octets: bytes, head: Head) -> tuple[bytes, ...]:
    body = tuple(pieces_of(octets))
    if len(octets) != head.body_bytes or sums_of(body) != list(head.sums):
        raise Damaged("a body is not what was put there")
    return body
