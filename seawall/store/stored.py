"""One stored response: policy's entry, the body beside it, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from seawall.http.body import BodyReader
from seawall.policy.entry import Entry
from seawall.store.arena import Extent

# What an object costs above the octets of its body and head, its key and its tags: the entry, its place in the
# bucket, the eviction order and the indexes. Measured with tracemalloc over 100,000 objects of one variant and two
# tags, one of them its own (tests/store/test_memory_accounting.py holds it to that measure): 890 above body and head.
OVERHEAD_BYTES = 832


# More than this says nothing more of an object, as S3-FIFO counts.
MOST_USES = 3


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


class Overtaken:
    """The mark of an object that an order met and that is still where it was: nobody is served it as it is.

    `how`: what its entry is to become; None: it is to go.
    """

    __slots__ = ("how",)

    def __init__(self, how: Callable[[Entry], Entry] | None) -> None:
        self.how = how


Held = bytes | tuple[bytes, ...] | Extent | Filed
_HERE = (bytes, tuple, Extent)


class Stored:
    """An entry and its whole body: pieces in order, or where it lies. Identity is what tells two of them apart.

    `key` is the primary key; a store files variants of one key together. `name` is the same for what was
    stored under this key, variant and range before and after: eviction remembers names, also of what has left.
    `look_again_at`: from this instant on, a level that others write to is asked whether it holds something newer.
    Immutable but for two: `hot` belongs to who answers hits, what it found out about this object, or None; but where
    it is Overtaken, that stays, and the object is no hit. And `uses` is how often it was served since the order of
    eviction last asked, up to MOST_USES, for an order that asks (MemoryStore.touching).

    `held` is the body as it is held, one piece without a tuple around it; or where it lies, in pages that the kernel
    sends without a copy (arena.py), or in a lower level. `kind`, `fields` and `instants` are the
    entry's: what a hit needs of it, to be had without a look at the entry, which among a million objects is in none of
    the processor's caches.

    What can be worked out is not held: there are as many of these as objects, and a number costs 40 bytes.
    """

    __slots__ = ("entry", "fields", "held", "hot", "instants", "key", "kind", "look_again_at", "name", "uses", "varied")

    def __init__(self, key: str, entry: Entry, body: Held, name: str, look_again_at: float = math.inf) -> None:
        self.key = key
        self.entry = entry
        self.name = name
        self.look_again_at = look_again_at
        self.uses = 0
        self.hot: object = None
        self.kind = entry.kind
        self.fields = entry.fields
        self.instants = entry.instants
        self.varied = entry.varied
        # One piece is held without a tuple: 64 bytes of an object, and nearly all have one.
        self.held: Held = body[0] if isinstance(body, tuple) and len(body) == 1 else body

    def __repr__(self) -> str:
        return f"<Stored {self.name!r} {self.entry.status} {self.body_bytes} bytes>"

    @property
    def body(self) -> tuple[bytes, ...] | Filed:
        """The octets, where they are in memory; what lies in pages is copied for it."""
        body = self.held
        if isinstance(body, bytes):
            return (body,)
        return (body.read(0, body.length),) if isinstance(body, Extent) else body

    @property
    def in_memory(self) -> bool:
        """Or does the body lie in a lower level?"""
        return isinstance(self.held, _HERE)

    @property
    def piece(self) -> bytes | None:
        """The body where it is one piece in memory, by reference; None for every other."""
        body = self.held
        return body if isinstance(body, bytes) else None

    @property
    def body_bytes(self) -> int:
        body = self.held
        if isinstance(body, bytes):
            return len(body)
        return sum(map(len, body)) if isinstance(body, tuple) else body.length

    @property
    def cost_bytes(self) -> int:
        """Body where it is in memory, key, head, name and overhead."""
        body, entry, key, name = self.held, self.entry, self.key, self.name
        cost = entry.head_bytes + len(key) + OVERHEAD_BYTES
        if isinstance(body, bytes):
            cost += len(body)
        elif isinstance(body, tuple):
            cost += sum(map(len, body))
        elif isinstance(body, Extent):
            cost += body.length
        if entry.tags:
            cost += sum(map(len, entry.tags))
        return cost if name is key else cost + len(name)


def stored(key: str, entry: Entry, body: Held, *, look_again_at: float = math.inf) -> Stored:
    """An entry with its body, named."""
    return Stored(key, entry, body, _name(key, entry), look_again_at)


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
