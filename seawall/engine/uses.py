"""How often a key was asked for lately, so that what is asked for once does not push out what is asked for often.

Knows nothing of stores and rules. Two generations of counts: the young one is counted in, the old one only read. When
the young one is full or has had its time, it becomes the old one, and what was in that is forgotten; so nothing is ever
swept, and a count says how often within the last one to two generations.
"""

from __future__ import annotations

# A key that nobody asks for again within this time starts anew (nginx: keys_zone, inactive=10m).
GENERATION_SECONDS = 600.0
# Hash, count and a place in a dict are about 80 B: 10 MB for both generations, under a flood of URLs that nobody asks
# for twice. A key counts as asked for again if fewer than this many others came between.
MOST_KEYS = 65_536


class Uses:
    """Counts of keys. Bounded, and forgets.

    Counts stand by hash, not by key: a URL may be 8 KiB long. The hash of a str is seeded anew for each process, so
    nobody can write URLs that share a count; two of a hundred thousand do by chance once in 10^9.
    Road not taken: the sketch that eviction has counts up to 15, and under a flood every key looks asked for twice.
    """

    __slots__ = ("_most", "_old", "_seconds", "_turn_at", "_young")

    def __init__(self, seconds: float = GENERATION_SECONDS, most: int = MOST_KEYS) -> None:
        self._seconds = seconds
        self._most = most
        self._young: dict[int, int] = {}
        self._old: dict[int, int] = {}
        self._turn_at: float | None = None

    def ask(self, key: str, now: float) -> None:
        """It was asked for. `now`: seconds that never run backwards."""
        self._turn(now)
        name = hash(key)
        if name not in self._young and len(self._young) >= self._most:
            self._age()
            self._turn_at = now + self._seconds
        self._young[name] = self._young.get(name, 0) + 1

    def count(self, key: str, now: float) -> int:
        """How often it was asked for, within at least one generation and at most two."""
        self._turn(now)
        name = hash(key)
        return self._young.get(name, 0) + self._old.get(name, 0)

    def __len__(self) -> int:
        """How many counts are held; never more than twice the most of a generation."""
        return len(self._young) + len(self._old)

    def _turn(self, now: float) -> None:
        if self._turn_at is None:
            self._turn_at = now + self._seconds
        elif now >= self._turn_at + self._seconds:
            # Nobody asked for anything for a whole generation.
            self._old, self._young = {}, {}
            self._turn_at = now + self._seconds
        elif now >= self._turn_at:
            self._age()
            self._turn_at += self._seconds

    def _age(self) -> None:
        self._old, self._young = self._young, {}
