"""Names that left not long ago, without what they named.

Kept as hashes, so that a name of 8 KiB that left costs no more than a short one: about 120 bytes each. Two names
with the same 64-bit hash pass for one another, which costs one wrong guess.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable


class Ghosts:
    """The last names that left, as many as cost `span_bytes` together while they were in. O(1) each.

    A ghost that was taken keeps its place in the span until it rolls out: the ring of hashes is never
    searched, and stays bounded by the span whatever comes and goes.
    """

    __slots__ = ("_at", "_gone_bytes", "_ring", "span_bytes")

    def __init__(self, span_bytes: int) -> None:
        self.span_bytes = span_bytes
        self._gone_bytes = 0  # the costs of all that ever left
        self._at: dict[int, int] = {}  # hash to what _gone_bytes was when it had left
        self._ring: deque[tuple[int, int]] = deque()  # the same in order, and what was taken meanwhile

    def add(self, name: Hashable, cost_bytes: int) -> None:
        """It has left."""
        # At least one, or names that cost nothing would stay for ever.
        self._gone_bytes += max(1, cost_bytes)
        record = (hash(name), self._gone_bytes)
        self._at[record[0]] = self._gone_bytes
        self._ring.append(record)
        horizon = self._gone_bytes - self.span_bytes
        while self._ring and self._ring[0][1] <= horizon:
            hashed, at = self._ring.popleft()
            if self._at.get(hashed) == at:
                del self._at[hashed]

    def take(self, name: Hashable) -> bool:
        """Is it one of them? Then it is one no more."""
        return self._at.pop(hash(name), None) is not None

    def __len__(self) -> int:
        return len(self._at)

    def check(self) -> None:
        """Raises AssertionError where the ring does not hold what the table holds."""
        assert set(self._at.items()) <= set(self._ring)  # noqa: S101
        assert all(self._gone_bytes - at < self.span_bytes for _, at in self._ring)  # noqa: S101
