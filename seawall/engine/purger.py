"""A purge order carried out on one node: what is stored goes or turns stale, what is under way is not boarded again.

Synchronous from beginning to end: between the store and the flights nothing may land. What is in the air and
was overtaken is told at its landing, when its tags are known (Standing.applied). What has to be done to many objects in
memory is done in the next turns of the loop, and until it is, nobody finds them as they were (MemoryStore.overtake, and
where even finding them would take too long, ban). From levels below memory nothing that was selected comes up any more;
how much of it lay there only, they say when they have done it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from urllib.parse import urlsplit

from seawall.clock import Clock
from seawall.engine.fetch import FlightKey
from seawall.engine.landing import Landing
from seawall.flight.table import Flights
from seawall.http.message import RequestHead
from seawall.policy.invalidate import invalidated, stale_from
from seawall.purge.applied import Applied
from seawall.purge.forgetter import Met
from seawall.purge.order import Match, keyed, url_prefixes
from seawall.purge.selection import Selection
from seawall.store.bans import Ban
from seawall.store.level import How, Names, Stamp
from seawall.store.levels import Levels
from seawall.store.stored import Stored

# With more objects in memory, those under a prefix, of a host, or all are not looked for in one piece: 4 ms.
AT_ONCE = 10_000
# A million are walked through in 3 s. Whoever waits for the count is told what it is by then.
WALK_SECONDS = 10.0
# A disk that has not said by then what it met is not waited for: the order holds without it.
COUNT_SECONDS = 1.0


class Purger:
    """Finds and forgets. `key_of` names the URL and the key under which a request's answer would stand."""

    __slots__ = ("_applied", "_clock", "_flights", "_key_of", "_last", "_store", "counts_below")

    def __init__(
        self,
        key_of: Callable[[RequestHead], tuple[str, str] | None],
        store: Levels,
        flights: Flights[Landing],
        clock: Clock,
        applied: Applied,
    ) -> None:
        self._key_of = key_of
        self._store = store
        self._applied = applied
        self._flights = flights
        self._clock = clock
        self._last: asyncio.Future[Met] | None = None  # the newest count that is not known yet
        # Is what lies below memory counted here? Of several processes over one disk only one may.
        self.counts_below = True

    def count(self, what: Selection) -> Met | asyncio.Future[Met]:
        """What an order with this selection would meet now. Changes nothing."""
        here = self._find(what)
        if not self.counts_below:
            return _met(here)
        below = self._store.forget(self._names(what), How.COUNT, None)
        return _met(here) if below is None else _Count(here, None, below).told

    def apply(self, what: Selection, *, soft: bool, number: int | None = None) -> Met | asyncio.Future[Met]:
        """Forgets what is selected, or makes it stale; the same for what is being fetched."""
        now = self._clock.now()
        how = (lambda entry: stale_from(entry, now)) if soft else None
        ban: Ban | None = None
        if (what.prefixes or what.hosts or what.all) and len(self._store.memory) > AT_ONCE:
            beginnings = ("",) if what.all else url_prefixes(what)
            ban = self._store.ban(beginnings, how, named=self._store.deep)
            what_else = Selection(urls=what.urls, tags=what.tags)
            items = [item for item in self._find(what_else) if not item.key.startswith(beginnings)]
        else:
            items = self._find(what)
        self._store.overtake(items, how)
        applied = self._applied
        after = None if number is None else Stamp(applied.journal, number, applied.generation)
        below = self._store.forget(self._names(what), How.STALE if soft else How.DROP, after)
        self._close_boarding(what)
        if ban is None and below is None:
            return self._in_order(_met(items))
        count = _Count(items, ban, below)
        if ban is not None:
            ban.over = count.look
        return self._in_order(count.told)

    def distrust_all(self) -> Met:
        """Orders were lost: everything stored is to be asked for, nothing under way is to be stored."""
        self._applied.distrust()
        memory = self._store.memory
        if len(memory) > AT_ONCE:
            met = Met(len(memory), memory.used_bytes)  # about that: to count would be to look at each
            self._store.ban(("",), invalidated)
        else:
            items = memory.items()
            met = _met(items)
            self._store.overtake(items, invalidated)
        self._store.reset(Stamp(self._applied.journal, self._applied.number, self._applied.generation))
        self._flights.overtake(lambda key: True)
        return met

    def _in_order(self, met: Met | asyncio.Future[Met]) -> Met | asyncio.Future[Met]:
        """Counts come in the order of the calls (Forgetter), also where a later one is known first."""
        before = self._last
        if before is None and isinstance(met, Met):
            return met
        told: asyncio.Future[Met] = asyncio.get_running_loop().create_future()

        def tell(_: object = None) -> None:
            if (before is None or before.done()) and not told.done():
                if isinstance(met, Met):
                    told.set_result(met)
                elif met.done():
                    told.set_result(met.result())

        for each in (before, met):
            if isinstance(each, asyncio.Future):
                each.add_done_callback(tell)
        self._last = told
        # Before whoever is given it adds a callback of his own: nothing runs between the two.
        told.add_done_callback(self._counted)
        return told

    def _counted(self, told: asyncio.Future[Met]) -> None:
        if self._last is told:
            self._last = None

    def _find(self, what: Selection) -> list[Stored]:
        memory = self._store.memory
        if what.all:
            return memory.items()
        if what == Selection(tags=what.tags) and len(what.tags) == 1:  # each of them is in it once
            return memory.tagged(what.tags[0])
        # One look at each key, 0.2 us; an index would cost every stored object, purged or not.
        begun = memory.beginning_with(url_prefixes(what)) if what.prefixes or what.hosts else []
        if not what.urls and not what.tags:
            return begun
        found = dict.fromkeys(begun)
        for url in what.urls:
            for key in self._keys_of(url):
                found.update(dict.fromkeys(memory.get(key)))
        for tag in what.tags:
            found.update(dict.fromkeys(memory.tagged(tag)))
        return list(found)

    def _keys_of(self, url: str) -> Iterable[str]:
        names = self._key_of(_asking(url))
        if names is None:
            return self._store.memory.keys_of(url)
        keyed_url, answering = names
        return {*self._store.memory.keys_of(keyed_url), answering}

    def _names(self, what: Selection) -> Names:
        """The selection as levels below memory know it."""
        urls: dict[str, None] = {}
        for url in what.urls:
            names = self._key_of(_asking(url))
            keyed_url, answering = names if names is not None else (url, url)
            # `answering` is another URL's key where No-Vary-Search says that it answers for this one.
            urls.update(dict.fromkeys((keyed_url, answering.partition("\n")[0])))
        return Names(tuple(urls), what.tags, url_prefixes(what), (), what.all)

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


