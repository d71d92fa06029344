"""One stored response: policy's entry, the body beside it, and what it costs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from seawall.http.body import BodyReader
from seawall.policy.entry import Entry

# What an object costs above the octets of its body and head: the entry, its tuples, its place in the
# bucket, the eviction order and the indexes. Measured with tracemalloc over 100,000 objects of one
# variant and two tags (tests/store/test_memory_accounting.py holds it to that measure).
OVERHEAD_BYTES = 2048


class Gone(Exception):
    """A body that lies in a lower level is not there any more, or is not what was put there."""


class Filed(Protocol):
    """A whole body that lies in a lower level, too large to be held in memory."""

    @property
    def length(self) -> int:
        """Octets."""
        ...

    async def open(self, first: int, stop: int) -> BodyReader:
        """A reader of octets [first, stop), whose first piece is there and proven. Raises Gone.

        What turns out to be damaged further on raises BodyBroken from the reader.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """An entry and its whole body: pieces in order, or where it lies. Identity is what tells two of them apart.

    `key` is the primary key; a store files variants of one key together. `name` is the same for what was
    stored under this key, variant and range before and after: eviction remembers names, also of what has left.
    `look_again_at`: from this instant on, a level that others write to is asked whether it holds something newer.
    """

    key: str
    entry: Entry
    body: tuple[bytes, ...] | Filed
    body_bytes: int
    cost_bytes: int
    name: str
    look_again_at: float = math.inf


def stored(key: str, entry: Entry, body: tuple[bytes, ...] | Filed, *, look_again_at: float = math.inf) -> Stored:
    """An entry with its body, named and costed: body where it is in memory, key, head, name and overhead."""
    name = _name(key, entry)
    in_memory = isinstance(body, tuple)
    body_bytes = sum(map(len, body)) if isinstance(body, tuple) else body.length
    head_bytes = sum(len(field) + len(value) for field, value in entry.headers.items())
    index_bytes = sum(map(len, entry.tags)) + (0 if name is key else len(name))
    cost = (body_bytes if in_memory else 0) + head_bytes + len(key) + index_bytes + OVERHEAD_BYTES
    return Stored(key, entry, body, body_bytes, cost, name, look_again_at)


def key_of(name: str) -> str:
    """The key that a name stands under."""
    return name.partition(_APART)[0]


# The parts of a key are never empty and stand between single line feeds, so this cannot occur in one.
_APART = "\n\n"


def _name(key: str, entry: Entry) -> str:
    """One string and no tuple: a string keeps its hash, and touch() would pay for a tuple's each time."""
    if not entry.varied and entry.part is None:
        return key
    part = "" if entry.part is None else f"\n{entry.part.first}-{entry.part.last}"
    return f"{key}{_APART}{entry.varied!r}{part}"
