"""The promise of a flight across processes: of those who want the same key, one fetches and the others wait for it.

Knows no HTTP and no flight. It is a matter of load and never of correctness: where nobody can be asked, everybody is
told to go on alone, and a lease that ran out too early costs a second fetch.

    take() ──▶ Lease: go and fetch ──▶ release()
       └─────▶ None: somebody else does ──▶ wait() ──▶ look into the store, and take() again
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Lease:
    """Its owner may fetch. `shared`: whether the others know of it; where not, they do not wait."""

    key: str
    token: str
    shared: bool


class Leases(Protocol):
    """Who may fetch what, among processes."""

    async def take(self, key: str, seconds: float) -> Lease | None:
        """The lease, for so long, or None where somebody else has it. Raises nothing."""
        ...

    async def release(self, lease: Lease) -> None:
        """Lets it go, if it is still the owner's. Raises nothing."""
        ...

    async def wait(self, key: str, seconds: float) -> None:
        """Returns when it is let go of or has run out, when it cannot be told, or after so long. Raises nothing."""
        ...
