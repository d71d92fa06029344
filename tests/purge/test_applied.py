"""What a node has applied, and what that overtakes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.purge.applied import Applied, Gap
from seawall.purge.order import Order, concerns
from seawall.purge.selection import Selection

KEY = "http://a.example/x"


def order(number: int, *tags: str) -> Order:
    return Order(number, 0.0, Selection(tags=tags))


def test_a_flight_is_overtaken_by_what_came_after_its_take_off_and_selects_it() -> None:
    applied = Applied("j", 0)
    applied.apply(order(1, "mine"))
    took_off = applied.mark
    assert not applied.overtakes(took_off, KEY, ("mine",))
    applied.apply(order(2, "other"))
    assert not applied.overtakes(took_off, KEY, ("mine",))
    applied.apply(order(3, "mine"))
    assert applied.overtakes(took_off, KEY, ("mine",))
    assert not applied.overtakes(applied.mark, KEY, ("mine",))


@pytest.mark.parametrize("number", [0, 1, 3, 7])
def test_orders_are_dense(number: int) -> None:
    applied = Applied("j", 1)
    with pytest.raises(Gap) as gap:
        applied.apply(order(number, "t"))
    assert (gap.value.number, gap.value.came) == (1, number)
    assert (applied.number, applied.overtakes(applied.mark, KEY, ("t",))) == (1, False)


def test_behind_the_window_everything_counts_as_overtaken() -> None:
    applied = Applied("j", 0, window_orders=2)
    marks = [applied.mark]
    for number in range(1, 5):
        applied.apply(order(number, "other"))
        marks.append(applied.mark)
    assert [applied.overtakes(mark, KEY, ("mine",)) for mark in marks] == [True, True, False, False, False]


def test_the_window_is_bounded_in_bytes_and_an_order_that_exceeds_it_overtakes_everything() -> None:
    applied = Applied("j", 0, window_bytes=100)
    took_off = applied.mark
    applied.apply(order(1, "x" * 101))
    assert applied.overtakes(took_off, KEY, ())
    later = applied.mark
    applied.apply(order(2, "x" * 50))
    assert not applied.overtakes(later, KEY, ())


def test_after_a_restart_nothing_is_known_of_what_was_before() -> None:
    applied = Applied("j", 40, 3)
    assert applied.mark.number == 40
    assert not applied.overtakes(applied.mark, KEY, ())
    assert applied.overtakes(applied.mark_of("j", 39), KEY, ())


@pytest.mark.parametrize(("journal", "number"), [("k", 10), ("k", 50), ("k", 90), ("j", 90), ("j", 10), ("j", 50)])
def test_a_reset_overtakes_whatever_took_off_before_it(journal: str, number: int) -> None:
    """Numbers begin again: those of the old journal must not pass for those of the new one."""
    applied = Applied("j", 50)
    took_off = applied.mark
    applied.reset(journal, number)
    assert applied.overtakes(took_off, KEY, ())
    for following in range(number + 1, number + 60):
        applied.apply(order(following, "other"))
    assert applied.overtakes(took_off, KEY, ())
    assert (applied.generation, applied.journal, applied.number) == (1, journal, number + 59)


def test_a_parents_answer_is_judged_by_what_the_parent_had_applied() -> None:
    applied = Applied("j", 0)
    applied.apply(order(1, "mine"))
    applied.apply(order(2, "other"))
    assert applied.overtakes(applied.mark_of("j", 0), KEY, ("mine",))
    assert not applied.overtakes(applied.mark_of("j", 1), KEY, ("mine",))
    assert not applied.overtakes(applied.mark_of("j", 2), KEY, ("mine",))
    # Ahead: it has applied what this node has not heard of yet.
    assert not applied.overtakes(applied.mark_of("j", 9), KEY, ("mine",))
    assert applied.overtakes(applied.mark_of("k", 9), KEY, ("mine",))
    assert applied.overtakes(applied.mark_of("", 9), KEY, ("mine",))


def test_a_node_without_a_journal_trusts_no_parent_that_has_none() -> None:
    assert Applied().overtakes(Applied().mark_of("", 0), KEY, ())


tags = st.lists(st.sampled_from("abc"), max_size=2).map(tuple)


@given(
    st.lists(st.one_of(tags, st.just("reset")), max_size=30),
    st.integers(1, 8),
    tags,
)
def test_it_agrees_with_a_list_of_everything_that_ever_happened(
    happening: list[tuple[str, ...] | str], window: int, mine: tuple[str, ...]
) -> None:
    applied = Applied("j", 0, window_orders=window)
    marks = [(0, applied.mark)]  # with the place in `happened`
    happened: list[Order | None] = []
    for what in happening:
        if isinstance(what, str):
            applied.reset("j", applied.number + 3)
            happened.append(None)
        else:
            one = order(applied.number + 1, *what)
            applied.apply(one)
            happened.append(one)
        marks.append((len(happened), applied.mark))
    for place, mark in marks:
        since = happened[place:]
        truly = any(one is None or concerns(one, KEY, mine) for one in since)
        said = applied.overtakes(mark, KEY, mine)
        assert said or not truly
        if len(since) <= window and None not in since:
            assert said is truly
