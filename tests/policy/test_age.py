"""The arithmetic of ages (RFC 9111 4.2.3): never negative, never running backwards."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.http.headers import headers
from seawall.policy.control import control
from seawall.policy.freshness import corrected_initial_age, current_age, instants, lifetime
from seawall.policy.outcomes import Serve, Store
from seawall.policy.rules import DEFAULT
from tests.policy.heads import NOW, Pairs, date, decided, get, reply, settled, stored

offsets = st.floats(-1e7, 1e7)
ages = st.one_of(st.integers(0, 2**40).map(str), st.text(max_size=8), st.sampled_from(["-1", "7200.0", "0, 7200"]))


@pytest.mark.parametrize(
    ("fields", "delay", "expected"),
    [
        ({}, 0, 0),
        ({"Date": date()}, 0, 0),
        ({"Date": date(-30)}, 0, 30),
        ({"Date": date(30)}, 0, 0),
        ({"Age": "30"}, 0, 30),
        ({"Age": "30"}, 5, 35),
        ({"Age": "10", "Date": date(-30)}, 5, 30),
        ({"Age": "abc", "Date": date()}, 0, 0),
        ({"Age": "-7200", "Date": date()}, 0, 0),
        ({"Age": "7200.0", "Date": date()}, 0, 0),
        ({"Age": "7200, 0"}, 0, 7200),
        ({"Age": "0, 7200"}, 0, 0),
        ([("Age", "7200"), ("Age", "0")], 0, 7200),
        ({"Age": "99999999999999999999"}, 0, 2**31),
        ({"Date": "yesterday"}, 0, 0),
    ],
)
def test_initial_age(fields: Pairs, delay: float, expected: float) -> None:
    assert corrected_initial_age(reply(fields).headers, NOW - delay, NOW) == expected


@given(ages, offsets, offsets, st.floats(0, 1e9), st.floats(0, 1e9))
def test_age_is_never_negative_and_never_runs_backwards(
    age: str, stamped: float, delay: float, first: float, second: float
) -> None:
    fields = headers([("Age", age), ("Date", date(stamped))])
    born_at = NOW - corrected_initial_age(fields, NOW - delay, NOW)
    assert born_at <= NOW
    early, late = sorted((NOW + first, NOW + second))
    assert 0 <= current_age(born_at, early) <= current_age(born_at, late) <= 2**31


@given(offsets)
def test_a_clock_that_jumps_back_gives_no_negative_age(jump: float) -> None:
    assert current_age(NOW, NOW + jump) >= 0


@given(st.integers(0, 2**31), st.integers(0, 2**31), st.integers(0, 2**31), st.integers(0, 10**6), st.floats(0, 100))
def test_instants_stand_in_order(fresh: int, refreshing: int, error: int, age: int, delay: float) -> None:
    value = f"max-age={fresh}, stale-while-revalidate={refreshing}, stale-if-error={error}"
    fields = headers([("Cache-Control", value), ("Age", str(age))])
    said = control(fields)
    times = instants(lifetime(200, fields, said, DEFAULT, NOW), fields, said, DEFAULT, NOW - delay, NOW)
    assert times.born_at <= NOW
    assert times.born_at <= times.fresh_until <= times.swr_until
    assert times.fresh_until <= times.sie_until
    assert times.fresh_until == pytest.approx(times.born_at + fresh)


@given(st.integers(0, 200), st.integers(0, 200))
def test_longer_lifetimes_are_fresh_at_least_as_long(short: int, more: int) -> None:
    one = stored({"Cache-Control": f"max-age={short}", "ETag": '"a"'})
    other = stored({"Cache-Control": f"max-age={short + more}", "ETag": '"a"'})
    assert one.fresh_until <= other.fresh_until


def test_age_counts_against_the_lifetime() -> None:
    entry = stored({"Cache-Control": "max-age=60", "Age": "50"})
    assert isinstance(decided(get(), entry, after=9), Serve)
    assert not isinstance(decided(get(), entry, after=10), Serve)


def test_delay_of_the_answer_counts_as_age() -> None:
    settlement = settled({"Cache-Control": "max-age=60"}, requested_at=NOW - 50)
    assert isinstance(settlement, Store)
    assert settlement.entry.fresh_until == NOW + 10
