"""What a level asks of an eviction policy.

The law that every policy keeps, whatever it prefers:

- `used_bytes` is the sum of the costs of the names that are in, and never above `budget_bytes`.
- A name is in exactly from the `admit` that took it to the `forget`, or to the answer that names it a victim.
- What fits beside the others sends nobody away. A known name that does not grow is never refused.
- An `admit` that answers None changed nothing that can be seen: who is in, what they cost, what is used.
- A policy counts what the caller says an object costs; its own records belong into that cost.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol


class Eviction(Protocol):
    """The order in which named objects leave, under a budget in bytes. Not thread-safe: one level owns it."""

    @property
    def used_bytes(self) -> int: ...

    @property
    def budget_bytes(self) -> int: ...

    def touch(self, name: Hashable) -> None:
        """It was used. Unknown names are ignored: a reader may still hold what has left."""
        ...

    def admit(self, name: Hashable, cost_bytes: int, expires_at: float | None = None) -> list[Hashable] | None:
        """Takes it in; answers who had to leave for it, in the order in which they left.

        For a known name it is a new cost and instant and no use: it keeps its place, unless it has to grow.
        `expires_at` is an instant on any axis that
        the caller keeps to, None for never. Answers None when it may not come in: always where it costs more
        than the whole budget, and where the policy would rather keep what it has.
        """
        ...

    def forget(self, name: Hashable) -> None:
        """It has left for another reason. Unknown names are ignored."""
        ...

    def __len__(self) -> int: ...

    def __contains__(self, name: object) -> bool: ...

    def check(self) -> None:
        """Raises AssertionError where the records contradict each other."""
        ...
