"""Is an address fit to be asked? What probes said of it, and what became of real requests.

Knows no clock, no chance and no sockets; `now` is seconds of any clock that does not run backwards.

Two witnesses, each of whom can take an address out:

    witness   out                                          back
    --------  -------------------------------------------  --------------------------------------------------
    probes    `fall` failures in a row                     `rise` successes in a row
    requests  `eject_after` failures in a row: ejected     when its time is over; each ejection lasts longer
                                                           than the one before, until it behaves for a while

A probe that succeeds does not end an ejection: /healthz may well answer while the application does not.
What was never asked and never probed is fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

NEVER = float("-inf")


class Unfit(StrEnum):
    """Why an address is not asked while there are others."""

    PROBES_FAILED = "probes-failed"
    EJECTED = "ejected"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When an address goes out and comes back. Times in seconds."""

    # HAProxy's `fall 3 rise 2`.
    fall: int = 3
    rise: int = 2
    # Envoy: consecutive_gateway_failure 5, and max_ejection_time 300 s. Its base_ejection_time is 30 s; 10 is
    # enough for a process that restarts, and the growth takes care of one that does not.
    eject_after: int = 5
    ejection: float = 10.0
    max_ejection: float = 300.0


DEFAULT = Thresholds()


class Health:
    """One address as its witnesses see it. Owned by the group that asks it."""

    __slots__ = ("_contrary", "_ejected_until", "_ejections", "_failures", "down", "failed_at", "thresholds")

    def __init__(self, thresholds: Thresholds = DEFAULT) -> None:
        self.thresholds = thresholds
        self.down = False  # by probes
        self._contrary = 0  # probes in a row that contradict `down`
        self._failures = 0  # of requests, in a row
        self.failed_at = NEVER  # the last request, if it failed
        self._ejections = 0
        self._ejected_until = float("-inf")

    def unfit(self, now: float) -> Unfit | None:
        """Why not to ask it; None: it is fit."""
        if self.down:
            return Unfit.PROBES_FAILED
        return Unfit.EJECTED if self.ejected(now) else None

    def healthy(self, now: float) -> bool:
        return self.unfit(now) is None

    def ejected(self, now: float) -> bool:
        return now < self._ejected_until

    def failed_lately(self, now: float) -> bool:
        """The last request failed, and that was not long ago: news about it would be old news."""
        return now < self.failed_at + self.thresholds.ejection

    # --- what the witnesses say ---

    def probed(self, ok: bool) -> bool:
        """A probe's result; True where it changed what probes say of the address."""
        if ok is not self.down:
            self._contrary = 0
            return False
        self._contrary += 1
        if self._contrary < (self.thresholds.rise if ok else self.thresholds.fall):
            return False
        self.down = not ok
        self._contrary = 0
        return True

    def succeeded(self) -> None:
        """A request was answered."""
        self._failures = 0
        self.failed_at = NEVER

    def failed(self, now: float, *, may_eject: bool = True, jitter: float = 0.0) -> bool:
        """A request failed; True where that ejects the address.

        `may_eject`: there are others enough. `jitter` in [0, 1) lengthens the time by up to a tenth, so that
        what was ejected together does not come back together.
        """
        self.failed_at = now
        if self.ejected(now):
            return False  # it was under way before: one outage, one ejection
        self._failures += 1
        if self._failures < self.thresholds.eject_after or not may_eject:
            return False
        # One ejection is forgiven for each ejection's time of good behaviour since the last.
        if self._ejections:
            self._ejections -= min(self._ejections, int((now - self._ejected_until) / self.thresholds.ejection))
        self._ejections += 1
        lasts = min(self.thresholds.ejection * self._ejections, self.thresholds.max_ejection)
        self._ejected_until = now + lasts * (1 + 0.1 * jitter)
        self._failures = 0
        return True

    def __repr__(self) -> str:
        said = "down" if self.down else "up"
        return f"<Health {said} by probes, {self._failures} failures in a row, ejected {self._ejections} times>"
