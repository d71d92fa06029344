"""The same connection under TLS, which knows no half-close."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from pathlib import Path

import pytest

from seawall.downstream.exchange import Reply, Request, Sent
from seawall.downstream.server import Limits, Server
from seawall.http.message import ResponseHead
from tests.downstream.client import Client, Endless, Recorder, get, until
from tests.downstream.test_tunnel import UPGRADE, Switching
from tests.needs import program


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    where = tmp_path_factory.mktemp("tls")
    key, cert = where / "key.pem", where / "cert.pem"
    command = [
        program("openssl"),
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    command += [
        "-keyout",
        str(key),
        "-out",
        str(cert),
        "-days",
        "2",
        "-subj",
        "/CN=a",
        "-addext",
        "subjectAltName=DNS:a",
    ]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


async def secured(
    handler: object, certificate: tuple[Path, Path], limits: Limits | None = None
) -> tuple[Server, Client]:
    """A server of https, and one client of it."""
    cert, key = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server = Server(handler, limits=limits or Limits(), scheme="https", name="test")  # type: ignore[arg-type]
    await server.start("127.0.0.1", 0, ssl=context)
    trusting = ssl.create_default_context(cafile=str(cert))
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=trusting, server_hostname="a")
    return server, Client(reader, writer)


async def test_requests_are_of_https_and_refusals_arrive(certificate: tuple[Path, Path]) -> None:
    handler = Recorder()
    server, client = await secured(handler, certificate)
    assert (await client.ask(get())).status == 200
    assert (await client.ask(get("https://A:443/x"))).status == 200
    assert [request.head.url for request in handler.requests] == ["https://a/", "https://a/x"]
    assert (await client.ask(get("http://a/"))).status == 400
    assert await client.closed()
    client.writer.close()
    await server.drain(0)


async def test_a_client_that_leaves_is_noticed(certificate: tuple[Path, Path]) -> None:
    sent: list[Sent] = []
    body = Endless()

    async def handler(request: Request) -> Reply:
        return Reply(ResponseHead(200, "OK"), body, sent.append)

    server, client = await secured(handler, certificate)
    await client.send(get())
    await client.head()
    (connection,) = server.connections
    await until(lambda: connection.full)
    client.writer.transport.abort()
    await until(lambda: bool(sent))
    assert not sent[0].complete
    assert body.closed
    await server.drain(0)
    assert server.open == 0


async def test_a_tunnel_whose_far_end_ends_is_over(certificate: tuple[Path, Path]) -> None:
    handler = Switching()
    server, client = await secured(handler, certificate)
    assert (await client.ask(get("/", *UPGRADE) + b"early")).status == 101
    assert await client.reader.readexactly(5) == b"EARLY"
    handler.far.inbound.put_nowait(b"bye")
    handler.far.inbound.put_nowait(b"")
    assert await client.rest() == b"bye"
    client.writer.close()
    await until(lambda: bool(handler.sent))
    assert handler.sent == [Sent(8, True)]
    await server.drain(0)


async def test_drain_ends_idle_connections(certificate: tuple[Path, Path]) -> None:
    server, client = await secured(Recorder(), certificate)
    assert (await client.ask(get())).status == 200
    draining = asyncio.create_task(server.drain(5))
    assert await client.closed()
    client.writer.close()
    await draining
    assert server.open == 0
