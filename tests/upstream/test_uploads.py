"""Request bodies on their way to the origin."""

from __future__ import annotations

import asyncio

import pytest

from seawall.http.body import BodyBroken
from seawall.policy.reasons import Reason
from seawall.upstream.answer import UpstreamError
from tests.upstream.scripted import OK, Pairs, Peer, Script, Sent, Stuck, request, stage, until, until_broken, whole


def _noting(seen: list[bytes], ends_with: bytes) -> Script:
    async def script(peer: Peer) -> None:
        while True:
            data = b""
            while not data.endswith(ends_with):
                piece = await peer.reader.read(65536)
                if not piece:
                    return
                data += piece
            seen.append(data)
            await peer.send(OK)

    return script


BIG = b"x" * 100_000

BODIES: dict[str, tuple[list[bytes], int | None, bytes, bytes]] = {
    "small": ([b"end"], 3, b"Content-Length: 3\r\n", b"end"),
    "pieces": ([b"a", b"b", b"end"], 5, b"Content-Length: 5\r\n", b"abend"),
    "big": ([BIG, b"end"], 100_003, b"Content-Length: 100003\r\n", BIG + b"end"),
    "chunked": ([b"hello", b"end"], None, b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n3\r\nend\r\n0\r\n\r\n"),
    "chunked, empty": ([], None, b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
}


@pytest.mark.parametrize("name", BODIES)
async def test_a_body_goes_out_in_our_framing_and_the_connection_is_kept(name: str) -> None:
    pieces, length, field, wire = BODIES[name]
    seen: list[bytes] = []
    foreign: Pairs = [("Content-Length", "77"), ("Transfer-Encoding", "gzip"), ("TE", "trailers"), ("X-A", "1")]
    async with stage(_noting(seen, wire[-5:])) as pool:
        for _ in range(2):
            body = Sent(*pieces, length=length)
            answer = await pool.exchange(request("POST", "/", foreign), body)
            assert await whole(answer.body) == b"hello"
            assert not body.pieces
        assert (pool.opened, pool.reused) == (1, 1)
    head = b"POST / HTTP/1.1\r\nHost: app.example\r\nX-A: 1\r\n" + field + b"\r\n"
    assert seen == [head + wire] * 2


@pytest.mark.parametrize(
    ("method", "length", "says"),
    [("POST", None, True), ("PUT", None, True), ("GET", None, False), ("DELETE", None, False), ("GET", 0, True)],
)
async def test_no_body_is_said_where_one_is_expected(method: str, length: int | None, says: bool) -> None:
    seen: list[bytes] = []
    async with stage(_noting(seen, b"\r\n\r\n")) as pool:
        body = None if length is None else Sent(length=length)
        assert await whole((await pool.exchange(request(method), body)).body) == b"hello"
    assert (b"Content-Length: 0\r\n" in seen[0]) is says


async def test_a_client_that_leaves_mid_upload_is_no_whole_request() -> None:
    for length in (10, None):
        left: list[bytes] = []

        async def script(peer: Peer, left: list[bytes] = left) -> None:
            left.append(await peer.left())

        async with stage(script) as pool:
            body = Sent(b"hello", length=length, error=BodyBroken("the client left"))
            with pytest.raises(BodyBroken, match="the client left"):
                await pool.exchange(request("POST"), body)
            assert (pool.in_use, pool.idle, pool.failures.total()) == (0, 0, 0)
            assert body.closed
            await until(lambda left=left: bool(left))  # type: ignore[misc]
        assert not left[0].endswith(b"0\r\n\r\n")
        assert left[0].count(b"hello") <= 1


@pytest.mark.parametrize("pieces", [[b"hel"], [b"hello!"], [b"hel", b"lo!"]])
async def test_a_body_of_another_length_than_it_said_never_looks_right(pieces: list[bytes]) -> None:
    left: list[bytes] = []

    async def script(peer: Peer) -> None:
        left.append(await peer.left())

    async with stage(script) as pool:
        with pytest.raises(BodyBroken):
            await pool.exchange(request("POST"), Sent(*pieces, length=5))
        assert (pool.in_use, pool.idle) == (0, 0)
    assert not left or b"\r\n\r\nhello" not in left[0]


async def test_a_client_that_sends_nothing_holds_no_connection() -> None:
    async with stage(_noting([], b"hello")) as pool:
        body = Stuck(length=5)
        task = asyncio.create_task(pool.exchange(request("POST"), body))
        await body.waits.wait()
        assert (pool.in_use, pool.opening) == (0, 0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert body.closed


@pytest.mark.parametrize("length", [1000, None])
@pytest.mark.parametrize("status", [b"413 Content Too Large", b"200 OK"])
async def test_an_early_answer_stops_the_upload_and_costs_the_connection(length: int | None, status: bytes) -> None:
    left: list[bytes] = []

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 " + status + b"\r\nContent-Length: 5\r\n\r\nearly")
        left.append(await peer.left())

    async with stage(script) as pool:
        body = Stuck(b"hello", length=length)
        answer = await pool.exchange(request("POST"), body)
        assert await whole(answer.body) == b"early"
        assert body.closed
        await until(lambda: bool(left))
        assert (pool.in_use, pool.idle, pool.failures.total()) == (0, 0, 0)
    assert not left[0].endswith(b"0\r\n\r\n")


async def test_an_early_answer_is_heard_to_its_end_while_the_client_breaks() -> None:
    """The reader of the request may fail in the same turn of the loop; the answer is none the worse."""
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe")
        await go_on.wait()
        await peer.send(b"llo")
        await peer.left()

    class Breaks(Stuck):
        async def read(self) -> bytes:
            try:
                return await super().read()
            except asyncio.CancelledError:
                raise BodyBroken("because it was cancelled") from None

    async with stage(script) as pool:
        answer = await pool.exchange(request("POST"), Breaks(b"x", length=9))
        go_on.set()
        assert await whole(answer.body) == b"hello"


async def test_an_origin_that_hangs_up_while_we_send() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()

    async with stage(script) as pool:
        body = Stuck(b"hello", length=100)
        with pytest.raises(UpstreamError) as caught:
            await pool.exchange(request("POST"), body)
        assert caught.value.reason is Reason.RESET
        assert body.closed
        assert pool.in_use == 0


async def test_an_origin_that_does_not_read_slows_the_client() -> None:
    may_read = asyncio.Event()
    size = 64 * 262_144
    got: list[bytes] = []

    async def script(peer: Peer) -> None:
        await peer.head()
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await may_read.wait()
        peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
        got.append(await peer.reader.readexactly(size))
        await peer.send(OK)
        await peer.left()

    async with stage(script) as pool:
        body = Sent(*[b"x" * 262_144] * 64, length=size)
        task = asyncio.create_task(pool.exchange(request("POST"), body))
        await until(lambda: body.reads > 0)
        reads = -1
        while reads != body.reads:
            reads = body.reads
            await asyncio.sleep(0.02)
        # The kernel's buffers on loopback take some 6 MiB; the rest is still the client's.
        assert reads < 50
        may_read.set()
        assert await whole((await task).body) == b"hello"
    assert len(got[0]) == size


async def test_expect_lets_the_head_go_before_the_body_is_there() -> None:
    seen: list[int] = []

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await peer.reader.readexactly(5) == b"hello"
        await peer.send(OK)
        await peer.left()

    class AfterContinue(Sent):
        asked = asyncio.Event()

        async def read(self) -> bytes:
            await asked.wait()
            return await super().read()

    asked = asyncio.Event()

    async with stage(script) as pool:
        answer = await pool.exchange(
            request("POST", "/", [("Expect", "100-continue")]),
            AfterContinue(b"hello", length=5),
            interim=lambda head: (seen.append(head.status), asked.set())[0],
        )
        assert await whole(answer.body) == b"hello"
        assert seen == [100]
        assert pool.idle == 1


async def test_expect_that_is_declined_reads_nothing_of_the_client() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno")
        assert await peer.left() == b""

    async with stage(script) as pool:
        body = Stuck(length=5)
        answer = await pool.exchange(request("POST", "/", [("Expect", "100-continue")]), body)
        assert answer.head.status == 417
        assert await whole(answer.body) == b"no"
        await until(lambda: pool.in_use == 0)
        assert pool.idle == 0


async def test_a_tunnel_does_not_begin_under_an_upload() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n")
        await peer.left()

    async with stage(script) as pool:
        with pytest.raises(UpstreamError) as caught:
            await pool.exchange(request("POST", "/", [("Upgrade", "x")]), Stuck(b"x", length=9))
        assert caught.value.reason is Reason.BAD_RESPONSE


async def test_a_broken_answer_during_an_upload_is_broken() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nearly")
        peer.fin()
        await peer.left()

    async with stage(script) as pool:
        answer = await pool.exchange(request("POST"), Stuck(b"x", length=9))
        assert await until_broken(answer.body) in (b"early", b"")
        assert pool.in_use == 0
