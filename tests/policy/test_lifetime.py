"""How long a response is fresh, and who said so (RFC 9111 4.2.1, 4.2.2; RFC 9213)."""

from __future__ import annotations

import pytest

from seawall.policy.control import control
from seawall.policy.freshness import EXPLICIT, HEURISTICALLY_CACHEABLE, Lifetime, Source, lifetime
from seawall.policy.rules import DEFAULT, Rules
from tests.policy.heads import NOW, Pairs, date, reply


def of(fields: Pairs, status: int = 200, rules: Rules = DEFAULT) -> tuple[float, Source] | None:
    head = reply(fields, status)
    found = lifetime(status, head.headers, control(head.headers), rules, NOW)
    return None if found is None else (found.seconds, found.source)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, None),
        ({"Cache-Control": "max-age=60"}, (60, Source.MAX_AGE)),
        ({"Cache-Control": "s-maxage=60, max-age=1"}, (60, Source.S_MAXAGE)),
        ({"Cache-Control": "max-age=3600, s-maxage=1"}, (1, Source.S_MAXAGE)),
        ([("Cache-Control", "max-age=3600"), ("Cache-Control", "s-maxage=1")], (1, Source.S_MAXAGE)),
        ({"Cache-Control": "max-age=60", "Expires": date(-7200), "Date": date()}, (60, Source.MAX_AGE)),
        ({"Cache-Control": "max-age=60", "Expires": "0", "Date": date()}, (60, Source.MAX_AGE)),
        ({"Cache-Control": "max-age=0", "Expires": date(3600), "Date": date()}, (0, Source.MAX_AGE)),
        ({"Cache-Control": "max-age=-5"}, (0, Source.MAX_AGE)),
        ({"Cache-Control": "max-age=99999999999"}, (2**31, Source.MAX_AGE)),
        ({"Expires": date(60), "Date": date()}, (60, Source.EXPIRES)),
        ({"Expires": date(300), "Date": date(400)}, (0, Source.EXPIRES)),
        ({"Expires": date(20), "Date": date(10)}, (10, Source.EXPIRES)),
        ({"Expires": date(10), "Date": "foo"}, (10, Source.EXPIRES)),
        ({"Expires": date(10)}, (10, Source.EXPIRES)),
        ({"Expires": "0", "Date": date()}, (0, Source.EXPIRES)),
        ([("Expires", date(60)), ("Expires", date(60))], (0, Source.EXPIRES)),
        ({"Last-Modified": date(-86400), "Date": date()}, (8640, Source.HEURISTIC)),
        ({"Last-Modified": date(100), "Date": date()}, (0, Source.HEURISTIC)),
        ({"Last-Modified": date(-10 * 365 * 86400), "Date": date()}, (86400, Source.HEURISTIC)),
        ({"Cache-Control": "public"}, None),
        ({"ETag": '"a"'}, None),
    ],
)
def test_origin_says_how_long(fields: Pairs, expected: tuple[float, Source] | None) -> None:
    assert of(fields) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"CDN-Cache-Control": "max-age=60"}, (60, Source.CDN_CACHE_CONTROL)),
        ({"CDN-Cache-Control": "max-age=1", "Cache-Control": "max-age=60"}, (1, Source.CDN_CACHE_CONTROL)),
        ({"CDN-Cache-Control": "max-age=60", "Cache-Control": "no-store"}, (60, Source.CDN_CACHE_CONTROL)),
        ({"CDN-Cache-Control": "max-age=99999999999"}, (2**31, Source.CDN_CACHE_CONTROL)),
        ({"CDN-Cache-Control": "max-age=-1"}, (0, Source.CDN_CACHE_CONTROL)),
        ({"CDN-Cache-Control": "foobar, max-age=60"}, (60, Source.CDN_CACHE_CONTROL)),
        ({"CDN-Cache-Control": "max-age=60", "Expires": "0"}, (60, Source.CDN_CACHE_CONTROL)),
        # It speaks, so Expires and the heuristic do not.
        ({"CDN-Cache-Control": "must-revalidate", "Expires": date(60)}, None),
        ({"CDN-Cache-Control": "must-revalidate", "Last-Modified": date(-86400)}, None),
        # Invalid or empty: as if it were not there.
        ({"CDN-Cache-Control": "", "Cache-Control": "max-age=5"}, (5, Source.MAX_AGE)),
        ({"CDN-Cache-Control": "max-age=60, &&&", "Cache-Control": "max-age=5"}, (5, Source.MAX_AGE)),
        ({"CDN-Cache-Control": 'max-age="60"', "Cache-Control": "max-age=5"}, (5, Source.MAX_AGE)),
        ({"CDN-Cache-Control": 'foo, max-age="60"', "Cache-Control": "max-age=5"}, (5, Source.MAX_AGE)),
        ({"CDN-Cache-Control": "max-age=60.5", "Cache-Control": "max-age=5"}, (5, Source.MAX_AGE)),
        ({"CDN-Cache-Control": "max-age =60", "Cache-Control": "max-age=5"}, (5, Source.MAX_AGE)),
        ({"CDN-Cache-Control": "MaX-aGe=60", "Cache-Control": "max-age=5"}, (5, Source.MAX_AGE)),
        ({"CDN-Cache-Control": "max-age", "Cache-Control": "max-age=5"}, (5, Source.MAX_AGE)),
        ({"Surrogate-Control": "max-age=60", "Cache-Control": "max-age=5"}, (60, Source.SURROGATE_CONTROL)),
        ({"Surrogate-Control": "max-age=60+30", "Cache-Control": "max-age=5"}, (60, Source.SURROGATE_CONTROL)),
        ({"Surrogate-Control": 'content="ESI/1.0", max-age=60'}, (60, Source.SURROGATE_CONTROL)),
        ({"Surrogate-Control": "max-age=99999999999"}, (2**31, Source.SURROGATE_CONTROL)),
        ({"Surrogate-Control": "max-age=x", "Cache-Control": "max-age=5"}, (0, Source.SURROGATE_CONTROL)),
        ({"Surrogate-Control": 'content="ESI/1.0"', "Cache-Control": "max-age=5"}, (5, Source.MAX_AGE)),
        ({"CDN-Cache-Control": "max-age=1", "Surrogate-Control": "max-age=60"}, (1, Source.CDN_CACHE_CONTROL)),
    ],
)
def test_one_field_speaks(fields: Pairs, expected: tuple[float, Source] | None) -> None:
    assert of(fields) == expected


