"""How many requests an origin gets at a time, and who waits: the requests of clients before refreshes.

Knows no HTTP. A pool bounds connections, and whoever comes first gets one; the gate stands before it and
knows two kinds of requests. Foreground: a client waits. Background: a refresh of what can be served
meanwhile, so it can wait, and can even fail.

Invariants: at most `limit` slots are held, at most `limit - reserve` of them by the background, and at most
`max_waiting` wait; no background request is admitted while a foreground one waits; each slot that was
taken is left exactly once; nobody waits while there is a slot for him, nor longer than `max_wait`.

A foreground request that finds the queue full takes the place of the youngest background one in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from seawall.http.body import BodyReader
from seawall.http.message import RequestHead, ResponseHead
from seawall.policy.reasons import Reason
from seawall.upstream.answer import Answer, UpstreamError
from seawall.upstream.replay import Replay
from seawall.upstream.upstream import Upstream
from seawall.upstream.watched import WatchedBody

# Waiters in order of arrival, and leaving from the middle for free.
_Queue = dict[asyncio.Future[None], None]


class Slot:
    """Permission for one request. Left by whoever took it; leave() is idempotent."""

    __slots__ = ("_gate", "background")

    def __init__(self, gate: Gate, background: bool) -> None:
        self._gate: Gate | None = gate
        self.background = background

    def leave(self) -> None:
        gate, self._gate = self._gate, None
        if gate is not None:
            gate._left(self.background)


class Gate:
    """The requests in flight to one origin. Used from one event loop; owns no task."""

    def __init__(
        self, limit: int, max_waiting: int, reserve: int = 0, *, max_wait: float = 5.0, name: str = "the origin"
    ) -> None:
        """`reserve`: slots that the background never uses. `max_wait`: seconds in the queue. `name` is for errors."""
        if limit < 1 or max_waiting < 0 or not 0 <= reserve < limit:
            raise ValueError(f"limit {limit}, max_waiting {max_waiting}, reserve {reserve}: 0 <= reserve < limit")
        self.limit = limit
        self.max_waiting = max_waiting
        self.reserve = reserve
        self.max_wait = max_wait
        self.name = name
        self._foreground: _Queue = {}
        self._background: _Queue = {}
        self.in_flight = 0
        self.background_in_flight = 0
        self.peak = 0
        self.admitted = 0
        self.refused = 0  # the queue was full on arrival
        self.displaced = 0  # background requests that made room in the queue
        self.expired = 0  # after max_wait in the queue

    @property
    def waiting(self) -> int:
        return len(self._foreground) + len(self._background)

    def __repr__(self) -> str:
        return (
            f"<Gate {self.name}: {self.in_flight} of {self.limit} in flight, {self.background_in_flight} of them "
            f"background; {len(self._foreground)} foreground and {len(self._background)} background wait>"
        )

    # --- going through ---

    async def take(self, *, background: bool = False) -> Slot:
        """A slot, after waiting for it where need be. Raises UpstreamError(QUEUE_FULL)."""
        # Nobody is overtaken: where somebody waits, there is no room for the likes of him, nor for a refresh.
        if self._has_room(background):
            self._admit(background)
            return Slot(self, background)
        if self.waiting >= self.max_waiting and (background or not self._displace()):
            self.refused += 1
            raise UpstreamError(Reason.QUEUE_FULL, f"{self.name}: {self.max_waiting} wait already")
        await self._wait(background)
        return Slot(self, background)

    def step_in(self) -> bool:
        """A slot for a request of a client's where there is one at once, without an object to hold it: step_out()."""
        held = self.in_flight
        if held >= self.limit:
            return False
        # As _admit: two calls more would be a tenth of what a pass costs besides its octets.
        self.in_flight = held = held + 1
        self.admitted += 1
        if held > self.peak:
            self.peak = held
        return True

    def step_out(self) -> None:
        """The slot of a step_in() is free."""
        self.in_flight -= 1
        if self._foreground or self._background:
            self._call_next()

    @asynccontextmanager
    async def enter(self, background: bool = False) -> AsyncIterator[None]:
        """The same for a block. Raises UpstreamError(QUEUE_FULL)."""
        slot = await self.take(background=background)
        try:
            yield
        finally:
            slot.leave()

    def foreground(self, upstream: Upstream) -> Gated:
        """The upstream as requests of clients reach it."""
        return Gated(upstream, self, background=False)

    def background(self, upstream: Upstream) -> Gated:
        """The same upstream as refreshes reach it."""
        return Gated(upstream, self, background=True)

    # --- who is next ---

    def _has_room(self, background: bool) -> bool:
        if self.in_flight >= self.limit:
            return False
        return not background or self.background_in_flight < self.limit - self.reserve

    def _admit(self, background: bool) -> None:
        self.in_flight += 1
        self.background_in_flight += background
        self.admitted += 1
        self.peak = max(self.peak, self.in_flight)

    def _left(self, background: bool) -> None:
        self.in_flight -= 1
        self.background_in_flight -= background
        self._call_next()

    def _call_next(self) -> None:
        while self._foreground and self._has_room(background=False):
            self._call(self._foreground, background=False)
        while self._background and self._has_room(background=True):
            self._call(self._background, background=True)

    def _call(self, queue: _Queue, *, background: bool) -> None:
        waiter = next(iter(queue))
        del queue[waiter]
        if not waiter.done():  # cancelled, and not yet gone
            self._admit(background)
            waiter.set_result(None)

    def _displace(self) -> bool:
        """Sends the youngest background waiter away, for a foreground one; False: there is none."""
        if not self._background:
            return False
        waiter, _ = self._background.popitem()
        if not waiter.done():  # else it was cancelled, and is on its way out
            self.displaced += 1
            full = f"{self.name}: {self.max_waiting} wait already, and a client goes first"
            waiter.set_exception(UpstreamError(Reason.QUEUE_FULL, full))
        return True

    async def _wait(self, background: bool) -> None:
        loop = asyncio.get_running_loop()
        queue = self._background if background else self._foreground
        waiter: asyncio.Future[None] = loop.create_future()
        queue[waiter] = None
        timer = loop.call_later(self.max_wait, self._expire, queue, waiter)
        try:
            await waiter
        except BaseException:
            if waiter in queue:
                del queue[waiter]
            elif not waiter.cancelled() and waiter.exception() is None:
                # Admitted and cancelled in the same turn of the loop: the slot goes on to the next.
                self._left(background)
            raise
        finally:
            timer.cancel()

    def _expire(self, queue: _Queue, waiter: asyncio.Future[None]) -> None:
        if waiter in queue and not waiter.done():
            del queue[waiter]
            self.expired += 1
            waited = f"{self.name}: no request ended within {self.max_wait:g} s"
            waiter.set_exception(UpstreamError(Reason.QUEUE_FULL, waited))


