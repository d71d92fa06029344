"""A node's end of its feed: what to do with each message of the hub. No sockets, no clock, no store.

    AWAY ----connected----> GREETING ----Welcome----> CATCHING UP ----done up to its number----> READY
      ^                         |                          ^                                       |
      +---------- lost ---------+------- lost -------------+------------- lost, connected ---------+

An order that is handed out as `Purge` counts as applied from that moment: the caller purges memory and
flights in the same turn of the event loop, then whatever needs awaiting, and says `done`. Only what is done is
confirmed, and only that is what a restart may remember (`done_number`).

Invariants: orders are handed out dense, each once, over any number of connections; a number is confirmed
only after it is done; the lease never reaches beyond what an echo granted from its ping on.

Being away changes nothing by itself: while the lease holds, what is stored may be served; after that
everything is asked for. No state of this machine is needed for either, which is why a frozen process is safe.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from seawall.purge.applied import Applied, Gap
from seawall.purge.lease import PINGS_A_LEASE, Lease
from seawall.purge.messages import Bye, Confirm, Echo, Hello, Orders, Ping, Reset, ToHub, ToNode, Welcome
from seawall.purge.order import Order


@dataclass(frozen=True, slots=True)
class Purge:
    """Apply this order: memory and flights before anything is awaited. Then `done(this, ...)`."""

    order: Order
    turn: int


@dataclass(frozen=True, slots=True)
class Forget:
    """Take everything stored and every flight for stale, likewise. Then `done(this, ...)`."""

    number: int
    why: str
    turn: int


@dataclass(frozen=True, slots=True)
class Broken:
    """This hub is not to be believed, or an order is missing: end the connection and connect again."""

    why: str


NodeAct = Purge | Forget | Broken


class NodeFeed:
    """One for the life of a node's process. `now` is the node's monotonic clock (see lease.py for which)."""

    __slots__ = (
        "_applied",
        "_away",
        "_done",
        "_heard_at",
        "_journal",
        "_lease",
        "_node",
        "_pinged_at",
        "_ready_at",
        "_session",
        "_sole",
        "_turn",
        "_turn_before",
    )

    def __init__(self, node: str, session: str, applied: Applied, lease: Lease, *, sole: bool = False) -> None:
        self._node = node
        self._session = session
        self._sole = sole
        self._applied = applied
        self._lease = lease
        self._done: int | None = applied.number  # None: a Forget is not done yet, and nothing before it counts
        self._turn = 0  # how many Resets came
        self._turn_before = 0  # and how many before this connection
        self._away = True
        self._journal: str | None = None  # of the hub on this connection; None before its Welcome
        self._ready_at: int | None = None
        self._heard_at = 0.0
        self._pinged_at = 0.0

    @property
    def done_number(self) -> int | None:
        """The last order that is fully applied; None while everything is being forgotten."""
        return self._done

    @property
    def ready(self) -> bool:
        """Has it caught up with where the hub was at the last greeting? False before the first."""
        return self._ready_at is not None and self._done is not None and self._done >= self._ready_at

    def connected(self, now: float) -> list[ToHub]:
        """A new connection is there: what to say on it. One before counts as lost."""
        self._away = False
        self._journal = None
        self._heard_at = now
        self._turn_before = self._turn
        # While everything is being forgotten, nothing of the journal counts yet.
        journal, after = ("", 0) if self._done is None else (self._applied.journal, self._done)
        return [Hello(self._node, self._session, journal, after, self._sole), self._ping(now)]

    def lost(self) -> None:
        """The connection has ended."""
        self._away = True

    def received(self, message: ToNode, now: float) -> list[NodeAct]:
        """What to do, in this order. `now` may be any time after the message came."""
        if self._away:
            return []
        self._heard_at = now
        match message:
            case Welcome(journal, number, _):
                if self._journal is not None:
                    return [Broken("welcomed twice")]
                self._journal = journal
                self._ready_at = number
                if journal != self._applied.journal:
                    # A Reset follows. Until it is done, the old journal's numbers must not pass for this one's.
                    self._done = None
                return []
            case Echo(t0, grant):
                return [] if self._lease.echoed(t0, grant) else [Broken("an echo of what was not said")]
            case Reset(journal, number, why):
                if journal != self._journal:
                    return [Broken("a reset to another journal")]
                self._applied.reset(journal, number)
                self._turn += 1
                self._done = None
                return [Forget(number, why, self._turn)]
            case Orders(orders):
                if self._applied.journal != self._journal:
                    return [Broken("orders of another journal")]
                return self._ordered(orders)
            case _:
                assert_never(message)

    def done(self, act: Purge | Forget, matched: int | None, octets: int | None, now: float) -> list[ToHub]:
        """This is fully applied. In the order in which it was handed out; what to say now."""
        if act.turn != self._turn:
            return []  # a Reset has made it meaningless; the Forget that follows is what counts
        if isinstance(act, Forget):
            # Not applied.number: orders may have been handed out behind the Forget, and are done later.
            self._done = act.number
        elif self._done is None:
            return []  # of a journal that this hub does not have: a Reset is on its way
        else:
            assert act.order.number == self._done + 1  # noqa: S101
            self._done = act.order.number
        if self._away:
            return []  # the next Hello says it
        said: list[ToHub] = [Confirm(self._done, matched, octets, self._turn - self._turn_before)]
        if not self._lease.held(now):
            # The hub may have waited for just this; do not let clients wait for the next heartbeat.
            said.append(self._ping(now))
        return said

    def tick(self, now: float) -> list[ToHub]:
        """Call it at least ten times a lease: the heartbeat, five times a lease."""
        if self._away or now - self._pinged_at < self._lease.seconds / PINGS_A_LEASE:
            return []
        return [self._ping(now)]

    def stalled(self, now: float) -> bool:
        """Has the hub been silent for a whole lease? The connection is as good as dead then: connect again."""
        return not self._away and now - self._heard_at > self._lease.seconds

    def leave(self) -> list[ToHub]:
        """The node drains: it trusts nothing stored from now on, so that no purge has to wait for its lease."""
        self._lease.surrender()
        was_away, self._away = self._away, True
        return [] if was_away else [Bye()]

    def _ordered(self, orders: tuple[Order, ...]) -> list[NodeAct]:
        acts: list[NodeAct] = []
        for order in orders:
            if order.number <= self._applied.number:
                continue  # handed out before the connection was lost, and perhaps not done when we greeted
            try:
                self._applied.apply(order)
            except Gap as gap:
                acts.append(Broken(str(gap)))
                break
            acts.append(Purge(order, self._turn))
        return acts

    def _ping(self, now: float) -> Ping:
        self._pinged_at = now
        self._lease.pinged(now)
        return Ping(now)

    def __repr__(self) -> str:
        where = "away" if self._away else "greeting" if self._journal is None else "connected"
        return f"<NodeFeed {self._node} {where} done={self._done} ready={self.ready} {self._lease!r}>"
