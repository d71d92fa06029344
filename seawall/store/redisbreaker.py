"""Is it any use to ask this server? One that does not answer is not waited for by every request (HAZARDS F11).

Knows no clock and no socket; `now` is seconds of any clock that does not run backwards. Smaller than the breaker of
an origin (seawall/upstream/breaker.py), which is a machine above this floor: here whoever is refused has lost a hit
and nothing else, so there is neither back-off nor ticket.

    CLOSED ── 5 failures in a row, or 3 time-outs ──▶ OPEN ── 1 s later ──▶ one may try ── it failed ──▶ OPEN
       ▲                                                                        └── it was answered ──▶ CLOSED
"""

from __future__ import annotations

FAILURES = 5
# A time-out has cost its caller the whole 50 ms, a refused connection nothing.
TIMEOUTS = 3
OPEN_SECONDS = 1.0


class RedisBreaker:
    """Owned by the connections of one server."""

    __slots__ = ("_failures", "_open_until", "_timeouts", "_trying")

    def __init__(self) -> None:
        self._failures = 0
        self._timeouts = 0
        self._open_until: float | None = None
        self._trying = False

    def may_ask(self, now: float) -> bool:
        """May this one ask? Whoever was told yes says afterwards what came of it."""
        if self._open_until is None:
            return True
        if now < self._open_until or self._trying:
            return False
        self._trying = True
        return True

    def answered(self) -> None:
        """It is alive, whatever it said."""
        self._failures = self._timeouts = 0
        self._open_until = None
        self._trying = False

    def failed(self, now: float, *, timeout: bool) -> None:
        """No answer, or none in time."""
        self._failures += 1
        self._timeouts = self._timeouts + 1 if timeout else 0
        if self._trying or self._failures >= FAILURES or self._timeouts >= TIMEOUTS:
            self._open_until = now + OPEN_SECONDS
        self._trying = False

    def undecided(self) -> None:
        """Whoever asked has left before there was an answer. The next one may try."""
        self._trying = False

    def __repr__(self) -> str:
        state = "closed" if self._open_until is None else "trying" if self._trying else "open"
        return f"<RedisBreaker {state} failures={self._failures} timeouts={self._timeouts}>"
