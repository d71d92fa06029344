"""A network worse than the real one, so that a topology on a laptop behaves like a map.

Knows no roles; what a line carries is octets. Invariants: nothing is lost, changed or reordered, only late;
what is sent one after the other shares the bandwidth, whoever sends it.

The model is TCP over a line, in `Line`: an octet leaves when those before it have left, and arrives
`latency` and up to `jitter` later; what is lost costs one retransmission. Not modelled: the round trips
of opening a connection, and slow start.

Requests and answers are delayed above the pool, so the pool's time-outs do not see it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from seawall.http.body import BodyBroken, BodyReader, Duplex
from seawall.http.headers import Headers
from seawall.http.message import RequestHead, ResponseHead
from seawall.policy.reasons import Reason
from seawall.upstream.answer import Answer, UpstreamError
from seawall.upstream.upstream import Upstream

# Linux's least retransmission time-out (RFC 6298 asks for a second). What is sent again arrives: a story may lose
# everything and still end.
RETRANSMIT = 0.2
# How much of a body is under way at a time, as a receive window is: 256 KiB in 80 ms are 26 Mbit/s.
WINDOW_BYTES = 1 << 20

# Failures that this side finds by itself; all others are news from the far end, and travel.
_LOCAL = frozenset({Reason.CONNECT_TIMEOUT, Reason.FIRST_BYTE_TIMEOUT, Reason.IDLE_TIMEOUT, Reason.QUEUE_FULL})


@dataclass(frozen=True, slots=True)
class Link:
    """A line's properties, the same each way."""

    latency: float = 0.0  # seconds each way
    jitter: float = 0.0  # up to this many seconds more, by chance
    bandwidth: float | None = None  # bytes a second; None: no limit
    loss: float = 0.0  # probability that a message, or a piece of a body, is lost once and sent again

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if self.latency < 0 or self.jitter < 0 or not 0 <= self.loss <= 1:
            raise ValueError(f"{self}: latency and jitter are not negative, and loss is from 0 to 1")
        if self.bandwidth is not None and self.bandwidth <= 0:
            raise ValueError(f"{self}: bandwidth is above 0")


class Line:
    """One direction of a link. Owned by a Wire; `now` is the event loop's time."""

    __slots__ = ("_free_at", "_random", "link")

    def __init__(self, link: Link, random: Random) -> None:
        self.link = link
        self._random = random
        self._free_at = float("-inf")

    def left_at(self, nbytes: int, now: float) -> float:
        """When the last of these octets has left, behind all that were sent before."""
        if self.link.bandwidth is None:
            return now
        self._free_at = max(now, self._free_at) + nbytes / self.link.bandwidth
        return self._free_at

    def arrives_at(self, nbytes: int, now: float, after: float = float("-inf")) -> float:
        """When they are there; not before `after`, when what was sent before them on the same stream is."""
        return max(self.left_at(nbytes, now) + self._travel(), after)

    def _travel(self) -> float:
        link, random = self.link, self._random
        seconds = link.latency
        if link.jitter:
            seconds += random.uniform(0.0, link.jitter)
        if link.loss and random.random() < link.loss:
            seconds += RETRANSMIT
        return seconds

    async def delay(self, nbytes: int = 0) -> None:
        """Returns when a message of this size, sent now, is at the other end."""
        await _until(self.arrives_at(nbytes, asyncio.get_running_loop().time()))


class Wire:
    """Both directions of a node's link. All upstreams behind the link share it, and may share it with other traffic."""

    __slots__ = ("back", "there")

    def __init__(self, link: Link, random: Random | None = None) -> None:
        random = random or Random()  # noqa: S311 (weather, no secret)
        self.there = Line(link, random)
        self.back = Line(link, random)

    async def delay(self, nbytes: int = 0) -> None:
        """Returns when a message of this size, sent now to the far end, is there."""
        await self.there.delay(nbytes)


