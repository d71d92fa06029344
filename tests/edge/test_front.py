"""What the hot path promises beside its octets: back-pressure, order, an end in good manners, bounded memory."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

import edge.front
from edge.front import Front, Hot
from edge.hotheads import MOST_BLOCKS, MOST_BYTES, Memo
from seawall.downstream.connection import State
from seawall.downstream.reply import WRITE_BYTES
from seawall.downstream.server import Limits
from seawall.purge.lease import Lease
from seawall.store.stored import stored
from tests.edge.twins import NOW, Side, Twins, Wire, request, twins

LARGE = bytes(range(256)) * 4096  # 1 MiB


def large(both: Twins) -> Twins:
    both.keep("/large", ("ETag", '"v1"'), body=(LARGE,))
    both.keep("/pieces", body=(LARGE[:300_000], LARGE[300_000:]))
    both.keep("/small", ("ETag", '"v1"'))
    both.keep("/64k", body=(LARGE[:65_536],))
    return both


async def slowly(side: Side, wire: Wire, octets: bytes, *, takes: int) -> None:
    """Sends the request and lets the client take what waits so many times."""
    assert wire.connection is not None
    wire.narrow = 1024
    wire.connection.data_received(octets)
    for _ in range(takes):
        for _ in range(20):
            await asyncio.sleep(0)
        wire.take()
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize("takes", range(8))
async def test_a_large_body_goes_out_no_faster_than_the_client_takes_it(takes: int) -> None:
    both = large(twins())
    for octets in (request("/large"), request("/pieces"), request("/small") + request("/large") + request("/small")):
        got = []
        for side in both.sides:
            wire = side.connect()
            await slowly(side, wire, octets, takes=takes)
            assert wire.unsent <= WRITE_BYTES + 1024
            got.append((wire.octets, repr(wire.connection)))
            assert wire.connection is not None
            wire.connection.connection_lost(None)
            await asyncio.sleep(0)
        # The engine waits for room before the first piece of a second reply, the front collects: at no more than the
        # octets in one write do they differ, and in the end in none.
        assert got[0][0].startswith(got[1][0]) or got[1][0].startswith(got[0][0])
        if takes > 5:
            assert got[0] == got[1]
            assert LARGE[:1000] in got[0][0]
    assert both.answered


@pytest.mark.parametrize("takes", [0, 1, 2, 5])
async def test_a_client_that_leaves_early_is_counted_as_far_as_it_got(takes: int) -> None:
    both = large(twins())
    for target in ("/large", "/pieces", "/64k", "/small"):
        for side in both.sides:
            wire = side.connect()
            await slowly(side, wire, request(target), takes=takes)
            assert wire.connection is not None
            wire.connection.connection_lost(ConnectionResetError())
            for _ in range(5):
                await asyncio.sleep(0)
    hot, plain = both.sides
    assert hot.counters.aborted == plain.counters.aborted
    assert hot.counters.sent_bytes == plain.counters.sent_bytes
    assert hot.log.records == plain.log.records
    assert hot.server.client_aborts == plain.server.client_aborts
    assert bool(hot.counters.aborted) == (takes < 5)


async def test_a_client_that_has_not_taken_a_reply_is_not_given_the_next() -> None:
    both = large(twins())
    for side in both.sides:
        wire = side.connect()
        assert wire.connection is not None
        await slowly(side, wire, request("/64k"), takes=0)
        assert wire.connection.state is State.BUSY
        wire.connection.data_received(request("/small"))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not wire.octets.endswith(b"0123456789")
        assert side.counters.requests["HIT"] == 0  # type: ignore[index]
        wire.take()
        await side.settle(wire)
        assert wire.octets.endswith(b"0123456789")
        assert wire.connection.state is State.IDLE
        wire.connection.cut()
        await asyncio.sleep(0)
    both.check()


async def test_pipelined_hits_leave_in_one_write() -> None:
    both = large(twins())
    wire = both.hot.connect()
    assert wire.connection is not None
    wire.connection.data_received(request("/small") * 50)
    assert wire.writes == 1
    assert wire.octets.count(b"0123456789") == 50
    wire.connection.data_received(request("/64k") * 10)
    assert wire.writes <= 12
    assert wire.octets.count(LARGE[:65_536]) == 10
    wire.connection.cut()
    await asyncio.sleep(0)


async def test_whoever_asks_while_the_server_drains_is_told_that_it_is_the_last_time() -> None:
    both = large(twins())
    got = []
    for side in both.sides:
        new, idle, busy = side.connect(), side.connect(), side.connect()
        for wire in (idle, busy):
            assert wire.connection is not None
            wire.connection.data_received(request("/small"))
            await side.settle(wire)
        await slowly(side, busy, request("/large"), takes=1)
        draining = asyncio.create_task(side.server.drain(5))
        for _ in range(5):
            await asyncio.sleep(0)
        assert new.connection is not None
        new.connection.data_received(request("/small"))
        for _ in range(20):
            await asyncio.sleep(0)
        while busy.connection is not None and busy.connection.state is State.BUSY:
            busy.take()
            for _ in range(20):
                await asyncio.sleep(0)
        for wire in (new, busy):
            assert wire.ended
            wire.close()
        await draining
        got.append([(wire.octets, wire.ended) for wire in (new, idle, busy)])
    assert got[0] == got[1]
    assert b"Connection: close" in got[0][0][0]
    both.check()


async def test_a_client_that_has_ended_its_side_gets_its_answer_and_an_end() -> None:
    both = large(twins())
    got = []
    for side in both.sides:
        first, second = side.connect(), side.connect()
        assert first.connection is not None
        assert second.connection is not None
        # What is answered last says that it is, although it was read before the end was.
        await slowly(side, first, request("/large") + request("/small") * 2, takes=1)
        assert first.connection.eof_received()
        while first.connection.state is State.BUSY:
            first.take()
            for _ in range(20):
                await asyncio.sleep(0)
        second.connection.data_received(request("/small")[:10])
        got.append((first.octets, first.closed, second.connection.eof_received()))
        second.close()
        await asyncio.sleep(0)
    assert got[0] == got[1]
    assert got[0][0].count(b"Connection: close") == 1
    both.check()


async def test_a_limit_of_requests_is_the_engines_to_keep() -> None:
    both = large(twins(limits=Limits(max_requests=2)))
    await both.same(request("/small") * 3)
    assert both.answered == 0


async def test_limits_of_heads_hold_for_blocks_that_are_known() -> None:
    both = large(twins(limits=Limits(max_head_bytes=300, max_target_bytes=40, max_fields=3)))
    long = "/" + "x" * 39
    both.keep(long)
    both.keep(long + "y")
    for target in ("/small", long, long + "y"):
        for lines in [(), ("A: b",), ("A: b", "C: d", "E: f"), ("A: " + "b" * 220,)]:
            await both.same(request(target, *lines), request(target, *lines))
    both.check()
    assert both.answered


async def test_without_a_lease_nothing_is_served_unasked() -> None:
    lease = Lease(10)
    lease.pinged(NOW)
    lease.echoed(NOW, 10)
    both = large(twins(lease=lease))
    await both.same(request("/small"), request("/small"))
    assert both.answered == 2
    both.clock.at += 10
    assert b"fwd=stale; fwd-status=200; detail=no-store" in (await both.same(request("/small"))).octets
    assert both.answered == 2
    lease.pinged(both.clock.at)
    lease.echoed(both.clock.at, 10)
    both.keep("/small")
    await both.same(request("/small"))
    assert both.answered == 3
    lease.surrender()
    await both.same(request("/small"))
    assert both.answered == 3


@pytest.mark.parametrize("forgetful", [False, True], ids=["kept", "made once"])
async def test_what_another_level_may_know_better_is_not_the_fronts(forgetful: bool) -> None:
    both = large(twins(forgetful=forgetful))
    (item,) = both.hot.store.get("http://a.example/small")
    both.hot.store.put(stored(item.key, item.entry, item.body, look_again_at=NOW + 1))
    for at, answered in ((NOW, 3), (NOW + 0.9, 6), (NOW + 1, 6), (NOW + 2, 6)):
        both.clock.at = at
        await both.hot.talk(request("/small"), request("/small"), request("/small"))
        assert both.answered == answered


@pytest.mark.parametrize("times", [0, 1, 3], ids=["never hit", "hit once", "hot"])
async def test_what_an_order_overtook_is_not_the_fronts_before_anything_was_done_about_it(times: int) -> None:
    both = large(twins())
    for _ in range(times):
        await both.hot.talk(request("/small"))
    both.hot.store.overtake(both.hot.store.get("http://a.example/small"), None)
    assert both.hot.store.buckets["http://a.example/small"]
    for pieces in (request("/small"), request("/small") + request("/small")):
        await both.hot.talk(pieces)
    assert both.answered == times


async def test_what_a_ban_may_concern_is_not_the_fronts_until_it_is_carried_out() -> None:
    both = large(twins())
    both.keep("/other", host="b.example")
    for _ in range(3):
        await both.same(request("/small") + request("/small"))
        await both.same(request("/other", host="b.example"))
    answered = both.answered
    for side in both.sides:
        side.store.ban(("http://a.example/",), None)
    said = await both.same(request("/small", host="a.example"))
    assert b"X-Cache: HIT" not in said.octets
    assert both.answered == answered
    await both.same(request("/other", host="b.example") * 2)
    assert both.answered == answered + 2
    for side in both.sides:
        while side.store.catch_up(100):
            pass
    both.keep("/small")
    await both.same(request("/small"))
    assert both.answered == answered + 3


async def test_heads_are_kept_for_what_is_hot_and_not_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge.front, "MOST_HOT", 10)
    both = twins()
    for number in range(30):
        both.keep(f"/{number}")
    for _ in range(3):
        for number in range(30):
            await both.same(request(f"/{number}"))
    hot = [item for item in both.hot.store.items() if isinstance(item.hot, Hot)]
    assert len(hot) == 10
    for number in range(30):
        await both.same(request(f"/{number}"))
    both.check()


async def test_an_object_that_is_hit_once_is_left_as_it_was() -> None:
    both = twins()
    for number in range(30):
        both.keep(f"/{number}")
        await both.same(request(f"/{number}"))
    assert not any(isinstance(item.hot, Hot) for item in both.hot.store.items())


def test_the_memo_forgets_what_is_not_asked_again() -> None:
    memo = Memo("http", Limits())
    used = b"Host: a\r\nUsed: always\r\n\r\n"
    asked = memo.find(used)
    for number in range(3 * MOST_BLOCKS):
        memo.find(b"Host: a\r\nX: %d\r\n\r\n" % number)
        assert (memo.young.get(used) or memo.find(used)) is asked
    assert len(memo) <= 2 * MOST_BLOCKS
    for number in range(5000):
        memo.find(b"Host: a\r\nX: %4000d\r\n\r\n" % number)
    assert sum(map(len, memo.young)) <= MOST_BYTES
    assert memo.find(b"Host: a\r\nX: %5000d\r\n\r\n" % 0) is None


def test_blocks_that_ask_for_more_than_a_hit_are_remembered_as_such() -> None:
    memo = Memo("http", Limits())
    block = b"Host: a\r\nRange: bytes=0-1\r\n\r\n"
    assert memo.find(block) is None
    assert memo.young == {block: None}


async def test_a_front_says_what_it_has_done() -> None:
    both = large(twins())
    await both.same(request("/small"))
    assert repr(both.hot.front) == "<Front answered=1 blocks=1 hot=0>"
    assert isinstance(both.hot.front, Front)


def test_hits_over_real_sockets_arrive_whole_and_in_order() -> None:
    """uvloop, as a node runs; the client reads late."""

    async def story() -> None:
        both = large(twins())
        server = both.hot.server
        await server.start("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 16)
        host = f"127.0.0.1:{server.port}"
        for target, body in (("/large", LARGE), ("/64k", LARGE[:65_536]), ("/small", b"0123456789")):
            both.keep(target, body=(body,), host=host)
        targets = ["/small", "/large", "/64k", "/64k", "/absent", "/large", "/small"] * 3
        writer.write(b"".join(request(target, host=host) for target in targets))
        for target in targets:
            head = await reader.readuntil(b"\r\n\r\n")
            if b"chunked" in head:
                while int((await reader.readuntil(b"\r\n")), 16):
                    await reader.readuntil(b"\r\n")
                await reader.readuntil(b"\r\n")
                continue
            length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
            body = await reader.readexactly(length)
            assert target == "/absent" or body == {"/large": LARGE, "/64k": LARGE[:65_536]}.get(target, b"0123456789")
        writer.close()
        assert both.answered == len(targets) - 3
        await server.drain(1)
        assert both.hot.counters.requests["HIT"] == len(targets) - 3  # type: ignore[index]
        assert both.hot.counters.aborted == 0

    uvloop.run(story())
