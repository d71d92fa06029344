"""Answer from the store, or go forward and why (RFC 9111 4; RFC 9211 2.2 for the words)."""

from __future__ import annotations

import pytest

from seawall.http.headers import EMPTY, headers
from seawall.policy.invalidate import invalidated
from seawall.policy.outcomes import Fetch, Refuse, Revalidate, Serve, ServeStale
from seawall.policy.reasons import Fwd, Reason
from seawall.policy.rules import Rules
from tests.policy.heads import Pairs, date, decided, get, stored

FRESH = stored({"Cache-Control": "max-age=60", "ETag": '"a"', "Last-Modified": date(-1000), "Date": date()})
BARE = stored({"Cache-Control": "max-age=60"})
ASK = headers([("If-None-Match", '"a"'), ("If-Modified-Since", date(-1000))])


def test_fresh_is_served_and_stale_is_not() -> None:
    assert decided(get(), FRESH) == Serve(FRESH)
    assert decided(get(), FRESH, after=59.9) == Serve(FRESH)
    assert decided(get(), FRESH, after=60) == Revalidate(FRESH, ASK, Fwd.STALE, Reason.EXPIRED)
    assert decided(get(), BARE, after=60) == Fetch(Fwd.STALE, True, Reason.EXPIRED)


def test_nothing_stored() -> None:
    assert decided(get()) == Fetch(Fwd.URI_MISS, True)
    assert decided(get({"Range": "bytes=0-1"})) == Fetch(Fwd.URI_MISS, True)
    assert decided(get(method="HEAD")) == Fetch(Fwd.URI_MISS, False)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "QUERY", "M-SEARCH"])
def test_other_methods_pass(method: str) -> None:
    assert decided(get(method=method), FRESH) == Fetch(Fwd.METHOD, False, Reason.METHOD)


@pytest.mark.parametrize(
    ("fields", "has_body", "rules", "reason"),
    [
        ({}, False, Rules(cache=False), Reason.ROUTE_PASS),
        ({}, True, Rules(), Reason.REQUEST_BODY),
        ({"Connection": "keep-alive, Upgrade", "Upgrade": "websocket"}, False, Rules(), Reason.UPGRADE),
    ],
)
def test_what_is_never_ours_to_answer(fields: Pairs, has_body: bool, rules: Rules, reason: Reason) -> None:
    assert decided(get(fields), FRESH, has_body=has_body, rules=rules) == Fetch(Fwd.BYPASS, False, reason)


def test_upgrade_without_its_connection_option_is_no_upgrade() -> None:
    assert decided(get({"Upgrade": "websocket"}), FRESH) == Serve(FRESH)


def test_hit_for_miss_only_where_nothing_answers() -> None:
    assert decided(get(), FRESH, hit_for_miss=True) == Serve(FRESH)
    assert decided(get(), FRESH, after=60, hit_for_miss=True) == Fetch(Fwd.STALE, False, Reason.HIT_FOR_MISS)
    assert decided(get(), hit_for_miss=True) == Fetch(Fwd.URI_MISS, False, Reason.HIT_FOR_MISS)


def test_no_cache_is_validated_each_time() -> None:
    entry = stored({"Cache-Control": "no-cache, max-age=60", "ETag": 'W/"a"'})
    asked = Revalidate(entry, headers([("If-None-Match", 'W/"a"')]), Fwd.STALE, Reason.NO_CACHE)
    assert decided(get(), entry) == asked
    assert decided(get(), stored({"ETag": '"a"'})) != Serve(stored({"ETag": '"a"'}))


def test_invalidated_needs_validation_whatever_its_windows() -> None:
    entry = invalidated(stored({"Cache-Control": "max-age=60, stale-while-revalidate=60", "ETag": '"a"'}))
    asked = headers([("If-None-Match", '"a"')])
    assert decided(get(), entry) == Revalidate(entry, asked, Fwd.STALE, Reason.INVALIDATED)
    assert decided(get(), entry, rules=Rules(request_directives=True)) == decided(get(), entry)


def test_must_revalidate_says_so() -> None:
    entry = stored({"Cache-Control": "max-age=60, must-revalidate"})
    assert decided(get(), entry) == Serve(entry)
    assert decided(get(), entry, after=60) == Fetch(Fwd.STALE, True, Reason.MUST_REVALIDATE)


def test_validators_go_out_as_they_came() -> None:
    entry = stored({"ETag": "unquoted", "Last-Modified": "no date"})
    decision = decided(get(), entry)
    assert isinstance(decision, Revalidate)
    assert list(decision.conditions.items()) == [("If-None-Match", "unquoted")]


# --- HEAD ---


def test_head_is_served_from_a_get_and_never_fills_one() -> None:
    assert decided(get(method="HEAD"), FRESH) == Serve(FRESH)
    assert decided(get(method="HEAD"), FRESH, after=60) == Fetch(Fwd.STALE, False, Reason.EXPIRED)


# --- the request's directives (RFC 9111 5.2.1) ---

HONOUR = Rules(request_directives=True)


