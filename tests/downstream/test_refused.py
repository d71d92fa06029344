"""What is refused, to the byte: the status, the end of the connection, and that nothing reached the handler."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from seawall.downstream.server import Limits
from tests.downstream.client import Client, Recorder, connected, get, ok, until
from tests.downstream.conftest import Serve

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


def post(*lines: bytes, body: bytes = b"", version: bytes = b"1.1") -> bytes:
    return b"\r\n".join([b"POST / HTTP/" + version, b"Host: a", *lines]) + b"\r\n\r\n" + body


def chunked(body: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked", body=body)


HEADS: dict[str, tuple[bytes, int]] = {
    "T01 CL and TE": (post(b"Content-Length: 6", b"Transfer-Encoding: chunked", body=b"0\r\n\r\nX"), 400),
    "T01 TE and CL": (post(b"Transfer-Encoding: chunked", b"Content-Length: 6", body=b"0\r\n\r\nX"), 400),
    "T02 two CL": (post(b"Content-Length: 0", b"Content-Length: 5", body=b"hello"), 400),
    "T02 equal CL": (post(b"Content-Length: 5", b"Content-Length: 5", body=b"hello"), 400),
    "T03 +5": (post(b"Content-Length: +5", body=b"hello"), 400),
    "T03 0x5": (post(b"Content-Length: 0x5", body=b"hello"), 400),
    "T03 5, 5": (post(b"Content-Length: 5, 5", body=b"hello"), 400),
    "T03 empty": (post(b"Content-Length:", body=b"hello"), 400),
    "T03 -0": (post(b"Content-Length: -0", body=b"hello"), 400),
    "T03 05": (post(b"Content-Length: 05", body=b"hello"), 400),
    "T03 5_0": (post(b"Content-Length: 5_0", body=b"hello"), 400),
    "T03 space": (post(b"Content-Length : 5", body=b"hello"), 400),
    "T04 xchunked": (post(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"), 400),
    "T04 VT": (post(b"Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n"), 400),
    "T04 comma": (post(b"Transfer-Encoding: ,chunked", body=b"0\r\n\r\n"), 400),
    "T04 identity": (post(b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n"), 400),
    "T04 gzip": (post(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"), 501),
    "T04 twice": (post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), 400),
    "T04 space": (post(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n"), 400),
    "T04 1.0": (post(b"Transfer-Encoding: chunked", body=b"0\r\n\r\n", version=b"1.0"), 400),
    "T10 Expect X": (post(b"Expect: 100-continueX", b"Content-Length: 5"), 417),
    "T10 Expect twice": (post(b"Expect: 100-continue", b"Expect: 100-continue", b"Content-Length: 5"), 417),
    "T11 Connection: CL": (post(b"Connection: Content-Length", b"Content-Length: 5", body=b"hello"), 400),
    "T11 Connection: Host": (post(b"Connection: close, Host"), 400),
    "T12 bare LF": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "T12 bare LF in fields": (b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400),
    "T12 obs-fold": (get("/", "X: a", " b"), 400),
    "T12 NUL": (get("/", "X: a\0b"), 400),
    "T12 CR": (get("/", "X: a\rb"), 400),
    "T12 BEL": (get("/", "X: a\x07b"), 400),
    "T12 empty name": (get("/", ": x"), 400),
    "T12 no colon": (get("/", "X"), 400),
    "T12 no token": (get("/", "X(y: z"), 400),
    "T12 obs-text in a name": (get("/", "X\x85: z"), 400),
    "T13 0.9": (b"GET /\r\n", 400),
    "T13 2.0": (b"GET / HTTP/2.0\r\n", 505),
    "T13 1.9": (get(version="1.9"), 505),
    "T13 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "T13 TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "T14 field": (get("/", "X: " + "a" * 65536), 431),
    "T14 fields": (get("/", *["X: y"] * 500), 431),
    "T14 URL": (get("/" + "a" * 16384), 414),
    "T14 URL without end": (b"GET /" + b"a" * 16384, 414),
    "T15 CONNECT": (b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 501),
    "T15 TRACE": (get(method="TRACE"), 501),
    "T31 scheme": (get("https://a/"), 400),
    "T32 list": (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
    "T32 slash": (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    "T32 two": (get("/", "Host: a"), 400),
    "T32 none": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "T36 fragment": (get("/#x"), 400),
    "two empty lines": (b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "T05 0x5": (chunked(b"0x5\r\nhello\r\n0\r\n\r\n"), 400),
    "T05 +5": (chunked(b"+5\r\nhello\r\n0\r\n\r\n"), 400),
    "T05 0_5": (chunked(b"0_5\r\nhello\r\n0\r\n\r\n"), 400),
    "T05 space": (chunked(b" 5\r\nhello\r\n0\r\n\r\n"), 400),
    "T05 overflow": (chunked(b"FFFFFFFFFFFFFFFFF\r\nhello"), 400),
    "T05 overrun": (chunked(b"5\r\nhelloXX\r\n0\r\n\r\n"), 400),
    "T05 no CRLF": (chunked(b"5\r\nhello0\r\n\r\n"), 400),
    "T06 LF": (chunked(b"5\nhello\r\n0\r\n\r\n"), 400),
    "T06 ext LF": (chunked(b"5;\nhello\r\n0\r\n\r\n"), 400),
    "T06 ext CR": (chunked(b"5;a\rb\r\nhello\r\n0\r\n\r\n"), 400),
    "T06 ext NUL": (chunked(b"5;\0x\r\nhello\r\n0\r\n\r\n"), 400),
    "T06 64 KB ext": (chunked(b"5;" + b"a" * 65536 + b"\r\nhello\r\n0\r\n\r\n"), 400),
    "T07 bare LF trailer": (chunked(b"0\r\nX: y\n\r\n"), 400),
    "T07 long trailer": (chunked(b"0\r\nX: " + b"y" * 10000 + b"\r\n\r\n"), 400),
}


async def refused(client: Client, status: int) -> None:
    heard = await client.hear()
    assert heard.status == status
    assert heard.problem()
    assert heard.fields["connection"] == "close"
    assert "date" in heard.fields
    assert await client.closed()


@pytest.mark.parametrize(("data", "status"), HEADS.values(), ids=HEADS.keys())
@pytest.mark.parametrize("junk", [b"", SMUGGLED], ids=["alone", "with more behind"])
async def test_refused_and_closed_and_nothing_reached_the_handler(
    serve: Serve, data: bytes, status: int, junk: bytes
) -> None:
    handler = Recorder()
    server = await serve(handler)
    async with connected(server) as client:
        await client.send(data + junk)
        await refused(client, status)
    assert handler.requests == []
    assert server.bad_requests == {status: 1}


SMALL = {name: case for name, case in HEADS.items() if len(case[0]) < 200 and name[:3] not in ("T05", "T06", "T07")}


@pytest.mark.parametrize(("data", "status"), SMALL.values(), ids=SMALL.keys())
async def test_byte_by_byte_it_is_refused_all_the_same(serve: Serve, data: bytes, status: int) -> None:
    handler = Recorder()
    server = await serve(handler)
    async with connected(server) as client:
        await until(lambda: server.open == 1)
        (connection,) = server.connections
        for octet in data:
            if connection.state.value not in ("idle", "head"):
                break
            connection.data_received(bytes([octet]))
        await refused(client, status)
    assert handler.requests == []


@pytest.mark.parametrize("name", [name for name in HEADS if name[:3] in ("T05", "T06", "T07")])
async def test_a_body_that_turns_bad_while_it_is_handled_is_a_400_too(serve: Serve, name: str) -> None:
    data, status = HEADS[name]
    handler = Recorder()
    server = await serve(handler)
    head, _, body = data.partition(b"\r\n\r\n")
    async with connected(server) as client:
        await client.send(head + b"\r\n\r\n")
        await until(lambda: bool(handler.requests))
        await client.send(body)
        await refused(client, status)
    assert handler.bodies == []
    assert len(handler.requests) == 1


async def test_a_good_request_before_a_bad_one_is_answered(serve: Serve) -> None:
    handler = Recorder()
    server = await serve(handler)
    async with connected(server) as client:
        await client.send(get("/1") + get("/2", "X: a\0b") + SMUGGLED)
        assert (await client.hear()).body == b"GET /1 0"
        await refused(client, 400)
    assert [request.head.target for request in handler.requests] == ["/1"]


async def test_one_empty_line_before_a_request_is_ignored(serve: Serve) -> None:
    server = await serve(Recorder())
    async with connected(server) as client:
        assert (await client.ask(b"\r\n" + get("/1"))).body == b"GET /1 0"
        assert (await client.ask(b"\r\n" + get("/2"))).body == b"GET /2 0"


async def test_one_connection_too_many_is_told_so(serve: Serve) -> None:
    server = await serve(Recorder(), Limits(max_connections=1))
    async with connected(server) as first:
        assert (await first.ask(get())).status == 200
        async with connected(server) as second:
            heard = await second.hear()
            assert heard.status == 503
            assert heard.fields["retry-after"] == "1"
            assert await second.closed()
        assert (await first.ask(get())).status == 200


async def test_a_body_larger_than_allowed_is_413_known_before_or_learned_on_the_way(serve: Serve) -> None:
    handler = Recorder()
    server = await serve(handler, Limits(max_body_bytes=10))
    async with connected(server) as client:
        await client.send(get("/", "Content-Length: 11", method="POST"))
        await refused(client, 413)
    assert handler.requests == []
    async with connected(server) as client:
        await client.send(get("/", "Transfer-Encoding: chunked", method="POST") + b"a\r\n0123456789\r\n")
        await until(lambda: bool(handler.requests))
        await client.send(b"1\r\n!\r\n0\r\n\r\n")
        await refused(client, 413)
    assert handler.bodies == []


async def test_an_answer_of_ours_is_not_lost_to_a_reset_when_the_client_still_sends(serve: Serve) -> None:
    server = await serve(Recorder(), Limits(max_body_bytes=10))
    async with connected(server) as client:
        client.writer.write(get("/", "Content-Length: 300000", method="POST") + b"x" * 300000)
        await refused(client, 413)


async def test_a_client_that_never_stops_is_not_read_forever(serve: Serve) -> None:
    server = await serve(Recorder(), Limits(linger=0.05))
    async with connected(server) as client:
        await client.send(b"BAD\r\n\r\n")
        assert (await client.hear()).status == 400
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(5):
                while True:
                    await client.send(b"x" * 100)
                    await asyncio.sleep(0.01)
    assert server.timeouts == {"linger": 1}


async def test_a_client_that_floods_is_not_read_to_the_end_of_patience(serve: Serve) -> None:
    server = await serve(Recorder(), Limits(linger=600))
    async with connected(server) as client:
        await client.send(b"BAD\r\n\r\n")
        assert (await client.hear()).status == 400
        client.writer.write(b"x" * 20_000_000)
        await until(lambda: server.open == 0)


async def test_method_override_is_a_field_like_any_other(serve: Serve) -> None:
    async def handler(request):  # type: ignore[no-untyped-def]
        return ok(request.head.method.encode())

    server = await serve(handler)
    async with connected(server) as client:
        assert (await client.ask(get("/", "X-HTTP-Method-Override: DELETE"))).body == b"GET"
