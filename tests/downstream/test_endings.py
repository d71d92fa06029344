"""Who leaves, who stalls, who is asked to go: every timer, every cancellation, drain (HAZARDS T60, T61, F18)."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from seawall.downstream.connection import State
from seawall.downstream.exchange import Reply, Request, Sent
from seawall.downstream.server import Limits, Server
from seawall.http.message import ResponseHead
from tests.downstream.client import Endless, Pieces, Recorder, connected, get, ok, until
from tests.downstream.conftest import Serve

SOON = 0.05


class Held:
    """A handler that waits for its gate, and knows whether it was cancelled."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.begun = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.sent: list[Sent] = []

    async def __call__(self, request: Request) -> Reply:
        self.begun.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        reply = ok()
        reply.done = self.sent.append
        return reply


class Ticking:
    """A body that says something every now and then."""

    length = None

    def __init__(self, ticks: int) -> None:
        self._ticks = ticks

    async def read(self) -> bytes:
        await asyncio.sleep(0.03)
        self._ticks -= 1
        return b"x" if self._ticks >= 0 else b""

    def close(self) -> None:
        pass


async def test_slowloris_gets_408_however_often_it_sends_a_byte(serve: Serve) -> None:
    handler = Recorder()
    server = await serve(handler, Limits(header_timeout=0.2))
    async with connected(server) as client:
        began = asyncio.get_running_loop().time()
        drip = asyncio.create_task(_drip(client.writer))
        heard = await client.hear()
        assert heard.status == 408
        assert asyncio.get_running_loop().time() - began < 2
        assert await client.closed()
        drip.cancel()
    assert server.timeouts["header"] == 1
    assert server.bad_requests == {408: 1}
    assert handler.requests == []


async def _drip(writer: asyncio.StreamWriter) -> None:
    writer.write(b"GET / HTTP/1.1\r\n")
    while not writer.transport.is_closing():
        writer.write(b"X: y\r\n")
        await asyncio.sleep(0.01)


async def test_a_client_that_says_nothing_is_closed_without_a_word(serve: Serve) -> None:
    server = await serve(Recorder(), Limits(header_timeout=SOON))
    async with connected(server) as client:
        assert await client.closed()
    assert server.timeouts == {"header": 1}
    assert not server.bad_requests


async def test_the_second_head_has_its_own_time(serve: Serve) -> None:
    server = await serve(Recorder(), Limits(header_timeout=SOON, idle_timeout=10))
    async with connected(server) as client:
        await client.ask(get())
        await asyncio.sleep(2 * SOON)  # idle is not a head
        assert (await client.ask(b"GET")).status == 408


async def test_an_idle_connection_is_closed(serve: Serve) -> None:
    server = await serve(Recorder(), Limits(idle_timeout=SOON))
    async with connected(server) as client:
        await client.ask(get())
        assert await client.closed()
    assert server.timeouts == {"idle": 1}


async def test_each_request_renews_the_idle_time(serve: Serve) -> None:
    server = await serve(Recorder(), Limits(idle_timeout=0.2))
    async with connected(server) as client:
        for _ in range(8):
            await client.ask(get())
            await asyncio.sleep(0.05)
        assert not server.timeouts


async def test_a_stalled_body_gets_408_and_its_handler_is_cancelled(serve: Serve) -> None:
    handler = Recorder()
    server = await serve(handler, Limits(body_stall=SOON))
    async with connected(server) as client:
        heard = await client.ask(get("/", "Content-Length: 5", method="POST") + b"hel")
        assert heard.status == 408
        assert await client.closed()
    assert server.timeouts == {"body": 1}
    assert handler.bodies == []


async def test_a_body_that_trickles_is_not_stalled(serve: Serve) -> None:
    handler = Recorder()
    server = await serve(handler, Limits(body_stall=0.3))
    async with connected(server) as client:
        await client.send(get("/", "Content-Length: 8", method="POST"))
        for _ in range(8):
            await client.send(b"x")
            await asyncio.sleep(0.06)
        assert (await client.hear()).body == b"POST / 8"


async def test_a_body_is_not_stalled_by_our_own_waiting(serve: Serve) -> None:
    go = asyncio.Event()

    async def handler(request: Request) -> Reply:
        await go.wait()
        assert request.body is not None
        while await request.body.read():
            pass
        return ok()

    server = await serve(handler, Limits(body_stall=SOON))
    size = 10_000_000
    async with connected(server) as client:
        client.writer.write(get("/", f"Content-Length: {size}", method="POST") + b"x" * size)
        await asyncio.sleep(3 * SOON)
        go.set()
        assert (await client.hear()).status == 200
    go.clear()
    async with connected(server) as client:
        await client.send(get("/", "Content-Length: 1", "Expect: 100-continue", method="POST"))
        await asyncio.sleep(3 * SOON)  # the client waits for us
        go.set()
        assert (await client.hear()).status == 100
        assert (await client.ask(b"x")).status == 200
    assert not server.timeouts


