"""Refreshing before the end, and ends that differ: shares as Vattani et al. have them, bounds that always hold."""

from __future__ import annotations

from dataclasses import replace
from math import exp
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.policy.early import MOST_AHEAD, due_early, early_from, jittered, may_set_off
from seawall.policy.entry import Entry
from tests.policy.heads import NOW, get, stored

LIFETIME = 600.0
DELTA = 2.0


def entry(delta: float = DELTA, lifetime: float = LIFETIME) -> Entry:
    """Stored at NOW, after a fetch of `delta` seconds, fresh for `lifetime`."""
    held = stored({"Cache-Control": "max-age=600, stale-while-revalidate=5, stale-if-error=7"})
    held = jittered(held, 1.0, 1 - lifetime / LIFETIME)
    return replace(held, requested_at=NOW - delta)


def test_delta_is_how_long_the_last_fetch_took() -> None:
    assert entry(2.0).fetch_seconds == 2.0
    assert replace(entry(), requested_at=NOW + 1).fetch_seconds == 0.0


# --- when a hit sets off a refresh ---


@pytest.mark.parametrize("beta", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("ahead", [0.1, 0.7, 1.0, 2.0, 4.0])
def test_share_of_hits_that_refresh_is_the_exponential_of_the_paper(beta: float, ahead: float) -> None:
    held, draws = entry(), 20_000
    now = held.fresh_until - ahead * DELTA * beta
    random = Random(1)
    due = sum(due_early(held, DELTA, now, beta, 1.0 - random.random()) for _ in range(draws))
    share = exp(-ahead)
    assert abs(due - share * draws) < 4 * (draws * share * (1 - share)) ** 0.5


def test_refresh_comes_on_average_when_rate_and_duration_say() -> None:
    """With hits every millisecond the first refresh is, on average, ln(hits in delta) + 0.577 deltas ahead."""
    held, random, every, ahead = entry(delta=1.0), Random(2), 0.001, []
    for _ in range(100):
        now = early_from(held, 1.0)
        while not due_early(held, 1.0, now, 1.0, 1.0 - random.random()):
            now += every
        ahead.append(held.fresh_until - now)
    # The largest of exponential draws (Gumbel), cut off at 10: ln(1000) + 0.577 = 7.48, with a deviation of 1.28.
    assert 7.0 < sum(ahead) / len(ahead) < 8.0


@given(
    left=st.floats(0.001, LIFETIME),
    delta=st.floats(0, 100),
    beta=st.floats(0, 10),
    chance=st.floats(1e-9, 1),
    more=st.floats(1, 10),
)
def test_later_longer_stronger_and_luckier_are_never_less_due(
    left: float, delta: float, beta: float, chance: float, more: float
) -> None:
    held = entry()
    now = held.fresh_until - left
    if not due_early(held, delta, now, beta, chance):
        return
    assert due_early(held, delta, held.fresh_until - left / more, beta, chance)
    assert due_early(held, delta * more, now, beta, chance)
    assert due_early(held, delta, now, beta * more, chance)
    assert due_early(held, delta, now, beta, chance / more)


@given(
    delta=st.floats(0, 100),
    beta=st.floats(0, 10),
    before=st.floats(0.001, LIFETIME),
    chance=st.floats(0, 1, exclude_min=True),
)
def test_no_hit_before_early_from_is_due(delta: float, beta: float, before: float, chance: float) -> None:
    held = entry(delta)
    first = early_from(held, beta)
    assert first <= held.fresh_until
    assert not due_early(held, held.fetch_seconds, first - before, beta, chance)


def test_from_early_from_on_luck_decides() -> None:
    held = entry()
    first = early_from(held, 1.0)
    assert first == held.fresh_until - MOST_AHEAD * DELTA
    assert due_early(held, DELTA, first + 0.001, 1.0, exp(-MOST_AHEAD))
    assert not due_early(held, DELTA, first + 0.001, 1.0, exp(-MOST_AHEAD + 0.1))


@pytest.mark.parametrize(
    ("held", "beta"),
    [
        (entry(), 0.0),
        (entry(delta=0.0), 1.0),
        (entry(lifetime=0.0), 1.0),
    ],
    ids=["off", "nothing to wait for", "no lifetime"],
)
def test_never_due(held: Entry, beta: float) -> None:
    assert early_from(held, beta) == held.fresh_until
    for now in (held.fresh_until - 0.001, held.fresh_until, held.fresh_until + 1):
        assert not due_early(held, held.fetch_seconds, now, beta, 5e-324)


def test_what_is_stale_is_not_early() -> None:
    held = entry()
    assert due_early(held, DELTA, held.fresh_until - 0.001, 1.0, 0.5)
    assert not due_early(held, DELTA, held.fresh_until, 1.0, 0.5)


@pytest.mark.parametrize(
    ("method", "fields", "may"),
    [
        ("GET", {}, True),
        ("GET", {"Cache-Control": "no-cache"}, True),
        ("GET", {"If-None-Match": '"a"'}, True),
        ("HEAD", {}, False),
        ("GET", {"Range": "bytes=0-1"}, False),
        ("GET", {"Authorization": "Basic eA=="}, False),
        ("GET", {"Cache-Control": "only-if-cached"}, False),
        ("GET", {"Cache-Control": "max-age=5, No-Store"}, False),
    ],
)
def test_whose_request_may_set_it_off(method: str, fields: dict[str, str], may: bool) -> None:
    assert may_set_off(get(fields, method=method)) is may


# --- ends that differ ---


@given(share=st.floats(0, 0.5), chance=st.floats(0, 1), lifetime=st.floats(0, LIFETIME))
def test_freshness_is_shortened_by_up_to_its_share_and_never_made_longer(
    share: float, chance: float, lifetime: float
) -> None:
    held = entry(lifetime=lifetime)
    left = held.fresh_until - held.stored_at
    shorter = jittered(held, share, chance)
    assert held.fresh_until - left * share - 1e-6 <= shorter.fresh_until <= held.fresh_until
    assert shorter.fresh_until >= held.stored_at


@given(share=st.floats(0, 0.5), chance=st.floats(0, 1))
def test_windows_for_stale_responses_keep_their_length(share: float, chance: float) -> None:
    shorter = jittered(entry(), share, chance)
    assert shorter.swr_until - shorter.fresh_until == pytest.approx(5.0, abs=1e-5)
    assert shorter.sie_until - shorter.fresh_until == pytest.approx(7.0, abs=1e-5)
    assert shorter.born_at == entry().born_at


@pytest.mark.parametrize("lifetime", [0.0, -5.0])
def test_what_is_not_fresh_is_left_alone(lifetime: float) -> None:
    held = replace(entry(), fresh_until=NOW + lifetime)
    assert jittered(held, 0.5, 0.9) is held


def test_what_came_old_keeps_half_of_what_was_left() -> None:
    """599 of 600 seconds were spent at another cache: a share of the whole would leave nothing."""
    held = stored({"Cache-Control": "max-age=600", "Age": "599"})
    assert jittered(held, 0.5, 1.0).fresh_until == NOW + 0.5


def test_what_was_stored_together_does_not_expire_together() -> None:
    random = Random(3)
    ends = [jittered(entry(), 0.1, random.random()).fresh_until - NOW for _ in range(1000)]
    # Tenths of the span of 60 s hold a hundred each, give or take.
    tenths = [sum(540 + 6 * number <= end < 546 + 6 * number for end in ends) for number in range(10)]
    assert sum(tenths) >= 999
    assert min(tenths) > 60
