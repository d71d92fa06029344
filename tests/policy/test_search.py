"""No-Vary-Search: query arguments that do not matter."""

from __future__ import annotations

import pytest

from seawall.policy.search import search_key, search_matches


@pytest.mark.parametrize(
    ("value", "one", "other", "same"),
    [
        (None, "/a?x=1", "/a?x=1", True),
        (None, "/a?x=1", "/a?x=2", False),
        ("key-order", "/a?x=1&y=2", "/a?y=2&x=1", True),
        ("key-order", "/a?x=1&x=2", "/a?x=2&x=1", False),
        ("key-order=?0", "/a?x=1&y=2", "/a?y=2&x=1", False),
        ("params", "/a?x=1", "/a?y=2", True),
        ("params", "/a?x=1", "/a", True),
        ("params", "/a?x=1", "/b?x=1", False),
        ('params, except=("q")', "/a?q=1&x=1", "/a?x=2&q=1", True),
        ('params, except=("q")', "/a?q=1", "/a?q=2", False),
        ('params=("utm_source")', "/a?utm_source=1&q=1", "/a?q=1", True),
        ('params=("utm_source")', "/a?utm%5Fsource=1&q=1", "/a?q=1", True),
        ('params=("utm_source")', "/a?q=1&r=1", "/a?r=1&q=1", False),
        ('params=("x"), key-order', "/a?q=1&x&r=1", "/a?r=1&q=1", True),
        # Invalid: as if it were not there.
        ("params=1", "/a?x=1", "/a?x=2", False),
        ("params=(a)", "/a?x=1", "/a?x=2", False),
        ('except=("q")', "/a?x=1", "/a?x=2", False),
        ('params=("x"), except=("q")', "/a?x=1", "/a?x=2", False),
        ("key-order=1", "/a?x=1&y=2", "/a?y=2&x=1", False),
        ("&&", "/a?x=1", "/a?x=2", False),
        ("params=?0", "/a?x=1", "/a?x=2", False),
    ],
)
def test_same_search(value: str | None, one: str, other: str, same: bool) -> None:
    assert search_matches(one, other, value) is same
    assert search_matches(other, one, value) is same


def test_without_a_rule_the_key_is_the_target() -> None:
    assert search_key("/a?x=%31&&", None) == "/a?x=%31&&"
    assert search_key("/a?" + "x&" * 1000, "key-order") == "/a?" + "x&" * 1000
