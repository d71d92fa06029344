"""The data port: listening sockets, and every connection that came in through them.

Owns the connections and the tasks of their requests; the handler is whoever answers. Knows no cache.
Invariant: `open` is the number of connections held, and after drain() there is neither one nor a task left.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl as tls
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from seawall.clock import Clock, SystemClock
from seawall.downstream.connection import Connection
from seawall.downstream.exchange import Handler
from seawall.downstream.limits import Limits as Limits
from seawall.http.bad import Bad
from seawall.http.dates import format_date

log = logging.getLogger("seawall.downstream")

Front = Callable[[bytes, Connection], int]

BACKLOG = 1024
# So many above the limit are told 503; beyond that even saying no costs too much.
TOLD_NO = 64


@dataclass(frozen=True, slots=True)
class _Listening:
    """A socket that is listened on. Ours, and not made by the loop: the loop's cannot be accepted from at the end."""

    sock: socket.socket
    server: asyncio.Server
    ssl: tls.SSLContext | None


class Server:
    """Takes connections and answers them through `handler`, until drained.

    `front` is offered what arrives before it is parsed: (octets, connection) -> how many of them, whole heads from the
    first on, it has answered. It is asked where a head may begin, and only while the client takes what it gets. Set
    before start().
    The counts are plain numbers for telemetry to read; nothing here resets them.
    """

    def __init__(
        self, handler: Handler, *, limits: Limits, scheme: str = "http", name: str, clock: Clock | None = None
    ) -> None:
        self.handler = handler
        self.limits = limits
        self.scheme = scheme
        self.name = name
        self.front: Front | None = None
        self.accepted = 0
        self.open = 0
        self.requests = 0  # that the handler was given
        self.client_aborts = 0
        self.bad_requests: Counter[int] = Counter()
        self.timeouts: Counter[str] = Counter()
        self._clock = clock or SystemClock()
        self._listening: list[_Listening] = []
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._draining = False
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._date = (-1, "")

    def __repr__(self) -> str:
        state = "draining" if self._draining else "listening" if self._listening else "idle"
        return f"<Server {self.name} {state} open={self.open} accepted={self.accepted}>"

    async def start(self, host: str, port: int, *, reuse_port: bool = False, ssl: tls.SSLContext | None = None) -> None:
        """Listens. Raises OSError where that is not possible. May be called again for another address."""
        await self.serve(await bound(host, port, reuse_port=reuse_port), ssl=ssl)

    async def serve(self, sockets: Iterable[socket.socket], *, ssl: tls.SSLContext | None = None) -> None:
        """Listens on these, which are bound, and takes them over. Another process may hold the same ones: who waits
        in their queue then survives this one."""
        loop = asyncio.get_running_loop()
        for sock in sockets:
            server = await loop.create_server(lambda: Connection(self), sock=sock, ssl=ssl, backlog=BACKLOG)
            self._listening.append(_Listening(sock, server, ssl))

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """What is listened on."""
        return tuple(listening.sock for listening in self._listening)

    @property
    def port(self) -> int:
        """The port of the first listening socket. Raises IndexError before start()."""
        return int(self.sockets[0].getsockname()[1])

    @property
    def connections(self) -> frozenset[Connection]:
        """Who is connected now."""
        return frozenset(self._connections)

    async def drain(self, grace: float) -> None:
        """Stops: no new connection, idle ones end, replies under way end with Connection: close; what is not
        done after `grace` seconds is cut. Returns when nothing is left."""
        self._draining = True
        await self._stop_listening()
        await asyncio.sleep(0)  # a request that has arrived already is not to find its connection closed
        for connection in tuple(self._connections):
            connection.drain()
        try:
            async with asyncio.timeout(grace):
                await self._quiet.wait()
        except TimeoutError:
            pass
        finally:
            for connection in tuple(self._connections):
                connection.cut()
            await self._quiet.wait()
            if self._tasks:
                await asyncio.wait(self._tasks)

    async def _stop_listening(self) -> None:
        """Who waits in the listener's queue has got through as far as it knows: closing the socket would reset it."""
        loop = asyncio.get_running_loop()
        listening, self._listening = self._listening, []
        waiting: list[tuple[socket.socket, tls.SSLContext | None]] = []
        for each in listening:
            waiting += ((sock, each.ssl) for sock in _all_waiting(each.sock))
            each.server.close()
        for sock, ssl in waiting:
            with contextlib.suppress(OSError):
                await loop.connect_accepted_socket(lambda: Connection(self), sock, ssl=ssl)

    def date(self) -> str:
        """The value of Date now, made once a second."""
        now = int(self._clock.now())
        if self._date[0] != now:
            self._date = (now, format_date(now))
        return self._date[1]

    # ---- the connections' side ------------------------------------------------------------------------------

    def admit(self, connection: Connection) -> None:
        """A connection was made. One too many is told so."""
        self.accepted += 1
        self.open += 1
        self._connections.add(connection)
        self._quiet.clear()
        if self._draining:
            connection.drain()
        elif self.open > self.limits.max_connections + TOLD_NO:
            connection.cut()
        elif self.open > self.limits.max_connections:
            connection.refuse(Bad(503, "too many connections"))

    def forget(self, connection: Connection) -> None:
        """A connection is gone."""
        self.open -= 1
        self._connections.discard(connection)
        if not self._connections:
            self._quiet.set()

    def front_failed(self, connection: Connection) -> None:
        """A fault of ours, in the middle of what may have been written. This connection ends, as nobody knows how far
        its reply came; all others, and those to come, are answered without a front: slower, and not wrong."""
        log.exception("the front failed; everything is answered without it from now on")
        self.front = None
        for each in self._connections:
            each.without_front()
        connection.cut()

    def adopt(self, task: asyncio.Task[None]) -> None:
        """A request's task; it outlives its connection by the time its handler needs to let go."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def bound(host: str, port: int, *, reuse_port: bool) -> list[socket.socket]:
    """A socket for each address of the host, bound and not listening yet. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    bound: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            sock = socket.socket(family, kind, protocol)
            bound.append(sock)
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if reuse_port:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            # Port 0 of a name with several addresses: the first one's port for all.
            taken = port or bound[0].getsockname()[1]
            sock.bind((address[0], taken, *address[2:]))
    except BaseException:
        for sock in bound:
            sock.close()
        raise
    return bound


def _all_waiting(sock: socket.socket) -> Iterator[socket.socket]:
    """Takes every connection out of a listener's queue."""
    while True:
        try:
            accepted, _ = sock.accept()
        except OSError:  # nobody is left, or no descriptor for who is
            return
        accepted.setblocking(False)
        yield accepted
