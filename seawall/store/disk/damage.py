"""Something that is not what was put there: how it is told of, and how it leaves."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from seawall.store.disk.choosing import choose_none, choose_rows, delete_chosen
from seawall.telemetry import events


@dataclass(frozen=True, slots=True)
class Damage:
    """A row that is not what was put there, and why. It is dropped where it is still that one.

    Told by its `id` and what was in it then, or by the name of its file alone.
    """

    key: str
    why: str
    id: int | None
    head: object
    filename: object

    def tell(self) -> None:
        """For the log: which one, without its query, which may be somebody's secret."""
        events.warning("disk.damaged", url=self.key.partition("\n")[0].partition("?")[0], why=self.why)


def delete_damaged(con: sqlite3.Connection, damages: Sequence[Damage]) -> list[object]:
    """In a transaction. What is left to do once that is committed: unlink these files."""
    choose_none(con)
    for damage in damages:
        if damage.id is None:
            rows = con.execute("SELECT rowid FROM Cache WHERE filename = ?", (damage.filename,)).fetchall()
        else:
            rows = con.execute(
                "SELECT o.id FROM objects o LEFT JOIN Cache c ON c.rowid = o.id"
                " WHERE o.id = ? AND o.head IS ? AND c.filename IS ?",
                (damage.id, damage.head, damage.filename),
            ).fetchall()
        choose_rows(con, (row_id for (row_id,) in rows))
    return delete_chosen(con)
