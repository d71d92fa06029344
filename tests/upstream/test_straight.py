"""The way in one step counts what the long way counts, and each of its endings lets everything go, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random

import pytest

from seawall.policy.reasons import Reason
from seawall.upstream.address import Timeouts
from seawall.upstream.answer import Answer, UpstreamError
from seawall.upstream.breaker import Ticket
from seawall.upstream.connection import Connection, State
from seawall.upstream.gate import Gate
from seawall.upstream.group import Group, Member
from seawall.upstream.pool import Pool
from seawall.upstream.straight import Straight
from tests.upstream.scripted import OK, Peer, Script, always, origin, pool_of, request, until, until_broken, whole

BLOCK = b"GET / HTTP/1.1\r\nHost: app.example\r\n\r\n"
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
FAILING = b"HTTP/1.1 503 Unavailable\r\nContent-Length: 5\r\n\r\nsorry"


class Asking:
    """Asks straight, and notes what comes of it. `takes`: the whole answer, where it is in the first octets."""

    def __init__(self, road: Road, *, takes: bool = False) -> None:
        self.road = road
        self.takes = takes
        self.over = False
        self.shown: list[bytes] = []
        self.answer: Answer | None = None
        self.error: UpstreamError | None = None
        self.again = False
        self.heard = asyncio.Event()
        connection = road.straight.take()
        assert connection is not None
        self.connection: Connection = connection
        self.ticket: Ticket = road.straight.ticket
        connection.ask(BLOCK, self, None)

    def done(self) -> bool:
        return self.over

    def take(self, connection: Connection, octets: bytes) -> bool:
        assert connection is self.connection
        self.shown.append(octets)
        if not self.takes:
            return False
        self._over()
        self.road.straight.taken(self.ticket)
        connection.taken(None)
        return True

    def set_result(self, answer: Answer, /) -> None:
        self._over()
        self.answer = self.road.straight.answered(self.ticket, answer)

    def set_exception(self, exception: Exception, /) -> None:
        assert isinstance(exception, UpstreamError)
        self._over()
        self.error = exception
        self.again = self.road.straight.failed(self.ticket, self.connection, exception)

    def _over(self) -> None:
        assert not self.over, "an ending comes once"
        self.over = True
        self.heard.set()

    async def wait(self) -> Asking:
        async with asyncio.timeout(5):
            await self.heard.wait()
        return self


@dataclass
class Road:
    gate: Gate
    group: Group
    pool: Pool
    straight: Straight

    @property
    def member(self) -> Member:
        (member,) = self.group.members.values()
        return member

    def numbers(self) -> dict[str, object]:
        gate, pool, group, member = self.gate, self.pool, self.group, self.member
        return {
            "gate": (gate.in_flight, gate.admitted, gate.peak, gate.waiting, gate.refused),
            "pool": (pool.in_use, pool.idle, pool.opened, pool.reused, pool.retried, pool.idle_closed, pool.intrusions),
            "failures": (dict(pool.failures), dict(member.failures)),
            "group": (group.failed_over, group.fell_back, group.refused, member.asked),
            "health": (repr(member.health), member.health.failed_at, repr(member.breaker)),
        }

    async def long(self) -> Answer | Reason:
        try:
            return await self.gate.foreground(self.group).exchange(request(), None)
        except UpstreamError as error:
            return error.reason

    async def warm(self) -> None:
        answer = await self.long()
        assert isinstance(answer, Answer)
        await whole(answer.body)
        assert self.pool.idle == 1


@asynccontextmanager
async def road_to(script: Script, *, limit: int = 4, timeouts: Timeouts | None = None) -> AsyncIterator[Road]:
    async with origin(script) as it, pool_of(it, timeouts=timeouts) as pool:
        group = Group([Member("one", pool)], now=lambda: 0.0, random=Random(1))
        gate = Gate(limit, 4)
        yield Road(gate, group, pool, Straight(gate, group, pool))
        assert gate.in_flight == 0


def then(*answers: bytes | None) -> Script:
    """After OK on the first connection, these; None: a FIN. On later ones OK."""

    async def script(peer: Peer) -> None:
        left = [OK, *answers] if peer.number == 1 else [OK] * 9
        for answer in left:
            await peer.head()
            if answer is None:
                peer.fin()
                return
            await peer.send(answer)
        await peer.left()

    return script


async def _read(answer: Answer) -> None:
    await whole(answer.body)


async def _break(answer: Answer) -> None:
    await until_broken(answer.body)


async def _close(answer: Answer) -> None:
    answer.body.close()


ENDINGS: dict[str, tuple[Script, Callable[[Answer], object] | None]] = {
    "whole": (then(OK), _read),
    "empty": (then(EMPTY), None),
    "of a status": (then(FAILING), _read),
    "closed": (then(OK[:-2]), _close),
    "broken": (then(OK[:-2], None), None),
    "bad": (then(b"junk\r\n\r\n"), None),
    "octets behind": (then(OK + b"x"), _read),
    "until close": (then(b"HTTP/1.1 200 OK\r\n\r\nhello"), _close),
    "closed just then": (then(None), None),
}


@pytest.mark.parametrize("name", ENDINGS)
async def test_each_ending_counts_as_on_the_long_way(name: str) -> None:
    script, ends = ENDINGS[name]
    if name == "broken":

        async def breaks(peer: Peer) -> None:
            await peer.head()
            await peer.send(OK)
            await peer.head()
            await peer.send(OK[:-2])
            peer.fin()
            await peer.left()

        script, ends = breaks, _break
    found = []
    for straight in (True, False):
        async with road_to(script) as road:
            await road.warm()
            answer: Answer | Reason | None
            if straight:
                asking = await Asking(road).wait()
                answer = asking.answer
                if asking.again:
                    answer, ends = await road.long(), _read
                elif asking.error is not None:
                    answer = asking.error.reason
            else:
                answer = await road.long()
            if isinstance(answer, Answer) and ends is not None:
                await ends(answer)  # type: ignore[misc]
            await until(lambda road=road: road.gate.in_flight == road.pool.in_use == 0)  # type: ignore[misc]
            found.append((road.numbers(), answer if isinstance(answer, Reason) else None))
    assert found[0] == found[1]


async def test_what_is_taken_in_one_counts_as_what_is_read_to_its_end() -> None:
    found = []
    for straight in (True, False):
        async with road_to(always()) as road:
            await road.warm()
            road.member.health.failed(0.0)
            for number in range(3):
                if straight:
                    asking = await Asking(road, takes=True).wait()
                    assert asking.shown == [OK]
                    assert asking.connection.state is State.IDLE
                    assert asking.connection.exchanges == number + 2
                else:
                    await road.warm()
            found.append(road.numbers())
    assert found[0] == found[1]


async def test_who_was_shown_the_octets_and_has_not_taken_them_is_answered_as_everybody() -> None:
    async with road_to(always()) as road:
        await road.warm()
        asking = await Asking(road).wait()
        assert asking.shown == [OK]
        assert asking.answer is not None
        assert road.gate.in_flight == 1
        assert await whole(asking.answer.body) == b"hello"
        assert road.gate.in_flight == 0


async def test_withdrawn_is_as_cancelled() -> None:
    async def silent(peer: Peer) -> None:
        await peer.head()
        await peer.send(OK)
        await peer.left()

    found = []
    for straight in (True, False):
        async with road_to(silent) as road:
            await road.warm()
            if straight:
                asking = Asking(road)
                asking.over = True
                road.straight.withdrawn(asking.ticket)
                asking.connection.desert(asking)
                assert asking.connection.state is State.CLOSED
            else:
                task = asyncio.create_task(road.long())
                await until(lambda road=road: road.pool.in_use == 1)  # type: ignore[misc]
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            found.append(road.numbers())
    assert found[0] == found[1]


async def test_a_connection_that_serves_others_by_now_is_not_deserted() -> None:
    async with road_to(always()) as road:
        await road.warm()
        first = await Asking(road, takes=True).wait()
        second = Asking(road, takes=True)
        assert second.connection is first.connection
        first.connection.desert(first)
        await second.wait()
        assert second.shown == [OK]


@pytest.mark.parametrize("why", ["cold", "full", "not closed"])
async def test_where_the_request_would_have_to_wait_nothing_is_taken_or_counted(why: str) -> None:
    async with road_to(always(), limit=1) as road:
        if why != "cold":
            await road.warm()
        slot = await road.gate.take() if why == "full" else None
        if why == "not closed":
            breaker = road.member.breaker
            for _ in range(breaker.fuse.after):
                breaker.unreached(breaker.opened, Reason.CONNECT_FAILED, 0.0)
        before = road.numbers()
        assert road.straight.take() is None
        assert road.numbers() == before
        if slot is not None:
            slot.leave()


async def test_a_slot_that_is_left_is_given_to_who_waits() -> None:
    async with road_to(always(), limit=1) as road:
        await road.warm()
        asking = Asking(road, takes=True)
        waiting = asyncio.create_task(road.long())
        await asyncio.sleep(0)
        assert road.gate.waiting == 1
        await asking.wait()
        answer = await waiting
        assert isinstance(answer, Answer)
        await whole(answer.body)
        assert road.gate.peak == 1


async def test_silence_is_a_failure_and_no_reason_to_ask_again() -> None:
    async def silent(peer: Peer) -> None:
        await peer.head()
        await peer.send(OK)
        await peer.left()

    async with road_to(silent, timeouts=Timeouts(first_byte=0.02)) as road:
        await road.warm()
        asking = await Asking(road).wait()
        assert asking.error is not None
        assert (asking.error.reason, asking.again) == (Reason.FIRST_BYTE_TIMEOUT, False)
