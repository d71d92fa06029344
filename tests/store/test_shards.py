"""A dict and a set in parts: the same as a dict and a set, and no part holds much of them."""

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from seawall.store import shards
from seawall.store.shards import PARTS, SHARDS, TOP, Crowd, Shards

NAMES = 50_000
keys = st.one_of(st.text(max_size=3), st.integers(-3, 3), st.integers())


@given(
    st.lists(st.tuples(st.sampled_from(["set", "del", "pop", "default", "clear"]), keys, st.integers()), max_size=60)
)
def test_shards_are_a_dict(steps: list[tuple[str, object, int]]) -> None:
    ours: Shards[object, int] = Shards()
    plain: dict[object, int] = {}
    for deed, key, value in steps:
        if deed == "set":
            ours[key] = plain[key] = value
        elif deed == "del" and key in plain:
            del ours[key], plain[key]
        elif deed == "pop":
            assert ours.pop(key, None) == plain.pop(key, None)
        elif deed == "default":
            assert ours.setdefault(key, value) == plain.setdefault(key, value)
        elif deed == "clear" and value % 7 == 0:
            ours.clear()
            plain.clear()
        assert ours.get(key) == plain.get(key)
        assert ours.get(key, "none") == plain.get(key, "none")
        assert (key in ours) == (key in plain)
        assert len(ours) == len(plain)
        assert dict(ours) == plain
        assert ours.dicts[hash(key) >> TOP].get(key) == plain.get(key)


def test_urls_are_spread_evenly_over_the_shards() -> None:
    """256 parts of 195 each, 14 more or less; six times that is once in a billion runs."""
    ours: Shards[str, int] = Shards()
    for number in range(NAMES):
        ours[f"http://shop.example/items/{number}"] = number
    assert len(ours.dicts) == SHARDS
    assert all(abs(len(part) - NAMES / SHARDS) < 6 * 14 for part in ours.dicts)


def test_keys_of_a_shard_differ_where_a_dict_looks_first() -> None:
    """Sharded by the bits that a dict begins with, they would all begin at one of two places of these 512."""
    ours: Shards[str, int] = Shards()
    for number in range(NAMES):
        ours[str(number)] = number
    fullest = max(ours.dicts, key=len)
    assert max(Counter(hash(key) & 511 for key in fullest).values()) < 10


@given(st.lists(st.tuples(st.sampled_from(["add", "discard"]), st.integers(0, 30)), max_size=60), st.integers(0, 30))
def test_crowd_is_a_set(steps: list[tuple[str, int]], first: int) -> None:
    ours, plain = Crowd(set(range(first))), set(range(first))
    for deed, member in steps:
        getattr(ours, deed)(member)
        getattr(plain, deed)(member)
        assert sorted(ours) == sorted(plain)
        assert (len(ours), bool(ours)) == (len(plain), bool(plain))
        assert [each in ours for each in range(31)] == [each in plain for each in range(31)]


class Something:
    """Objects are told apart by their addresses, which are multiples of 16 near one another."""


def test_crowd_moves_in_a_few_at_a_time_and_is_spread_in_the_end() -> None:
    together = {Something() for _ in range(NAMES)}
    ours = Crowd(set(together))
    newcomers = [Something() for _ in range(NAMES // shards._MOVED)]
    for number, member in enumerate(newcomers):
        before = len(ours._together)
        ours.add(member)
        assert before - len(ours._together) == shards._MOVED, number
    assert not ours._together
    assert set(ours) == together | set(newcomers)
    mean = len(ours) / PARTS
    assert all(mean / 2 < len(part) < 2 * mean for part in ours._parts)
    for member in random.Random(1).sample(list(together), 100):
        ours.discard(member)
        assert member not in ours