@pytest.mark.parametrize("kind", ["endless", "whole"])
async def test_a_client_that_does_not_read_is_cut(serve: Serve, kind: str) -> None:
    sent: list[Sent] = []
    body = Endless()

    async def handler(request: Request) -> Reply:
        return Reply(ResponseHead(200, "OK"), body if kind == "endless" else (b"x" * 50_000_000,), sent.append)

    server = await serve(handler, Limits(send_stall=SOON))
    async with connected(server, receive_bytes=4096) as client:
        await client.send(get())
        await until(lambda: bool(sent))
        await until(lambda: server.open == 0)
    assert server.timeouts == {"send": 1}
    assert not sent[0].complete
    assert server.client_aborts == 0


async def test_a_client_that_reads_slowly_is_not_cut(serve: Serve) -> None:
    async def handler(request: Request) -> Reply:
        return Reply(ResponseHead(200, "OK"), (b"x" * 3_000_000,))

    server = await serve(handler, Limits(send_stall=0.4))
    async with connected(server, receive_bytes=4096) as client:
        await until(lambda: server.open == 1)
        (connection,) = server.connections
        connection._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        await client.send(get())
        began = asyncio.get_running_loop().time()
        await client.head()
        got = 0
        while got < 3_000_000:
            got += len(await client.reader.read(65536))
            if asyncio.get_running_loop().time() - began < 1:
                await asyncio.sleep(0.02)
    assert not server.timeouts


async def test_a_last_reply_that_nobody_reads_does_not_keep_the_connection_for_ever(serve: Serve) -> None:
    async def handler(request: Request) -> Reply:
        return Reply(ResponseHead(200, "OK"), (b"x" * 200_000,))

    server = await serve(handler, Limits(send_stall=SOON, linger=SOON))
    async with connected(server, receive_bytes=4096) as client:
        await until(lambda: server.open == 1)
        (connection,) = server.connections
        connection._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        await client.send(get("/", "Connection: close"))
        await until(lambda: server.open == 0)


async def test_a_client_that_leaves_cancels_the_handler(serve: Serve) -> None:
    handler = Held()
    server = await serve(handler)
    async with connected(server) as client:
        await client.send(get())
        await handler.begun.wait()
        (connection,) = server.connections
        assert repr(connection) == "<Connection 127.0.0.1 busy GET http://a/ served=0>"
        client.reset()
        await handler.cancelled.wait()
    assert server.client_aborts == 1
    assert handler.sent == []


async def test_a_client_that_closes_is_given_a_moment_and_then_taken_for_gone(serve: Serve) -> None:
    handler = Held()
    server = await serve(handler, Limits(half_close_grace=SOON))
    async with connected(server) as client:
        await client.send(get())
        await handler.begun.wait()
        client.end()
        await handler.cancelled.wait()
        assert await client.closed()
    assert server.client_aborts == 1
    assert server.timeouts == {"half-close": 1}


async def test_a_client_that_closes_amid_a_silent_stream_is_taken_for_gone(serve: Serve) -> None:
    sent: list[Sent] = []
    body = Pieces([b"x"], gate=asyncio.Event())

    async def handler(request: Request) -> Reply:
        return Reply(ResponseHead(200, "OK"), body, sent.append)

    server = await serve(handler, Limits(half_close_grace=SOON))
    async with connected(server) as client:
        await client.send(get())
        await client.head()
        client.end()
        await until(lambda: bool(sent))
    assert server.timeouts == {"half-close": 1}
    assert (sent, body.closed) == ([Sent(0, False)], 1)


async def test_a_client_that_half_closes_hears_a_long_answer_to_its_end(serve: Serve) -> None:
    async def handler(request: Request) -> Reply:
        return Reply(ResponseHead(200, "OK"), Ticking(10))

    server = await serve(handler, Limits(half_close_grace=0.15))
    async with connected(server) as client:
        await client.send(get())
        await client.head()
        client.end()
        assert (await client.rest()).endswith(b"0\r\n\r\n")
    assert not server.timeouts


async def test_a_client_that_half_closes_gets_its_answers(serve: Serve) -> None:
    handler = Recorder()
    server = await serve(handler)
    async with connected(server) as client:
        await client.send(get("/1") + get("/2"))
        client.end()
        assert (await client.hear()).body == b"GET /1 0"
        last = await client.hear()
        assert last.body == b"GET /2 0"
        assert await client.closed()
    async with connected(server) as client:
        await client.send(get("/3"))
        await until(lambda: len(handler.requests) == 3)
        client.end()
        assert (await client.hear()).body == b"GET /3 0"
        assert await client.closed()
    assert server.client_aborts == 0


