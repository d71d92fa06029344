"""Behind 101: octets both ways, half-closed as TCP is, and only for who asked (RFC 9110 7.8, HAZARDS T09, T24)."""

from __future__ import annotations

import asyncio

import pytest

from seawall.downstream.connection import State
from seawall.downstream.exchange import Reply, Request, Sent
from seawall.downstream.server import Limits
from seawall.http.body import BodyBroken
from seawall.http.headers import headers
from seawall.http.message import ResponseHead
from tests.downstream.client import connected, get, ok, until
from tests.downstream.conftest import Serve

UPGRADE = ("Connection: Upgrade", "Upgrade: echo")


class Far:
    """The far end of a tunnel: an echo in upper case that can be told to end or break."""

    length = None

    def __init__(self) -> None:
        self.inbound: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.heard = b""
        self.ended = asyncio.Event()
        self.closed = 0
        self.room = asyncio.Event()
        self.room.set()

    async def read(self) -> bytes:
        data = await self.inbound.get()
        if data is None:
            raise BodyBroken("reset")
        return data

    async def write(self, data: bytes) -> None:
        await self.room.wait()
        self.heard += data
        if len(self.heard) < 1000:
            self.inbound.put_nowait(data.upper())

    def write_eof(self) -> None:
        self.ended.set()

    def close(self) -> None:
        self.closed += 1


class Switching:
    def __init__(self) -> None:
        self.far = Far()
        self.sent: list[Sent] = []
        self.targets: list[str] = []

    async def __call__(self, request: Request) -> Reply:
        self.targets.append(request.head.target)
        if request.head.target == "/no":
            return ok()
        fields = headers([("Upgrade", "echo"), ("Sec-Accept", "x"), ("Connection", "ignored")])
        return Reply(ResponseHead(101, "Switching Protocols", fields), self.far, self.sent.append)


async def test_octets_go_both_ways_until_both_ends_have_ended(serve: Serve) -> None:
    handler = Switching()
    server = await serve(handler)
    async with connected(server) as client:
        heard = await client.ask(get("/", *UPGRADE) + b"early")
        assert heard.status == 101
        assert heard.fields == {"upgrade": "echo", "sec-accept": "x", "connection": "Upgrade"}
        assert await client.reader.readexactly(5) == b"EARLY"
        await client.send(b"GET / HTTP/1.1\r\n\r\n")
        assert await client.reader.readexactly(18) == b"GET / HTTP/1.1\r\n\r\n"
        (connection,) = server.connections
        assert connection.state is State.TUNNEL
        client.end()
        await handler.far.ended.wait()
        handler.far.inbound.put_nowait(b"last words")
        handler.far.inbound.put_nowait(b"")
        assert await client.rest() == b"last words"
        await until(lambda: server.open == 0)
    assert handler.sent == [Sent(5 + 18 + 10, True)]
    assert handler.far.closed == 1
    assert handler.targets == ["/"]
    assert server.client_aborts == 0


async def test_the_far_end_may_end_first(serve: Serve) -> None:
    handler = Switching()
    server = await serve(handler)
    async with connected(server) as client:
        await client.ask(get("/", *UPGRADE))
        handler.far.inbound.put_nowait(b"")
        assert await client.rest() == b""
        await client.send(b"still talking")
        client.end()
        await handler.far.ended.wait()
        await until(lambda: bool(handler.sent))
    assert handler.far.heard == b"still talking"
    assert handler.sent == [Sent(0, True)]


@pytest.mark.parametrize("who", ["client", "far", "server"])
async def test_a_tunnel_that_breaks_is_cut_and_settled_once(serve: Serve, who: str) -> None:
    handler = Switching()
    server = await serve(handler)
    async with connected(server) as client:
        await client.ask(get("/", *UPGRADE))
        if who == "client":
            client.reset()
        elif who == "far":
            handler.far.inbound.put_nowait(None)
        else:
            await server.drain(0)
        if who != "client":
            assert await client.closed()
        await until(lambda: bool(handler.sent))
        await until(lambda: server.open == 0)
    assert handler.sent == [Sent(0, False)]
    assert handler.far.closed == 1


async def test_an_idle_tunnel_is_cut_and_a_busy_one_is_not(serve: Serve) -> None:
    handler = Switching()
    server = await serve(handler, Limits(tunnel_idle=0.2))
    async with connected(server) as client:
        await client.ask(get("/", *UPGRADE))
        for _ in range(8):
            await client.send(b"x")
            assert await client.reader.readexactly(1) == b"X"
            await asyncio.sleep(0.05)
        assert not server.timeouts
        assert await client.closed()
    assert server.timeouts == {"tunnel": 1}
    assert handler.sent == [Sent(8, False)]


async def test_a_far_end_that_does_not_take_holds_the_client_back(serve: Serve) -> None:
    handler = Switching()
    handler.far.room.clear()
    server = await serve(handler)
    async with connected(server) as client:
        await client.ask(get("/", *UPGRADE))
        client.writer.write(b"x" * 20_000_000)
        (connection,) = server.connections
        await until(lambda: not connection._reading)
        assert connection._inbox is not None
        assert connection._inbox._held_bytes < 1024 * 1024
        handler.far.room.set()
        await until(lambda: len(handler.far.heard) == 20_000_000)


@pytest.mark.parametrize(
    "lines",
    [(), ("Upgrade: echo",), ("Connection: close", "Upgrade: echo"), (*UPGRADE, "Content-Length: 5")],
    ids=["unasked", "no Connection", "not named", "amid the body"],
)
async def test_a_tunnel_is_not_opened_where_it_may_not_be(serve: Serve, lines: tuple[str, ...]) -> None:
    handler = Switching()
    server = await serve(handler)
    async with connected(server) as client:
        assert (await client.ask(get("/", *lines))).status == 502
    assert handler.sent == [Sent(0, False)]
    assert handler.far.closed == 1


async def test_http_1_0_has_no_upgrade(serve: Serve) -> None:
    handler = Switching()
    server = await serve(handler)
    async with connected(server) as client:
        assert (await client.ask(get("/", *UPGRADE, version="1.0"))).status == 502


async def test_where_the_upgrade_is_declined_what_follows_is_the_next_request(serve: Serve) -> None:
    handler = Switching()
    server = await serve(handler)
    async with connected(server) as client:
        await client.send(get("/no", *UPGRADE) + get("/no"))
        assert (await client.hear()).status == 200
        assert (await client.hear()).status == 200
    assert handler.targets == ["/no", "/no"]
