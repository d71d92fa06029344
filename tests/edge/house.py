"""A whole edge in one process: a real origin stub, real sockets on both sides, and a clock that the test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from yarl import URL

from origin_stub import OriginStub
from seawall.downstream.limits import Limits
from seawall.downstream.server import Server
from seawall.engine.engine import Engine
from seawall.engine.route import Route
from seawall.engine.tally import Tally
from seawall.policy.rules import DEFAULT, Rules
from seawall.store.level import Level
from seawall.store.levels import Levels
from seawall.store.memory import MemoryStore
from seawall.telemetry.metrics import Counters
from seawall.upstream.address import Address, Timeouts
from seawall.upstream.pool import Pool

MIB = 1024 * 1024


class MovableClock:
    """Runs from the real time on, and further when told to."""

    def __init__(self, start: float) -> None:
        self.at = start

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    @property
    def offset(self) -> float:
        return 0.0

    def tick(self, seconds: float) -> None:
        self.at += seconds


@dataclass
class Got:
    """A response as a client has it."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def x_cache(self) -> str:
        return self.headers.get("x-cache", "")

    @property
    def serial(self) -> int | None:
        """How many requests the origin had seen for the path when it made this answer; a hit repeats it."""
        value = self.headers.get("stub-serial")
        return int(value) if value is not None else None


@dataclass
class House:
    """The parts, for tests to look into."""

    stub: OriginStub
    clock: MovableClock
    engine: Engine
    server: Server
    pool: Pool
    store: MemoryStore
    session: aiohttp.ClientSession
    counters: Counters = field(default_factory=Counters)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    async def get(self, path: str, *fields: tuple[str, str], method: str = "GET", data: bytes | None = None) -> Got:
        """One request over a real connection, headers as given."""
        async with self.session.request(
            method, URL(self.url + path, encoded=True), headers=list(fields), data=data, allow_redirects=False
        ) as response:
            body = await response.read()
            headers = {name.lower(): ", ".join(response.headers.getall(name)) for name in response.headers}
            return Got(response.status, headers, body)

    def asked(self, path: str) -> int:
        """How many requests the origin has seen for this path."""
        return self.stub.tally(path).count


@asynccontextmanager
async def house(
    rules: Rules = DEFAULT, *, store_bytes: int = 64 * MIB, lower: Sequence[Level] = ()
) -> AsyncIterator[House]:
    """An edge named edge-1 on an origin stub; `lower` levels below its memory are its own from here on."""
    async with OriginStub() as stub:
        clock = MovableClock(_real_now())
        counters = Counters()
        store = MemoryStore(store_bytes)
        levels = Levels(store, lower, now=clock.now)
        pool = Pool(Address.parse(stub.url), Timeouts(connect=2, first_byte=5, idle=5))
        engine = Engine(
            node="edge-1",
            clock=clock,
            route=lambda head: Route(rules, pool),
            store=levels,
            observer=Tally(counters, None),
            fill_budget_bytes=64 * MIB,
        )
        server = Server(engine.handle, limits=Limits(), name="edge-1", clock=clock)
        await server.start("127.0.0.1", 0)
        async with aiohttp.ClientSession(auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()) as session:
            try:
                yield House(stub, clock, engine, server, pool, store, session, counters)
            finally:
                await server.drain(0)
                await engine.close()
                await pool.close()
                store.check()
                await levels.close(5.0)


def _real_now() -> float:
    # The stub writes real dates: the edge's clock starts where the stub's stands.
    import time

    return time.time()
