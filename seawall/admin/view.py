"""A node as its admin port sees it: who it is, whether it serves, and its numbers."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

from seawall.telemetry.metrics import JSON


@dataclass(frozen=True, slots=True)
class Ready:
    """It serves."""


@dataclass(frozen=True, slots=True)
class NotReady:
    """It does not take new requests, and why: one short word such as starting or draining."""

    reason: str


Readiness = Ready | NotReady


class NodeView(Protocol):
    """What a role's node shows. Called in the node's own loop.

    Where a node is several processes, whoever answers has to ask them first: then the answers can be awaited.
    """

    @property
    def name(self) -> str:
        """As Via and Cache-Status call it."""
        ...

    @property
    def role(self) -> str:
        """As the topology file calls it; only shown, never asked."""
        ...

    def ready(self) -> Readiness | Awaitable[Readiness]:
        """Should a balancer send requests here now?"""
        ...

    def stats(self) -> dict[str, JSON] | Awaitable[dict[str, JSON]]:
        """The counters, as telemetry.metrics.snapshot makes them."""
        ...

    def scrape(self, accept: str) -> tuple[str, bytes] | Awaitable[tuple[str, bytes]]:
        """Content-Type and body of /metrics for a scraper with this Accept."""
        ...
