from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.http.negotiation import (
    language_matches,
    normalise_accept_encoding,
    normalise_accept_language,
    normalise_list,
)

octets = st.text(st.characters(max_codepoint=255), max_size=60)
weights = st.integers(0, 1000)
members = st.lists(
    st.tuples(st.from_regex(r"\A[a-z]{2,6}(-[a-z]{2})?\Z"), weights), max_size=6, unique_by=lambda member: member[0]
)


def weighted(name: str, thousandths: int, spelling: int = 0) -> str:
    if thousandths == 1000 and spelling == 0:
        return name
    return f"{name}{' ; ' if spelling else ';'}{'Q' if spelling else 'q'}={thousandths / 1000:.3f}"


@pytest.mark.parametrize(
    ("value", "normal"),
    [
        (None, None),
        ("", ""),
        (" , ", ""),
        ("gzip", "gzip"),
        ("gzip, deflate, br", "br, deflate, gzip"),
        ("br,GZIP ,deflate,gzip", "br, deflate, gzip"),
        ("gzip;q=1.0, br;q=1", "br, gzip"),
        ("gzip; q=0.50, br ;Q=0.5", "br;q=0.5, gzip;q=0.5"),
        ("gzip;q=0", "gzip;q=0"),
        ("identity;q=0, *;q=0.000", "*;q=0, identity;q=0"),
        ("gzip;q=0.001", "gzip;q=0.001"),
        ("gzip;q=0.", "gzip;q=0"),
        # Not to be read, so left alone.
        ("Gzip;q=x, br", "gzip;q=x, br"),
        ("gzip;q=2", "gzip;q=2"),
        ("gzip;q=1.001", "gzip;q=1.001"),
        ("gzip;q=0.1234", "gzip;q=0.1234"),
        ("gzip;q=-1", "gzip;q=-1"),
        ("gzip;q", "gzip;q"),
        ("gzip;level=9", "gzip;level=9"),
        ("gzip br", "gzip br"),
        ("gzip, gzip;q=0", "gzip, gzip;q=0"),
        ("gzip;q=0, gzip", "gzip;q=0, gzip"),
    ],
)
def test_accept_encoding_is_a_weighted_set(value: str | None, normal: str | None) -> None:
    assert normalise_accept_encoding(value) == normal


@pytest.mark.parametrize(
    ("value", "normal"),
    [
        (None, None),
        ("", ""),
        ("en, de", "en, de"),
        ("de, en", "de, en"),
        ("eN ,   De", "en, de"),
        ("en;q=0.5, de", "de, en;q=0.5"),
        ("de, en;q=0.5", "de, en;q=0.5"),
        ("de;q=1.000,en;q=0.50", "de, en;q=0.5"),
        ("en-GB, en;q=0.9, *;q=0.1, fr;q=0", "en-gb, en;q=0.9, *;q=0.1, fr;q=0"),
        ("en, de, EN", "en, de"),
        ("EN;q=high, de", "en;q=high, de"),
        ("en, de, en;q=0.1", "en, de, en;q=0.1"),
    ],
)
def test_accept_language_falls_by_weight_then_as_it_came(value: str | None, normal: str | None) -> None:
    assert normalise_accept_language(value) == normal


@given(members, st.randoms(use_true_random=False))
def test_the_spelling_of_accept_encoding_does_not_matter(wanted: list[tuple[str, int]], random: object) -> None:
    plain = ", ".join(weighted(*member) for member in wanted)
    shuffled = wanted + wanted[:1]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    odd = " ,,\t".join(weighted(name.upper(), weight, 1) for name, weight in shuffled)
    assert normalise_accept_encoding(plain) == normalise_accept_encoding(odd)


@given(members, members)
def test_different_sets_of_encodings_stay_different(one: list[tuple[str, int]], other: list[tuple[str, int]]) -> None:
    same = normalise_accept_encoding(", ".join(weighted(*member) for member in one)) == normalise_accept_encoding(
        ", ".join(weighted(*member) for member in other)
    )
    assert same is (set(one) == set(other))


