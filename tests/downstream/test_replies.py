"""How replies go out: framing, order, back-pressure, and that nothing broken looks whole (HAZARDS T22, T27)."""

from __future__ import annotations

import asyncio
import socket

import pytest

from seawall.downstream.connection import Connection
from seawall.downstream.exchange import Reply, Request, Sent
from seawall.downstream.server import Limits
from seawall.http.headers import headers
from seawall.http.message import ResponseHead
from tests.downstream.client import PATIENCE, Endless, Pieces, Recorder, connected, get, ok, until
from tests.downstream.conftest import Serve


def reading(body: Pieces | Endless, *pairs: tuple[str, str], status: int = 200) -> Reply:
    return Reply(ResponseHead(status, "OK", headers(pairs)), body)


@pytest.mark.parametrize(
    ("pieces", "length", "version", "framing"),
    [
        ([b"hello", b"world"], 10, "1.1", ("content-length", "10")),
        ([b"hello", b"world"], None, "1.1", ("transfer-encoding", "chunked")),
        ([], None, "1.1", ("transfer-encoding", "chunked")),
        ([], 0, "1.1", ("content-length", "0")),
        ([b"hello", b"world"], 10, "1.0", ("content-length", "10")),
        ([b"hello", b"world"], None, "1.0", ("connection", "close")),
        ([], None, "1.0", ("connection", "close")),
    ],
)
@pytest.mark.parametrize("late", [False, True])
async def test_a_reader_is_framed_by_what_is_known(
    serve: Serve, pieces: list[bytes], length: int | None, version: str, framing: tuple[str, str], late: bool
) -> None:
    gate = asyncio.Event() if late else None
    body, sent = Pieces(list(pieces), length, gate=gate), list[Sent]()

    async def handler(request: Request) -> Reply:
        reply = reading(body, ("Content-Length", "99"), ("Transfer-Encoding", "gzip"), ("Keep-Alive", "x"))
        reply.done = sent.append
        return reply

    server = await serve(handler)
    async with connected(server) as client:
        await client.send(get("/", *(["Connection: keep-alive"] if version == "1.0" else []), version=version))
        if gate is not None:
            # The head does not wait for a body that is late.
            block = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), PATIENCE)
            gate.set()
            client.reader._buffer[:0] = block  # type: ignore[attr-defined]
        heard = await client.hear()
        assert heard.body == b"".join(pieces)
        name, value = framing
        assert heard.fields[name] == value
        assert "keep-alive" not in heard.fields
        assert heard.fields.get("connection") == {"1.1": None, "1.0": "keep-alive"}[version] or length is None
        if framing == ("connection", "close"):
            assert await client.closed()
    assert sent == [Sent(len(b"".join(pieces)), True)]
    assert body.closed == 1


