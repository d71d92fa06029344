"""Nothing that grows with the objects is ever written anew as a whole, which with a million of them takes 130 ms.

Not timed, for a busy machine stops anybody. CPython writes a dict, a set, a list or a bytearray anew when it is full:
so none of what a store is made of may hold more than a small part of it.
"""

from __future__ import annotations

import gc
import sys
from collections import OrderedDict
from collections.abc import Iterator

import pytest

from seawall.http.headers import headers
from seawall.policy.entry import Entry
from seawall.store.eviction.protocol import Eviction
from seawall.store.eviction.words import WORDS, build
from seawall.store.memory import MemoryStore
from seawall.store.stored import Stored, stored

OBJECTS = 40_000
MOST_BYTES = 64 * 1024  # a dict for 40,000 is 1.3 MB, a set 2 MB, a list 320 KB


def containers(root: object) -> Iterator[object]:
    """Every dict, set, list and bytearray within what is ours."""
    seen, waiting = {id(root)}, [root]
    while waiting:
        for each in gc.get_referents(waiting.pop()):
            if id(each) in seen or isinstance(each, type):
                continue
            seen.add(id(each))
            if isinstance(each, dict | set | list | bytearray):
                yield each
            elif not type(each).__module__.startswith("seawall") and not isinstance(each, tuple):
                continue
            waiting.append(each)


def largest_bytes(root: object) -> int:
    assert not any(isinstance(each, OrderedDict) for each in containers(root))
    return max(map(sys.getsizeof, containers(root)))


def crowded(word: str, turns: int) -> Eviction:
    """Full, with as many that left, and used all over."""
    policy = build(word, OBJECTS)
    for number in range(turns * OBJECTS):
        name = f"http://shop.example/items/{number}"
        policy.admit(name, 1, float(number))
        policy.touch(name)
        policy.touch(f"http://shop.example/items/{number * 7919 % OBJECTS}")
    return policy


@pytest.mark.parametrize("word", WORDS)
def test_no_part_of_a_policy_grows_with_what_is_in(word: str) -> None:
    policy = crowded(word, 2)
    assert len(policy) >= 0.9 * OBJECTS
    assert largest_bytes(policy) <= MOST_BYTES


def object_of(number: int) -> Stored:
    """On a URL that many share with other cookies, with a tag of its own and one that all have."""
    url = f"http://shop.example/items/{number}" if number % 2 else f"http://shop.example/\ncookie:{number}"
    entry = Entry("GET", 200, "OK", headers([("A", "1")]), (), 0, 0, 0, 10, 10, 10, 10, tags=(f"o{number}", "all"))
    return stored(url, entry, (b"body",))


def test_no_part_of_the_store_grows_with_what_is_in() -> None:
    store = MemoryStore(1 << 40)
    for number in range(OBJECTS):
        store.put(object_of(number))
    assert largest_bytes(store) <= MOST_BYTES
    assert len(store.tags.tagged("all")) == OBJECTS
    assert len(store.keys_of("http://shop.example/")) == OBJECTS // 2
    store.check()


def test_the_measure_sees_what_grows_in_one_piece() -> None:
    one_piece: list[object] = [dict.fromkeys(range(OBJECTS))]
    assert largest_bytes(one_piece) > MOST_BYTES
