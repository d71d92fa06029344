"""Names in a line, from which any may leave and in which any may move to the end: an order of use.

Each place is linked to its neighbours, so that every step takes the same few assignments, however long the line is. An
OrderedDict is linked too, but finds its links by a table that is written anew whenever it is full: 128 ms at 700,000
names. A place is 80 bytes and its name's part of a dict 26, 25 more together.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator


class Place:
    """Where a name stands, and what it costs. Belongs to one chain at a time."""

    __slots__ = ("after", "before", "chain", "cost_bytes", "name")

    after: Place
    before: Place
    chain: Chain

    def __init__(self, name: Hashable, cost_bytes: int) -> None:
        self.name = name
        self.cost_bytes = cost_bytes


class Chain:
    """A line of places, coldest first. `bytes` is what they cost together; `rank` is its owner's to say."""

    __slots__ = ("_count", "_ends", "bytes", "rank")

    def __init__(self, rank: int = 0) -> None:
        self.rank = rank
        self.bytes = 0
        self._count = 0
        # A place that nobody stands in, before the first and after the last: so every other has two neighbours.
        self._ends = Place(None, 0)
        self._ends.before = self._ends.after = self._ends

    def add(self, place: Place) -> None:
        """To the warm end. It belongs to no chain."""
        place.chain = self
        self.bytes += place.cost_bytes
        self._count += 1
        ends = self._ends
        last = ends.before
        place.before = last
        place.after = ends
        last.after = ends.before = place

    def remove(self, place: Place) -> None:
        """It stands in this chain."""
        self.bytes -= place.cost_bytes
        self._count -= 1
        before, after = place.before, place.after
        before.after = after
        after.before = before

    def renew(self, place: Place) -> None:
        """To the warm end again. It stands in this chain."""
        before, after, ends = place.before, place.after, self._ends
        before.after = after
        after.before = before
        last = ends.before
        place.before = last
        place.after = ends
        last.after = ends.before = place

    def reprice(self, place: Place, cost_bytes: int) -> None:
        """What it costs from now on, where it stands. It stands in this chain."""
        self.bytes += cost_bytes - place.cost_bytes
        place.cost_bytes = cost_bytes

    def pop(self) -> Place:
        """The coldest leaves. The chain is not empty."""
        coldest = self._ends.after
        self.remove(coldest)
        return coldest

    def close(self) -> None:
        """It is empty and not used any more. Undone by hand: cycles may never be freed (roles/collector.py)."""
        del self._ends.before, self._ends.after

    def __iter__(self) -> Iterator[Place]:
        """Coldest first; nobody may come or go meanwhile."""
        place = self._ends.after
        while place is not self._ends:
            yield place
            place = place.after

    def __len__(self) -> int:
        return self._count

    def check(self) -> None:
        """Raises AssertionError where the links, the count and the bytes contradict each other."""
        places = list(self)
        assert len(places) == self._count  # noqa: S101
        assert self.bytes == sum(place.cost_bytes for place in places)  # noqa: S101
        assert all(place.chain is self for place in places)  # noqa: S101
        assert all(place.after.before is place for place in (self._ends, *places))  # noqa: S101
