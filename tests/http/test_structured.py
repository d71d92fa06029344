from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

import http_sf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.http.structured import (
    BareItem,
    Date,
    DisplayString,
    InnerList,
    Item,
    Member,
    Token,
    parse_dictionary,
    parse_item,
    parse_list,
    serialize_dictionary,
    serialize_item,
    serialize_key,
    serialize_list,
    serialize_string,
    serialize_token,
)

# --- bare items ---


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("42", 42),
        ("-42", -42),
        ("0042", 42),
        ("-0", 0),
        ("999999999999999", 999999999999999),
        ("-999999999999999", -999999999999999),
        ("4.5", Decimal("4.5")),
        ("-0.125", Decimal("-0.125")),
        ("1.0", Decimal(1)),
        ("999999999999.999", Decimal("999999999999.999")),
        ('"hello world"', "hello world"),
        ('""', ""),
        (r'"a \"quoted\" \\ word"', 'a "quoted" \\ word'),
        ("foo123/456", Token("foo123/456")),
        ("*", Token("*")),
        ("a:b", Token("a:b")),
        ("A~!#$%&'*+-.^_`|", Token("A~!#$%&'*+-.^_`|")),
        (":cHJldGVuZCB0aGlzIGlzIGJpbmFyeSBjb250ZW50Lg==:", b"pretend this is binary content."),
        ("::", b""),
        (":aGVsbG8=:", b"hello"),
        (":aGVsbG8:", b"hello"),  # padding is synthesised
        (":iZ==:", b"\x89"),  # pad bits that are not zero
        ("?1", True),
        ("?0", False),
        ("@1659578233", Date(1659578233)),
        ("@-1", Date(-1)),
        (
            '%"This is intended for display to %c3%bcsers."',
            DisplayString("This is intended for display to \xfcsers."),
        ),
        ('%"%25%22"', DisplayString('%"')),
        ('%"\\"', DisplayString("\\")),
        ('%""', DisplayString("")),
        ("  1  ", 1),
    ],
)
def test_bare_items(text: str, value: BareItem) -> None:
    item = parse_item(text)
    assert item is not None
    assert item.value == value
    assert type(item.value) is type(value)  # 1, True and Decimal(1) are equal to Python, not to us
    assert not item.params


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "-",
        "--1",
        "+1",
        "- 1",
        "1000000000000000",
        "0000000000000001",
        "1.",
        "-1.",
        ".5",
        "1.5.1",
        "1.2345",
        "1234567890123.1",
        "1e5",
        "\xb2",
        "٤",
        '"',
        '"open',
        '"a" b',
        '"\\n"',
        '"tab\t"',
        '"\x7f"',
        '"\xfc"',
        '"a\\',
        "'single'",
        "&&&&&",
        "=a",
        "a b",
        "a\t",
        "\ta",
        "a,b",
        "\xfc",
        ":aGVsbG8",
        ":=aGVsbG8=:",
        ":a=GVsbG8=:",
        ":aGVsbG8==:",
        ":YWFh=:",
        ":a:",
        ":_-Ah:",
        ":aGVs bG8=:",
        ":\xfc:",
        "?",
        "?2",
        "?true",
        "? 1",
        "?10",
        "@",
        "@1.5",
        '@"1"',
        "@@1",
        "@1000000000000000",
        '%"',
        '%"%C3%BC"',
        '%"%c3"',
        '%"%f"',
        '%"%"',
        '%"\xfc"',
        '%"\t"',
        "%a",
        "%",
        "(1 2)",
    ],
)
def test_what_is_no_item(text: str) -> None:
    assert parse_item(text) is None


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ("text/html;charset=utf-8", {"charset": Token("utf-8")}),
        ("a; b;c=1", {"b": True, "c": 1}),
        ("a;  b=?0;*x.y-z_9=2.5", {"b": False, "*x.y-z_9": Decimal("2.5")}),
        ("a;b=1;c=2;b=3", {"b": 3, "c": 2}),
    ],
)
def test_parameters(text: str, params: dict[str, BareItem]) -> None:
    item = parse_item(text)
    assert item is not None
    assert list(item.params.items()) == list(params.items())


@pytest.mark.parametrize(
    "text", ["a;", "a; ", "a;B=1", "a;b=", "a;b= 1", "a;b =1", "a ;b", "a;\tb", "a;1=2", "a;b=(1)", "a;;b"]
)
def test_what_are_no_parameters(text: str) -> None:
    assert parse_item(text) is None


