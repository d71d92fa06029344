"""How often a name was asked for lately, whether it is in or not: about sixteen bytes a name, never too low.

A count-min sketch of four rows with counters up to 15, whose counters are halved from time to time, so that it forgets
(Einziger, Friedman, Manes: TinyLFU, ACM Transactions on Storage 13(4), 2017).
"""

from __future__ import annotations

from collections.abc import Hashable

_ROWS = 4
_MOST = 15  # the paper's cap: the sample is ten times the names that are in, and 15 is well above the mean of ten
_LEAST_WIDTH = 1024
# Four counters for each name and row: at the end of a sample most of a row belongs to names asked once.
_COUNTERS = 4
# The paper's sample of 10 for each name that is in, in terms of the width, which is 4 to 8 times their number.
_SAMPLE = 2
_HALF = bytes(count >> 1 for count in range(256))

# 2**64 / golden ratio, odd. hash() of an int is the int: multiplied, all of its bits reach the upper half.
_MIX = 0x9E3779B97F4A7C15
_64 = (1 << 64) - 1


class Sketch:
    """Counts of names, aged. One byte a counter: nibbles would halve 16 bytes a name and double the time.

    Which counters a name has follows from hash(), whose seed for str is secret, so nobody can write URLs that
    share the counters of another.
    """

    __slots__ = ("_left", "_mask", "_rows")

    def __init__(self) -> None:
        self._mask = _LEAST_WIDTH - 1
        self._rows = [bytearray(_LEAST_WIDTH) for _ in range(_ROWS)]
        self._left = _SAMPLE * _LEAST_WIDTH  # uses until the counters are halved

    def add(self, name: Hashable) -> None:
        """It was asked for."""
        mixed = hash(name) * _MIX & _64
        mask = self._mask
        step = mixed >> 40 | 1
        first = mixed >> 16
        second = first + step
        third = second + step
        one, two, three, four = self._rows
        first &= mask
        fourth = third + step & mask
        second &= mask
        third &= mask
        a, b, c, d = one[first], two[second], three[third], four[fourth]
        least = min(a, b, c, d)
        if least < _MOST:
            # Only the least ones: the others are too high already (conservative update).
            if a == least:
                one[first] = least + 1
            if b == least:
                two[second] = least + 1
            if c == least:
                three[third] = least + 1
            if d == least:
                four[fourth] = least + 1
        self._left -= 1
        if not self._left:
            self._halve()

    def estimate(self, name: Hashable) -> int:
        """How often, from 0 to 15; never less than it was since the last halving."""
        mixed = hash(name) * _MIX & _64
        mask, step, place = self._mask, mixed >> 40 | 1, mixed >> 16
        least = _MOST
        for row in self._rows:
            least = min(least, row[place & mask])
            place += step
        return least

    def fit(self, names: int) -> None:
        """Is wide enough for so many names. What was counted stays: a row twice as wide starts as two copies."""
        while _COUNTERS * names > self._mask + 1:
            self._mask = 2 * self._mask + 1
            self._rows = [row + row for row in self._rows]
            self._left = _SAMPLE * (self._mask + 1)

    def __len__(self) -> int:
        """Bytes."""
        return _ROWS * (self._mask + 1)

    def _halve(self) -> None:
        self._rows = [row.translate(_HALF) for row in self._rows]
        self._left = _SAMPLE * (self._mask + 1)
