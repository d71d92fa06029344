"""Least recently used goes first, among those that expire; the others stay until they are forgotten."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable


class VolatileLRU:
    """Redis's `volatile-lru`, exact where Redis samples. O(1) each.

    Refuses where those that expire do not make enough room.
    """

    __slots__ = ("_lasting", "_order", "_volatile_bytes", "budget_bytes", "used_bytes")

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.used_bytes = 0
        self._order: OrderedDict[Hashable, int] = OrderedDict()  # those that expire, to their cost, coldest first
        self._volatile_bytes = 0
        self._lasting: dict[Hashable, int] = {}

    def touch(self, name: Hashable) -> None:
        """To the warm end, if it expires. 84 ns (bench/eviction.py)."""
        if name in self._order:
            self._order.move_to_end(name)

    def admit(self, name: Hashable, cost_bytes: int, expires_at: float | None = None) -> list[Hashable] | None:
        expiring, lasting = self._order.get(name, 0), self._lasting.get(name, 0)
        movable = self._volatile_bytes - expiring
        others = self.used_bytes - expiring - lasting
        if others - movable + cost_bytes > self.budget_bytes:
            return None
        if name in self._order and expires_at is not None and cost_bytes <= expiring:
            self._order[name] = cost_bytes
            self._volatile_bytes += cost_bytes - expiring
            self.used_bytes += cost_bytes - expiring
            return []
        self.forget(name)
        victims: list[Hashable] = []
        while self.used_bytes + cost_bytes > self.budget_bytes:
            victim, cost = self._order.popitem(last=False)
            self.used_bytes -= cost
            self._volatile_bytes -= cost
            victims.append(victim)
        self.used_bytes += cost_bytes
        if expires_at is None:
            self._lasting[name] = cost_bytes
        else:
            self._order[name] = cost_bytes
            self._volatile_bytes += cost_bytes
        return victims

    def forget(self, name: Hashable) -> None:
        expiring = self._order.pop(name, 0)
        self._volatile_bytes -= expiring
        self.used_bytes -= expiring + self._lasting.pop(name, 0)

    def __len__(self) -> int:
        return len(self._order) + len(self._lasting)

    def __contains__(self, name: object) -> bool:
        return name in self._order or name in self._lasting

    def __repr__(self) -> str:
        names = f"{len(self._order)} names that expire, {len(self._lasting)} that do not"
        return f"<VolatileLRU {names}, {self.used_bytes}/{self.budget_bytes} bytes>"

    def check(self) -> None:
        assert self._order.keys().isdisjoint(self._lasting)  # noqa: S101
        assert self._volatile_bytes == sum(self._order.values())  # noqa: S101
        assert self.used_bytes == self._volatile_bytes + sum(self._lasting.values())  # noqa: S101
        assert self.used_bytes <= self.budget_bytes  # noqa: S101