# --- lists and dictionaries ---


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("", ()),
        ("  ", ()),
        ("sugar, tea, rum", (Item(Token("sugar")), Item(Token("tea")), Item(Token("rum")))),
        ("1,2\t, \t3  ", (Item(1), Item(2), Item(3))),
        (
            '("foo" "bar"), ("baz"), ("bat" "one"), ()',
            (
                InnerList((Item("foo"), Item("bar"))),
                InnerList((Item("baz"),)),
                InnerList((Item("bat"), Item("one"))),
                InnerList(()),
            ),
        ),
        (
            '("foo"; a=1;b=2);lvl=5, ( "bar"  "baz" );lvl=1',
            (
                InnerList((Item("foo", {"a": 1, "b": 2}),), {"lvl": 5}),
                InnerList((Item("bar"), Item("baz")), {"lvl": 1}),
            ),
        ),
        ('abc;a=1;b=2; cde_456, (ghi;jk=4 l);q="9";r=w', None),
    ],
)
def test_lists(text: str, members: tuple[Member, ...] | None) -> None:
    if members is None:  # the example of RFC 9651 3.1.2, whole
        members = (
            Item(Token("abc"), {"a": 1, "b": 2, "cde_456": True}),
            InnerList((Item(Token("ghi"), {"jk": 4}), Item(Token("l"))), {"q": "9", "r": Token("w")}),
        )
    assert parse_list(text) == members


@pytest.mark.parametrize(
    "text",
    [
        "1,",
        "1, ",
        ",1",
        "1,,2",
        "1 2",
        "1;",
        "(1",
        "(1 ",
        "(1,2)",
        "(1)(2)",
        "(1 (2))",
        "(1\t2)",
        '("a""b")',
        ")",
        "\t",
    ],
)
def test_what_is_no_list(text: str) -> None:
    assert parse_list(text) is None


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("", {}),
        (
            'en="Applepie", da=:w4ZibGV0w6ZydGU=:',
            {"en": Item("Applepie"), "da": Item("\xc6blet\xe6rte".encode())},
        ),
        ("a=?0, b, c; foo=bar", {"a": Item(False), "b": Item(True), "c": Item(True, {"foo": Token("bar")})}),
        (
            "rating=1.5, feelings=(joy sadness)",
            {
                "rating": Item(Decimal("1.5")),
                "feelings": InnerList((Item(Token("joy")), Item(Token("sadness")))),
            },
        ),
        ("a=1,b=2;x=1;y=2", {"a": Item(1), "b": Item(2, {"x": 1, "y": 2})}),
        # RFC 9213
        ("max-age=600", {"max-age": Item(600)}),
        ('max-age="600"', {"max-age": Item("600")}),
        ("max-age=1.5", {"max-age": Item(Decimal("1.5"))}),
        ("max-age=60, no-store, max-age=10", {"max-age": Item(10), "no-store": Item(True)}),
        ("no-store", {"no-store": Item(True)}),
        ("foobar, max-age=3600", {"foobar": Item(True), "max-age": Item(3600)}),
    ],
)
def test_dictionaries(text: str, members: dict[str, Member]) -> None:
    parsed = parse_dictionary(text)
    assert parsed is not None
    assert list(parsed.items()) == list(members.items())


@pytest.mark.parametrize(
    "text",
    [
        "max-age=10000, &&&&&",
        "MaX-aGe=3600",
        "max-age =100",
        "max-age= 100",
        "max-age=",
        "max-age=60,",
        ",max-age=60",
        "max-age=60 s-maxage=60",
        "max-age=60; ",
        "=60",
        "9a=1",
        "max-age=99999999999999999",
        "max-age=-",
        "private='a'",
        "a=(1",
    ],
)
def test_a_flaw_anywhere_makes_the_whole_dictionary_invalid(text: str) -> None:
    assert parse_dictionary(text) is None


def test_a_directive_alone_is_no_integer() -> None:
    parsed = parse_dictionary("max-age")
    assert parsed is not None
    member = parsed["max-age"]
    assert isinstance(member, Item)
    assert type(member.value) is bool


# --- writing ---


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Item(Token("hit"), {"ttl": 376}), "hit;ttl=376"),
        (Item("a name", {"hit": True, "detail": Token("stale-if-error")}), '"a name";hit;detail=stale-if-error'),
        (True, "?1"),
        (1, "1"),
        (Decimal("1.5000"), "1.5"),
        (Decimal(2), "2.0"),
        (Decimal("0.0005"), "0.0"),  # half to even
        (Decimal("0.0015"), "0.002"),
        (Decimal("1E+3"), "1000.0"),
        (b"hello", ":aGVsbG8=:"),
        (Date(-5), "@-5"),
        (DisplayString('\xfc%"'), '%"%c3%bc%25%22"'),
        ('a"b\\c', r'"a\"b\\c"'),
    ],
)
def test_items_are_written(value: Item | BareItem, text: str) -> None:
    assert serialize_item(value) == text


