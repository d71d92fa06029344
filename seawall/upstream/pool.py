"""The connections to one origin address: who gets one, who waits, and when a request is sent a second time.

Knows no HTTP beyond methods; framing and time-outs are the connection's.

Invariants: opening + in use + idle never exceed max_connections, and each of them ends by exactly one of
released() and lost(); nobody waits while a connection is idle or a slot is free.

A connection is handed from the exchange that ends to the one that waits longest, directly: put among the
idle ones, any newcomer would take it first. Idle ones are taken last in, first out, so that the surplus of
a burst ages and closes.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter, deque
from collections.abc import Callable

from seawall.http.body import BodyReader
from seawall.http.message import RequestHead, ResponseHead
from seawall.http.wire import serialize_request_head
from seawall.policy.reasons import Reason
from seawall.upstream.address import Address, Timeouts
from seawall.upstream.answer import Answer, UpstreamError
from seawall.upstream.connection import Connection, Place, State
from seawall.upstream.upload import Upload, framed

# RFC 9110 9.2.2 calls PUT and DELETE idempotent too, and a proxy MUST NOT retry what is not; but a PUT sent twice
# around somebody else's PUT undoes it, and users of clients that did so complained (HAZARDS F19). Safe methods only.
_RETRIED = frozenset({"GET", "HEAD", "OPTIONS"})


class Pool:
    """Connections to one address. Owned by the upstream that closes it; used from one event loop."""

    def __init__(
        self,
        address: Address,
        timeouts: Timeouts,
        *,
        max_connections: int = 128,
        max_waiting: int = 1024,
        ssl: ssl.SSLContext | None = None,
    ) -> None:
        """`ssl` replaces the verification against the system's authorities; with http it must be None."""
        if ssl is not None and address.scheme != "https":
            raise ValueError(f"{address}: a TLS context for an address without TLS")
        self.address = address
        self.timeouts = timeouts
        self.max_connections = max_connections
        self.max_waiting = max_waiting
        self._ssl = _context(address, ssl)
        self._idle: list[Connection] = []
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._sockets: set[Connection] = set()  # until the socket is closed, which comes after CLOSED
        self._all_gone: asyncio.Event | None = None
        self._closed = False
        self._opening = 0
        self.in_use = 0
        self.opened = 0
        self.reused = 0
        self.retried = 0
        self.idle_closed = 0
        self.intrusions = 0  # octets nobody asked for, behind an answer or while idle
        self.failures: Counter[Reason] = Counter()

    @property
    def idle(self) -> int:
        return len(self._idle)

    @property
    def opening(self) -> int:
        return self._opening

    @property
    def waiting(self) -> int:
        return sum(not waiter.done() for waiter in self._waiting)

    def kept(self) -> tuple[Connection, ...]:
        """The idle connections; the last one is the next to be taken."""
        return tuple(self._idle)

    def __repr__(self) -> str:
        return (
            f"<Pool {self.address}: {self.in_use} in use, {self.idle} idle, {self._opening} opening, "
            f"{self.waiting} waiting, of {self.max_connections}{', closed' if self._closed else ''}>"
        )

    # --- one request ---

    async def exchange(
        self,
        head: RequestHead,
        body: BodyReader | None,
        *,
        interim: Callable[[ResponseHead], None] | None = None,
    ) -> Answer:
        """Sends a request and returns the final response, its body still arriving.

        `interim` hears of 1xx other than 101, and of 100 where the request expects it. Raises UpstreamError where the
        origin failed, and BodyBroken where `body` did. A body that was begun is read to its end or closed.
        """
        try:
            return await self._exchange(head, body, interim)
        except UpstreamError as error:
            self.failures[error.reason] += 1
            raise

    async def _exchange(
        self, head: RequestHead, body: BodyReader | None, interim: Callable[[ResponseHead], None] | None
    ) -> Answer:
        block = serialize_request_head(framed(head, body))
        if body is not None:
            upload = Upload(body)
            try:
                return await self._send_with_body(head, block, upload, interim)
            finally:
                upload.close()
        connection = self.take_idle()
        if connection is None:
            connection = await self._acquire()
        try:
            return await self._send(connection, head, block, interim)
        except UpstreamError as error:
            if not may_retry(head.method, connection, error):
                raise
        self.retried += 1
        connection = await self._acquire(fresh=True)
        return await self._send(connection, head, block, interim)

    async def _send(
        self,
        connection: Connection,
        head: RequestHead,
        block: bytes,
        interim: Callable[[ResponseHead], None] | None,
    ) -> Answer:
        waiter = connection.begin(
            head.method,
            interim=interim,
            asked_upgrade="upgrade" in head.headers,
            asked_continue="expect" in head.headers,
            sending=False,
        )
        connection.write(block)
        try:
            return await waiter
        except BaseException:
            connection.withdraw(waiter)
            del waiter  # it holds what it raised, which holds this frame
            raise

    async def _send_with_body(
        self,
        head: RequestHead,
        block: bytes,
        upload: Upload,
        interim: Callable[[ResponseHead], None] | None,
    ) -> Answer:
        asked_continue = "expect" in head.headers
        # With Expect the client waits for somebody's 100, so the head must not wait for the client.
        if not asked_continue:
            await upload.prepare()
        connection = self.take_idle()
        if connection is None:
            connection = await self._acquire()
        first, whole = upload.start(block)
        waiter = connection.begin(
            head.method,
            interim=interim,
            asked_upgrade="upgrade" in head.headers,
            asked_continue=asked_continue,
            sending=not whole,
        )
        connection.write(first)
        sender = None if whole else asyncio.get_running_loop().create_task(upload.run(connection))
        try:
            return await waiter
        except BaseException:
            connection.withdraw(waiter)
            del waiter
            raise
        finally:
            if sender is not None:
                sender.cancel()  # an early answer, or none: it stops where it stands

    # --- who gets a connection ---

    def take_idle(self) -> Connection | None:
        """A connection that can be used at once, in use by the caller from now on."""
        while self._idle:
            connection = self._idle.pop()
            connection.place = Place.LENT
            self.in_use += 1
            if connection.quiet():
                self.reused += 1
                return connection
            self.idle_closed += 1
        return None

    async def _acquire(self, *, fresh: bool = False) -> Connection:
        """A connection, after waiting for it where need be; `fresh`: rather not one that has been idle."""
        give_up_at: float | None = None
        while True:
            if self._closed:
                raise UpstreamError(Reason.CONNECT_FAILED, f"{self.address}: the pool is closed")
            if not (fresh and self._has_slot()) and (connection := self.take_idle()) is not None:
                return connection
            if self._has_slot():
                self._opening += 1
                return await self._open()
            loop = asyncio.get_running_loop()
            if give_up_at is None:
                give_up_at = loop.time() + self.timeouts.pool_wait
            granted = await self._wait(loop, give_up_at)
            if granted is None:
                return await self._open()
            if granted.quiet():
                self.reused += 1
                return granted
            # It closed between hand-over and here, and took its slot with it: once more from the start.

    def _has_slot(self) -> bool:
        return self._opening + self.in_use + len(self._idle) < self.max_connections

    async def _wait(self, loop: asyncio.AbstractEventLoop, give_up_at: float) -> Connection | None:
        """A connection in use by the caller from now on, or None: a slot of _opening is the caller's."""
        if len(self._waiting) >= self.max_waiting:
            raise UpstreamError(Reason.QUEUE_FULL, f"{self.address}: {self.max_waiting} wait already")
        waiter: asyncio.Future[Connection | None] = loop.create_future()
        self._waiting.append(waiter)
        timer = loop.call_at(give_up_at, self._expire, waiter)
        try:
            return await waiter
        except BaseException:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            elif not waiter.cancelled() and waiter.exception() is None:
                # Granted and cancelled in the same turn of the loop: the grant goes on to the next.
                self._return(waiter.result())
            raise
        finally:
            timer.cancel()

    def _return(self, granted: Connection | None) -> None:
        if granted is None:
            self._opening -= 1
            self._grant_slots()
        elif granted.state is State.IDLE:
            self.released(granted)

    def _expire(self, waiter: asyncio.Future[Connection | None]) -> None:
        if not waiter.done():
            waited = f"no connection became free within {self.timeouts.pool_wait:g} s"
            waiter.set_exception(UpstreamError(Reason.QUEUE_FULL, f"{self.address}: {waited}"))

    def _grant_slots(self) -> None:
        while self._waiting and self._has_slot():
            waiter = self._waiting.popleft()
            if not waiter.done():
                self._opening += 1
                waiter.set_result(None)

    async def _open(self) -> Connection:
        """A new connection in a slot of _opening that the caller has taken."""
        loop = asyncio.get_running_loop()
        address = self.address
        connection = Connection(loop, address, self.timeouts, self)
        try:
            async with asyncio.timeout(self.timeouts.connect):
                await loop.create_connection(
                    lambda: connection,
                    address.host,
                    address.port,
                    ssl=self._ssl,
                    server_hostname=(address.server_name or address.host) if self._ssl else None,
                )
        except BaseException as error:
            connection.drop("its opening failed")
            # uvloop closes a transport whose opening is cancelled without a connection_lost().
            self.gone(connection)
            self._return(None)
            raise _why(address, error, self.timeouts.connect) from error
        if self._closed:
            connection.drop("the pool was closed")
        if connection.state is State.CLOSED:  # it came and went
            self._return(None)
            raise UpstreamError(Reason.RESET, f"{address}: {connection.why_closed}")
        self._opening -= 1
        self.in_use += 1
        self.opened += 1
        connection.place = Place.LENT
        return connection

    # --- what connections report (connection.Owner) ---

    def released(self, connection: Connection) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        connection.place = Place.KEPT
        self.in_use -= 1
        self._idle.append(connection)

    def lost(self, connection: Connection) -> None:
        if connection.place is Place.OPENING:
            return  # _open() sees it
        if connection.place is Place.LENT:
            self.in_use -= 1
        else:
            self._idle.remove(connection)
            self.idle_closed += 1
        self._grant_slots()

    def came(self, connection: Connection) -> None:
        self._sockets.add(connection)

    def gone(self, connection: Connection) -> None:
        self._sockets.discard(connection)
        if self._all_gone is not None and not self._sockets:
            self._all_gone.set()

    def broke(self, reason: Reason) -> None:
        self.failures[reason] += 1

    def intruded(self) -> None:
        self.intrusions += 1

    # --- the end ---

    async def close(self) -> None:
        """Ends every connection and wait; exchanges and bodies under way break. Returns when the sockets are closed."""
        self._closed = True
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                closed = UpstreamError(Reason.CONNECT_FAILED, f"{self.address}: the pool was closed")
                waiter.set_exception(closed)
        for connection in list(self._sockets):
            connection.drop("the pool was closed")
        if self._sockets:
            self._all_gone = asyncio.Event()
            await self._all_gone.wait()


