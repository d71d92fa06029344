from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.http.ranges import (
    MAX_RANGES,
    ContentRange,
    RangeSpec,
    format_content_range,
    parse_content_range,
    parse_range,
    resolve,
)

octets = st.text(st.characters(max_codepoint=255), max_size=60)
positions = st.integers(0, 60)
specs = st.one_of(
    st.builds(lambda a, b: RangeSpec(min(a, b), max(a, b)), positions, positions),
    st.builds(RangeSpec, positions, st.none()),
    st.builds(RangeSpec, st.none(), positions),
)


def written(spec: RangeSpec) -> str:
    return f"{'' if spec.first is None else spec.first}-{'' if spec.last is None else spec.last}"


@pytest.mark.parametrize(
    ("value", "parsed"),
    [
        ("bytes=0-0", [(0, 0)]),
        ("bytes=0-499", [(0, 499)]),
        ("BYTES=500-", [(500, None)]),
        ("bytes=-500", [(None, 500)]),
        ("bytes=-0", [(None, 0)]),
        ("bytes=0-0,-1", [(0, 0), (None, 1)]),
        ("bytes=0-0 , 5-9\t,,", [(0, 0), (5, 9)]),
        ("bytes=000-0009", [(0, 9)]),
        ("bytes=0-" + "9" * 5000, [(0, 10**18)]),
        ("bytes=" + "9" * 5000 + "-", [(10**18, None)]),
    ],
)
def test_ranges_of_bytes(value: str, parsed: list[tuple[int | None, int | None]]) -> None:
    assert parse_range(value) == tuple(RangeSpec(first, last) for first, last in parsed)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=5-3",
        "bytes=0-1,5-3",
        "bytes=0-1,x",
        "bytes=0-1;2-3",
        "bytes=a-b",
        "bytes=+1-2",
        "bytes=0x0-1",
        "bytes=0 - 1",
        "bytes=0-1-2",
        "bytes=--1",
        "bytes=0",
        "bytes =0-1",
        "bytes:0-1",
        " bytes=0-1",
        "items=0-1",
        "bytess=0-1",
        "bytes=\xb2-",
        "bytes=0-1\n",
    ],
)
def test_what_cannot_be_read_is_ignored(value: str) -> None:
    assert parse_range(value) is None


def test_more_than_the_maximum_is_ignored_whole() -> None:
    assert len(parse_range("bytes=" + "0-0," * MAX_RANGES) or ()) == MAX_RANGES
    assert parse_range("bytes=" + "0-0," * (MAX_RANGES + 1)) is None
    assert parse_range("bytes=0-0,1-1", max_ranges=1) is None
    assert parse_range("bytes=0-0", max_ranges=1) == (RangeSpec(0, 0),)


@pytest.mark.parametrize(
    ("value", "total", "resolved"),
    [
        ("bytes=0-0", 10, [(0, 0)]),
        ("bytes=0-99", 10, [(0, 9)]),
        ("bytes=5-", 10, [(5, 9)]),
        ("bytes=9-", 10, [(9, 9)]),
        ("bytes=10-", 10, []),
        ("bytes=-1", 10, [(9, 9)]),
        ("bytes=-99", 10, [(0, 9)]),
        ("bytes=-0", 10, []),
        ("bytes=-5", 0, []),
        ("bytes=0-", 0, []),
        ("bytes=0-1,20-30", 10, [(0, 1)]),
        ("bytes=0-1,4-5", 10, [(0, 1), (4, 5)]),
        ("bytes=4-5,0-1", 10, [(4, 5), (0, 1)]),
        ("bytes=0-4,5-9", 10, [(0, 9)]),
        ("bytes=0-4,6-9", 10, [(0, 4), (6, 9)]),
        ("bytes=8-9,0-1,1-3", 10, [(8, 9), (0, 3)]),
        ("bytes=5-6,8-9,0-4", 10, [(0, 6), (8, 9)]),
        ("bytes=0-,0-,0-,0-,-1", 10, [(0, 9)]),
        ("bytes=0-8,2-3,4-4", 10, [(0, 8)]),
        ("bytes=5-6,0-1,-3", 10, [(5, 9), (0, 1)]),
        ("bytes=" + "9" * 5000 + "-", 10, []),
    ],
)
def test_what_it_means_for_a_whole(value: str, total: int, resolved: list[tuple[int, int]]) -> None:
    parsed = parse_range(value)
    assert parsed is not None
    assert list(resolve(parsed, total)) == resolved


@given(st.lists(specs, min_size=1, max_size=MAX_RANGES))
def test_a_range_comes_back_as_it_was_written(sent: list[RangeSpec]) -> None:
    assert parse_range("bytes=" + ", ".join(map(written, sent))) == tuple(sent)


@given(st.lists(specs, max_size=8), st.integers(0, 50))
def test_exactly_the_bytes_asked_for_and_none_twice(sent: list[RangeSpec], total: int) -> None:
    asked: set[int] = set()
    for spec in sent:
        if spec.first is None:
            asked |= set(range(max(0, total - (spec.last or 0)), total))
        else:
            asked |= set(range(spec.first, total if spec.last is None else min(spec.last + 1, total)))
    resolved = resolve(sent, total)
    served = [position for first, last in resolved for position in range(first, last + 1)]
    assert len(served) == len(set(served))
    assert set(served) == asked
    # Nothing left that touches.
    assert all(last + 1 not in {first for first, _ in resolved} for _, last in resolved)


@pytest.mark.parametrize(
    ("value", "parsed"),
    [
        ("bytes 0-4/10", ContentRange(0, 4, 10)),
        ("Bytes 9-9/10", ContentRange(9, 9, 10)),
        ("bytes 0-4/*", ContentRange(0, 4, None)),
        ("bytes */10", ContentRange(0, -1, 10)),
        ("bytes */0", ContentRange(0, -1, 0)),
        ("bytes */*", None),
        ("bytes 0-10/10", None),
        ("bytes 5-4/10", None),
        ("bytes 0-4", None),
        ("bytes 0-/10", None),
        ("bytes -4/10", None),
        ("bytes  0-4/10", None),
        ("bytes=0-4/10", None),
        ("items 0-4/10", None),
        ("bytes 0-4/10 ", None),
        ("bytes 0-4/x", None),
        ("bytes 0-" + "9" * 5000 + "/*", None),
        ("bytes */" + "9" * 5000, None),
        ("bytes \xb2-4/10", None),
        ("", None),
    ],
)
def test_content_range(value: str, parsed: ContentRange | None) -> None:
    assert parse_content_range(value) == parsed


def test_the_unsatisfied_form_is_told_apart() -> None:
    for value, unsatisfied in (("bytes */10", True), ("bytes 0-0/10", False), ("bytes 0-0/*", False)):
        parsed = parse_content_range(value)
        assert parsed is not None
        assert parsed.unsatisfied is unsatisfied


@given(st.integers(0, 10**17), st.integers(0, 10**17), st.none() | st.integers(1, 10**17))
def test_a_content_range_comes_back_as_it_was_written(first: int, length: int, rest: int | None) -> None:
    last = first + length
    total = None if rest is None else last + rest
    assert parse_content_range(format_content_range(first, last, total)) == ContentRange(first, last, total)
    assert parse_content_range(format_content_range(0, -1, length)) == ContentRange(0, -1, length)


@given(octets)
def test_no_value_raises(value: str) -> None:
    for text in (value, f"bytes={value}"):
        parsed = parse_range(text)
        assert parsed is None or resolve(parsed, 100) is not None
    assert parse_content_range(value) is None
    parse_content_range(f"bytes {value}")
