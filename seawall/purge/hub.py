"""Who gets an order when: the hub first, then the nodes by rank, each rank when the ones before it are settled.

No sockets, no clock. Owns the feeds of all nodes; whoever wires it owns the journal, the receipts and the
connections, and carries out what each call returns.

Rank is how many nodes stand between a node and an origin. A node of rank 1 that forgot something before its
parent did would fetch it from there again, old (HAZARDS F09: Fastly's users purge twice because of that). So

    released(rank) = the newest order that the hub itself and every node of lower rank has applied, or is fenced for

A parent that is fenced holds nobody up: it asks before it serves anything, and is given no lease before it has
caught up.

The life of an order, for whoever wires this:

    order = await journal.append(...)                 on the disk
    receipts.open(order, nodes, now)
    ... memory and flights of the hub's own node, at once, then its disk
    hub.ordered(order.number, now)                    fences count from here
    hub.applied_here(order.number, matched, octets, now)    the first nodes get it
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from seawall.purge.hubfeed import Confirmed, HubFeed, OrderLog
from seawall.purge.lease import NEVER
from seawall.purge.messages import Bye, Confirm, Hello, Malformed, Ping, ToHub, ToNode


@dataclass(frozen=True, slots=True)
class Send:
    """To this node, on its newest connection."""

    node: str
    message: ToNode


@dataclass(frozen=True, slots=True)
class Fenced:
    """Every order up to `through` that this node has not applied is fenced for it."""

    node: str
    through: int


@dataclass(frozen=True, slots=True)
class Drop:
    """End this node's connection."""

    node: str
    why: str


HubAct = Send | Confirmed | Fenced | Drop


class Hub:
    """All nodes of a topology, seen from the one that numbers the orders. Owned by one event loop."""

    def __init__(
        self,
        log: OrderLog,
        own: str,
        ranks: Mapping[str, int],
        seconds: float,
        now: float,
        *,
        applied: int = 0,
    ) -> None:
        """`ranks` names every other node. `applied` is the last order that the hub's own node has applied.

        Nodes may hold what a process before this one granted, for one lease from `now`; a journal that was made
        just now proves nothing, as somebody may have taken the old one away.
        """
        assert own not in ranks  # noqa: S101
        self._log = log
        self._own = own
        self._own_applied = applied
        self._last = log.last  # the newest order that receipts know of
        self._seconds = seconds
        self.feeds = {
            node: HubFeed(node, rank, seconds, now) for node, rank in sorted(ranks.items(), key=lambda of: of[1])
        }
        # When the youngest orders were written down, ascending; older than a lease need not be known.
        self._written: dict[int, float] = {}

    def released(self, rank: int) -> int:
        """The newest order that a node of this rank may have."""
        before = (feed.settled for feed in self.feeds.values() if feed.rank < rank)
        return min(self._own_applied, self._last, *before)

    def ordered(self, number: int, now: float) -> list[HubAct]:
        """This order is on the disk and its receipt is open. In the order of numbers."""
        assert number == self._last + 1  # noqa: S101
        self._last = number
        self._written[number] = now
        return self._advance(now)

    def applied_here(self, number: int, matched: int, octets: int, now: float) -> list[HubAct]:
        """The hub's own node has applied it, and every one before it."""
        self._own_applied = max(self._own_applied, number)
        return [Confirmed(self._own, number, matched, octets), *self._advance(now)]

    def greeted(self, hello: Hello, now: float) -> list[HubAct]:
        """The first message of a new connection. An earlier one of this node is no longer listened to."""
        feed = self.feeds.get(hello.node)
        if feed is None:
            return [Drop(hello.node, "no node of this topology, or the hub itself")]
        messages = feed.greeted(hello, self._log, self.released(feed.rank), now)
        return [*(Send(feed.node, message) for message in messages), *self._advance(now)]

    def received(self, node: str, message: ToHub | Malformed, now: float) -> list[HubAct]:
        """A later message of a node, from its newest connection."""
        feed = self.feeds[node]
        if not feed.connected:
            return []
        feed.heard_at = now
        match message:
            case Ping():
                return [Send(node, feed.echo(message, self._log, self._written_at, now)), *self._advance(now)]
            case Confirm():
                if not feed.confirm(message, self._log):
                    return self._drop(feed, "confirmed what was never ordered", now)
                return self._advance(now)
            case Bye():
                feed.left()
                return self._advance(now)
            case Hello():
                return self._drop(feed, "greeted twice", now)
            case Malformed(why):
                return self._drop(feed, why, now)
            case _:
                assert_never(message)

    def lost(self, node: str, now: float) -> list[HubAct]:
        """A node's newest connection has ended."""
        self.feeds[node].lost()
        return self._advance(now)

    def tick(self, now: float) -> list[HubAct]:
        """Call it at least ten times a lease: leases run out by themselves."""
        acts = self._advance(now)
        for feed in self.feeds.values():
            if feed.connected and now - feed.heard_at > 2 * self._seconds:
                acts += self._drop(feed, "no ping for two leases", now)
        return acts

    def _drop(self, feed: HubFeed, why: str, now: float) -> list[HubAct]:
        feed.lost()
        return [Drop(feed.node, why), *self._advance(now)]

    def _fences(self, now: float) -> list[HubAct]:
        while self._written:
            number, written = next(iter(self._written.items()))
            if written + self._seconds >= now:
                break
            del self._written[number]
        aged = self._last - len(self._written)
        return [
            Fenced(feed.node, through)
            for feed in self.feeds.values()
            if (through := feed.fence(self._last, aged, now)) is not None
        ]

    def _advance(self, now: float) -> list[HubAct]:
        """What time and news have made possible."""
        acts: list[HubAct] = []
        for feed in self.feeds.values():
            acts += feed.believed(now)
        acts += self._fences(now)
        for feed in self.feeds.values():  # by rank, so that one pass is enough
            acts += [Send(feed.node, message) for message in feed.next(self._log, self.released(feed.rank))]
        return acts

    def _written_at(self, number: int) -> float:
        return self._written.get(number, NEVER)

    def __repr__(self) -> str:
        return f"<Hub {self._own} last={self._last} applied={self._own_applied} {list(self.feeds.values())!r}>"
