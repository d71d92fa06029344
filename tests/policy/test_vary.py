"""Which variant a request selects (RFC 9111 4.1)."""

from __future__ import annotations

import pytest

from seawall.policy.vary import matches, select, selected
from tests.policy.heads import Pairs, date, get, stored


@pytest.mark.parametrize(
    ("vary", "first", "then", "same"),
    [
        ("Foo", {"Foo": "1"}, {"Foo": "1"}, True),
        ("Foo", {"Foo": "1"}, {"fOO": "1"}, True),
        ("Foo", {"Foo": "1"}, {"Foo": "2"}, False),
        ("Foo", {"Foo": "a"}, {"Foo": "A"}, False),
        ("Foo", {"Foo": "1"}, {}, False),
        ("Foo", {}, {"Foo": "1"}, False),
        ("Foo", {}, {"Foo": ""}, False),
        ("Foo", {}, {}, True),
        ("Foo", {"Foo": "1", "Other": "2"}, {"Foo": "1", "Other": "3"}, True),
        ("Foo", {"Foo": "1, 2"}, [("Foo", "1"), ("Foo", "2")], True),
        ("Foo", {"Foo": "1,2"}, {"Foo": " 1, 2 "}, True),
        ("Foo", {"Foo": "1, 2"}, {"Foo": "2, 1"}, False),
        ("Foo, Bar", {"Foo": "1", "Bar": "a"}, {"Bar": "a", "Foo": "1"}, True),
        ("Foo, Bar", {"Foo": "1", "Bar": "a"}, {"Foo": "1"}, False),
        ("Foo, Bar, Baz", {"Foo": "1", "Baz": "7"}, {"Foo": "1", "Baz": "7"}, True),
        ("Accept-Encoding", {"Accept-Encoding": "gzip, br"}, {"Accept-Encoding": "BR,gzip"}, True),
        ("Accept-Encoding", {"Accept-Encoding": "gzip"}, {"Accept-Encoding": "gzip;q=0"}, False),
        ("Accept-Encoding", {"Accept-Encoding": "gzip"}, {"Accept-Encoding": "gzip;q=x"}, False),
        ("Accept-Language", {"Accept-Language": "en, de"}, {"Accept-Language": "eN , De"}, True),
        ("Accept-Language", {"Accept-Language": "en, de"}, {"Accept-Language": "de, en"}, True),
        ("Accept-Language", {"Accept-Language": "en, de"}, {"Accept-Language": "en"}, False),
        ("Accept-Language", {"Accept-Language": "en;q=0.5, de"}, {"Accept-Language": "en, de;q=0.5"}, False),
        ("Accept-Language", {"Accept-Language": "en"}, {}, False),
        ("Accept-Language", {}, {}, True),
    ],
)
def test_same_variant(vary: str, first: Pairs, then: Pairs, same: bool) -> None:
    entry = stored({"Cache-Control": "max-age=60", "Vary": vary}, request=get(first))
    assert matches(get(then), entry) is same
    assert (select(get(then), [entry]) is entry) is same


@pytest.mark.parametrize(
    ("asked", "same"),
    [
        ("fr;q=0.5, de;q=1.0", True),
        ("de-AT, de;q=0.9", False),
        ("de", True),
        ("de, en", True),
        ("en, de;q=0.9", False),
        ("de;q=0", False),
        ("", False),
        (None, False),
    ],
)
def test_the_language_of_the_response_decides(asked: str | None, same: bool) -> None:
    fields = {"Cache-Control": "max-age=60", "Vary": "Accept-Language", "Content-Language": "de"}
    entry = stored(fields, request=get({"Accept-Language": "fr, de;q=0.9"}))
    assert matches(get({} if asked is None else {"Accept-Language": asked}), entry) is same


def test_order_counts_again_where_the_response_says_its_language() -> None:
    fields = {"Cache-Control": "max-age=60", "Vary": "Accept-Language", "Content-Language": "en"}
    entry = stored(fields, request=get({"Accept-Language": "en, de"}))
    assert matches(get({"Accept-Language": "en, fr"}), entry)
    assert not matches(get({"Accept-Language": "de, en"}), entry)


def test_the_most_recent_of_those_that_match() -> None:
    old = stored({"Cache-Control": "max-age=60", "Date": date(-9)})
    new = stored({"Cache-Control": "max-age=60", "Date": date(-1), "Vary": "Foo"})
    assert select(get(), [old, new]) is new
    assert select(get({"Foo": "1"}), [new, old]) is old
    assert select(get(), []) is None


def test_selecting_fields_have_one_spelling() -> None:
    request = get([("B", "2"), ("B", "3"), ("Accept-Encoding", "BR , gzip")])
    assert selected({"b", "accept-encoding", "a"}, request) == (
        ("a", None),
        ("accept-encoding", "br, gzip"),
        ("b", "2, 3"),
    )
