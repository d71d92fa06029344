"""Does a disk level's directory agree with itself? Read by another hand: plain SQLite and the file system."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

from seawall.store import codec

TABLES = {"Cache", "Settings", "meta", "objects", "tags"}


def check(directory: Path) -> None:
    """Raises AssertionError where tables, tags, counters and files disagree: no orphan, and nothing that dangles."""
    con = sqlite3.connect(directory / "cache.db")
    try:
        _check_tables(con, directory)
    finally:
        con.close()


def body_files(directory: Path) -> set[str]:
    return {str(file.relative_to(directory)) for file in directory.glob("??/*")}


def assert_private(directory: Path) -> None:
    """Nobody else may read any of it."""
    for path in (directory, *directory.rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), f"{path} {mode:o}"


def _check_tables(con: sqlite3.Connection, directory: Path) -> None:
    assert con.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    names = {name for (name,) in con.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert names == TABLES
    rows = con.execute("SELECT rowid, key, raw, mode, filename, value, size FROM Cache").fetchall()
    objects = {row[0]: row[1:] for row in con.execute("SELECT id, key, body_bytes, head FROM objects")}
    assert {row[0] for row in rows} == objects.keys(), "a row without its object, or the other way round"
    tags: dict[int, set[str]] = {}
    for tag, row_id in con.execute("SELECT tag, id FROM tags"):
        assert tag, "an entry for the empty tag"
        tags.setdefault(row_id, set()).add(tag)
    for row_id, name, raw, mode, filename, value, size in rows:
        key, body_bytes, head = objects[row_id]
        decoded = codec.decode_head(head)
        assert (decoded.key, decoded.name, decoded.body_bytes, 1) == (key, name, body_bytes, raw)
        assert {*decoded.entry.tags} - {""} == tags.pop(row_id, set())
        if mode == 1:
            assert filename is None
            body = value
        else:
            assert (mode, value) == (2, None)
            body = (directory / filename).read_bytes()
        assert len(body) == body_bytes <= size
        assert codec.sums_of((body,)) == list(decoded.sums)
    assert not tags, "tags of nothing"
    assert body_files(directory) == {row[4] for row in rows} - {None}
    counted = dict(con.execute("SELECT key, value FROM Settings WHERE key IN ('count', 'size')"))
    assert counted == {"count": len(rows), "size": sum(row[6] for row in rows)}
