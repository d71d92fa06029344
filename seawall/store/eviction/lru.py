"""Least recently used goes first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable


class LRU:
    """Redis's `allkeys-lru`, exact where Redis samples. O(1) each. A scan washes everything else out."""

    __slots__ = ("_order", "budget_bytes", "used_bytes")

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.used_bytes = 0
        self._order: OrderedDict[Hashable, int] = OrderedDict()  # name to cost, coldest first

    def touch(self, name: Hashable) -> None:
        """To the warm end. 85 ns (bench/eviction.py)."""
        if name in self._order:
            self._order.move_to_end(name)

    def admit(self, name: Hashable, cost_bytes: int, expires_at: float | None = None) -> list[Hashable] | None:
        if cost_bytes > self.budget_bytes:
            return None
        known = self._order.get(name)
        if known is not None and cost_bytes <= known:
            self._order[name] = cost_bytes
            self.used_bytes += cost_bytes - known
            return []
        self.forget(name)
        victims: list[Hashable] = []
        while self.used_bytes + cost_bytes > self.budget_bytes:
            victim, cost = self._order.popitem(last=False)
            self.used_bytes -= cost
            victims.append(victim)
        self._order[name] = cost_bytes
        self.used_bytes += cost_bytes
        return victims

    def forget(self, name: Hashable) -> None:
        self.used_bytes -= self._order.pop(name, 0)

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, name: object) -> bool:
        return name in self._order

    def __repr__(self) -> str:
        return f"<LRU {len(self)} names {self.used_bytes}/{self.budget_bytes} bytes>"

    def check(self) -> None:
        assert self.used_bytes == sum(self._order.values())  # noqa: S101
        assert self.used_bytes <= self.budget_bytes  # noqa: S101
