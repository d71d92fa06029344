"""What happens between an errand's question and its answer: others board, clients leave, orders come, things end.

The origins hold their answers until the story lets them go. Where nothing else is said, the story is told to the side
without the front as well, and everything that can be seen afterwards is compared.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import pytest

import edge.errand
import edge.heardlines
import edge.hotreplies
from edge.errand import Errand
from seawall.downstream.connection import Connection, State
from seawall.flight.table import Flights
from seawall.http.dates import format_date
from seawall.policy.reasons import Reason
from seawall.policy.rules import DEFAULT, Rules
from seawall.purge.lease import Lease
from seawall.purge.order import Order
from seawall.purge.selection import Selection
from seawall.upstream.address import Timeouts
from seawall.upstream.breaker import State as Fuse
from seawall.upstream.connection import Connection as OriginConnection
from tests.edge.rawtwins import Answer, End, Question, RawTwins, Road, raw_twins
from tests.edge.test_errand_differential import NOT_SHARED, SHARED, answer
from tests.edge.twins import DATE, NOW, Side, Wire, request

STORABLE = answer(SHARED, "Surrogate-Key: t", 'ETag: "v1"')
NEWER = answer(SHARED, "Surrogate-Key: t", 'ETag: "v2"', body=b"newer")
LONE = answer(NOT_SHARED)
CHUNKED = answer(
    SHARED, "Transfer-Encoding: chunked", "Surrogate-Key: t", body=b"5\r\nhello\r\n0\r\n\r\n", length=False
)
BROKEN = b"junk\r\n\r\n"
URL = "http://a.example/held"

Story = Callable[[Side, Road], Awaitable[object]]


def held(question: Question) -> Answer | None:
    """Whoever asks for something under /held waits; an unsafe request does not."""
    if question.target.startswith("/held") and question.octets.startswith((b"GET", b"HEAD")):
        return None
    return Answer((LONE,))


@asynccontextmanager
async def stage(rules: Rules = DEFAULT, **more: Any) -> AsyncIterator[RawTwins]:
    async with raw_twins(held, lambda head: rules, **more) as raw:
        await raw.warm()
        yield raw


async def on_both(raw: RawTwins, story: Story) -> Any:
    """What the story told, which is the same on both sides, and began at the same time."""
    began = raw.both.clock.at
    hot = await story(raw.both.hot, raw.hot)
    raw.both.clock.at = began
    plain = await story(raw.both.plain, raw.plain)
    assert hot == plain
    raw.check()
    return hot


async def until(true: Callable[[], object]) -> None:
    for _ in range(10_000):
        if true():
            return
        await asyncio.sleep(0)
    raise AssertionError("the story never got there")


def ask(side: Side, octets: bytes, *, narrow: int | None = None) -> Wire:
    wire = side.connect()
    wire.narrow = narrow
    tell(wire, octets)
    return wire


def tell(wire: Wire, octets: bytes) -> None:
    assert wire.connection is not None
    wire.connection.data_received(octets)


def state(wire: Wire) -> State:
    assert wire.connection is not None
    return wire.connection.state


def under_way(side: Side) -> Errand:
    """The errand that the turn of some connection waits for."""
    for connection in side.server.connections:
        turn = connection._turn
        if turn is not None and isinstance(turn.errand, Errand):
            return turn.errand
    raise AssertionError("no errand")


async def served(side: Side, road: Road, wires: Iterable[Wire], *octets: bytes) -> list[bytes]:
    """Answers what is asked until nobody waits, with these and then ever the last; what each client got."""
    left = list(octets)

    def goes_on() -> bool:
        if road.origin.held:
            road.origin.held.pop(0).say(left.pop(0) if len(left) > 1 else left[0])
        return all(state(wire) is not State.BUSY for wire in wires) and side._at_rest()

    await until(goes_on)
    return [wire.octets for wire in wires]


async def marked(side: Side, road: Road) -> None:
    """The key is known as uncacheable: who asks next is passed on alone."""
    wire = ask(side, request("/held"))
    await served(side, road, [wire], LONE)
    wire.close()
    await side.rest()


async def spare(side: Side, road: Road) -> None:
    """There is a connection left for who asks while another is asked."""
    await served(side, road, [ask(side, request(f"/held/{place}")) for place in "ab"], LONE)
    assert road.pool.idle == 2


# --- others board ---


@pytest.mark.parametrize("comes", [STORABLE, LONE, BROKEN, CHUNKED], ids=["storable", "lone", "broken", "chunked"])
async def test_followers_get_what_an_errand_has_landed(comes: bytes) -> None:
    async def story(side: Side, road: Road) -> object:
        await spare(side, road)
        wires = [ask(side, request("/held"))]
        question = await road.origin.asked()
        wires += [ask(side, request("/held", f"X: {number}")) for number in range(3)]
        await until(lambda: side.counters.collapsed == 3)
        question.say(comes)
        got = await served(side, road, wires, STORABLE)
        # Who of them leads the next flight is anybody's guess.
        return sorted(got), len(road.origin.questions), side.counters.collapsed

    async with stage() as raw:
        before = raw.fetched
        got, asked, _ = await on_both(raw, story)
        assert all(octets.startswith(b"HTTP/1.1 ") for octets in got)
        assert asked - 2 == {STORABLE: 2, CHUNKED: 2, LONE: 5, BROKEN: 3}[comes]
        assert raw.fetched > before


async def test_a_follower_that_leaves_takes_nobody_along() -> None:
    async def story(side: Side, road: Road) -> object:
        leader = ask(side, request("/held"))
        question = await road.origin.asked()
        follower, other = ask(side, request("/held", "X: y")), ask(side, request("/held", "X: z"))
        await until(lambda: side.counters.collapsed == 2)
        follower.close()
        await until(lambda: state(follower) is State.CLOSED)
        question.say(STORABLE)
        return await served(side, road, [leader, other], b"")

    async with stage() as raw:
        before = raw.fetched
        await on_both(raw, story)
        assert raw.fetched == before + 1


async def test_a_follower_whom_vary_tells_apart_asks_for_himself() -> None:
    varies = answer(SHARED, "Vary: Accept")

    async def story(side: Side, road: Road) -> object:
        wires = [ask(side, request("/held", "Accept: a"))]
        question = await road.origin.asked()
        wires += [ask(side, request("/held", f"Accept: {which}")) for which in "ab"]
        await until(lambda: side.counters.collapsed == 2)
        question.say(varies)
        return await served(side, road, wires, varies)

    async with stage() as raw:
        await on_both(raw, story)
        assert len(raw.hot.origin.questions) == 3


# --- the client leaves ---


@pytest.mark.parametrize("comes", [STORABLE, CHUNKED, LONE, BROKEN], ids=["storable", "chunked", "lone", "broken"])
@pytest.mark.parametrize("followed", [False, True], ids=["alone", "followed"])
async def test_a_miss_whose_client_has_left_is_stored_all_the_same(comes: bytes, followed: bool) -> None:
    async def story(side: Side, road: Road) -> object:
        wire = ask(side, request("/held"))
        question = await road.origin.asked()
        wires = [ask(side, request("/held", "X: y"))] if followed else []
        await until(lambda: side.counters.collapsed == followed)
        wire.close()
        await until(lambda: state(wire) is State.CLOSED)
        question.say(comes)
        got = await served(side, road, wires, STORABLE)
        return wire.octets, got, len(side.store), side.server.client_aborts

    async with stage() as raw:
        raw.both.left = 1
        octets, _, kept, aborts = await on_both(raw, story)
        assert (octets, aborts) == (b"", 1)
        assert kept == (followed or comes in (STORABLE, CHUNKED))


async def test_a_pass_ends_with_its_client() -> None:
    async def story(side: Side, road: Road) -> object:
        await marked(side, road)
        wire = ask(side, request("/held"))
        await road.origin.asked()
        assert (road.gate.in_flight, road.pool.in_use, road.origin.alive) == (1, 1, 1)
        wire.close()
        await until(lambda: (road.gate.in_flight, road.pool.in_use, road.origin.alive) == (0, 0, 0))
        return wire.octets

    async with stage() as raw:
        raw.both.left = 1
        assert await on_both(raw, story) == b""


@pytest.mark.parametrize("alone", [False, True], ids=["miss", "pass"])
async def test_a_client_that_takes_nothing_and_leaves(alone: bool) -> None:
    async def story(side: Side, road: Road) -> object:
        if alone:
            await marked(side, road)
        wire = ask(side, request("/held"), narrow=10)
        (await road.origin.asked()).say(STORABLE if not alone else LONE)
        await until(lambda: wire.unsent)
        for _ in range(20):
            await asyncio.sleep(0)
        wire.close()
        await side.rest()
        return wire.octets, side.counters.sent_bytes

    async with stage() as raw:
        for side, road in zip(raw.both.sides, raw.roads, strict=True):
            await story(side, road)
        # Every octet was handed to the transport (Sent.complete); the engine, which was about to look whether more
        # comes, counts the same client as one that has left too early.
        assert raw.both.hot.counters.sent_bytes == raw.both.plain.counters.sent_bytes
        assert raw.hot.numbers() == raw.plain.numbers()
        assert (raw.both.hot.counters.aborted, raw.both.plain.counters.aborted) == (0, 1)


# --- orders come between ---


def ordered(side: Side, what: Selection, *, soft: bool) -> None:
    applied = side.engine._standing.applied
    order = Order(applied.number + 1, 0.0, what, soft)
    applied.apply(order)
    side.engine.purger.apply(what, soft=soft, number=order.number)


ORDERS: dict[str, tuple[bool, Callable[[Side], object]]] = {
    # name: (does it concern what is under way?, the order)
    "url": (True, lambda side: ordered(side, Selection(urls=(URL,)), soft=False)),
    "tag": (True, lambda side: ordered(side, Selection(tags=("t",)), soft=False)),
    "soft": (True, lambda side: ordered(side, Selection(tags=("t",)), soft=True)),
    "all": (True, lambda side: ordered(side, Selection(all=True), soft=False)),
    "lost": (True, lambda side: side.engine.purger.distrust_all()),
    "another url": (False, lambda side: ordered(side, Selection(urls=(URL + "/x",)), soft=False)),
    "another tag": (False, lambda side: ordered(side, Selection(tags=("u",)), soft=False)),
}


@pytest.mark.parametrize("alone", [False, True], ids=["miss", "pass"])
@pytest.mark.parametrize("name", ORDERS)
async def test_what_an_order_has_overtaken_is_delivered_and_not_stored(name: str, alone: bool) -> None:
    concerns, order = ORDERS[name]

    async def story(side: Side, road: Road) -> object:
        if alone:
            await marked(side, road)
        wire = ask(side, request("/held"))
        question = await road.origin.asked()
        order(side)
        late = ask(side, request("/held", "X: late"))
        for _ in range(20):
            await asyncio.sleep(0)
        question.say(STORABLE)
        got = await served(side, road, [wire, late], NEWER)
        again = ask(side, request("/held"))
        return got, await served(side, road, [again], NEWER), [item.entry.tags for item in side.store.items()]

    async with stage() as raw:
        (first, late), (again,), _ = await on_both(raw, story)
        assert first.endswith(b"hello")
        if concerns:
            assert late.endswith(b"newer")
            assert again.endswith(b"newer")


@pytest.mark.parametrize("alone", [False, True], ids=["miss", "pass"])
@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_what_an_unsafe_request_has_changed_is_not_stored(method: str, alone: bool) -> None:
    async def story(side: Side, road: Road) -> object:
        if alone:
            await marked(side, road)
        wire = ask(side, request("/held"))
        question = await road.origin.asked()
        await side.say(request("/held", "Content-Length: 0", method=method))
        question.say(STORABLE)
        (got,) = await served(side, road, [wire], b"")
        again = ask(side, request("/held"))
        return got, await served(side, road, [again], NEWER)

    async with stage() as raw:
        got, (again,) = await on_both(raw, story)
        assert got.endswith(b"hello")
        assert again.endswith(b"newer")


async def test_an_unsafe_request_elsewhere_costs_a_pass_its_place_in_the_store() -> None:
    """Nobody boards a pass, so it has no flight to be overtaken, and goes by there having been anything at all."""

    async def story(side: Side, road: Road) -> object:
        await marked(side, road)
        wire = ask(side, request("/held"))
        question = await road.origin.asked()
        await side.say(request("/held/other", "Content-Length: 0", method="POST"))
        question.say(STORABLE)
        (got,) = await served(side, road, [wire], b"")
        assert got.endswith(b"hello")
        return len(side.store)

    async with stage() as raw:
        assert await story(raw.both.hot, raw.hot) == 0
        assert await story(raw.both.plain, raw.plain) == 1


async def test_of_two_that_overlapped_neither_is_kept() -> None:
    async with stage() as raw:
        clock = raw.both.clock

        async def story(side: Side, road: Road) -> object:
            wire = ask(side, request("/held"))
            question = await road.origin.asked()
            clock.at += 1
            other = ask(side, request("/held", "Authorization: x"))  # boards no flight of others
            (await road.origin.asked()).say(answer("Cache-Control: public, max-age=600", body=b"other"))
            theirs = await served_one(side, other)
            assert len(side.store) == 1
            clock.at += 1
            question.say(STORABLE)
            return theirs, await served(side, road, [wire], b""), len(side.store)

        assert (await on_both(raw, story))[2] == 0


async def test_what_is_stored_is_uncacheable_no_more() -> None:
    async def story(side: Side, road: Road) -> object:
        wire = ask(side, request("/held"))
        question = await road.origin.asked()
        other = ask(side, request("/held", "Range: bytes=0-1"))  # a flight of its own
        (await road.origin.asked()).say(LONE)
        await served_one(side, other)
        assert len(side.engine._hit_for_miss) == 2, "/warm is the other"
        question.say(STORABLE)
        await served(side, road, [wire], b"")
        return len(side.engine._hit_for_miss)

    async with stage() as raw:
        assert await on_both(raw, story) == 1


async def served_one(side: Side, wire: Wire) -> list[bytes]:
    await until(lambda: state(wire) is not State.BUSY)
    return [wire.octets]


# --- the origin fails ---


@pytest.mark.parametrize("end", [End.FIN, End.RESET])
@pytest.mark.parametrize("alone", [False, True], ids=["miss", "pass"])
async def test_a_connection_that_was_closed_just_then_costs_one_more_question(end: End, alone: bool) -> None:
    async def story(side: Side, road: Road) -> object:
        if alone:
            await marked(side, road)
        failures = side.counters.upstream_failures.copy()
        wire = ask(side, request("/held"))
        (await road.origin.asked()).say(end=end)
        (got,) = await served(side, road, [wire], STORABLE)
        assert side.counters.upstream_failures == failures
        return got, road.pool.retried, sum(side.counters.origin_requests.values())

    async with stage() as raw:
        got, retried, _ = await on_both(raw, story)
        assert got.startswith(b"HTTP/1.1 200 ")
        assert retried == 1


@pytest.mark.parametrize("alone", [False, True], ids=["miss", "pass"])
@pytest.mark.parametrize("begins", [b"", b"HTTP/1.1 200 OK\r\n"], ids=["nothing", "half a head"])
async def test_an_origin_that_takes_too_long_is_a_504(begins: bytes, alone: bool) -> None:
    async def story(side: Side, road: Road) -> object:
        if alone:
            await marked(side, road)
        wire = ask(side, request("/held"))
        question = await road.origin.asked()
        if begins:
            question.say(begins)
        async with asyncio.timeout(5):
            while state(wire) is State.BUSY:  # noqa: ASYNC110 (a state has no event)
                await asyncio.sleep(0.001)  # the time-out is real
        await side.rest()
        return wire.octets

    async with stage(timeouts=Timeouts(first_byte=0.02, idle=0.02)) as raw:
        assert (await on_both(raw, story)).startswith(b"HTTP/1.1 504 ")


# --- the client's side ---


@pytest.mark.parametrize("comes", [STORABLE, LONE], ids=["storable", "lone"])
async def test_a_server_that_drains_answers_what_is_under_way_and_says_that_it_ends(comes: bytes) -> None:
    async def story(side: Side, road: Road) -> object:
        wire = ask(side, request("/held"))
        question = await road.origin.asked()
        draining = asyncio.create_task(side.server.drain(5))
        for _ in range(5):
            await asyncio.sleep(0)
        question.say(comes)
        await until(lambda: wire.ended)
        wire.close()
        await draining
        await side.rest()
        return wire.octets

    async with stage() as raw:
        assert b"\r\nConnection: close\r\n" in await on_both(raw, story)


@pytest.mark.parametrize("comes", [STORABLE, LONE], ids=["storable", "lone"])
async def test_a_client_that_has_ended_its_side_gets_its_answer_and_an_end(comes: bytes) -> None:
    async def story(side: Side, road: Road) -> object:
        wire = ask(side, request("/held"))
        question = await road.origin.asked()
        assert wire.connection is not None
        assert wire.connection.eof_received()
        question.say(comes)
        (got,) = await served(side, road, [wire], b"")
        assert wire.closed
        return got

    async with stage() as raw:
        assert b"\r\nConnection: close\r\n" in await on_both(raw, story)


async def test_pipelined_requests_are_asked_and_answered_in_order() -> None:
    async def story(side: Side, road: Road) -> object:
        wire = ask(side, b"".join(request(f"/held/{number}") for number in range(6)))
        for number in range(6):
            question = await road.origin.asked()
            assert question.target == f"/held/{number}"
            assert not road.origin.held
            comes = (STORABLE, LONE, CHUNKED)[number % 3]
            question.say(comes.replace(b"hello", b"%05d" % number))
        (got,) = await served(side, road, [wire], b"")
        assert all(b"%05d" % number in got for number in range(6))
        return got

    async with stage() as raw:
        await on_both(raw, story)
        assert raw.fetched >= 4


async def test_a_slow_client_is_not_given_the_next_one() -> None:
    async def story(side: Side, road: Road) -> object:
        wire = ask(side, request("/held/1") + request("/held/2"), narrow=10)
        (await road.origin.asked()).say(STORABLE)
        await until(lambda: wire.unsent and road.gate.in_flight == 0)
        for _ in range(50):
            await asyncio.sleep(0)
        assert not road.origin.held
        assert state(wire) is State.BUSY
        wire.narrow = None
        wire.take()
        return await served(side, road, [wire], LONE)

    async with stage() as raw:
        await on_both(raw, story)
        assert raw.fetched >= 2


async def test_interim_responses_are_told_while_an_errand_waits() -> None:
    async def story(side: Side, road: Road) -> object:
        wire = ask(side, request("/held"))
        question = await road.origin.asked()
        question.say(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        await until(lambda: b" 103 " in wire.octets)
        question.say(STORABLE)
        return await served(side, road, [wire], b"")

    async with stage() as raw:
        await on_both(raw, story)


@pytest.mark.parametrize("date", [-60.0, 0.0, 1.5, 60.0])
@pytest.mark.parametrize("alone", [False, True], ids=["miss", "pass"])
@pytest.mark.parametrize("comes", [STORABLE, LONE, CHUNKED, BROKEN], ids=["storable", "lone", "chunked", "broken"])
async def test_what_an_origin_takes_its_time_for(comes: bytes, alone: bool, date: float) -> None:
    async with stage() as raw:
        clock = raw.both.clock

        async def story(side: Side, road: Road) -> object:
            if alone:
                await marked(side, road)
            wire = ask(side, request("/held"))
            question = await road.origin.asked()
            clock.at += 1.5
            question.say(comes.replace(DATE.encode(), format_date(clock.at + date).encode()))
            got = await served(side, road, [wire], b"")
            clock.at += 1.5
            again = ask(side, request("/held"))
            return got, await served(side, road, [again], comes), [item.entry.born_at for item in side.store.items()]

        await on_both(raw, story)
        slow = raw.both.hot.log.records[-2]
        assert (slow.seconds, slow.origin_seconds) == (1.5, 1.5)


async def test_each_client_is_named_to_the_origin_by_its_own_address() -> None:
    async def story(side: Side, road: Road) -> object:
        asked = []
        for peer in ("192.0.2.7", "2001:db8::7", "192.0.2.8", "192.0.2.7"):
            for _ in range(2):
                wire = side.connect(peer)
                tell(wire, request("/held"))
                question = await road.origin.asked()
                question.say(LONE)
                await served(side, road, [wire], b"")
                asked.append(question.octets)
        return asked, [record.client for record in side.log.records]

    async with stage() as raw:
        before = raw.fetched
        asked, _ = await on_both(raw, story)
        assert len(set(asked)) == 3
        assert raw.fetched == before + 8


@pytest.mark.parametrize("alone", [False, True], ids=["miss", "pass"])
async def test_a_lease_that_is_lost_meanwhile_changes_nothing_for_what_is_fetched(alone: bool) -> None:
    lease = Lease(10)

    async def story(side: Side, road: Road) -> object:
        lease.pinged(NOW)
        lease.echoed(NOW, 10)
        if alone:
            await marked(side, road)
        wire = ask(side, request("/held"))
        question = await road.origin.asked()
        lease.surrender()
        late = ask(side, request("/held", "X: y"))
        for _ in range(20):
            await asyncio.sleep(0)
        question.say(STORABLE)
        got = await served(side, road, [wire, late], NEWER)
        again = ask(side, request("/held"))
        return got, await served(side, road, [again], NEWER), len(side.store)

    async with stage(lease=lease) as raw:
        await on_both(raw, story)
        before = raw.fetched
        await on_both(raw, lambda side, road: served(side, road, [ask(side, request("/held/x"))], LONE))
        assert raw.fetched == before, "who trusts nothing answers nothing"


# --- ends ---


@pytest.mark.parametrize("alone", [False, True], ids=["miss", "pass"])
async def test_an_engine_that_is_closed_leaves_no_client_waiting(alone: bool) -> None:
    async def story(side: Side, road: Road) -> object:
        if alone:
            await marked(side, road)
        wire, other = ask(side, request("/held")), ask(side, request("/warm", "Connection: close"))
        await road.origin.asked()
        await until(lambda: state(other) is not State.BUSY)
        await side.engine.close()
        await road.pool.close()
        await until(lambda: state(wire) is not State.BUSY)
        await side.rest()
        return wire.octets

    async with stage() as raw:
        assert (await on_both(raw, story)).startswith(b"HTTP/1.1 502 ")


@pytest.mark.parametrize("alone", [False, True], ids=["miss", "pass"])
async def test_an_engine_that_is_closed_ends_what_nobody_waits_for(alone: bool) -> None:
    async def story(side: Side, road: Road) -> object:
        if alone:
            await marked(side, road)
        wire = ask(side, request("/held"))
        await road.origin.asked()
        wire.close()
        await until(lambda: state(wire) is State.CLOSED)
        await side.engine.close()
        await side.rest()
        return len(side.store)

    async with stage() as raw:
        raw.both.left = 1
        assert await on_both(raw, story) == 0


# --- the usual way ---


async def test_where_the_gate_is_full_the_request_waits_as_usual() -> None:
    async def story(side: Side, road: Road) -> object:
        first = ask(side, request("/held/1"))
        question = await road.origin.asked()
        second = ask(side, request("/held/2"))
        await until(lambda: road.gate.waiting == 1)
        question.say(STORABLE)
        return await served(side, road, [first, second], LONE)

    async with stage(limit=1) as raw:
        before = raw.fetched
        await on_both(raw, story)
        assert raw.fetched == before + 1


async def test_a_breaker_that_is_not_closed_lets_nobody_go_straight() -> None:
    async def story(side: Side, road: Road) -> object:
        breaker = road.member.breaker
        for _ in range(5):
            breaker.unreached(breaker.opened, Reason.CONNECT_FAILED, side.server._clock.now())
        assert breaker.state is Fuse.OPEN
        refused = ask(side, request("/held"))
        return await served(side, road, [refused], LONE)

    async def trial(side: Side, road: Road) -> object:
        wire, other = ask(side, request("/held/1")), ask(side, request("/held/2"))
        return await served(side, road, [wire, other], LONE)

    async with stage() as raw:
        before = raw.fetched
        (refused,) = await on_both(raw, story)
        assert refused.startswith(b"HTTP/1.1 502 ")
        raw.both.clock.at += 20
        await on_both(raw, trial)
        assert raw.fetched == before
        await on_both(raw, lambda side, road: served(side, road, [ask(side, request("/held/3"))], LONE))
        assert raw.fetched == before + 1


# --- faults of ours ---


class Fault(Exception):
    pass


def fails(*_: object, **__: object) -> Any:
    raise Fault


# Where it fails, and what the origin says: so that it comes by there.
FAULTS: dict[str, tuple[object, str, bytes]] = {
    "before it is asked": (edge.errand, "forward_head", LONE),
    "as its flight takes off": (Flights, "enter", STORABLE),
    "as its turn begins": (Connection, "wait_for", STORABLE),
    "as it is asked": (OriginConnection, "ask", STORABLE),
    "as it is asked, a pass": (OriginConnection, "ask", LONE),
    "as its answer is read": (edge.heardlines.Lines, "read", STORABLE),
    "as it is judged": (edge.errand, "settle", STORABLE),
    "as it is let go": (OriginConnection, "taken", STORABLE),
    "as it lands": (edge.errand, "stored", STORABLE),
    "as its head is made": (edge.hotreplies.Replies, "stored", STORABLE),
    "as its head is made, a pass": (edge.hotreplies.Replies, "passed", LONE),
    "as it is replied": (Connection, "replied", STORABLE),
    "as an answer is handed over": (Errand, "_hand_over", CHUNKED),
    "as a lone answer is handed over": (Errand, "_hand_over", answer(NOT_SHARED, "Age: 1")),
    "as the connection takes it": (Connection, "hand_over", CHUNKED),
    "as a failure is handed over": (Errand, "_hand_over", BROKEN),
}


@pytest.mark.parametrize("followed", [False, True], ids=["alone", "followed"])
@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_costs_one_connection_and_nothing_else(
    name: str, followed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, what, comes = FAULTS[name]
    async with stage() as raw:
        side, road = raw.both.hot, raw.hot
        if comes is LONE:
            await marked(side, road)
        other = ask(side, request("/warm"))
        await served_one(side, other)
        with monkeypatch.context() as patch:
            patch.setattr(where, what, fails)
            wire = ask(side, request("/held", "X: z"))
            wires = []
            if not wire.closed:
                question = await road.origin.asked()
                if followed:
                    wires.append(ask(side, request("/held", "X: y")))
                    await until(lambda: side.counters.collapsed or road.origin.held)
                question.say(comes)
            await until(lambda: wire.closed)
        await served(side, road, wires, STORABLE)
        await side.rest()
        assert side.engine._flights._table == {}
        # All others are answered, without a front from now on.
        tell(other, request("/warm"))
        await served_one(side, other)
        assert other.octets.count(b"HTTP/1.1 200 OK") == 2
        assert all(each.octets.startswith(b"HTTP/1.1 200 OK") for each in wires)
        assert side.server.front is None
        assert (road.gate.in_flight, road.pool.in_use) == (0, 0)


# --- cancelled before the first step ---


@pytest.mark.parametrize("comes", [CHUNKED, answer(NOT_SHARED, "Age: 1"), BROKEN], ids=["chunked", "lone", "broken"])
@pytest.mark.parametrize("alone", [False, True], ids=["miss", "pass"])
async def test_a_client_that_leaves_as_its_request_is_handed_over(
    comes: bytes, alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand_over = Connection.hand_over

    def and_cut(self: Connection, *given: Any) -> None:
        hand_over(self, *given)
        self.cut()

    async with stage() as raw:
        side, road = raw.both.hot, raw.hot
        if alone:
            await marked(side, road)
        monkeypatch.setattr(Connection, "hand_over", and_cut)
        wire = ask(side, request("/held"))
        (await road.origin.asked()).say(comes)
        await until(lambda: wire.closed)
        await side.rest()
        assert len(side.store) == (comes is CHUNKED and not alone)
        assert (road.gate.in_flight, road.pool.in_use) == (0, 0)


async def test_an_engine_that_is_closed_as_a_request_is_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    hand_over = Connection.hand_over
    closing: list[asyncio.Task[None]] = []

    async with stage() as raw:
        side, road = raw.both.hot, raw.hot

        def and_close(self: Connection, *given: Any) -> None:
            hand_over(self, *given)
            with suppress(StopIteration):  # up to where it waits for what it has cancelled
                closing.append(asyncio.create_task(side.engine.close()))
                for flight in side.engine._flights:
                    assert flight._task is not None
                    flight._task.cancel()

        monkeypatch.setattr(Connection, "hand_over", and_close)
        wire = ask(side, request("/held"))
        question = await road.origin.asked()
        follower = ask(side, request("/held", "X: y"))
        await until(lambda: side.counters.collapsed)
        question.say(CHUNKED)
        await until(lambda: closing)
        await closing[0]
        await until(lambda: state(wire) is not State.BUSY)
        assert wire.octets.startswith(b"HTTP/1.1 502 ")
        (await road.origin.asked()).say(LONE)
        await until(lambda: state(follower) is not State.BUSY)
        assert follower.octets.startswith(b"HTTP/1.1 200 ")
        assert side.engine.flights == 0


# --- nothing is left ---


@contextmanager
def without_collector() -> Any:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def errands() -> list[Errand]:
    return [thing for thing in gc.get_objects() if isinstance(thing, Errand)]


LEFT: dict[str, tuple[bool, bytes]] = {
    "a miss": (False, STORABLE),
    "a miss that is not stored": (False, LONE),
    "a pass": (True, LONE),
    "handed over": (False, CHUNKED),
    "a pass handed over": (True, answer(NOT_SHARED, "Age: 1")),
    "failed": (False, BROKEN),
    "closed": (False, b""),
}


@pytest.mark.parametrize("leaves", [False, True], ids=["stays", "leaves"])
@pytest.mark.parametrize("name", LEFT)
async def test_an_errand_that_is_over_is_gone_at_once(name: str, leaves: bool) -> None:
    alone, comes = LEFT[name]
    async with stage() as raw:
        side, road = raw.both.hot, raw.hot
        if alone:
            await marked(side, road)
        with without_collector():
            wire = ask(side, request("/held"))
            question = await road.origin.asked()
            assert under_way(side) in errands()
            if leaves:
                wire.close()
                await until(lambda: state(wire) is State.CLOSED)
            question.say(comes, end=End.KEPT if comes else End.FIN)
            await served(side, road, [] if leaves else [wire], STORABLE)
            assert errands() == []
