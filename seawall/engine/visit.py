"""What became of one request: the facts that header, access log and metrics all tell.

Filled in along the way by the engine, handed to the observer once the reply has left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from seawall.downstream.exchange import Request, Sent
from seawall.policy.reasons import Fwd, Outcome, Reason
from seawall.purge.applied import Mark


@dataclass(slots=True)
class Visit:
    """One request on its way. `arrived_at` is wall seconds, `started` monotonic."""

    request: Request
    arrived_at: float
    started: float
    outcome: Outcome = Outcome.PASS
    status: int = 0
    fwd: Fwd | None = None
    fwd_status: int | None = None
    reason: Reason | None = None
    collapsed: bool = False
    stored: bool = False
    ttl: float | None = None  # seconds of freshness left; negative when stale
    origin_seconds: float | None = None  # until the origin's head was here
    from_peer: bool = False  # a node of ours asks: it is told the tags, the orders applied and the freshness left
    mark: Mark | None = None  # the orders that were applied to what it gets


class Observer(Protocol):
    """Who counts and logs. Called off the path of the bytes, and may not raise."""

    def visited(self, visit: Visit, sent: Sent, seconds: float) -> None:
        """The reply has left, or its client has."""
        ...

    def forwarded(self, why: Fwd) -> None:
        """One request went to an upstream."""
        ...

    def failed(self, why: Reason) -> None:
        """One request to an upstream got no usable answer."""
        ...

    def not_stored(self, why: Reason) -> None:
        """An answer that might have been stored was not."""
        ...

    def collapsed(self) -> None:
        """A request waits for another's flight."""
        ...
