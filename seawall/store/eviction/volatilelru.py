"""Least recently used goes first, among those that expire; the others stay until they are forgotten."""

from __future__ import annotations

from collections.abc import Hashable

from seawall.store.eviction.chain import Chain, Place
from seawall.store.shards import TOP, Shards


class VolatileLRU:
    """Redis's `volatile-lru`, exact where Redis samples. O(1) each.

    Refuses where those that expire do not make enough room.
    """

    __slots__ = ("_lasting", "_order", "_places", "budget_bytes")

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self._places: Shards[Hashable, Place] = Shards()
        self._order = Chain()  # those that expire
        self._lasting = Chain()

    @property
    def used_bytes(self) -> int:
        return self._order.bytes + self._lasting.bytes

    def touch(self, name: Hashable) -> None:
        """To the warm end."""
        place = self._places.dicts[hash(name) >> TOP].get(name)
        if place is not None:
            place.chain.renew(place)

    def admit(self, name: Hashable, cost_bytes: int, expires_at: float | None = None) -> list[Hashable] | None:
        order, known = self._order, self._places.get(name)
        staying = self._lasting.bytes
        if known is not None and known.chain is self._lasting:
            staying -= known.cost_bytes
        if staying + cost_bytes > self.budget_bytes:
            return None
        if known is not None:
            if known.chain is order and expires_at is not None and cost_bytes <= known.cost_bytes:
                order.reprice(known, cost_bytes)
                return []
            self.forget(name)
        victims: list[Hashable] = []
        while self.used_bytes + cost_bytes > self.budget_bytes:
            victim = order.pop().name
            del self._places[victim]
            victims.append(victim)
        place = self._places[name] = Place(name, cost_bytes)
        (self._lasting if expires_at is None else order).add(place)
        return victims

    def forget(self, name: Hashable) -> None:
        place = self._places.pop(name, None)
        if place is not None:
            place.chain.remove(place)

    def __len__(self) -> int:
        return len(self._order) + len(self._lasting)

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __repr__(self) -> str:
        names = f"{len(self._order)} names that expire, {len(self._lasting)} that do not"
        return f"<VolatileLRU {names}, {self.used_bytes}/{self.budget_bytes} bytes>"

    def check(self) -> None:
        self._order.check()
        self._lasting.check()
        assert {place.name: place for place in (*self._order, *self._lasting)} == dict(self._places)  # noqa: S101
        assert self.used_bytes <= self.budget_bytes  # noqa: S101
