"""What a node has applied, and whether something that was under way meanwhile was overtaken.

Pure: knows no store, no flights, no clock. Owned by the node's event loop, like the flights that ask it.

A fetch notes a `Mark` when it takes off and asks `overtakes` when it lands: what an order has selected in
between may be delivered to those who already waited for it and may not be stored (HAZARDS F08: Varnish
7.1.1 stores it). The same question is asked of the mark that a parent's answer carries, because the parent
may have served it before it applied what this node has applied already (F09).

A number alone does not say enough for that: when the journal is replaced, numbers begin again, and 50 of
the old one must not pass for 50 of the new one. So a mark knows the generation it was taken in. Every
`reset` begins a new generation, and what was stored or taken off in an older one is stale, whatever the
numbers say.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from seawall.purge.order import Match, Order

# How far back a landing flight can be compared with what came meanwhile. Behind that it counts as overtaken,
# which costs one fetch. A flight of a minute meets this many orders at 17 purges a second.
WINDOW_ORDERS = 1024
WINDOW_BYTES = 4 << 20


class Gap(Exception):
    """An order came that is not the next one. The node has to catch up from `number` before it goes on."""

    def __init__(self, number: int, came: int) -> None:
        super().__init__(f"order {came} came after {number}")
        self.number = number
        self.came = came


@dataclass(frozen=True, slots=True)
class Mark:
    """Where the orders stood: everything up to `number` was applied, in this generation. Compares with nothing else."""

    generation: int
    number: int


class Applied:
    """The journal that this node follows and the last order that it has applied, dense, each once.

    A node that kept its store through a restart begins with the journal, number and generation that it kept
    with it; any other with none, and its hub resets it.
    """

    __slots__ = ("_octets", "_window", "_window_bytes", "_window_orders", "generation", "journal", "number")

    def __init__(
        self,
        journal: str = "",
        number: int = 0,
        generation: int = 0,
        *,
        window_orders: int = WINDOW_ORDERS,
        window_bytes: int = WINDOW_BYTES,
    ) -> None:
        self.journal = journal
        self.number = number
        self.generation = generation
        self._window: deque[tuple[Match, int]] = deque()  # of the orders up to `number`; octets beside each
        self._octets = 0
        self._window_orders = window_orders
        self._window_bytes = window_bytes

    @property
    def mark(self) -> Mark:
        """Where the orders stand now: what a flight notes at its take-off."""
        return Mark(self.generation, self.number)

    def mark_of(self, journal: str, number: int) -> Mark:
        """The mark of a parent's answer, which says what the parent had applied when it took off or was served.

        Of another journal, or none: a mark that everything overtakes.
        """
        return Mark(self.generation if journal and journal == self.journal else -1, number)

    def apply(self, order: Order) -> None:
        """This order is applied from now on. Raises Gap unless it is the next one; nothing has changed then.

        Call it in the same turn of the event loop as memory and flights are purged: a flight that lands in
        between would be stored and not purged.
        """
        if order.number != self.number + 1:
            raise Gap(self.number, order.number)
        self.number = order.number
        octets = order.what.octets
        self._window.append((Match(order.what), octets))
        self._octets += octets
        while len(self._window) > self._window_orders or self._octets > self._window_bytes:
            self._octets -= self._window.popleft()[1]

    def reset(self, journal: str, number: int) -> None:
        """The orders in between are lost to this node: whatever it stores or fetches now is stale.

        The caller marks it so, or compares each stored object's generation with this one's.
        """
        self.journal = journal
        self.number = number
        self.generation += 1
        self._window.clear()
        self._octets = 0

    def distrust(self) -> None:
        """As after a reset, at the same number: what was stored or taken off until now is stale."""
        self.reset(self.journal, self.number)

    def overtakes(self, taken_off_at: Mark, key_url: str, tags: Iterable[str]) -> bool:
        """Has an order since that mark selected this key with these tags?

        True as well where that can no longer be told. False for a mark ahead of this node, which a parent
        that applied more may send: what it knows of, this node will hear of, and apply to what is stored.
        """
        if taken_off_at.generation != self.generation:
            return True
        missed = self.number - taken_off_at.number
        if missed <= 0:
            return False
        if missed > len(self._window):
            return True
        tags = frozenset(tags)
        newest_first = reversed(self._window)
        return any(match(key_url, tags) for (match, _), _ in zip(newest_first, range(missed), strict=False))

    def __repr__(self) -> str:
        return f"<Applied {self.number} of {self.journal or 'none'} generation={self.generation}>"
