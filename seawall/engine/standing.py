"""How far this node has followed the purge orders, and whether it may trust what it stores.

A flight notes the mark at its take-off; what an order overtook since is delivered to those already waiting
and not stored (HAZARDS F08). A node whose lease has run out trusts nothing it stores until it was asked for.
"""

from __future__ import annotations

from collections.abc import Callable

from seawall.policy.entry import Entry
from seawall.policy.invalidate import invalidated
from seawall.purge.applied import Applied, Mark
from seawall.purge.lease import Lease
from seawall.store.stored import Stored


class Standing:
    """Owned by the node, asked by the engine. Without a lease (the hub itself) what is stored is always trusted.

    `now` is the lease's clock: one that goes on while the machine sleeps.
    """

    __slots__ = ("applied", "lease", "now")

    def __init__(self, applied: Applied, lease: Lease | None = None, now: Callable[[], float] | None = None) -> None:
        self.applied = applied
        self.lease = lease
        self.now = now

    @property
    def mark(self) -> Mark:
        return self.applied.mark

    def fenced(self) -> bool:
        """Must everything stored be asked for? One comparison, on every hit."""
        return self.lease is not None and self.now is not None and not self.lease.held(self.now())


class Candidates:
    """The stored responses of a key as policy may see them now: as they are, or each in need of validation."""

    __slots__ = ("entries", "fenced", "items")

    def __init__(self, items: tuple[Stored, ...], *, fenced: bool) -> None:
        self.items = items
        self.fenced = fenced
        self.entries: list[Entry] = [invalidated(item.entry) if fenced else item.entry for item in items]

    def selecting(self) -> frozenset[str]:
        """The names of the fields that these were selected by (Vary)."""
        return frozenset(name for item in self.items for name, _ in item.entry.varied)

    def item(self, entry: Entry) -> Stored:
        """The stored response behind an entry that policy chose from `entries`."""
        return next(item for item, shown in zip(self.items, self.entries, strict=True) if shown is entry)

    def shown(self, item: Stored) -> Entry:
        """The entry that stands for this item in `entries`."""
        return next(shown for each, shown in zip(self.items, self.entries, strict=True) if each is item)

    def find(self, entry: Entry | None) -> Stored | None:
        """The same for an entry that may be of an earlier look: None when it has left or changed."""
        for item, shown in zip(self.items, self.entries, strict=True):
            if shown is entry or item.entry is entry:
                return item
        return None
