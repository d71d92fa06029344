"""Which stored responses an order concerns: exactly those that it names."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.purge.order import Order, concerns, decode, encode, keyed
from seawall.purge.selection import Selection, parse_selection

KEY = "http://a.example/x?q=1"


def selecting(**body: object) -> Selection:
    selection = parse_selection(body)
    assert isinstance(selection, Selection), selection
    return selection


@pytest.mark.parametrize(
    ("body", "key", "tags", "concerned"),
    [
        ({"urls": [KEY]}, KEY, (), True),
        ({"urls": [KEY]}, "http://a.example/x?q=12", (), False),
        ({"urls": [KEY]}, "http://a.example/x", (), False),
        ({"urls": [KEY]}, "https://a.example/x?q=1", (), False),
        ({"urls": ["http://a.example/X?q=1"]}, KEY, (), False),
        ({"urls": ["http://a.example/."]}, "http://a.example/x", (), False),
        # A route adds headers and cookies to the key behind a line feed.
        ({"urls": [KEY]}, KEY + "\nx-device: phone", (), True),
        ({"urls": ["http://a.example/x"]}, KEY + "\nx-device: phone", (), False),
        ({"tags": ["items"]}, KEY, ("items",), True),
        ({"tags": ["items"]}, KEY, ("a", "items", "b"), True),
        ({"tags": ["items"]}, KEY, ("items/1",), False),
        ({"tags": ["items/1"]}, KEY, ("items",), False),
        ({"tags": ["Items"]}, KEY, ("items",), False),
        ({"tags": [".*"]}, KEY, ("items",), False),
        ({"tags": [".*"]}, KEY, (".*",), True),
        ({"tags": ["é"]}, KEY, ("\xc3\xa9",), True),
        ({"tags": ["items"]}, KEY, (), False),
        ({"tags": [KEY]}, KEY, (), False),
        ({"urls": [KEY]}, "http://b.example/", (KEY,), False),
        ({"prefixes": ["http://a.example/"]}, KEY, (), True),
        ({"prefixes": ["http://a.example"]}, "http://a.example.evil/x", (), False),
        ({"prefixes": ["http://a.example"]}, "http://a.example:8080/x", (), False),
        ({"prefixes": ["http://a.example/x"]}, KEY, (), True),
        ({"prefixes": ["http://a.example/x"]}, "http://a.example/xy", (), True),
        ({"prefixes": ["http://a.example/x/"]}, KEY, (), False),
        ({"prefixes": ["http://a.example/x"]}, "https://a.example/x", (), False),
        ({"prefixes": ["a.example/x"]}, "https://a.example/x", (), True),
        ({"prefixes": ["a.example/x"]}, "http://a.example/x", (), True),
        ({"prefixes": ["a.example:443/x"]}, "https://a.example/x", (), True),
        ({"prefixes": ["a.example:443/x"]}, "http://a.example:443/x", (), True),
        ({"prefixes": ["a.example:443/x"]}, "http://a.example/x", (), False),
        ({"hosts": ["a.example"]}, KEY, (), True),
        ({"hosts": ["a.example"]}, "https://a.example/", (), True),
        ({"hosts": ["a.example"]}, "http://a.example:8080/", (), False),
        ({"hosts": ["a.example"]}, "http://b.a.example/", (), False),
        ({"hosts": ["a.example"]}, "http://a.example.b/", (), False),
        ({"hosts": ["a.example"]}, "http://b.example/http://a.example/", (), False),
        ({"hosts": ["a.example:8080"]}, "http://a.example:8080/x", (), True),
        ({"hosts": ["a.example:80"]}, "http://a.example/x", (), True),
        ({"hosts": ["a.example:80"]}, "https://a.example/x", (), False),
        ({"hosts": ["[::1]:8080"]}, "http://[::1]:8080/x", (), True),
        ({"all": True}, "anything", (), True),
        ({"tags": ["t"], "urls": [KEY]}, KEY, (), True),
        ({"tags": ["t"], "hosts": ["b.example"]}, KEY, ("t",), True),
        ({"tags": ["t"], "hosts": ["b.example"]}, KEY, ("u",), False),
    ],
)
def test_an_order_concerns_what_it_names_and_nothing_else(
    body: dict[str, object], key: str, tags: tuple[str, ...], concerned: bool
) -> None:
    order = Order(1, 0.0, selecting(**body))
    assert concerns(order, key, tags) is concerned
    assert concerns(order, key, frozenset(tags)) is concerned


octets = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), min_size=1)
names = st.lists(octets, max_size=4).map(tuple)
orders = st.builds(
    Order,
    st.integers(1, 2**53),
    st.floats(0, 4e9),
    st.builds(Selection, urls=names, tags=names, prefixes=names, hosts=names, all=st.booleans()),
    st.booleans(),
)


@given(orders)
def test_an_order_survives_its_line(order: Order) -> None:
    line = encode(order)
    assert b"\n" not in line
    assert decode(line) == order


@given(st.lists(octets, min_size=1, max_size=5), st.lists(octets, max_size=5))
def test_tags_are_compared_as_sets_of_octets(named: list[str], carried: list[str]) -> None:
    order = Order(1, 0.0, Selection(tags=tuple(named)))
    assert concerns(order, KEY, tuple(carried)) is bool(set(named) & set(carried))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"{}",
        b'{"number":1,"at":0.0,"what":{"all":true},"softly":true}',
        b'{"number":1,"at":0.0,"what":{"all":true,"regex":["x"]}}',
        b'{"number":"1","at":0.0,"what":{}}',
    ],
)
def test_an_order_that_is_not_wholly_understood_is_not_read(line: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(line)


def test_urls_are_compared_as_the_routes_of_this_node_key_them() -> None:
    what = selecting(urls=["http://a.example/x?utm=1", "http://a.example/x?utm=2"], tags=["t"])
    assert keyed(what, lambda url: url.partition("?")[0]) == selecting(urls=["http://a.example/x"], tags=["t"])
    only_tags = selecting(tags=["t"])
    assert keyed(only_tags, lambda url: url) is only_tags
