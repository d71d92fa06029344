"""Least frequently used goes first, where frequency is a small logarithmic counter that fades.

The counter is Redis's (its documentation, "Using Redis as an LRU cache", the LFU mode): 8 bits; a newcomer starts at 5,
so that it has a chance; a use adds one with probability 1 / ((counter - 5) * log_factor + 1); every
`decay_minutes` without a use take one off. With the default factor of 10, a hundred uses make 10, a
million 255.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from seawall.store.eviction.chain import Chain, Place
from seawall.store.shards import TOP, Shards

# Redis: LFU_INIT_VAL, lfu-log-factor, lfu-decay-time.
NEWCOMER = 5
LOG_FACTOR = 10
DECAY_MINUTES = 1
_MOST = 255
# Further than a counter reaches, the ranks that there are fewer than those that there might be.
_WALK = 512


class LFU:
    """Redis's `allkeys-lfu`, exact where Redis samples. Among equals, the least recently used goes first.

    All counters fade at the same pace, so none has to be visited for it: what is kept for a name is its *rank*,
    the counter plus the period of its last use. Its counter at period p is `max(0, rank - p)`, and ranks
    never change by themselves. Names of one rank share a chain. The lowest chain is found by walking up from
    where it was: O(1) amortised, because a name never enters below the current period, so that the walk is at
    most 255 steps and the periods that went by; after a long silence the ranks are looked through instead.
    """

    __slots__ = ("_chains", "_chance", "_decay_minutes", "_log_factor", "_lowest", "_minutes", "_places",
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
        self._places: Shards[Hashable, Place] = Shards()
        self._chains: dict[int, Chain] = {}  # by rank; none is empty
        self._lowest = 0  # no rank is below it

    def touch(self, name: Hashable) -> None:
        """Perhaps one up, and behind its equals."""
        place = self._places.dicts[hash(name) >> TOP].get(name)
        if place is None:
            return
        chain = place.chain
        rank = chain.rank
        risen = self._risen(rank)
        if risen == rank:
            chain.renew(place)
        else:
            self._leave(place)
            self._enter(risen, place)

    def admit(self, name: Hashable, cost_bytes: int, expires_at: float | None = None) -> list[Hashable] | None:
        if cost_bytes > self.budget_bytes:
            return None
        known = self._places.get(name)
        if known is None:
            rank = self._period() + NEWCOMER
        elif cost_bytes <= known.cost_bytes:
            self.used_bytes += cost_bytes - known.cost_bytes
            known.chain.reprice(known, cost_bytes)
            return []
        else:
            rank = max(known.chain.rank, self._period())
            self.forget(name)
        victims: list[Hashable] = []
        while self.used_bytes + cost_bytes > self.budget_bytes:
            victims.append(self._evict())
        place = self._places[name] = Place(name, cost_bytes)
        self._enter(rank, place)
        self.used_bytes += cost_bytes
        return victims

    def forget(self, name: Hashable) -> None:
        place = self._places.pop(name, None)
        if place is not None:
            self._leave(place)
            self.used_bytes -= place.cost_bytes

    def counter(self, name: Hashable) -> int:
        """Where its counter stands now, 0 to 255: OBJECT FREQ. Raises KeyError for unknown names."""
        return max(0, self._places[name].chain.rank - self._period())

    def __len__(self) -> int:
        return sum(map(len, self._chains.values()))

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __repr__(self) -> str:
        return f"<LFU {len(self)} names {self.used_bytes}/{self.budget_bytes} bytes>"

    def check(self) -> None:
        for rank, chain in self._chains.items():
            chain.check()
            assert chain.rank == rank  # noqa: S101
            assert len(chain), "an empty chain is left over"  # noqa: S101
            assert self._lowest <= rank <= self._period() + _MOST  # noqa: S101
        found = [place for chain in self._chains.values() for place in chain]
        assert {place.name: place for place in found} == dict(self._places)  # noqa: S101
        assert len(found) == len(self._places), "a name in two chains"  # noqa: S101
        assert self.used_bytes == sum(chain.bytes for chain in self._chains.values())  # noqa: S101
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

    def _enter(self, rank: int, place: Place) -> None:
        chain = self._chains.get(rank)
        if chain is None:
            if rank < self._lowest or not self._chains:
                self._lowest = rank
            chain = self._chains[rank] = Chain(rank)
        chain.add(place)

    def _leave(self, place: Place) -> None:
        chain = place.chain
        chain.remove(place)
        if not len(chain):
            self._retire(chain)

    def _evict(self) -> Hashable:
        chain = self._chains.get(self._lowest) or self._lowest_chain()
        place = chain.pop()
        if not len(chain):
            self._retire(chain)
        del self._places[place.name]
        self.used_bytes -= place.cost_bytes
        return place.name

    def _lowest_chain(self) -> Chain:
        chains = self._chains
        for rank in range(self._lowest, self._lowest + _WALK):
            if rank in chains:
                self._lowest = rank
                return chains[rank]
        self._lowest = min(chains)
        return chains[self._lowest]

    def _retire(self, chain: Chain) -> None:
        del self._chains[chain.rank]
        chain.close()
