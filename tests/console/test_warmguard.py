"""A warming ends before it brings an origin down, and not because of one broken page."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from console.warmguard import Guard
from console.warmpace import Pace
from console.warmresult import Kind, Result, Summary


def ok(ms: float = 10.0) -> Result:
    return Result("u", 200, "MISS", True, None, 5, ms)


def bad(status: int | None = 500, why: str | None = "status") -> Result:
    return Result("u", status, "MISS", False, why)


HIT = Result("u", 200, "HIT", True, None, 5, 0.1)


def stops_at(results: Iterable[Result]) -> tuple[int, str]:
    """After how many results, and why; (0, "") where it went on to the end."""
    guard = Guard()
    for number, result in enumerate(results, 1):
        if why := guard.note(result):
            return number, why
    return 0, ""


@pytest.mark.parametrize(
    ("results", "number", "why"),
    [
        ([ok()] * 100, 0, ""),
        ([bad()] * 100, 10, "10 times in a row, at last with 500 status"),
        ([ok(), *[bad()] * 100], 11, "10 times in a row"),
        ([ok()] * 20 + [bad()] * 100, 26, "6 of the last 20"),
        (([ok()] * 19 + [bad()]) * 20, 0, ""),
        (([ok()] * 3 + [bad()]) * 20, 0, ""),  # five of twenty
        (([ok()] * 2 + [bad()]) * 20, 20, "6 of the last 20"),
        ([bad(None, "timeout")] * 10, 10, "at last with timeout"),
        ([Result("u", 200, "STALE", True, "stale-if-error")] * 10, 10, "at last with stale-if-error"),
        ([Result("u", 502, "ERROR", False, "connect-failed")] * 10, 10, "at last with 502 connect-failed"),
        ([Result("u", 404, "MISS", False, "status")] * 100, 0, ""),
        ([Result("u", 404, "ERROR", False, "no-route")] * 100, 0, ""),
        ([Result("u", 421, None, False, "scheme")] * 100, 0, ""),
        ([Result("u", 200, "STALE", True, "stale-while-revalidate")] * 100, 0, ""),
        ([*[bad()] * 9, HIT, bad()], 11, "10 times in a row"),  # hits say nothing about the origin
        ([ok(), Result("u", None, None, False, "closing")], 2, "the node is being stopped"),
        ([ok(100)] * 20 + [ok(2000)] * 100, 40, "2000 ms, at the beginning 100 ms"),
        ([ok(100)] * 40 + [ok(2000)] * 100, 50, "has become slow"),
        ([ok(30)] * 20 + [ok(900)] * 100, 0, ""),  # slower, not slow
        ([ok(700)] * 20 + [ok(2000)] * 100, 0, ""),  # slow, not slower
        ([ok(100)] * 20 + [ok(100), ok(2000), ok(100)] * 50, 0, ""),
        ([ok(100)] * 20 + [HIT] * 100 + [ok(2000)] * 19, 0, ""),
    ],
)
def test_when_to_stop(results: list[Result], number: int, why: str) -> None:
    stopped, said = stops_at(results)
    assert stopped == number
    assert why in said
    assert bool(said) is bool(why)


@pytest.mark.parametrize(
    ("result", "kind", "reason"),
    [
        (ok(), Kind.STORED, "200"),
        (HIT, Kind.HIT, "200"),
        (Result("u", 200, "MISS", False, "no-store"), Kind.PASSED, "no-store"),
        (Result("u", 200, "PASS", False, None), Kind.PASSED, "200"),
        (Result("u", 404, "MISS", False, "status"), Kind.PASSED, "404 status"),
        (Result("u", 404, "MISS", True, None), Kind.STORED, "404"),
        (Result("u", 503, "MISS", True, None), Kind.FAILED, "503"),
        (Result("u", 200, "MISS", False, "incomplete"), Kind.FAILED, "incomplete"),
        (Result("u"), Kind.FAILED, "no reply"),
        (Result("u", None, None, False, "timeout"), Kind.FAILED, "timeout"),
        (Result("u", 200, "STALE", True, "origin-unreachable"), Kind.FAILED, "origin-unreachable"),
    ],
)
def test_how_a_result_counts(result: Result, kind: Kind, reason: str) -> None:
    assert (result.kind, result.reason) == (kind, reason)


def test_a_summary_counts_and_says_why() -> None:
    summary = Summary()
    for result in (ok(), ok(), HIT, bad(), *[Result("u", 200, "MISS", False, f"why-{number}") for number in range(7)]):
        summary.add(result)
    assert str(summary).startswith("2 stored, 1 stored already, 7 passed (1 why-0, 1 why-1")
    assert ", ...), 1 failed (1 500 status)" in str(summary)
    said = summary.as_json()
    assert (said["asked"], said["stored"], said["hits"], said["passed"], said["failed"]) == (11, 2, 1, 7, 1)
    assert said["bytes"] == 15


def test_a_pace_is_even_and_makes_up_for_nothing() -> None:
    pace = Pace(10.0)
    now = 100.0
    assert pace.wait(now) == 0.0
    assert pace.wait(now) == pytest.approx(0.1)
    assert pace.wait(now + 0.04) == pytest.approx(0.06)
    assert pace.wait(now + 0.13) == 0.0  # woken late
    assert pace.wait(now + 0.13) == pytest.approx(0.07)  # and the next is due as if it had not been
    now += 60.0
    assert pace.wait(now) == 0.0  # after a pause
    assert pace.wait(now) == pytest.approx(0.1)


def test_a_pace_holds_its_rate() -> None:
    pace, now, gone = Pace(50.0), 0.0, 0
    while now < 10.0:
        wait = pace.wait(now)
        gone += not wait
        now += wait or 1e-9
    assert gone == pytest.approx(500, abs=2)
