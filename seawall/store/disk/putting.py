"""One object goes in: what is done before the transaction, and what in it.

Blocking, in the writer's thread. The body is in a file, whole, before the transaction begins, and takes its place in
it: so a file without a row is nobody's, seen from any other transaction, and the sweep needs no clock.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from errno import ENOENT

from seawall.store.codec import Unwritable, encode_head, sums_of
from seawall.store.disk.bodies import BodyFile, DiskFiled, new_digest, write_whole
from seawall.store.disk.bytesdisk import IN_FILE, IN_ROW
from seawall.store.disk.choosing import choose_none, choose_rows, delete_chosen
from seawall.store.disk.home import Home
from seawall.store.disk.index import INLINE_BYTES, Index, Meta
from seawall.store.disk.trouble import Trouble, kind_of
from seawall.store.level import Put
from seawall.store.stored import Stored

# Vary on a field of everybody's own (User-Agent, a cookie) makes a variant a visitor; memory forgets those by itself.
MOST_OBJECTS_OF_A_KEY = 64

# What an object takes in the database above its text: rows and entries in seven B-trees that are not full, and what
# a page has left over. tests/store/test_disk_room.py holds the sum to the size of the real file.
ROW_BYTES = 400
# The smallest piece of room that a file system gives.
FILE_BYTES = 4096


@dataclass(slots=True)
class Prepared:
    """An object on its way in. `refused`: it will not get there, and why."""

    item: Stored
    family: str = ""
    part: str = ""
    head: bytes = b""
    inline: bytes | None = None
    digest: bytes | None = None
    file: BodyFile | None = None
    cost: int = 0
    refused: str | None = None

    @property
    def is_filed(self) -> bool:
        """Did it come with a body that lies here already?"""
        return isinstance(self.item.held, DiskFiled)


def prepare(put: Put, index: Index, home: Home, new_file: Callable[[], BodyFile], size_bytes: int) -> Prepared:
    """Whatever can be done for it before the transaction. Raises OSError where the disk is broken; a full one is a
    reason to refuse."""
    item = put.item
    entry = item.entry
    part = "" if entry.part is None else f"{entry.part.first}-{entry.part.last}"
    prepared = Prepared(item, repr(entry.varied) if entry.varied else "", part)
    try:
        _take_body(prepared, home)
    except Unwritable:
        prepared.refused = "unwritable"
    if prepared.refused is None:
        prepared.cost = _cost(prepared)
        if prepared.cost > size_bytes:
            prepared.refused = "too-large"
        elif prepared.inline is None and prepared.file is None and not _is_held(index, prepared):
            try:
                _write_file(prepared, new_file)
            except OSError as error:
                if kind_of(error) is not Trouble.FULL:
                    raise
                prepared.refused = Trouble.FULL.value
    return prepared


def put_in(
    con: sqlite3.Connection,
    prepared: Prepared,
    put: Put,
    meta: Meta,
    used_at: float,
    new_file: Callable[[], BodyFile],
    placed: list[BodyFile],
) -> tuple[str | None, list[object]]:
    """Why it is not kept, or None; and the files that it leaves behind. What got its place is added to `placed`."""
    if prepared.refused is not None:
        return prepared.refused, []
    known, now = meta.stamp, put.stamp
    if (now.journal, now.generation) != (known.journal, known.generation) or now.number < known.number:
        return "overtaken", []
    old = _held(con, prepared)
    if old is not None and _is_same_body(con, old, prepared):
        _change_head(con, old[0], prepared, meta, used_at)
        return None, _delete_superseded(con, prepared, but=old[0])
    return _put_anew(con, prepared, meta, used_at, new_file, placed)


def _put_anew(
    con: sqlite3.Connection,
    prepared: Prepared,
    meta: Meta,
    used_at: float,
    new_file: Callable[[], BodyFile],
    placed: list[BodyFile],
) -> tuple[str | None, list[object]]:
    file = prepared.file
    if file is None and prepared.inline is None:
        file = _write_file(prepared, new_file)  # what held the same body has left since we looked
    own: list[int] = []
    if file is not None and file.placed:
        # It lies here, under another name until now; or it is not here any more.
        own = [row_id for (row_id,) in con.execute("SELECT rowid FROM Cache WHERE filename = ?", (file.filename,))]
        if not own:
            return "gone", []
    elif file is not None:
        try:
            file.place()
        except OSError as error:
            if error.errno != ENOENT:
                raise
            return "gone", []
        placed.append(file)
    left = _delete_superseded(con, prepared, also=own)
    row = (prepared.item.name, used_at, used_at, prepared.cost)
    kept = (IN_ROW, None, prepared.inline) if file is None else (IN_FILE, file.filename, None)
    cursor = con.execute(
        "INSERT INTO Cache (key, raw, store_time, access_time, size, mode, filename, value)"
        " VALUES (?, 1, ?, ?, ?, ?, ?, ?)",
        (*row, *kept),
    )
    item = prepared.item
    con.execute(
        "INSERT OR REPLACE INTO objects (id, key, family, part, body_bytes, used_at, epoch, epoch_guard, digest, head)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            cursor.lastrowid,
            item.key,
            prepared.family,
            prepared.part,
            item.body_bytes,
            used_at,
            meta.epoch,
            -meta.epoch,
            prepared.digest,
            prepared.head,
        ),
    )
    _tag(con, cursor.lastrowid, prepared)
    left += _delete_surplus(con, item.key)
    return None, [name for name in left if file is None or name != file.filename]


def _change_head(con: sqlite3.Connection, row_id: int, prepared: Prepared, meta: Meta, used_at: float) -> None:
    con.execute(
        "UPDATE objects SET head = ?, used_at = ?, epoch = ?, epoch_guard = ?, stale_at = NULL, stale_guard = NULL"
        " WHERE id = ?",
        (prepared.head, used_at, meta.epoch, -meta.epoch, row_id),
    )
    con.execute("UPDATE Cache SET size = ? WHERE rowid = ? AND size != ?", (prepared.cost, row_id, prepared.cost))
    _tag(con, row_id, prepared)


def _tag(con: sqlite3.Connection, row_id: int | None, prepared: Prepared) -> None:
    con.execute("DELETE FROM tags WHERE id = ?", (row_id,))
    tags = dict.fromkeys(tag for tag in prepared.item.entry.tags if tag)
    con.executemany("INSERT INTO tags VALUES (?, ?)", ((tag, row_id) for tag in tags))


def _delete_superseded(
    con: sqlite3.Connection, prepared: Prepared, *, but: int | None = None, also: list[int] | None = None
) -> list[object]:
    """What store.memory.supersedes says, and whatever else is in the place of this name."""
    item = prepared.item
    choose_none(con)
    if prepared.part:
        found = con.execute(
            "SELECT id FROM objects WHERE key = ? AND family = ? AND part = ?",
            (item.key, prepared.family, prepared.part),
        )
    else:
        found = con.execute("SELECT id FROM objects WHERE key = ? AND family = ?", (item.key, prepared.family))
    ids = {row_id for (row_id,) in found.fetchall()}
    ids.update(row_id for (row_id,) in con.execute("SELECT rowid FROM Cache WHERE key = ? AND raw = 1", (item.name,)))
    ids.update(also or ())
    ids.discard(but)
    if not ids:
        return []
    choose_rows(con, ids)
    return delete_chosen(con)


def _delete_surplus(con: sqlite3.Connection, key: str) -> list[object]:
    """A key is read whole: of too many variants and parts, those leave that were used least recently."""
    rows = con.execute(
        "SELECT id FROM objects WHERE key = ? ORDER BY used_at DESC, id DESC LIMIT -1 OFFSET ?",
        (key, MOST_OBJECTS_OF_A_KEY),
    ).fetchall()
    if not rows:
        return []
    choose_none(con)
    choose_rows(con, (row_id for (row_id,) in rows))
    return delete_chosen(con)


_Held = tuple[int, int, object, object, object]


def _held(con: sqlite3.Connection, prepared: Prepared) -> _Held | None:
    """The row of this name: id, octets of the body, digest, filename, mode."""
    row: _Held | None = con.execute(
        "SELECT o.id, o.body_bytes, o.digest, c.filename, c.mode FROM Cache c JOIN objects o ON o.id = c.rowid"
        " WHERE c.key = ? AND c.raw = 1",
        (prepared.item.name,),
    ).fetchone()
    return row


def _is_same_body(con: sqlite3.Connection, old: _Held, prepared: Prepared) -> bool:
    """A file that was just brought always takes the place of the other: who holds it reads it from there."""
    row_id, body_bytes, digest, filename, mode = old
    if body_bytes != prepared.item.body_bytes:
        return False
    if prepared.is_filed:
        return prepared.file is not None and prepared.file.placed and prepared.file.filename == filename
    if prepared.inline is None:
        return mode == IN_FILE and digest == prepared.digest
    same = con.execute("SELECT value = ? FROM Cache WHERE rowid = ? AND mode = ?", (prepared.inline, row_id, IN_ROW))
    return bool((same.fetchone() or (0,))[0])


def _is_held(index: Index, prepared: Prepared) -> bool:
    """Is the body here by now? Then it need not be written; the transaction looks again."""
    with index.reading() as con:
        old = _held(con, prepared)
        return old is not None and _is_same_body(con, old, prepared)


def _take_body(prepared: Prepared, home: Home) -> None:
    """Raises Unwritable."""
    item = prepared.item
    body = item.body
    if isinstance(body, DiskFiled):
        if body.file.home is not home:
            prepared.refused = "foreign"
        prepared.file, prepared.digest = body.file, body.digest
        prepared.head = encode_head(item, body.sums)
    elif isinstance(body, tuple):
        prepared.head = encode_head(item, sums_of(body))
        if item.body_bytes <= INLINE_BYTES:
            prepared.inline = b"".join(body)
        else:
            digest = new_digest()
            for piece in body:
                digest.update(piece)
            prepared.digest = digest.digest()
    else:
        prepared.refused = "foreign"


def _write_file(prepared: Prepared, new_file: Callable[[], BodyFile]) -> BodyFile:
    body = prepared.item.body
    assert isinstance(body, tuple)  # noqa: S101 (a Filed has its file)
    file = new_file()
    assert file.path is not None  # noqa: S101 (it is new)
    write_whole(file.path, body)
    prepared.file = file
    return file


def _cost(prepared: Prepared) -> int:
    """The octets that it takes on the disk: text as often as it is written down, and what holds it."""
    item = prepared.item
    tags = sum(2 * len(tag) + 30 for tag in item.entry.tags)
    text = 2 * len(item.name) + 2 * len(item.key) + 2 * len(prepared.family) + len(prepared.head) + tags
    if prepared.inline is not None:
        return ROW_BYTES + text + len(prepared.inline)
    return ROW_BYTES + text + -(-item.body_bytes // FILE_BYTES) * FILE_BYTES