class Shaped:
    """An Upstream at the far end of a wire. Owns a task for each body that is under way."""

    __slots__ = ("_tasks", "_upstream", "_wire")

    def __init__(self, upstream: Upstream, wire: Wire) -> None:
        self._upstream = upstream
        self._wire = wire
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def bodies(self) -> int:
        """Bodies that are under way."""
        return len(self._tasks)

    async def exchange(
        self,
        head: RequestHead,
        body: BodyReader | None,
        *,
        interim: Callable[[ResponseHead], None] | None = None,
    ) -> Answer:
        """As any Upstream's, later."""
        late = _LateInterim(interim, self._wire.back) if interim is not None else None
        try:
            answer, head_at = await self._send(head, body, late)
        except BaseException:
            if late is not None:
                late.cancel()
            raise
        try:
            await _until(head_at)
            if late is not None:
                late.flush()
        except BaseException:
            if late is not None:
                late.cancel()
            answer.body.close()
            if answer.tunnel is not None:
                answer.tunnel.close()
            raise
        return answer

    async def _send(
        self, head: RequestHead, body: BodyReader | None, late: _LateInterim | None
    ) -> tuple[Answer, float]:
        """The answer, and when its head is here."""
        loop = asyncio.get_running_loop()
        there, back = self._wire.there, self._wire.back
        await there.delay(_head_bytes(head.headers, len(head.target)))
        metered = _Metered(body, there) if body is not None else None
        try:
            answer = await self._upstream.exchange(head, metered, interim=late.relay if late is not None else None)
        except UpstreamError as error:
            if error.reason not in _LOCAL:
                await back.delay()
            raise
        size = _head_bytes(answer.head.headers, len(answer.head.reason))
        head_at = back.arrives_at(size, loop.time(), after=late.last_at if late is not None else 0.0)
        if answer.tunnel is not None:
            return replace(answer, tunnel=_LateTunnel(answer.tunnel, self._wire)), head_at
        if answer.body.length == 0:
            return answer, head_at
        arriving = _LateBody(answer.body, back, head_at)
        self._own(loop.create_task(arriving.carry()), arriving)
        return replace(answer, body=arriving), head_at

    def _own(self, task: asyncio.Task[None], body: _LateBody) -> None:
        body.task = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(body.carried)

    async def close(self) -> None:
        """Closes the upstream; bodies under way break. Idempotent."""
        await self._upstream.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def __repr__(self) -> str:
        return f"<Shaped {self._upstream!r}, {self.bodies} bodies under way>"


class _LateInterim:
    """1xx on their way back, in order and before the final head."""

    __slots__ = ("_error", "_line", "_pending", "_relay", "last_at")

    def __init__(self, relay: Callable[[ResponseHead], None], line: Line) -> None:
        self._relay = relay
        self._line = line
        self._pending: deque[tuple[asyncio.TimerHandle, ResponseHead]] = deque()
        self._error: Exception | None = None
        self.last_at = 0.0

    def relay(self, head: ResponseHead) -> None:
        loop = asyncio.get_running_loop()
        size = _head_bytes(head.headers, len(head.reason))
        self.last_at = self._line.arrives_at(size, loop.time(), self.last_at)
        self._pending.append((loop.call_at(self.last_at, self._arrive), head))

    def _arrive(self) -> None:
        _, head = self._pending.popleft()
        try:
            self._relay(head)
        except Exception as error:  # the caller's own mistake, which flush() gives back to the caller
            self._error = error

    def flush(self) -> None:
        """The final head is there, so these are: timers of one instant run in any order. Raises what a relay raised."""
        while self._pending:
            self._pending[0][0].cancel()
            self._arrive()
        if self._error is not None:
            raise self._error

    def cancel(self) -> None:
        while self._pending:
            self._pending.popleft()[0].cancel()


