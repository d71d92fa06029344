"""The hub's end of one node's feed: what this node has, what to send it next, and what it may be told of its lease.

No sockets, no clock. Knows nothing of other nodes: `hub.py` tells it how far it may go.

Four numbers say all, and each only grows while one process of the node lives:

    sent >= confirmed >= applied        what it was sent, what this process confirmed, what may be believed of the node
    fenced_through                      orders that were answered with "this node's lease has run out"

`applied` lags behind `confirmed` only while an earlier process of the same name may still serve: its lease has
to run out first, because what the new process confirms says nothing of the old one.

The lease is granted by one rule: what this node has not confirmed, it may ignore for one lease from when it was
written down, and no longer. And where somebody was told already that the node is fenced, or that it had applied
an order (and its disk forgot that), it gets nothing before it has caught up with that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from seawall.purge.journal import Trimmed
from seawall.purge.lease import NEVER, HubView, margin
from seawall.purge.messages import Confirm, Echo, Hello, Orders, Ping, Reset, ToNode, Welcome
from seawall.purge.order import Order

# Orders on their way to one node: what a slow one can make the hub keep for it.
MAX_UNCONFIRMED = 512
MAX_MESSAGE_ORDERS = 128
MAX_MESSAGE_BYTES = 512 * 1024


class OrderLog(Protocol):
    """What a feed needs of the journal."""

    @property
    def id(self) -> str: ...

    @property
    def last(self) -> int: ...

    def after(self, number: int) -> list[Order] | Trimmed: ...


@dataclass(frozen=True, slots=True)
class Confirmed:
    """This node has applied everything up to `number`; the counts, where it said them, are of that one."""

    node: str
    number: int
    matched: int | None
    octets: int | None


class HubFeed:
    """One for each node of the topology but the hub, for the life of the hub. `now` is the hub's monotonic clock.

    `now` is read after the message that it goes with was received, and before what it brings about is sent.
    """

    __slots__ = (
        "_base",
        "_elder_until",
        "_resets",
        "_resetting",
        "_session",
        "_unbelieved",
        "applied",
        "confirmed",
        "connected",
        "fenced_through",
        "heard_at",
        "node",
        "rank",
        "seconds",
        "sent",
        "view",
    )

    def __init__(self, node: str, rank: int, seconds: float, since: float) -> None:
        self.node = node
        self.rank = rank
        self.seconds = seconds
        self.view = HubView(seconds, since)
        self.connected = False
        self.heard_at = since
        self.sent = self.confirmed = self.applied = self.fenced_through = 0
        self._base = 0  # what is confirmed, or will be when a Reset is
        self._session: str | None = None
        self._elder_until = NEVER
        self._resetting = False
        self._resets = 0  # of this connection
        self._unbelieved: deque[Confirmed] = deque()

    @property
    def settled(self) -> int:
        """Up to here this node serves nothing that was purged: applied, or fenced."""
        return max(self.applied, self.fenced_through)

    def greeted(self, hello: Hello, log: OrderLog, released: int, now: float) -> list[ToNode]:
        """It connected, and may have what is `released`. A connection before this one has ended."""
        self._take_over(hello)
        self.connected = True
        self.heard_at = now
        self._resets = 0
        self._resetting = False
        if hello.journal == log.id and not isinstance(log.after(hello.after), Trimmed):
            self.sent = self.confirmed = self._base = hello.after
            self._unbelieved.append(Confirmed(self.node, hello.after, None, None))
            return [Welcome(log.id, max(released, hello.after), self.seconds)]
        why = "the journal is trimmed" if hello.journal == log.id else "another journal"
        reset = self._reset(log, released, why)
        return [Welcome(log.id, reset.number, self.seconds), reset]

    def lost(self) -> None:
        """Its connection has ended. It may go on serving until its lease runs out."""
        self.connected = False

    def left(self) -> None:
        """It said Bye: this process serves nothing stored any more."""
        self.view.surrendered()
        self.view.until = max(self.view.until, self._elder_until)
        self.connected = False

    def confirm(self, said: Confirm, log: OrderLog) -> bool:
        """Takes a confirmation. False where no node that applied our orders can have said that."""
        if said.resets != self._resets:
            return said.resets < self._resets  # it crossed a Reset: void
        if said.number > log.last:
            return False
        if said.number <= self.confirmed and not self._resetting:
            return True
        self._resetting = False
        self.confirmed = self._base = said.number
        # A node may confirm what it was sent over an earlier connection, before it is sent it again.
        self.sent = max(self.sent, said.number)
        self._unbelieved.append(Confirmed(self.node, said.number, said.matched, said.octets))
        return True

    def believed(self, now: float) -> list[Confirmed]:
        """What this node has newly applied, all processes of its name."""
        if self._elder_until != NEVER:
            if now <= self._elder_until + margin(self.seconds):
                return []
            self._elder_until = NEVER
        news = list(self._unbelieved)
        self._unbelieved.clear()
        for each in news:
            self.applied = max(self.applied, each.number)
        return news

    def fence(self, last: int, aged: int, now: float) -> int | None:
        """Up to which order its newly known lack of a lease settles things; it gets none before it has them.

        A node that is there and talks will confirm the youngest orders in a moment (it has just started, or
        caught up); "applied" is the better answer, so it has one lease to give it: `aged` is the newest order
        that was written down longer ago. For one that is silent there is nothing to wait for.
        """
        live = self.connected and now - self.heard_at <= self.seconds
        through = aged if live else last
        if self.settled >= through or not self.view.fenced(now):
            return None
        self.fenced_through = through
        return through

    def echo(self, ping: Ping, log: OrderLog, written_at: Callable[[int], float], now: float) -> Echo:
        """The answer to a ping. `written_at` is when an order was written down, NEVER where that is long ago."""
        grant = self._grant(log, written_at, now)
        if grant > 0:
            self.view.granted(now, grant)
        return Echo(ping.t0, grant)

    def next(self, log: OrderLog, released: int) -> list[ToNode]:
        """What to send it now: orders that it does not have, as far as `released`."""
        messages: list[ToNode] = []
        through = min(released, self._base + MAX_UNCONFIRMED)
        if not self.connected or self.sent >= through:
            return messages
        orders = log.after(self.sent)
        if isinstance(orders, Trimmed):
            return [self._reset(log, released, "the journal is trimmed")]
        group: list[Order] = []
        octets = 0
        for order in orders[: through - self.sent]:
            if group and (len(group) >= MAX_MESSAGE_ORDERS or octets + order.what.octets > MAX_MESSAGE_BYTES):
                messages.append(Orders(tuple(group)))
                group, octets = [], 0
            group.append(order)
            octets += order.what.octets
        messages.append(Orders(tuple(group)))
        self.sent = through
        return messages

    def _take_over(self, hello: Hello) -> None:
        """Whose word counts from now on. Another process of this name may still serve, until its lease runs out."""
        if hello.session == self._session:
            return
        if hello.sole:
            if self._session is not None:
                # This process began after that one had ended, which was after this hub began: nobody has
                # granted it anything yet. One that an earlier hub knew may be holding a lease of that hub.
                self.view.surrendered()
            self._elder_until = NEVER
        else:
            self._elder_until = self.view.until
        self._session = hello.session
        self._unbelieved.clear()  # what the other process confirmed and this one may not have

    def _reset(self, log: OrderLog, released: int, why: str) -> Reset:
        number = released if not isinstance(log.after(released), Trimmed) else log.last
        self.sent = self._base = number
        self.confirmed = 0
        self._resetting = True
        self._resets += 1
        return Reset(log.id, number, why)

    def _grant(self, log: OrderLog, written_at: Callable[[int], float], now: float) -> float:
        if self._resetting or self.confirmed < self.settled:
            return 0.0
        if self.confirmed >= log.last:
            return self.seconds
        return min(self.seconds, max(0.0, written_at(self.confirmed + 1) + self.seconds - now))

    def __repr__(self) -> str:
        state = "connected" if self.connected else "away"
        return (
            f"<HubFeed {self.node} rank={self.rank} {state} sent={self.sent} confirmed={self.confirmed} "
            f"applied={self.applied} fenced={self.fenced_through}>"
        )
