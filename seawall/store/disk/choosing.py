"""Which rows an operation is about, and what becomes of all of them at once.

In a transaction of the writer's. The rows are collected in `chosen`, a table of the connection's own in memory, so
that a tag on 10,000 objects costs a few statements.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import suppress

from seawall.store.level import Names

_ALL = "INSERT OR IGNORE INTO chosen SELECT id FROM objects"
_NAMED = "INSERT OR IGNORE INTO chosen SELECT rowid FROM Cache WHERE key = ? AND raw = 1"
_TAGGED = "INSERT OR IGNORE INTO chosen SELECT id FROM tags WHERE tag = ?"
_KEYED = "INSERT OR IGNORE INTO chosen SELECT id FROM objects WHERE key = ?"
_FROM = "INSERT OR IGNORE INTO chosen SELECT id FROM objects WHERE key >= ?"
_BETWEEN = "INSERT OR IGNORE INTO chosen SELECT id FROM objects WHERE key >= ? AND key < ?"
_ROW = "INSERT OR IGNORE INTO chosen VALUES (?)"


def choose(con: sqlite3.Connection, names: Names) -> None:
    """These, and no others (Names.selects)."""
    choose_none(con)
    if names.all:
        con.execute(_ALL)
        return
    con.executemany(_NAMED, each_of(names.exact))
    con.executemany(_TAGGED, each_of(tag for tag in names.tags if tag))
    # What holds a line feed is more than a URL, and no URL begins with it.
    urls = [url for url in names.urls if "\n" not in url]
    con.executemany(_KEYED, each_of(urls))
    prefixes = (*(f"{url}\n" for url in urls), *(prefix for prefix in names.prefixes if "\n" not in prefix))
    for (prefix,) in each_of(prefixes):
        after = _after(prefix)
        if after is None:
            con.execute(_FROM, (prefix,))
        else:
            con.execute(_BETWEEN, (prefix, after))


def choose_none(con: sqlite3.Connection) -> None:
    con.execute("DELETE FROM chosen")


def choose_rows(con: sqlite3.Connection, ids: Iterable[int]) -> None:
    """These rows as well."""
    con.executemany(_ROW, ((row_id,) for row_id in ids))


def met(con: sqlite3.Connection) -> dict[str, int]:
    """The names of the chosen, and the octets of their bodies."""
    rows = con.execute(
        "SELECT c.key, o.body_bytes FROM chosen JOIN objects o USING (id) JOIN Cache c ON c.rowid = o.id"
        " WHERE c.raw = 1"
    )
    return {name: size for name, size in rows if isinstance(name, str) and isinstance(size, int)}


def delete_chosen(con: sqlite3.Connection) -> list[object]:
    """The chosen are gone. What is left to do once that is committed: unlink these files."""
    files = con.execute(
        "SELECT filename FROM Cache WHERE rowid IN (SELECT id FROM chosen) AND filename IS NOT NULL"
    ).fetchall()
    con.execute("DELETE FROM tags WHERE id IN (SELECT id FROM chosen)")
    con.execute("DELETE FROM objects WHERE id IN (SELECT id FROM chosen)")
    con.execute("DELETE FROM Cache WHERE rowid IN (SELECT id FROM chosen)")
    return [filename for (filename,) in files]


def mark_stale(con: sqlite3.Connection, at: float) -> None:
    """The chosen are fresh no longer than until `at`: what is read is policy.invalidate.stale_from(entry, at)."""
    con.execute(
        "UPDATE objects SET"
        " stale_at = min(coalesce(stale_at, :at), :at), stale_guard = -min(coalesce(stale_at, :at), :at)"
        " WHERE id IN (SELECT id FROM chosen)",
        {"at": float(at)},
    )


def mark_invalidated(con: sqlite3.Connection) -> None:
    """The chosen are of no epoch that counts."""
    con.execute("UPDATE objects SET epoch = 0, epoch_guard = 0 WHERE id IN (SELECT id FROM chosen)")


def _after(prefix: str) -> str | None:
    """The first string behind all that begin with this, as SQLite sorts them: by their octets in UTF-8, which is by
    their characters. None: nothing is behind them."""
    while prefix:
        last = ord(prefix[-1])
        if last < 0x10FFFF:
            # There are no characters among the surrogates.
            return prefix[:-1] + chr(0xE000 if last == 0xD7FF else last + 1)
        prefix = prefix[:-1]
    return None


def each_of(texts: Iterable[str]) -> Iterator[tuple[str]]:
    """As executemany() wants them. What is no text (half a surrogate pair, from somebody's JSON) names nothing."""
    for text in texts:
        with suppress(UnicodeEncodeError):
            text.encode()
            yield (text,)
