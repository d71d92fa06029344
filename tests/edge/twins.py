"""Two servers over the same contents, one with the hot path and one without, and a wire that a test feeds by hand.

Both have engines of their own on one clock that stands still, and an origin that answers at once and says what it was
asked; so whatever differs between the two was the front's doing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from edge.front import Front
from seawall.downstream.connection import Connection, State
from seawall.downstream.server import Limits, Server
from seawall.engine.engine import Engine
from seawall.engine.peers import Peers
from seawall.engine.popularity import Popularity
from seawall.engine.route import Route
from seawall.engine.standing import Standing
from seawall.engine.tally import Tally
from seawall.http.body import BodyReader
from seawall.http.headers import headers
from seawall.http.message import RequestHead, ResponseHead
from seawall.policy.entry import Entry, Part, Varied
from seawall.policy.rules import DEFAULT, Rules
from seawall.purge.applied import Applied
from seawall.purge.lease import Lease
from seawall.store.levels import Levels
from seawall.store.memory import MemoryStore
from seawall.store.stored import Stored, stored
from seawall.telemetry.accesslog import Record
from seawall.telemetry.metrics import Counters
from seawall.upstream.answer import Answer
from seawall.upstream.straight import Straight
from seawall.upstream.upstream import Upstream

NOW = 1_800_000_000.25
DATE = "Fri, 15 Jan 2027 07:59:00 GMT"
MODIFIED = "Fri, 15 Jan 2027 06:00:00 GMT"
SECRET = "shared"


class Clock:
    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    @property
    def offset(self) -> float:
        return 0.0


class Whole:
    """A body that is there."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self.length: int | None = len(octets)

    async def read(self) -> bytes:
        octets, self._octets = self._octets, b""
        return octets

    def close(self) -> None:
        self._octets = b""


class Echo:
    """An origin that shows the request it got. Paths under /kept may be stored, all others not."""

    async def exchange(
        self,
        head: RequestHead,
        body: BodyReader | None,
        *,
        interim: Callable[[ResponseHead], None] | None = None,
    ) -> Answer:
        sent = b""
        while body is not None and (piece := await body.read()):
            sent += piece
        asked = "\n".join([f"{head.method} {head.url}", *(f"{name}: {value}" for name, value in head.headers.items())])
        octets = b"" if head.method == "HEAD" else asked.encode("latin-1") + b"\n" + sent
        fields = [("Date", DATE), ("Content-Type", "text/plain")]
        if head.target.startswith("/kept"):
            octets = b"" if head.method == "HEAD" else b"kept"
            fields += [("Cache-Control", "max-age=600"), ("ETag", '"kept"'), ("Vary", "Accept-Encoding")]
            if head.target.startswith("/kept/search"):
                fields.append(("No-Vary-Search", 'params=("utm")'))
        else:
            fields.append(("Cache-Control", "no-store"))
        return Answer(ResponseHead(200, "OK", headers(fields)), Whole(octets), True)

    async def close(self) -> None:
        return


@dataclass
class Way:
    """To an origin. `quiet`: has it come to rest?"""

    upstream: Upstream
    straight: Straight | None = None
    quiet: Callable[[], bool] = lambda: True


class Log:
    """In place of the access log: what it was given."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def write(self, record: Any) -> None:
        self.records.append(Record._make(record))


class Forgetful(set[str]):
    """What was hit a moment ago: nothing, however often it was."""

    def __contains__(self, key: object) -> bool:
        return False


class Wire(asyncio.Transport):
    """A transport whose other end is the test. Takes everything at once, unless `narrow` is set."""

    def __init__(self, peer: str = "192.0.2.7") -> None:
        super().__init__()
        self.peer = peer
        self.octets = b""
        self.writes = 0
        self.reading = True
        self.ended = False
        self.closed = False
        self.narrow: int | None = None
        self.unsent = 0
        self.connection: Connection | None = None

    def write(self, data: Any) -> None:
        self.writelines([data])

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        assert not self.ended, "written behind the end"
        self.writes += 1
        new = b"".join(bytes(each) for each in list_of_data)
        self.octets += new
        if self.narrow is not None and self.connection is not None:
            self.unsent += len(new)
            if self.unsent > self.narrow:
                self.connection.pause_writing()

    def take(self) -> None:
        """The client takes what waits."""
        self.unsent = 0
        assert self.connection is not None
        self.connection.resume_writing()

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return (self.peer, 1234) if name == "peername" else default

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            assert self.connection is not None
            asyncio.get_running_loop().call_soon(self.connection.connection_lost, None)

    abort = close

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True


@dataclass
class Said:
    """A conversation's other half: the octets, and how the connection was left."""

    octets: bytes
    ended: bool
    closed: bool
    state: State


