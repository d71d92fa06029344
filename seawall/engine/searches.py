"""Which stored response answers for a URL whose query differs only where its origin says that does not matter.

No-Vary-Search is the origin's word about all queries of a path; what it said last holds. Beside the store, not in
it: an alias whose object has left leads to a miss, and nothing is served that the store does not hold.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from seawall.http.headers import combined
from seawall.http.message import RequestHead
from seawall.policy.entry import Entry
from seawall.policy.search import search_key

# An alias is a URL and a pointer, some 300 B: 20 MB at the most.
MOST_ALIASES = 65_536
MOST_PATHS = 4_096


class Searches:
    """Paths with a No-Vary-Search, and the key of each of their queries. Bounded: the oldest go first."""

    __slots__ = ("_aliases", "_said")

    def __init__(self) -> None:
        self._said: OrderedDict[str, str] = OrderedDict()
        self._aliases: OrderedDict[str, str] = OrderedDict()

    def learn(self, request: RequestHead, key: str, entry: Entry) -> None:
        """This was stored under `key` for this request."""
        value = combined(entry.headers, "no-vary-search")
        path = _path(request)
        if value is None:
            self._said.pop(path, None)
            return
        self._said[path] = value
        self._aliases[_alias(request, value, key)] = key
        for held, most in ((self._said, MOST_PATHS), (self._aliases, MOST_ALIASES)):
            if len(held) > most:
                held.popitem(last=False)

    @property
    def said(self) -> Mapping[str, str]:
        """The paths (URLs without their query) where another key than its own may answer for a URL. The live table."""
        return self._said

    def key(self, request: RequestHead, key: str) -> str:
        """The key to look under: its own, or that of the response that answers for it."""
        if not self._said:
            return key
        value = self._said.get(_path(request))
        return key if value is None else self._aliases.get(_alias(request, value, key), key)


def _path(request: RequestHead) -> str:
    return request.url.partition("?")[0]


def _alias(request: RequestHead, value: str, key: str) -> str:
    # What a route adds to the key behind the URL must be equal too.
    _, mark, more = key.partition("\n")
    return f"{request.scheme}://{request.authority}{search_key(request.target, value)}{mark}{more}"
