"""The connections to one Redis server: a few, made in the background, each with one exchange at a time.

Knows no key and no script's meaning. redis-py speaks the protocol and shakes hands; its pool and its clients are left
aside: there an operation whose time is short breaks off a connection that was about to stand, so a server some
round trips away is never reached, and a cluster's map is read again by every one of them.

Invariant: a connection whose exchange did not end is closed, whatever ended it. A reply that came late would else
be read as the answer to the next question.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from seawall.store.redisbreaker import RedisBreaker
from seawall.store.redisurl import Address, Place

Command = tuple[str | bytes | int, ...]
# What one command was answered; an error that concerns it alone stands in its place.
Reply = object

# DNS, TCP, TLS and AUTH, a round trip each. Nobody waits for it: an operation has its own 50 ms.
CONNECT_SECONDS = 1.0
# Redis has one thread. More connections than this only move the queue from here to there.
MOST_CONNECTIONS = 8


class Unreached(Exception):
    """The server could not be asked, or the connection broke before it had answered."""


class RedisServer:
    """Owner of its connections and of the tasks that make them.

    `first` is sent on each new connection before anything else: the scripts.
    """

    def __init__(self, address: Address, place: Place, first: Sequence[Command] = (), *, db: int | None = None) -> None:
        self.address = address
        self.breaker = RedisBreaker()
        self._make = _maker(address, place, place.db if db is None else db)
        self._first = tuple(first)
        self._idle: list[Connection] = []
        self._waiters: deque[asyncio.Future[Connection]] = deque()
        self._connecting: set[asyncio.Task[None]] = set()
        self._open = 0  # connections that stand or are being made
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{self._open} connections, {len(self._idle)} idle"
        return f"<RedisServer {self.address} {state} {self.breaker!r}>"

    async def ask(self, commands: Sequence[Command]) -> list[Reply]:
        """Sends these together and returns what each was answered. Raises Unreached; the caller bounds the time."""
        while True:
            connection, fresh = await self._take()
            try:
                return await self._exchange(connection, commands)
            except Exception as error:
                # Whatever a peer says, it is a X                self._drop_idle()
                if fresh or not isinstance(error, RedisConnectionError | OSError):
                    raise Unreached(_why(error)) from error

    async def close(self) -> None:
        """Ends every connection; nobody is left waiting."""
        self._closed = True
        self._drop_idle()
        for task in tuple(self._connecting):
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        self._fail_waiters(Unreached("closed"))

    async def _exchange(self, connection: Connection, commands: Sequence[Command]) -> list[Reply]:
        whole = False
        try:
            replies = await _exchange(connection, commands)
            whole = True
            return replies
        finally:
            if whole:
                self._give(connection)
            else:
                self._end(connection)

    async def _take(self) -> tuple[Connection, bool]:
        """A connection of the caller's own, and whether it was made just now."""
        if self._closed:
            raise Unreached("closed")
        if self._idle:
            return self._idle.pop(), False
        waiter: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._connect()
        try:
            return await waiter, True
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._give(waiter.result())  # it came in the moment in which we left
            raise

    def _give(self, connection: Connection) -> None:
        """To whoever waits, or back among the idle."""
        if self._closed:
            self._end(connection)
            return
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        self._idle.append(connection)

    def _end(self, connection: Connection) -> None:
        self._open -= 1
        _disconnect(connection)
        if any(not waiter.done() for waiter in self._waiters):
            self._connect()

    def _drop_idle(self) -> None:
        while self._idle:
            self._end(self._idle.pop())

    def _connect(self) -> None:
        if self._open >= MOST_CONNECTIONS or self._closed:
            return
        self._open += 1
        task = asyncio.get_running_loop().create_task(self._make_one(), name=f"redis-connect-{self.address}")
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _make_one(self) -> None:
        """The task: one connection, ready to be used. Whoever asked for it may have left by then; others come."""
        connection = self._make()
        ready = False
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await connection.connect()  # type: ignore[no-untyped-call]
                if self._first:
                    await _exchange(connection, self._first)
            ready = True
        except Exception as error:  # whatever it was, as in ask()
            self._fail_waiters(Unreached(_why(error)))
        finally:
            if ready:
                self._give(connection)
            else:
                self._open -= 1
                _disconnect(connection)

    def _fail_waiters(self, why: Unreached) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(why)


async def _exchange(connection: Connection, commands: Sequence[Command]) -> list[Reply]:
    await connection.send_packed_command(connection.pack_commands(commands))
    replies: list[Reply] = []
    for _ in commands:
        try:
            replies.append(await connection.read_response())
        except ResponseError as error:
            replies.append(error)
    return replies


def _disconnect(connection: Connection) -> None:
    """At once, also in a task that is being cancelled: with `nowait` there is nothing in it to wait for."""
    ending = connection.disconnect(nowait=True)
    with suppress(StopIteration, RedisError, OSError):
        ending.send(None)
    ending.close()


def _maker(address: Address, place: Place, db: int) -> Callable[[], Connection]:
    def plain() -> Connection:
        return Connection(**_common(address, place, db))  # type: ignore[arg-type]

    def tls() -> Connection:
        made = SSLConnection(**_common(address, place, db), **dict(place.tls_files))  # type: ignore[arg-type]
        made.ssl_context = shared
        return made

    if not place.tls:
        return plain
    # One for all: to read the system's authorities takes the event loop 10 ms, and each would read them.
    shared = SSLConnection(**dict(place.tls_files)).ssl_context  # type: ignore[arg-type]
    return tls


def _common(address: Address, place: Place, db: int) -> dict[str, object]:
    return {
        "host": address.host,
        "port": address.port,
        "db": db,
        "username": place.user,
        "password": place.password,
        "protocol": 2,  # no pushes: whatever arrives is an answer
        "socket_timeout": None,  # the caller bounds the whole operation
        "socket_connect_timeout": CONNECT_SECONDS,
        "retry": Retry(NoBackoff(), 0),
        "driver_info": None,
    }


def _why(error: BaseException) -> str:
    return str(error) or type(error).__name__