@dataclass
class Side:
    """One of the two servers, and what it counts."""

    server: Server
    engine: Engine
    store: MemoryStore
    counters: Counters
    log: Log
    popularity: Popularity
    front: Front | None = None
    quiet: Callable[[], bool] = lambda: True
    """Has its way to the origin come to rest?"""

    def connect(self, peer: str = "192.0.2.7") -> Wire:
        wire = Wire(peer)
        wire.connection = Connection(self.server)
        wire.connection.connection_made(wire)
        return wire

    async def settle(self, wire: Wire) -> None:
        """Until nothing is under way on it any more, or it waits for the rest of a body."""
        assert wire.connection is not None
        for turns in range(10_000):
            await asyncio.sleep(0)
            turn = wire.connection._turn
            if turns > 30 and turn is not None and turn.body is not None and not turn.body.complete:
                return
            if wire.connection.state is not State.BUSY and self._at_rest():
                return
        raise AssertionError("the conversation never got quiet")

    async def rest(self) -> None:
        """Until nothing is under way at all."""
        for _ in range(10_000):
            if self._at_rest():
                return
            await asyncio.sleep(0)
        raise AssertionError(f"never at rest: {self.server._tasks} {list(self.engine._flights)}")

    def _at_rest(self) -> bool:
        return not self.server._tasks and self.engine.flights == 0 and self.quiet()

    async def talk(self, *pieces: bytes) -> Said:
        """Sends the pieces one after the other, each when what came before is answered, and hangs up."""
        wire = self.connect()
        connection = wire.connection
        assert connection is not None
        for piece in pieces:
            if wire.closed or wire.ended:
                break
            connection.data_received(piece)
            await self.settle(wire)
        said = Said(wire.octets, wire.ended, wire.closed, connection.state)
        connection.cut()
        await asyncio.sleep(0)
        await self.rest()
        return said

    async def say(self, octets: bytes) -> Said:
        """talk(), while something else is under way."""
        wire = self.connect()
        connection = wire.connection
        assert connection is not None
        connection.data_received(octets)
        while connection.state is State.BUSY:  # noqa: ASYNC110 (a state has no event)
            await asyncio.sleep(0)
        said = Said(wire.octets, wire.ended, wire.closed, connection.state)
        connection.cut()
        await asyncio.sleep(0)
        return said

    def order(self) -> list[tuple[str, list[tuple[Any, ...]]]]:
        """The order of eviction: names with what is recorded of each, there and in the object."""
        order: Any = self.store._order
        uses = {item.name: item.uses for item in self.store.items()}
        return [
            (queue, [(*record, uses[record[0]]) for record in getattr(order, queue).items()])
            for queue in ("_small", "_main")
        ]


