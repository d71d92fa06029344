"""Least recently used goes first."""

from __future__ import annotations

from collections.abc import Hashable

from seawall.store.eviction.chain import Chain, Place
from seawall.store.shards import TOP, Shards


class LRU:
    """Redis's `allkeys-lru`, exact where Redis samples. O(1) each. A scan washes everything else out."""

    __slots__ = ("_dicts", "_order", "_places", "budget_bytes")

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self._places: Shards[Hashable, Place] = Shards()
        self._dicts = self._places.dicts
        self._order = Chain()

    @property
    def used_bytes(self) -> int:
        return self._order.bytes

    def touch(self, name: Hashable) -> None:
        """To the warm end."""
        place = self._dicts[hash(name) >> TOP].get(name)
        if place is not None:
            self._order.renew(place)

    def admit(self, name: Hashable, cost_bytes: int, expires_at: float | None = None) -> list[Hashable] | None:
        if cost_bytes > self.budget_bytes:
            return None
        order, known = self._order, self._places.get(name)
        if known is not None:
            if cost_bytes <= known.cost_bytes:
                order.reprice(known, cost_bytes)
                return []
            self.forget(name)
        victims: list[Hashable] = []
        while order.bytes + cost_bytes > self.budget_bytes:
            victim = order.pop().name
            del self._places[victim]
            victims.append(victim)
        place = self._places[name] = Place(name, cost_bytes)
        order.add(place)
        return victims

    def forget(self, name: Hashable) -> None:
        place = self._places.pop(name, None)
        if place is not None:
            self._order.remove(place)

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __repr__(self) -> str:
        return f"<LRU {len(self)} names {self.used_bytes}/{self.budget_bytes} bytes>"

    def check(self) -> None:
        self._order.check()
        assert {place.name: place for place in self._order} == dict(self._places)  # noqa: S101
        assert self.used_bytes <= self.budget_bytes  # noqa: S101
