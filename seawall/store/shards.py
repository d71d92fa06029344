"""A mapping and a set that grow in small parts: the longest a dict of a million ever takes is a 256th of it.

A dict that is full is written anew, three times as large, before the insertion returns: 73 ms at 700,000 strings, in
which nobody is answered. Spread by hash over 256 dicts, none of which is ever full together with most others, the same
growth comes in steps of 0.3 ms. What it costs is a hash() at each look, 60 ns with the call, since strings keep theirs.

Knows nothing of what it holds. A cleverer table was not taken: whatever is written in Python is slower than dict.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, MutableMapping
from itertools import chain
from typing import Generic, TypeVar, overload

SHARDS = 256
# The uppermost eight bits say which: -128 to 127, all of which are places in a tuple of 256. A dict looks at the lowest
# bits first, so sharding by those would have every key of a shard begin its search at the same few places.
# An int below 2**56 is its own hash and has none of these bits: ints would all share one shard.
TOP = 56

# Of a Crowd. A prime: hashes of objects are addresses, alike in their upper bits and multiples of something in their
# lower ones; and the remainder says nothing about the lowest bits, which a set looks at first.
PARTS = 61

_MOVED = 4

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
T = TypeVar("T")
M = TypeVar("M", bound=Hashable)


class Shards(MutableMapping[K, V]):
    """A dict in 256 parts. In no order of its own; not to be changed during a walk.

    `dicts[hash(key) >> TOP]` is the part of a key, for those who look so often that a call counts.
    """

    __slots__ = ("dicts",)

    def __init__(self) -> None:
        self.dicts: tuple[dict[K, V], ...] = tuple({} for _ in range(SHARDS))

    @overload
    def get(self, key: K, /) -> V | None: ...
    @overload
    def get(self, key: K, /, default: V | T) -> V | T: ...
    def get(self, key: K, /, default: V | T | None = None) -> V | T | None:
        return self.dicts[hash(key) >> TOP].get(key, default)

    def __getitem__(self, key: K) -> V:
        return self.dicts[hash(key) >> TOP][key]

    def __setitem__(self, key: K, value: V) -> None:
        self.dicts[hash(key) >> TOP][key] = value

    def __delitem__(self, key: K) -> None:
        del self.dicts[hash(key) >> TOP][key]

    def __contains__(self, key: object) -> bool:
        return key in self.dicts[hash(key) >> TOP]

    @overload
    def pop(self, key: K, /) -> V: ...
    @overload
    def pop(self, key: K, default: V | T, /) -> V | T: ...
    def pop(self, key: K, /, *default: V | T) -> V | T:
        return self.dicts[hash(key) >> TOP].pop(key, *default)

    def setdefault(self, key: K, default: V) -> V:
        return self.dicts[hash(key) >> TOP].setdefault(key, default)

    def clear(self) -> None:
        for each in self.dicts:
            each.clear()

    def __len__(self) -> int:
        """Asks every part: 5 us."""
        return sum(map(len, self.dicts))

    def __iter__(self) -> Iterator[K]:
        return chain.from_iterable(self.dicts)


class Crowd(Generic[M]):
    """A set in 61 parts. It takes over one that has become large, and moves a few of its members with each that comes.

    Who is in `_together` is in no part yet. Not 256 parts as above: of tags there may be many that are large, and the
    parts of a hundred of them would be in none of the processor's caches.
    """

    __slots__ = ("_parts", "_together")

    def __init__(self, members: set[M]) -> None:
        self._together = members
        self._parts: tuple[set[M], ...] = tuple(set() for _ in range(PARTS))

    def add(self, member: M) -> None:
        together, parts = self._together, self._parts
        if together:
            together.discard(member)
            for _ in range(min(_MOVED, len(together))):
                mover = together.pop()
                parts[hash(mover) % PARTS].add(mover)
        parts[hash(member) % PARTS].add(member)

    def discard(self, member: M) -> None:
        self._together.discard(member)
        self._parts[hash(member) % PARTS].discard(member)

    def __contains__(self, member: object) -> bool:
        return member in self._together or member in self._parts[hash(member) % PARTS]

    def __len__(self) -> int:
        return len(self._together) + sum(map(len, self._parts))

    def __iter__(self) -> Iterator[M]:
        return chain(self._together, *self._parts)

    def __bool__(self) -> bool:
        return bool(self._together) or any(self._parts)
