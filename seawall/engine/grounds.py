"""What an answer from memory rests on: everything that the engine itself looks at before it serves a fresh hit.

For who answers hits where the octets arrive, beside the engine. Lent, all of it; nothing here is to be changed but
what a hit changes: the order of eviction and the counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from seawall.clock import Clock
from seawall.engine.popularity import Popularity
from seawall.engine.searches import Searches
from seawall.engine.standing import Standing
from seawall.engine.tally import Tally
from seawall.engine.uses import Uses
from seawall.http.message import RequestHead
from seawall.policy.rules import Rules
from seawall.store.memory import MemoryStore


@dataclass(frozen=True, slots=True)
class Grounds:
    """`rules` as the route that takes a request has them, None where none does: of method, authority, target only."""

    node: str
    clock: Clock
    rules: Callable[[RequestHead], Rules | None]
    memory: MemoryStore
    standing: Standing
    searches: Searches
    uses: Uses
    tally: Tally
    popularity: Popularity | None = None
