"""Keys: exactly what the origin sees, and nothing that could be taken for something else (HAZARDS T30, T35, T36)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.http.headers import headers
from seawall.http.message import RequestHead
from seawall.policy.key import cache_key, keyed_target
from seawall.policy.rules import KeyRules
from tests.policy.heads import Pairs, get

ALLOW = KeyRules(query_allow=("page", "q"))
DENY = KeyRules(query_deny=("utm_*", "fbclid"))


@pytest.mark.parametrize(
    ("rules", "target", "expected"),
    [
        (KeyRules(), "/a?b=1&&c#", "/a?b=1&&c#"),
        (KeyRules(), "/a?", "/a?"),
        (KeyRules(), "/%41/../b//c?x=%2F", "/%41/../b//c?x=%2F"),
        (ALLOW, "/a?q=1&x=2&page=3", "/a?q=1&page=3"),
        (ALLOW, "/a?page=3&q=1&q=2", "/a?page=3&q=1&q=2"),
        (ALLOW, "/a?x=1", "/a"),
        (ALLOW, "/a", "/a"),
        (ALLOW, "/a?p%61ge=1", "/a?p%61ge=1"),
        (KeyRules(query_allow=()), "/a?q=1", "/a"),
        (DENY, "/a?utm_source=x&a=1&fbclid=y", "/a?a=1"),
        (DENY, "/a?utm%5Fsource=x&%75tm_x=1&a=1", "/a?a=1"),
        (DENY, "/a?utm_x=1;cb=evil&a=1", "/a?a=1"),
        (DENY, "/a?a=utm_x", "/a?a=utm_x"),
        (DENY, "/a?fbclid2=1", "/a?fbclid2=1"),
        (DENY, "/a?a=1&&b=2", "/a?a=1&&b=2"),
        (DENY, "/a?b=?utm_x=1", "/a?b=?utm_x=1"),
        (DENY, "*", "*"),
    ],
)
def test_target(rules: KeyRules, target: str, expected: str) -> None:
    assert keyed_target(target, rules) == expected
    assert keyed_target(expected, rules) == expected


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30))
def test_without_rules_nothing_is_touched(query: str) -> None:
    assert keyed_target(f"/a?{query}", KeyRules()) == f"/a?{query}"
    once = keyed_target(f"/a?{query}", DENY)
    assert keyed_target(once, DENY) == once


def test_scheme_host_and_target_are_the_key() -> None:
    assert cache_key(get(), KeyRules()) == "http://example.test/a"
    heads = [
        RequestHead("GET", "http", "a", "/x"),
        RequestHead("GET", "https", "a", "/x"),
        RequestHead("GET", "http", "b", "/x"),
        RequestHead("GET", "http", "a:8080", "/x"),
        RequestHead("GET", "http", "a", "/x?"),
        RequestHead("GET", "http", "a", "/X"),
    ]
    assert len({cache_key(head, KeyRules()) for head in heads}) == len(heads)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ""),
        ({"Accept": "a"}, "\naccept:a"),
        ({"Accept": ""}, "\naccept:"),
        ([("Accept", "a"), ("Accept", "b")], "\naccept:a, b"),
        ({"Cookie": "x=1; currency=eur; y=2"}, "\n;currency=eur"),
        ({"Cookie": "currency="}, "\n;currency="),
        ([("Cookie", "currency=eur"), ("Cookie", "currency=usd")], "\n;currency=eur\n;currency=usd"),
        ({"Cookie": "acurrency=1; currency"}, ""),
        ({"Accept": "a", "Cookie": "currency=b"}, "\naccept:a\n;currency=b"),
    ],
)
def test_what_the_route_adds(fields: Pairs, expected: str) -> None:
    rules = KeyRules(headers=("Accept",), cookies=("currency",))
    assert cache_key(get(fields), rules) == "http://example.test/a" + expected


@given(
    *[st.none() | st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12)] * 4,
)
def test_no_two_requests_share_a_key_by_accident(
    a: str | None, b: str | None, other_a: str | None, other_b: str | None
) -> None:
    rules = KeyRules(headers=("x-a", "x-b"))

    def key(first: str | None, second: str | None) -> str:
        pairs = [(name, value) for name, value in (("x-a", first), ("x-b", second)) if value is not None]
        return cache_key(RequestHead("GET", "http", "h", "/", headers(pairs)), rules)

    assert (key(a, b) == key(other_a, other_b)) == ((a, b) == (other_a, other_b))
