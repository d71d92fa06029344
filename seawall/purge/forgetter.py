"""What an order does on the node itself, as this floor sees it: find, forget, distrust.

Knows neither store nor flights; the engine's purger is one of these.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from seawall.purge.order import Order
from seawall.purge.selection import Selection
from seawall.telemetry import events


@dataclass(frozen=True, slots=True)
class Met:
    """What a selection met: stored objects, each variant counted, and the octets of their bodies."""

    matched: int
    octets: int


class Forgetter(Protocol):
    """Everything stored on this node, and its flights. Synchronous: between them nothing may land.

    From the return on, nothing that was selected is served. A future is for the count only: what lies on a disk is
    counted when the disk has said how much it was. It always comes, in bounded time, and in the order of the calls.
    """

    def count(self, what: Selection) -> Met | asyncio.Future[Met]:
        """What an order would meet now. Changes nothing."""
        ...

    def apply(self, what: Selection, *, soft: bool, number: int | None = None) -> Met | asyncio.Future[Met]:
        """Forgets what is selected, or makes it stale. `number`: of the order, where it is one."""
        ...

    def distrust_all(self) -> Met:
        """Everything stored and under way is stale."""
        ...


def forget(forgetter: Forgetter, order: Order) -> Met | asyncio.Future[Met]:
    """Applies the order. Where that fails, all that is stored is distrusted: more than was ordered, never less.

    Raises what `distrust_all` raises; the order must then not be confirmed.
    """
    try:
        return forgetter.apply(order.what, soft=order.soft, number=order.number)
    except Exception as error:
        events.error("purge.failed", number=order.number, why=repr(error), instead="everything is distrusted")
        return forgetter.distrust_all()
