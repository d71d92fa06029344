"""A node never trusts its cache for longer than its hub thinks it might."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.purge.lease import HubView, Lease, margin


def test_nothing_is_trusted_before_the_first_echo() -> None:
    lease = Lease(5.0)
    assert not lease.held(0.0)
    lease.pinged(0.0)
    assert not lease.held(0.0)
    assert lease.echoed(0.0, 5.0)
    assert lease.held(4.999)
    assert not lease.held(5.0)


def test_it_counts_from_the_ping_and_not_from_the_echo() -> None:
    lease = Lease(5.0)
    lease.pinged(100.0)
    # SIGSTOP here, SIGCONT an hour later: the echo was in the socket all the time.
    assert lease.echoed(100.0, 5.0)
    assert not lease.held(3700.0)


def test_echoes_that_waited_in_a_buffer_extend_nothing() -> None:
    lease = Lease(5.0)
    for t0 in (100.0, 101.0, 102.0):
        lease.pinged(t0)
    lease.pinged(3700.0)
    for t0 in (100.0, 102.0, 101.0):
        assert lease.echoed(t0, 5.0)
    assert lease.until == 107.0
    assert lease.echoed(3700.0, 5.0)
    assert lease.until == 3705.0


@pytest.mark.parametrize(
    ("t0", "grant"), [(100.1, 5.0), (math.nan, 5.0), (math.inf, 5.0), (99.0, math.nan), (99.0, -1.0)]
)
def test_an_echo_of_what_was_never_said_extends_nothing(t0: float, grant: float) -> None:
    lease = Lease(5.0)
    lease.pinged(100.0)
    assert not lease.echoed(t0, grant)
    assert not lease.held(0.0)


def test_no_hub_can_grant_more_than_the_lease() -> None:
    lease = Lease(5.0)
    lease.pinged(100.0)
    assert lease.echoed(100.0, math.inf)
    assert lease.until == 105.0


def test_a_surrendered_lease_is_not_brought_back_by_an_echo_on_its_way() -> None:
    lease = Lease(5.0)
    lease.pinged(100.0)
    lease.surrender()
    assert not lease.echoed(100.0, 5.0)
    assert not lease.held(100.0)


def test_a_hub_counts_on_nothing_before_one_lease_after_its_start() -> None:
    view = HubView(5.0, 1000.0)
    assert not view.fenced(1005.0)
    assert not view.fenced(1005.0 + margin(5.0))
    assert view.fenced(1005.001 + margin(5.0))


def test_a_shorter_grant_does_not_take_a_longer_one_back() -> None:
    view = HubView(5.0, 0.0)
    view.granted(100.0, 5.0)
    view.granted(101.0, 0.5)
    assert not view.fenced(105.0)
    assert view.fenced(105.2)


times = st.floats(0, 100)


@given(
    st.lists(st.tuples(times, times, times, st.floats(0, 5)), max_size=20),
    st.floats(-1e6, 1e6),
    st.floats(-0.001, 0.001),
)
def test_when_the_hub_counts_on_it_the_lease_has_run_out(
    pings: list[tuple[float, float, float, float]], offset: float, drift: float
) -> None:
    """Any delays, any order of arrival, clocks that differ and drift: hub says fenced => node does not hold."""

    def of_node(true: float) -> float:
        return true * (1 + drift) + offset

    lease, view = Lease(5.0), HubView(5.0, -1e9)
    echoes = []
    asked = 0.0
    for pause, there, back, grant in sorted(pings):
        asked = max(asked, pause)
        t0 = of_node(asked)
        lease.pinged(t0)
        view.granted(asked + there, grant)
        echoes.append((asked + there + back, t0, grant))
    for came, t0, grant in sorted(echoes):
        assert lease.echoed(t0, grant)
        for now in (came, came + 1.0, came + 5.0, view.until, view.until + margin(5.0) + 1e-6):
            assert not (view.fenced(now) and lease.held(of_node(now)))
