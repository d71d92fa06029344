"""The memory level: what it promises, with check() after each test."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.http.headers import headers
from seawall.policy.entry import Entry, Part
from seawall.store.eviction.s3fifo import S3FIFO
from seawall.store.eviction.words import WORDS
from seawall.store.memory import MemoryStore
from seawall.store.stored import OVERHEAD_BYTES, Overtaken, Stored, key_of, stored


def entry(
    varied: tuple[tuple[str, str | None], ...] = (), part: Part | None = None, tags: tuple[str, ...] = ()
) -> Entry:
    return Entry("GET", 200, "OK", headers([("A", "1")]), varied, 0, 0, 0, 10, 10, 10, 10, part=part, tags=tags)


def item(key: str, body: bytes = b"body", **kinds: object) -> Stored:
    return stored(key, entry(**kinds), (body,))  # type: ignore[arg-type]


@pytest.fixture
def store() -> Iterator[MemoryStore]:
    store = MemoryStore(100 * (OVERHEAD_BYTES + 100))
    yield store
    store.check()


def test_what_was_put_is_got_and_what_was_dropped_is_gone(store: MemoryStore) -> None:
    first = item("k")
    assert store.put(first)
    assert store.get("k") == (first,)
    assert store.drop("k") == 1
    assert store.get("k") == ()
    assert (len(store), store.used_bytes) == (0, 0)


def test_variants_live_side_by_side_and_replace_only_their_own_kind(store: MemoryStore) -> None:
    german, english = item("k", varied=(("accept-language", "de"),)), item("k", varied=(("accept-language", "en"),))
    newer = item("k", b"newer", varied=(("accept-language", "de"),))
    for one in (german, english, newer):
        store.put(one)
    assert store.get("k") == (english, newer)


def test_whole_response_replaces_its_parts_and_a_part_only_its_own_range(store: MemoryStore) -> None:
    head = item("k", part=Part(0, 3, 10, "bytes=0-3"))
    tail = item("k", part=Part(6, 9, 10, "bytes=-4"))
    again = item("k", part=Part(0, 3, 10, "bytes=0-3"))
    for one in (head, tail, again):
        store.put(one)
    assert store.get("k") == (tail, again)
    whole = item("k")
    store.put(whole)
    assert store.get("k") == (whole,)


def test_budget_is_kept_by_sending_the_least_recently_used_away() -> None:
    store = MemoryStore(3 * item("k0").cost_bytes, "allkeys-lru")
    items = [item(f"k{n}") for n in range(3)]
    for one in items:
        store.put(one)
    store.touch(items[0])
    store.put(item("k3"))
    assert [bool(store.get(f"k{n}")) for n in range(4)] == [True, False, True, True]
    assert store.evicted == 1
    assert store.used_bytes <= store.budget_bytes
    store.check()


def test_what_is_larger_than_the_budget_is_refused_and_changes_nothing() -> None:
    store = MemoryStore(OVERHEAD_BYTES + 100)
    kept = item("k")
    store.put(kept)
    assert not store.put(item("k", b"x" * 1000))
    assert store.get("k") == (kept,)
    assert store.refused == 1
    store.check()


def test_refresh_keeps_the_body_and_never_revives_what_has_left(store: MemoryStore) -> None:
    old = item("k")
    store.put(old)
    new = store.refresh(old, entry(tags=("t",)))
    assert new is not None
    assert new.piece is old.piece is not None
    assert store.refresh(old, entry()) is None
    store.drop("k")
    assert store.refresh(new, entry()) is None
    assert store.get("k") == ()


def test_tag_finds_exactly_its_objects(store: MemoryStore) -> None:
    one, two, none = item("a", tags=("items",)), item("b", tags=("items", "items/1")), item("c")
    for each in (one, two, none):
        store.put(each)
    assert store.tags.tagged("items") == {one, two}
    assert store.tags.tagged("items/1") == {two}
    assert store.tags.tagged("item") == frozenset()
    assert store.tags.tagged("") == frozenset()
    store.drop("b")
    assert len(store.tags) == 1


def test_keys_of_a_url_are_its_own_and_those_that_say_more(store: MemoryStore) -> None:
    for key in ("http://a/x", "http://a/x\ncookie:1", "http://a/xy", "http://a/y\ncookie:1"):
        store.put(item(key))
    assert set(store.keys_of("http://a/x")) == {"http://a/x", "http://a/x\ncookie:1"}
    store.drop("http://a/x\ncookie:1")
    assert store.keys_of("http://a/x") == ("http://a/x",)
    assert store.keys_of("http://a/") == ()


def test_name_outlives_the_response_and_tells_variants_and_ranges_apart() -> None:
    one, again = item("k", b"1", tags=("t",)), item("k", b"2")
    german, english = item("k", varied=(("a", "de"),)), item("k", varied=(("a", "en"),))
    head, tail = item("k", part=Part(0, 3, 10, "bytes=0-3")), item("k", part=Part(6, 9, 10, "bytes=-4"))
    assert one.name == again.name == "k"
    assert len({each.name for each in (one, german, english, head, tail)}) == 5
    assert {key_of(each.name) for each in (one, german, english, head, tail)} == {"k"}
    assert key_of(item("http://a/x\nh:1\nc:2", varied=(("a", "\n\n"),)).name) == "http://a/x\nh:1\nc:2"


def test_next_version_of_what_left_is_recognised() -> None:
    """S3-FIFO's ghosts are names, and a response that is fetched again keeps its name."""
    store = MemoryStore(20 * item("k00").cost_bytes)
    for number in range(30):
        store.put(item(f"k{number:02}"))
    assert not store.get("k01")
    store.put(item("k01"))
    for number in range(30, 45):
        store.put(item(f"k{number:02}"))
    assert store.get("k01")
    assert not store.get("k30")
    store.check()


