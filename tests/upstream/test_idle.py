"""What an origin does to a connection that nobody uses, and which connections are used again."""

from __future__ import annotations

import asyncio
import socket

import pytest

from seawall.upstream.address import Timeouts
from seawall.upstream.connection import Connection, Place, State
from tests.upstream.scripted import OK, Peer, always, pool_of, request, stage, until, whole

EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"


async def test_an_unsolicited_response_is_nobodys_answer() -> None:
    """HAZARDS T20, aio-libs/aiohttp#13656."""
    push = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(OK)
        if peer.number == 1:
            await push.wait()
            await peer.send(EVIL)
        await peer.left()

    async with stage(script) as pool:
        assert await whole((await pool.exchange(request(), None)).body) == b"hello"
        assert pool.idle == 1
        push.set()
        await until(lambda: pool.idle == 0)
        assert pool.intrusions == 1
        assert await whole((await pool.exchange(request("GET", "/other"), None)).body) == b"hello"
        assert pool.opened == 2


@pytest.mark.parametrize("push", [EVIL, b"x", b""])
async def test_what_waits_unread_in_the_socket_is_nobodys_answer_either(push: bytes) -> None:
    """The octets (or the FIN) are there, but the loop has not looked yet when the next request comes."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        async with pool_of(server.getsockname()[1]) as pool:
            first = asyncio.create_task(pool.exchange(request("POST"), None))
            peer, _ = await loop.sock_accept(server)
            with peer:
                peer.setblocking(False)
                await loop.sock_recv(peer, 65536)
                await loop.sock_sendall(peer, OK)
                assert await whole((await first).body) == b"hello"
                assert pool.idle == 1
                # From here to the exchange the loop does not turn.
                if push:
                    peer.send(push)
                else:
                    peer.shutdown(socket.SHUT_WR)
                second = asyncio.create_task(pool.exchange(request("POST", "/other"), None))
                next_peer, _ = await loop.sock_accept(server)
                with next_peer:
                    next_peer.setblocking(False)
                    assert (await loop.sock_recv(next_peer, 65536)).startswith(b"POST /other")
                    await loop.sock_sendall(next_peer, OK)
                    assert await whole((await second).body) == b"hello"
                    assert (pool.opened, pool.retried, pool.idle_closed) == (2, 0, 1)


BEHIND = {
    "length": OK + b"x",
    "a second answer": OK + EVIL,
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nx",
    "204": b"HTTP/1.1 204 No Content\r\n\r\nx",
    "304": b"HTTP/1.1 304 Not Modified\r\n\r\nhello",
}


@pytest.mark.parametrize("name", BEHIND)
async def test_octets_behind_an_answer_cost_the_connection_not_the_answer(name: str) -> None:
    async with stage(always(BEHIND[name])) as pool:
        for number in (1, 2):
            answer = await pool.exchange(request(), None)
            assert await whole(answer.body) == (b"" if name in ("204", "304") else b"hello")
            assert (pool.opened, pool.reused, pool.intrusions, pool.idle) == (number, 0, number, 0)


async def test_a_head_answer_with_a_body_poisons_nothing() -> None:
    async with stage(always(OK)) as pool:
        for _ in range(2):
            answer = await pool.exchange(request("HEAD"), None)
            assert await whole(answer.body) == b""
        assert (pool.opened, pool.intrusions) == (2, 2)


@pytest.mark.parametrize("end", ["FIN", "RST"])
async def test_a_connection_that_the_origin_ends_leaves_the_pool(end: str) -> None:
    may_end = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(OK)
        await may_end.wait()
        if end == "RST":
            peer.reset()
        else:
            peer.fin()

    async with stage(script) as pool:
        await pool.exchange(request(), None)
        await until(lambda: pool.idle == 1)
        may_end.set()
        await until(lambda: pool.idle == 0)
        assert (pool.idle_closed, pool.intrusions) == (1, 0)


async def test_the_last_one_back_is_the_first_one_out() -> None:
    served: list[int] = []
    answer_now = [asyncio.Event(), asyncio.Event()]

    async def script(peer: Peer) -> None:
        while True:
            await peer.head()
            served.append(peer.number)
            await answer_now[peer.number - 1].wait()
            await peer.send(OK)

    async with stage(script) as pool:
        one = asyncio.create_task(pool.exchange(request(), None))
        await until(lambda: len(served) == 1)
        two = asyncio.create_task(pool.exchange(request(), None))
        await until(lambda: len(served) == 2)
        answer_now[1].set()
        await two
        await until(lambda: pool.idle == 1)
        answer_now[0].set()
        await one
        await until(lambda: pool.idle == 2)
        for _ in range(3):
            await whole((await pool.exchange(request(), None)).body)
        assert served == [1, 2, 1, 1, 1]


async def test_an_idle_connection_is_closed_before_the_origin_would() -> None:
    async with stage(always(), timeouts=Timeouts(keep_alive=0.03)) as pool:
        for _ in range(3):
            await whole((await pool.exchange(request(), None)).body)
        assert (pool.opened, pool.idle) == (1, 1)
        await until(lambda: pool.idle == 0)
        assert (pool.idle_closed, pool.failures.total()) == (1, 0)


@pytest.mark.parametrize(
    ("hint", "seconds"),
    [
        ("timeout=2", 1.0),
        ("timeout=2, max=100", 1.0),
        ("max=9,timeout=3", 2.0),
        ("timeout=1", 0.5),
        ("timeout=0", 0.5),
        ("timeout=75", 4.0),
        ("timeout=x", 4.0),
        ("timeout=-1", 4.0),
        ("timeout=99999999999999999999", 4.0),
        ("", 4.0),
    ],
)
async def test_a_shorter_keep_alive_of_the_origin_is_believed(hint: str, seconds: float) -> None:
    wire = f"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: {hint}\r\n\r\n".encode()
    async with stage(always(wire)) as pool:
        await pool.exchange(request(), None)
        await until(lambda: pool.idle == 1)
        assert pool.kept()[0].keep_alive == seconds


async def test_the_state_is_told_by_repr() -> None:
    class Nobody:
        def came(self, connection: Connection) -> None: ...
        def released(self, connection: Connection) -> None: ...
        def lost(self, connection: Connection) -> None: ...
        def gone(self, connection: Connection) -> None: ...
        def broke(self, reason: object) -> None: ...
        def intruded(self) -> None: ...

    async with stage(always()) as pool:
        connection = Connection(asyncio.get_running_loop(), pool.address, pool.timeouts, Nobody())
        where = str(pool.address)
        assert (connection.state, connection.place) == (State.IDLE, Place.OPENING)
        assert repr(connection) == f"<Connection idle to {where}, exchange 0>"
        connection.begin("GET", interim=None, asked_upgrade=False, asked_continue=False, sending=True)
        assert repr(connection) == f"<Connection sending to {where}, exchange 1>"
        connection.sent()
        assert repr(connection) == f"<Connection awaiting to {where}, exchange 1>"
        connection.data_received(OK[:-1])
        assert repr(connection) == f"<Connection reading to {where}, exchange 1>"
        connection.data_received(OK[-1:])
        assert repr(connection) == f"<Connection idle to {where}, exchange 1>"
        connection.data_received(b"x")
        assert repr(connection) == f"<Connection closed to {where}, exchange 1, unsolicited octets while idle>"