class _Metered:
    """A request body: each piece is read when the one before has left. Latency was the head's."""

    __slots__ = ("_body", "_line")

    def __init__(self, body: BodyReader, line: Line) -> None:
        self._body = body
        self._line = line

    @property
    def length(self) -> int | None:
        return self._body.length

    async def read(self) -> bytes:
        piece = await self._body.read()
        await _until(self._line.left_at(len(piece), asyncio.get_running_loop().time()))
        return piece

    def close(self) -> None:
        self._body.close()


class _LateBody:
    """An answer's body: a task reads it as it comes and notes when each piece will be there.

    Reading only when asked would let each piece pay the latency anew, one after the other.
    """

    __slots__ = ("_arrived", "_body", "_end", "_held", "_last_at", "_line", "_pieces", "_room", "task")

    def __init__(self, body: BodyReader, line: Line, head_at: float) -> None:
        self._body = body
        self._line = line
        self._last_at = head_at
        self._pieces: deque[tuple[float, bytes]] = deque()
        self._held = 0
        self._end: tuple[float, Exception | None] | None = None  # when, and what broke it
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    @property
    def length(self) -> int | None:
        return self._body.length

    async def carry(self) -> None:
        """The far end: runs as a task, to the end of the body."""
        loop = asyncio.get_running_loop()
        broke: Exception | None = None
        try:
            while piece := await self._body.read():
                self._last_at = self._line.arrives_at(len(piece), loop.time(), self._last_at)
                self._pieces.append((self._last_at, piece))
                self._held += len(piece)
                self._arrived.set()
                while self._held > WINDOW_BYTES:
                    self._room.clear()
                    await self._room.wait()
        except Exception as error:  # the body's own, for its reader to see
            broke = error
        # The end comes with the last piece, where that was sent with it.
        self._end = (max(self._last_at, loop.time() + self._line.link.latency), broke)
        self._arrived.set()

    def carried(self, task: asyncio.Task[None]) -> None:
        """The task is over. Cancelled: nobody may wait for a body that nobody carries."""
        if self._end is None:
            self._end = (self._last_at, BodyBroken("the link was closed"))
            self._arrived.set()
            self._body.close()

    async def read(self) -> bytes:
        while True:
            if self._pieces:
                await _until(self._pieces[0][0])
                if self._pieces:  # else it was closed meanwhile
                    _, piece = self._pieces.popleft()
                    self._held -= len(piece)
                    self._room.set()
                    return piece
            elif self._end is not None:
                due, broke = self._end
                await _until(due)
                if broke is not None:
                    raise broke
                return b""
            else:
                self._arrived.clear()
                await self._arrived.wait()

    def close(self) -> None:
        if self._pieces or self._end is None:
            self._end = (0.0, BodyBroken("closed by its reader"))
        self._pieces.clear()
        self._arrived.set()
        if self.task is not None:
            self.task.cancel()
        self._body.close()


class _LateTunnel:
    """A tunnel over the wire. One piece at a time each way, which a chat does not notice."""

    __slots__ = ("_held", "_tunnel", "_wire")

    def __init__(self, tunnel: Duplex, wire: Wire) -> None:
        self._tunnel = tunnel
        self._wire = wire
        self._held: tuple[float, bytes] | None = None  # read, and not yet there: a cancelled read loses nothing

    async def read(self) -> bytes:
        if self._held is None:
            data = await self._tunnel.read()
            self._held = (self._wire.back.arrives_at(len(data), asyncio.get_running_loop().time()), data)
        await _until(self._held[0])
        data, self._held = self._held[1], None
        return data

    async def write(self, data: bytes) -> None:
        await self._wire.there.delay(len(data))
        await self._tunnel.write(data)

    def write_eof(self) -> None:
        self._tunnel.write_eof()

    def close(self) -> None:
        self._tunnel.close()


def _head_bytes(fields: Headers, line: int) -> int:
    """About what a head is on the wire."""
    return 16 + line + sum(len(name) + len(value) + 4 for name, value in fields.items())


async def _until(instant: float) -> None:
    pause = instant - asyncio.get_running_loop().time()
    if pause > 0:
        await asyncio.sleep(pause)
