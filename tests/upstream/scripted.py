"""An origin that sends exactly the bytes of the story, and what the stories need on our side of it."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from seawall.http.body import BodyBroken, BodyReader, Duplex
from seawall.http.headers import headers
from seawall.http.message import RequestHead
from seawall.upstream.address import Address, Timeouts
from seawall.upstream.pool import Pool

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

Pairs = list[tuple[str, str]]


class Peer:
    """One connection, as the origin sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self.reader = reader
        self.writer = writer
        self.number = number  # 1 is the first connection that the origin accepted

    async def head(self) -> bytes:
        return await self.reader.readuntil(b"\r\n\r\n")

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
        await self.writer.drain()

    def fin(self) -> None:
        self.writer.write_eof()

    def reset(self) -> None:
        """RST instead of FIN: close with SO_LINGER 0."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def left(self) -> bytes:
        """Everything until the client's end, which a reset is too."""
        data = b""
        try:
            while piece := await self.reader.read(65536):
                data += piece
        except ConnectionError:
            pass
        return data


Script = Callable[[Peer], Awaitable[None]]


class Origin:
    """Runs its script for each connection. A script that raises fails the test when the origin ends."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.accepted = 0
        self.errors: list[BaseException] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            await self.script(Peer(reader, writer, self.accepted))
        except asyncio.CancelledError:
            pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # we left, as most stories end
        except BaseException as error:
            self.errors.append(error)
        finally:
            writer.transport.abort()
            self.tasks.discard(task)


@asynccontextmanager
async def origin(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[Origin]:
    it = Origin(script)
    server = await asyncio.start_server(it.accept, "127.0.0.1", 0, ssl=tls, limit=2**20)
    it.port = server.sockets[0].getsockname()[1]
    try:
        # pytest-timeout's signal does not get through uvloop while nothing happens there: a hang must fail, too.
        async with asyncio.timeout(20):
            yield it
    finally:
        server.close()
        for task in list(it.tasks):
            task.cancel()
        if it.tasks:
            await asyncio.wait(it.tasks)
        await server.wait_closed()
    if it.errors:
        raise it.errors[0]


@asynccontextmanager
async def pool_of(
    it: Origin | int,
    *,
    timeouts: Timeouts | None = None,
    max_connections: int = 128,
    max_waiting: int = 1024,
    tls: ssl.SSLContext | None = None,
    server_name: str | None = None,
) -> AsyncIterator[Pool]:
    port = it if isinstance(it, int) else it.port
    pool = Pool(
        Address("https" if tls else "http", "127.0.0.1", port, server_name),
        timeouts or Timeouts(),
        max_connections=max_connections,
        max_waiting=max_waiting,
        ssl=tls,
    )
    try:
        yield pool
    finally:
        await pool.close()
        assert (pool.in_use, pool.idle, pool.opening, pool.waiting) == (0, 0, 0, 0), pool


@asynccontextmanager
async def stage(script: Script, *, timeouts: Timeouts | None = None, max_connections: int = 128) -> AsyncIterator[Pool]:
    """A pool on a scripted origin, and nothing left behind."""
    async with origin(script) as it, pool_of(it, timeouts=timeouts, max_connections=max_connections) as pool:
        yield pool


def once(*pieces: bytes) -> Script:
    """Answers the first request of each connection with these bytes, and then FIN."""

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(*pieces)
        peer.fin()
        await peer.left()

    return script


def always(answer: bytes = OK) -> Script:
    """Answers every request the same."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.head()
            await peer.send(answer)

    return script


def request(method: str = "GET", target: str = "/", fields: Pairs | None = None) -> RequestHead:
    return RequestHead(method, "http", "app.example", target, headers(fields or []))


async def whole(body: BodyReader) -> bytes:
    data = b""
    while piece := await body.read():
        data += piece
    assert await body.read() == b"", "the end stays the end"
    return data


async def until_broken(body: BodyReader | Duplex) -> bytes:
    """What could be read before it broke; fails where it did not."""
    data = b""
    try:
        while piece := await body.read():
            data += piece
    except BodyBroken:
        return data
    raise AssertionError(f"taken for whole: {data[:80]!r}")


async def until(true: Callable[[], bool]) -> None:
    """Turns the loop until something is so; a few milliseconds where all is well."""
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 (a predicate over counters has no event)
            await asyncio.sleep(0.001)


class Sent:
    """A request body of the story: pieces as they are, then an end, or what is raised instead."""

    def __init__(self, *pieces: bytes, length: int | None = None, error: Exception | None = None) -> None:
        self.pieces = list(pieces)
        self._length = length
        self.error = error
        self.reads = 0
        self.closed = False

    @property
    def length(self) -> int | None:
        return self._length

    async def read(self) -> bytes:
        self.reads += 1
        if self.pieces:
            return self.pieces.pop(0)
        if self.error is not None:
            raise self.error
        return b""

    def close(self) -> None:
        self.closed = True


class Stuck(Sent):
    """A client that sends its pieces and then nothing, until it is let go."""

    def __init__(self, *pieces: bytes, length: int | None = None) -> None:
        super().__init__(*pieces, length=length)
        self.waits = asyncio.Event()

    async def read(self) -> bytes:
        if not self.pieces:
            self.waits.set()
            await asyncio.Event().wait()
        return await super().read()