def test_next_version_takes_the_place_of_the_last_one_even_when_nobody_may_be_sent_away() -> None:
    store = MemoryStore(2 * item("k").cost_bytes, "noeviction")
    old, other, new = item("k"), item("l"), item("k")
    assert store.put(old)
    assert store.put(other)
    assert store.put(new)
    assert not store.put(item("m"))
    assert (store.get("k"), store.get("l"), store.get("m")) == ((new,), (other,), ())
    assert (store.evicted, store.refused) == (0, 1)
    store.check()


def test_discard_all_leaves_what_has_come_in_their_place() -> None:
    store = MemoryStore(1 << 20)
    old, other = item("k", tags=("t",)), item("k", varied=(("a", "1"),), tags=("t",))
    alone = item("l\ncookie:1", tags=("t",))
    for each in (old, other, alone):
        store.put(each)
    new = item("k", tags=("t",))
    store.put(new)
    store.discard_all([old, other, alone, item("never there")])
    assert store.items() == [new]
    assert store.tags.tagged("t") == {new}
    assert store.keys_of("l") == ()
    store.check()


def stale(entry: Entry) -> Entry:
    return replace(entry, fresh_until=5)


def ages(store: MemoryStore, key: str) -> list[float]:
    return [one.entry.fresh_until for one in store.get(key)]


def test_overtaken_is_found_by_nobody_before_anything_was_done_about_it(store: MemoryStore) -> None:
    going = [item("k", tags=("t",)), item("k", varied=(("a", "1"),), tags=("t", "u")), item("l", tags=("t",))]
    staying = item("l", varied=(("a", "1"),), tags=("t",))
    for one in (*going, staying):
        store.put(one)
    store.overtake(going, None)
    assert store.tagged("t") == store.items() == [staying]
    assert (store.tagged("u"), store.refresh(going[2], entry()), store.drop("k")) == ([], None, 0)
    assert (store.get("k"), store.get("l")) == ((), (staying,))
    store.check()


def test_overtaken_turns_stale_for_whoever_looks_first(store: MemoryStore) -> None:
    for name in "abc":
        store.put(item(name, tags=("t",)))
    old = store.items()
    store.overtake(old, stale)
    assert len(store.tagged("t")) == len(store.items()) == 3
    assert ages(store, "b") == [5]
    assert store.refresh(old[0], entry()) is None  # a 304 to what it was does not revive it
    assert store.catch_up(1)
    assert not store.catch_up(100)
    assert [ages(store, name) for name in "abc"] == [[5]] * 3
    store.check()


def test_later_order_is_held_against_what_an_earlier_one_has_still_to_do(store: MemoryStore) -> None:
    for name in "abc":
        store.put(item(name, tags=("t",)))
    one, two, three = store.items()
    store.overtake([one, two], stale)
    store.overtake([one], None)
    store.overtake([two, three], lambda entry: replace(entry, invalidated=True))
    store.overtake([one], stale)
    assert store.get(one.key) == ()
    assert [(two.entry.fresh_until, two.entry.invalidated) for two in store.get(two.key)] == [(5, True)]
    assert [(three.entry.fresh_until, three.entry.invalidated) for three in store.get(three.key)] == [(10, True)]
    assert not store.catch_up(100)
    store.check()


def test_what_comes_in_the_place_of_an_overtaken_one_stays(store: MemoryStore) -> None:
    for name in "ab":
        store.put(item(name, tags=("t",)))
    one, two = store.items()
    store.overtake([one], None)
    store.overtake([two], stale)
    new = [item(one.key, tags=("t",)), item(two.key, tags=("t",))]
    for each in new:
        store.put(each)
    assert not store.catch_up(100)
    assert set(store.items()) == set(new)
    store.check()


