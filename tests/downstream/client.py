"""A client that hides nothing, and the handlers that the tests put behind the connection."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from seawall.downstream.exchange import Reply, Request, Sent
from seawall.downstream.server import Server
from seawall.http.body import BodyBroken
from seawall.http.headers import headers
from seawall.http.message import ResponseHead

# Longer than anything here takes; only a hang meets it.
PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class Heard:
    """One response as the client read it."""

    status: int
    fields: dict[str, str]
    body: bytes
    raw_head: bytes

    def problem(self) -> str:
        """The detail of a problem document, its form checked."""
        assert self.fields["content-type"] == "application/problem+json"
        document = json.loads(self.body)
        assert document["status"] == self.status
        return str(document["detail"])


class Client:
    """Raw bytes out, responses in."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> tuple[int, dict[str, str], bytes]:
        async with asyncio.timeout(PATIENCE):
            block = await self.reader.readuntil(b"\r\n\r\n")
        line, *rest = block[:-4].decode("latin-1").split("\r\n")
        fields: dict[str, str] = {}
        for one in rest:
            name, _, value = one.partition(": ")
            assert name.lower() not in fields, f"{name} twice"
            fields[name.lower()] = value
        return int(line.split(" ")[1]), fields, block

    async def hear(self, method: str = "GET") -> Heard:
        """One response, its body read as its framing says."""
        async with asyncio.timeout(PATIENCE):
            status, fields, block = await self.head()
            body = b""
            if method == "HEAD" or status in (204, 304) or status < 200:
                pass
            elif "content-length" in fields:
                assert "transfer-encoding" not in fields
                body = await self.reader.readexactly(int(fields["content-length"]))
            elif fields.get("transfer-encoding") == "chunked":
                while size := int(await self.reader.readuntil(b"\r\n"), 16):
                    body += (await self.reader.readexactly(size + 2))[:-2]
                assert await self.reader.readexactly(2) == b"\r\n"
            else:
                body = await self.reader.read()
            return Heard(status, fields, body, block)

    async def ask(self, data: bytes, method: str = "GET") -> Heard:
        await self.send(data)
        return await self.hear(method)

    async def rest(self) -> bytes:
        """Everything up to the end of the connection, which has to come. Raises ConnectionResetError on a reset."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.read()

    async def closed(self) -> bool:
        """Whether the server ends the connection and sends nothing more before."""
        try:
            return await self.rest() == b""
        except ConnectionResetError:
            return True

    def end(self) -> None:
        self.writer.write_eof()

    def reset(self) -> None:
        """Leaves with a reset; abort() alone would say a polite FIN."""
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def connected(server: Server, receive_bytes: int | None = None) -> AsyncIterator[Client]:
    """A client on its own connection; `receive_bytes` makes the socket's own buffer small."""
    sock = socket.socket()
    if receive_bytes is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", server.port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=2**16 if receive_bytes is None else 1024)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def until(true: Callable[[], bool]) -> None:
    """Returns when it is true, looking at every turn of the loop; for what has no event of its own."""
    async with asyncio.timeout(PATIENCE):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


def ok(body: bytes = b"hello", *pairs: tuple[str, str], status: int = 200) -> Reply:
    return Reply(ResponseHead(status, "OK", headers(pairs)), (body,) if body else ())


def get(target: str = "/", *lines: str, method: str = "GET", version: str = "1.1") -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/{version}", "Host: a", *lines, "", ""]).encode("latin-1")


@dataclass
class Recorder:
    """A handler that reads the whole body, says hello, and remembers what reached it."""

    requests: list[Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)

    async def __call__(self, request: Request) -> Reply:
        self.requests.append(request)
        body = b""
        if request.body is not None:
            while piece := await request.body.read():
                body += piece
        self.bodies.append(body)
        reply = ok(f"{request.head.method} {request.head.target} {len(body)}".encode())
        reply.done = self.sent.append
        return reply


@dataclass
class Pieces:
    """A BodyReader of given pieces, which counts and can break or wait."""

    pieces: list[bytes]
    length: int | None = None
    broken: bool = False
    gate: asyncio.Event | None = None
    pulled: int = 0
    closed: int = 0

    async def read(self) -> bytes:
        if self.gate is not None:
            await self.gate.wait()
        if not self.pieces:
            if self.broken:
                raise BodyBroken("cut")
            return b""
        self.pulled += 1
        return self.pieces.pop(0)

    def close(self) -> None:
        self.closed += 1


@dataclass
class Endless:
    """A BodyReader without end, which counts what is pulled out of it."""

    piece: bytes = b"x" * 16384
    length: int | None = None
    pulled_bytes: int = 0
    closed: bool = False

    async def read(self) -> bytes:
        self.pulled_bytes += len(self.piece)
        return self.piece

    def close(self) -> None:
        self.closed = True
