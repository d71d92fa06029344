"""The trace fields of a reply (RFC 9110 7.6.3, RFC 9211)."""

from __future__ import annotations

import pytest

from seawall.http.structured import Item, Token, parse_list
from seawall.policy.reasons import Fwd, Outcome, Reason
from seawall.policy.trace import add_trace, cache_status
from tests.policy.heads import Pairs, reply


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        (cache_status("n", hit=True, ttl=376.9), "n; hit; ttl=376"),
        (cache_status("n", hit=True, ttl=-412.1), "n; hit; ttl=-413"),
        (cache_status("n", fwd=Fwd.URI_MISS, stored=True, collapsed=True), "n; fwd=uri-miss; stored; collapsed"),
        (
            cache_status("n", fwd=Fwd.STALE, fwd_status=304, detail=Reason.EXPIRED),
            "n; fwd=stale; fwd-status=304; detail=expired",
        ),
        (cache_status("n", hit=True, fwd=Fwd.MISS), "n; fwd=miss"),
        (cache_status("n", detail="two words"), 'n; detail="two words"'),
        (cache_status("1 édge"), '"1 ?dge"'),
    ],
)
def test_a_member(member: str, expected: str) -> None:
    assert member == expected
    assert parse_list(member) is not None


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_a_token(reason: Reason) -> None:
    parsed = parse_list(cache_status("n", detail=reason))
    assert parsed is not None
    (item,) = parsed
    assert isinstance(item, Item)
    assert item.params["detail"] == Token(reason.value)


def traced(fields: Pairs, *, age: int | None = None, debug: bool = False) -> dict[str, list[str]]:
    head = add_trace(reply(fields), node="n2", member="n2; hit", outcome=Outcome.HIT, age=age, debug=debug)
    return {name.lower(): head.headers.getall(name) for name in head.headers}


def test_nearest_the_client_comes_last() -> None:
    seen = traced({"Via": "1.1 n1", "Cache-Status": "n1; fwd=miss", "X-Cache": "MISS"})
    assert seen == {"via": ["1.1 n1, 1.1 n2"], "cache-status": ["n1; fwd=miss, n2; hit"], "x-cache": ["MISS, HIT"]}


def test_lines_of_one_field_become_one() -> None:
    assert traced([("X-Cache", "MISS"), ("A", "1"), ("X-Cache", "HIT")])["x-cache"] == ["MISS, HIT, HIT"]


def test_what_is_for_caches_goes_no_further_unless_asked_for() -> None:
    fields = {
        "Surrogate-Key": "a",
        "Cache-Tag": "b",
        "Cache-Groups": '"c"',
        "Surrogate-Control": "max-age=1",
        "CDN-Cache-Control": "max-age=1",
    }
    assert set(traced(fields)) == {"cdn-cache-control", "via", "cache-status", "x-cache"}
    assert set(traced(fields, debug=True)) >= {name.lower() for name in fields}


def test_age_is_replaced_where_it_is_ours() -> None:
    assert traced({"Age": "7"})["age"] == ["7"]
    assert traced({"Age": "7"}, age=9)["age"] == ["9"]
    assert traced({}, age=-1)["age"] == ["0"]
