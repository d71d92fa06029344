"""Names that left not long ago, without what they named.

Kept as hashes, so that a name of 8 KiB that left costs no more than a short one: 173 bytes each, measured. Two names
with the same 64-bit hash pass for one another, which costs one wrong guess.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable


class Ghosts:
    """The last names that left, as many as cost `span_bytes` together while they were in. O(1) amortised."""

    __slots__ = ("_costs", "_used_bytes", "span_bytes")

    def __init__(self, span_bytes: int) -> None:
        self.span_bytes = span_bytes
        self._used_bytes = 0
        self._costs: OrderedDict[int, int] = OrderedDict()  # hash to cost, oldest first

    def add(self, name: Hashable, cost_bytes: int) -> None:
        """It has left."""
        self.take(name)
        # At least one, or names that cost nothing would stay for ever.
        self._costs[hash(name)] = cost = max(1, cost_bytes)
        self._used_bytes += cost
        while self._used_bytes > self.span_bytes:
            self._used_bytes -= self._costs.popitem(last=False)[1]

    def take(self, name: Hashable) -> bool:
        """Is it one of them? Then it is one no more."""
        cost = self._costs.pop(hash(name), 0)
        self._used_bytes -= cost
        return cost > 0

    def __len__(self) -> int:
        return len(self._costs)

    def check(self) -> None:
        """Raises AssertionError where the records contradict each other."""
        assert self._used_bytes == sum(self._costs.values())  # noqa: S101
        assert self._used_bytes <= self.span_bytes  # noqa: S101