async def test_head_and_first_piece_go_out_in_one_write(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[list[bytes]] = []

    async def handler(request: Request) -> Reply:
        return reading(Pieces([b"hello"], 5))

    server = await serve(handler)
    async with connected(server) as client:
        await until(lambda: server.open == 1)
        (connection,) = server.connections
        write = type(connection).write

        def spy(self: object, pieces: tuple[bytes, ...]) -> None:
            writes.append(list(pieces))
            write(connection, pieces)

        monkeypatch.setattr(type(connection), "write", spy)
        assert (await client.ask(get())).body == b"hello"
    assert [len(pieces) for pieces in writes] == [2]


@pytest.mark.parametrize(
    ("method", "status", "fields", "shown"),
    [
        ("HEAD", 200, [("Content-Length", "1234")], {"content-length": "1234"}),
        ("HEAD", 200, [], {}),
        ("GET", 304, [("Content-Length", "1234")], {"content-length": "1234"}),
        ("GET", 304, [], {}),
        ("GET", 204, [("Content-Length", "0")], {}),
        ("GET", 200, [], {"content-length": "0"}),
        ("GET", 200, [("Content-Length", "7")], {"content-length": "0"}),
        ("HEAD", 200, [("Transfer-Encoding", "chunked")], {}),
    ],
)
async def test_replies_without_content(
    serve: Serve, method: str, status: int, fields: list[tuple[str, str]], shown: dict[str, str]
) -> None:
    async def handler(request: Request) -> Reply:
        return ok(b"", *fields, status=status)

    server = await serve(handler)
    async with connected(server) as client:
        for _ in range(2):
            heard = await client.ask(get(method=method), method)
            assert heard.status == status
            framing = {k: v for k, v in heard.fields.items() if k in ("content-length", "transfer-encoding")}
            assert framing == shown


async def test_a_body_that_must_not_be_there_is_not_sent(serve: Serve) -> None:
    body = Pieces([b"hello"], 5)

    async def handler(request: Request) -> Reply:
        return reading(body) if request.head.target == "/reader" else ok(b"hello")

    server = await serve(handler)
    async with connected(server) as client:
        for target in ("/reader", "/tuple"):
            assert (await client.ask(get(target, method="HEAD"), "HEAD")).status == 200
        assert (await client.ask(get())).body == b"hello"
    assert (body.pulled, body.closed) == (0, 1)


async def test_date_is_added_only_where_there_is_none(serve: Serve) -> None:
    async def handler(request: Request) -> Reply:
        return ok(b"", *([("date", "then")] if request.head.target == "/then" else []))

    server = await serve(handler)
    async with connected(server) as client:
        assert (await client.ask(get("/then"))).fields["date"] == "then"
        assert (await client.ask(get("/now"))).fields["date"].endswith(" GMT")


@pytest.mark.parametrize(
    ("version", "connection", "shown", "stays"),
    [
        ("1.1", None, None, True),
        ("1.1", "close", "close", False),
        ("1.0", None, "close", False),
        ("1.0", "keep-alive", "keep-alive", True),
    ],
)
async def test_the_connection_stays_or_goes_as_agreed(
    serve: Serve, version: str, connection: str | None, shown: str | None, stays: bool
) -> None:
    server = await serve(Recorder())
    async with connected(server) as client:
        data = get("/", *([f"Connection: {connection}"] if connection else []), version=version)
        heard = await client.ask(data)
        assert heard.fields.get("connection") == shown
        if stays:
            assert (await client.ask(data)).status == 200
        else:
            assert await client.closed()


async def test_a_reply_may_ask_for_the_end_and_so_may_a_limit(serve: Serve) -> None:
    async def handler(request: Request) -> Reply:
        return ok(b"", *([("Connection", "close, x-mine")] if request.head.target == "/end" else []))

    server = await serve(handler, Limits(max_requests=2))
    async with connected(server) as client:
        assert (await client.ask(get("/end"))).fields["connection"] == "close"
        assert await client.closed()
    async with connected(server) as client:
        assert "connection" not in (await client.ask(get())).fields
        assert (await client.ask(get())).fields["connection"] == "close"
        assert await client.closed()


async def test_pipelined_requests_are_answered_one_at_a_time_and_in_order(serve: Serve) -> None:
    running, most = 0, 0

    async def handler(request: Request) -> Reply:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.002 if request.head.target == "/0" else 0)
        running -= 1
        return ok(request.head.target.encode())

    server = await serve(handler)
    async with connected(server) as client:
        await client.send(b"".join(get(f"/{number}") for number in range(1000)))
        for number in range(1000):
            assert (await client.hear()).body == f"/{number}".encode()
    assert most == 1


async def test_read_ahead_is_bounded(serve: Serve) -> None:
    gate = asyncio.Event()

    async def handler(request: Request) -> Reply:
        await gate.wait()
        return ok(b"x")

    server = await serve(handler)
    async with connected(server) as client:
        one = get("/", "X: " + "y" * 1000)
        number = 8_000_000 // len(one)
        client.writer.write(one * number)
        await until(lambda: server.open == 1)
        (connection,) = server.connections
        await until(lambda: not connection._reading)
        held = len(connection._pending)
        assert 64 * 1024 < held < 1024 * 1024
        gate.set()
        for _ in range(number):
            assert (await client.hear()).body == b"x"


@pytest.mark.parametrize("kind", ["endless", "tuple"])
async def test_a_slow_reader_slows_the_source(serve: Serve, kind: str) -> None:
    body, sent = Endless(), list[Sent]()

    async def handler(request: Request) -> Reply:
        whole = tuple(b"x" * 65536 for _ in range(1024))
        head = ResponseHead(200, "OK")
        return Reply(head, body if kind == "endless" else whole, sent.append)

    server = await serve(handler)
    async with connected(server, receive_bytes=4096) as client:
        await client.send(get())
        await client.reader.readexactly(1)
        (connection,) = server.connections
        await until(lambda: connection.full)
        before = body.pulled_bytes
        for _ in range(50):
            await asyncio.sleep(0)
        held = connection._transport.get_write_buffer_size()
        assert held < 1024 * 1024
        assert body.pulled_bytes == before < 16 * 1024 * 1024
        await client.reader.readexactly(64 * 1024)
        client.reset()
        await until(lambda: bool(sent))
    assert not sent[0].complete
    assert kind == "tuple" or body.closed


