"""From who answers beside the engine to the engine: a request that is under way, and what has come of it so far.

Who asks an origin without a task can answer what is plain. Everything else it hands over, whole, at the moment when the
answer's head or its failure is here: nothing is asked twice, and what the engine makes of it is what it would have made
of it had it asked itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from seawall.downstream.exchange import Handler, Reply, Request
from seawall.engine.fetch import Sent
from seawall.engine.landing import Landing
from seawall.engine.route import Route
from seawall.flight.table import Flight
from seawall.policy.outcomes import Fetch
from seawall.purge.applied import Mark


@dataclass(frozen=True, slots=True)
class Begun:
    """What was decided when the request was here, and what it has met.

    `flight` was entered by hand, and others may have boarded it; None for a pass. `overtaken`: an order or an unsafe
    request may have concerned a pass since. `sent` None: the connection was gone before the origin can have seen the
    request; it is to be sent anew.
    """

    key: str
    route: Route
    decision: Fetch
    flight: Flight[Landing] | None
    overtaken: bool
    mark: Mark
    arrived_at: float  # wall seconds
    started: float  # monotonic
    sent: Sent | None


class Handover:
    """Answers the request, once. `let_go` is for who does not ask for that, and does nothing for who has."""

    __slots__ = ("_claimed", "_handler", "_let_go")

    def __init__(self, handler: Handler, let_go: Callable[[], None]) -> None:
        self._handler = handler
        self._let_go = let_go
        self._claimed = False

    async def handle(self, request: Request) -> Reply:
        """A Handler. From its first step on it takes care of what was handed over, cancelled or not."""
        self._claimed = True
        return await self._handler(request)

    def let_go(self) -> None:
        """Nobody is there any more. A task that is cancelled before its first step never takes that."""
        if not self._claimed:
            self._claimed = True
            self._let_go()
