"""Tags: exact, each once, and never cut (HAZARDS T64, T65)."""

from __future__ import annotations

import pytest

from seawall.policy.invalidate import invalidated_groups
from seawall.policy.rules import Rules
from seawall.policy.tags import MAX_TAG_BYTES, tags
from tests.policy.heads import Pairs, get, reply, stored

ORIGIN = "http://example.test"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ()),
        ({"Surrogate-Key": "a  b A a"}, ("a", "b", "A")),
        ({"Cache-Tag": "a, b c ,,a"}, ("a", "b c")),
        ([("Cache-Tag", "a"), ("Cache-Tag", "b")], ("a", "b")),
        ({"Surrogate-Key": "a", "Cache-Tag": "b"}, ("a", "b")),
        ({"Surrogate-Key": " "}, ()),
        ({"Cache-Groups": '"g", "h"'}, ("g", "http://example.test#g", "h", "http://example.test#h")),
        ({"Cache-Groups": "g"}, ()),
    ],
)
def test_tags(fields: Pairs, expected: tuple[str, ...]) -> None:
    assert tags(reply(fields).headers, Rules(), ORIGIN) == expected
    assert tags(reply(fields).headers, Rules(tags=("static", "a")), ORIGIN) == tuple(
        dict.fromkeys((*expected, "static", "a"))
    )


def test_over_the_limit_is_none_not_some() -> None:
    fits = "k" * MAX_TAG_BYTES
    assert tags(reply({"Surrogate-Key": fits}).headers, Rules()) == (fits,)
    assert tags(reply({"Surrogate-Key": fits, "Cache-Tag": "b"}).headers, Rules()) is None


def test_a_group_is_found_by_what_invalidates_it() -> None:
    entry = stored({"Cache-Control": "max-age=60", "Cache-Groups": '"news"'})
    gone = invalidated_groups(get(method="POST"), reply({"Cache-Group-Invalidation": '"news"'}))
    assert set(gone) <= set(entry.tags)
