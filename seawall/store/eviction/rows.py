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

# The lowest bits of a record.
USES = 3
_USES_BITS = 2


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
    """Names to records, for all rows of one policy.

    A record is, from the right: the uses, the cost, the number of the segment. Below 2**60 it is 32 bytes, which with a
    budget of 1 GiB lasts for 34 billion names, and 4 more from there on. Segments are numbered from 1.

    `records[hash(name) >> top]` is the dict in which a name's record is; `top` shifts a hash to its 8 upper bits.
    """

    __slots__ = ("costs", "number_at", "numbers", "records", "top")

    def __init__(self, most_bytes: int, top: int = TOP) -> None:
        """`most_bytes`: nothing costs more."""
        self.top = top
        self.records: tuple[dict[Hashable, int], ...] = tuple({} for _ in range(SHARDS))
        self.numbers = count(1)
        self.number_at = _USES_BITS + max(1, most_bytes).bit_length()
        self.costs = (1 << self.number_at - _USES_BITS) - 1

    def get(self, name: Hashable) -> int:
        """Its record; 0 where it stands nowhere."""
        return self.records[hash(name) >> self.top].get(name, 0)

    def take(self, name: Hashable) -> int:
        """As get(); it has none any more, and is to leave its row."""
        return self.records[hash(name) >> self.top].pop(name, 0)

    def cost_of(self, record: int) -> int:
        return record >> _USES_BITS & self.costs

    def __contains__(self, name: object) -> bool:
        return name in self.records[hash(name) >> self.top]

    def __iter__(self) -> Iterator[Hashable]:
        return (name for records in self.records for name in records)


class Row:
    """A row of names that share a register with others. `bytes` is what they cost together."""

    __slots__ = ("_costs", "_first", "_last", "_number_at", "_numbers", "_records", "_segments", "_standing", "_top",
                 "bytes")  # fmt: skip

    def __init__(self, register: Register) -> None:
        self.bytes = 0
        self._standing = 0
        # What the register says, held here: one look less in each step.
        self._records = register.records
        self._top = register.top
        self._number_at = register.number_at
        self._costs = register.costs
        self._numbers = register.numbers
        self._segments: dict[int, _Segment] = {}  # by number, which is by age
        self._first: _Segment | None = None  # which somebody left in turn: it is turned round
        self._last: _Segment | None = None  # which takes in more

    def add(self, name: Hashable, cost_bytes: int, uses: int = 0) -> None:
        """To the end. It stands in no row of this register."""
        last = self._last
        if last is None or len(last.names) >= SEGMENT:
            last = self._last = _Segment(next(self._numbers))
            self._segments[last.number] = last
        last.names.append(name)
        last.standing += 1
        self._standing += 1
        self.bytes += cost_bytes
        record = last.number << self._number_at | cost_bytes << _USES_BITS | uses
        self._records[hash(name) >> self._top][name] = record

    def pop(self) -> tuple[Hashable, int, int]:
        """The one that came first leaves: its name, its cost, its uses. The row is not empty."""
        first = self._first or self._turn()
        names, number, number_at = first.names, first.number, self._number_at
        while True:
            name = names.pop()
            records = self._records[hash(name) >> self._top]
            record = records.get(name, 0)
            if record >> number_at == number:
                break
        del records[name]
        cost_bytes = record >> _USES_BITS & self._costs
        self.bytes -= cost_bytes
        self._standing -= 1
        first.standing -= 1
        if not first.standing:
            self._drop(first)
        return name, cost_bytes, record & USES

    def leave(self, name: Hashable, record: int) -> bool:
        """Out of turn, whose record has just been taken from the register. False: it does not stand in this row."""
        segment = self._segments.get(record >> self._number_at)
        if segment is None:
            return False
        self.bytes -= record >> _USES_BITS & self._costs
        self._standing -= 1
        segment.standing = standing = segment.standing - 1
        if segment is self._last:
            segment.names.remove(name)  # or it could come to stand here twice
        elif 2 * standing < len(segment.names):
            if standing:
                segment.names = [each for each in segment.names if self._stands(each, segment)]
            else:
                self._drop(segment)
        return True

    def reprice(self, name: Hashable, cost_bytes: int) -> None:
        """What it costs from now on. It stands in this row, and stays where it stands."""
        records = self._records[hash(name) >> self._top]
        record = records[name]
        more = cost_bytes - (record >> _USES_BITS & self._costs)
        records[name] = record + (more << _USES_BITS)
        self.bytes += more

    def holds(self, record: int) -> bool:
        """Does who has this record stand in this row?"""
        return record >> self._number_at in self._segments

    def items(self) -> Iterator[tuple[Hashable, int, int]]:
        """Names, costs and uses, oldest first."""
        for segment in self._segments.values():
            for name in reversed(segment.names) if segment is self._first else segment.names:
                record = self._record(name)
                if record >> self._number_at == segment.number:
                    yield name, record >> _USES_BITS & self._costs, record & USES

    def __iter__(self) -> Iterator[Hashable]:
        return (name for name, _, _ in self.items())

    def __len__(self) -> int:
        return self._standing

    def check(self) -> None:
        """Raises AssertionError where segments and register contradict each other."""
        found = list(self.items())
        assert len(found) == len({name for name, _, _ in found}) == self._standing  # noqa: S101
        assert self.bytes == sum(cost for _, cost, _ in found)  # noqa: S101
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

    def _record(self, name: Hashable) -> int:
        return self._records[hash(name) >> self._top].get(name, 0)

    def _stands(self, name: Hashable, segment: _Segment) -> bool:
        return self._record(name) >> self._number_at == segment.number

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