async def test_a_client_that_leaves_before_the_head_settles_the_reply(serve: Serve) -> None:
    """A handler that will not be stopped still has its reply settled, once, and its body closed."""
    sent: list[Sent] = []
    body = Pieces([b"hello"], 5)
    begun = asyncio.Event()

    async def handler(request: Request) -> Reply:
        begun.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return Reply(ResponseHead(200, "OK"), body, sent.append)

    server = await serve(handler)
    async with connected(server) as client:
        await client.send(get())
        await begun.wait()
        client.reset()
        await until(lambda: bool(sent))
    assert sent == [Sent(0, False)]
    assert (body.pulled, body.closed) == (0, 1)


async def test_a_client_that_leaves_amid_the_reply_closes_the_reader(serve: Serve) -> None:
    gate, sent = asyncio.Event(), list[Sent]()
    body = Pieces([b"hello"], 10, gate=gate)

    async def handler(request: Request) -> Reply:
        return Reply(ResponseHead(200, "OK"), body, sent.append)

    server = await serve(handler)
    for leave_after in ("head", "piece"):
        gate.clear()
        body.pieces, body.closed = [b"hello"], 0
        async with connected(server) as client:
            await client.send(get())
            await client.head()
            if leave_after == "piece":
                gate.set()
                assert await client.reader.readexactly(5) == b"hello"
                gate.clear()
                body.pieces = [b"more!"]
            client.reset()
            await until(lambda: bool(sent))
        assert sent.pop() == Sent(5 if leave_after == "piece" else 0, False) or leave_after == "piece"
        assert body.closed == 1


async def test_drain_refuses_new_ends_idle_and_finishes_what_is_under_way(serve: Serve) -> None:
    handler = Held()
    server = await serve(handler)
    async with connected(server) as busy, connected(server) as idle, connected(server) as half:
        handler.gate.set()
        await idle.ask(get())
        handler.gate.clear()
        handler.begun.clear()
        await busy.send(get() + get("/never"))
        await handler.begun.wait()
        await half.send(b"GET / HT")
        await until(lambda: any(connection.state is State.HEAD for connection in server.connections))
        port = server.port
        draining = asyncio.create_task(server.drain(10))
        assert await idle.closed()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        handler.gate.set()
        for client in (busy, half):
            if client is half:
                await client.send(b"TP/1.1\r\nHost: a\r\n\r\n")
            heard = await client.hear()
            assert (heard.status, heard.fields["connection"]) == (200, "close")
            assert await client.closed()
            client.writer.close()
        await draining
    assert server.open == 0
    assert repr(server) == f"<Server test draining open=0 accepted={server.accepted}>"
    assert handler.sent == [Sent(5, True)] * 3


async def test_drain_ends_a_connection_whose_last_body_is_still_thrown_away(serve: Serve) -> None:
    async def handler(request: Request) -> Reply:
        return ok()

    server = await serve(handler)
    async with connected(server) as client:
        assert (await client.ask(get("/", "Content-Length: 5", method="POST"))).status == 200
        (connection,) = server.connections
        assert connection.state is State.DRAINING
        draining = asyncio.create_task(server.drain(30))
        await until(lambda: connection._draining)
        await client.send(b"hello")
        assert await client.closed()
        client.writer.close()
        await asyncio.wait_for(draining, 5)


async def test_drain_cuts_what_outlasts_its_grace(serve: Serve) -> None:
    handler = Held()
    server = await serve(handler)
    async with connected(server) as client:
        await client.send(get())
        await handler.begun.wait()
        await server.drain(SOON)
        assert handler.cancelled.is_set()
        assert await client.closed()
    assert server.open == 0
    assert not server._tasks


async def test_drain_waits_for_handlers_that_take_their_time_to_let_go(serve: Serve) -> None:
    let_go = False
    begun = asyncio.Event()

    async def handler(request: Request) -> Reply:
        nonlocal let_go
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(SOON)
            let_go = True
        return ok()

    server = await serve(handler)
    async with connected(server) as client:
        await client.send(get())
        await begun.wait()
        await server.drain(0)
        assert let_go


async def test_many_connections_come_and_go_and_nothing_is_left(serve: Serve) -> None:
    server: Server = await serve(Recorder())

    async def one(number: int) -> None:
        async with connected(server) as client:
            for _ in range(number % 4):
                assert (await client.ask(get())).status == 200
            if number % 3 == 0:
                client.reset()

    await asyncio.gather(*(one(number) for number in range(100)))
    await until(lambda: server.open == 0)
    assert server.accepted == 100
    assert not server.connections
    assert not server._tasks
