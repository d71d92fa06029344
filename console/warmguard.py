"""When to stop warming: the origin fails, or has become slow. What is meant to spare it must not bring it down."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

from console.warmresult import Kind, Result

WINDOW = 20
# Of the window. One broken page in twenty is a broken page; six are a broken origin.
MOST_FAILED = 5
# At any time, before a window is full too.
MOST_IN_A_ROW = 10
# The window's median against that of the first one. Caches fill and pools open: the beginning is rarely the fastest.
SLOWER = 3.0
# Whatever it was before: nobody minds 90 ms after 30.
SLOW_MS = 1000.0


class Guard:
    """Watches the results of one warming. Only those count that the origin was asked for."""

    __slots__ = ("_failed", "_first", "_in_a_row", "_last")

    def __init__(self) -> None:
        self._failed: deque[bool] = deque(maxlen=WINDOW)
        self._in_a_row = 0
        self._first: list[float] = []
        self._last: deque[float] = deque(maxlen=WINDOW)

    def note(self, result: Result) -> str:
        """Why to stop now; "" to go on."""
        if result.why == "closing":
            return "the node is being stopped"
        if not result.asked_origin:
            return ""
        failed = result.kind is Kind.FAILED
        self._failed.append(failed)
        self._in_a_row = self._in_a_row + 1 if failed else 0
        if self._in_a_row >= MOST_IN_A_ROW:
            return f"the origin failed {self._in_a_row} times in a row, at last with {result.reason}"
        if len(self._failed) == WINDOW and sum(self._failed) > MOST_FAILED:
            return f"the origin failed {sum(self._failed)} of the last {WINDOW} times, at last with {result.reason}"
        return "" if failed else self._pace(result.ms)

    def _pace(self, ms: float) -> str:
        if len(self._first) < WINDOW:
            self._first.append(ms)
            return ""
        self._last.append(ms)
        if len(self._last) < WINDOW:
            return ""
        before, now = _median(self._first), _median(self._last)
        if now > SLOW_MS and now > SLOWER * before:
            return f"the origin has become slow: {now:.0f} ms, at the beginning {before:.0f} ms"
        return ""


def _median(values: Collection[float]) -> float:
    # The module of that name takes 15 ms to import, and a purge should not.
    return sorted(values)[len(values) // 2]
