"""The other end of the wire, scripted: an upstream whose every answer waits for the story, and an engine on it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from roles.levels import levels_of
from seawall.config import schema
from seawall.downstream.exchange import Reply, Request, Sent
from seawall.engine.engine import Engine
from seawall.engine.peers import Parent, Peers
from seawall.engine.route import Route
from seawall.engine.standing import Standing
from seawall.engine.visit import Visit
from seawall.flight.lease import Leases
from seawall.http.body import BodyBroken, BodyReader
from seawall.http.headers import headers
from seawall.http.message import RequestHead, ResponseHead
from seawall.policy.reasons import Fwd, Reason
from seawall.policy.rules import DEFAULT, Rules
from seawall.purge.applied import Applied
from seawall.purge.forgetter import Met
from seawall.purge.lease import Lease
from seawall.purge.order import Order
from seawall.purge.selection import Selection
from seawall.store.level import Level
from seawall.store.levels import Levels
from seawall.store.memory import MemoryStore
from seawall.upstream.answer import Answer, UpstreamError

NOW = 1_800_000_000.0
# A shared level below is looked into again after its default time.
_LEVELS = schema.Store(redis=schema.Redis(url="redis://127.0.0.1/0"))


class Clock:
    """Time stands still until the story moves it."""

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    @property
    def offset(self) -> float:
        return 0.0


class Body:
    """A body that the story writes: pieces, then an end or a break."""

    def __init__(self, length: int | None) -> None:
        self.length = length
        self._queue: asyncio.Queue[bytes | str | None] = asyncio.Queue()
        self.closed = False
        self.pulled = 0

    def write(self, piece: bytes) -> None:
        self._queue.put_nowait(piece)

    def end(self) -> None:
        self._queue.put_nowait(None)

    def break_off(self) -> None:
        self._queue.put_nowait("the origin hung up")

    async def read(self) -> bytes:
        piece = await self._queue.get()
        if isinstance(piece, str):
            raise BodyBroken(piece)
        self.pulled += 1
        return piece or b""

    def close(self) -> None:
        self.closed = True


@dataclass
class Asked:
    """One request as it reached the origin, and the story's hand on its answer."""

    head: RequestHead
    interim: Callable[[ResponseHead], None] | None
    answer: asyncio.Future[Answer]
    cancelled: bool = False

    def replies(
        self, status: int = 200, *fields: tuple[str, str], body: bytes | None = b"body", delimited: bool = True
    ) -> Body:
        """Answers with this head; `body` None: the story writes it through what is returned."""
        arriving = Body(len(body) if body is not None else None)
        if body is not None:
            if body:
                arriving.write(body)
            arriving.end()
        self.answer.set_result(Answer(ResponseHead(status, "", headers(fields)), arriving, delimited))
        return arriving

    def fails(self, reason: Reason = Reason.CONNECT_FAILED) -> None:
        self.answer.set_exception(UpstreamError(reason, "scripted"))


