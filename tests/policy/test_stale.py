"""Serving stale: when it is right, and that it is never done where somebody forbade it (RFC 9111 4.2.4, RFC 5861)."""

from __future__ import annotations

import pytest

from seawall.policy.entry import Entry
from seawall.policy.invalidate import invalidated
from seawall.policy.outcomes import Failure, Fetch, PassOn, Serve, ServeStale, Settlement, UseStale
from seawall.policy.reasons import Reason
from seawall.policy.rules import DEFAULT, Rules
from tests.policy.heads import NOW, decided, get, settled, stored

DEAD = Failure(Reason.CONNECT_FAILED, 502)


def entry(value: str, rules: Rules = DEFAULT) -> Entry:
    return stored({"Cache-Control": value, "ETag": '"a"'}, rules=rules)


def fails(held: Entry, after: float, *, status: int | None = None, method: str = "GET") -> Settlement:
    answer = DEAD if status is None else {"Cache-Control": "no-store"}
    return settled(answer, status=status or 0, request=get(method=method), entry=held, now=NOW + after, asked=True)


# --- stale-while-revalidate ---


def test_inside_the_window_only() -> None:
    held = entry("max-age=10, stale-while-revalidate=5")
    assert decided(get(), held, after=9) == Serve(held)
    assert decided(get(), held, after=10) == ServeStale(held, Reason.STALE_WHILE_REVALIDATE, True)
    assert decided(get(), held, after=14.9) == ServeStale(held, Reason.STALE_WHILE_REVALIDATE, True)
    assert not isinstance(decided(get(), held, after=15), ServeStale)


def test_a_head_is_served_stale_but_refreshes_nothing() -> None:
    held = entry("max-age=10, stale-while-revalidate=5")
    assert decided(get(method="HEAD"), held, after=12) == ServeStale(held, Reason.STALE_WHILE_REVALIDATE, False)
    only = get({"Cache-Control": "only-if-cached"})
    assert decided(only, held, after=12) == ServeStale(held, Reason.STALE_WHILE_REVALIDATE, False)


@pytest.mark.parametrize("forbids", ["must-revalidate", "proxy-revalidate", "no-cache"])
@pytest.mark.parametrize("rules", [DEFAULT, Rules(stale_while_revalidate=60, stale_if_error=60)])
def test_forbidden_is_forbidden(forbids: str, rules: Rules) -> None:
    held = entry(f"max-age=10, stale-while-revalidate=60, stale-if-error=60, {forbids}", rules)
    assert not isinstance(decided(get(), held, after=11), Serve | ServeStale)
    assert fails(held, 11) == PassOn(Reason.CONNECT_FAILED, False)
    assert isinstance(fails(held, 11, status=503), PassOn)
    assert held.fresh_until == held.swr_until == held.sie_until == held.unreachable_until


def test_a_route_gives_windows_where_the_origin_gave_none() -> None:
    rules = Rules(stale_while_revalidate=5, stale_if_error=7)
    mine = entry("max-age=10", rules)
    assert (mine.swr_until, mine.sie_until) == (NOW + 15, NOW + 17)
    theirs = entry("max-age=10, stale-while-revalidate=1, stale-if-error=2", rules)
    assert (theirs.swr_until, theirs.sie_until) == (NOW + 11, NOW + 12)


# --- stale-if-error ---


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_stale_if_error_to_the_second(status: int) -> None:
    held = entry("max-age=10, stale-if-error=5")
    assert fails(held, 14.9, status=status) == UseStale(held, Reason.STALE_IF_ERROR)
    assert isinstance(fails(held, 15, status=status), PassOn)


@pytest.mark.parametrize("status", [400, 404, 501, 505, 599])
def test_other_errors_are_passed_on(status: int) -> None:
    assert isinstance(fails(entry("max-age=10, stale-if-error=60"), 11, status=status), PassOn)


def test_an_error_is_passed_on_where_nobody_said_stale_if_error() -> None:
    assert isinstance(fails(entry("max-age=10"), 11, status=503), PassOn)


# --- an origin that cannot be reached ---


def test_unreachable_is_bridged_by_default_for_a_day() -> None:
    held = entry("max-age=10")
    assert fails(held, 11) == UseStale(held, Reason.ORIGIN_UNREACHABLE)
    assert fails(held, 10 + 86400 - 1) == UseStale(held, Reason.ORIGIN_UNREACHABLE)
    assert fails(held, 10 + 86400) == PassOn(Reason.CONNECT_FAILED, False)


def test_stale_if_error_bounds_it() -> None:
    held = entry("max-age=10, stale-if-error=5")
    assert fails(held, 14) == UseStale(held, Reason.ORIGIN_UNREACHABLE)
    assert fails(held, 15) == PassOn(Reason.CONNECT_FAILED, False)
    assert fails(entry("max-age=10, stale-if-error=0"), 11) == PassOn(Reason.CONNECT_FAILED, False)
    assert fails(entry("max-age=10", Rules(stale_if_error=5)), 15) == PassOn(Reason.CONNECT_FAILED, False)


@pytest.mark.parametrize(
    "value",
    ["max-age=2, must-revalidate", "max-age=2, proxy-revalidate", "max-age=2, no-cache", "max-age=2, s-maxage=2"],
)
def test_unreachable_is_an_error_where_stale_is_forbidden(value: str) -> None:
    assert fails(entry(value), 3) == PassOn(Reason.CONNECT_FAILED, False)
    assert fails(entry(value, Rules(stale_if_error=60, stale_while_revalidate=60)), 3) == PassOn(
        Reason.CONNECT_FAILED, False
    )


def test_s_maxage_with_a_window_of_its_own_is_the_origins_permission() -> None:
    held = entry("s-maxage=1, stale-while-revalidate=59, stale-if-error=9")
    assert decided(get(), held, after=30) == ServeStale(held, Reason.STALE_WHILE_REVALIDATE, True)
    assert fails(held, 9) == UseStale(held, Reason.ORIGIN_UNREACHABLE)
    assert fails(held, 10) == PassOn(Reason.CONNECT_FAILED, False)


def test_never_what_was_invalidated_or_is_an_error_itself() -> None:
    assert fails(invalidated(entry("max-age=10")), 1) == PassOn(Reason.CONNECT_FAILED, False)
    error = stored({"Cache-Control": "max-age=10"}, status=500)
    assert fails(error, 11) == PassOn(Reason.CONNECT_FAILED, False)


def test_never_another_variant() -> None:
    held = stored({"Cache-Control": "max-age=10", "Vary": "Foo", "ETag": '"a"'}, request=get({"Foo": "1"}))
    assert settled(DEAD, request=get({"Foo": "2"}), entry=held) == PassOn(Reason.CONNECT_FAILED, False)


def test_for_a_head_too_but_for_no_other_method() -> None:
    held = entry("max-age=10")
    assert fails(held, 11, method="HEAD") == UseStale(held, Reason.ORIGIN_UNREACHABLE)
    assert fails(held, 11, method="POST") == PassOn(Reason.CONNECT_FAILED, False)


def test_what_stands_in_need_not_be_what_was_asked_about() -> None:
    held = entry("max-age=10")
    assert settled(DEAD, candidates=(held,), now=NOW + 11) == UseStale(held, Reason.ORIGIN_UNREACHABLE)


def test_immutable_changes_nothing_for_a_shared_cache() -> None:
    held = entry("max-age=10, immutable")
    assert decided(get(), held, after=9) == Serve(held)
    assert not isinstance(decided(get(), held, after=10), Serve | Fetch)
