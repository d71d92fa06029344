"""What an answer beside the engine rests on: everything that the engine itself looks at before it serves a fresh hit,
and before it forwards a request that nothing is stored for.

For who answers where the octets arrive. Lent, all of it; nothing here is to be changed but what a hit changes (the
order of eviction, the counts), and what a fetch changes: flights, the store, what is remembered as uncacheable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from seawall.clock import Clock
from seawall.downstream.exchange import Request
from seawall.engine.handover import Begun, Handover
from seawall.engine.hitformiss import HitForMiss
from seawall.engine.landing import Landing
from seawall.engine.popularity import Popularity
from seawall.engine.pour import Filling
from seawall.engine.route import Route
from seawall.engine.searches import Searches
from seawall.engine.standing import Standing
from seawall.engine.tally import Tally
from seawall.engine.uses import Uses
from seawall.flight.table import Flights
from seawall.http.message import RequestHead
from seawall.policy.rules import Rules
from seawall.store.levels import Levels
from seawall.store.memory import MemoryStore


@dataclass(frozen=True, slots=True)
class Fetching:
    """What a miss and a pass need beside."""

    route: Callable[[RequestHead], Route | None]
    store: Levels
    flights: Flights[Landing]
    hit_for_miss: HitForMiss
    filling: Filling
    hand_over: Callable[[Request, Begun], Handover]


@dataclass(frozen=True, slots=True)
class Grounds:
    """`rules` as the route that takes a request has them, None where none does: of method, authority, target only.

    `only`: the route, where there is one for all requests.
    """

    node: str
    clock: Clock
    rules: Callable[[RequestHead], Rules | None]
    only: Route | None
    memory: MemoryStore
    standing: Standing
    searches: Searches
    uses: Uses
    tally: Tally
    popularity: Popularity | None = None
    fetching: Fetching | None = None  # None: here only the engine fetches
