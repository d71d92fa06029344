"""A network made worse: everything arrives, whole and in order, and later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.http.body import BodyBroken
from seawall.http.headers import headers
from seawall.http.message import ResponseHead
from seawall.policy.reasons import Reason
from seawall.upstream.answer import Answer, UpstreamError
from seawall.upstream.arriving import ArrivingBody
from seawall.upstream.link import RETRANSMIT, WINDOW_BYTES, Line, Link, Shaped, Wire
from tests.upstream.doubles import Chance, Scripted
from tests.upstream.scripted import Peer, Script, Sent, always, origin, pool_of, request, until, until_broken, whole

# What a busy machine may add to a wait, and what the millisecond clock of uvloop may take from it.
LATE = 0.05
EARLY = 0.003


def about(seconds: float, expected: float) -> bool:
    return expected - EARLY <= seconds < expected + LATE


class Watch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self.began_at = asyncio.get_running_loop().time()

    @property
    def seconds(self) -> float:
        return asyncio.get_running_loop().time() - self.began_at


# --- the arithmetic of a line ---


@pytest.mark.parametrize(
    ("link", "draws", "nbytes", "arrives"),
    [
        (Link(), [0.5], 1000, 0.0),
        (Link(latency=0.04), [0.5], 1000, 0.04),
        (Link(latency=0.04, jitter=0.01), [0.0], 0, 0.04),
        (Link(latency=0.04, jitter=0.01), [1.0], 0, 0.05),
        (Link(bandwidth=1000), [0.5], 500, 0.5),
        (Link(latency=0.04, bandwidth=1000), [0.5], 500, 0.54),
        (Link(loss=0.1), [0.2], 0, 0.0),
        (Link(loss=0.1), [0.05, 0.2], 0, RETRANSMIT),
        (Link(loss=0.1), [0.05, 0.05, 0.2], 0, RETRANSMIT),
        (Link(loss=1.0), [0.5], 0, RETRANSMIT),
        (Link(latency=0.04, jitter=0.01, loss=0.5), [0.5, 0.4], 0, 0.045 + RETRANSMIT),
    ],
)
def test_when_octets_arrive(link: Link, draws: list[float], nbytes: int, arrives: float) -> None:
    assert Line(link, Chance(*draws)).arrives_at(nbytes, 100.0) == pytest.approx(100.0 + arrives)


def test_what_is_sent_together_shares_the_bandwidth() -> None:
    line = Line(Link(latency=1.0, bandwidth=100), Chance())
    assert [line.arrives_at(50, 0.0) for _ in range(3)] == [1.5, 2.0, 2.5]
    assert line.arrives_at(50, 10.0) == 11.5, "an idle line saves nothing up"


links = st.builds(
    Link,
    latency=st.floats(0, 1),
    jitter=st.floats(0, 1),
    bandwidth=st.one_of(st.none(), st.floats(1, 1e9)),
    loss=st.floats(0, 1),
)


@given(links, st.lists(st.tuples(st.integers(0, 10**6), st.floats(0, 2)), max_size=30), st.integers())
def test_nothing_is_early_or_out_of_order(link: Link, sent: list[tuple[int, float]], seed: int) -> None:
    line = Line(link, Random(seed))
    now, last, total = 0.0, 0.0, 0
    for nbytes, pause in sent:
        now += pause
        total += nbytes
        due = line.arrives_at(nbytes, now, after=last)
        assert due >= max(now, last)
        if link.bandwidth is not None:
            assert due >= total / link.bandwidth * 0.999_999
        last = due


@pytest.mark.parametrize("wrong", [{"latency": -1}, {"jitter": -1}, {"loss": 1.1}, {"loss": -0.1}, {"bandwidth": 0}])
def test_a_link_that_cannot_be_is_a_mistake(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="Link"):
        Link(**wrong)


async def test_a_message_is_delayed_by_latency_and_size() -> None:
    watch = Watch()
    await Wire(Link(latency=0.03, bandwidth=10_000)).delay(500)
    assert about(watch.seconds, 0.08)


# --- an upstream at the far end ---


@asynccontextmanager
async def far(script: Script, link: Link, random: Random | None = None) -> AsyncIterator[Shaped]:
    async with origin(script) as it, pool_of(it) as pool:
        shaped = Shaped(pool, Wire(link, random))
        try:
            yield shaped
        finally:
            await shaped.close()
            assert shaped.bodies == 0


async def test_a_link_of_nothing_changes_nothing() -> None:
    async with far(always(), Link()) as shaped:
        assert await whole((await shaped.exchange(request(), None)).body) == b"hello"


async def test_an_exchange_takes_the_latency_each_way() -> None:
    async with far(always(), Link(latency=0.06)) as shaped:
        watch = Watch()
        answer = await shaped.exchange(request(), None)
        assert about(watch.seconds, 0.12)
        assert await whole(answer.body) == b"hello"
        assert about(watch.seconds, 0.12), "the body came right behind the head"


async def test_pieces_of_a_body_travel_side_by_side() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        for _ in range(10):
            await asyncio.sleep(0.005)
            await peer.send(b"x")

    async with far(script, Link(latency=0.04)) as shaped:
        watch = Watch()
        answer = await shaped.exchange(request(), None)
        assert await whole(answer.body) == b"x" * 10
        assert 0.13 - EARLY <= watch.seconds < 0.25, "not ten times the latency"


async def test_the_bandwidth_bounds_both_bodies() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.reader.readexactly(5000)
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n", b"y" * 10_000)

    async with far(script, Link(bandwidth=100_000)) as shaped:
        watch = Watch()
        answer = await shaped.exchange(request("POST"), Sent(b"x" * 2500, b"x" * 2500, length=5000))
        assert watch.seconds >= 0.05 - EARLY
        assert await whole(answer.body) == b"y" * 10_000
        assert about(watch.seconds, 0.15)


async def test_what_is_lost_is_only_late() -> None:
    async with far(always(), Link(loss=0.5), Chance(0.1, 0.9)) as shaped:
        watch = Watch()
        assert await whole((await shaped.exchange(request(), None)).body) == b"hello"
        assert about(watch.seconds, RETRANSMIT)


@pytest.mark.parametrize("seed", range(5))
async def test_a_bad_link_changes_no_octet(seed: int) -> None:
    random = Random(seed)
    payload = random.randbytes(400_000)

    async def script(peer: Peer) -> None:
        while True:
            await peer.head()
            await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            at = 0
            while at < len(payload):
                piece = payload[at : at + random.randint(1, 60_000)]
                at += len(piece)
                await peer.send(b"%x\r\n" % len(piece), piece, b"\r\n")
            await peer.send(b"0\r\n\r\n")

    link = Link(latency=0.003, jitter=0.003, bandwidth=50_000_000, loss=0.02)
    async with far(script, link, random) as shaped:
        tasks = [asyncio.create_task(fetched(shaped)) for _ in range(4)]
        for task in tasks:
            assert await task == payload


async def fetched(shaped: Shaped) -> bytes:
    return await whole((await shaped.exchange(request(), None)).body)


async def test_a_body_larger_than_the_window_flows_and_no_more_than_the_window_is_held() -> None:
    size = 4 * WINDOW_BYTES

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size, b"z" * size)
        await peer.left()

    async with far(script, Link(latency=0.005)) as shaped:
        answer = await shaped.exchange(request(), None)
        held = 0
        for _ in range(20):
            await asyncio.sleep(0.002)
            held = answer.body._held  # type: ignore[attr-defined]
        assert WINDOW_BYTES < held < 2 * WINDOW_BYTES
        assert len(await whole(answer.body)) == size


@pytest.mark.parametrize(
    ("reason", "takes"),
    [(Reason.RESET, 0.12), (Reason.CONNECT_FAILED, 0.12), (Reason.QUEUE_FULL, 0.06), (Reason.FIRST_BYTE_TIMEOUT, 0.06)],
)
async def test_news_of_a_failure_travel_too(reason: Reason, takes: float) -> None:
    shaped = Shaped(Scripted(lambda asked: asked.fails(reason)), Wire(Link(latency=0.06)))
    watch = Watch()
    with pytest.raises(UpstreamError) as caught:
        await shaped.exchange(request(), None)
    assert caught.value.reason is reason
    assert about(watch.seconds, takes)


async def test_a_body_that_breaks_breaks_after_what_came_before() -> None:
    scripted = Scripted()
    shaped = Shaped(scripted, Wire(Link(latency=0.02)))
    task = asyncio.create_task(shaped.exchange(request(), None))
    body = (await scripted.nth(1)).replies()
    body.feed(b"half")
    body.break_off("reset")
    assert await until_broken((await task).body) == b"half"
    await shaped.close()


async def test_interim_answers_come_before_the_answer_and_in_order() -> None:
    heard: list[int] = []
    scripted = Scripted()
    shaped = Shaped(scripted, Wire(Link(latency=0.02, jitter=0.02), Random(1)))
    task = asyncio.create_task(shaped.exchange(request(), None, interim=lambda head: heard.append(head.status)))
    asked = await scripted.nth(1)
    assert asked.interim is not None
    for status in (102, 103, 104, 105):
        asked.interim(ResponseHead(status, "", headers([])))
    assert heard == [], "they are on their way"
    asked.says()
    await task
    assert heard == [102, 103, 104, 105]


async def test_an_interim_that_the_caller_cannot_take_is_the_callers_error() -> None:
    def wrong(head: ResponseHead) -> None:
        raise KeyError(head.status)

    scripted = Scripted()
    shaped = Shaped(scripted, Wire(Link(latency=0.01)))
    task = asyncio.create_task(shaped.exchange(request(), None, interim=wrong))
    asked = await scripted.nth(1)
    assert asked.interim is not None
    asked.interim(ResponseHead(103, "", headers([])))
    body = asked.replies()
    with pytest.raises(KeyError):
        await task
    with pytest.raises(BodyBroken):
        await body.read()
    await shaped.close()
    assert shaped.bodies == 0


async def test_a_tunnel_is_late_both_ways() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n")
        await peer.send(b"echo " + await peer.reader.readexactly(2))
        await peer.left()

    async with far(script, Link(latency=0.03)) as shaped:
        answer = await shaped.exchange(request(fields=[("Upgrade", "chat")]), None)
        assert answer.tunnel is not None
        watch = Watch()
        await answer.tunnel.write(b"hi")
        impatient = asyncio.create_task(answer.tunnel.read())
        await until(lambda: watch.seconds > 0.045)
        impatient.cancel()
        assert await answer.tunnel.read() == b"echo hi", "a cancelled read loses nothing"
        assert about(watch.seconds, 0.06)
        answer.tunnel.write_eof()
        assert await answer.tunnel.read() == b""
        answer.tunnel.close()


# --- cancelled and closed ---


async def test_cancelled_on_the_way_there_nothing_was_sent() -> None:
    scripted = Scripted()
    shaped = Shaped(scripted, Wire(Link(latency=5.0)))
    task = asyncio.create_task(shaped.exchange(request(), None))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert scripted.asked == []


async def test_cancelled_on_the_way_back_the_answer_is_closed() -> None:
    async with origin(always()) as it, pool_of(it) as pool:
        wire = Wire(Link())
        wire.back = Line(Link(latency=5.0), Random())
        shaped = Shaped(pool, wire)
        task = asyncio.create_task(shaped.exchange(request(), None))
        await until(lambda: pool.opened == 1 and pool.in_use == 0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: shaped.bodies == 0)


async def opened(shaped: Shaped, scripted: Scripted) -> tuple[Answer, ArrivingBody]:
    task = asyncio.create_task(shaped.exchange(request(), None))
    body = (await scripted.nth(1)).replies()
    return await task, body


async def test_a_reader_that_leaves_ends_the_body_at_the_far_end() -> None:
    scripted = Scripted()
    shaped = Shaped(scripted, Wire(Link(latency=0.001)))
    answer, body = await opened(shaped, scripted)
    body.feed(b"some")
    answer.body.close()
    await until(lambda: shaped.bodies == 0)
    assert "broken" in repr(body)
    with pytest.raises(BodyBroken):
        await answer.body.read()


async def test_a_reader_that_leaves_a_full_window_ends_the_body_too() -> None:
    scripted = Scripted()
    shaped = Shaped(scripted, Wire(Link(latency=0.001)))
    answer, body = await opened(shaped, scripted)
    body.feed(b"x" * (WINDOW_BYTES + 1))
    await until(lambda: "0 pieces unread" in repr(body))
    answer.body.close()
    await until(lambda: shaped.bodies == 0)


async def test_a_body_closed_with_pieces_unread_never_looks_whole() -> None:
    scripted = Scripted()
    shaped = Shaped(scripted, Wire(Link(latency=0.001)))
    answer, body = await opened(shaped, scripted)
    body.feed(b"all")
    body.end()
    await until(lambda: shaped.bodies == 0)
    answer.body.close()
    with pytest.raises(BodyBroken):
        await answer.body.read()


async def test_a_reader_that_waits_is_let_go_when_the_link_closes() -> None:
    scripted = Scripted()
    shaped = Shaped(scripted, Wire(Link(latency=0.001)))
    answer, _ = await opened(shaped, scripted)
    reading = asyncio.create_task(answer.body.read())
    await asyncio.sleep(0)
    await shaped.close()
    with pytest.raises(BodyBroken):
        await reading
    assert scripted.closed == 1


async def test_closed_before_the_body_was_carried_at_all() -> None:
    scripted = Scripted(lambda asked: asked.replies(body=b"body"))
    shaped = Shaped(scripted, Wire(Link()))
    answer = await shaped.exchange(request(), None)
    await shaped.close()
    assert await until_broken(answer.body) in (b"", b"body")


async def test_a_cancelled_read_loses_nothing() -> None:
    scripted = Scripted()
    shaped = Shaped(scripted, Wire(Link(latency=0.03)))
    answer, body = await opened(shaped, scripted)
    body.feed(b"hello")
    body.end()
    await until(lambda: shaped.bodies == 0)
    reading = asyncio.create_task(answer.body.read())
    await asyncio.sleep(0.001)
    assert not reading.done(), "it is under way"
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await whole(answer.body) == b"hello"
