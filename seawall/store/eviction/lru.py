"""Least recently used goes first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable


class LRU:
    """The order of use of named objects with a cost each, under a budget in bytes. O(1) each.

    Invariant: `used_bytes` is the sum of the costs of what is in the order, and never above the budget
    once `admit` has returned.
    """

    __slots__ = ("_order", "budget_bytes", "used_bytes")

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.used_bytes = 0
        self._order: OrderedDict[Hashable, int] = OrderedDict()

    def touch(self, name: Hashable) -> None:
        """It was used. Unknown names are ignored: a reader may still hold what has left."""
        if name in self._order:
            self._order.move_to_end(name)

    def admit(self, name: Hashable, cost_bytes: int) -> list[Hashable] | None:
        """Takes it in; answers who has to leave for it, coldest first. None: it is larger than the budget."""
        if cost_bytes > self.budget_bytes:
            return None
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
        """It has left for another reason."""
        self.used_bytes -= self._order.pop(name, 0)

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, name: Hashable) -> bool:
        return name in self._order

    def check(self) -> None:
        """Raises AssertionError where the invariant does not hold."""
        assert self.used_bytes == sum(self._order.values())  # noqa: S101
        assert self.used_bytes <= self.budget_bytes  # noqa: S101