@pytest.mark.parametrize(
    "fields",
    [
        {"Cache-Control": "no-cache"},
        {"Cache-Control": "max-age=0"},
        {"Cache-Control": "min-fresh=1000"},
        {"Pragma": "no-cache"},
        {"Cache-Control": "no-store"},
        {"Cache-Control": "only-if-cached"},
        {"Cache-Control": "nothing-to-see-here", "Pragma": "foo"},
    ],
)
def test_directives_are_no_lever_by_default(fields: Pairs) -> None:
    assert decided(get(fields), FRESH, after=10) == Serve(FRESH)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"Cache-Control": "no-cache"}, Reason.REQUEST_NO_CACHE),
        ({"Pragma": "no-cache"}, Reason.REQUEST_NO_CACHE),
        ({"Cache-Control": "max-age=0"}, Reason.REQUEST_MAX_AGE),
        ({"Cache-Control": "max-age=9"}, Reason.REQUEST_MAX_AGE),
        ({"Cache-Control": "min-fresh=51"}, Reason.REQUEST_MIN_FRESH),
    ],
)
def test_directives_where_the_route_honours_them(fields: Pairs, reason: Reason) -> None:
    assert decided(get(fields), FRESH, after=10, rules=HONOUR) == Revalidate(FRESH, ASK, Fwd.REQUEST, reason)
    assert decided(get(fields), BARE, after=10, rules=HONOUR) == Fetch(Fwd.REQUEST, True, reason)


@pytest.mark.parametrize(
    "fields",
    [
        {"Cache-Control": "max-age=10"},
        {"Cache-Control": "min-fresh=50"},
        {"Cache-Control": "foo", "Pragma": "no-cache"},
        {"Pragma": "extension"},
    ],
)
def test_directives_that_are_met(fields: Pairs) -> None:
    assert decided(get(fields), FRESH, after=10, rules=HONOUR) == Serve(FRESH)


@pytest.mark.parametrize(
    ("value", "served"), [("max-stale", True), ("max-stale=11", True), ("max-stale=9", False), ("max-stale=x", False)]
)
def test_max_stale(value: str, served: bool) -> None:
    decision = decided(get({"Cache-Control": value}), FRESH, after=70, rules=HONOUR)
    stale = ServeStale(FRESH, Reason.REQUEST_MAX_STALE, False)
    assert decision == (stale if served else Revalidate(FRESH, ASK, Fwd.STALE, Reason.EXPIRED))
    assert decided(get({"Cache-Control": value}), FRESH, after=70) != stale


def test_max_stale_does_not_overrule_the_origin() -> None:
    entry = stored({"Cache-Control": "max-age=60, must-revalidate"})
    asked = get({"Cache-Control": "max-stale"})
    assert decided(asked, entry, after=70, rules=HONOUR) == Fetch(Fwd.STALE, True, Reason.MUST_REVALIDATE)


def test_only_if_cached_never_goes_forward() -> None:
    asked = get({"Cache-Control": "only-if-cached"})
    for entries in ((), (FRESH,)):
        assert decided(asked, *entries, after=60) == Refuse(504, Reason.ONLY_IF_CACHED)


def test_request_no_store_forwards_without_storing() -> None:
    assert decided(get({"Cache-Control": "no-store"})) == Fetch(Fwd.URI_MISS, False, Reason.REQUEST_NO_STORE)


# --- preconditions that are the origin's (RFC 9110 13.1.1, 13.1.4) ---


@pytest.mark.parametrize(
    ("fields", "holds"),
    [
        ({"If-Match": '"a"'}, True),
        ({"If-Match": '"b", "a"'}, True),
        ({"If-Match": "*"}, True),
        ({"If-Match": '"b"'}, False),
        ({"If-Match": 'W/"a"'}, False),
        ({"If-Unmodified-Since": date(-1000)}, True),
        ({"If-Unmodified-Since": date(-1001)}, False),
        ({"If-Unmodified-Since": "no date"}, True),
    ],
)
def test_a_precondition_that_does_not_hold_is_for_the_origin(fields: Pairs, holds: bool) -> None:
    passed = Fetch(Fwd.REQUEST, False, Reason.PRECONDITION)
    assert decided(get(fields), FRESH) == (Serve(FRESH) if holds else passed)
    assert decided(get(fields)) == Fetch(Fwd.URI_MISS, False, Reason.PRECONDITION)


# --- several candidates ---


def test_the_most_recent_is_chosen() -> None:
    old = stored({"Cache-Control": "max-age=600", "Date": date(-10)})
    new = stored({"Cache-Control": "max-age=600", "Date": date(-5)})
    assert decided(get(), old, new) == decided(get(), new, old) == Serve(new)


def test_vary_miss_asks_whether_another_variant_is_the_answer() -> None:
    one = stored({"Cache-Control": "max-age=60", "Vary": "Foo", "ETag": '"1"'}, request=get({"Foo": "1"}))
    two = stored({"Cache-Control": "max-age=60", "Vary": "Foo", "ETag": '"2"'}, request=get({"Foo": "2"}))
    decision = decided(get({"Foo": "3"}), one, two)
    assert isinstance(decision, Revalidate)
    assert decision.fwd is Fwd.VARY_MISS
    assert set(decision.conditions["if-none-match"].split(", ")) == {'"1"', '"2"'}
    plain = stored({"Cache-Control": "max-age=60", "Vary": "Foo", "Last-Modified": date(-9)}, request=get({"Foo": "1"}))
    assert decided(get({"Foo": "3"}), plain) == Fetch(Fwd.VARY_MISS, True)


def test_no_conditions_are_invented() -> None:
    decision = decided(get({"If-None-Match": '"client"', "Range": "bytes=0-1"}), BARE, after=60)
    assert decision == Revalidate(BARE, EMPTY, Fwd.STALE, Reason.EXPIRED)
