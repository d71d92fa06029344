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
    """Marks as stale what an unsafe request has changed. `key_of` names what a request would ask.

    `tell` is told of it, where other processes answer for the same node.
    """

    __slots__ = ("_flights", "_key_of", "_store", "tell")

    def __init__(
        self,
        key_of: Callable[[RequestHead], tuple[str, str] | None],
        store: Levels,
        flights: Flights[Landing],
    ) -> None:
        self._key_of = key_of
        self._store = store
        self._flights = flights
        self.tell: Callable[[Names], None] | None = None

    def after(self, request: RequestHead, reply: ResponseHead) -> None:
        """Applies what this reply to this request invalidates. Nothing for safe methods and for errors."""
        if request.method in SAFE:
            return
        urls: dict[str, None] = {}
        for url in invalidates(request, reply):
            urls.update(dict.fromkeys(self._keyed(request, url)))
        names = Names(urls=tuple(urls), tags=invalidated_groups(request, reply))
        if names.urls or names.tags:
            self.invalidate(names)
            if self.tell is not None:
                self.tell(names)

    def invalidate(self, names: Names) -> None:
        """What these URLs, as they are keyed, and tags name is stale on every level, and not to be stored where it is
        just being fetched."""
        memory = self._store.memory
        for url in names.urls:
            for key in memory.keys_of(url):
                memory.change(key, invalidated)
        for tag in names.tags:
            self._store.overtake(memory.tagged(tag), invalidated)
        self._store.forget(names, How.INVALIDATE, None)
        if names.urls:
            self._flights.overtake(lambda key: any(_is_of(key, url) for url in names.urls))

    def _keyed(self, request: RequestHead, url: str) -> tuple[str, ...]:
        """The URLs under which what answers for this one is stored."""
        parts = urlsplit(url)
        target = url[len(f"{parts.scheme}://{parts.netloc}") :] or "/"
        asked = RequestHead("GET", request.scheme, request.authority, target, request.headers)
        names = self._key_of(asked)
        if names is None:
            return ()
        keyed_url, answering = names
        # `answering` is another URL's key where No-Vary-Search says that it answers for this one.
        return keyed_url, answering.partition("\n")[0]


def _is_of(key: Hashable, url: str) -> bool:
    """Does this flight fetch this URL, with whatever else is in its key?"""
    assert isinstance(key, FlightKey)  # noqa: S101 (the engine's flights have no other)
    return key.key == url or key.key.startswith(url + "\n")