@pytest.mark.parametrize(
    "value",
    [
        10**15,
        -(10**15),
        Decimal(10**12),
        Decimal("999999999999.9996"),
        Decimal("1E+40"),
        Decimal("NaN"),
        Decimal("Infinity"),
        "\xfc",
        "line\n",
        Token(""),
        Token("a b"),
        Token("1a"),
        Token("a\n"),
        Date(10**15),
        Item(1, {"Upper": 1}),
        Item(1, {"": 1}),
        DisplayString("\ud800"),
    ],
)
def test_what_no_structured_field_can_say_is_our_mistake(value: Item | BareItem) -> None:
    with pytest.raises(ValueError):
        serialize_item(value)


def test_the_single_writers() -> None:
    assert (serialize_key("a*"), serialize_token("*/*"), serialize_string("x")) == ("a*", "*/*", '"x"')


# --- properties, and another implementation as a witness ---

keys = st.from_regex(r"\A[a-z*][a-z0-9_.*-]{0,8}\Z")
integers = st.integers(-(10**15) + 1, 10**15 - 1)
bare_items: st.SearchStrategy[BareItem] = st.one_of(
    st.booleans(),
    integers,
    st.decimals(-999999999999, 999999999999, places=3),
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=12),
    st.from_regex(r"\A[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]{0,12}\Z").map(Token),
    st.binary(max_size=12),
    integers.map(Date),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8).map(DisplayString),
)
params = st.dictionaries(keys, bare_items, max_size=3)
items = st.builds(Item, bare_items, params)
members = st.one_of(items, st.builds(InnerList, st.lists(items, max_size=3).map(tuple), params))
# Whole phrases among the characters that the grammar hangs on, so that a good part of it is valid.
PHRASES = [
    "a=1",
    "b",
    "c=",
    "1",
    "-1.5",
    '"x"',
    ":YQ==:",
    '%"%c3%bc"',
    "@12",
    "?1",
    ";q=1",
    ";p",
    ", ",
    "(a 2)",
    "(",
    ")",
]
nearly = st.lists(st.sampled_from([*PHRASES * 3, *"aZ1-.,;=()\"':?@%* \t\\\xfc"]), max_size=7).map("".join)


@given(items)
def test_an_item_comes_back_as_it_was_written(item: Item) -> None:
    assert parse_item(serialize_item(item)) == item


@given(st.lists(members, min_size=1, max_size=4).map(tuple))
def test_a_list_comes_back_as_it_was_written(sent: tuple[Member, ...]) -> None:
    assert parse_list(serialize_list(sent)) == sent


@given(st.dictionaries(keys, members, min_size=1, max_size=4))
def test_a_dictionary_comes_back_as_it_was_written(sent: dict[str, Member]) -> None:
    parsed = parse_dictionary(serialize_dictionary(sent))
    assert parsed is not None
    assert list(parsed.items()) == list(sent.items())


@given(st.text(max_size=40) | nearly)
def test_no_value_raises_and_what_is_read_can_be_written(value: str) -> None:
    item = parse_item(value)
    assert item is None or parse_item(serialize_item(item)) == item
    listed = parse_list(value)
    assert listed is None or parse_list(serialize_list(listed)) == listed
    dictionary = parse_dictionary(value)
    assert dictionary is None or parse_dictionary(serialize_dictionary(dictionary)) == dictionary


def plain(value: object) -> object:
    """Both implementations' values as nested tuples."""
    match value:
        case Item():
            return plain(value.value), plain(value.params)
        case InnerList():
            return tuple(map(plain, value.items)), plain(value.params)
        case Token() | http_sf.Token():
            return "token", str(value.value) if isinstance(value, Token) else str(value)
        case DisplayString():
            return "display", value.text
        case http_sf.DisplayString():
            return "display", str(value)
        case Date():
            return "date", value.seconds
        case datetime():
            return "date", int(value.timestamp())
        case dict():
            return tuple((key, plain(member)) for key, member in value.items())
        case tuple() | list():
            return tuple(map(plain, value))
        case _:
            return type(value).__name__, value


DOORS: dict[str, Callable[[str], object]] = {"item": parse_item, "list": parse_list, "dictionary": parse_dictionary}


@pytest.mark.parametrize("kind", DOORS)
@given(value=nearly)
def test_another_implementation_reads_the_same(kind: str, value: str) -> None:
    ours = DOORS[kind](value)
    try:
        theirs = http_sf.parse(value.encode("latin-1"), tltype=kind)
    except (ValueError, OverflowError):
        assert ours is None
    else:
        assert ours is not None
        assert plain(ours) == plain(theirs)
