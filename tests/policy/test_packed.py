"""A head as octets gives back the fields that it was made of."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.http.headers import Headers, headers
from seawall.policy.entry import Entry
from seawall.policy.packed import pack, unpack
from seawall.policy.trace import APPENDED, INTERNAL

latin = st.characters(max_codepoint=255)
names = st.sampled_from(["Date", "X-A", "x-a", "Via", "via", "Cache-Status", "X-Cache", "Content-Length", "Cache-Tag"])
lines = st.lists(st.tuples(names | st.text(latin, max_size=5), st.text(latin, max_size=8)), max_size=8)


def by_name(fields: Headers) -> dict[str, list[tuple[str, str]]]:
    """The lines of each name in their order; lines of different names have none (RFC 9110 5.3)."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name, value in fields.items():
        found.setdefault(name.lower(), []).append((str(name), value))
    return found


def entry(fields: Headers, **more: object) -> Entry:
    return Entry("GET", 200, "OK", fields, (), 1, 2, 3, 4, 5, 6, 7, **more)  # type: ignore[arg-type]


@given(lines)
def test_what_is_packed_comes_back(pairs: list[tuple[str, str]]) -> None:
    fields = headers(pairs)
    packed = pack(fields)
    if packed is not None:
        assert by_name(unpack(packed.octets)) == by_name(fields)
        assert pack(unpack(packed.octets)).octets == packed.octets  # type: ignore[union-attr]


@given(lines)
def test_an_entry_gives_back_what_it_was_made_of(pairs: list[tuple[str, str]]) -> None:
    fields = headers(pairs)
    one = entry(fields)
    assert by_name(one.headers) == by_name(fields)
    assert one.head_bytes == sum(len(name) + len(value) for name, value in pairs)
    again = replace(one, invalidated=True, fresh_until=9.5)
    assert (again.invalidated, again.fresh_until, again.span[:2]) == (True, 9.5, (3.0, 9.5))
    assert replace(again, invalidated=False, fresh_until=4) == one


@pytest.mark.parametrize(
    ("pairs", "line"),
    [
        ([("Date", "x"), ("A", "b")], b"HTTP/1.1 200 OK\r\n"),
        ([("A", "b")], None),
        ([], None),
        ([("Date", "x"), ("Connection", "close")], None),
        ([("Date", "x"), ("TE", "trailers")], None),
        ([("Date", "x"), ("Upgrade", "h2c")], None),
        ([("Date", "x"), ("age", "1")], None),
        ([("Date", "x"), ("A", "b\r\nC: d")], None),
        ([("Date", "x"), ("A", "b\0")], None),
        ([("Date", "x"), ("A: b", "c")], None),
        ([("Date", "x"), ("A", "\u20ac")], None),
    ],
)
def test_only_a_head_that_could_go_out_as_it_is_says_so(pairs: list[tuple[str, str]], line: bytes | None) -> None:
    assert entry(headers(pairs)).kind.line == line


def test_what_is_for_caches_or_joined_with_ours_stands_behind_the_empty_line() -> None:
    packed = pack(
        headers(
            [
                ("Surrogate-Key", "t"),
                ("X-Cache", "HIT"),
                ("Date", "x"),
                ("Content-Length", "1"),
                ("Via", "v"),
                ("A", "b"),
            ]
        )
    )
    assert packed is not None
    assert (
        packed.octets == b"Date: x\r\nA: b\r\n\r\nX-Cache: HIT\r\nVia: v\r\nSurrogate-Key: t\r\nContent-Length: 1\r\n"
    )
    assert (packed.shown_bytes, packed.plain, packed.traced) == (15, True, True)


@given(lines)
def test_a_remembered_layout_says_what_a_walk_over_the_lines_would(pairs: list[tuple[str, str]]) -> None:
    """The octets line by line, as a witness that shares nothing with the layouts."""
    for fields in (headers(pairs), headers((name.lower(), value) for name, value in pairs), headers(pairs[::-1])):
        found, expected = pack(fields), walked(fields)
        seen = None if found is None else (found.octets, found.shown_bytes, found.plain, found.traced)
        assert seen == expected


def walked(fields: Headers) -> tuple[bytes, int, bool, bool] | None:
    parts: dict[str, list[str]] = {"shown": [], "traced": [], "rest": []}
    told: list[str] = []
    for name, value in fields.items():
        lower = name.lower()
        where = "traced" if lower in APPENDED else "rest" if lower in {*INTERNAL, "content-length"} else "shown"
        parts[where].append(f"{name}: {value}\r\n")
        told.append(lower)
        if not name or any(mark in name for mark in ":\r\n\0") or any(mark in value for mark in "\r\n\0"):
            return None
    if not parts["shown"]:
        return None
    shown = "".join(parts["shown"])
    octets = "".join([shown, "\r\n", *parts["traced"], *parts["rest"]]).encode("latin-1")
    odd = {"age", "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
    return octets, len(shown), "date" in told and odd.isdisjoint(told), bool(parts["traced"])


@pytest.mark.parametrize(
    "pairs",
    [
        [("Date", "x"), ("Link", "1"), ("link", "2")],  # as many lines as the next, and one name less
        [("Date", "x"), ("Link", "1"), ("Lint", "2")],
        [("Date", "%s"), ("100%s", "%"), ("%(a)s", "%%"), ("{0}", "{")],
        [("Content-Length", "1"), ("Date", "x"), ("x" * 600, "longer than what is remembered")],
        [("Via", "a"), ("Date", "x"), ("Via", "b"), ("Content-Length", "1"), ("X-Cache", "c")],
        [("Date", "x")],
    ],
)
def test_names_that_could_be_taken_for_others(pairs: list[tuple[str, str]]) -> None:
    for _ in range(2):
        packed = pack(headers(pairs))
        assert packed is not None
        assert (packed.octets, packed.shown_bytes, packed.plain, packed.traced) == walked(headers(pairs))


def test_a_name_with_a_line_feed_is_not_the_two_names_that_it_looks_like() -> None:
    assert pack(headers([("Date", "x"), ("A", "b")])) is not None
    assert pack(headers([("Date\nA", "x")])) is None
    assert pack(headers([("Date\nA", "x"), ("B", "y")])) is None
    assert pack(headers([("Date", "x"), ("A", "b")])) is not None
