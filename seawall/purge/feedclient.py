"""A node's end of its feed, running: connects, hears, applies, confirms, and connects again.

What to do with each message is decided in nodefeed.py; here it is done, in the same turn of the event loop. Owns
one task for the life of the node, and three for each connection: one hears, one says, one looks at the clock.

A node whose hub cannot be reached goes on: its lease runs out, and it asks before it serves. So nothing here may
end the task but `close()`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from random import random

from seawall.purge import questions
from seawall.purge.distant import Distance, DistantConnection
from seawall.purge.forgetter import Forgetter, Met, forget
from seawall.purge.lease import Lease
from seawall.purge.line import Connection, Frame, Line
from seawall.purge.link import Link, LinkError
from seawall.purge.messages import Malformed, Orders, ToHub, ToNode, Welcome, encode, heard_by_node
from seawall.purge.nodefeed import Broken, Forget, NodeAct, NodeFeed, Purge
from seawall.telemetry import events

TICKS_A_LEASE = 20
# A whole lease without a hub costs revalidations, so the pauses stay well below one.
FIRST_PAUSE = 0.02  # of a lease
LONGEST_PAUSE = 0.4
DRAIN_SECONDS = 1.0


class FeedClient:
    """Owner of the feed's task and connection. `now` is the lease's clock."""

    def __init__(
        self,
        link: Link,
        feed: NodeFeed,
        lease: Lease,
        forgetter: Forgetter,
        now: Callable[[], float],
        distance: Distance | None = None,
    ) -> None:
        self._distance = distance
        self._link = link
        self._feed = feed
        self._lease = lease
        self._forgetter = forgetter
        self._now = now
        self._line: Line | None = None
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._greeted = False  # by the hub, on the newest connection
        self._complaint = ""

    @property
    def connected(self) -> bool:
        return self._line is not None

    @property
    def ready(self) -> bool:
        """Has this node caught up with its hub?"""
        return self._feed.ready

    def start(self) -> None:
        """Begins to connect. Once."""
        assert self._task is None  # noqa: S101
        self._task = asyncio.get_running_loop().create_task(self._run(), name="purge-feed")

    async def close(self) -> None:
        """Says Bye where somebody listens, and ends. From here on nothing stored is served without asking."""
        self._closing = True
        said = self._feed.leave()
        task, self._task = self._task, None
        if task is None:
            return
        if self._line is not None:
            self._say(said)
            self._line.finish()
            await asyncio.wait([task], timeout=DRAIN_SECONDS)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        pause = self._lease.seconds * FIRST_PAUSE
        while not self._closing:
            try:
                connection: Connection = await self._link.feed()
                if self._distance is not None:
                    connection = DistantConnection(connection, self._distance)
                try:
                    await self._talk(connection)
                finally:
                    await connection.close()
                if self._greeted:
                    pause = self._lease.seconds * FIRST_PAUSE
            except LinkError as error:
                self._complain(str(error))
            except Exception as error:
                # A fault of ours must not leave the node without its feed for ever. What it was about may not have
                # been applied, so nothing is trusted until the hub, which was not told that it is, says so.
                self._lease.surrender()
                events.error("feed.failed", why=repr(error))
            if not self._closing:
                # Full jitter: the nodes of a hub that comes back must not come back as one.
                await asyncio.sleep(pause * (0.5 + random() / 2))  # noqa: S311 (nobody gains from guessing it)
                pause = min(2 * pause, self._lease.seconds * LONGEST_PAUSE)

    async def _talk(self, connection: Connection) -> None:
        """One connection from its beginning to its end."""
        self._greeted = False
        line = self._line = Line(connection)
        self._say(self._feed.connected(self._now()))
        loop = asyncio.get_running_loop()
        hearing = loop.create_task(self._hear(line))
        tasks = [hearing, loop.create_task(line.pump()), loop.create_task(self._tick())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._line = None
            self._feed.lost()
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        for fault in ended:
            if isinstance(fault, Exception) and not isinstance(fault, OSError):
                raise fault
        if not self._greeted:
            self._complain("it ended the connection without a greeting: does its topology name this node?")
        elif not self._closing:
            events.warning("feed.lost", hub=self._link.url)

    async def _hear(self, line: Line) -> None:
        while (frame := await line.connection.receive()) is not None:
            if frame.question:
                self._answer(line, frame)
                continue
            message = heard_by_node(frame.data)
            if isinstance(message, Malformed):
                self._complain(message.why)
                return
            if not self._take(message):
                return

    def _take(self, message: ToNode) -> bool:
        """Does what the message says, in this turn of the event loop. False: the connection is to end."""
        if isinstance(message, Welcome):
            self._welcomed(message)
        acts = self._feed.received(message, self._now())
        # Everything that was handed out counts as applied already, so nothing may be awaited in here.
        for act in acts:
            if isinstance(act, Broken):
                self._complain(act.why)
                return False
            self._say(self._done(act))
        if isinstance(message, Orders):
            events.debug("feed.applied", number=self._feed.done_number)
        return True

    def _done(self, act: NodeAct) -> list[ToHub]:
        match act:
            case Purge(order, _):
                met = forget(self._forgetter, order)
                if isinstance(met, asyncio.Future):
                    met.add_done_callback(lambda counted: self._say(self._counted(act, counted.result())))
                    return []
                return self._counted(act, met)
            case Forget(number, why, _):
                met = self._forgetter.distrust_all()
                events.info("feed.reset", number=number, why=why, distrusted=met.matched)
                return self._feed.done(act, None, None, self._now())
            case Broken():
                raise AssertionError("ends the connection, and is never done")

    def _counted(self, act: Purge, met: Met) -> list[ToHub]:
        return self._feed.done(act, met.matched, met.octets, self._now())

    def _answer(self, line: Line, frame: Frame) -> None:
        asked = questions.asked(frame.data)
        if asked is None:
            return

        def say(met: Met) -> None:
            said = questions.encode(questions.Counts(asked.ask, met.matched, met.octets))
            line.say(Frame(said, question=True))

        met = self._forgetter.count(asked.what)
        if isinstance(met, asyncio.Future):
            met.add_done_callback(lambda counted: say(counted.result()))
        else:
            say(met)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._lease.seconds / TICKS_A_LEASE)
            now = self._now()
            if self._feed.stalled(now):
                self._complain("no word for a whole lease")
                return
            self._say(self._feed.tick(now))

    def _say(self, messages: Iterable[ToHub]) -> None:
        if self._line is not None:
            for message in messages:
                self._line.say(Frame(encode(message)))

    def _welcomed(self, welcome: Welcome) -> None:
        self._complaint = ""
        self._greeted = True
        events.info("feed.connected", hub=self._link.url, journal=welcome.journal, number=welcome.number)
        if welcome.seconds != self._lease.seconds:
            events.warning("feed.lease_differs", hub_seconds=welcome.seconds, own_seconds=self._lease.seconds)

    def _complain(self, why: str) -> None:
        """Once for each reason: a hub that is gone for an hour is one event."""
        if why != self._complaint:
            self._complaint = why
            events.warning("feed.unavailable", hub=self._link.url, why=why)

    def __repr__(self) -> str:
        return f"<FeedClient {'connected' if self.connected else 'away'} {self._feed!r}>"
