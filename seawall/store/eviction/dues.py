"""What falls due when, in order: a sorted list in pieces.

A heap finds the first as fast, but whoever leaves it early stays in it until it is cleaned, all of it at once: 0.6 s
for a million. Here everybody who leaves is taken out, and no step moves more than a piece or the list of pieces.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Hashable, Iterator
from typing import NamedTuple

# A piece as long as this is cut in two. Moving 8 KiB within a piece takes less than finding where.
_MOST = 1024


class Due(NamedTuple):
    """An object that expires. `number` tells two that expire together apart, first come first out."""

    expires_at: float
    number: int
    name: Hashable
    cost_bytes: int


class Dues:
    """Sorted, each one once. Every piece holds somebody; `_lasts` are the last of each."""

    __slots__ = ("_lasts", "_pieces")

    def __init__(self) -> None:
        self._pieces: list[list[Due]] = []
        self._lasts: list[Due] = []

    def add(self, due: Due) -> None:
        if not self._pieces:
            self._pieces.append([due])
            self._lasts.append(due)
            return
        at = min(bisect_left(self._lasts, due), len(self._pieces) - 1)
        piece = self._pieces[at]
        insort(piece, due)
        if len(piece) >= _MOST:
            half = len(piece) // 2
            self._pieces.insert(at, piece[:half])
            self._lasts.insert(at, piece[half - 1])
            del piece[:half]
            at += 1
        self._lasts[at] = piece[-1]

    def remove(self, due: Due) -> None:
        """It is one of them."""
        at = bisect_left(self._lasts, due)
        piece = self._pieces[at]
        del piece[bisect_left(piece, due)]
        if piece:
            self._lasts[at] = piece[-1]
        else:
            del self._pieces[at], self._lasts[at]

    def first(self) -> Due:
        """The one that falls due first. There is one."""
        return self._pieces[0][0]

    def __iter__(self) -> Iterator[Due]:
        return (due for piece in self._pieces for due in piece)

    def __len__(self) -> int:
        return sum(map(len, self._pieces))

    def check(self) -> None:
        """Raises AssertionError where the order or the pieces are wrong."""
        dues = list(self)
        assert dues == sorted(dues)  # noqa: S101
        assert all(0 < len(piece) < _MOST for piece in self._pieces)  # noqa: S101
        assert self._lasts == [piece[-1] for piece in self._pieces]  # noqa: S101