def test_route_overrides_origin_and_default_follows_it() -> None:
    fields = {"Cache-Control": "max-age=60"}
    assert of(fields, rules=Rules(ttl=5)) == (5, Source.ROUTE)
    assert of({"CDN-Cache-Control": "max-age=60"}, rules=Rules(ttl=5)) == (5, Source.ROUTE)
    assert of(fields, rules=Rules(default_ttl=5)) == (60, Source.MAX_AGE)
    assert of({}, rules=Rules(default_ttl=5)) == (5, Source.DEFAULT)
    assert of({"Last-Modified": date(-100), "Date": date()}, rules=Rules(default_ttl=5)) == (10, Source.HEURISTIC)


@pytest.mark.parametrize("status", [404, 500, 503, 400])
def test_route_ttls_are_not_for_errors(status: int) -> None:
    assert of({}, status, Rules(ttl=86400, default_ttl=86400)) is None


@pytest.mark.parametrize(("status", "seconds"), [(404, 60.0), (410, 7.0), (503, 5.0), (200, None), (302, None)])
def test_negative_ttl_names_a_status_or_its_class(status: int, seconds: float | None) -> None:
    rules = Rules(negative_ttl=(("4xx", 7.0), ("404", 60.0), ("5xx", 5.0)))
    assert of({}, status, rules) == (None if seconds is None else (seconds, Source.NEGATIVE))
    if seconds is not None:
        assert of({"Cache-Control": "max-age=1"}, status, rules) == (1, Source.MAX_AGE)


@pytest.mark.parametrize("status", range(200, 600))
def test_heuristic_needs_a_status_for_it_or_public(status: int) -> None:
    guess: Pairs = {"Last-Modified": date(-1000), "Date": date()}
    expected = Lifetime(100.0, Source.HEURISTIC)
    found = of(guess, status)
    assert found == ((expected.seconds, expected.source) if status in HEURISTICALLY_CACHEABLE else None)
    assert of({**dict(guess), "Cache-Control": "public"}, status) == (100, Source.HEURISTIC)


def test_what_the_route_or_a_guess_says_is_not_explicit() -> None:
    assert {Source.ROUTE, Source.NEGATIVE, Source.HEURISTIC, Source.DEFAULT}.isdisjoint(EXPLICIT)
