"""What became of each order: which nodes have applied it, which cannot serve anything stale, which may.

Pure but for the futures of those who wait. Owned by the hub's event loop. Knows no feed: it is told.

    pending --> applied     it confirmed, with a count
       |           ^
       v           |        it came back and caught up
     fenced -------'        its lease has certainly run out: it asks before it serves anything

`complete` means that every node has applied it; the hub is one of them. `partial` means that nothing stale
can be served any more, though not every node has confirmed: some are fenced. As long as a node is pending
the order is only `accepted`, because that node may still serve what was purged. So who waits for all gets
complete (exit code 0 of the command line), partial (3), or at the end of their patience accepted (5).

A node's state never goes back: a fenced node is given no lease before it has caught up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from seawall.purge.order import Order

MAX_RECEIPTS = 1024


class NodeState(StrEnum):
    """How far one node is with one order."""

    APPLIED = "applied"
    FENCED = "fenced"
    PENDING = "pending"


class State(StrEnum):
    """How far an order is."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    ACCEPTED = "accepted"


@dataclass(frozen=True, slots=True)
class NodeReceipt:
    """One node's part. `matched` objects of `octets` bytes; None where it applied it unheard, or by dropping all.

    `ms` is from when the order was written down to when its state was known here.
    """

    node: str
    state: NodeState = NodeState.PENDING
    matched: int | None = None
    octets: int | None = None
    ms: float | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """An order's state at one moment; nodes in the order of the topology."""

    order: Order
    nodes: tuple[NodeReceipt, ...]

    @property
    def number(self) -> int:
        return self.order.number

    @property
    def state(self) -> State:
        states = {node.state for node in self.nodes}
        if NodeState.PENDING in states:
            return State.ACCEPTED
        return State.PARTIAL if NodeState.FENCED in states else State.COMPLETE

    @property
    def settled(self) -> bool:
        """Can no node serve what it purged any more?"""
        return self.state is not State.ACCEPTED

    @property
    def matched(self) -> int:
        """Objects on all nodes, as far as they said."""
        return sum(node.matched or 0 for node in self.nodes)


class _Open:
    """A receipt in the making."""

    __slots__ = ("nodes", "opened_at", "order", "waiters")

    def __init__(self, order: Order, nodes: Iterable[str], now: float) -> None:
        self.order = order
        self.opened_at = now
        self.nodes = {node: NodeReceipt(node) for node in nodes}
        self.waiters: set[asyncio.Future[None]] = set()

    def receipt(self) -> Receipt:
        return Receipt(self.order, tuple(self.nodes.values()))


class Receipts:
    """The receipts of the newest orders. `now` is the hub's monotonic clock, in seconds."""

    __slots__ = ("_applied", "_fenced", "_most", "_open", "on_applied")

    def __init__(self, most: int = MAX_RECEIPTS) -> None:
        self.on_applied: Callable[[float], None] | None = None  # told the seconds it took a node to apply an order
        self._most = most
        self._open: dict[int, _Open] = {}  # ascending numbers
        # How far each node's word went last time, so that each receipt hears it once.
        self._applied: dict[str, int] = {}
        self._fenced: dict[str, int] = {}

    def open(self, order: Order, nodes: Iterable[str], now: float) -> Receipt:
        """The order is written down, and these nodes are to apply it. Numbers ascend."""
        record = self._open[order.number] = _Open(order, nodes, now)
        excess = len(self._open) - self._most
        if excess > 0:
            # Never one that somebody waits for: nobody would tell them.
            idle = [number for number, each in self._open.items() if not each.waiters and number != order.number]
            for number in idle[:excess]:
                del self._open[number]
        return record.receipt()

    def confirm(self, node: str, number: int, matched: int | None, octets: int | None, now: float) -> None:
        """The node has applied this order, and so every one before it. The first word on it counts."""
        for record in self._told(self._applied, node, number):
            told = record.nodes.get(node)
            if told is not None and told.state is not NodeState.APPLIED:
                counts = (matched, octets) if record.order.number == number else (None, None)
                self._set(record, replace(told, state=NodeState.APPLIED, matched=counts[0], octets=counts[1]), now)

    def fence(self, node: str, through: int, now: float) -> None:
        """The node's lease has run out; it gets none before it has applied every order up to `through`."""
        for record in self._told(self._fenced, node, through):
            told = record.nodes.get(node)
            if told is not None and told.state is NodeState.PENDING:
                self._set(record, replace(told, state=NodeState.FENCED), now)

    def get(self, number: int) -> Receipt | None:
        """As it stands; None where it is not, or no longer, kept."""
        record = self._open.get(number)
        return None if record is None else record.receipt()

    def __iter__(self) -> Iterator[Receipt]:
        """All that are kept, newest first."""
        return iter([record.receipt() for record in reversed(self._open.values())])

    def __len__(self) -> int:
        return len(self._open)

    async def wait(self, number: int, timeout: float) -> Receipt:  # noqa: ASYNC109 (the caller's patience is data)
        """The receipt when it is settled, or as it stands after `timeout` seconds. Raises KeyError without one.

        A receipt that settled as partial may become complete later: ask again.
        """
        record = self._open[number]
        if not record.receipt().settled:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            record.waiters.add(waiter)
            try:
                await asyncio.wait([waiter], timeout=timeout)
            finally:
                record.waiters.discard(waiter)
        return record.receipt()

    def _told(self, through: dict[str, int], node: str, number: int) -> list[_Open]:
        """The receipts that this word is news to."""
        before = through.get(node, 0)
        if number <= before or not self._open:
            return []
        through[node] = number
        oldest = next(iter(self._open))
        return [
            record
            for each in range(max(oldest, before + 1), number + 1)
            if (record := self._open.get(each)) is not None
        ]

    def _set(self, record: _Open, told: NodeReceipt, now: float) -> None:
        took = now - record.opened_at
        record.nodes[told.node] = replace(told, ms=round(took * 1000, 3))
        if self.on_applied is not None and told.state is NodeState.APPLIED:
            self.on_applied(took)
        if record.waiters and record.receipt().settled:
            for waiter in record.waiters:
                if not waiter.done():
                    waiter.set_result(None)