def test_overtaken_may_be_sent_away_before_anything_was_done_about_it() -> None:
    store = MemoryStore(2 * item("k").cost_bytes, "allkeys-lru")
    for name in "ab":
        store.put(item(name))
    old = store.items()
    store.overtake(old[:1], None)
    store.overtake(old[1:], stale)
    for name in "cd":
        assert store.put(item(name))
    assert not store.catch_up(100)
    assert [bool(store.get(name)) for name in "abcd"] == [False, False, True, True]
    store.check()


def test_what_could_not_be_refreshed_is_gone_because_it_is_no_longer_true() -> None:
    store = MemoryStore(item("k").cost_bytes, "noeviction")
    old = item("k")
    store.put(old)
    assert store.refresh(old, entry(tags=("longer",))) is None
    assert store.get("k") == ()
    store.check()


def test_refresh_is_no_use_and_another_response_is() -> None:
    store = MemoryStore(3 * item("k0").cost_bytes, "allkeys-lru")
    first, second, third = (item(f"k{number}") for number in range(3))
    for one in (first, second, third):
        store.put(one)
    store.refresh(first, first.entry)
    store.put(item("k1"))
    store.put(item("k3"))
    store.put(item("k4"))
    assert [bool(store.get(f"k{number}")) for number in range(5)] == [False, True, False, True, True]


def test_what_was_invalidated_counts_as_expired() -> None:
    store = MemoryStore(2 * item("k").cost_bytes, "volatile-ttl")
    soon, later = item("a"), stored("b", replace(entry(), fresh_until=99.0), (b"body",))
    store.put(soon)
    store.put(later)
    store.refresh(later, replace(later.entry, invalidated=True))
    store.put(item("c"))
    assert [bool(store.get(key)) for key in "abc"] == [True, False, True]


def test_closed_store_is_empty_and_keeps_its_policy(store: MemoryStore) -> None:
    store.put(item("k"))
    store.close()
    assert (len(store), store.used_bytes, store.get("k")) == (0, 0, ())
    assert "s3fifo" in repr(store)


@settings(max_examples=300)
@given(
    history=st.lists(
        st.tuples(st.sampled_from(["put", "hit", "hit", "hit", "drop"]), st.integers(0, 9), st.integers(0, 900)),
        max_size=150,
    )
)
def test_uses_that_objects_count_themselves_decide_as_if_the_order_had_been_told_of_each(
    history: list[tuple[str, int, int]],
) -> None:
    budget = 5 * (OVERHEAD_BYTES + 1000)
    store, told = MemoryStore(budget, "s3fifo"), S3FIFO(budget)
    for deed, number, size in history:
        key = f"http://a/{number}"
        found = store.get(key)
        if deed == "put":
            new = item(key, b"x" * size)
            known = key in told
            assert store.put(new)
            assert told.admit(key, new.cost_bytes) is not None
            if known:
                told.touch(key)
        elif deed == "hit" and found:
            store.touch(found[0])
            told.touch(key)
        elif deed == "drop":
            store.drop(key)
            told.forget(key)
        assert {each.name for each in store.items()} == {f"http://a/{n}" for n in range(10) if f"http://a/{n}" in told}
        store.check()


@pytest.mark.parametrize("eviction", WORDS)
@settings(max_examples=50)
@given(
    history=st.lists(
        st.tuples(
            st.sampled_from(["put", "drop", "touch", "refresh", "discard", "discard all", "gone", "stale", "catch up"]),
            st.integers(0, 5),
            st.integers(0, 3),
            st.integers(0, 3000),
        ),
        max_size=60,
    )
)
def test_index_order_and_buckets_agree_after_any_history(
    eviction: str, history: list[tuple[str, int, int, int]]
) -> None:
    store = MemoryStore(5 * (OVERHEAD_BYTES + 1000), eviction)
    for deed, number, variant, size in history:
        key = f"http://a/{number}" + ("\nh:1" if number % 2 else "")
        tags = tuple(f"t{n}" for n in range(variant))
        if deed in ("gone", "stale"):
            met = [each for each in store.items() if len(each.entry.tags) == variant]
            store.overtake(met, None if deed == "gone" else stale)
            assert not set(met) & set(store.items()) or deed == "stale"
            store.check()
            continue
        items = store.get(key)
        assert all(not isinstance(each.hot, Overtaken) for each in items)
        if deed == "put":
            store.put(item(key, b"x" * size, varied=(("a", str(variant)),), tags=tags))
        elif deed == "drop":
            store.drop(key)
        elif deed == "catch up":
            store.catch_up(variant)
        elif items and deed == "touch":
            store.touch(items[-1])
        elif items and deed == "refresh":
            store.refresh(items[0], entry(tags=tags, varied=(("a", "9"),)))
        elif items and deed == "discard":
            store.discard(items[0])
        elif deed == "discard all":
            left = store.items()
            leaving = [*items, *left[variant::3], *items]  # some of them twice
            store.discard_all(leaving)
            assert set(store.items()) == set(left) - set(leaving)
        store.check()
    while store.catch_up(1):
        store.check()
    assert len(store) == len(store.items())
