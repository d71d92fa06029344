"""What an unsafe request takes with it (RFC 9111 4.4, RFC 9875 3): stored responses, and fetches under way."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from urllib.parse import urlsplit

from seawall.engine.fetch import FlightKey
from seawall.engine.landing import Landing
from seawall.flight.table import Flights
from seawall.http.message import RequestHead, ResponseHead
from seawall.policy.invalidate import invalidated, invalidated_groups, invalidates
from seawall.store.level import How, Names
from seawall.store.levels import Levels

SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class Invalidator:
    """Marks as stale what an unsafe request has changed. `key_of` names what a request would ask."""

    __slots__ = ("_flights", "_key_of", "_store")

    def __init__(
        self,
        key_of: Callable[[RequestHead], tuple[str, str] | None],
        store: Levels,
        flights: Flights[Landing],
    ) -> None:
        self._key_of = key_of
        self._store = store
        self._flights = flights

    def after(self, request: RequestHead, reply: ResponseHead) -> None:
        """Applies what this reply to this request invalidates. Nothing for safe methods and for errors."""
        if request.method in SAFE:
            return
        for url in invalidates(request, reply):
            self._url(request, url)
        for group in invalidated_groups(request, reply):
            for item in self._store.memory.tags.tagged(group):
                self._store.memory.refresh(item, invalidated(item.entry))
            self._store.forget(Names(tags=(group,)), How.INVALIDATE, None)

    def _url(self, request: RequestHead, url: str) -> None:
        parts = urlsplit(url)
        target = url[len(f"{parts.scheme}://{parts.netloc}") :] or "/"
        asked = RequestHead("GET", request.scheme, request.authority, target, request.headers)
        names = self._key_of(asked)
        if names is None:
            return
        keyed_url, answering = names
        # `answering` is another URL's key where No-Vary-Search says that it answers for this one.
        for key in {*self._store.memory.keys_of(keyed_url), answering}:
            self._store.memory.change(key, invalidated)
        answering_url = answering.partition("\n")[0]
        self._store.forget(Names(urls=(keyed_url, answering_url)), How.INVALIDATE, None)
        self._flights.overtake(lambda key: _is_of(key, keyed_url) or _is_of(key, answering_url))


def _is_of(key: Hashable, url: str) -> bool:
    """Does this flight fetch this URL, with whatever else is in its key?"""
    assert isinstance(key, FlightKey)  # noqa: S101 (the engine's flights have no other)
    return key.key == url or key.key.startswith(url + "\n")