def until_whole(answer: Answer, leave: Callable[[], None]) -> Answer:
    """The answer, whose request leaves the gate when its body has ended."""
    if answer.body.length == 0:  # that of a tunnel too
        leave()
        return answer
    return replace(answer, body=WatchedBody(answer.body, lambda _: leave()))


class Gated:
    """An Upstream behind a gate: a request holds its slot until the body of its answer has ended.

    A tunnel leaves the gate when it is made: it lasts for hours, and its connection counts in the pool.
    """

    __slots__ = ("_background", "_gate", "_upstream")

    def __init__(self, upstream: Upstream, gate: Gate, *, background: bool = False) -> None:
        self._upstream = upstream
        self._gate = gate
        self._background = background

    async def exchange(
        self,
        head: RequestHead,
        body: BodyReader | None,
        *,
        interim: Callable[[ResponseHead], None] | None = None,
    ) -> Answer:
        """As any Upstream's. Raises UpstreamError(QUEUE_FULL) too."""
        if body is None:
            return await self._pass(head, None, interim)
        replay = Replay(body)
        try:
            # As the pool does: a client that sends nothing holds no slot. With Expect he waits for us.
            if body.length and "expect" not in head.headers:
                await replay.read()
                replay.rewind()
            return await self._pass(head, replay, interim)
        finally:
            replay.finish()

    async def _pass(
        self, head: RequestHead, body: BodyReader | None, interim: Callable[[ResponseHead], None] | None
    ) -> Answer:
        slot = await self._gate.take(background=self._background)
        try:
            answer = await self._upstream.exchange(head, body, interim=interim)
        except BaseException:
            slot.leave()
            raise
        return until_whole(answer, slot.leave)

    async def close(self) -> None:
        await self._upstream.close()

    def __repr__(self) -> str:
        return f"<Gated {self._upstream!r} behind {self._gate!r}>"
