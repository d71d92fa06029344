"""Each fault, as the peer sees it: the bytes before it, and FIN or RST."""

from __future__ import annotations

import asyncio

import pytest

from origin_stub import OriginStub
from tests.origin_stub.raw import ask, get, hear


@pytest.mark.parametrize(
    ("options", "ending", "body"),
    [
        ("fault=reset", "rst", None),
        ("fault=close", "fin", None),
        ("body=helloworld&fault=truncate&at=4", "fin", b"hell"),
        ("body=helloworld&fault=truncate&at=0", "fin", b""),
        ("body=helloworld&fault=truncate", "fin", b"hello"),
        ("body=helloworld&fault=truncate&framing=chunked&at=4", "fin", b"4\r\nhell\r\n"),
        ("body=helloworld&fault=truncate-chunked&piece=2&at=4", "fin", b"2\r\nhe\r\n2\r\nll\r\n"),
        ("body=helloworld&fault=reset-body&at=4", "rst", b"hell"),
        ("body=helloworld&fault=reset-body&at=4&framing=chunked", "rst", b"4\r\nhell\r\n"),
        ("body=helloworld&fault=reset-body&at=4&framing=close", "rst", b"hell"),
        ("body=helloworld&after=reset", "rst", b"helloworld"),
        ("body=helloworld&after=fin", "fin", b"helloworld"),
        ("raw=HTTP/1.1%20200%20OK%0d%0aContent-Length:%20-5%0d%0a%0d%0ahi&after=fin", "fin", b"hi"),
    ],
)
async def test_the_connection_breaks_there_and_so(
    stub: OriginStub, options: str, ending: str, body: bytes | None
) -> None:
    # Without `Connection: close`, so that what ends the connection is the fault.
    heard = await hear(stub, get(f"/make/a?{options}", close=False))
    assert heard.ending == ending
    if body is None:
        assert heard.data == b""
    else:
        assert heard.status == 200
        assert heard.body == body


async def test_a_truncated_body_was_promised_whole(stub: OriginStub) -> None:
    heard = await hear(stub, get("/make/a?size=300KiB&fault=truncate&at=200KiB", close=False))
    assert heard.field("Content-Length") == str(300 * 1024)
    assert heard.field("Connection") is None
    assert heard.body == stub.body("/make/a", 300 * 1024)[: 200 * 1024]


async def test_what_was_sent_before_a_reset_arrives(stub: OriginStub) -> None:
    heard = await hear(stub, get("/make/a?size=8MiB&fault=reset-body&at=6MiB", close=False))
    assert heard.ending == "rst"
    assert heard.body == stub.body("/make/a", 8 << 20)[: 6 << 20]


async def test_garbage_is_no_http(stub: OriginStub) -> None:
    heard = await hear(stub, get("/make/a?fault=garbage", close=False))
    assert heard.data
    assert not heard.data.startswith(b"HTTP")


async def test_a_hang_lasts_until_the_peer_gives_up(stub: OriginStub) -> None:
    reader, writer = await asyncio.open_connection(stub.host, stub.port)
    writer.write(get("/make/a?fault=hang"))
    await stub.arrived("/make/a")
    writer.close()
    await stub.settled("/make/a")
    assert stub.tally("/make/a").aborted == 1
    assert await reader.read() == b""


async def test_a_stall_sends_the_beginning_and_keeps_the_connection(stub: OriginStub) -> None:
    reader, writer = await asyncio.open_connection(stub.host, stub.port)
    writer.write(get("/make/a?body=helloworld&fault=stall&at=3", close=False))
    await reader.readuntil(b"\r\n\r\n")
    assert await reader.readexactly(3) == b"hel"
    assert stub.tally("/make/a").now == 1
    assert not reader.at_eof()
    writer.close()
    await stub.settled("/make/a")
    assert stub.tally("/make/a").aborted == 1


async def test_an_unsolicited_response_follows_when_its_gate_opens(stub: OriginStub) -> None:
    reader, writer = await asyncio.open_connection(stub.host, stub.port)
    writer.write(get("/make/a?body=hello&fault=unsolicited&gate-after=idle", close=False))
    await reader.readuntil(b"\r\n\r\n")
    assert await reader.readexactly(5) == b"hello"
    await stub.parked("idle")
    stub.open("idle")
    assert (await reader.readuntil(b"EVIL")).startswith(b"HTTP/1.1 200 OK\r\n")
    writer.close()


