"""A node of several processes, as the hub sees it: a feed for each, and one line for the node in all that is told.

Each worker of a node has memory and flights of its own, so each follows the orders under a name of its own, with its
own session, confirmations and lease; hub and feeds know nothing else. Only what people are told speaks of nodes:

    applied     all processes of the node have applied it
    fenced      each has, or is fenced
    pending     some process may still serve what was purged

So a receipt's state (complete, partial, accepted) is the same whether one looks at processes or at nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from seawall.purge.receipts import NodeReceipt, NodeState

T = TypeVar("T")

# No node of a topology can be called so: names are letters, digits, dash and underscore.
MARK = "#"


def feed_name(node: str, worker: int) -> str:
    """Under which name this worker follows the orders."""
    return f"{node}{MARK}{worker}"


def node_of(feed: str) -> str:
    """Whose feed it is."""
    return feed.partition(MARK)[0]


def by_node(parts: Iterable[T], name: Callable[[T], str]) -> dict[str, list[T]]:
    """What belongs to feeds, by their nodes, in the order in which those were met first."""
    found: dict[str, list[T]] = {}
    for part in parts:
        found.setdefault(node_of(name(part)), []).append(part)
    return found


def total(numbers: Iterable[int | None]) -> int | None:
    """Their sum; None where one is not known."""
    known = list(numbers)
    return None if None in known else sum(number or 0 for number in known)


def lines(receipts: Iterable[NodeReceipt]) -> list[NodeReceipt]:
    """One line a node.

    Counts are added: what several processes share (a disk) is met by the first of them only. `ms` is the slowest's.
    """
    return [_line(node, parts) for node, parts in by_node(receipts, lambda part: part.node).items()]


def _line(node: str, parts: list[NodeReceipt]) -> NodeReceipt:
    states = {part.state for part in parts}
    if NodeState.PENDING in states:
        return NodeReceipt(node)
    state = NodeState.FENCED if NodeState.FENCED in states else NodeState.APPLIED
    times = [part.ms for part in parts if part.ms is not None]
    slowest = max(times) if len(times) == len(parts) else None
    return NodeReceipt(node, state, total(p.matched for p in parts), total(p.octets for p in parts), slowest)
