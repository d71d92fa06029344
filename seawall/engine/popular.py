"""Which of the stored URLs that a selection names are asked for most: what to fetch again after a purge of them.

Answers from this node's own counts and from the tags of what it stores now, so it has to be asked before the purge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import itemgetter
from urllib.parse import urlsplit

from seawall.engine.popularity import Popularity
from seawall.http.message import RequestHead
from seawall.purge.order import Match
from seawall.purge.selection import Selection
from seawall.store.stored import Stored


class Popular:
    """The counts of a node, read with the eyes of somebody who purges.

    `stored` gives what is stored under a key; `key_of` as Engine.key_of.
    """

    __slots__ = ("_key_of", "_popularity", "_stored")

    def __init__(
        self,
        popularity: Popularity,
        stored: Callable[[str], Iterable[Stored]],
        key_of: Callable[[RequestHead], tuple[str, str] | None],
    ) -> None:
        self._popularity = popularity
        self._stored = stored
        self._key_of = key_of

    def top(self, n: int, what: Selection | None = None) -> list[tuple[str, int]]:
        """The `n` URLs that were asked for most, and how often lately; of these only (None: of all).

        Keys of one URL that routes extend by headers or cookies are one URL here: nobody could ask for such a key.
        """
        selects = None if what is None else self._selects(what)
        ranked = self._popularity.top(n, selects)
        if not any("\n" in key for key, _ in ranked):
            return ranked
        urls: dict[str, int] = {}
        for key, hits in self._popularity.top(len(self._popularity), selects):
            url = key.partition("\n")[0]
            urls[url] = urls.get(url, 0) + hits
        return sorted(urls.items(), key=itemgetter(1), reverse=True)[:n]

    def _selects(self, what: Selection) -> Callable[[str], bool]:
        urls = tuple(name for url in what.urls for name in self._keyed(url))
        match = Match(Selection(urls, what.tags, what.prefixes, what.hosts, what.all))
        if not what.tags:
            return match

        def selects(key: str) -> bool:
            return match(key, {tag for item in self._stored(key) for tag in item.entry.tags})

        return selects

    def _keyed(self, url: str) -> Iterable[str]:
        """The URL as this node's routes key it, and the one whose answer is given for it (No-Vary-Search)."""
        parts = urlsplit(url)
        target = url[len(f"{parts.scheme}://{parts.netloc}") :] or "/"
        names = self._key_of(RequestHead("GET", parts.scheme, parts.netloc, target))
        return (url,) if names is None else (names[0], names[1].partition("\n")[0])
