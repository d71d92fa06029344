"""The budget counts what objects really cost: octets, head, index and overhead."""

import gc
import tracemalloc

import pytest

from seawall.http.headers import headers
from seawall.policy.entry import Entry
from seawall.store.memory import MemoryStore
from seawall.store.stored import Stored, stored

OBJECTS = 20_000


def fresh(number: int, body_bytes: int = 1024) -> Stored:
    fields = headers(
        [
            ("Date", f"Mon, 23 Nov 2026 05:{number % 60:02}:00 GMT"),
            ("Server", "origin/1.0"),
            ("Content-Type", "text/html; charset=utf-8"),
            ("Cache-Control", f"max-age={number}"),
            ("ETag", f'"{number}"'),
            ("Last-Modified", "Mon, 23 Nov 2026 05:00:00 GMT"),
            ("Vary", "Accept-Encoding"),
            ("Content-Length", "1024"),
        ]
    )
    now = 1_800_000_000.0 + number
    entry = Entry(
        "GET", 200, "OK", fields, (("accept-encoding", "gzip"),), now, now, now - 1, now + 60, now + 90, now + 90, now,
        tags=(f"item-{number}", f"list-{number % 100}"),
    )  # fmt: skip
    return stored(f"http://shop.example/items/{number}?page=1", entry, (bytes(body_bytes),))


@pytest.mark.parametrize(
    ("eviction", "budget_bytes"),
    [("s3fifo", 1 << 40), ("s3fifo", 24 << 20), ("allkeys-lfu", 24 << 20)],
    ids=["all fits", "as many ghosts as objects", "frequencies"],
)
def test_budget_is_within_a_tenth_of_what_the_interpreter_allocates(eviction: str, budget_bytes: int) -> None:
    store = MemoryStore(budget_bytes, eviction)
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(OBJECTS):
        store.put(fresh(number))
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    real, counted = (after - before) / len(store), store.used_bytes / len(store)
    assert 0.9 < counted / real < 1.15, f"{real:.0f} bytes an object allocated, {counted:.0f} counted"


def test_an_object_costs_at_most_a_kibibyte_above_body_and_head() -> None:
    """100,000 objects with a variant and two tags, one of them its own; key, name and index are above."""
    number, body_bytes = 100_000, 64
    store = MemoryStore(1 << 40)
    fresh(0)
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for each in range(number):
        store.put(fresh(each, body_bytes))
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    heads = sum(len(name) + len(value) for item in store.items() for name, value in item.entry.headers.items())
    above = (after - before - heads) / number - body_bytes
    assert above <= 1024, f"{above:.0f} bytes"


def test_heads_bodies_and_words_that_are_the_same_are_held_once() -> None:
    one, other = fresh(7), fresh(7)
    assert one.entry.fields is other.entry.fields
    assert one.entry.kind is other.entry.kind
    assert one.entry.varied is other.entry.varied
    assert all(mine is yours for mine, yours in zip(one.entry.tags, other.entry.tags, strict=True))


@pytest.mark.parametrize("eviction", ["s3fifo", "allkeys-lru", "tinylfu"])
def test_churn_takes_no_more_room_than_a_full_store(eviction: str) -> None:
    store = MemoryStore(4 << 20, eviction)
    rounds: list[int] = []
    tracemalloc.start()
    for number in range(12_500):
        item = fresh(number)
        store.put(item)
        if number % 3 == 0:
            store.touch(item)
        if number % 7 == 0:
            store.drop(fresh(number - 20).key)
        if number % 2500 == 2499:
            gc.collect()
            rounds.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    store.check()
    assert rounds[-1] < rounds[1] * 1.03, rounds
