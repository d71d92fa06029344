"""Bodies of requests: read with back-pressure, asked for, drained or cut off (RFC 9110 10.1.1, HAZARDS T08, T10)."""

from __future__ import annotations

import asyncio

import pytest

from seawall.downstream.exchange import Reply, Request, Sent
from seawall.http.body import BodyBroken
from seawall.http.message import ResponseHead
from tests.downstream.client import Recorder, connected, get, ok, until
from tests.downstream.conftest import Serve


def post(target: str, *lines: str) -> bytes:
    return get(target, *lines, method="POST")


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (post("/", "Content-Length: 5") + b"hello", b"hello"),
        (post("/", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n1;a=b\r\n!\r\n0\r\nX: y\r\n\r\n", b"hello!"),
        (post("/", "Transfer-Encoding: chunked") + b"0\r\n\r\n", b""),
        (get("/", "Content-Length: 35") + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n", None),
    ],
)
async def test_a_body_is_read_whole_and_what_follows_is_the_next_request(
    serve: Serve, data: bytes, body: bytes | None
) -> None:
    handler = Recorder()
    server = await serve(handler)
    async with connected(server) as client:
        await client.send(data + get("/next"))
        await client.hear()
        assert (await client.hear()).body == b"GET /next 0"
        for octet in data + get("/next"):
            await client.send(bytes([octet]))
        await client.hear()
        assert (await client.hear()).body == b"GET /next 0"
    expected = data.partition(b"\r\n\r\n")[2] if body is None else body
    assert handler.bodies == [expected, b""] * 2
    assert [request.head.target for request in handler.requests] == ["/", "/next"] * 2


async def test_there_is_no_body_where_framing_says_so(serve: Serve) -> None:
    handler = Recorder()
    server = await serve(handler)
    async with connected(server) as client:
        await client.ask(get())
        await client.ask(post("/", "Content-Length: 0", "Expect: 100-continue"))
        await client.ask(post("/", "Content-Length: 5") + b"hello")
        await client.ask(post("/", "Transfer-Encoding: chunked") + b"0\r\n\r\n")
    first, second, third, fourth = handler.requests
    assert first.body is None
    assert second.body is None
    assert third.body is not None
    assert third.body.length == 5
    assert fourth.body is not None
    assert fourth.body.length is None


async def test_a_body_that_nobody_reads_holds_its_sender_back(serve: Serve) -> None:
    go = asyncio.Event()
    total = 0

    async def handler(request: Request) -> Reply:
        nonlocal total
        await go.wait()
        assert request.body is not None
        while piece := await request.body.read():
            total += len(piece)
        return ok()

    server = await serve(handler)
    async with connected(server) as client:
        size = 30_000_000
        client.writer.write(post("/", f"Content-Length: {size}") + b"x" * size)
        await until(lambda: server.requests == 1)
        (connection,) = server.connections
        await until(lambda: not connection._reading)
        turn = connection._turn
        assert turn is not None
        assert turn.body is not None
        assert turn.body.seen_bytes < 1024 * 1024
        go.set()
        assert (await client.hear()).status == 200
    assert total == size


async def test_100_is_sent_when_the_body_is_first_read_and_only_then(serve: Serve) -> None:
    go = asyncio.Event()
    seen: list[Request] = []

    async def handler(request: Request) -> Reply:
        seen.append(request)
        request.interim(ResponseHead(102, "Processing"))
        await go.wait()
        assert request.body is not None
        body = b""
        while piece := await request.body.read():
            body += piece
        return ok(body)

    server = await serve(handler)
    async with connected(server) as client:
        assert (await client.ask(post("/", "Content-Length: 5", "Expect: 100-Continue"))).status == 102
        go.set()
        assert (await client.hear()).status == 100
        assert (await client.ask(b"hello")).body == b"hello"
        # RFC 9110 10.1.1: who sends without waiting is not told to go on.
        client.writer.write(post("/", "Content-Length: 5", "Expect: 100-continue") + b"hello")
        assert (await client.hear()).status == 102
        assert (await client.hear()).body == b"hello"
    assert "expect" not in seen[0].head.headers


async def test_100_from_upstream_is_passed_on_once_to_who_asked(serve: Serve) -> None:
    async def handler(request: Request) -> Reply:
        request.interim(ResponseHead(100, "Continue"))
        request.interim(ResponseHead(100, "Continue"))
        assert request.body is not None
        return ok(await request.body.read())

    server = await serve(handler)
    async with connected(server) as client:
        assert (await client.ask(post("/", "Content-Length: 5", "Expect: 100-continue"))).status == 100
        assert (await client.ask(b"hello")).body == b"hello"


async def test_expect_means_nothing_in_http_1_0(serve: Serve) -> None:
    server = await serve(Recorder())
    async with connected(server) as client:
        data = get("/", "Content-Length: 5", "Expect: 100-continueX", method="POST", version="1.0")
        assert (await client.ask(data + b"hello")).body == b"POST / 5"


async def test_a_final_answer_instead_of_100_ends_the_connection(serve: Serve) -> None:
    """The body may come or not: what follows cannot be told apart from a request (HAZARDS T10)."""
    handled: list[str] = []

    async def handler(request: Request) -> Reply:
        handled.append(request.head.target)
        return ok(status=403)

    server = await serve(handler)
    async with connected(server) as client:
        heard = await client.ask(post("/", "Content-Length: 34", "Expect: 100-continue"))
        assert (heard.status, heard.fields["connection"]) == (403, "close")
        await client.send(b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        assert await client.closed()
    assert handled == ["/"]


@pytest.mark.parametrize("framing", ["Content-Length: 60000", "Transfer-Encoding: chunked"])
async def test_a_small_body_left_unread_is_drained_and_the_connection_stays(serve: Serve, framing: str) -> None:
    async def handler(request: Request) -> Reply:
        return ok(request.head.target.encode())

    server = await serve(handler)
    body = b"x" * 60000
    if "chunked" in framing:
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    async with connected(server) as client:
        heard = await client.ask(post("/1", framing))
        assert (heard.body, heard.fields.get("connection")) == (b"/1", None)
        (connection,) = server.connections
        assert connection.state.value == "draining"
        await client.send(body[:30000])
        await client.send(body[30000:] + get("/2"))
        assert (await client.hear()).body == b"/2"
        # and the same when all of it is here already
        await client.send(post("/3", framing) + body + get("/4"))
        assert [(await client.hear()).body for _ in range(2)] == [b"/3", b"/4"]
    assert server.client_aborts == 0


async def test_a_large_body_left_unread_ends_the_connection_behind_the_reply(serve: Serve) -> None:
    handled: list[str] = []

    async def handler(request: Request) -> Reply:
        handled.append(request.head.target)
        return ok()

    server = await serve(handler)
    async with connected(server) as client:
        heard = await client.ask(post("/1", "Content-Length: 300000"))
        assert heard.fields["connection"] == "close"
        client.writer.write(b"x" * 300000 + get("/2"))
        assert await client.closed()
    async with connected(server) as client:
        heard = await client.ask(post("/3", "Transfer-Encoding: chunked"))
        assert "connection" not in heard.fields  # nobody knows yet how long it is
        client.writer.write(b"20000\r\n" + b"x" * 0x20000 + b"\r\n0\r\n\r\n" + get("/4"))
        assert await client.closed()
    assert handled == ["/1", "/3"]


async def test_a_bad_chunk_in_a_body_left_unread_ends_the_connection(serve: Serve) -> None:
    handled: list[str] = []

    async def handler(request: Request) -> Reply:
        handled.append(request.head.target)
        return ok()

    server = await serve(handler)
    async with connected(server) as client:
        await client.ask(post("/1", "Transfer-Encoding: chunked"))
        await client.send(b"zz\r\n" + get("/2"))
        assert await client.closed()
    assert handled == ["/1"]


async def test_a_client_that_leaves_amid_its_body_breaks_it(serve: Serve) -> None:
    errors: list[BaseException] = []
    sent: list[Sent] = []

    async def handler(request: Request) -> Reply:
        assert request.body is not None
        assert await request.body.read() == b"hel"
        try:
            await request.body.read()
        except BaseException as error:
            errors.append(error)
            raise
        return ok()

    server = await serve(handler)
    for leave in ("end", "reset"):
        async with connected(server) as client:
            await client.send(post("/", "Content-Length: 5") + b"hel")
            await until(lambda: bool(server.open))
            (connection,) = server.connections
            await until(lambda: connection._turn is not None and connection._turn.body is not None)  # noqa: B023
            await asyncio.sleep(0.01)
            client.end() if leave == "end" else client.reset()
            await until(lambda: server.open == 0)
    await until(lambda: len(errors) == 2)
    assert all(isinstance(error, BodyBroken | asyncio.CancelledError) for error in errors)
    assert server.client_aborts == 2
    assert sent == []


async def test_who_reads_on_behind_the_reply_is_told_that_it_is_over(serve: Serve) -> None:
    """A detached reader, such as an upload that the origin answered early, must not wait for ever."""
    reading: list[asyncio.Task[bytes]] = []

    async def handler(request: Request) -> Reply:
        assert request.body is not None
        reading.append(asyncio.create_task(request.body.read()))
        await asyncio.sleep(0)
        return ok()

    server = await serve(handler)
    for length in (300, 300_000):
        async with connected(server) as client:
            assert (await client.ask(post("/", f"Content-Length: {length}"))).status == 200
            with pytest.raises(BodyBroken):
                await asyncio.wait_for(reading.pop(), 5)
