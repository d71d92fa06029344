"""Twins whose origins are real: two raw servers on loopback sockets, which answer in scripted octets and write down
what they are asked.

The way to each is a node's: a gate, a group of one, a pool. Only the hot side may go it in one step.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Any, cast

from seawall.http.message import RequestHead
from seawall.policy.rules import DEFAULT, Rules
from seawall.upstream.address import Address, Timeouts
from seawall.upstream.gate import Gate
from seawall.upstream.group import Group, Member
from seawall.upstream.pool import Pool
from seawall.upstream.straight import Straight
from tests.edge.twins import Clock, Said, Side, Twins, Way, request, twins

# Between two pieces, so that each is read by itself: a turn in which it is written, one in which it is read.
_TURNS = 3
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)


class End(Enum):
    """What becomes of the connection behind an answer."""

    KEPT = "kept"
    FIN = "fin"
    RESET = "reset"


@dataclass(frozen=True)
class Answer:
    """What an origin sends, piece by piece."""

    pieces: tuple[bytes, ...]
    end: End = End.KEPT


class Question:
    """One request, as the origin has it."""

    def __init__(self, link: Link, octets: bytes) -> None:
        self._link = link
        self.octets = octets

    def __repr__(self) -> str:
        return f"<Question {self.octets[:60]!r}>"

    @property
    def target(self) -> str:
        return self.octets.split(b" ", 2)[1].decode("latin-1")

    def say(self, *pieces: bytes, end: End = End.KEPT) -> None:
        self._link.say(Answer(pieces, end))


Script = Callable[[Question], Answer | None]


class Link(asyncio.Protocol):
    """One connection, as the origin sees it."""

    def __init__(self, origin: RawOrigin) -> None:
        self._origin = origin
        self._octets = b""
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._origin.links.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        self._origin.links.remove(self)
        self._origin.changed.set()

    def data_received(self, data: bytes) -> None:
        self._octets += data
        while (length := _length(self._octets)) is not None:
            octets, self._octets = self._octets[:length], self._octets[length:]
            self._origin.ask(Question(self, octets))

    def say(self, answer: Answer) -> None:
        self._origin.busy += 1
        self._step(list(answer.pieces), answer.end, 0)

    def _step(self, pieces: list[bytes], end: End, turns: int) -> None:
        if turns:
            asyncio.get_running_loop().call_soon(self._step, pieces, end, turns - 1)
        elif self._transport.is_closing():
            self._origin.busy -= 1
        elif pieces:
            self._transport.write(pieces.pop(0))
            self._step(pieces, end, _TURNS)
        elif self._transport.get_write_buffer_size():
            self._step(pieces, end, _TURNS)
        elif end is End.KEPT:
            self._origin.busy -= 1
        elif end is End.FIN:
            self.ended = True
            with suppress(OSError):  # reset, and we have not heard of it
                self._transport.write_eof()
            self._step([], End.KEPT, _TURNS)
        else:
            self.ended = True
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
            self._step([], End.KEPT, _TURNS)


def _length(octets: bytes) -> int | None:
    """How long the first request is; None where it is not all here."""
    end = octets.find(b"\r\n\r\n") + 4
    if end < 4:
        return None
    head = octets[:end]
    if b"transfer-encoding" in head.lower():
        last = octets.find(b"0\r\n\r\n", end)
        return None if last < 0 else last + 5
    match = _LENGTH.search(head)
    end += int(match[1]) if match else 0
    return end if len(octets) >= end else None


class RawOrigin:
    """Answers by its script; a question that this has no answer to waits until a test gives one."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.questions: list[Question] = []
        self.held: list[Question] = []
        self.links: list[Link] = []
        self.busy = 0
        self.changed = asyncio.Event()
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.get_running_loop().create_server(lambda: Link(self), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self._server.close()
        while self.links:
            for link in self.links:
                link._transport.abort()
            self.changed.clear()
            await self.changed.wait()
        await self._server.wait_closed()

    def ask(self, question: Question) -> None:
        self.questions.append(question)
        answer = self._script(question)
        if answer is None:
            self.held.append(question)
            self.changed.set()
        else:
            method = question.octets[:5]
            if method == b"HEAD " and answer.pieces:
                head, mark, _ = b"".join(answer.pieces).partition(b"\r\n\r\n")
                answer = Answer((head + mark,), answer.end)
            question._link.say(answer)

    async def asked(self) -> Question:
        """The next question that waits."""
        async with asyncio.timeout(5):
            while not self.held:
                self.changed.clear()
                await self.changed.wait()
        return self.held.pop(0)

    @property
    def alive(self) -> int:
        """Connections that it has not ended."""
        return sum(not link.ended for link in self.links)


class Road:
    """A way to one origin, with every number on it."""

    def __init__(self, origin: RawOrigin, clock: Clock, timeouts: Timeouts, limit: int) -> None:
        self.origin = origin
        self.pool = Pool(Address("http", "127.0.0.1", origin.port), timeouts)
        self.member = Member("one", self.pool)
        self.group = Group([self.member], now=clock.monotonic, random=Random(1))
        self.gate = Gate(limit, 8)
        self.straight = Straight(self.gate, self.group, self.pool)

    def way(self, *, straight: bool) -> Way:
        return Way(self.gate.foreground(self.group), self.straight if straight else None, self.quiet)

    def quiet(self) -> bool:
        pool = self.pool
        moving = self.origin.busy or self.gate.in_flight or pool.in_use or pool.opening
        return not moving and pool.idle == len(pool._sockets) == self.origin.alive

    def numbers(self) -> dict[str, object]:
        gate, pool, group, member = self.gate, self.pool, self.group, self.member
        found: dict[str, object] = {}
        # Not the peak: whether one request leaves before the next comes in is a matter of turns of the loop.
        for name in ("in_flight", "background_in_flight", "admitted", "refused", "displaced", "expired"):
            found[f"gate.{name}"] = getattr(gate, name)
        for name in ("in_use", "idle", "opening", "waiting", "opened", "reused", "retried", "idle_closed"):
            found[f"pool.{name}"] = getattr(pool, name)
        found["pool.intrusions"] = pool.intrusions
        found["pool.kept"] = [(each.keep_alive, each.exchanges, str(each.state)) for each in pool.kept()]
        found["pool.failures"] = dict(pool.failures)
        for name in ("failed_over", "fell_back", "refused"):
            found[f"group.{name}"] = getattr(group, name)
        found["member"] = member.asked, dict(member.failures)
        found["breaker"] = repr(member.breaker)
        found["health"] = repr(member.health), member.health.failed_at
        return found


@dataclass
class RawTwins:
    """Both sides, each with a road of its own to an origin of its own."""

    both: Twins
    hot: Road
    plain: Road

    @property
    def roads(self) -> tuple[Road, Road]:
        return self.hot, self.plain

    @property
    def fetched(self) -> int:
        return self.both.fetched

    async def warm(self) -> None:
        """Each side has a connection to ask on, as after any other answer."""
        for side, road in zip(self.both.sides, self.roads, strict=True):
            if not road.pool.idle:
                await side.talk(request("/warm"))
            assert road.pool.idle, "the way is not warm"

    async def same(self, *pieces: bytes, warm: bool = True) -> Said:
        """What both say, which is the same octet for octet; and both origins were asked the same."""
        if warm:
            await self.warm()
        said = await self.both.same(*pieces)
        hot, plain = ([question.octets for question in road.origin.questions] for road in self.roads)
        assert hot == plain, pieces
        return said

    def check(self) -> None:
        """Nothing that anybody counts, keeps or remembers tells one from the other."""
        self.both.check()
        hot, plain = self.both.sides
        assert _kept(hot) == _kept(plain)
        for name in ("_hit_for_miss", "_searches"):
            assert _slots(getattr(hot.engine, name)) == _slots(getattr(plain.engine, name))
        for side in self.both.sides:
            assert side.engine.flights == 0
            assert side.engine._flights._table == {}
            assert side.engine._filling.held_bytes == 0
        assert self.hot.numbers() == self.plain.numbers()


def _kept(side: Side) -> list[tuple[object, ...]]:
    return [(item.name, item.key, item.entry, item.body, item.look_again_at) for item in side.store.items()]


def _slots(thing: Any) -> dict[str, object]:
    return {name: getattr(thing, name) for name in type(thing).__slots__}


WARM = Answer((b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDate: x\r\nCache-Control: no-store\r\n\r\n",))


@asynccontextmanager
async def raw_twins(
    script: Script,
    rules: Callable[[RequestHead], Rules | None] = lambda head: DEFAULT,
    *,
    timeouts: Timeouts | None = None,
    limit: int = 8,
    **more: Any,
) -> AsyncIterator[RawTwins]:
    """`script` of both origins; they answer to /warm by themselves. `limit`: requests at a time. `more`: as twins()."""

    def answers(question: Question) -> Answer | None:
        return WARM if question.target == "/warm" else script(question)

    clock = Clock()
    origins = RawOrigin(answers), RawOrigin(answers)
    for origin in origins:
        await origin.start()
    roads = [Road(origin, clock, timeouts or Timeouts(), limit) for origin in origins]
    try:
        ways = roads[0].way(straight=True), roads[1].way(straight=False)
        both = twins(rules, clock=clock, ways=ways, **more)
        yield RawTwins(both, roads[0], roads[1])
        for side in both.sides:
            for connection in side.server.connections:
                connection.cut()
            await asyncio.sleep(0)
            await side.engine.close()
    finally:
        for road in roads:
            await road.group.close()
            await road.origin.close()
