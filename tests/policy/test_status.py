"""Status codes: what explicit freshness may do, and what nothing may (RFC 9110 15, RFC 9111 3, HAZARDS T39)."""

from __future__ import annotations

import pytest

from seawall.policy.outcomes import Again, PassOn, Store
from seawall.policy.reasons import Reason
from seawall.policy.rules import Rules
from tests.policy.heads import date, get, settled

FRESH = {"Cache-Control": "max-age=60"}
GUESS = {"Last-Modified": date(-10_000), "Date": date()}


@pytest.mark.parametrize(
    "status", [200, 203, 204, 299, 300, 301, 302, 303, 307, 308, 400, 404, 410, 414, 499, 500, 501, 502, 503, 504, 599]
)
def test_explicit_freshness_is_enough(status: int) -> None:
    assert isinstance(settled(FRESH, status=status), Store)


@pytest.mark.parametrize("status", [407, 408, 412, 416, 417, 421, 425, 426, 428, 429, 511, 600, 999])
def test_answers_to_one_request_alone_are_never_stored(status: int) -> None:
    assert settled(FRESH, status=status) == PassOn(Reason.STATUS, status < 400)


@pytest.mark.parametrize("status", [413, 431])
@pytest.mark.parametrize("rules", [Rules(), Rules(ttl=60, default_ttl=60, negative_ttl=(("4xx", 60.0),))])
def test_sizes_that_one_request_had_are_never_everybodys(status: int, rules: Rules) -> None:
    assert settled(FRESH, status=status, rules=rules) == PassOn(Reason.CLIENT_ERROR, False)


@pytest.mark.parametrize("status", [400, 501])
def test_blame_of_a_request_needs_explicit_freshness(status: int) -> None:
    rules = Rules(ttl=60, default_ttl=60, negative_ttl=(("4xx", 60.0), ("5xx", 60.0)))
    for fields in ({}, GUESS, {"Last-Modified": date(-1000), "Cache-Control": "public"}):
        assert settled(fields, status=status, rules=rules) == PassOn(Reason.CLIENT_ERROR, False)


@pytest.mark.parametrize("status", [400, 414, 501])
@pytest.mark.parametrize(
    "fields", [{"X": "x" * 12_000}, {"X-HTTP-Method-Override": "POST"}, {"X-Method-Override": "DELETE"}]
)
def test_cache_poisoned_denial_of_service(status: int, fields: dict[str, str]) -> None:
    assert settled(FRESH, status=status, request=get(fields)) == PassOn(Reason.CLIENT_ERROR, False)


def test_a_uri_too_long_is_as_long_for_everybody() -> None:
    assert isinstance(settled(GUESS, status=414), Store)
    assert settled({}, status=414, rules=Rules(negative_ttl=(("4xx", 60.0),))) == PassOn(Reason.CLIENT_ERROR, False)


@pytest.mark.parametrize("status", [201, 202, 302, 403, 500, 502, 503, 504, 599])
def test_no_guess_for_other_statuses(status: int) -> None:
    settlement = settled(GUESS, status=status)
    assert settlement == PassOn(Reason.STATUS, status < 400)
    assert isinstance(settled({**GUESS, "Cache-Control": "public"}, status=status), Store)


def test_errors_that_cannot_be_reused_are_not_kept_for_their_validator() -> None:
    fields = {"Expires": date(-5000), "Last-Modified": date(-100_000), "Date": date()}
    assert settled(fields, status=503) == PassOn(Reason.NO_FRESHNESS, False)
    assert isinstance(settled(fields, status=200), Store)


@pytest.mark.parametrize("status", [299, 599])
def test_must_understand_with_a_status_that_we_do_not_know(status: int) -> None:
    settlement = settled({"Cache-Control": "max-age=60, must-understand"}, status=status)
    assert settlement == PassOn(Reason.MUST_UNDERSTAND, status < 500)


def test_interim_and_unasked_statuses() -> None:
    assert settled(FRESH, status=103) == PassOn(Reason.UPGRADED, False)
    assert settled(FRESH, status=101) == PassOn(Reason.UPGRADED, False)
    assert settled(FRESH, status=304) == Again(Reason.UNSOLICITED_304)
    assert settled({**FRESH, "Content-Range": "bytes 0-1/2"}, status=206) == PassOn(Reason.BAD_PARTIAL, False)


def test_negative_ttl_stores_for_as_long() -> None:
    rules = Rules(negative_ttl=(("404", 60.0), ("5xx", 5.0)))
    for status, seconds in ((404, 60), (502, 5)):
        settlement = settled({"Date": date()}, status=status, rules=rules)
        assert isinstance(settlement, Store)
        assert settlement.entry.fresh_until - settlement.entry.born_at == seconds
    assert settled({"Cache-Control": "no-store"}, status=404, rules=rules) == PassOn(Reason.NO_STORE, True)
