"""How a purge's fate is told: a status and a JSON document, the same from whichever node was asked.

    200 complete    every node has applied it
    207 partial     nothing stale can be served any more, but some node is fenced and has not confirmed
    202 accepted    written down; some node may still serve what was purged

Only `complete` is 200: a client that looks at nothing but the status must not take a missing node for a present
one (HAZARDS F10).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

import msgspec

from seawall.purge.asked import names
from seawall.purge.receipts import Receipt, State
from seawall.purge.selection import Problem
from seawall.purge.workers import by_node, lines, total

_STATUS = {State.COMPLETE: 200, State.PARTIAL: 207, State.ACCEPTED: 202}

NOTHING_MATCHED = "nothing matched: URLs are compared octet by octet, scheme, host and query included; tags exactly"


@dataclass(frozen=True, slots=True)
class Answered:
    """What the client is told. From 400 on, `document` is a problem document (RFC 9457)."""

    status: int
    document: Mapping[str, object]

    @property
    def refused(self) -> bool:
        return self.status >= 400

    @property
    def media_type(self) -> str:
        return "application/problem+json" if self.refused else "application/json"

    @property
    def body(self) -> bytes:
        """The document as JSON."""
        return msgspec.json.encode(self.document)


def refusal(status: int, detail: str, **more: object) -> Answered:
    """A problem of the type about:blank."""
    document = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return Answered(status, {**document, **more})


def malformed(problems: list[Problem]) -> Answered:
    """A body that asks for nothing that could be done: all that is wrong with it."""
    said = "; ".join(f"{each.where}: {each.what}" if each.where else each.what for each in problems[:3])
    if len(problems) > 3:
        said += f"; and {len(problems) - 3} more"
    return refusal(400, said, problems=[{"where": each.where, "what": each.what} for each in problems])


def told(receipt: Receipt) -> Answered:
    """The answer to a purge, and to whoever asks for it later."""
    return Answered(_STATUS[receipt.state], document(receipt))


def document(receipt: Receipt) -> dict[str, object]:
    """A receipt as JSON. `at` is seconds since the epoch, `ms` from being written down to being known here."""
    said: dict[str, object] = {
        "id": receipt.number,
        "state": receipt.state.value,
        "matched": receipt.matched,
        "soft": receipt.order.soft,
        "at": round(receipt.order.at, 3),
        "nodes": [
            {"node": node.node, "state": node.state.value, "matched": node.matched, "bytes": node.octets, "ms": node.ms}
            for node in lines(receipt.nodes)
        ],
    }
    if receipt.state is State.COMPLETE and not receipt.matched and all(n.matched is not None for n in receipt.nodes):
        said["warning"] = NOTHING_MATCHED
    return said


def full(receipt: Receipt) -> dict[str, object]:
    """The same with what was ordered."""
    return {**document(receipt), **names(receipt.order.what)}


@dataclass(frozen=True, slots=True)
class Counted:
    """What an order would meet on one node; None where it did not say."""

    node: str
    matched: int | None
    octets: int | None


def counted(nodes: list[Counted]) -> Answered:
    """The answer to a dry run: no order was given, so it has no number."""
    nodes = [
        Counted(node, total(part.matched for part in parts), total(part.octets for part in parts))
        for node, parts in by_node(nodes, lambda part: part.node).items()
    ]
    state = State.COMPLETE if all(node.matched is not None for node in nodes) else State.PARTIAL
    matched = sum(node.matched or 0 for node in nodes)
    said: dict[str, object] = {
        "id": None,
        "dry_run": True,
        "state": state.value,
        "matched": matched,
        "nodes": [
            {
                "node": node.node,
                "state": "counted" if node.matched is not None else "unknown",
                "matched": node.matched,
                "bytes": node.octets,
                "ms": None,
            }
            for node in nodes
        ],
    }
    if state is State.COMPLETE and not matched:
        said["warning"] = NOTHING_MATCHED
    return Answered(_STATUS[state], said)
