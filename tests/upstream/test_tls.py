"""TLS to origins: verified by default, and an end without close_notify is no end."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from seawall.policy.reasons import Reason
from seawall.upstream.address import Address, Timeouts
from seawall.upstream.answer import UpstreamError
from seawall.upstream.pool import Pool
from tests.upstream.scripted import (
    OK,
    Origin,
    Peer,
    Script,
    Sent,
    always,
    origin,
    pool_of,
    request,
    stage,
    until,
    until_broken,
    whole,
)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for app.example and its key, in one file."""
    assert shutil.which("openssl"), "these tests need the openssl command"
    folder = tmp_path_factory.mktemp("tls")
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=app.example "
        "-addext subjectAltName=DNS:app.example -keyout key.pem -out cert.pem"
    )
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_bytes((folder / "key.pem").read_bytes() + (folder / "cert.pem").read_bytes())
    return both


@pytest.fixture
def server_side(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def trusting(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))


@asynccontextmanager
async def _stage(
    script: Script, server_side: ssl.SSLContext, trusting: ssl.SSLContext, name: str = "app.example"
) -> AsyncIterator[Pool]:
    async with origin(script, server_side) as it, pool_of(it, tls=trusting, server_name=name) as pool:
        yield pool


async def test_a_kept_connection_spares_the_handshake(server_side: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    names: list[str | None] = []
    server_side.sni_callback = lambda sock, name, context: names.append(name)
    async with _stage(always(), server_side, trusting) as pool:
        for _ in range(3):
            assert await whole((await pool.exchange(request(), None)).body) == b"hello"
        assert pool.opened == 1
    assert names == ["app.example"]


async def test_large_bodies_both_ways(server_side: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    size = 3_000_000

    async def script(peer: Peer) -> None:
        while True:
            await peer.head()
            assert await peer.reader.readexactly(size) == b"u" * size
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size, b"d" * size)

    async with _stage(script, server_side, trusting) as pool:
        for _ in range(2):
            body = Sent(*[b"u" * 100_000] * 30, length=size)
            assert await whole((await pool.exchange(request("POST"), body)).body) == b"d" * size
        assert pool.opened == 1


async def test_an_unknown_authority_is_refused_by_default(server_side: ssl.SSLContext) -> None:
    async with origin(always(), server_side) as it:
        pool = Pool(Address("https", "127.0.0.1", it.port, "app.example"), Timeouts())
        with pytest.raises(UpstreamError) as caught:
            await pool.exchange(request(), None)
        assert caught.value.reason is Reason.TLS_FAILED
        assert (pool.in_use, pool.opening) == (0, 0)
        await pool.close()


async def test_another_name_is_refused(server_side: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    async with _stage(always(), server_side, trusting, "other.example") as pool:
        with pytest.raises(UpstreamError) as caught:
            await pool.exchange(request(), None)
        assert caught.value.reason is Reason.TLS_FAILED


async def test_verification_can_be_turned_off_by_the_operator(server_side: ssl.SSLContext) -> None:
    lax = ssl.create_default_context()
    lax.check_hostname = False
    lax.verify_mode = ssl.CERT_NONE
    async with _stage(always(), server_side, lax, "other.example") as pool:
        assert await whole((await pool.exchange(request(), None)).body) == b"hello"


@pytest.mark.parametrize("says", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
async def test_no_tls_over_there(says: bytes, trusting: ssl.SSLContext) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.read(1)
        await peer.send(says)

    async with origin(script) as it, pool_of(it, tls=trusting, server_name="app.example") as pool:
        with pytest.raises(UpstreamError) as caught:
            await pool.exchange(request(), None)
        assert caught.value.reason is Reason.TLS_FAILED


async def test_a_handshake_that_stalls(trusting: ssl.SSLContext) -> None:
    async def script(peer: Peer) -> None:
        await peer.left()

    short = Timeouts(connect=0.05)
    async with origin(script) as it, pool_of(it, tls=trusting, server_name="a", timeouts=short) as pool:
        with pytest.raises(UpstreamError) as caught:
            await pool.exchange(request(), None)
        assert caught.value.reason is Reason.CONNECT_TIMEOUT
        assert (pool.in_use, pool.opening) == (0, 0)


class Relay:
    """Passes TCP between us and a TLS origin, and can end our side without a close_notify."""

    def __init__(self, it: Origin) -> None:
        self.it = it
        self.cut = asyncio.Event()

    async def __call__(self, peer: Peer) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.it.port)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            try:
                while data := await source.read(65536):
                    sink.write(data)
            except ConnectionError:
                pass

        pumps = [
            asyncio.create_task(pump(peer.reader, writer)),
            asyncio.create_task(pump(reader, peer.writer)),
        ]
        try:
            await self.cut.wait()
        finally:
            for task in pumps:
                task.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            writer.transport.abort()
        peer.fin()
        await peer.left()


async def test_a_bare_fin_under_tls_is_a_truncation(server_side: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    """Anybody on the path can send FIN; only the origin can send close_notify."""

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        await peer.left()

    async with origin(script, server_side) as it:
        relay = Relay(it)
        async with origin(relay) as between, pool_of(between, tls=trusting, server_name="app.example") as pool:
            answer = await pool.exchange(request(), None)
            assert await answer.body.read() == b"hello"
            relay.cut.set()
            assert await until_broken(answer.body) == b""


async def test_close_notify_is_the_end_of_a_close_delimited_body(
    server_side: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        peer.writer.close()
        await peer.left()

    async with _stage(script, server_side, trusting) as pool:
        answer = await pool.exchange(request(), None)
        assert not answer.delimited
        assert await whole(answer.body) == b"hello"


async def test_unsolicited_octets_on_an_idle_connection(server_side: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    push = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(OK)
        await push.wait()
        await peer.send(OK)
        await peer.left()

    async with _stage(script, server_side, trusting) as pool:
        await whole((await pool.exchange(request(), None)).body)
        await until(lambda: pool.idle == 1)
        push.set()
        await until(lambda: pool.idle == 0)
        assert pool.intrusions == 1


async def test_a_tunnel_over_tls_ends_where_we_end_it(server_side: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    got: list[bytes] = []

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nhi")
        got.append(await peer.left())

    async with _stage(script, server_side, trusting) as pool:
        tunnel = (await pool.exchange(request("GET", "/", [("Upgrade", "x")]), None)).tunnel
        assert tunnel is not None
        assert await tunnel.read() == b"hi"
        await tunnel.write(b"bye")
        tunnel.write_eof()
        await until(lambda: bool(got))
        assert got == [b"bye"]
        assert pool.in_use == 0
        tunnel.close()


async def test_a_context_without_tls_is_a_mistake(trusting: ssl.SSLContext) -> None:
    with pytest.raises(ValueError, match="without TLS"):
        Pool(Address("http", "app", 80), Timeouts(), ssl=trusting)


async def test_a_plain_origin_needs_no_context() -> None:
    async with stage(always()) as pool:
        assert await whole((await pool.exchange(request(), None)).body) == b"hello"