def may_retry(method: str, connection: Connection, error: UpstreamError) -> bool:
    """RFC 9112 9.3.1: an origin may close an idle connection at any time, also while our request is on its way.

    Only on a reused connection, and only where not one octet of an answer came, was nothing done that the
    second request does again.
    """
    return error.reason is Reason.RESET and connection.reused and not connection.heard and method in _RETRIED


def _context(address: Address, given: ssl.SSLContext | None) -> ssl.SSLContext | None:
    if address.scheme != "https" or given is not None:
        return given
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _why(address: Address, error: BaseException, patience: float) -> BaseException:
    """Why a connection could not be opened, in the words of policy; what is not the origin's fault stays as it is."""
    if isinstance(error, TimeoutError) and error.errno is None:
        return UpstreamError(Reason.CONNECT_TIMEOUT, f"{address}: no connection within {patience:g} s")
    if isinstance(error, ssl.SSLError | ssl.CertificateError):
        return UpstreamError(Reason.TLS_FAILED, f"{address}: {error}")
    if isinstance(error, ConnectionResetError | ConnectionAbortedError) and address.scheme == "https":
        return UpstreamError(Reason.TLS_FAILED, f"{address}: closed during the TLS handshake")
    if isinstance(error, OSError):
        return UpstreamError(Reason.CONNECT_FAILED, f"{address}: {error}")
    return error
