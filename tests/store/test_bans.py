"""Orders on everything that begins with something: true at once, and in the end what they would have done at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.policy.entry import Entry
from seawall.store.bans import Ban
from seawall.store.memory import MemoryStore
from seawall.store.stored import OVERHEAD_BYTES, Overtaken, Stored
from tests.store.test_memory import entry, item

A, B = "http://a/", "http://b/"


@pytest.fixture
def store() -> Iterator[MemoryStore]:
    store = MemoryStore(100 * (OVERHEAD_BYTES + 100))
    for number in range(5):
        for host in (A, B):
            store.put(item(f"{host}{number}", b"body", tags=(f"t{number}",)))
    yield store
    done(store)
    store.check()
    assert not store.bans


def stale(entry: Entry) -> Entry:
    return replace(entry, fresh_until=min(entry.fresh_until, 5))


def invalid(entry: Entry) -> Entry:
    return replace(entry, invalidated=True)


def done(store: MemoryStore) -> None:
    while store.catch_up(1):
        store.check()


def here(store: MemoryStore) -> set[str]:
    return {key for host in (A, B) for number in range(5) for key in [f"{host}{number}"] if store.get(key)}


def keys(host: str) -> set[str]:
    return {f"{host}{number}" for number in range(5)}


def test_what_is_banned_is_found_by_nobody_before_anything_was_done_about_it(store: MemoryStore) -> None:
    ban = store.ban((A,), None)
    assert (len(store), ban.matched) == (10, 0)
    assert {one.key for one in store.items()} == keys(B)
    assert {one.key for one in store.tagged("t1")} == {f"{B}1"}
    assert store.beginning_with((A,)) == []
    assert store.drop(f"{A}0") == 0
    assert here(store) == keys(B)
    done(store)
    assert (ban.ended, ban.matched, ban.octets) == (True, 5, 20)


def test_it_turns_stale_for_whoever_looks_first(store: MemoryStore) -> None:
    (old,) = store.get(f"{A}1")
    ban = store.ban((A,), stale)
    assert store.refresh(old, entry()) is None  # a 304 to what it was does not revive it
    assert [one.entry.fresh_until for one in store.get(f"{A}1")] == [5]
    assert [one.entry.fresh_until for one in store.get(f"{B}1")] == [10]
    done(store)
    assert {one.key for one in store.items() if one.entry.fresh_until == 5} == keys(A)
    assert ban.matched == 5


def test_what_is_stored_after_it_stays_as_it_is(store: MemoryStore) -> None:
    gone, aged = store.ban((A,), None), store.ban((B,), stale)
    for key in (f"{A}1", f"{B}1", f"{A}new"):
        store.put(item(key, b"newer"))
    (new,) = store.get(f"{A}1")
    assert store.refresh(new, entry(tags=("fresher",))) is not None
    done(store)
    assert here(store) == {f"{A}1"} | keys(B)
    assert [one.entry.fresh_until for one in store.get(f"{B}1")] == [10]
    assert [one.entry.tags for one in store.get(f"{A}1")] == [("fresher",)]
    assert (gone.matched, aged.matched) == (5, 5)


@pytest.mark.parametrize("first", [None, stale, invalid])
@pytest.mark.parametrize("then", [None, stale, invalid])
@pytest.mark.parametrize("kinds", ["ban, ban", "ban, overtaken", "overtaken, ban"])
@pytest.mark.parametrize("looked", [False, True])
def test_what_a_later_order_says_is_added_to_what_an_earlier_one_has_still_to_do(
    store: MemoryStore,
    first: Callable[[Entry], Entry] | None,
    then: Callable[[Entry], Entry] | None,
    kinds: str,
    looked: bool,
) -> None:
    bans: list[Ban] = []
    for kind, how in zip(kinds.split(", "), (first, then), strict=True):
        if kind == "ban":
            bans.append(store.ban((A,), how))
        else:
            store.overtake([one for one in store.items() if one.key.startswith(A)], how)
    if looked:
        here(store)
    done(store)
    if first is None or then is None:
        assert here(store) == keys(B)
    else:
        met = [one.entry for one in store.items() if one.key.startswith(A)]
        assert len(met) == 5
        assert {each.fresh_until for each in met} == {5 if stale in (first, then) else 10}
        assert {each.invalidated for each in met} == {invalid in (first, then)}
    # Each object once, and none that an earlier order had sent away.
    left = 0 if first is None else 5
    assert [ban.matched for ban in bans] == {"ban, ban": [5, left], "ban, overtaken": [5]}.get(kinds, [left])


def test_what_has_to_leave_before_its_turn_is_counted_all_the_same() -> None:
    store = MemoryStore(2 * item("http://a/1").cost_bytes, "allkeys-lru")
    for number in (1, 2):
        store.put(item(f"{A}{number}"))
    ban = store.ban((A,), None)
    for number in (1, 2):
        store.put(item(f"{B}{number}"))
    assert ban.matched == 2
    done(store)
    assert (ban.matched, len(store)) == (2, 2)
    store.check()


def test_a_store_that_is_closed_has_nothing_left_to_do(store: MemoryStore) -> None:
    told: list[bool] = []
    ban = store.ban((A,), None)
    ban.over = lambda: told.append(ban.ended)
    store.close()
    assert told == [True]
    assert not store.catch_up(100)
    assert told == [True]


def test_names_are_told_where_they_are_asked_for(store: MemoryStore) -> None:
    ban = store.ban((A,), None, named=True)
    done(store)
    assert ban.names == dict.fromkeys(keys(A), 4)


def test_a_step_is_small_however_many_there_are() -> None:
    store = MemoryStore(1 << 30)
    for number in range(5000):
        store.put(item(f"{A}{number}"))
    ban = store.ban((A,), None)
    met, gone = [0], [5000]
    while store.catch_up(100):
        met.append(ban.matched)
        gone.append(len(store))
    assert (ban.matched, len(store)) == (5000, 0)
    assert max(after - before for before, after in pairwise(met)) <= 1000
    assert max(before - after for before, after in pairwise(gone)) <= 100
    assert met.index(5000) < len(met) / 4, "it is counted long before it is carried out"


Deed = tuple[str, int, int, int]
HOWS: list[Callable[[Entry], Entry] | None] = [None, stale, invalid]


@settings(max_examples=400)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["put", "drop", "look", "refresh", "discard", "ban", "ban", "overtake", "catch up", "change"]
            ),
            st.integers(0, 3),
            st.integers(0, 2),
            st.integers(0, 2),
        ),
        max_size=60,
    )
)
def test_after_any_history_it_is_as_if_each_order_had_been_carried_out_at_once(history: list[Deed]) -> None:
    """Against a store in which it is."""
    late, prompt = MemoryStore(1 << 30), MemoryStore(1 << 30)
    bans: list[tuple[Ban, int]] = []
    for deed, number, variant, kind in history:
        host, how = (A, B, "http://")[kind], HOWS[variant]
        key = f"{(A, B)[number % 2]}{number}" + ("\nh:1" if number == 3 else "")
        if deed == "ban":
            items = prompt.beginning_with((host,))
            bans.append((late.ban((host,), how), len(items)))
            prompt.overtake(items, how)
        elif deed == "overtake":
            for store in (late, prompt):
                store.overtake(store.tagged(f"t{variant}"), how)
        elif deed == "catch up":
            late.catch_up(1 + variant)
        for store in (late, prompt):
            items = sorted(store.get(key), key=lambda one: one.name) if deed in ("refresh", "discard") else []
            if deed == "put":
                store.put(item(key, b"x" * kind, varied=(("a", str(variant)),), tags=(f"t{variant}",)))
            elif deed == "drop":
                store.drop(key)
            elif deed == "change":
                store.change(key, invalid)
            elif deed == "refresh" and items:
                store.refresh(items[0], entry(tags=(f"t{kind}",), varied=(("a", "9"),)))
            elif deed == "discard" and items:
                store.discard(items[-1])
        finished(prompt)
        late.check()
        if deed in ("look", "put"):
            assert said(late.get(key)) == said(prompt.get(key))
    finished(late)
    assert said(late.items()) == said(prompt.items())
    assert all(ban.ended for ban, _ in bans)
    assert [ban.matched for ban, _ in bans] == [met for _, met in bans]
    late.check()


def finished(store: MemoryStore) -> None:
    while store.catch_up(1000):
        pass
    assert not any(isinstance(one.hot, Overtaken) for one in store.items())


def said(items: tuple[Stored, ...] | list[Stored]) -> list[tuple[object, ...]]:
    return sorted((one.name, one.body, one.entry.fresh_until, one.entry.invalidated, one.entry.tags) for one in items)
