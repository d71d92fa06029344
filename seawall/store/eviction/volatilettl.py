"""What expires soonest goes first, among those that expire; the others stay until they are forgotten."""

from __future__ import annotations

from collections.abc import Hashable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import NamedTuple

# A heap this small is not worth cleaning.
_LEAST = 64


class _Due(NamedTuple):
    """An object that expires. `number` tells two that expire together apart, first come first out."""

    expires_at: float
    number: int
    name: Hashable
    cost_bytes: int


class VolatileTTL:
    """Redis's `volatile-ttl`, exact where Redis samples. O(log n) to admit and evict, nothing to touch.

    A heap with lazy deletion: a record counts while it is the one that `_due` holds for its name. Cleaned when
    more than half of it has left, so it is bounded by twice what is in.
    Refuses where those that expire do not make enough room.
    """

    __slots__ = ("_due", "_heap", "_lasting", "_number", "_volatile_bytes", "budget_bytes", "used_bytes")

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.used_bytes = 0
        self._due: dict[Hashable, _Due] = {}
        self._heap: list[_Due] = []
        self._volatile_bytes = 0
        self._lasting: dict[Hashable, int] = {}
        self._number = count()

    def touch(self, name: Hashable) -> None:
        """A use does not change when it expires. 24 ns (bench/eviction.py)."""

    def admit(self, name: Hashable, cost_bytes: int, expires_at: float | None = None) -> list[Hashable] | None:
        known = self._due.get(name)
        expiring, lasting = known.cost_bytes if known is not None else 0, self._lasting.get(name, 0)
        movable = self._volatile_bytes - expiring
        others = self.used_bytes - expiring - lasting
        if others - movable + cost_bytes > self.budget_bytes:
            return None
        self.forget(name)
        victims: list[Hashable] = []
        while self.used_bytes + cost_bytes > self.budget_bytes:
            victims.append(self._evict())
        self.used_bytes += cost_bytes
        if expires_at is None:
            self._lasting[name] = cost_bytes
        else:
            due = self._due[name] = _Due(expires_at, next(self._number), name, cost_bytes)
            self._volatile_bytes += cost_bytes
            heappush(self._heap, due)
            self._clean()
        return victims

    def forget(self, name: Hashable) -> None:
        due = self._due.pop(name, None)
        if due is not None:
            self._volatile_bytes -= due.cost_bytes
            self.used_bytes -= due.cost_bytes
        self.used_bytes -= self._lasting.pop(name, 0)

    def __len__(self) -> int:
        return len(self._due) + len(self._lasting)

    def __contains__(self, name: object) -> bool:
        return name in self._due or name in self._lasting

    def __repr__(self) -> str:
        names = f"{len(self._due)} names that expire, {len(self._lasting)} that do not"
        return f"<VolatileTTL {names}, {self.used_bytes}/{self.budget_bytes} bytes>"

    def check(self) -> None:
        assert self._due.keys().isdisjoint(self._lasting)  # noqa: S101
        assert self._volatile_bytes == sum(due.cost_bytes for due in self._due.values())  # noqa: S101
        assert self.used_bytes == self._volatile_bytes + sum(self._lasting.values())  # noqa: S101
        assert self.used_bytes <= self.budget_bytes  # noqa: S101
        assert set(self._due.values()) <= set(self._heap)  # noqa: S101

    def _evict(self) -> Hashable:
        while True:
            due = heappop(self._heap)
            if self._due.get(due.name) is due:
                self.forget(due.name)
                return due.name

    def _clean(self) -> None:
        if len(self._heap) > max(_LEAST, 2 * len(self._due)):
            self._heap = list(self._due.values())
            heapify(self._heap)
