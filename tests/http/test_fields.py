from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.http.fields import (
    MAX_DELTA_SECONDS,
    delta_seconds,
    is_token,
    parse_age,
    parse_cache_tag,
    parse_content_length,
    parse_surrogate_key,
    parse_vary,
)

octets = st.text(st.characters(max_codepoint=255), max_size=60)
names = st.from_regex(r"\A[A-Za-z][A-Za-z0-9-]{0,9}\Z")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        (" , ,", None),
        ("0", 0),
        ("007200", 7200),
        ("7200,0", 7200),
        ("0, 7200", 0),
        (", 7200", 7200),
        (" 7200 ", 7200),
        ("-7200", None),
        ("+7200", None),
        ("7200.0", None),
        ("7200;foo=bar", None),
        ("abc, 7200", None),
        ("7 200", None),
        ("\xb2", None),
        ("2147483647", 2**31 - 1),
        ("2147483648", 2**31),
        ("2147483649", 2**31),
        ("99999999999", 2**31),
        ("9" * 5000, 2**31),
        ("0" * 5000 + "5", 5),
    ],
)
def test_age_is_its_first_member_clamped_and_anything_but_digits_is_none(
    value: str | None, seconds: int | None
) -> None:
    assert parse_age(value) == seconds


@given(st.integers(min_value=0))
def test_delta_seconds_reads_every_count_up_to_the_clamp(count: int) -> None:
    assert delta_seconds(str(count)) == min(count, MAX_DELTA_SECONDS)


@pytest.mark.parametrize(
    ("value", "fields"),
    [
        (None, ()),
        ("", ()),
        (" , ", ()),
        ("Foo", ("foo",)),
        ("Foo, bar ,FOO,,Baz", ("bar", "baz", "foo")),
        ("*", "*"),
        ("*, *", "*"),
        (", *", "*"),
        ("*, Foo", "*"),
        ("Foo, *", "*"),
        ("Foo\t,\t*\t", "*"),
        ("Foo; *", "*"),
        ("Accept Encoding", "*"),
        ("caf\xe9", "*"),
        ("*-ish", ("*-ish",)),
    ],
)
def test_vary_is_a_sorted_set_and_a_star_anywhere_is_all_of_it(value: str | None, fields: object) -> None:
    assert parse_vary(value) == fields


@given(st.lists(names), st.randoms(use_true_random=False))
def test_vary_does_not_depend_on_order_case_or_repetition(fields: list[str], random: object) -> None:
    shuffled = [field.swapcase() for field in fields + fields[:2]]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert parse_vary(", ".join(fields)) == parse_vary(" ,".join(shuffled))


@given(octets, octets)
def test_a_star_makes_any_vary_a_star(before: str, after: str) -> None:
    assert parse_vary(f"{before}, *, {after}") == "*"


@pytest.mark.parametrize(
    ("lines", "length"),
    [
        ([], None),
        (["0"], 0),
        (["42"], 42),
        (["0042"], 42),
        (["9223372036854775807"], 2**63 - 1),
        (["9223372036854775808"], None),
        (["9" * 5000], None),
        (["42", "42"], None),
        (["42, 42"], None),
        (["42,"], None),
        (["+42"], None),
        (["-1"], None),
        (["4_2"], None),
        (["0x2a"], None),
        (["42 "], None),
        ([""], None),
        (["\xb2"], None),
        (["4\n2"], None),
        (["42\n"], None),
        (["٤٢"], None),
    ],
)
def test_content_length_is_one_line_of_digits_or_refused(lines: list[str], length: int | None) -> None:
    assert parse_content_length(lines) == length


@pytest.mark.parametrize(
    ("value", "tags"),
    [
        (None, ()),
        ("", ()),
        ("a", ("a",)),
        (" a  b\tc a ", ("a", "b", "c")),
        ("A a", ("A", "a")),
        ("a b, c d", ("a", "b", "c", "d")),  # two lines, joined
        ("product/1,2", ("product/1,2",)),
        (", ,", ()),
    ],
)
def test_surrogate_keys_are_divided_by_white_space(value: str | None, tags: tuple[str, ...]) -> None:
    assert parse_surrogate_key(value) == tags


@pytest.mark.parametrize(
    ("value", "tags"),
    [
        (None, ()),
        ("", ()),
        ("a,b , c,,a", ("a", "b", "c")),
        ("A, a", ("A", "a")),
        ("two words, b", ("two words", "b")),
    ],
)
def test_cache_tags_are_divided_by_commas(value: str | None, tags: tuple[str, ...]) -> None:
    assert parse_cache_tag(value) == tags


@given(st.lists(st.from_regex(r"\A[!-+\--~]{1,12}\Z"), unique=True))
def test_tags_come_back_as_they_were_sent(tags: list[str]) -> None:
    assert parse_surrogate_key(" ".join(tags)) == tuple(tags)
    assert parse_cache_tag(", ".join(tags)) == tuple(tags)


@pytest.mark.parametrize(("text", "token"), [("", False), ("a", True), ("!#'*~", True), ("a b", False), ("a\n", False)])
def test_token(text: str, token: bool) -> None:
    assert is_token(text) is token


@given(octets)
def test_no_value_raises(value: str) -> None:
    age = parse_age(value)
    assert age is None or 0 <= age <= MAX_DELTA_SECONDS
    length = parse_content_length([value])
    assert length is None or int(value) == length
    parse_vary(value)
    assert all(tag and " " not in tag for tag in parse_surrogate_key(value))
    assert all(tag and "," not in tag for tag in parse_cache_tag(value))
