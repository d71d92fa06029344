"""When a request is sent a second time: HAZARDS F19."""

from __future__ import annotations

import asyncio

import pytest

from seawall.policy.reasons import Reason
from seawall.upstream.address import Timeouts
from seawall.upstream.answer import UpstreamError
from tests.upstream.scripted import OK, Peer, Sent, request, stage, until, whole


class Witness:
    """Serves the first request of a connection and ends it at the next; notes each arrival."""

    def __init__(self, end: str = "FIN") -> None:
        self.arrivals: list[str] = []
        self.end = end

    async def __call__(self, peer: Peer) -> None:
        self.arrivals.append((await peer.head()).split(b" ")[0].decode())
        await peer.send(OK)
        self.arrivals.append((await peer.head()).split(b" ")[0].decode())
        if self.end == "RST":
            peer.reset()
            return
        if self.end == "FIN":
            peer.fin()
        await peer.left()


@pytest.mark.parametrize("end", ["FIN", "RST"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_a_safe_request_on_a_connection_that_died_is_sent_once_more(method: str, end: str) -> None:
    witness = Witness(end=end)
    async with stage(witness) as pool:
        await whole((await pool.exchange(request(), None)).body)
        answer = await pool.exchange(request(method), None)
        assert await whole(answer.body) == (b"" if method == "HEAD" else b"hello")
        assert witness.arrivals == ["GET", method, method]
        assert (pool.retried, pool.opened, pool.failures.total()) == (1, 2, 0)


@pytest.mark.parametrize("end", ["FIN", "RST"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "M-SEARCH", "get"])
async def test_any_other_method_arrives_at_most_once(method: str, end: str) -> None:
    witness = Witness(end=end)
    async with stage(witness) as pool:
        await whole((await pool.exchange(request(), None)).body)
        with pytest.raises(UpstreamError) as caught:
            await pool.exchange(request(method), None)
        assert caught.value.reason is Reason.RESET
        assert witness.arrivals == ["GET", method]
        assert pool.retried == 0


@pytest.mark.parametrize(("piece", "length"), [(b"x", 1), (b"", 0), (b"x", None)])
async def test_a_request_with_a_body_arrives_at_most_once(piece: bytes, length: int | None) -> None:
    witness = Witness()
    body = Sent(*filter(None, [piece]), length=length)
    async with stage(witness) as pool:
        await whole((await pool.exchange(request(), None)).body)
        with pytest.raises(UpstreamError) as caught:
            await pool.exchange(request("GET"), body)
        assert caught.value.reason is Reason.RESET
        assert witness.arrivals == ["GET", "GET"]


@pytest.mark.parametrize(
    "heard",
    [b"H", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 103 Early Hints\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"],
)
@pytest.mark.parametrize("end", ["FIN", "RST"])
async def test_not_after_one_octet_of_an_answer(heard: bytes, end: str) -> None:
    arrivals: list[bytes] = []
    heard_it = asyncio.Event()

    async def script(peer: Peer) -> None:
        arrivals.append(await peer.head())
        await peer.send(OK)
        arrivals.append(await peer.head())
        await peer.send(heard)
        if end == "RST":
            await heard_it.wait()
            peer.reset()

    async with stage(script) as pool:
        await whole((await pool.exchange(request(), None)).body)
        connection = pool.kept()[0]
        second = asyncio.create_task(pool.exchange(request(), None))
        await until(lambda: connection.heard or second.done())
        heard_it.set()
        with pytest.raises(UpstreamError) as caught:
            await second
        assert caught.value.reason is Reason.RESET
        assert len(arrivals) == 2
        assert pool.retried == 0


async def test_not_on_a_fresh_connection() -> None:
    arrivals = 0

    async def script(peer: Peer) -> None:
        nonlocal arrivals
        await peer.head()
        arrivals += 1

    async with stage(script) as pool:
        with pytest.raises(UpstreamError):
            await pool.exchange(request(), None)
        assert (arrivals, pool.retried) == (1, 0)


async def test_not_after_a_time_out() -> None:
    witness = Witness(end="silence")
    async with stage(witness, timeouts=Timeouts(first_byte=0.03)) as pool:
        await whole((await pool.exchange(request(), None)).body)
        with pytest.raises(UpstreamError) as caught:
            await pool.exchange(request(), None)
        assert caught.value.reason is Reason.FIRST_BYTE_TIMEOUT
        assert witness.arrivals == ["GET", "GET"]


async def test_once_and_never_twice() -> None:
    arrivals = 0

    async def script(peer: Peer) -> None:
        nonlocal arrivals
        await peer.head()
        arrivals += 1
        if arrivals == 1:
            await peer.send(OK)
            await peer.head()
            arrivals += 1

    async with stage(script) as pool:
        await whole((await pool.exchange(request(), None)).body)
        with pytest.raises(UpstreamError):
            await pool.exchange(request(), None)
        assert (arrivals, pool.retried) == (3, 1)


@pytest.mark.parametrize("max_connections", [2, 128])
async def test_the_second_time_goes_over_a_fresh_connection(max_connections: int) -> None:
    """Idle connections die together, when an origin restarts: another one of them would be no better."""
    witness = Witness()
    async with stage(witness, max_connections=max_connections) as pool:
        both = [asyncio.create_task(pool.exchange(request(), None)) for _ in range(2)]
        for task in both:
            await whole((await task).body)
        await until(lambda: pool.idle == 2)
        assert await whole((await pool.exchange(request(), None)).body) == b"hello"
        assert (pool.retried, pool.opened) == (1, 3)
