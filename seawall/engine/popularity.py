"""Which keys are asked for most lately: a bounded table of counts that forgets.

Knows nothing of stores and requests. A key that is in the table costs one addition. When the table is full, the less
asked half leaves and everybody who stays is lowered to just above it, so that a newcomer with one request stands beside
the least of them: Misra and Gries, Finding Repeated Elements (1982), in batches as Anderson et al. do it (A
High-Performance Algorithm for Identifying Frequent Items in Data Streams, 2017). A count is therefore never too high,
and, where keys are no longer than usual, too low by one in `capacity` of all requests at the most. Beyond that all
counts are halved every HALF_LIFE * capacity requests: the favourites of last week give way to today's.

Culling a full table takes milliseconds, at the earliest every `capacity` new keys. Where most requests are for keys
outside the table, noting every tenth request only is enough: the order of the favourites is the same.

Road not taken: the stream summary of Space-Saving (Metwally et al. 2005) never pauses, but moves a key from bucket to
bucket at each request, which in Python is five dictionary operations where this is one.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import nlargest
from itertools import islice
from operator import itemgetter

CAPACITY = 10_000
# Requests for each place of the table, until what they counted is worth half. Caffeine's sketch takes 10 too.
HALF_LIFE = 10
# What the keys of a full table may weigh together, for each place: a URL may have 8 KiB, and 20,000 of those would be
# 160 MB. Usual ones have 50 to 150 bytes.
MEAN_KEY_BYTES = 256


class Popularity:
    """Counts of keys. Mutable; its owner calls it in one thread.

    `half_life` None: counts are never halved, for a file that is read from beginning to end.
    """

    __slots__ = ("_bytes", "_capacity", "_counts", "_half_life", "_left", "_most", "_most_bytes")

    def __init__(self, capacity: int = CAPACITY, *, half_life: int | None = HALF_LIFE) -> None:
        self._capacity = capacity
        self._most = 2 * capacity
        self._most_bytes = 2 * capacity * MEAN_KEY_BYTES
        self._half_life = None if half_life is None else half_life * capacity
        self._counts: dict[str, int] = {}
        self._bytes = 0
        # Counted down: comparing with 0 is all that a request pays for. 1 << 62 requests take a million years.
        self._left = self._half_life or 1 << 62

    def __repr__(self) -> str:
        return f"<Popularity {len(self)}/{self._most} keys {self._bytes} bytes>"

    def __len__(self) -> int:
        """How many keys are in the table: at most twice the capacity."""
        return len(self._counts)

    def note(self, key: str) -> None:
        """It was asked for. One addition for a key that is known."""
        try:
            self._counts[key] += 1
        except KeyError:
            self._take_in(key)
        self._left -= 1
        if not self._left:
            self._halve()

    def top(self, n: int, selects: Callable[[str], bool] | None = None) -> list[tuple[str, int]]:
        """The `n` keys with the highest counts, highest first, of those that `selects` takes (None: of all)."""
        if n <= 0:
            return []
        if selects is None:
            return nlargest(n, reversed(self._counts.items()), key=itemgetter(1))
        # Ranked first: `selects` costs more than sorting, and the answer is often among the first.
        return list(islice((item for item in self._ranked() if selects(item[0])), n))

    def check(self) -> None:
        """Raises AssertionError where the table is not what it should be."""
        assert len(self._counts) <= self._most, self  # noqa: S101
        assert self._bytes == sum(map(len, self._counts)) <= self._most_bytes, self  # noqa: S101
        assert all(count > 0 for count in self._counts.values())  # noqa: S101

    def _take_in(self, key: str) -> None:
        if len(key) > self._most_bytes // 4:
            return  # one that would push out a quarter of the others
        if len(self._counts) >= self._most or self._bytes + len(key) > self._most_bytes:
            self._cull()
        self._counts[key] = 1
        self._bytes += len(key)

    def _cull(self) -> None:
        kept: dict[str, int] = {}
        octets = worth = 0
        for key, count in self._ranked():
            if len(kept) == self._capacity or octets + len(key) > self._most_bytes // 2:
                worth = count - 1
                break
            kept[key] = count
            octets += len(key)
        self._counts = {key: count - worth for key, count in kept.items()} if worth else kept
        self._bytes = octets

    def _ranked(self) -> list[tuple[str, int]]:
        """By count, and of equals the newer ones first: they may still be rising."""
        ranked = sorted(self._counts.items(), key=itemgetter(1))
        ranked.reverse()
        return ranked

    def _halve(self) -> None:
        assert self._half_life is not None  # noqa: S101 (else nobody lives to see this)
        self._left = self._half_life
        self._counts = {key: count >> 1 for key, count in self._counts.items() if count > 1}
        self._bytes = sum(map(len, self._counts))
