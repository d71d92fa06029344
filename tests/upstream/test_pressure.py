"""A slow reader slows the origin, and pieces pass through as they came."""

from __future__ import annotations

import asyncio

import pytest

from seawall.http.body import BodyBroken
from seawall.upstream.arriving import HIGH_BYTES, LOW_BYTES, ArrivingBody
from tests.upstream.scripted import Peer, always, request, stage, until, whole


class Tap:
    """A source that notes what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def pause(self) -> None:
        self.asked.append("pause")

    def resume(self) -> None:
        self.asked.append("resume")

    def abandon(self) -> None:
        self.asked.append("abandon")


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_a_fast_endless_origin_is_paused(framing: str) -> None:
    written = 0
    total = 64 * 2**20

    async def script(peer: Peer) -> None:
        nonlocal written
        await peer.head()
        heads = {
            "length": b"Content-Length: %d\r\n" % total,
            "chunked": b"Transfer-Encoding: chunked\r\n",
            "close": b"",
        }
        await peer.send(b"HTTP/1.1 200 OK\r\n" + heads[framing] + b"\r\n")
        piece = b"x" * 65536
        while True:
            if framing == "chunked":
                await peer.send(b"10000\r\n", piece, b"\r\n")
            else:
                await peer.send(piece)
            written += len(piece)

    async with stage(script) as pool:
        answer = await pool.exchange(request(), None)
        before = -1
        while before != written:
            before = written
            await asyncio.sleep(0.03)
        # The marks, one read above them, and the kernel's buffers on loopback (up to 6 MiB to send, 6 to receive).
        assert written < 16 * 2**20
        assert "paused" in repr(answer.body._source)  # type: ignore[attr-defined]
        read = 0
        while read < 20 * 2**20:
            read += len(await answer.body.read())
        assert written > before, "and goes on when it is read"
        answer.body.close()
        assert (pool.in_use, pool.idle) == (0, 0)


async def test_a_body_that_ended_while_paused_leaves_a_connection_that_reads() -> None:
    size = HIGH_BYTES + 200_000
    async with stage(always(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)) as pool:
        for _ in range(5):
            assert len(await whole((await pool.exchange(request(), None)).body)) == size
        assert (pool.opened, pool.reused) == (1, 4)


async def test_an_answer_that_is_all_here_gives_its_connection_back_before_it_is_read() -> None:
    async with stage(always()) as pool:
        answers = []
        for _ in range(5):
            answers.append(await pool.exchange(request(), None))
            await until(lambda: pool.idle == 1)
        assert pool.opened == 1
        answers[0].body.close()  # late: the connection has long been somebody else's
        assert (pool.idle, pool.in_use) == (1, 0)
        for answer in answers[1:]:
            assert await whole(answer.body) == b"hello"


async def test_pieces_are_handed_on_by_reference() -> None:
    tap = Tap()
    body = ArrivingBody(tap, None)
    pieces = [b"one piece", b"another one"]
    for piece in pieces:
        body.feed(piece)
    body.end()
    assert await body.read() is pieces[0]
    assert await body.read() is pieces[1]
    assert await body.read() == b""
    assert tap.asked == []


async def test_the_marks() -> None:
    tap = Tap()
    body = ArrivingBody(tap, None)
    piece = b"x" * 16384
    fed = 0
    while not tap.asked:
        body.feed(piece)
        fed += 1
    assert tap.asked == ["pause"]
    assert fed * len(piece) in range(HIGH_BYTES - len(piece), HIGH_BYTES + len(piece) + 1)
    body.feed(piece)  # what the transport had in its hands already
    assert tap.asked == ["pause"]
    fed += 1
    while len(tap.asked) == 1:
        await body.read()
        fed -= 1
    assert tap.asked == ["pause", "resume"]
    assert fed * len(piece) in range(LOW_BYTES - 2 * len(piece), LOW_BYTES + 1)


async def test_tiny_pieces_count_for_what_they_cost() -> None:
    tap = Tap()
    body = ArrivingBody(tap, None)
    for fed in range(HIGH_BYTES):
        body.feed(b"xy")
        if tap.asked:
            assert fed < 10_000
            return
    raise AssertionError("never paused")


async def test_a_break_comes_after_what_came_before_it_and_stays() -> None:
    body = ArrivingBody(Tap(), 100)
    body.feed(b"a")
    body.break_off("cut")
    assert await body.read() == b"a"
    for _ in range(2):
        with pytest.raises(BodyBroken, match="cut"):
            await body.read()


async def test_close_frees_the_source_once_and_breaks_a_late_read() -> None:
    tap = Tap()
    body = ArrivingBody(tap, None)
    body.feed(b"a")
    body.close()
    body.close()
    assert tap.asked == ["abandon"]
    with pytest.raises(BodyBroken):
        await body.read()


async def test_close_wakes_a_read_under_way() -> None:
    body = ArrivingBody(Tap(), None)
    reading = asyncio.create_task(body.read())
    await asyncio.sleep(0)
    body.close()
    with pytest.raises(BodyBroken):
        await reading


async def test_a_cancelled_read_loses_nothing() -> None:
    body = ArrivingBody(Tap(), None)
    reading = asyncio.create_task(body.read())
    await asyncio.sleep(0)
    body.feed(b"a")
    reading.cancel()  # in the same turn: the piece is there, the reader is gone
    with pytest.raises(asyncio.CancelledError):
        await reading
    body.end()
    assert await whole(body) == b"a"