async def test_a_large_body_in_memory_arrives_whole(serve: Serve) -> None:
    pieces = tuple(bytes([number]) * 700_001 for number in range(7))
    sent = list[Sent]()

    async def handler(request: Request) -> Reply:
        return Reply(ResponseHead(200, "OK"), pieces, sent.append)

    server = await serve(handler)
    async with connected(server) as client:
        assert (await client.ask(get())).body == b"".join(pieces)
        assert (await client.ask(get())).body == b"".join(pieces)
    assert sent == [Sent(7 * 700_001, True)] * 2


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "late"])
@pytest.mark.parametrize(
    ("pieces", "length", "broken", "version"),
    [
        ([b"hello"], 10, True, "1.1"),
        ([b"hello"], None, True, "1.1"),
        ([], None, True, "1.1"),
        ([b"hello"], None, True, "1.0"),
        ([], None, True, "1.0"),
        ([b"hello"], 10, False, "1.1"),
        ([b"hello", b"world!"], 10, False, "1.1"),
        ([b"hello"], 10, False, "1.0"),
    ],
)
async def test_a_broken_body_never_looks_whole(
    serve: Serve, pieces: list[bytes], length: int | None, broken: bool, version: str, at_once: bool
) -> None:
    gate = None if at_once else asyncio.Event()
    body, sent = Pieces(list(pieces), length, broken, gate), list[Sent]()

    async def handler(request: Request) -> Reply:
        if gate is not None:
            asyncio.get_running_loop().call_soon(gate.set)
        return Reply(ResponseHead(200, "OK"), body, sent.append)

    server = await serve(handler)
    async with connected(server) as client:
        await client.send(get(version=version) + get("/next"))
        try:
            data = await client.rest()
        except ConnectionResetError:
            data = None
        if version == "1.0" and length is None:
            assert data is None, "only a reset shows that a close-delimited body is not whole"
        else:
            assert data is not None
            head, _, rest = data.partition(b"\r\n\r\n")
            assert b" 200 OK" in head
            assert b"0\r\n\r\n" not in rest
            assert length is None or len(rest) < length
    assert len(sent) == 1
    assert not sent[0].complete
    assert sent[0].body_bytes <= 5
    assert body.closed == 1
    assert server.client_aborts == 0