@given(members)
def test_the_spelling_of_accept_language_does_not_matter(wanted: list[tuple[str, int]]) -> None:
    plain = ", ".join(weighted(*member) for member in wanted)
    falling = sorted(wanted, key=lambda member: -member[1])
    odd = " ,\t".join(weighted(name.upper(), weight, 1) for name, weight in falling)
    assert normalise_accept_language(plain) == normalise_accept_language(odd)


@given(octets)
def test_no_value_raises_and_a_normal_form_is_its_own(value: str) -> None:
    for normalise in (normalise_accept_encoding, normalise_accept_language, normalise_list):
        normal = normalise(value)
        assert normal is not None
        assert normalise(normal) == normal


@given(octets)
def test_a_malformed_value_never_passes_for_a_well_formed_one(value: str) -> None:
    spoiled = f"{value}, gzip;q=x"
    assert normalise_accept_encoding(spoiled) == spoiled.strip(" \t").lower()


def test_an_endless_list_is_compared_but_not_read() -> None:
    many = ", ".join(f"X{number}" for number in range(70))
    assert normalise_accept_encoding(many) == many.lower()
    long = "gzip" + " " * 2000 + ", br"
    assert normalise_accept_encoding(long) == long


@pytest.mark.parametrize(
    ("accepted", "content", "matches"),
    [
        ("de", "de", True),
        ("DE", "de-CH", True),
        ("de-CH", "de", False),
        ("de", "den", False),
        ("fr;q=0.5, de;q=1.0", "de", True),
        ("fr;q=0.5, de;q=1.0", "fr", False),
        ("en, de", "en", True),
        ("en, de", "de", False),  # acceptable, but not what it would have first
        ("en, de", "en, de", True),
        ("de;q=0", "de", False),
        ("*", "de", True),
        ("*, de;q=0", "de", False),
        ("*, de;q=0", "de-CH", False),
        ("*, de;q=0, de-CH;q=0.1", "de-CH", True),
        ("de, de-CH;q=0", "de-CH", False),
        ("de, *;q=0", "de", True),
        ("*;q=0, i", "i-klingon", True),
        ("de, *;q=0", "fr", False),
        ("", "de", False),
        (None, "de", False),
        ("de", None, False),
        ("de", "", False),
        ("de;q=x", "de", False),
        ("de, fr, de;q=0.1", "de", False),
        ("de_CH", "de_CH", False),
        ("de-*", "de-CH", False),
        ("*", "not a language", False),
    ],
)
def test_content_language_is_the_first_choice(accepted: str | None, content: str | None, matches: bool) -> None:
    assert language_matches(accepted, content) is matches


@given(members, octets)
def test_choosing_a_language_never_raises_and_depends_on_meaning_only(wanted: list[tuple[str, int]], text: str) -> None:
    language_matches(text, text)
    value = ", ".join(weighted(*member) for member in wanted)
    for name, weight in wanted:
        chosen = language_matches(value, name)
        assert chosen is language_matches(normalise_accept_language(value), name.upper())
        assert not chosen or weight > 0


@pytest.mark.parametrize(
    ("value", "normal"),
    [
        (None, None),
        ("", ""),
        ("1,2", "1, 2"),
        (" 1, 2 ", "1, 2"),
        ("1\t ,2", "1, 2"),
        ("a  b", "a  b"),
        ("A,b", "A, b"),
        ("1,,2", "1, , 2"),
        ('a="x , y" ,b', 'a="x , y", b'),
        (r'"x\" , y" ,b', r'"x\" , y", b'),
        ('a , "x , y', 'a, "x , y'),
        ("Mozilla/5.0 (X11; Linux x86_64)", "Mozilla/5.0 (X11; Linux x86_64)"),
    ],
)
def test_any_other_field_keeps_all_but_the_white_space_around_commas(value: str | None, normal: str | None) -> None:
    assert normalise_list(value) == normal


@pytest.mark.parametrize("hostile", ['"' + '\\"' * 32_000, " " * 65_000 + "x", ", " * 32_000])
def test_64_kib_of_anything_take_linear_time(hostile: str) -> None:
    assert normalise_list(hostile) is not None