@dataclass
class Twins:
    """`hot` has the front, `plain` has not."""

    clock: Clock
    hot: Side
    plain: Side
    kept: dict[str, list[tuple[Stored, Stored]]] = field(default_factory=dict)
    """What was stored on either side, by target."""
    left: int = 0
    """Clients that left while an errand was under way for them: no handler was given their requests."""

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.hot, self.plain

    @property
    def answered(self) -> int:
        assert self.hot.front is not None
        return self.hot.front.answered

    @property
    def fetched(self) -> int:
        assert self.hot.front is not None
        return self.hot.front.fetched

    def keep(
        self,
        target: str,
        *fields: tuple[str, str],
        host: str = "a.example",
        status: int = 200,
        reason: str = "OK",
        body: tuple[bytes, ...] = (b"0123456789",),
        varied: Varied = (),
        age: float = 61.0,
        left: float = 300.0,
        swr: float = 0.0,
        no_cache: bool = False,
        must_revalidate: bool = False,
        invalidated: bool = False,
        part: Part | None = None,
        tags: tuple[str, ...] = (),
        bare: bool = False,
        key: str = "",
    ) -> None:
        """Stores this on both sides. `left`: seconds of freshness; `bare`: without the Date that every entry has."""
        born_at, until = self.clock.at - age, self.clock.at + left
        given = headers([*fields] if bare else [("Date", DATE), *fields])
        made = []
        for side in self.sides:
            entry = Entry(
                "GET", status, reason, given, varied, born_at, born_at + 0.5, born_at, until, until + swr, until, until,
                no_cache=no_cache, must_revalidate=must_revalidate, part=part, tags=tags, invalidated=invalidated,
            )  # fmt: skip
            made.append(stored(key or f"http://{host}{target}", entry, body))
            side.store.put(made[-1])
        self.kept.setdefault(target, []).append((made[0], made[1]))

    @property
    def targets(self) -> list[str]:
        return list(self.kept)

    def restore(self, target: str) -> None:
        """Stores what was stored for the target again, where a request has changed it."""
        for place, side in enumerate(self.sides):
            items = [pair[place] for pair in self.kept[target]]
            if any(item not in side.store.get(item.key) for item in items):
                for item in items:
                    side.store.drop(item.key)
                for item in items:
                    side.store.put(stored(item.key, item.entry, item.body))
        if any(pair[0] not in self.hot.store.get(pair[0].key) for pair in self.kept[target]):
            hot, plain = (side.store.get(self.kept[target][0][0].key) for side in self.sides)
            self.kept[target] = list(zip(hot, plain, strict=True))

    async def same(self, *pieces: bytes) -> Said:
        """What both say, which is the same octet for octet."""
        hot, plain = await self.hot.talk(*pieces), await self.plain.talk(*pieces)
        assert hot.octets == plain.octets, pieces
        assert (hot.ended, hot.closed, hot.state) == (plain.ended, plain.closed, plain.state), pieces
        return plain

    def check(self) -> None:
        """Both have counted, logged and evicted the same."""
        hot, plain = self.sides
        assert hot.counters == plain.counters or _numbers(hot.counters) == _numbers(plain.counters)
        assert hot.log.records == plain.log.records
        assert hot.order() == plain.order()
        assert hot.popularity._counts == plain.popularity._counts
        assert hot.engine._uses._young == plain.engine._uses._young
        assert hot.server.requests + self.answered + self.fetched + self.left == plain.server.requests
        assert hot.server.bad_requests == plain.server.bad_requests
        for side in self.sides:
            side.store.check()


def _numbers(counters: Counters) -> dict[str, object]:
    found: dict[str, object] = {name: getattr(counters, name) for name in Counters.__dataclass_fields__}
    found["request_seconds"] = counters.request_seconds.counts
    return found


def twins(
    rules: Callable[[RequestHead], Rules | None] = lambda head: DEFAULT,
    *,
    limits: Limits | None = None,
    lease: Lease | None = None,
    store_bytes: int = 64 * 1024 * 1024,
    fill_budget_bytes: int = 1 << 30,
    forgetful: bool = False,
    clock: Clock | None = None,
    ways: tuple[Way, Way] | None = None,
) -> Twins:
    """In a running loop. `rules` as routes give them. `forgetful`: nothing ever becomes hot. `ways`: to the origins of
    both, where they are others than an Echo."""
    clock = clock or Clock()

    def side(*, front: bool, way: Way) -> Side:
        counters, log, popularity = Counters(), Log(), Popularity()
        store = MemoryStore(store_bytes)
        standing = Standing(Applied("journal"), lease, clock.monotonic)
        tally = Tally(counters, log)  # type: ignore[arg-type]
        routes: dict[int, Route] = {}

        def route(head: RequestHead) -> Route | None:
            found = rules(head)
            return (
                None
                if found is None
                else routes.setdefault(id(found), Route(found, way.upstream, straight=way.straight))
            )

        engine = Engine(
            node="edge-1",
            clock=clock,
            route=route,
            store=Levels(store, now=clock.now),
            observer=tally,
            fill_budget_bytes=fill_budget_bytes,
            standing=standing,
            peers=Peers(SECRET),
            chance=lambda: 0.5,
            popularity=popularity,
        )
        server = Server(engine.handle, limits=limits or Limits(), name="edge-1", clock=clock)
        one = Side(server, engine, store, counters, log, popularity, quiet=way.quiet)
        if front:
            one.front = Front(engine.grounds(tally), server)
            if forgetful:
                one.front._recent = Forgetful()
            server.front = one.front.answer
        return one

    hot, plain = ways or (Way(Echo()), Way(Echo()))
    return Twins(clock, side(front=True, way=hot), side(front=False, way=plain))


def request(
    target: str = "/", *lines: str, method: str = "GET", host: str = "a.example", version: str = "1.1"
) -> bytes:
    """One head, each line as given."""
    return "\r\n".join([f"{method} {target} HTTP/{version}", f"Host: {host}", *lines, "", ""]).encode("latin-1")
