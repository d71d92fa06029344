"""Who is asked for a key: everybody agrees, and a parent that leaves takes nobody else's keys along."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.upstream.ring import rank

NAMES = st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=8, unique=True)
KEYS = st.text(max_size=60)
WEIGHTS = st.dictionaries(st.text(min_size=1, max_size=12), st.floats(0.01, 100), max_size=8)


@given(KEYS, NAMES, st.randoms(use_true_random=False))
def test_the_ranking_is_the_same_for_everybody(key: str, names: list[str], random: object) -> None:
    ranked = rank(key, names)
    assert sorted(ranked) == sorted(names)
    shuffled = list(names)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert rank(key, shuffled) == ranked


@given(KEYS, NAMES, st.data())
def test_a_name_that_leaves_moves_only_its_own_keys(key: str, names: list[str], data: st.DataObject) -> None:
    gone = data.draw(st.sampled_from(names))
    ranked = rank(key, names)
    assert rank(key, [name for name in names if name != gone]) == [name for name in ranked if name != gone]


@given(KEYS, NAMES, WEIGHTS, st.data())
def test_with_weights_too(key: str, names: list[str], weights: dict[str, float], data: st.DataObject) -> None:
    gone = data.draw(st.sampled_from(names))
    ranked = rank(key, names, weights=weights)
    left = [name for name in names if name != gone]
    assert rank(key, left, weights=weights) == [name for name in ranked if name != gone]


@given(KEYS, NAMES, st.data())
def test_the_own_region_goes_first_and_keeps_its_order(key: str, names: list[str], data: st.DataObject) -> None:
    own = data.draw(st.sets(st.sampled_from(names)))
    ranked = rank(key, names)
    expected = [name for name in ranked if name in own] + [name for name in ranked if name not in own]
    assert rank(key, names, prefer=own) == expected


def test_the_keys_are_spread_within_a_few_per_cent() -> None:
    names = [f"parent-{number}" for number in range(5)]
    first = Counter(rank(f"http://shop.example/p/{number}", names)[0] for number in range(20_000))
    assert all(abs(first[name] - 4000) < 160 for name in names), first  # 4 %: 2.8 standard deviations


def test_the_keys_of_a_lost_name_are_spread_over_all_others() -> None:
    names = [f"parent-{number}" for number in range(4)]
    rankings = [rank(f"http://shop.example/p/{number}", names) for number in range(20_000)]
    second = Counter(ranking[1] for ranking in rankings if ranking[0] == "parent-0")
    mean = second.total() / 3
    assert set(second) == set(names[1:])
    assert all(abs(count - mean) < mean * 0.1 for count in second.values()), second


def test_weights_are_shares_of_the_keys() -> None:
    weights = {"big": 3.0, "off": 0.0}
    first = Counter(rank(f"/{number}", ["big", "small", "off"], weights=weights)[0] for number in range(20_000))
    assert first["off"] == 0
    assert abs(first["big"] - 15_000) < 300
    assert rank("/", ["off", "small"], weights=weights) == ["small", "off"]


def test_a_heavier_name_only_gains_keys() -> None:
    names = ["a", "b", "c"]
    for number in range(2000):
        before = rank(f"/{number}", names, weights={})[0]
        after = rank(f"/{number}", names, weights={"b": 2.0})[0]
        assert after in (before, "b")


def test_equal_weights_rank_as_none_do() -> None:
    names = ["a", "b", "c", "d"]
    for number in range(500):
        assert rank(f"/{number}", names, weights=dict.fromkeys(names, 2.5)) == rank(f"/{number}", names)


def test_the_ranking_does_not_change_between_versions() -> None:
    """Nodes of two versions run side by side during an upgrade, and must agree."""
    assert rank("http://shop.example/", ["a", "b", "c"]) == ["c", "b", "a"]


@pytest.mark.parametrize("key", ["", "\x00", "http://a/\xff", "\udc80", "é"])
def test_no_key_is_refused(key: str) -> None:
    assert rank(key, ["a"]) == ["a"]


def test_nobody_is_nobody() -> None:
    assert rank("k", []) == []


def test_a_negative_weight_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="below zero"):
        rank("k", ["a"], weights={"a": -1.0})
