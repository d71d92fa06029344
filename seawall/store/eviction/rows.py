"""First in, first out, and out of the middle at any time: what S3-FIFO's queues and its ghosts stand in.

A register holds one number for each name, whatever row it stands in: its cost, the segment that it stands in, and how
often it was used. A row is a succession of segments, short lists of names. Who leaves out of turn leaves a place
behind, which its number no longer points to. An OrderedDict does the same with 45 bytes more a name, and is written
anew whenever it is full: 128 ms at 700,000 names. Here no step is longer than a segment, however many stand in a row.

Invariants: no name stands in one segment twice; in each segment but the last of a row somebody stands, and in all but
the first and the last at least as many as have left out of turn.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from itertools import count

from seawall.store.shards import SHARDS, TOP

# As many lists as names / 256, and no more than 256 steps to close their gaps: 30 us.
SEGMENT = 256

# A record, from the right: uses, the number of the segment, the cost. Below 2**60 it is 32 bytes, which is a cost of
# 256 KiB. Segments are numbered from 1 on and run out after a century at a million names a second.
USES = 3
_NUMBER = 2
_COST = 42
_NUMBERS = (1 << _COST - _NUMBER) - 1


def cost_of(record: int) -> int:
    return record >> _COST


class _Segment:
    """Names in the order in which they came; the first segment of a row, once somebody leaves it, the other way round.

    `standing`: how many of them stand here still.
    """

    __slots__ = ("names", "number", "standing")

    def __init__(self, number: int) -> None:
        self.number = number
        self.names: list[Hashable] = []
        self.standing = 0


class Register:
    """Names to records, for all rows of one policy. `top`: how far to shift a hash for its 8 upper bits.

    `records[hash(name) >> top]` is the dict in which a name's record is: its lowest bits count uses, up to USES.
    """

    __slots__ = ("numbers", "records", "top")

    def __init__(self, top: int = TOP) -> None:
        self.top = top
        self.records: tuple[dict[Hashable, int], ...] = tuple({} for _ in range(SHARDS))
        self.numbers = count(1)

    def get(self, name: Hashable) -> int:
        """Its record; 0 where it stands nowhere."""
        return self.records[hash(name) >> self.top].get(name, 0)

    def __contains__(self, name: object) -> bool:
        return name in self.records[hash(name) >> self.top]

    def __iter__(self) -> Iterator[Hashable]:
        return (name for records in self.records for name in records)


class Row:
    """A row of names that share a register with others. `bytes` is what they cost together."""

    __slots__ = ("_count", "_first", "_last", "_register", "_segments", "bytes")

    def __init__(self, register: Register) -> None:
        self.bytes = 0
        self._count = 0
        self._register = register
        self._segments: dict[int, _Segment] = {}  # by number, which is by age
        self._first: _Segment | None = None  # which somebody left in turn: it is turned round
        self._last: _Segment | None = None  # which takes in more

    def add(self, name: Hashable, cost_bytes: int, uses: int = 0) -> None:
        """To the end. It stands in no row of this register."""
        last = self._last
        if last is None or len(last.names) >= SEGMENT:
            last = self._last = _Segment(next(self._register.numbers))
            self._segments[last.number] = last
        last.names.append(name)
        last.standing += 1
        self._count += 1
        self.bytes += cost_bytes
        register = self._register
        register.records[hash(name) >> register.top][name] = cost_bytes << _COST | last.number << _NUMBER | uses

    def pop(self) -> tuple[Hashable, int]:
        """The one that came first leaves, with its record. The row is not empty."""
        register = self._register
        first = self._first or self._turn()
        names, number = first.names, first.number
        while True:
            name = names.pop()
            records = register.records[hash(name) >> register.top]
            record = records.get(name, 0)
            if record >> _NUMBER & _NUMBERS == number:
                break
        del records[name]
        self._count -= 1
        self.bytes -= record >> _COST
        first.standing -= 1
        if not first.standing:
            self._drop(first)
        return name, record

    def remove(self, name: Hashable) -> int:
        """Out of turn; its record. It stands in this row."""
        register = self._register
        record = register.records[hash(name) >> register.top].pop(name)
        self._count -= 1
        self.bytes -= record >> _COST
        segment = self._segments[record >> _NUMBER & _NUMBERS]
        segment.standing -= 1
        if segment is self._last:
            segment.names.remove(name)  # or it could come to stand here twice
        elif not segment.standing:
            self._drop(segment)
        elif 2 * segment.standing < len(segment.names):
            segment.names = [each for each in segment.names if self._stands(each, segment)]
        return record

    def reprice(self, name: Hashable, cost_bytes: int) -> None:
        """What it costs from now on. It stands in this row, and stays where it stands."""
        register = self._register
        records = register.records[hash(name) >> register.top]
        record = records[name]
        more = cost_bytes - (record >> _COST)
        records[name] = record + (more << _COST)
        self.bytes += more

    def holds(self, record: int) -> bool:
        """Does who has this record stand in this row?"""
        return record >> _NUMBER & _NUMBERS in self._segments

    def items(self) -> Iterator[tuple[Hashable, int]]:
        """Names and records, oldest first."""
        for segment in self._segments.values():
            for name in reversed(segment.names) if segment is self._first else segment.names:
                if self._stands(name, segment):
                    yield name, self._register.get(name)

    def __iter__(self) -> Iterator[Hashable]:
        return (name for name, _ in self.items())

    def __len__(self) -> int:
        return self._count

    def check(self) -> None:
        """Raises AssertionError where segments and register contradict each other."""
        found = list(self.items())
        assert len(found) == len({name for name, _ in found}) == self._count  # noqa: S101
        assert self.bytes == sum(cost_of(record) for _, record in found)  # noqa: S101
        assert list(self._segments) == sorted(self._segments)  # noqa: S101
        for segment in self._segments.values():
            standing = sum(self._stands(name, segment) for name in segment.names)
            assert segment.standing == standing  # noqa: S101
            assert len(segment.names) <= SEGMENT  # noqa: S101
            if segment is self._last:
                assert standing == len(segment.names), "a place is left over"  # noqa: S101
            else:
                most = SEGMENT if segment is self._first else 2 * standing
                assert 0 < standing <= len(segment.names) <= most, "places are left over"  # noqa: S101

    def _stands(self, name: Hashable, segment: _Segment) -> bool:
        return self._register.get(name) >> _NUMBER & _NUMBERS == segment.number

    def _turn(self) -> _Segment:
        """The segment to leave from. It takes in nobody any more."""
        first = next(iter(self._segments.values()))
        if first is self._last:
            self._last = None
        first.names.reverse()
        self._first = first
        return first

    def _drop(self, segment: _Segment) -> None:
        del self._segments[segment.number]
        if segment is self._first:
            self._first = None
