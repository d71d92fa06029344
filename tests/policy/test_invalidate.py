"""What an unsafe request makes stale (RFC 9111 4.4, RFC 9875 3)."""

from __future__ import annotations

import pytest

from seawall.policy.invalidate import invalidated_groups, invalidates
from tests.policy.heads import get, reply

URL = "http://example.test/a"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH", "UNKNOWN", "get"])
def test_every_method_that_is_not_known_to_be_safe(method: str) -> None:
    for status in (200, 201, 204, 299, 302, 303, 399):
        assert invalidates(get(method=method), reply(status=status)) == (URL,)
    for status in (400, 404, 409, 500, 503):
        assert invalidates(get(method=method), reply(status=status)) == ()


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "QUERY", "PROPFIND"])
def test_a_safe_method_changes_nothing(method: str) -> None:
    fields = {"Location": "/b", "Cache-Group-Invalidation": '"g"'}
    assert invalidates(get(method=method), reply(fields)) == ()
    assert invalidated_groups(get(method=method), reply(fields)) == ()


@pytest.mark.parametrize(
    ("reference", "url"),
    [
        ("/b?x=1", "http://example.test/b?x=1"),
        ("b", "http://example.test/b"),
        ("", URL),
        ("http://example.test/b#part", "http://example.test/b"),
        ("http://EXAMPLE.test:80/b", "http://example.test/b"),
        ("http://example.test", "http://example.test/"),
        ("//example.test/b", "http://example.test/b"),
        ("https://example.test/b", None),
        ("http://example.test:8080/b", None),
        ("http://other.test/b", None),
        ("//other.test/b", None),
        ("http://user@example.test/b", None),
        ("http://[bad/b", None),
        ("mailto:a@b", None),
    ],
)
@pytest.mark.parametrize("name", ["Location", "Content-Location"])
def test_location_of_the_same_origin_only(name: str, reference: str, url: str | None) -> None:
    expected = tuple(dict.fromkeys([URL] if url is None else [URL, url]))
    assert invalidates(get(method="POST"), reply({name: reference}, 201)) == expected


def test_groups_are_of_the_target_origin() -> None:
    request = get(method="POST")
    assert invalidated_groups(request, reply({"Cache-Group-Invalidation": '"a", "b c"'})) == (
        "http://example.test#a",
        "http://example.test#b c",
    )
    for value in ("a", '"a", 1', '"a', "", '("a")'):
        assert invalidated_groups(request, reply({"Cache-Group-Invalidation": value})) == ()


def test_options_star_names_no_url() -> None:
    assert invalidates(get(method="POST", target="*"), reply()) == ()
