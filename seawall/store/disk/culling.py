"""The cull: one task that brings a level back under its size, in short steps, asking what memory still serves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from seawall.store.disk.room import Culled, Victim
from seawall.store.level import Alive

# Down to this part of the size, so that not every Put culls.
LEAVE = 0.95
# So often in a row the next to leave may all be spared because memory serves them. Then they go as well.
SPARE_ROUNDS = 2


async def cull(
    bytes_held: int,
    size_bytes: int,
    alive: Alive | None,
    oldest: Callable[[int], Awaitable[list[Victim]]],
    drop: Callable[[list[Victim], list[Victim]], Awaitable[Culled]],
) -> None:
    """Drops the oldest until what is held is LEAVE of the size. Each step reads again what it is about."""
    goal = int(size_bytes * LEAVE)
    spare_rounds = 0
    while bytes_held > goal:
        victims = await oldest(bytes_held - goal)
        if not victims:
            return
        spared: list[Victim] = []
        if alive is not None and spare_rounds < SPARE_ROUNDS:
            serving = frozenset(alive([victim.name for victim in victims]))
            spared = [victim for victim in victims if victim.name in serving]
            victims = [victim for victim in victims if victim.name not in serving]
        spare_rounds = 0 if victims else spare_rounds + 1
        culled = await drop(victims, spared)
        if not culled.dropped and not spared:
            return  # all were used meanwhile: the next write looks again
        bytes_held = culled.bytes
