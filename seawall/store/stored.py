"""One stored response: policy's entry, the body beside it, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass

from seawall.policy.entry import Entry

# What an object costs above the octets of its body and head: the entry, its tuples, its place in the
# bucket, the eviction order and the indexes. Measured with tracemalloc over 100,000 objects of one
# variant and two tags (tests/store/test_memory_accounting.py holds it to that measure).
OVERHEAD_BYTES = 2048


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """An entry and its whole body, as pieces in order. Identity is what tells two of them apart.

    `key` is the primary key; a store files variants of one key together. `name` is the same for what was
    stored under this key, variant and range before and after: eviction remembers names, also of what has left.
    """

    key: str
    entry: Entry
    body: tuple[bytes, ...]
    body_bytes: int
    cost_bytes: int
    name: str


def stored(key: str, entry: Entry, body: tuple[bytes, ...]) -> Stored:
    """An entry with its body, named and costed: body, key, head, name and overhead."""
    name = _name(key, entry)
    body_bytes = sum(map(len, body))
    head_bytes = sum(len(field) + len(value) for field, value in entry.headers.items())
    index_bytes = sum(map(len, entry.tags)) + (0 if name is key else len(name))
    cost = body_bytes + head_bytes + len(key) + index_bytes + OVERHEAD_BYTES
    return Stored(key, entry, body, body_bytes, cost, name)


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
