"""The data port: listening sockets, and every connection that came in through them.

Owns the connections and the tasks of their requests; the handler is whoever answers. Knows no cache.
Invariant: `open` is the number of connections held, and after drain() there is neither one nor a task left.
"""

from __future__ import annotations

import asyncio
import socket
import ssl as tls
from collections import Counter
from collections.abc import Callable

from seawall.clock import Clock, SystemClock
from seawall.downstream.connection import Connection
from seawall.downstream.exchange import Handler
from seawall.downstream.limits import Limits as Limits
from seawall.http.bad import Bad
from seawall.http.dates import format_date

Front = Callable[[bytes, Connection], bool]

BACKLOG = 1024
# So many above the limit are told 503; beyond that even saying no costs too much.
TOLD_NO = 64


class Server:
    """Takes connections and answers them through `handler`, until drained.

    `front` is offered each head before it is parsed: (block, connection) -> whether it wrote the whole reply.
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
        self.requests = 0
        self.client_aborts = 0
        self.bad_requests: Counter[int] = Counter()
        self.timeouts: Counter[str] = Counter()
        self._clock = clock or SystemClock()
        self._servers: list[asyncio.Server] = []
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._draining = False
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._date = (-1, "")

    def __repr__(self) -> str:
        state = "draining" if self._draining else "listening" if self._servers else "idle"
        return f"<Server {self.name} {state} open={self.open} accepted={self.accepted}>"

    async def start(self, host: str, port: int, *, reuse_port: bool = False, ssl: tls.SSLContext | None = None) -> None:
        """Listens. Raises OSError where that is not possible. May be called again for another address."""
        loop = asyncio.get_running_loop()
        self._servers.append(
            await loop.create_server(
                lambda: Connection(self), host, port, reuse_port=reuse_port or None, ssl=ssl, backlog=BACKLOG
            )
        )

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """What is listened on."""
        return tuple(sock for server in self._servers for sock in server.sockets)

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
        for server in self._servers:
            server.close()
        self._servers.clear()
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

    def adopt(self, task: asyncio.Task[None]) -> None:
        """A request's task; it outlives its connection by the time its handler needs to let go."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
