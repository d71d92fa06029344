"""What probes and requests say of an address, and when it is fit to be asked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.upstream.health import Health, Thresholds, Unfit

# Each step at its second: + a probe succeeds, - a probe fails.
PROBES = [
    ("", True),
    ("--", True),
    ("---", False),
    ("--+--", True),
    ("---+", False),
    ("---++", True),
    ("---+-+", False),
    ("---+-++", True),
    ("---++--", True),
    ("---++---", False),
    ("+++---", False),
    ("-+-+-+-+", True),
]


@pytest.mark.parametrize(("probes", "healthy"), PROBES)
def test_it_falls_after_three_failures_in_a_row_and_rises_after_two_successes(probes: str, healthy: bool) -> None:
    health = Health()
    for probe in probes:
        health.probed(probe == "+")
    assert health.healthy(0.0) is healthy
    assert health.unfit(0.0) == (None if healthy else Unfit.PROBES_FAILED)


def test_a_change_is_told_once() -> None:
    health = Health(Thresholds(fall=2, rise=1))
    assert [health.probed(ok) for ok in (False, False, False, True, True)] == [False, True, False, True, False]


# Each step: x a request fails, o one succeeds. Does it end ejected?
REQUESTS = [
    ("xxxx", False),
    ("xxxxx", True),
    ("xxxxoxxxx", False),
    ("oxxxxx", True),
    ("xxxxxo", True),  # what was under way does not call it back
    ("xoxoxoxoxoxo", False),
]


@pytest.mark.parametrize(("requests", "ejected"), REQUESTS)
def test_five_failed_requests_in_a_row_eject_it(requests: str, ejected: bool) -> None:
    health = Health()
    for outcome in requests:
        if outcome == "x":
            health.failed(100.0)
        else:
            health.succeeded()
    assert health.ejected(100.0) is ejected
    assert health.unfit(100.0) == (Unfit.EJECTED if ejected else None)


def fail(health: Health, now: float, times: int = 5, *, may_eject: bool = True, jitter: float = 0.0) -> bool:
    """Fails so often; did that eject it?"""
    told = [health.failed(now, may_eject=may_eject, jitter=jitter) for _ in range(times)]
    return any(told)


def test_an_ejection_ends_and_the_next_one_lasts_longer() -> None:
    health = Health()
    now = 0.0
    for lasts in (10.0, 20.0, 30.0):
        assert fail(health, now)
        assert not health.healthy(now + lasts - 0.01)
        now += lasts
        assert health.healthy(now)


def test_ejections_grow_up_to_a_bound_and_are_forgiven_one_by_one() -> None:
    health = Health(Thresholds(eject_after=1, ejection=10.0, max_ejection=25.0))
    now = 0.0
    for lasts in (10.0, 20.0, 25.0, 25.0):
        assert health.failed(now)
        assert health.ejected(now + lasts - 0.01)
        now += lasts
        assert not health.ejected(now)
    now += 35.0  # four ejections, three of them forgiven
    assert health.failed(now)
    assert health.ejected(now + 19.9)
    assert not health.ejected(now + 20.0)
    now += 1000.0
    assert health.failed(now)
    assert not health.ejected(now + 10.0)


def test_failures_under_way_when_it_was_ejected_are_the_same_outage() -> None:
    health = Health()
    assert fail(health, 0.0)
    assert not fail(health, 1.0, times=50)
    assert health.ejected(9.9)
    assert not health.ejected(10.0)
    assert not fail(health, 10.0, times=4), "and afterwards they count from nothing"
    assert fail(health, 10.0, times=1)
    assert health.ejected(29.9)


def test_it_is_not_ejected_while_the_others_are_too_few() -> None:
    health = Health()
    assert not fail(health, 0.0, times=9, may_eject=False)
    assert health.healthy(0.0)
    assert health.failed(0.0, may_eject=True), "as soon as they are enough"


def test_jitter_lengthens_the_time_by_up_to_a_tenth() -> None:
    health = Health()
    assert fail(health, 0.0, jitter=0.5)
    assert health.ejected(10.4)
    assert not health.ejected(10.5)


def test_a_probe_does_not_end_an_ejection() -> None:
    health = Health()
    assert fail(health, 0.0)
    for _ in range(10):
        health.probed(True)
    assert health.unfit(9.0) is Unfit.EJECTED


def test_a_failure_is_news_for_a_while() -> None:
    health = Health()
    assert not health.failed_lately(0.0)
    health.failed(0.0)
    assert health.failed_lately(9.9)
    assert not health.failed_lately(10.0)
    health.failed(20.0)
    health.succeeded()
    assert not health.failed_lately(20.0)


@given(st.lists(st.tuples(st.sampled_from("+-xo"), st.floats(0, 20)), max_size=80))
def test_whatever_happened_an_address_that_behaves_comes_back(steps: list[tuple[str, float]]) -> None:
    health = Health()
    now = 0.0
    for step, pause in steps:
        now += pause
        if step in "+-":
            health.probed(step == "+")
        elif step == "x":
            health.failed(now)
        else:
            health.succeeded()
        assert (health.unfit(now) is None) is health.healthy(now)
    for _ in range(2):
        health.probed(True)
    assert health.healthy(now + health.thresholds.max_ejection * 1.1)
