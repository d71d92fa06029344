"""Who leaves when the level is over its size, and how a disk that is full gets room again.

Blocking steps for the writer's thread; who takes them in turn, and asks which names memory still serves, is the level
(culling.py). A full disk is another matter than a level over its size: nothing can be written, also not that
something is to be deleted (seen with diskcache: `delete` raises "database or disk is full"). So some room is held
back as ballast, and the log of the database keeps its length.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

from seawall.store.disk.choosing import choose_none, choose_rows, delete_chosen
from seawall.store.disk.home import Home
from seawall.store.disk.index import Index

# One transaction of the cull, and one look at what memory serves: short enough that a purge does not wait for it.
CULL_ROWS = 200
# While a disk is full: so few that the log has room for what they touch.
_TIGHT_ROWS = 20
# Room to go on with, once something had to leave.
_LEAST_BYTES = 1 << 20
# Pages that are free in the database and may be given back to the disk at a time.
_FREE_PAGES = 2048


class Victim(NamedTuple):
    """A row that is the next to leave."""

    id: int
    name: str
    used_at: float | None  # None: damaged
    cost_bytes: int


def oldest(index: Index, bytes_to_free: int, most: int = CULL_ROWS) -> list[Victim]:
    """Those that were used least recently, as many as make so much room."""
    with index.reading() as con:
        rows = con.execute(
            "SELECT o.id, c.key, o.used_at, c.size FROM objects o LEFT JOIN Cache c ON c.rowid = o.id"
            " ORDER BY o.used_at LIMIT ?",
            (most,),
        ).fetchall()
    victims: list[Victim] = []
    freed = 0
    for row_id, name, used_at, cost in rows:
        if freed >= bytes_to_free:
            break
        cost = cost if isinstance(cost, int) and cost > 0 else 0
        victims.append(Victim(row_id, name if isinstance(name, str) else "", used_at, cost))
        freed += cost
    return victims


class Culled(NamedTuple):
    """What a step of the cull came to: how many left, the octets that are held now, and the files to unlink."""

    dropped: int
    entries: int
    bytes: int
    files: list[object]


def drop(index: Index, victims: Iterable[Victim], spared: Iterable[Victim], used_at: float) -> Culled:
    """The victims leave, unless they were used meanwhile; the spared are as good as just used."""
    with index.writing() as con:
        con.executemany(
            "UPDATE objects SET used_at = ? WHERE id = ? AND used_at IS ?",
            ((used_at, victim.id, victim.used_at) for victim in spared),
        )
        dropped, files = _drop(con, victims)
        entries, size = index.counted(con)
    _give_back(index)
    return Culled(dropped, entries, size, files)


def make_room(index: Index, home: Home, need_bytes: int) -> int:
    """On a full disk: the oldest leave until there may be room for so much; how many. Raises trouble.ERRORS."""
    home.drop_ballast()
    _restart_log(index)
    need_bytes = max(need_bytes, _LEAST_BYTES)
    dropped = 0
    while need_bytes > 0 and (victims := oldest(index, need_bytes, _TIGHT_ROWS)):
        try:
            culled = drop(index, victims, (), 0.0)
        except sqlite3.Error:
            # Even that does not fit. Their files go first then, and what is in the rows is a miss if asked for.
            if not _unlink_first(index, victims):
                raise
            culled = drop(index, victims, (), 0.0)
        for file in culled.files:
            index.files.remove(file)
        if not culled.dropped:
            break
        dropped += culled.dropped
        need_bytes -= sum(victim.cost_bytes for victim in victims)
    _restart_log(index)
    return dropped


def _drop(con: sqlite3.Connection, victims: Iterable[Victim]) -> tuple[int, list[object]]:
    choose_none(con)
    still = [
        victim.id
        for victim in victims
        if con.execute("SELECT 1 FROM objects WHERE id = ? AND used_at IS ?", (victim.id, victim.used_at)).fetchone()
    ]
    choose_rows(con, still)
    return len(still), delete_chosen(con)


def _unlink_first(index: Index, victims: Iterable[Victim]) -> bool:
    found = False
    for victim in victims:
        for (filename,) in index.connection.execute("SELECT filename FROM Cache WHERE rowid = ?", (victim.id,)):
            if filename is not None:
                index.files.remove(filename)
                found = True
    return found


def _restart_log(index: Index) -> None:
    # Not TRUNCATE: what the log has of the disk is what the next transaction is written into.
    with suppress(sqlite3.Error):
        index.connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()


def _give_back(index: Index) -> None:
    """A database does not get smaller by itself: its free pages are given back where they are a quarter of it."""
    con = index.connection
    with suppress(sqlite3.Error):
        (free,) = con.execute("PRAGMA freelist_count").fetchone()
        (pages,) = con.execute("PRAGMA page_count").fetchone()
        if free > _FREE_PAGES and free * 4 > pages:
            # As a script: a page is freed at each step, and execute() takes one only where no rows come back.
            con.executescript(f"PRAGMA incremental_vacuum({_FREE_PAGES})")
