"""What a killed process has left behind is found and removed, in slices, while the level is at work.

Blocking steps for the writer's thread. A body takes its place within the transaction that names it, so in any other
transaction a file that no row names is nobody's: no clock is asked, and other processes may be at work meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from seawall.store.disk.choosing import choose_none, choose_rows, delete_chosen
from seawall.store.disk.home import Home
from seawall.store.disk.index import Index
from seawall.store.disk.trouble import Spoiled


def steps(index: Index, home: Home) -> Iterator[Callable[[], None]]:
    """The sweep, in steps that are short enough to stand between two purges. Raises the ERRORS of trouble.py."""
    yield home.sweep_corners
    for folder in home.folders():
        yield partial(_sweep_folder, index, home, folder)
    yield partial(_count_again, index)


def _drop_halves(index: Index) -> None:
    """A row and its object come and go together; what lost the other half is nothing."""
    with index.writing() as con:
        choose_none(con)
        rows = con.execute("SELECT rowid FROM Cache EXCEPT SELECT id FROM objects").fetchall()
        rows += con.execute("SELECT id FROM objects EXCEPT SELECT rowid FROM Cache").fetchall()
        choose_rows(con, (row_id for (row_id,) in rows))
        files = delete_chosen(con)
    for file in files:
        index.files.remove(file)


def _sweep_folder(index: Index, home: Home, folder: str) -> None:
    if not home.bodies(folder):
        return
    with index.writing() as con:
        named = {
            name
            for (name,) in con.execute(
                "SELECT filename FROM Cache WHERE filename >= ? AND filename < ?", (f"{folder}/", f"{folder}0")
            )
        }
        for filename in home.bodies(folder):
            if filename not in named:
                index.files.remove(filename)


def _count_again(index: Index) -> None:
    """What diskcache's triggers have counted, counted again: a flipped bit there would cull everything, or nothing."""
    with index.reading() as con:
        entries, size = index.counted(con)
        true_entries, true_size = con.execute("SELECT count(*), coalesce(sum(size), 0) FROM Cache").fetchone()
        (true_objects,) = con.execute("SELECT count(*) FROM objects").fetchone()
    if type(true_size) is not int:
        raise Spoiled("sizes")
    if true_objects != true_entries:
        _drop_halves(index)
    changes = (("count", true_entries - entries), ("size", true_size - size))
    if any(change for _, change in changes):
        with index.writing() as con:
            con.executemany(
                "UPDATE Settings SET value = value + ? WHERE key = ?", ((change, key) for key, change in changes)
            )
