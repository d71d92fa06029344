"""Answers as origins send them: every framing, whole, cut and in single bytes."""

from __future__ import annotations

import asyncio

import pytest

from seawall.http.body import BodyBroken
from seawall.http.message import ResponseHead
from seawall.policy.reasons import Reason
from seawall.upstream.answer import UpstreamError
from tests.upstream.scripted import OK, Peer, always, once, request, stage, until, until_broken, whole

# --- what is asked ---


async def test_a_request_goes_out_as_it_is_but_for_framing_and_host() -> None:
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        seen.append(await peer.head())
        await peer.send(OK)

    async with stage(script) as pool:
        answer = await pool.exchange(
            request("GET", "/a%2Fb?c=%20", [("X-A", "1"), ("Connection", "close"), ("Content-Length", "9")]), None
        )
        assert await whole(answer.body) == b"hello"
    assert seen == [b"GET /a%2Fb?c=%20 HTTP/1.1\r\nHost: app.example\r\nX-A: 1\r\n\r\n"]


# --- framings ---

FRAMINGS = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world", b"hello world", True, True),
    "length 0": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"", True, True),
    "chunked": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nX-T: 1\r\n\r\n",
        b"hello world",
        True,
        True,
    ),
    "close": (b"HTTP/1.1 200 OK\r\n\r\nhello world", b"hello world", False, False),
    "connection: close": (
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"ok",
        True,
        False,
    ),
    "1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok", True, False),
    "1.0 keep-alive": (
        b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok",
        b"ok",
        True,
        True,
    ),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True, True),
    "304": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n", b"", True, True),
    "interim first": (
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"ok",
        True,
        True,
    ),
}


@pytest.mark.parametrize("name", FRAMINGS)
async def test_byte_by_byte_gives_what_the_whole_gives(name: str) -> None:
    wire, body, delimited, kept = FRAMINGS[name]
    slow = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        if slow.is_set():
            for at in range(len(wire)):
                await peer.send(wire[at : at + 1])
                await asyncio.sleep(0)
        else:
            await peer.send(wire)
        if not kept:
            peer.fin()
        await peer.left()

    for _ in range(2):
        async with stage(script) as pool:
            answer = await pool.exchange(request(), None)
            assert await whole(answer.body) == body
            assert answer.delimited is delimited
            await until(lambda pool=pool: pool.in_use == 0)  # type: ignore[misc]
            assert pool.idle == (1 if kept else 0)
        slow.set()


async def test_pieces_split_anywhere_make_the_same_answer() -> None:
    wire, body, _, _ = FRAMINGS["chunked"]
    for at in range(1, len(wire)):
        async with stage(once(wire)) as pool:
            answer = await pool.exchange(request(), None)
            assert await whole(answer.body) == body, at


