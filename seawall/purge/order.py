"""A numbered order to forget, and which stored responses it concerns.

Knows neither store nor journal. An order is a fact: it never changes once it has its number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache

import msgspec

from seawall.http.target import DEFAULT_PORTS, canonical_authority
from seawall.purge.selection import Problem, Selection, parse_selection

__all__ = ["Match", "Order", "Problem", "Selection", "concerns", "decode", "encode", "keyed", "parse_selection"]


class Order(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One purge. `number` is dense from 1 in its journal; `at` is seconds since the epoch, for people.

    `soft`: what is selected turns stale and may be served under the rules for stale responses; else it is gone.
    """

    number: int
    at: float
    what: Selection
    soft: bool = False


class Match:
    """An order's selection made ready for many objects: `match(key_url, tags)` in about 1 us, however many names."""

    __slots__ = ("_all", "_prefixes", "_roots", "_tags", "_urls")

    def __init__(self, what: Selection) -> None:
        self._all = what.all
        self._urls = frozenset(what.urls)
        self._tags = frozenset(what.tags)
        self._roots = frozenset(root for host in what.hosts for root in _roots(host))
        self._prefixes = tuple(full for prefix in what.prefixes for full in _full(prefix))

    def __call__(self, key_url: str, tags: Iterable[str] = ()) -> bool:
        """Does it select what is stored under this key with these tags?

        `key_url` is the URL in the cache key. A whole key does as well: what routes add to it stands behind
        a line feed, and every such key is of that URL.
        """
        if self._all:
            return True
        if self._tags and not self._tags.isdisjoint(tags):
            return True
        url = key_url.partition("\n")[0]
        if url in self._urls or url.startswith(self._prefixes):
            return True
        return bool(self._roots) and "/".join(url.split("/", 3)[:3]) in self._roots


# The same order is asked about for each object and flight; a few are under way at a time.
@lru_cache(maxsize=16)
def _match(what: Selection) -> Match:
    return Match(what)


def concerns(order: Order, key_url: str, tags: Iterable[str] = ()) -> bool:
    """Does this order select it? For many objects make one Match: this looks the prepared one up each time."""
    return _match(order.what)(key_url, tags)


def keyed(what: Selection, key_of: Callable[[str], str]) -> Selection:
    """The same selection with its URLs as this node's routes key them.

    Routes may drop or sort parts of the query: `/?utm=1` is stored as `/`. A purge names what a client would
    request, so each node asks its own routes before it compares.
    """
    return msgspec.structs.replace(what, urls=tuple(dict.fromkeys(map(key_of, what.urls)))) if what.urls else what


def url_prefixes(what: Selection) -> tuple[str, ...]:
    """What the URLs begin with that the selection's prefixes and hosts name: scheme and authority included."""
    full = [each for prefix in what.prefixes for each in _full(prefix)]
    return (*full, *(f"{root}/" for host in what.hosts for root in _roots(host)))


def _roots(host: str) -> list[str]:
    """What the URLs of a host begin with: `a.example:443` is `https://a.example` and `http://a.example:443`."""
    return [f"{scheme}://{canonical_authority(host, scheme)}" for scheme in DEFAULT_PORTS]


def _full(prefix: str) -> list[str]:
    if "://" in prefix:
        return [prefix]
    host, _, path = prefix.partition("/")
    return [f"{root}/{path}" for root in _roots(host)]


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Order)


def encode(order: Order) -> bytes:
    """One line of JSON, without its end."""
    return _encoder.encode(order)


def decode(line: bytes) -> Order:
    """The order of a line. Raises msgspec.DecodeError (of which ValidationError is one)."""
    return _decoder.decode(line)
