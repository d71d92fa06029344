"""How fast a warming may go: a token bucket, on instants that the caller gives."""

from __future__ import annotations


class Pace:
    """`rate` requests a second, and never two at once after a pause: a cold origin gets no burst.

    Holds one token at the most, so that what was missed while requests took long is not made up for.
    """

    __slots__ = ("_next_at", "_seconds")

    def __init__(self, rate: float) -> None:
        self._seconds = 1.0 / rate
        self._next_at = float("-inf")

    def wait(self, now: float) -> float:
        """Seconds until the next request may go, by the monotonic clock. 0.0: now, and it is counted."""
        if now < self._next_at:
            return self._next_at - now
        # From when it was due: a loop that wakes late does not slow the pace down. After a pause from now.
        due = self._next_at if now - self._next_at < self._seconds else now
        self._next_at = due + self._seconds
        return 0.0
