"""What expires soonest goes first, among those that expire; the others stay until they are forgotten."""

from __future__ import annotations

from collections.abc import Hashable
from itertools import count

from seawall.store.eviction.dues import Due, Dues
from seawall.store.shards import Shards


class VolatileTTL:
    """Redis's `volatile-ttl`, exact where Redis samples. O(log n) to admit, forget and evict, nothing to touch.

    Refuses where those that expire do not make enough room.
    """

    __slots__ = ("_dues", "_expiring", "_lasting", "_number", "_volatile_bytes", "budget_bytes", "used_bytes")

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.used_bytes = 0
        self._expiring: Shards[Hashable, Due] = Shards()
        self._dues = Dues()
        self._volatile_bytes = 0
        self._lasting: Shards[Hashable, int] = Shards()
        self._number = count()

    def touch(self, name: Hashable) -> None:
        """A use does not change when it expires. 24 ns (bench/eviction.py)."""

    def admit(self, name: Hashable, cost_bytes: int, expires_at: float | None = None) -> list[Hashable] | None:
        known = self._expiring.get(name)
        expiring, lasting = known.cost_bytes if known is not None else 0, self._lasting.get(name, 0)
        movable = self._volatile_bytes - expiring
        others = self.used_bytes - expiring - lasting
        if others - movable + cost_bytes > self.budget_bytes:
            return None
        self.forget(name)
        victims: list[Hashable] = []
        while self.used_bytes + cost_bytes > self.budget_bytes:
            victim = self._dues.first().name
            self.forget(victim)
            victims.append(victim)
        self.used_bytes += cost_bytes
        if expires_at is None:
            self._lasting[name] = cost_bytes
        else:
            due = self._expiring[name] = Due(expires_at, next(self._number), name, cost_bytes)
            self._volatile_bytes += cost_bytes
            self._dues.add(due)
        return victims

    def forget(self, name: Hashable) -> None:
        due = self._expiring.pop(name, None)
        if due is not None:
            self._dues.remove(due)
            self._volatile_bytes -= due.cost_bytes
            self.used_bytes -= due.cost_bytes
        self.used_bytes -= self._lasting.pop(name, 0)

    def __len__(self) -> int:
        return len(self._expiring) + len(self._lasting)

    def __contains__(self, name: object) -> bool:
        return name in self._expiring or name in self._lasting

    def __repr__(self) -> str:
        names = f"{len(self._expiring)} names that expire, {len(self._lasting)} that do not"
        return f"<VolatileTTL {names}, {self.used_bytes}/{self.budget_bytes} bytes>"

    def check(self) -> None:
        self._dues.check()
        assert self._expiring.keys().isdisjoint(self._lasting)  # noqa: S101
        assert {due.name: due for due in self._dues} == dict(self._expiring)  # noqa: S101
        assert self._volatile_bytes == sum(due.cost_bytes for due in self._dues)  # noqa: S101
        assert self.used_bytes == self._volatile_bytes + sum(self._lasting.values())  # noqa: S101
        assert self.used_bytes <= self.budget_bytes  # noqa: S101
