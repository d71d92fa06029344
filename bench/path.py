"""What an edge's own code costs a request, without sockets, kernel and event loop: hit, 304, pass, miss.

    python -m bench.path [--objects 200000] [--profile miss] [--stored 1000000]

Both connections are real, their transports are not: octets go in at data_received(), and out into a list. What a
request costs a node is this and what the kernel takes for two or four system calls (bench.peers measures both
together), so a change to the hot path shows here first, and on a machine that is not quiet. The least of several
rounds, each of which is long enough to have its share of young garbage collections.

--stored: so many objects as well, and hits asked for at random among a thousand and among all of them. What is asked
for once in a while is in none of the processor's caches.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import pstats
import random
import time
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any

import uvloop

from edge.front import hot_path
from roles.collector import tame
from seawall.clock import SystemClock
from seawall.downstream.connection import Connection
from seawall.downstream.limits import Limits
from seawall.downstream.server import Server
from seawall.engine.engine import Engine
from seawall.engine.popularity import Popularity
from seawall.engine.route import Everywhere, Route
from seawall.engine.tally import Tally
from seawall.http.dates import format_date
from seawall.policy.rules import DEFAULT
from seawall.store.levels import Levels
from seawall.store.memory import MemoryStore
from seawall.telemetry.metrics import Counters
from seawall.upstream.address import Address, Timeouts
from seawall.upstream.connection import Connection as OriginConnection
from seawall.upstream.connection import Place
from seawall.upstream.gate import Gate
from seawall.upstream.group import Group, Member, Pick
from seawall.upstream.pool import Pool
from seawall.upstream.straight import Straight

ROUNDS = 7
MEMORY_BYTES = 256 << 20  # as by default: with enough objects a miss makes another leave
HOST = b"shop.example"


class Nowhere(asyncio.Transport):
    """A transport that takes everything and keeps the last of it."""

    def __init__(self) -> None:
        super().__init__()
        self.last: list[Any] = []

    def write(self, data: Any) -> None:
        self.last = [data]

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self.last = list(list_of_data)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name == "peername" else default

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        """Nobody is there."""


class Edge:
    """A node's parts as roles/node.py puts them together, with one client and one idle connection to its origin."""

    def __init__(self, memory_bytes: int = MEMORY_BYTES) -> None:
        clock, counters = SystemClock(), Counters()
        pool = Pool(Address("http", "127.0.0.1", 1), Timeouts())
        group = Group([Member("origin", pool)], pick=Pick.ROUND_ROBIN)
        gate = Gate(128, 1024, 16)
        route = Route(DEFAULT, gate.foreground(group), gate.background(group), Straight(gate, group, pool))
        tally = Tally(counters, None)
        engine = Engine(
            node="edge-1",
            clock=clock,
            route=Everywhere(route),
            store=Levels(MemoryStore(memory_bytes), now=clock.now),
            observer=tally,
            fill_budget_bytes=64 << 20,
            popularity=Popularity(),
        )
        server = Server(engine.handle, limits=Limits(), name="edge-1", clock=clock)
        server.front = hot_path(engine.grounds(tally), server)
        self.client, self.client_side = Connection(server), Nowhere()
        self.client.connection_made(self.client_side)
        self.origin = OriginConnection(asyncio.get_running_loop(), pool.address, pool.timeouts, pool)
        self.origin.connection_made(Nowhere())
        self.origin.place = Place.LENT
        pool.in_use += 1
        pool.released(self.origin)
        now = format_date(clock.now()).encode()
        self._answer = (
            b"HTTP/1.1 200 OK\r\nServer: origin\r\nDate: " + now + b"\r\nContent-Type: text/plain\r\n"
            b'Content-Length: 1024\r\nConnection: keep-alive\r\nCache-Control: %b\r\nETag: "as-ever"\r\n\r\n'
            + b"x"
            * 1024
        )

    def ask(self, target: bytes, *lines: bytes) -> Callable[[], None]:
        """A request that needs nobody else."""
        request = b"\r\n".join([b"GET " + target + b" HTTP/1.1", b"Host: " + HOST, *lines, b"", b""])
        return lambda: self.client.data_received(request)

    def passes(self) -> Callable[[], None]:
        """The same again and again, which nobody may store."""
        ask, answer = self.ask(b"/pass"), self._answer % b"no-store"

        def pass_on() -> None:
            ask()
            self.origin.data_received(answer)

        return pass_on

    def misses(self) -> Callable[[], None]:
        """Another URL each time."""
        numbers, answer = count(), self._answer % b"public, max-age=86400"

        def miss() -> None:
            self.client.data_received(b"GET /miss/%d HTTP/1.1\r\nHost: %b\r\n\r\n" % (next(numbers), HOST))
            self.origin.data_received(answer)

        return miss

    def said(self, octets: bytes) -> None:
        """Raises where the last reply does not say this: then something else was measured."""
        if octets not in b"".join(bytes(each) for each in self.client_side.last):
            raise RuntimeError(f"no {octets!r} in {self.client_side.last!r}")


def least_us(do: Callable[[], None], times: int) -> float:
    found = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(times):
            do()
        found.append((time.perf_counter() - began) / times)
    return min(found) * 1e6


async def bench(objects: int, profile: str | None) -> None:
    edge = Edge()
    miss = edge.misses()
    miss()
    hit, unchanged = edge.ask(b"/miss/0"), edge.ask(b"/miss/0", b'If-None-Match: "as-ever"')
    pass_on = edge.passes()
    pass_on()  # a miss, which is not stored
    kinds: list[tuple[str, Callable[[], None], bytes]] = [
        ("hit", hit, b"X-Cache: HIT"),
        ("304", unchanged, b"304 Not Modified"),
        ("pass", pass_on, b"X-Cache: PASS"),
        ("miss", miss, b"; stored; "),
    ]
    for name, do, expected in kinds:
        microseconds = least_us(do, max(1, objects // ROUNDS))
        edge.said(expected)
        print(f"{name:<6}{microseconds:7.2f} us")
        if name == profile:
            profiler = cProfile.Profile()
            profiler.runcall(least_us, do, 3000)
            pstats.Stats(profiler).sort_stats("tottime").print_stats(40)


async def stored(count: int) -> None:
    """Hits at random, among few and among many."""
    edge, chance = Edge(count * 4096), random.Random(1)
    miss = edge.misses()
    for _ in range(count):
        miss()
    gc.collect()
    gc.freeze()
    for among in (min(1000, count), count):
        asking = [edge.ask(b"/miss/%d" % chance.randrange(among)) for _ in range(100_000)]
        each = iter(asking * ROUNDS)
        microseconds = least_us(lambda: next(each)(), len(asking))  # noqa: B023 (called before the next turn)
        edge.said(b"X-Cache: HIT")
        print(f"hit, one of {among:,}: {microseconds:.2f} us")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=200_000, metavar="N", help="requests of each kind")
    parser.add_argument("--stored", type=int, metavar="N")
    parser.add_argument("--profile", choices=("hit", "304", "pass", "miss"))
    args = parser.parse_args()
    tame()
    uvloop.run(bench(args.objects, args.profile))
    if args.stored:
        uvloop.run(stored(args.stored))


if __name__ == "__main__":
    main()
