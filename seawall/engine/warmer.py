"""Warming: asks the node for URLs as a client would, so that the next client is answered from the store.

Knows neither policy nor store. What it asks goes through the same handler as everybody's requests: the same routes,
rules and flights, and through the parents on its way. Whether something was stored is looked up afterwards, because a
reply that began as "stored" can still be overtaken by a purge, or turn out too large, or find no room.

Polite: AT_ONCE requests at a time, whoever asks for them; a time-out for each; and room for only so many URLs that
wait for their turn. Bodies are read piece by piece and let go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from seawall.clock import Clock
from seawall.downstream.exchange import Handler, Reply, Request, Sent
from seawall.http.body import BodyBroken
from seawall.http.headers import Headers, combined, headers, without
from seawall.http.message import RequestHead, ResponseHead
from seawall.http.structured import Item, Token, parse_list
from seawall.policy.reasons import Outcome, Reason

# A browser opens six connections to a host: to the origin this looks like a visitor or two.
AT_ONCE = 8
# Of all who ask together; the admin port takes 1000 URLs a request.
MOST_WAITING = 2000

# What browsers and all clients of theirs have in common. Who varies on more than that is asked with more (`fields`).
DEFAULTS = (("Accept", "*/*"), ("Accept-Encoding", "gzip, br"), ("User-Agent", "seawall-warm"))
# An address, because X-Forwarded-For tells it to the origin.
PEER = "127.0.0.1"


class WhyNot(StrEnum):
    """Beside the words of policy.reasons: why nothing is stored after a request of ours."""

    TIMEOUT = "timeout"
    CLOSING = "closing"  # the node ends
    SCHEME = "scheme"  # clients reach this node over the other one, so nobody would find what is stored
    NOT_KEPT = "not-kept"  # it arrived whole and was stored for nobody to find: overtaken, or without room


@dataclass(frozen=True, slots=True)
class Warmed:
    """What became of one URL.

    `status` and `outcome` None: there was no reply. `stored`: the store has an answer now, whoever brought it. `why`
    says why not, and of a stale answer why it was given; "" where there is nothing to say.
    """

    url: str
    status: int | None = None
    outcome: Outcome | None = None
    stored: bool = False
    why: str = ""
    octets: int = 0
    ms: float = 0.0


# Is told of each URL as it is done. False: nobody listens any more, and the rest is let be.
Each = Callable[[Warmed], Awaitable[bool]]


class Warmer:
    """Owner of what is being asked. `holds` as Engine.holds; `scheme` is that of the port which clients use."""

    __slots__ = ("_at_once", "_clock", "_closed", "_handle", "_holds", "_limits", "_most_waiting", "_scheme", "_turns",
                 "_waiting")  # fmt: skip

    def __init__(
        self,
        handle: Handler,
        *,
        holds: Callable[[RequestHead], Awaitable[bool]],
        clock: Clock,
        scheme: str = "http",
        at_once: int = AT_ONCE,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self._handle = handle
        self._holds = holds
        self._clock = clock
        self._scheme = scheme
        self._at_once = at_once
        self._most_waiting = most_waiting
        self._turns = asyncio.Semaphore(at_once)
        self._waiting = 0
        self._limits: set[asyncio.Timeout] = set()
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{len(self._limits)}/{self._at_once} under way"
        return f"<Warmer {state}, {self._waiting}/{self._most_waiting} not done>"

    def has_room(self, urls: int) -> bool:
        """May so many URLs be asked for now? To be asked right before `warm`, which does not ask again."""
        return self._waiting + urls <= self._most_waiting

    async def warm(self, urls: Sequence[str], fields: Headers, seconds: float, each: Each) -> list[Warmed]:
        """Asks for each of these canonical URLs, with these fields, for at most `seconds` each.

        What became of them, in the order of `urls`; fewer where `each` stopped it. Raises CancelledError only.
        """
        done: dict[int, Warmed] = {}
        left = iter(enumerate(urls))
        wanted = True
        self._waiting += len(urls)

        async def work() -> None:
            nonlocal wanted
            for place, url in left:
                async with self._turns:
                    if not wanted:
                        return
                    done[place] = await self._ask(_asking(url, fields), seconds)
                self._waiting -= 1
                wanted = await each(done[place]) and wanted

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._at_once, len(urls))):
                    group.create_task(work())
        finally:
            self._waiting -= len(urls) - len(done)
        return [done[place] for place in sorted(done)]

    def close(self) -> None:
        """Ends what is under way; what waits is not asked for. Those who wait are told so at once. Idempotent."""
        self._closed = True
        now = asyncio.get_running_loop().time()
        for limit in self._limits:
            limit.reschedule(now)

    async def _ask(self, head: RequestHead, seconds: float) -> Warmed:
        if self._closed:
            return Warmed(head.url, why=WhyNot.CLOSING)
        if head.scheme != self._scheme:
            return Warmed(head.url, 421, why=WhyNot.SCHEME)  # RFC 9110 15.5.20: 421 Misdirected Request
        started = self._clock.monotonic()
        asked = _Asked()
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                self._limits.add(limit)
                asked.reply = await self._handle(Request(head, None, PEER, _no_interim))
                await asked.read()
        except TimeoutError:
            why: str = WhyNot.CLOSING if self._closed else WhyNot.TIMEOUT
        except BodyBroken:
            why = Reason.INCOMPLETE
        else:
            why = ""
        finally:
            self._limits.discard(limit)
            asked.end()
        ms = round((self._clock.monotonic() - started) * 1000, 3)
        said = _said(head.url, asked)
        stored = not why and await self._holds(head)
        if not why:
            # An answer that was stored needs no excuse, a stale one does: it says how the origin is.
            why = "" if stored and said.outcome is not Outcome.STALE else said.why or WhyNot.NOT_KEPT
        return replace(said, stored=stored, why=why, ms=ms)


@dataclass(slots=True)
class _Asked:
    """A request of ours, and how far its reply has been read."""

    reply: Reply | None = None
    octets: int = 0
    whole: bool = False

    async def read(self) -> None:
        """The body to its end. Raises BodyBroken."""
        assert self.reply is not None  # noqa: S101 (asked before)
        if isinstance(self.reply.body, tuple):
            self.octets = sum(map(len, self.reply.body))
        else:
            while piece := await self.reply.body.read():
                self.octets += len(piece)
        self.whole = True

    def end(self) -> None:
        """Lets go what is left of it, and says so to whoever counts."""
        if self.reply is None:
            return
        if not isinstance(self.reply.body, tuple):
            self.reply.body.close()
        if self.reply.done is not None:
            self.reply.done(Sent(self.octets, self.whole))


def _asking(url: str, fields: Headers) -> RequestHead:
    scheme, _, rest = url.partition("://")
    authority, _, path = rest.partition("/")
    own = without(headers(DEFAULTS), {name.lower() for name in fields}) if fields else headers(DEFAULTS)
    pairs = [("Host", authority), *own.items(), *fields.items()]
    return RequestHead("GET", scheme, authority, f"/{path}", headers(pairs))


def _said(url: str, asked: _Asked) -> Warmed:
    """What the reply says of itself: the node's own word, and the detail of its own member of Cache-Status."""
    if asked.reply is None:
        return Warmed(url)
    head = asked.reply.head
    word = (combined(head.headers, "x-cache") or "").rpartition(",")[2].strip()
    outcome = Outcome(word) if word in list(Outcome) else None
    return Warmed(url, head.status, outcome, False, _detail(head.headers), asked.octets)


def _detail(fields: Headers) -> str:
    members = parse_list(combined(fields, "cache-status") or "")
    if not members or not isinstance(members[-1], Item):
        return ""
    # RFC 9211 2: each cache appends its own, so the last member is ours.
    said = dict(members[-1].params).get("detail")
    return said.value if isinstance(said, Token) else said if isinstance(said, str) else ""


def _no_interim(head: ResponseHead) -> None:
    """Nobody waits for 103 Early Hints."""
