"""Counting keys in bounded room: right within a generation, forgotten after two, whatever is thrown at it."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from seawall.engine.uses import Uses


def asked(uses: Uses, key: str, now: float = 0.0) -> int:
    uses.ask(key, now)
    return uses.count(key, now)


def test_each_key_is_counted_for_itself() -> None:
    uses = Uses()
    assert [asked(uses, "a"), asked(uses, "b"), asked(uses, "a"), asked(uses, "a")] == [1, 1, 2, 3]
    assert uses.count("never", 0.0) == 0


def test_counts_of_the_last_generation_still_count() -> None:
    uses = Uses(seconds=10)
    assert asked(uses, "a", 0.0) == 1
    assert asked(uses, "a", 10.0) == 2
    assert asked(uses, "a", 19.9) == 3


def test_what_was_asked_for_two_generations_ago_is_forgotten() -> None:
    uses = Uses(seconds=10)
    asked(uses, "a", 0.0)
    asked(uses, "a", 10.0)
    assert uses.count("a", 20.0) == 1
    assert uses.count("a", 30.0) == 0
    assert len(uses) == 0


def test_silence_of_any_length_forgets_all() -> None:
    uses = Uses(seconds=10)
    asked(uses, "a", 0.0)
    assert uses.count("a", 1e6) == 0
    assert len(uses) == 0


def test_flood_of_keys_never_takes_more_than_its_room() -> None:
    uses = Uses(most=100)
    for number in range(10_000):
        uses.ask(f"/?{number}", 0.0)
        assert len(uses) <= 200
    assert uses.count("/?9999", 0.0) == 1
    assert uses.count("/?0", 0.0) == 0


def test_key_asked_for_again_before_a_hundred_others_counts_on_through_a_flood() -> None:
    uses = Uses(most=100)
    for number in range(990):
        uses.ask(f"/?{number}", 0.0)
        if number % 90 == 0:
            assert asked(uses, "hot") >= min(2, number // 90 + 1)


def test_known_keys_turn_no_generation() -> None:
    uses = Uses(most=2)
    for number in range(1, 6):
        assert asked(uses, "a") == number
        assert asked(uses, "b") == number
    assert len(uses) == 2


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.floats(0, 4)), max_size=60))
def test_never_more_than_all_and_never_less_than_the_last_generation(story: list[tuple[str, float]]) -> None:
    uses, now, past = Uses(seconds=10), 0.0, list[tuple[str, float]]()
    for key, pause in story:
        now += pause
        uses.ask(key, now)
        past.append((key, now))
        surely = Counter(name for name, at in past if at > now - 10)
        perhaps = Counter(name for name, at in past if at >= now - 20)
        for name in "abcdef":
            assert surely[name] <= uses.count(name, now) <= perhaps[name]
