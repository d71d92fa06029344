from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.http.cachecontrol import parse_cache_control

octets = st.text(st.characters(max_codepoint=255), max_size=60)
tokens = st.from_regex(r"\A[a-z][a-z0-9-]{0,9}\Z")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("max-age=3600", 3600),
        ("MaX-aGe=3600", 3600),
        ("foobar, max-age=3600", 3600),
        ("public,max-age=3600 , x=y", 3600),
        ("\tmax-age=3600\t", 3600),
        (",, max-age=3600,,", 3600),
        ('max-age="3600"', 3600),
        (r'max-age="\3\600"', 3600),
        ("max-age=003600", 3600),
        ("max-age=0", 0),
        ("max-age=2147483647", 2**31 - 1),
        ("max-age=2147483648", 2**31),
        ("max-age=99999999999", 2**31),
        ("max-age=" + "9" * 5000, 2**31),
        # What is malformed is a lifetime of nothing.
        ("max-age", 0),
        ("max-age=", 0),
        ('max-age=""', 0),
        ("max-age='3600'", 0),
        ("max-age =3600", 0),
        ("max-age= 3600", 0),
        ("max-age = 3600", 0),
        ("max-age=3600a", 0),
        ("max-age=a3600", 0),
        ("max-age=-3600", 0),
        ("max-age=+3600", 0),
        ("max-age=3600.0", 0),
        ("max-age=3600.5", 0),
        ("max-age=36e2", 0),
        ("max-age=3 600", 0),
        ("max-age=3600;foo", 0),
        ("max-age:3600", 0),
        ("max-age=\xb2", 0),
        ('max-age="3600', 0),
        ('max-age="3600"x', 0),
        ('max-age=" 3600"', 0),
        # Of several the safest.
        ("max-age=1800, max-age=1", 1),
        ("max-age=1, max-age=1800", 1),
        ("max-age=1800, max-age=x", 0),
        ("max-age=1800, max-age", 0),
        ("max-age=1800, max-age=1800", 1800),
        # Not directives at all.
        ('extension="max-age=3600", max-age=1', 1),
        ('max-age=1, extension="max-age=3600"', 1),
        ('extension="max-age=3600"', None),
        ('extension="a, max-age=3600, b"', None),
        (r'extension="a\", max-age=3600, b"', None),
        ('extension ="a, max-age=3600, b"', None),
        ("x-max-age=3600", None),
        ("", None),
        (None, None),
    ],
)
def test_seconds(value: str | None, seconds: int | None) -> None:
    assert parse_cache_control(value).seconds("max-age") == seconds


@pytest.mark.parametrize(
    ("value", "fields"),
    [
        ("private", ()),
        ('private="Set-Cookie"', ("set-cookie",)),
        ('Private="A, b ,,C"', ("a", "b", "c")),
        ("private=Set-Cookie", ("set-cookie",)),
        ('private="a", private="b, a"', ("a", "b")),
        ('private="a", private', ()),
        ('private, private="a"', ()),
        ('private=""', ()),
        ('private=" , "', ()),
        ("private=", ()),
        ('private="a b"', ()),
        ("private='a'", ()),
        ('private="a', ()),
        ('private ="a"', ()),
        ("public", None),
        ('x="private"', None),
        (None, None),
    ],
)
def test_fields_are_named_or_it_is_the_whole_response(value: str | None, fields: tuple[str, ...] | None) -> None:
    assert parse_cache_control(value).fields("private") == fields


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("No-Store, a=b", {"no-store", "a"}),
        # A restriction survives whatever somebody did around it.
        ('foo="bar, no-store', {"foo", "no-store"}),
        ('foo="bar, no-store, a=b', {"foo", "no-store", "a"}),
        ("private; max-age=60", {"private", "max-age"}),
        ("max-age=60; private", {"max-age", "private"}),
        ("no-cache no-store", {"no-cache", "no-store"}),
        ("no-store=", {"no-store"}),
        ("no-store=1", {"no-store"}),
        ("no-store \x00", {"no-store"}),
        ("=no-store", set()),
        ('"no-store"', set()),
        ('x="no-store" junk', {"x", "junk"}),
        ('x ="a, no-store"', {"x"}),
        ("caf\xe9, no-store", {"caf", "no-store"}),
    ],
)
def test_names(value: str, names: set[str]) -> None:
    directives = parse_cache_control(value)
    assert directives.names() == names
    assert all(name in directives for name in names)


def test_only_a_directive_without_an_argument_is_bare() -> None:
    directives = parse_cache_control("max-stale, min-fresh=3, max-age=, no-cache")
    assert [directives.bare(name) for name in ("max-stale", "min-fresh", "max-age", "no-cache", "absent")] == [
        True,
        False,
        False,
        True,
        False,
    ]


def test_no_field_is_no_directive() -> None:
    assert not parse_cache_control(None)
    assert not parse_cache_control("")
    assert parse_cache_control("x")


@given(octets)
def test_no_value_raises(value: str) -> None:
    directives = parse_cache_control(value)
    for name in directives.names():
        assert name == name.lower()
        seconds = directives.seconds(name)
        assert seconds is not None
        assert 0 <= seconds <= 2**31
        assert directives.fields(name) is not None
    assert directives.seconds("absent from all") is None


@given(octets, st.text(st.sampled_from(' ,;="\\xa'), max_size=30))
def test_no_store_as_a_first_member_always_counts(after: str, noise: str) -> None:
    assert "no-store" in parse_cache_control(f"no-store, {after}")
    assert "no-store" in parse_cache_control(f"no-store, {noise}")


@given(st.text(st.sampled_from(' ,;=\\xa"'), max_size=30))
def test_no_store_on_a_last_line_counts_unless_a_quoted_string_holds_it(before: str) -> None:
    inside = '"' in before
    assert inside or "no-store" in parse_cache_control(f"{before}, no-store")


@given(st.lists(st.tuples(tokens, st.none() | st.integers(0, 10**6)), max_size=6), st.randoms(use_true_random=False))
def test_order_case_and_white_space_do_not_matter(pairs: list[tuple[str, int | None]], random: object) -> None:
    members = [name if number is None else f"{name}={number}" for name, number in pairs]
    shuffled = [member.upper() for member in members]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = parse_cache_control(", ".join(members)), parse_cache_control(" ,\t".join(shuffled))
    assert one.names() == other.names() == {name for name, _ in pairs}
    for name in one.names():
        assert one.seconds(name) == other.seconds(name) == min(number or 0 for key, number in pairs if key == name)
        assert one.bare(name) == other.bare(name) == ((name, None) in pairs)


@given(st.lists(tokens, min_size=1, unique=True))
def test_quoted_fields_come_back_in_order(fields: list[str]) -> None:
    assert parse_cache_control(f'private="{", ".join(fields)}"').fields("private") == tuple(fields)


@pytest.mark.parametrize("hostile", ['a="' + '\\"' * 30_000, 'a ="' + '\\"' * 30_000, "a," * 30_000, "a ;" * 20_000])
def test_64_kib_of_anything_take_milliseconds(hostile: str) -> None:
    before = time.process_time()
    parse_cache_control(hostile)
    assert time.process_time() - before < 0.5  # quadratic readings of these took from one second to a minute
