"""Which keys are uncacheable for now, so that requests for them do not wait for each other (hit-for-miss).

nginx has no such memory: 10 clients at once for an uncacheable page of half a second took it 5.5 s each
round, Varnish 0.5 s after the first (HAZARDS finding 9).
"""

from __future__ import annotations

from collections import OrderedDict

# Varnish remembers for 120 s. Shorter here: a page that becomes cacheable is noticed at the next answer
# anyway, what expires is only the memory of pages nobody asks for.
REMEMBER_SECONDS = 60.0
# About 200 B each: 13 MB at the most.
MOST_KEYS = 65_536


class HitForMiss:
    """Keys and until when. Bounded: the least recently marked goes first."""

    __slots__ = ("_most", "_seconds", "_until")

    def __init__(self, seconds: float = REMEMBER_SECONDS, most: int = MOST_KEYS) -> None:
        self._seconds = seconds
        self._most = most
        self._until: OrderedDict[str, float] = OrderedDict()

    def remember(self, key: str, now: float) -> None:
        self._until[key] = now + self._seconds
        self._until.move_to_end(key)
        if len(self._until) > self._most:
            self._until.popitem(last=False)

    def forget(self, key: str) -> None:
        self._until.pop(key, None)

    def holds(self, key: str, now: float) -> bool:
        until = self._until.get(key)
        if until is None:
            return False
        if until <= now:
            del self._until[key]
            return False
        return True

    def __len__(self) -> int:
        return len(self._until)
