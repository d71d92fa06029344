"""Nobody leaves: when it is full, it takes no more."""

from __future__ import annotations

from collections.abc import Hashable

from seawall.store.shards import Shards


class NoEviction:
    """Redis's `noeviction`: refuses instead of evicting. Room comes back by what is purged or replaced."""

    __slots__ = ("_costs", "budget_bytes", "used_bytes")

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.used_bytes = 0
        self._costs: Shards[Hashable, int] = Shards()

    def touch(self, name: Hashable) -> None:
        """Nothing to remember. 25 ns (bench/eviction.py, as all of these figures)."""

    def admit(self, name: Hashable, cost_bytes: int, expires_at: float | None = None) -> list[Hashable] | None:
        used = self.used_bytes - self._costs.get(name, 0) + cost_bytes
        if used > self.budget_bytes:
            return None
        self._costs[name] = cost_bytes
        self.used_bytes = used
        return []

    def forget(self, name: Hashable) -> None:
        self.used_bytes -= self._costs.pop(name, 0)

    def __len__(self) -> int:
        return len(self._costs)

    def __contains__(self, name: object) -> bool:
        return name in self._costs

    def __repr__(self) -> str:
        return f"<NoEviction {len(self)} names {self.used_bytes}/{self.budget_bytes} bytes>"

    def check(self) -> None:
        assert self.used_bytes == sum(self._costs.values())  # noqa: S101
        assert self.used_bytes <= self.budget_bytes  # noqa: S101
