"""Patience with an origin runs out by name."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from seawall.policy.reasons import Reason
from seawall.upstream.address import Address, Timeouts
from seawall.upstream.answer import UpstreamError
from seawall.upstream.pool import Pool
from tests.upstream.scripted import OK, Peer, Sent, pool_of, request, stage, until, until_broken, whole

SHORT = Timeouts(connect=0.05, first_byte=0.05, idle=0.05, pool_wait=0.05)


async def _reason(pool: Pool, body: Sent | None = None) -> Reason:
    with pytest.raises(UpstreamError) as caught:
        await pool.exchange(request("POST" if body else "GET"), body)
    assert pool.failures == {caught.value.reason: 1}
    assert (pool.in_use, pool.opening) == (0, 0)
    assert str(pool.address) in caught.value.detail
    return caught.value.reason


async def test_nobody_listens() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        async with pool_of(sock.getsockname()[1]) as pool:
            assert await _reason(pool) is Reason.CONNECT_FAILED


async def test_the_name_is_unknown() -> None:
    pool = Pool(Address("http", "no-such-host.invalid", 80), Timeouts())
    assert await _reason(pool) is Reason.CONNECT_FAILED
    await pool.close()


async def test_nobody_accepts() -> None:
    """A full backlog drops SYNs, as a firewall does."""
    with socket.socket() as server, socket.socket() as one, socket.socket() as two:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for sock in (one, two):
            sock.setblocking(False)
            sock.connect_ex(server.getsockname())
        async with pool_of(server.getsockname()[1], timeouts=SHORT) as pool:
            assert await _reason(pool) is Reason.CONNECT_TIMEOUT


async def test_no_answer() -> None:
    async def script(peer: Peer) -> None:
        await peer.left()

    async with stage(script, timeouts=SHORT) as pool:
        assert await _reason(pool) is Reason.FIRST_BYTE_TIMEOUT


async def test_no_answer_to_an_upload() -> None:
    async def script(peer: Peer) -> None:
        await peer.left()

    async with stage(script, timeouts=SHORT) as pool:
        assert await _reason(pool, Sent(b"a", b"b", length=2)) is Reason.FIRST_BYTE_TIMEOUT


async def test_an_interim_response_renews_the_patience_for_the_first_byte() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        for _ in range(4):
            await asyncio.sleep(0.1)
            await peer.send(b"HTTP/1.1 102 Processing\r\n\r\n")
        await peer.send(OK)
        await peer.left()

    async with stage(script, timeouts=Timeouts(first_byte=0.3)) as pool:
        assert await whole((await pool.exchange(request(), None)).body) == b"hello"


async def test_a_head_that_trickles_is_not_waited_for() -> None:
    """Each octet alone would renew an idle time-out, for weeks."""

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            await peer.send(b"x")
            await asyncio.sleep(0.005)

    async with stage(script, timeouts=SHORT) as pool:
        began = time.monotonic()
        assert await _reason(pool) is Reason.IDLE_TIMEOUT
        assert time.monotonic() - began < 1


@pytest.mark.parametrize(
    "part",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nhello",
    ],
)
async def test_a_body_that_stalls_is_broken(part: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(part)
        await peer.left()

    async with stage(script, timeouts=SHORT) as pool:
        answer = await pool.exchange(request(), None)
        assert await until_broken(answer.body) == b"hello"
        assert pool.failures == {Reason.IDLE_TIMEOUT: 1}
        assert pool.in_use == 0


async def test_a_body_that_keeps_moving_may_take_its_time() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n")
        for _ in range(8):
            await asyncio.sleep(0.04)
            await peer.send(b"x")
        await peer.left()

    async with stage(script, timeouts=Timeouts(idle=0.25)) as pool:
        assert await whole((await pool.exchange(request(), None)).body) == b"x" * 8


async def test_a_slow_reader_is_not_the_origins_fault() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8000000\r\n\r\n")
        await peer.send(b"x" * 8_000_000)
        await peer.left()

    async with stage(script, timeouts=Timeouts(idle=0.05)) as pool:
        answer = await pool.exchange(request(), None)
        await asyncio.sleep(0.2)  # four time-outs long, nobody reads
        assert len(await whole(answer.body)) == 8_000_000


async def test_an_origin_that_does_not_take_the_upload_is_given_up() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    async with stage(script, timeouts=SHORT) as pool:
        body = Sent(*[b"x" * 262_144] * 100, length=26_214_400)
        assert await _reason(pool, body) is Reason.IDLE_TIMEOUT
        assert body.closed
        assert body.pieces, "not all of it was taken from the client"


async def test_waiting_for_a_connection_is_bounded() -> None:
    async def script(peer: Peer) -> None:
        await peer.left()

    async with stage(script, timeouts=Timeouts(pool_wait=0.05), max_connections=1) as pool:
        first = asyncio.create_task(pool.exchange(request(), None))
        await until(lambda: pool.in_use == 1)
        with pytest.raises(UpstreamError) as caught:
            await pool.exchange(request(), None)
        assert caught.value.reason is Reason.QUEUE_FULL
        assert pool.waiting == 0
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
