"""A purge order carried out on one node: what is stored goes or turns stale, what is under way is not boarded again.

Synchronous from beginning to end: between the store and the flights nothing may land. What is in the air and
was overtaken is told at its landing, when its tags are known (Standing.applied).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from seawall.clock import Clock
from seawall.engine.fetch import FlightKey
from seawall.engine.landing import Landing
from seawall.flight.table import Flights
from seawall.http.message import RequestHead
from seawall.policy.invalidate import invalidated, stale_from
from seawall.purge.order import Match, keyed
from seawall.purge.selection import Selection
from seawall.store.memory import MemoryStore
from seawall.store.stored import Stored


@dataclass(frozen=True, slots=True)
class Met:
    """What a selection met: stored objects, each variant counted, and the octets of their bodies."""

    matched: int
    octets: int


class Purger:
    """Finds and forgets. `key_of` names the URL and the key under which a request's answer would stand."""

    __slots__ = ("_clock", "_flights", "_key_of", "_store")

    def __init__(
        self,
        key_of: Callable[[RequestHead], tuple[str, str] | None],
        store: MemoryStore,
        flights: Flights[Landing],
        clock: Clock,
    ) -> None:
        self._key_of = key_of
        self._store = store
        self._flights = flights
        self._clock = clock

    def count(self, what: Selection) -> Met:
        """What an order with this selection would meet now. Changes nothing."""
        return _met(self._find(what))

    def apply(self, what: Selection, *, soft: bool) -> Met:
        """Forgets what is selected, or makes it stale; the same for what is being fetched."""
        items = self._find(what)
        met = _met(items)
        now = self._clock.now()
        for item in items:
            if soft:
                self._store.refresh(item, stale_from(item.entry, now))
            else:
                self._store.discard(item)
        self._close_boarding(what)
        return met

    def distrust_all(self) -> Met:
        """Orders were lost: everything stored is to be asked for, nothing under way is to be stored."""
        items = self._store.items()
        for item in items:
            self._store.refresh(item, invalidated(item.entry))
        self._flights.overtake(lambda key: True)
        return _met(items)

    def _find(self, what: Selection) -> list[Stored]:
        if what.all:
            return self._store.items()
        found: dict[Stored, None] = {}
        for url in what.urls:
            for key in self._keys_of(url):
                found.update(dict.fromkeys(self._store.get(key)))
        for tag in what.tags:
            found.update(dict.fromkeys(self._store.tags.tagged(tag)))
        if what.prefixes or what.hosts:
            # One look at each object; an index by host would cost every stored one, purged or not.
            match = Match(Selection(prefixes=what.prefixes, hosts=what.hosts))
            found.update((item, None) for item in self._store.items() if match(item.key))
        return list(found)

    def _keys_of(self, url: str) -> Iterable[str]:
        names = self._key_of(_asking(url))
        if names is None:
            return self._store.keys_of(url)
        keyed_url, answering = names
        return {*self._store.keys_of(keyed_url), answering}

    def _close_boarding(self, what: Selection) -> None:
        """Whoever asks for a selected key from now on starts a new fetch.

        Which tags a fetch brings, only its landing tells: whoever boards after an order by tag looks at that then
        (Engine._disembark). Closing all boarding instead would fetch everything twice at each purge by tag.
        """
        match = Match(keyed(what, self._keyed_url))

        def concerns(key: object) -> bool:
            assert isinstance(key, FlightKey)  # noqa: S101 (the engine's flights have no other)
            return match(key.key)

        self._flights.close_boarding(concerns)

    def _keyed_url(self, url: str) -> str:
        names = self._key_of(_asking(url))
        return url if names is None else names[1].partition("\n")[0]


def _asking(url: str) -> RequestHead:
    parts = urlsplit(url)
    target = url[len(f"{parts.scheme}://{parts.netloc}") :] or "/"
    return RequestHead("GET", parts.scheme, parts.netloc, target)


def _met(items: Iterable[Stored]) -> Met:
    matched = octets = 0
    for item in items:
        matched += 1
        octets += item.body_bytes
    return Met(matched, octets)