@pytest.mark.parametrize("after", ["fin", "reset"])
async def test_an_idle_connection_ends_when_its_gate_opens(stub: OriginStub, after: str) -> None:
    reader, writer = await asyncio.open_connection(stub.host, stub.port)
    writer.write(get(f"/make/a?body=hello&after={after}&gate-after=idle", close=False))
    await reader.readuntil(b"hello")
    await stub.parked("idle")
    stub.open("idle")
    if after == "fin":
        assert await reader.read() == b""
    else:
        with pytest.raises(ConnectionResetError):
            await reader.read()
    writer.close()


@pytest.mark.parametrize(
    ("framing", "part"),
    [("Content-Length: 10", b"half"), ("Transfer-Encoding: chunked", b"5\r\nhello\r\n")],
)
async def test_an_upload_that_ends_too_early_counts_as_aborted(
    stub: OriginStub, caplog: pytest.LogCaptureFixture, framing: str, part: bytes
) -> None:
    _, writer = await asyncio.open_connection(stub.host, stub.port)
    writer.write(f"POST /upload HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n".encode() + part)
    await stub.arrived("/upload")
    writer.close()
    await stub.settled("/upload")
    assert (stub.tally("/upload").aborted, stub.tally("/upload").finished) == (1, 0)
    assert caplog.records == []


async def test_a_request_that_is_no_http_is_refused_in_one_line(
    stub: OriginStub, caplog: pytest.LogCaptureFixture
) -> None:
    assert (await hear(stub, b"GET / HTTP/1.1\r\nHost: a\r\nb\r\n\r\n")).status == 400
    (record,) = caplog.records
    assert record.getMessage().startswith("refused a request with 400")
    assert "\n" not in record.getMessage()
    assert record.exc_info is None


async def test_a_peer_that_leaves_is_no_error_of_ours(stub: OriginStub, caplog: pytest.LogCaptureFixture) -> None:
    for options in ("gate=g&size=1MiB", "gate=g&body=x", "size=1GiB&gate-body=g&at=9"):
        reader, writer = await asyncio.open_connection(stub.host, stub.port)
        writer.write(get(f"/make/a?{options}"))
        await stub.parked("g")
        writer.transport.abort()
        # Let go before the loop has seen the end: the answer then meets a closed connection.
        stub.open("g", passes=1)
        await reader.read()
    await stub.settled("/make/a", 3)
    assert caplog.records == []


async def test_an_answer_may_come_before_the_body_is_read(stub: OriginStub) -> None:
    reader, writer = await asyncio.open_connection(stub.host, stub.port)
    writer.write(b"POST /make/a?status=413&read=off HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nhalf")
    assert (await reader.readline()) == b"HTTP/1.1 413 Request Entity Too Large\r\n"
    writer.close()


async def test_a_peer_that_leaves_in_the_middle_is_counted(stub: OriginStub) -> None:
    reader, writer = await asyncio.open_connection(stub.host, stub.port)
    writer.write(get("/make/a?size=1GiB"))
    await reader.readexactly(100_000)
    writer.transport.abort()
    await stub.settled("/make/a")
    assert (stub.tally("/make/a").aborted, stub.tally("/make/a").finished) == (1, 0)


async def test_expect_is_answered_with_100_unless_told_otherwise(stub: OriginStub) -> None:
    for options, first in (("", b"HTTP/1.1 100 Continue\r\n"), ("&expect=ignore", b"HTTP/1.1 200 OK\r\n")):
        reader, writer = await asyncio.open_connection(stub.host, stub.port)
        head = f"POST /make/a?body=x{options}&read=off HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
        writer.write(f"{head}Content-Length: 2\r\n\r\n".encode())
        assert await reader.readline() == first
        writer.close()


async def test_after_any_fault_the_next_request_is_well(stub: OriginStub) -> None:
    for fault in ("reset", "close", "garbage", "truncate", "reset-body"):
        await hear(stub, get(f"/make/a?body=helloworld&fault={fault}", close=False))
    assert (await ask(stub, "/make/a?body=fine")).body == b"fine"
