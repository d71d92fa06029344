"""The header map, and what of it goes no further."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.http.headers import HOP_BY_HOP, connection_options, end_to_end, headers, without

latin = st.text(st.characters(max_codepoint=255), max_size=4)
names = st.sampled_from(["A", "a", "B", "b", "C", "Te", "Connection", "Keep-Alive"]) | latin
lines = st.lists(st.tuples(names, latin), max_size=12)


@given(lines, st.sets(st.sampled_from(["a", "b", "c", "te", "connection", ""]) | latin.map(str.lower)))
def test_what_is_left_without_some_names_is_the_other_lines_in_their_order(
    pairs: list[tuple[str, str]], dropped: set[str]
) -> None:
    whole = headers(pairs)
    rest = without(whole, dropped)
    assert list(rest.items()) == [pair for pair in pairs if pair[0].lower() not in dropped]
    assert len(rest) == len(list(rest.items()))
    assert list(whole.items()) == pairs, "the map itself was changed"


@given(lines)
def test_end_to_end_is_what_neither_the_rfc_nor_connection_keeps_here(pairs: list[tuple[str, str]]) -> None:
    whole = headers(pairs)
    gone = HOP_BY_HOP | connection_options(whole)
    assert list(end_to_end(whole).items()) == [pair for pair in pairs if pair[0].lower() not in gone]


@pytest.mark.parametrize(
    ("values", "options"),
    [
        ([], set()),
        ([""], set()),
        ([", ,"], set()),
        (["Close"], {"close"}),
        (["close, X-Foo"], {"close", "x-foo"}),
        (["close", "X-Foo"], {"close", "x-foo"}),
        (["keep-alive ,\tFoo" + ", a" * 1000], {"keep-alive", "foo", "a"}),
    ],
)
def test_the_options_of_connection(values: list[str], options: set[str]) -> None:
    for _ in range(2):  # read, and remembered
        assert connection_options(headers([("Connection", value) for value in values])) == options