class ScriptedUpstream:
    """Every exchange stands in `asked` and waits."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._arrived = asyncio.Event()

    async def exchange(
        self,
        head: RequestHead,
        body: BodyReader | None,
        *,
        interim: Callable[[ResponseHead], None] | None = None,
    ) -> Answer:
        if body is not None:
            while await body.read():
                pass
        one = Asked(head, interim, asyncio.get_running_loop().create_future())
        self.asked.append(one)
        self._arrived.set()
        try:
            return await one.answer
        except asyncio.CancelledError:
            one.cancelled = True
            raise

    async def close(self) -> None:
        return

    async def nth(self, number: int) -> Asked:
        """The request with this number, from 1, as soon as it is there."""
        async with asyncio.timeout(5):
            while len(self.asked) < number:
                self._arrived.clear()
                await self._arrived.wait()
        return self.asked[number - 1]


@dataclass
class Tally:
    """An observer that remembers."""

    visits: list[tuple[Visit, Sent]] = field(default_factory=list)
    forwards: list[Fwd] = field(default_factory=list)
    failures: list[Reason] = field(default_factory=list)
    unstored: list[Reason] = field(default_factory=list)
    collapses: int = 0

    def visited(self, visit: Visit, sent: Sent, seconds: float) -> None:
        self.visits.append((visit, sent))

    def forwarded(self, why: Fwd) -> None:
        self.forwards.append(why)

    def failed(self, why: Reason) -> None:
        self.failures.append(why)

    def not_stored(self, why: Reason) -> None:
        self.unstored.append(why)

    def collapsed(self) -> None:
        self.collapses += 1


@dataclass
class Got:
    """A reply as the client has it in the end."""

    status: int
    fields: dict[str, str]
    body: bytes
    whole: bool = True

    @property
    def x_cache(self) -> str:
        return self.fields["x-cache"]


class Stage:
    """An engine between a scripted origin and clients that are coroutines."""

    def __init__(
        self,
        rules: Rules = DEFAULT,
        fill_budget_bytes: int = 1 << 30,
        *,
        lease: Lease | None = None,
        parent_secret: str | None = None,
        secret: str | None = None,
        chance: Callable[[], float] = random.random,
        lower: Sequence[Level] = (),
        memory: MemoryStore | None = None,
        most_in_memory: int = DEFAULT.max_object_bytes,
        stamped: bool = False,
        leases: Leases | None = None,
    ) -> None:
        """`stamped`: the levels below memory are held against this node's orders, as a node's are."""
        self.clock = Clock()
        self.origin = ScriptedUpstream()
        self.standing = Standing(Applied("journal"), lease, self.clock.monotonic)
        upstream = self.origin if parent_secret is None else Parent(self.origin, parent_secret)
        self.store = MemoryStore(64 * 1024 * 1024) if memory is None else memory
        self.levels = (
            levels_of(_LEVELS, self.store, lower, self.standing, self.clock.now)
            if stamped
            else Levels(self.store, lower, now=self.clock.now)
        )
        self.tally = Tally()
        self.engine = Engine(
            node="edge-1",
            clock=self.clock,
            route=lambda head: Route(rules, upstream),
            store=self.levels,
            observer=self.tally,
            fill_budget_bytes=fill_budget_bytes,
            most_in_memory=most_in_memory,
            standing=self.standing,
            peers=Peers(secret),
            chance=chance,
            leases=leases,
        )

    def request(
        self,
        target: str = "/",
        *fields: tuple[str, str],
        method: str = "GET",
        body: BodyReader | None = None,
        interim: Callable[[ResponseHead], None] = lambda _: None,
    ) -> Request:
        return Request(RequestHead(method, "http", "a.example", target, headers(fields)), body, "127.0.0.9", interim)

    async def open(
        self, target: str = "/", *fields: tuple[str, str], method: str = "GET", body: BodyReader | None = None
    ) -> Reply:
        return await self.engine.handle(self.request(target, *fields, method=method, body=body))

    async def get(
        self, target: str = "/", *fields: tuple[str, str], method: str = "GET", body: BodyReader | None = None
    ) -> Got:
        """One request to its end."""
        return await finish(await self.open(target, *fields, method=method, body=body))

    def ask(self, target: str = "/", *fields: tuple[str, str], method: str = "GET") -> asyncio.Task[Got]:
        """The same, while the story goes on."""
        return asyncio.create_task(self.get(target, *fields, method=method))

    def purge(self, *, soft: bool = False, **names: object) -> Met:
        """One order, applied as a node applies it, where memory knows at once what it meets."""
        met = self.order(soft=soft, **names)
        assert isinstance(met, Met)
        return met

    def order(self, *, soft: bool = False, **names: object) -> Met | asyncio.Future[Met]:
        """The same where it may not."""
        what = msgspec.convert(names, Selection)
        self.standing.applied.apply(Order(self.standing.applied.number + 1, self.clock.at, what, soft))
        return self.engine.purger.apply(what, soft=soft)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Lets the loop turn until it holds; bounded by turns, not by time."""
        for _ in range(10_000):
            if condition():
                return
            await asyncio.sleep(0)
        raise AssertionError("the story never got there")

    async def quiet(self) -> None:
        """Until no fetch is under way, and the store agrees with itself."""
        await self.until(lambda: self.engine.flights == 0)
        self.store.check()


async def finish(reply: Reply) -> Got:
    """Reads a reply as a connection would, and tells the engine so."""
    body, whole = b"", True
    if isinstance(reply.body, tuple):
        body = b"".join(reply.body)
    else:
        try:
            while piece := await reply.body.read():
                body += piece
        except BodyBroken:
            whole = False
        reply.body.close()
    assert reply.done is not None
    reply.done(Sent(len(body), whole))
    fields = {name.lower(): ", ".join(reply.head.headers.getall(name)) for name in reply.head.headers}
    return Got(reply.head.status, fields, body, whole)
