"""Is it any use to try? A circuit breaker: who cannot be reached is not waited for by every request.

Knows no clock, no chance and no sockets; `now` is seconds of any clock that does not run backwards.

    state      what happens                             next
    ---------  ---------------------------------------  ---------------------------------------------------
    CLOSED     reached()                                CLOSED, the count starts again
               unreached(), `after` times in a row      OPEN for `open_for` seconds
    OPEN       take(): refused                          OPEN
               its time is over, or invite()            HALF_OPEN
    HALF_OPEN  take(): the first one is the trial       HALF_OPEN, all others are refused
               the trial reached()                      CLOSED
               the trial was unreached()                OPEN, twice as long as before, up to `open_most`
               the trial came to no end: undecided()    HALF_OPEN, and the next one is the trial
               the trial takes longer than `trial`      HALF_OPEN, and one more may try

It counts only failures to *reach* the address. A reset or a slow answer may be one URL's fault, and one URL
must not shut out the others; who has alternatives counts those too (`health`).

Each take() gives a ticket, and each ticket is reported once. A ticket from before the last opening says
nothing about now, so it is ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from seawall.policy.reasons import Reason

Ticket = int


class State(StrEnum):
    """Where a breaker stands; the table above."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Refusal(StrEnum):
    """Why a request may not try."""

    OPEN = "breaker-open"  # it could not be reached a moment ago
    TRIAL = "breaker-trial"  # somebody else is finding out


@dataclass(frozen=True, slots=True)
class Fuse:
    """When a breaker opens and for how long. Times in seconds."""

    after: int = 5
    # Short: a trial costs one request a time-out, an origin that is back and not asked costs all of them.
    open_for: float = 1.0
    open_most: float = 5.0
    trial: float = 5.0


DEFAULT = Fuse()


class Breaker:
    """One address. Owned by the group that asks it."""

    __slots__ = ("_openings", "_trial_until", "_until", "failures", "fuse", "opened", "state", "why")

    def __init__(self, fuse: Fuse = DEFAULT) -> None:
        self.fuse = fuse
        self.state = State.CLOSED
        self.why: Reason | None = None  # the last failure to reach it
        self.opened = 0  # times, ever; also the number on tickets
        self.failures = 0  # to reach it, in a row
        self._openings = 0  # since it was last closed
        self._until = 0.0
        self._trial_until = float("-inf")

    def refusal(self, now: float) -> Refusal | None:
        """Why a request may not try now; None: it may."""
        if self.state is State.OPEN and now < self._until:
            return Refusal.OPEN
        if self.state is State.HALF_OPEN and now < self._trial_until:
            return Refusal.TRIAL
        return None

    def next_try(self, now: float) -> float:
        """Seconds until somebody may try."""
        return max(0.0, (self._until if self.state is State.OPEN else self._trial_until) - now)

    def take(self, now: float) -> Ticket:
        """Notes that a request tries, where refusal() is None."""
        assert self.refusal(now) is None, self  # noqa: S101 (our own mistake)
        if self.state is not State.CLOSED:
            self.state = State.HALF_OPEN
            self._trial_until = now + self.fuse.trial
        return self.opened

    def invite(self, now: float) -> None:
        """Somebody else, a probe, has reached it: no need to let the time run out."""
        if self.state is State.OPEN:
            self._until = min(self._until, now)

    # --- what became of a try ---

    def reached(self, ticket: Ticket) -> None:
        """There was an answer, or at least a connection."""
        if ticket != self.opened:
            return
        self.state = State.CLOSED
        self.failures = 0
        self._openings = 0
        self._trial_until = float("-inf")

    def unreached(self, ticket: Ticket, why: Reason, now: float, jitter: float = 0.0) -> bool:
        """No connection could be made; True where that opens the breaker.

        `jitter` in [0, 1) lengthens the time by up to a half, so that many nodes do not try together.
        """
        if ticket != self.opened:
            return False
        self.why = why
        self.failures += 1
        if self.failures < self.fuse.after:  # once open, only reached() brings it below that again
            return False
        lasts = min(self.fuse.open_for * 2.0**self._openings, self.fuse.open_most)
        self.state = State.OPEN
        self.opened += 1
        self._openings = min(self._openings + 1, 32)
        self._until = now + lasts * (1 + 0.5 * jitter)
        self._trial_until = float("-inf")
        return True

    def undecided(self, ticket: Ticket) -> None:
        """It was cancelled, or failed for a reason of ours: that says nothing of the address."""
        if ticket == self.opened and self.state is State.HALF_OPEN:
            self._trial_until = float("-inf")

    def __repr__(self) -> str:
        return f"<Breaker {self.state}, {self.failures} failures in a row, opened {self.opened} times>"