async def test_head_has_no_body_whatever_its_fields_say() -> None:
    async with stage(always(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")) as pool:
        for _ in range(3):
            answer = await pool.exchange(request("HEAD"), None)
            assert answer.head.headers["content-length"] == "100"
            assert answer.body.length == 0
            assert await whole(answer.body) == b""
        assert (pool.opened, pool.reused) == (1, 2)


async def test_the_length_is_told_before_the_body_is_read() -> None:
    async with stage(always()) as pool:
        answer = await pool.exchange(request(), None)
        assert answer.body.length == 5
    async with stage(always(FRAMINGS["chunked"][0])) as pool:
        answer = await pool.exchange(request(), None)
        assert answer.body.length is None


async def test_redirects_and_codings_are_passed_as_they_are() -> None:
    wire = (
        b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Encoding: gzip\r\n"
        b"Set-Cookie: a=1\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08"
    )
    async with stage(always(wire)) as pool:
        for _ in range(2):
            answer = await pool.exchange(request(), None)
            assert answer.head.status == 302
            assert await whole(answer.body) == b"\x1f\x8b\x08"
        assert pool.opened == 1


# --- what is not an answer (HAZARDS T21, T24, T25, T27) ---

BAD = {
    "length and chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "two equal lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "length list": b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
    "signed length": b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
    "hex length": b"HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello",
    "empty length": b"HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nhello",
    "unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: foo\r\n\r\nhello",
    "gzip, chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked in 1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "204 with a length": b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
    "status 099": b"HTTP/1.1 099 Odd\r\nContent-Length: 5\r\n\r\nhello",
    "status 999": b"HTTP/1.1 999 Odd\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "no HTTP": b"220 mail.example ESMTP\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
    "obs-fold": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 5\r\n\r\nhello",
    "space before colon": b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello",
    "CR in a value": b"HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: evil=1\r\nContent-Length: 5\r\n\r\nhello",
    "NUL in a value": b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 5\r\n\r\nhello",
    "101 that nobody asked for": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
    "interim with a length": b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\nhello" + OK,
    "33 interim responses": b"HTTP/1.1 102 Processing\r\n\r\n" * 33 + OK,
    "257 fields": b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 257 + b"\r\n",
    "head over 64 KiB": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 65536 + b"\r\n\r\n",
    "head without end": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000,
}


@pytest.mark.parametrize("name", BAD)
async def test_an_ambiguous_answer_is_none(name: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(BAD[name])
        await peer.left()

    async with stage(script) as pool:
        with pytest.raises(UpstreamError) as caught:
            await pool.exchange(request(), None)
        assert caught.value.reason is Reason.BAD_RESPONSE
        assert (pool.in_use, pool.idle) == (0, 0)
        assert pool.failures[Reason.BAD_RESPONSE] == 1
        assert pool.retried == 0


async def test_as_much_as_is_allowed_passes() -> None:
    wire = b"HTTP/1.1 102 Processing\r\n\r\n" * 32 + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" + b"X: 1\r\n" * 255
    async with stage(always(wire + b"\r\nhello")) as pool:
        for _ in range(2):
            assert await whole((await pool.exchange(request(), None)).body) == b"hello"
    wire = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: " + b"x" * 65000
    async with stage(always(wire + b"\r\n\r\nhello")) as pool:
        for _ in range(2):
            assert await whole((await pool.exchange(request(), None)).body) == b"hello"


# --- truncation (HAZARDS T22, T23) ---

CUT = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello",
    "length, nothing": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
    "before a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "in a size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1",
    "in a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello",
    "behind a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello",
    "before the trailers' end": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
}


@pytest.mark.parametrize("end", ["FIN", "RST"])
@pytest.mark.parametrize("name", CUT)
async def test_what_did_not_arrive_whole_never_looks_whole(name: str, end: str) -> None:
    may_end = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(CUT[name])
        await may_end.wait()
        if end == "RST":
            peer.reset()
        else:
            peer.fin()
            await peer.left()

    async with stage(script) as pool:
        answer = await pool.exchange(request(), None)
        may_end.set()
        assert await until_broken(answer.body) in (b"hello", b"")
        assert (pool.in_use, pool.idle) == (0, 0)
        assert pool.failures[Reason.INCOMPLETE if end == "FIN" else Reason.RESET] == 1


async def test_a_bad_chunk_breaks_the_body() -> None:
    wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n"
    async with stage(always(wire)) as pool:
        answer = await pool.exchange(request(), None)
        assert await until_broken(answer.body) == b"hello"
        assert (pool.in_use, pool.idle) == (0, 0)


async def test_a_reset_is_no_end_of_a_close_delimited_body() -> None:
    arrived = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello")
        await arrived.wait()
        peer.reset()

    async with stage(script) as pool:
        answer = await pool.exchange(request(), None)
        assert not answer.delimited
        assert await answer.body.read() == b"hello"
        arrived.set()
        assert await until_broken(answer.body) == b""


@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 200 OK\r\nContent-"])
@pytest.mark.parametrize("end", ["FIN", "RST"])
async def test_no_head_is_a_reset(part: bytes, end: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(part)
        if end == "RST":
            peer.reset()
        else:
            peer.fin()
            await peer.left()

    async with stage(script) as pool:
        with pytest.raises(UpstreamError) as caught:
            await pool.exchange(request(), None)
        assert caught.value.reason is Reason.RESET
        assert pool.retried == 0, "never on a fresh connection"


# --- interim responses and tunnels ---


async def test_interim_responses_go_to_who_asked_and_100_only_to_who_expects_it() -> None:
    wire = (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
        b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n" + OK
    )
    heads: list[ResponseHead] = []
    async with stage(always(wire)) as pool:
        answer = await pool.exchange(request(), None, interim=heads.append)
        assert await whole(answer.body) == b"hello"
        assert [head.status for head in heads] == [102, 103]
        assert heads[1].headers["link"] == "</a.css>; rel=preload"
        heads.clear()
        await pool.exchange(request("GET", "/", [("Expect", "100-continue")]), None, interim=heads.append)
        assert [head.status for head in heads] == [100, 102, 103]


async def test_a_mistake_of_the_interim_callback_comes_back_to_the_caller() -> None:
    def wrong(head: ResponseHead) -> None:
        raise KeyError(head.status)

    async with stage(always(b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK)) as pool:
        with pytest.raises(KeyError):
            await pool.exchange(request(), None, interim=wrong)
        assert pool.in_use == 0


UPGRADE = [("Upgrade", "websocket"), ("X-A", "1")]
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


async def test_a_tunnel_passes_octets_both_ways_until_both_ends_have_ended() -> None:
    got: list[bytes] = []

    async def script(peer: Peer) -> None:
        got.append(await peer.head())
        await peer.send(SWITCH + b"behind the head")
        got.append(await peer.reader.readexactly(4))
        await peer.send(b"pong")
        peer.fin()
        got.append(await peer.left())

    async with stage(script) as pool:
        answer = await pool.exchange(request("GET", "/", UPGRADE), None)
        tunnel = answer.tunnel
        assert tunnel is not None
        assert await whole(answer.body) == b""
        assert await tunnel.read() == b"behind the head"
        await tunnel.write(b"ping")
        assert await tunnel.read() == b"pong"
        assert await tunnel.read() == b""
        assert pool.in_use == 1, "our direction is still open"
        await tunnel.write(b"still here")
        tunnel.write_eof()
        await until(lambda: len(got) == 3)
        assert (pool.in_use, pool.idle) == (0, 0)
    assert b"Connection: Upgrade\r\n" in got[0]
    assert got[1:] == [b"ping", b"still here"]


async def test_what_was_written_to_a_tunnel_leaves_before_it_closes() -> None:
    got: list[bytes] = []
    closed = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(SWITCH)
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await closed.wait()
        peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
        got.append(await peer.left())

    async with stage(script) as pool:
        tunnel = (await pool.exchange(request("GET", "/", UPGRADE), None)).tunnel
        assert tunnel is not None
        (connection,) = pool._sockets
        transport = connection._transport
        assert transport is not None
        written = 0
        # Until the kernel takes no more and something waits with us, but less than makes write() wait too.
        while not transport.get_write_buffer_size():
            await tunnel.write(b"x" * 30_000)
            written += 30_000
            await asyncio.sleep(0)
        tunnel.close()
        tunnel.close()
        assert pool.in_use == 0
        closed.set()
        await until(lambda: bool(got))
    assert len(got[0]) == written


async def test_a_reset_tunnel_is_broken_for_both_directions() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(SWITCH)
        await peer.reader.readexactly(4)
        peer.reset()

    async with stage(script) as pool:
        tunnel = (await pool.exchange(request("GET", "/", UPGRADE), None)).tunnel
        assert tunnel is not None
        await tunnel.write(b"ping")
        assert await until_broken(tunnel) == b""
        with pytest.raises(BodyBroken):
            await tunnel.write(b"x")
        assert pool.in_use == 0


async def test_an_origin_may_decline_to_switch() -> None:
    async with stage(always()) as pool:
        answer = await pool.exchange(request("GET", "/", UPGRADE), None)
        assert answer.tunnel is None
        assert await whole(answer.body) == b"hello"
        assert pool.idle == 1
