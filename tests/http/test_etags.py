from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.http.etags import ETag, parse_etag, parse_etag_list, strong_match, weak_match

octets = st.text(st.characters(max_codepoint=255), max_size=60)
opaque = st.text(st.characters(min_codepoint=0x20, max_codepoint=255, exclude_characters='"\x7f'), max_size=12)
tags = st.builds(lambda weak, text: ETag(weak, f'"{text}"'), st.booleans(), opaque)


def etag(text: str) -> ETag:
    tag = parse_etag(text)
    assert tag is not None
    return tag


@pytest.mark.parametrize(
    ("value", "tag"),
    [
        ('"abc"', ETag(False, '"abc"')),
        ('W/"abc"', ETag(True, '"abc"')),
        ('  W/"abc"\t', ETag(True, '"abc"')),
        ('""', ETag(False, '""')),
        ('"a b, c"', ETag(False, '"a b, c"')),
        ('"abc\xfc"', ETag(False, '"abc\xfc"')),
        ('"a\\"', ETag(False, '"a\\"')),
        ("abc", ETag(False, "abc")),
        ('w/"abc"', ETag(False, 'w/"abc"')),
        ('W\\"abc"', ETag(False, 'W\\"abc"')),
        ('W"abc"', ETag(False, 'W"abc"')),
        ("W/abc", ETag(False, "W/abc")),
        ('"abc', ETag(False, '"abc')),
        ('"abc" x', ETag(False, '"abc" x')),
        ("", None),
        (" \t", None),
    ],
)
def test_one_tag(value: str, tag: ETag | None) -> None:
    assert parse_etag(value) == tag


@pytest.mark.parametrize(
    ("value", "tags"),
    [
        ("*", "*"),
        (" * ", "*"),
        ('"a", "b"', ['"a"', '"b"']),
        ('"a","b",W/"c"', ['"a"', '"b"', 'W/"c"']),
        (', "a" ,, "b",', ['"a"', '"b"']),
        ('"a, b", "c"', ['"a, b"', '"c"']),
        ("abc, def", ["abc", "def"]),
        ('w/"a, b", x', ['w/"a, b"', "x"]),
        ('"a", *', ['"a"', "*"]),
        ('"abc, def', ['"abc', "def"]),
        ('"a", "b, "c"', ['"a"', '"b', '"c"']),
        ("", []),
        (",,", []),
    ],
)
def test_a_list_of_tags(value: str, tags: list[str] | str) -> None:
    parsed = parse_etag_list(value)
    assert (parsed if parsed == "*" else list(map(str, parsed))) == tags


@pytest.mark.parametrize(
    ("one", "other", "weakly", "strongly"),
    [  # The table of RFC 9110 8.8.3.2, and what breaks the grammar
        ('W/"1"', 'W/"1"', True, False),
        ('W/"1"', 'W/"2"', False, False),
        ('W/"1"', '"1"', True, False),
        ('"1"', '"1"', True, True),
        ('"1"', '"2"', False, False),
        ('"a"', '"A"', False, False),
        ("abc", "abc", True, False),
        ("abc", '"abc"', False, False),
        ('w/"1"', 'w/"1"', True, False),
        ('w/"1"', '"1"', False, False),
        ('W"1"', 'W"1"', True, False),
        ('W\\"1"', 'W\\"1"', True, False),
        ('"a" "b"', '"a" "b"', True, False),
    ],
)
def test_comparison(one: str, other: str, weakly: bool, strongly: bool) -> None:
    for a, b in ((etag(one), etag(other)), (etag(other), etag(one))):
        assert weak_match(a, b) is weakly
        assert strong_match(a, b) is strongly


@given(tags)
def test_a_tag_comes_back_as_it_was_written(tag: ETag) -> None:
    assert parse_etag(str(tag)) == tag
    assert tag.well_formed
    assert weak_match(tag, tag)
    assert strong_match(tag, tag) is not tag.weak


@given(st.lists(tags, min_size=1), st.sampled_from([",", ", ", " ,\t,", ",,"]))
def test_a_list_comes_back_as_it_was_written(sent: list[ETag], comma: str) -> None:
    assert parse_etag_list(comma.join(map(str, sent))) == tuple(sent)


@given(octets)
def test_no_value_raises_and_what_a_server_sent_is_found_again(value: str) -> None:
    parse_etag_list(value)
    tag = parse_etag(value)
    if tag is not None:
        assert parse_etag(str(tag)) == tag


def test_a_quote_that_never_closes_takes_linear_time() -> None:
    assert parse_etag_list('"' * 65_001) != "*"
    assert parse_etag_list('"\\"\\' * 16_000) != "*"
