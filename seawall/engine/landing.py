"""What a flight brings home: one of three things, and who may have it."""

from __future__ import annotations

from dataclasses import dataclass

from seawall.flight.fill import Fill, FillReader
from seawall.policy.entry import Entry
from seawall.policy.outcomes import Failure
from seawall.policy.reasons import Reason
from seawall.purge.applied import Mark
from seawall.store.stored import Stored
from seawall.upstream.answer import Answer


@dataclass(frozen=True, slots=True)
class Arriving:
    """It will be stored, and is for everyone whom its Vary allows: the body streams from the fill.

    `seat` is the leader's reader, taken before the landing: a body that turns out too large to keep lets
    nobody join, and may do so before the leader has woken. `mark`: the orders that were applied to it. `unstored`: why
    it will not be stored after all, although it may be shared.
    """

    entry: Entry
    fill: Fill
    fwd_status: int
    seat: FillReader
    mark: Mark
    unstored: Reason | None = None

    def abandon(self) -> None:
        self.seat.close()


@dataclass(frozen=True, slots=True)
class Kept:
    """A stored response is the answer: validated by a 304, or stale because the origin failed (`stale`).

    `mark`: the orders that it has survived. One may come between the landing and whoever wakes by it.
    """

    item: Stored
    fwd_status: int | None
    mark: Mark
    stale: Reason | None = None

    def abandon(self) -> None:
        """Nothing to let go: the store holds it."""


@dataclass(slots=True)
class Lone:
    """It is for the leader only: uncacheable (`answer`), or no answer at all (`failure`).

    The leader claims the answer; where the leader has left, the body is closed, not leaked.
    """

    answer: Answer | None
    failure: Failure | None
    reason: Reason
    mark: Mark
    claimed: bool = False

    def claim(self) -> Answer | None:
        self.claimed = True
        return self.answer

    def abandon(self) -> None:
        if not self.claimed and self.answer is not None:
            self.answer.body.close()
            if self.answer.tunnel is not None:
                self.answer.tunnel.close()
        self.claimed = True


Landing = Arriving | Kept | Lone
