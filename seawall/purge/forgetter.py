"""What an order does on the node itself, as this floor sees it: find, forget, distrust.

Knows neither store nor flights; the engine's purger is one of these.
"""

from __future__ import annotations

from typing import Protocol

from seawall.purge.order import Order
from seawall.purge.selection import Selection
from seawall.telemetry import events


class Met(Protocol):
    """What a selection met: stored objects, and the octets of their bodies."""

    @property
    def matched(self) -> int: ...

    @property
    def octets(self) -> int: ...


class Forgetter(Protocol):
    """Memory and flights of this node. Synchronous: between the two nothing may land."""

    def count(self, what: Selection) -> Met:
        """What an order would meet now. Changes nothing."""
        ...

    def apply(self, what: Selection, *, soft: bool) -> Met:
        """Forgets what is selected, or makes it stale."""
        ...

    def distrust_all(self) -> Met:
        """Everything stored and under way is stale."""
        ...


def forget(forgetter: Forgetter, order: Order) -> Met:
    """Applies the order. Where that fails, all that is stored is distrusted: more than was ordered, never less.

    Raises what `distrust_all` raises; the order must then not be confirmed.
    """
    try:
        return forgetter.apply(order.what, soft=order.soft)
    except Exception as error:
        events.error("purge.failed", number=order.number, why=repr(error), instead="everything is distrusted")
        return forgetter.distrust_all()