def _met(items: Sequence[Stored]) -> Met:
    return Met(len(items), sum(item.body_bytes for item in items))


class _Count:
    """What memory met, at once and under a ban, and what only a level below it met; each object once."""

    def __init__(
        self, items: Sequence[Stored], ban: Ban | None, below: asyncio.Future[Mapping[str, int]] | None
    ) -> None:
        self._ban = ban
        self._below = below
        self._late = False
        # Names and no objects are kept until it is told, which would all be freed in that moment: 25 ms for 10,000.
        self._here = {item.name: item.body_bytes for item in items}
        loop = asyncio.get_running_loop()
        self.told: asyncio.Future[Met] = loop.create_future()
        self._timers = (loop.call_later(COUNT_SECONDS, self._grow_late), loop.call_later(WALK_SECONDS, self._tell))
        if below is not None:
            below.add_done_callback(self.look)

    def look(self, _: object = None) -> None:
        """Is everything known that is waited for?"""
        if (self._ban is None or self._ban.ended) and (self._late or self._below is None or self._below.done()):
            self._tell()

    def _grow_late(self) -> None:
        self._late = True
        self.look()

    def _tell(self) -> None:
        for timer in self._timers:
            timer.cancel()
        if self.told.done():
            return
        ban, below = self._ban, self._below
        others = self._here if below is None or not below.done() else {**below.result(), **self._here}
        matched = octets = 0
        if ban is not None:
            matched, octets = ban.matched, ban.octets
            if ban.names:
                others = {name: octets for name, octets in others.items() if name not in ban.names}
        self.told.set_result(Met(matched + len(others), octets + sum(others.values())))
