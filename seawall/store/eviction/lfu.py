"""Least frequently used goes first, where frequency is a small logarithmic counter that fades.

The counter is Redis's (its documentation, "Using Redis as an LRU cache", the LFU mode): 8 bits; a newcomer starts at 5,
so that it has a chance; a use adds one with probability 1 / ((counter - 5) * log_factor + 1); every
`decay_minutes` without a use take one off. With the default factor of 10, a hundred uses make 10, a
million 255.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

# Redis: LFU_INIT_VAL, lfu-log-factor, lfu-decay-time.
NEWCOMER = 5
LOG_FACTOR = 10
DECAY_MINUTES = 1
_MOST = 255


class LFU:
    """Redis's `allkeys-lfu`, exact where Redis samples. Among equals, the least recently used goes first.

    All counters fade at the same pace, so none has to be visited for it: what is kept for a name is its *rank*,
    the counter plus the period of its last use. Its counter at period p is `max(0, rank - p)`, and ranks
    never change by themselves. Names of one rank share a bucket. The lowest bucket is found by walking up from
    where it was: O(1) amortised, because a name never enters below the current period, so that the walk is at
    most 255 steps and the periods that went by.
    """

    __slots__ = ("_buckets", "_chance", "_costs", "_decay_minutes", "_log_factor", "_lowest", "_minutes", "_ranks",
                 "budget_bytes", "used_bytes")  # fmt: skip

    def __init__(
        self,
        budget_bytes: int,
        chance: Callable[[], float],
        minutes: Callable[[], int],
        *,
        log_factor: int = LOG_FACTOR,
        decay_minutes: int = DECAY_MINUTES,
    ) -> None:
        """`chance` is uniform in [0, 1); `minutes` never runs backwards; `decay_minutes` is at least 1."""
        self.budget_bytes = budget_bytes
        self.used_bytes = 0
        self._chance = chance
        self._minutes = minutes
        self._log_factor = log_factor
        self._decay_minutes = decay_minutes
        self._ranks: dict[Hashable, int] = {}
        self._buckets: dict[int, OrderedDict[Hashable, int]] = {}  # rank to name to cost; none is empty
        self._lowest = 0  # no rank is below it

    def touch(self, name: Hashable) -> None:
        """Perhaps one up, and behind its equals. 507 ns (bench/eviction.py)."""
        rank = self._ranks.get(name)
        if rank is None:
            return
        risen = self._risen(rank)
        if risen == rank:
            self._buckets[rank].move_to_end(name)
        else:
            self._enter(risen, name, self._leave(rank, name))

    def admit(self, name: Hashable, cost_bytes: int, expires_at: float | None = None) -> list[Hashable] | None:
        if cost_bytes > self.budget_bytes:
            return None
        known = self._ranks.get(name)
        if known is None:
            rank = self._period() + NEWCOMER
        elif cost_bytes <= self._buckets[known][name]:
            self.used_bytes += cost_bytes - self._buckets[known][name]
            self._buckets[known][name] = cost_bytes
            return []
        else:
            rank = max(known, self._period())
            self.forget(name)
        victims: list[Hashable] = []
        while self.used_bytes + cost_bytes > self.budget_bytes:
            victims.append(self._evict())
        self._enter(rank, name, cost_bytes)
        self.used_bytes += cost_bytes
        return victims

    def forget(self, name: Hashable) -> None:
        rank = self._ranks.pop(name, None)
        if rank is not None:
            self.used_bytes -= self._leave(rank, name)

    def counter(self, name: Hashable) -> int:
        """Where its counter stands now, 0 to 255: OBJECT FREQ. Raises KeyError for unknown names."""
        return max(0, self._ranks[name] - self._period())

    def __len__(self) -> int:
        return len(self._ranks)

    def __contains__(self, name: object) -> bool:
        return name in self._ranks

    def __repr__(self) -> str:
        return f"<LFU {len(self)} names {self.used_bytes}/{self.budget_bytes} bytes>"

    def check(self) -> None:
        found = {name: rank for rank, bucket in self._buckets.items() for name in bucket}
        assert found == self._ranks  # noqa: S101
        assert sum(map(len, self._buckets.values())) == len(found), "a name in two buckets"  # noqa: S101
        assert all(self._buckets.values()), "an empty bucket is left over"  # noqa: S101
        assert all(self._lowest <= rank <= self._period() + _MOST for rank in self._buckets)  # noqa: S101
        assert self.used_bytes == sum(sum(bucket.values()) for bucket in self._buckets.values())  # noqa: S101
        assert self.used_bytes <= self.budget_bytes  # noqa: S101

    def _period(self) -> int:
        return self._minutes() // self._decay_minutes

    def _risen(self, rank: int) -> int:
        """The rank after a use now."""
        period = self._minutes() // self._decay_minutes
        counter = rank - period
        if counter < NEWCOMER:
            return period + max(0, counter) + 1
        if counter < _MOST and self._chance() * ((counter - NEWCOMER) * self._log_factor + 1) < 1:
            return rank + 1
        return rank

    def _enter(self, rank: int, name: Hashable, cost_bytes: int) -> None:
        bucket = self._buckets.get(rank)
        if bucket is None:
            if rank < self._lowest or not self._buckets:
                self._lowest = rank
            bucket = self._buckets[rank] = OrderedDict()
        bucket[name] = cost_bytes
        self._ranks[name] = rank

    def _leave(self, rank: int, name: Hashable) -> int:
        bucket = self._buckets[rank]
        cost = bucket.pop(name)
        if not bucket:
            del self._buckets[rank]
        return cost

    def _evict(self) -> Hashable:
        buckets = self._buckets
        while self._lowest not in buckets:
            self._lowest += 1
        bucket = buckets[self._lowest]
        name, cost = bucket.popitem(last=False)
        if not bucket:
            del buckets[self._lowest]
        del self._ranks[name]
        self.used_bytes -= cost
        return name
