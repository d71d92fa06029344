"""The first route that matches wins, by host, path and method, in time that no pattern can stretch."""

from __future__ import annotations

import fnmatch
import re
import time
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.config.schema import Match, Route
from seawall.routing import Glob, Router, climbs


@dataclass(frozen=True, slots=True)
class For:
    """A route that is only its match."""

    match: Match


def router(*matches: Match) -> Router:
    return Router([For(match) for match in matches])


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        *(("/a", "/a", True), ("/a", "/a/", False), ("/a", "/A", False), ("/a*", "/a", True), ("*", "", True)),
        *(("/static/*", "/static/", True), ("/static/*", "/static", False), ("/static/*", "/static/a/b.css", True)),
        *(("*.css", "/a/b.css", True), ("/a*a", "/a", False), ("/a*a", "/aa", True), ("/*/x/*", "/q/x/y", True)),
        *(("*ab*ab", "ab", False), ("*ab*ab", "abab", True), ("a*b*b", "ab", False), ("a*b*b", "abb", True)),
        *(("/?", "/x", False), ("/[a]", "/a", False), ("/.", "/x", False), ("**", "/x", True)),
    ],
)
def test_a_star_stands_for_any_characters_and_all_else_for_itself(pattern: str, text: str, matches: bool) -> None:
    assert Glob(pattern).matches(text) is matches


@given(st.text("ab*", max_size=8), st.text("ab", max_size=10))
def test_a_glob_agrees_with_a_regular_expression(pattern: str, text: str) -> None:
    expected = re.fullmatch(fnmatch.translate(pattern), text) is not None
    assert Glob(pattern).matches(text) is expected


def test_no_pattern_and_no_path_make_it_slow() -> None:
    glob, text = Glob("/" + "*a" * 30 + "*b"), "/" + "a" * 60_000
    started = time.perf_counter()
    assert not glob.matches(text)
    assert time.perf_counter() - started < 0.5  # a regular expression would take longer than the universe


@pytest.mark.parametrize(
    ("authority", "index"),
    [
        ("shop.example", 0),
        ("shop.example:8443", 0),
        ("www.shop.example", 1),
        ("a.b.shop.example", 1),
        ("notshop.example", None),
        ("shop.example.evil", None),
        ("api.example:8080", 2),
        ("api.example", None),
        ("[::1]:80", 3),
        ("[::1]", 3),
    ],
)
def test_hosts(authority: str, index: int | None) -> None:
    found = router(
        Match(host=("Shop.example",)),
        Match(host=("*.shop.example",)),
        Match(host=("api.example:8080",)),
        Match(host=("[::1]",)),
    )
    assert found.match(authority, "/", "GET") == index


def test_the_first_match_wins_and_all_three_must_hold() -> None:
    found = router(
        Match(host=("a",), path=("/x/*", "/y"), methods=("GET", "HEAD")), Match(path=("/x/*",)), Match(methods=("PUT",))
    )
    assert found.match("a", "/x/1", "GET") == 0
    assert found.match("a", "/y", "HEAD") == 0
    assert found.match("a", "/x/1", "POST") == 1
    assert found.match("b", "/x/1", "GET") == 1
    assert found.match("a", "/z", "PUT") == 2
    assert found.match("a", "/z", "put") is None
    assert found.match("a", "/z", "GET") is None
    assert router().match("a", "/", "GET") is None
    assert router(Match()).match("a", "*", "OPTIONS") == 0


def test_the_query_is_no_part_of_the_path() -> None:
    found = router(Match(path=("/a",)), Match(path=("*.css",)))
    assert found.match("h", "/a?x=1", "GET") == 0
    assert found.match("h", "/private?x=.css", "GET") is None


def test_routes_of_the_file_are_taken_as_they_are() -> None:
    assert Router([Route(match=Match(path=("/a",))), Route()]).match("h", "/b", "GET") == 1


@pytest.mark.parametrize(
    ("path", "climbs_out"),
    [
        *(("/a/../b", True), ("/a/./b", True), ("/a/..", True), ("/static/..%2faccount", True), ("/%2e%2E/b", True)),
        *(("/a/.%2e/b", True), ("/a%5c..%5cb", True), ("/a\\..\\b", True), ("/a/..;x=1/b", True)),
        *(("/a/b", False), ("/.well-known/x", False), ("/a/...", False), ("/a%2fb", False), ("/a..b", False)),
        *(("/a?x=/../", False), ("/", False), ("*", False), ("/a/%2e%2e%2e", False), ("/a.b/..c", False)),
    ],
)
def test_a_path_with_dot_segments_is_told(path: str, climbs_out: bool) -> None:
    assert climbs(path) is climbs_out
