"""Stretches of time, merged where they touch: when something was wrong, and what lies between."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class Spans:
    """Closed intervals of one clock, ascending and apart. Immutable."""

    __slots__ = ("begins", "ends")

    def __init__(self, spans: Iterable[tuple[float, float]] = ()) -> None:
        self.begins: list[float] = []
        self.ends: list[float] = []
        for begin, end in sorted(spans):
            if self.ends and begin <= self.ends[-1]:
                self.ends[-1] = max(self.ends[-1], end)
            else:
                self.begins.append(begin)
                self.ends.append(end)

    def touch(self, begin: float, end: float) -> bool:
        """Does any of them meet this interval?"""
        after = bisect_right(self.begins, end)
        return after > 0 and self.ends[after - 1] >= begin

    def overlap(self, begin: float, end: float) -> float:
        """How much of this interval they cover, in seconds."""
        first, behind = bisect_left(self.ends, begin), bisect_right(self.begins, end)
        return sum(max(0.0, min(end, self.ends[each]) - max(begin, self.begins[each])) for each in range(first, behind))

    def gap(self, begin: float, end: float) -> int | None:
        """Which of the gaps between them holds the whole interval: 0 is before the first. None if none does."""
        after = bisect_right(self.begins, end)
        return None if after > 0 and self.ends[after - 1] >= begin else after

    def __iter__(self) -> Iterator[tuple[float, float]]:
        return zip(self.begins, self.ends, strict=True)

    def __repr__(self) -> str:
        return f"<Spans {[f'{begin:.3f}-{end:.3f}' for begin, end in zip(self.begins, self.ends, strict=True)]}>"
