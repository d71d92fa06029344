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

    `key` is the primary key; a store files variants of one key together.
    """

    key: str
    entry: Entry
    body: tuple[bytes, ...]
    body_bytes: int
    cost_bytes: int


def stored(key: str, entry: Entry, body: tuple[bytes, ...]) -> Stored:
    """An entry with its body, costed: body, key, head and overhead."""
    body_bytes = sum(map(len, body))
    head_bytes = sum(len(name) + len(value) for name, value in entry.headers.items())
    index_bytes = sum(map(len, entry.tags))
    cost = body_bytes + head_bytes + len(key) + index_bytes + OVERHEAD_BYTES
    return Stored(key, entry, body, body_bytes, cost)
