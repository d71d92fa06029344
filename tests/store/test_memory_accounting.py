"""The budget counts what objects really cost: octets, head, index and overhead."""

import gc
import tracemalloc

import pytest

from seawall.http.headers import headers
from seawall.policy.entry import Entry
from seawall.store.memory import MemoryStore
from seawall.store.stored import Stored, stored

OBJECTS = 20_000


def fresh(number: int) -> Stored:
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
    return stored(f"http://shop.example/items/{number}?page=1", entry, (b"x" * 1024,))


@pytest.mark.parametrize(
    ("eviction", "budget_bytes"),
    [("s3fifo", 1 << 40), ("s3fifo", 36 << 20), ("allkeys-lfu", 36 << 20)],
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
