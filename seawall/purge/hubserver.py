"""The hub, running: writes orders down, applies them here, feeds them to every node, and keeps the receipts.

Who gets what when is decided in hub.py; here it is carried out. Owns the journal, the receipts, the clock's task
and the lines of all feeds; the sockets belong to whoever calls `attend`.

Invariant: an order is applied to the hub's own memory and flights in the turn of the event loop in which its
receipt is opened, in the order of numbers, whether or not the one who asked for it still waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from itertools import count
from typing import Protocol, assert_never

from seawall.purge import questions
from seawall.purge.answered import Counted
from seawall.purge.applied import Applied
from seawall.purge.forgetter import Forgetter, Met, forget
from seawall.purge.hub import Drop, Fenced, Hub, HubAct, Send
from seawall.purge.hubfeed import Confirmed, HubFeed, OrderLog
from seawall.purge.journal import Trimmed
from seawall.purge.line import Connection, Frame, Line
from seawall.purge.messages import VERSION, Echo, Hello, encode, heard_by_hub
from seawall.purge.order import Order
from seawall.purge.receipts import MAX_RECEIPTS, NodeReceipt, NodeState, Receipt, Receipts
from seawall.purge.selection import Selection
from seawall.purge.workers import by_node
from seawall.telemetry import events
from seawall.telemetry.metrics import Histogram, PurgeUsage

TICKS_A_LEASE = 20
HELLO_SECONDS = 5.0


class OrderJournal(OrderLog, Protocol):
    """What the hub needs of a journal, wherever it is. Raises JournalError from `append` only."""

    @property
    def first(self) -> int: ...

    async def append(self, what: Selection, soft: bool, now: float) -> Order: ...

    async def close(self) -> None: ...


class HubServer:
    """Owned by one event loop. `now` is the lease's clock, `wall` seconds since the epoch."""

    def __init__(
        self,
        journal: OrderJournal,
        *,
        node: str,
        ranks: Mapping[str, int],
        applied: Applied,
        forgetter: Forgetter,
        lease_seconds: float,
        now: Callable[[], float],
        wall: Callable[[], float],
        may_grant: Callable[[float], bool] = lambda now: True,
    ) -> None:
        """Takes the journal over. `ranks` names every other feed (workers.py); `applied` is the hub's own, brought up
        to date with the journal here. `may_grant`: can no other hub be numbering now? Else no lease is granted."""
        self.journal = journal
        self.node = node
        self.lease_seconds = lease_seconds
        self._nodes = (node, *ranks)
        self._applied = applied
        self._forgetter = forgetter
        self._now = now
        self._wall = wall
        self._may_grant = may_grant
        self._receipts = Receipts()
        self._given: dict[int, Order] = {}
        self._number = journal.last  # the newest order that is applied here
        self._lines: dict[str, Line] = {}  # the newest greeted line of each node
        self._asked: dict[int, tuple[Line, asyncio.Future[questions.Counts]]] = {}
        self._asks = count(1)
        self._tasks: set[asyncio.Task[Order]] = set()
        self._ticker: asyncio.Task[None] | None = None
        self._closed = False
        self._catch_up_here()
        self._hub = Hub(
            journal,
            node,
            ranks,
            lease_seconds,
            now(),
            applied=journal.last,
        )
        for order in self._written(after=max(0, journal.last - MAX_RECEIPTS)):
            self._receipts.open(order, self._nodes, now())
        if journal.last:
            self._receipts.confirm(node, journal.last, None, None, now())
        self._propagation = Histogram()
        self._receipts.on_applied = self._propagation.observe

    def usage(self) -> PurgeUsage:
        """How long nodes took to apply orders since this process began, and how many each has still to apply."""
        by_nodes = by_node(self._hub.feeds.values(), lambda feed: feed.node)
        lag = {node: max(self._number - min(feed.applied for feed in each), 0) for node, each in by_nodes.items()}
        return PurgeUsage(self._propagation, lag)

    @property
    def feeds(self) -> Mapping[str, HubFeed]:
        """What is known of each other node, by rank."""
        return self._hub.feeds

    def start(self) -> None:
        """Begins to look at the clock. Once."""
        assert self._ticker is None  # noqa: S101
        self._ticker = asyncio.get_running_loop().create_task(self._tick(), name="purge-hub")

    async def close(self) -> None:
        """Ends all feeds, writes down what was asked for, and lets the journal go."""
        self._closed = True
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
        await self.journal.close()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for line in self._lines.values():
            line.end()

    # --- orders ---

    async def order(self, what: Selection, *, soft: bool) -> Receipt:
        """The order is on the disk and applied here. Raises JournalError: there is no such order then.

        Whoever is cancelled here may have given one; it is carried out like any other.
        """
        task = asyncio.get_running_loop().create_task(self.journal.append(what, soft, self._wall()))
        self._tasks.add(task)
        task.add_done_callback(self._written_down)
        order = await asyncio.shield(task)
        return self.receipt(order.number) or self._derived(order)

    async def settled(self, number: int, timeout: float) -> Receipt | None:  # noqa: ASYNC109 (patience is data)
        """The receipt when nothing that it purged can be served any more, or as it stands after `timeout` seconds."""
        try:
            return await self._receipts.wait(number, timeout)
        except KeyError:
            return self.receipt(number)

    def receipt(self, number: int) -> Receipt | None:
        """As it stands. None where the journal does not hold that order, or no longer."""
        kept = self._receipts.get(number)
        if kept is not None:
            return kept
        if not self.journal.first <= number <= self._number:
            return None
        (order,) = self._written(after=number - 1)[:1]
        return self._derived(order)

    def receipts(self, before: int | None, most: int) -> list[Receipt]:
        """Up to `most` receipts of what the journal holds, newest first, of numbers below `before`."""
        newest = self._number if before is None else min(before - 1, self._number)
        oldest = max(self.journal.first, newest - most + 1)
        if newest < oldest:
            return []
        orders = self._written(after=oldest - 1)[: newest - oldest + 1]
        return [self._receipts.get(order.number) or self._derived(order) for order in reversed(orders)]

    def _written_down(self, task: asyncio.Task[Order]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or task.exception() is not None:
            return  # whoever asked is told
        self.found(task.result())

    def found(self, order: Order) -> None:
        """This order is in the journal: it is carried out once those before it are. Said twice it changes nothing."""
        if order.number > self._number:
            self._given[order.number] = order
        while (following := self._given.pop(self._number + 1, None)) is not None:
            self._carry_out_here(following)

    def _carry_out_here(self, order: Order) -> None:
        self._number = order.number
        now = self._now()
        self._receipts.open(order, self._nodes, now)
        self._applied.apply(order)
        met = forget(self._forgetter, order)
        self._do(self._hub.ordered(order.number, now))
        if isinstance(met, asyncio.Future):
            met.add_done_callback(lambda counted: self._carried_out_here(order, counted.result()))
        else:
            self._carried_out_here(order, met)

    def _carried_out_here(self, order: Order, met: Met) -> None:
        self._do(self._hub.applied_here(order.number, met.matched, met.octets, self._now()))

    def _catch_up_here(self) -> None:
        """Where the hub's own store kept something through a restart, it may have missed the newest orders."""
        journal, applied = self.journal, self._applied
        missed = journal.after(applied.number) if applied.journal == journal.id else None
        if missed is None or isinstance(missed, Trimmed):
            applied.reset(journal.id, journal.last)
            self._forgetter.distrust_all()
            return
        for order in missed:
            applied.apply(order)
            forget(self._forgetter, order)

    def _derived(self, order: Order) -> Receipt:
        """The receipt of an order from before this process, or of one too old to be kept: what is known by now."""
        nodes = [NodeReceipt(self.node, NodeState.APPLIED)]
        for name, feed in self._hub.feeds.items():
            state = NodeState.PENDING
            if feed.applied >= order.number:
                state = NodeState.APPLIED
            elif feed.fenced_through >= order.number:
                state = NodeState.FENCED
            nodes.append(NodeReceipt(name, state))
        return Receipt(order, tuple(nodes))

    def _written(self, after: int) -> list[Order]:
        orders = self.journal.after(max(after, self.journal.first - 1))
        return [] if isinstance(orders, Trimmed) else orders

    # --- feeds ---

    async def attend(self, connection: Connection) -> None:
        """One connection of a node, to its end. The caller closes it."""
        line = Line(connection)
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(self._hear(line)), loop.create_task(line.pump())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            self._lost(line)
        for fault in ended:
            if isinstance(fault, Exception) and not isinstance(fault, OSError):
                events.error("feed.failed", why=repr(fault))

    async def _hear(self, line: Line) -> None:
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                first = await line.connection.receive()
        except TimeoutError:
            return
        hello = None if first is None or first.question else heard_by_hub(first.data)
        if self._closed or not isinstance(hello, Hello) or hello.version != VERSION:
            if first is not None:
                events.warning("feed.refused", why="the first word is no greeting of this version")
            return
        elder = self._lines.get(hello.node)
        if elder is not None:
            elder.end()
        self._lines[hello.node] = line
        events.info("feed.greeted", peer=hello.node, journal=hello.journal, after=hello.after)
        self._do(self._hub.greeted(hello, self._now()))
        # A line that is no longer the node's newest is not listened to.
        while (frame := await line.connection.receive()) is not None and self._lines.get(hello.node) is line:
            if frame.question:
                self._answered(line, frame)
            else:
                self._do(self._hub.received(hello.node, heard_by_hub(frame.data), self._now()))

    def _lost(self, line: Line) -> None:
        for ask, (asked, answer) in list(self._asked.items()):
            if asked is line:
                del self._asked[ask]
                answer.cancel()
        for node, newest in list(self._lines.items()):
            if newest is line:
                del self._lines[node]
                events.info("feed.lost", peer=node)
                if not self._closed:
                    self._do(self._hub.lost(node, self._now()))

    def _do(self, acts: list[HubAct]) -> None:
        for act in acts:
            match act:
                case Send(node, message):
                    if isinstance(message, Echo) and not self._may_grant(self._now()):
                        message = Echo(message.t0, 0.0)
                    line = self._lines.get(node)
                    if line is not None:
                        line.say(Frame(encode(message)))
                case Confirmed(node, number, matched, octets):
                    self._receipts.confirm(node, number, matched, octets, self._now())
                case Fenced(node, through):
                    events.info("purge.fenced", peer=node, through=through)
                    self._receipts.fence(node, through, self._now())
                case Drop(node, why):
                    events.warning("feed.dropped", peer=node, why=why)
                    dropped = self._lines.pop(node, None)
                    if dropped is not None:
                        dropped.end()
                case _:
                    assert_never(act)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self.lease_seconds / TICKS_A_LEASE)
            try:
                self._do(self._hub.tick(self._now()))
            except Exception as error:
                # Without the clock no lease would ever be known to have run out, and every purge would hang.
                events.error("purge.hub_failed", why=repr(error))

    # --- questions ---

    async def count(self, what: Selection, timeout: float) -> list[Counted]:  # noqa: ASYNC109 (patience is data)
        """What an order with this selection would meet now, on every node that says so within `timeout` seconds."""
        answers: dict[str, asyncio.Future[questions.Counts]] = {}
        loop = asyncio.get_running_loop()
        for node, line in self._lines.items():
            ask = next(self._asks)
            answers[node] = loop.create_future()
            self._asked[ask] = (line, answers[node])
            line.say(Frame(questions.encode(questions.Count(ask, what)), question=True))
        counting = self._forgetter.count(what)
        own = await counting if isinstance(counting, asyncio.Future) else counting
        try:
            if answers:
                await asyncio.wait(answers.values(), timeout=timeout)
        finally:
            for ask, (_, answer) in list(self._asked.items()):
                if answer in answers.values():
                    del self._asked[ask]
        found = [Counted(self.node, own.matched, own.octets)]
        for node in self._hub.feeds:
            said = answers.get(node)
            heard = said.result() if said is not None and said.done() and not said.cancelled() else None
            found.append(Counted(node, None, None) if heard is None else Counted(node, heard.matched, heard.octets))
        return found

    def _answered(self, line: Line, frame: Frame) -> None:
        said = questions.answered(frame.data)
        asked = None if said is None else self._asked.get(said.ask)
        if said is not None and asked is not None and asked[0] is line and not asked[1].done():
            asked[1].set_result(said)

    def __repr__(self) -> str:
        return f"<HubServer {self._hub!r} lines={len(self._lines)}>"