@pytest.mark.parametrize(
    ("reason", "field"),
    [
        ("O\rK", ("X", "y")),
        ("OK", ("X", "a\rSet-Cookie: evil=1")),
        ("OK", ("X", "a\r\n\r\nGET /")),
        ("OK", ("X\nY", "a")),
        ("OK", ("X", "\u20ac")),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_reply_head_cannot_be_split(serve: Serve, reason: str, field: tuple[str, str], method: str) -> None:
    body, sent = Pieces([b"hello"], 5), list[Sent]()

    async def handler(request: Request) -> Reply:
        return Reply(ResponseHead(200, reason, headers([field])), body, sent.append)

    server = await serve(handler)
    async with connected(server) as client:
        for _ in range(2):  # the connection is none the worse for it
            heard = await client.ask(get(method=method), method)
            assert heard.status == 502
            assert b"evil" not in heard.raw_head
    assert sent == [Sent(0, False)] * 2
    assert body.closed == 2


@pytest.mark.parametrize("status", [100, 103, 199])
async def test_an_interim_status_is_no_reply(serve: Serve, status: int) -> None:
    async def handler(request: Request) -> Reply:
        return ok(status=status)

    server = await serve(handler)
    async with connected(server) as client:
        assert (await client.ask(get())).status == 502


async def test_interim_responses_come_before_the_final_one_and_in_order(serve: Serve) -> None:
    late: list[Request] = []

    async def handler(request: Request) -> Reply:
        late.append(request)
        request.interim(ResponseHead(103, "Early Hints", headers([("Link", "</a>"), ("Connection", "x")])))
        request.interim(ResponseHead(100, "Continue"))  # nobody asked for it
        request.interim(ResponseHead(102, "Processing"))
        with pytest.raises(ValueError):
            request.interim(ResponseHead(200, "OK"))
        return ok()

    server = await serve(handler)
    async with connected(server) as client:
        hints = await client.ask(get())
        assert (hints.status, hints.fields) == (103, {"link": "</a>"})
        assert (await client.hear()).status == 102
        assert (await client.hear()).status == 200
        late[0].interim(ResponseHead(103, "Early Hints"))  # too late for its own request, and never the next one's
        final = await client.ask(get(version="1.0"))
        assert final.status == 200
        assert await client.closed()


async def test_a_handler_that_fails_is_a_500_and_a_stack_in_the_log(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(request: Request) -> Reply:
        if request.head.target == "/cancelled":
            raise asyncio.CancelledError
        raise RuntimeError("secret")

    server = await serve(handler)
    async with connected(server) as client:
        for target in ("/", "/cancelled"):
            heard = await client.ask(get(target))
            assert heard.status == 500
            assert "secret" not in heard.problem()
        assert (await client.ask(get(method="HEAD"), "HEAD")).status == 500
    assert caplog.text.count("Traceback") == 3
    assert "secret" in caplog.text


async def test_done_that_fails_is_logged_and_hurts_nobody(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    def done(sent: Sent) -> None:
        raise RuntimeError("oops")

    async def handler(request: Request) -> Reply:
        reply = ok()
        reply.done = done
        return reply

    server = await serve(handler)
    async with connected(server) as client:
        assert (await client.ask(get())).status == 200
        assert (await client.ask(get())).status == 200
    assert "oops" in caplog.text


async def test_peer_is_the_clients_address(serve: Serve) -> None:
    async def handler(request: Request) -> Reply:
        return ok(request.peer.encode())

    server = await serve(handler)
    async with connected(server) as client:
        assert (await client.ask(get())).body == b"127.0.0.1"
        (connection,) = server.connections
        assert repr(connection) == "<Connection 127.0.0.1 idle served=1>"


async def test_a_front_answers_heads_that_the_handler_never_sees(serve: Serve) -> None:
    handler = Recorder()
    server = await serve(handler)

    def front(octets: bytes, connection: Connection) -> int:
        end = octets.find(b"\r\n\r\n") + 4
        if b"/hot" not in octets[:end]:
            return 0
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhot")
        return end

    server.front = front
    async with connected(server) as client:
        await client.send(get("/hot/1") + get("/cold") + get("/hot/2"))
        assert [(await client.hear()).body for _ in range(3)] == [b"hot", b"GET /cold 0", b"hot"]
    assert [request.head.target for request in handler.requests] == ["/cold"]


async def test_a_front_does_not_write_to_who_does_not_read(serve: Serve) -> None:
    server = await serve(Recorder())
    answered = 0

    def front(octets: bytes, connection: Connection) -> int:
        nonlocal answered
        end = octets.find(b"\r\n\r\n") + 4
        if end < 4:
            return 0
        answered += 1
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 65536\r\n\r\n" + b"x" * 65536)
        return end

    server.front = front
    async with connected(server, receive_bytes=4096) as client:
        await until(lambda: server.open == 1)
        (server_side,) = server.connections
        server_side._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        await client.send(get() * 1000)
        await until(lambda: server_side.full)
        assert answered < 20
        client.writer.write(get() * 300_000)
        await until(lambda: not server_side._reading)
        assert len(server_side._pending) < 1024 * 1024
        for _ in range(answered + 5):
            assert len((await client.hear()).body) == 65536
        client.reset()  # 300,000 requests are still under way


async def test_front_that_fails_costs_one_connection_and_is_asked_no_more(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    handler = Recorder()
    server = await serve(handler)
    asked: list[bytes] = []

    def front(octets: bytes, connection: Connection) -> int:
        asked.append(octets)
        raise RuntimeError("a fault of ours")

    server.front = front
    async with connected(server) as other, connected(server) as client:
        await client.send(get("/"))
        assert await asyncio.wait_for(client.reader.read(), PATIENCE) == b""
        for _ in range(2):
            await other.send(get("/"))
            assert (await other.hear()).body == b"GET / 0"
    assert (len(asked), len(handler.requests)) == (1, 2)
    assert "the front failed" in caplog.text
