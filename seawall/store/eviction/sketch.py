"""How often a name was asked for lately, whether it is in or not: about sixteen bytes a name, never too low.

A count-min sketch of four rows with counters up to 15, whose counters are halved from time to time, so that it forgets
(Einziger, Friedman, Manes: TinyLFU, ACM Transactions on Storage 13(4), 2017).

Halving all counters, or making the rows twice as wide, takes 20 ms and more for a million names. So a row is a list of
pieces, and both are done piece by piece: the next one of each row with each count, and before them whichever is looked
at. What is read is what would be there if all had been done at once.
"""

from __future__ import annotations

from collections.abc import Hashable

_ROWS = 4
_MOST = 15  # the paper's cap: the sample is ten times the names that are in, and 15 is well above the mean of ten
# Counters for each name and row: at the end of a sample most of a row belongs to names asked once.
_COUNTERS = 4
# The paper's sample of 10 for each name that is in, in terms of the width, which is 4 to 8 times their number.
_SAMPLE = 2
_HALF = bytes(count >> 1 for count in range(256))

# The least width is one piece. Halving one takes 1 us.
_PIECE_BITS = 10
_PIECE = 1 << _PIECE_BITS
_WITHIN = _PIECE - 1
_UNMADE = bytearray()

# 2**64 / golden ratio, odd. hash() of an int is the int: multiplied, all of its bits reach the upper half.
_MIX = 0x9E3779B97F4A7C15
_64 = (1 << 64) - 1


class Sketch:
    """Counts of names, aged. One byte a counter: nibbles would halve 16 bytes a name and double the time.

    Which counters a name has follows from hash(), whose seed for str is secret, so nobody can write URLs that
    share the counters of another.

    While something is put off, `_former` are the rows as they were, and pieces of `_rows` that are not made yet are
    `_UNMADE`; `_next` is the first of which that may be so. Where the rows are as wide as before, the counters are
    to be halved, and otherwise to be there twice.
    """

    __slots__ = ("_former", "_left", "_mask", "_next", "_rows")

    def __init__(self) -> None:
        self._mask = _PIECE - 1
        self._rows = [[bytearray(_PIECE)] for _ in range(_ROWS)]
        self._former: list[list[bytearray]] | None = None
        self._next = 0
        self._left = _SAMPLE * _PIECE  # uses until the counters are halved

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
        if self._former is not None:
            self._make(first, second, third, fourth)
            self._make_next()
        ones, twos = one[first >> _PIECE_BITS], two[second >> _PIECE_BITS]
        threes, fours = three[third >> _PIECE_BITS], four[fourth >> _PIECE_BITS]
        first &= _WITHIN
        second &= _WITHIN
        third &= _WITHIN
        fourth &= _WITHIN
        a, b, c, d = ones[first], twos[second], threes[third], fours[fourth]
        least = min(a, b, c, d)
        if least < _MOST:
            # Only the least ones: the others are too high already (conservative update).
            if a == least:
                ones[first] = least + 1
            if b == least:
                twos[second] = least + 1
            if c == least:
                threes[third] = least + 1
            if d == least:
                fours[fourth] = least + 1
        self._left -= 1
        if not self._left:
            self._halve()

    def estimate(self, name: Hashable) -> int:
        """How often, from 0 to 15; never less than it was since the last halving."""
        mixed = hash(name) * _MIX & _64
        mask, step, place = self._mask, mixed >> 40 | 1, mixed >> 16
        if self._former is not None:
            self._make(*(place + row * step & mask for row in range(_ROWS)))
        least = _MOST
        for row in self._rows:
            at = place & mask
            least = min(least, row[at >> _PIECE_BITS][at & _WITHIN])
            place += step
        return least

    def fit(self, names: int) -> None:
        """Is wide enough for so many names. What was counted stays: a row twice as wide starts as two copies."""
        while _COUNTERS * names > self._mask + 1:
            self._mask = 2 * self._mask + 1
            self._remake()
            self._left = _SAMPLE * (self._mask + 1)

    def __len__(self) -> int:
        """Bytes."""
        return _ROWS * (self._mask + 1)

    def _halve(self) -> None:
        self._remake()
        self._left = _SAMPLE * (self._mask + 1)

    def _remake(self) -> None:
        """All pieces are to be made anew, for rows of the width that is set."""
        while self._former is not None:  # never in earnest: a width lasts for many more counts than it has pieces
            self._make_next()
        pieces = self._mask + 1 >> _PIECE_BITS
        self._former, self._rows = self._rows, [[_UNMADE] * pieces for _ in range(_ROWS)]
        self._next = 0

    def _make_next(self) -> None:
        """One piece of each row."""
        former = self._former
        assert former is not None  # noqa: S101
        at = self._next << _PIECE_BITS
        self._make(at, at, at, at)
        self._next += 1
        if self._next == len(former[0]):
            self._former = None

    def _make(self, *places: int) -> None:
        """The piece of each row in which this place is."""
        former = self._former
        assert former is not None  # noqa: S101
        width = len(former[0])
        for row, was, place in zip(self._rows, former, places, strict=True):
            at = (place >> _PIECE_BITS) % width
            if row[at] is _UNMADE:
                piece, was[at] = was[at], _UNMADE
                if len(row) == width:
                    row[at] = piece.translate(_HALF)
                else:
                    row[at], row[at + width] = piece, bytearray(piece)
