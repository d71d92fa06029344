"""What the client gets of a stored response (RFC 9110 13, 14, 15.3.7, 15.4.5; RFC 9111 4.3.2)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.policy.present import Answered, Presentation, present
from tests.policy.heads import NOW, Pairs, date, get, stored

BODY = bytes(range(256)) * 4
FIELDS = {
    "Cache-Control": "max-age=60",
    "Content-Type": "text/plain",
    "Content-Length": "1024",
    "Content-Language": "en",
    "Content-Security-Policy": "x",
    "ETag": '"a"',
    "Last-Modified": date(-1000),
    "Date": date(),
    "Vary": "Foo",
    "Link": "</a>",
}
ENTRY = stored(FIELDS)
PLAIN = stored({"Cache-Control": "max-age=60", "Date": date(), "Last-Modified": date(-1000)})
UNDATED = stored({"Cache-Control": "max-age=60", "Date": date()})
WEAK = stored({"Cache-Control": "max-age=60", "ETag": 'W/"a"'})
ERROR = stored({"Cache-Control": "max-age=60", "ETag": '"a"'}, status=404)


def shown(fields: Pairs | None = None, entry: object = ENTRY, after: float = 5.0, method: str = "GET") -> Presentation:
    return present(get(fields, method=method), entry, len(BODY), NOW + after)  # type: ignore[arg-type]


def octets(shown: Presentation) -> bytes:
    if shown.body_omitted:
        return b""
    leads = shown.leads or (b"",) * len(shown.slices)
    return b"".join(lead + BODY[a:b] for lead, (a, b) in zip(leads, shown.slices, strict=True)) + shown.trail


def test_the_whole_with_its_age() -> None:
    whole = shown()
    assert octets(whole) == BODY
    assert whole.head.status == 200
    assert dict(whole.head.headers) == {**FIELDS, "Age": "5"}


def test_age_is_whole_seconds_and_never_negative() -> None:
    assert shown(after=-100).head.headers["age"] == "0"
    assert shown(after=5.9).head.headers["age"] == "5"
    assert shown(after=1e12).head.headers["age"] == str(2**31)


def test_age_of_what_has_just_come_is_told_only_where_there_is_some() -> None:
    assert "age" not in present(get(), ENTRY, 0, NOW, answered=Answered.FETCHED).head.headers
    assert present(get(), ENTRY, 0, NOW + 5, answered=Answered.FETCHED).head.headers["age"] == "5"


@pytest.mark.parametrize(
    ("fields", "entry", "status"),
    [
        ({"If-None-Match": '"a"'}, ENTRY, 304),
        ({"If-None-Match": 'W/"a"'}, ENTRY, 304),
        ({"If-None-Match": '"b", "a", "c"'}, ENTRY, 304),
        ([("If-None-Match", '"b"'), ("If-None-Match", '"a"')], ENTRY, 304),
        ({"If-None-Match": "*"}, ENTRY, 304),
        ({"If-None-Match": '"b"'}, ENTRY, 200),
        ({"If-None-Match": 'W/"a"'}, WEAK, 304),
        ({"If-None-Match": '"a"', "If-Modified-Since": date(-5000)}, ENTRY, 304),
        ({"If-None-Match": '"b"', "If-Modified-Since": date()}, ENTRY, 200),
        ({"If-Modified-Since": date(-1000)}, ENTRY, 304),
        ({"If-Modified-Since": date(-500)}, ENTRY, 304),
        ({"If-Modified-Since": date(-1001)}, ENTRY, 200),
        ({"If-Modified-Since": "no date"}, ENTRY, 200),
        ({"If-Modified-Since": date()}, UNDATED, 304),
        ({"If-Modified-Since": date(-3000)}, UNDATED, 200),
        ({"If-None-Match": '"a"'}, ERROR, 404),
        ({"If-Modified-Since": date()}, ERROR, 404),
    ],
)
def test_conditions(fields: Pairs, entry: object, status: int) -> None:
    for method in ("GET", "HEAD"):
        answer = shown(fields, entry, method=method)
        assert answer.head.status == status
        if status == 304:
            assert (answer.body_omitted, octets(answer)) == (True, b"")


def test_conditions_are_not_evaluated_for_a_post() -> None:
    assert shown({"If-None-Match": '"a"'}, method="POST").head.status == 200


def test_a_304_says_what_a_cache_needs_and_nothing_of_the_octets() -> None:
    names = {name.lower() for name in shown({"If-None-Match": '"a"'}).head.headers}
    assert names == {"cache-control", "etag", "date", "vary", "age", "link", "content-security-policy"}
    assert "last-modified" in shown({"If-Modified-Since": date()}, PLAIN).head.headers


def test_a_head_has_the_fields_of_the_get() -> None:
    answer = shown({"Range": "bytes=0-1"}, method="HEAD")
    assert (answer.head.status, answer.body_omitted, answer.slices) == (200, True, ())
    assert answer.head.headers["content-length"] == "1024"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes=0-0", (0, 0)),
        ("bytes=0-1", (0, 1)),
        ("bytes=1-", (1, 1023)),
        ("bytes=-1", (1023, 1023)),
        ("bytes=-5000", (0, 1023)),
        ("bytes=1000-5000", (1000, 1023)),
        ("bytes=0-3,2-9", (0, 9)),
        ("bytes=0-3, 4-9", (0, 9)),
    ],
)
def test_one_range(value: str, expected: tuple[int, int]) -> None:
    answer = shown({"Range": value})
    first, last = expected
    assert answer.head.status == 206
    assert octets(answer) == BODY[first : last + 1]
    assert answer.head.headers["content-range"] == f"bytes {first}-{last}/1024"
    assert answer.head.headers["content-length"] == str(last - first + 1)
    assert (answer.head.headers["age"], answer.head.headers["etag"]) == ("5", '"a"')


@pytest.mark.parametrize("value", ["bytes=1024-", "bytes=-0", "bytes=5000-6000,7000-"])
def test_a_range_outside(value: str) -> None:
    answer = shown({"Range": value})
    assert (answer.head.status, answer.body_omitted) == (416, True)
    assert answer.head.headers["content-range"] == "bytes */1024"
    assert "cache-control" not in answer.head.headers


@pytest.mark.parametrize("value", ["bytes=,", "bytes=5-2", "bytes=x", "lines=0-1", "bytes", "bytes=0-0" + ",9-9" * 99])
def test_a_range_that_cannot_be_read_is_ignored(value: str) -> None:
    assert (shown({"Range": value}).head.status, octets(shown({"Range": value}))) == (200, BODY)


def test_too_many_parts_are_one_whole() -> None:
    value = "bytes=" + ",".join(f"{n}-{n}" for n in range(0, 80, 2))
    assert shown({"Range": value}).head.status == 200


@pytest.mark.parametrize(
    ("condition", "entry", "status"),
    [
        ('"a"', ENTRY, 206),
        ('"b"', ENTRY, 200),
        ('W/"a"', WEAK, 200),
        (date(-1000), ENTRY, 206),
        (date(-1000), PLAIN, 206),
        (date(-999), PLAIN, 200),
        (date(), UNDATED, 200),
    ],
)
def test_if_range(condition: str, entry: object, status: int) -> None:
    assert shown({"Range": "bytes=0-1", "If-Range": condition}, entry).head.status == status


def test_ranges_are_of_a_200_only() -> None:
    assert shown({"Range": "bytes=0-1"}, ERROR).head.status == 404


def test_a_condition_that_holds_comes_before_the_range() -> None:
    assert shown({"Range": "bytes=0-1", "If-None-Match": '"a"'}).head.status == 304


@given(st.lists(st.tuples(st.integers(0, 1200), st.integers(0, 50)), min_size=2, max_size=8))
def test_several_ranges_are_what_was_asked(asked: list[tuple[int, int]]) -> None:
    value = "bytes=" + ",".join(f"{first}-{first + more}" for first, more in asked)
    answer = shown({"Range": value})
    wanted = set().union(*(range(first, first + more + 1) for first, more in asked)) & set(range(1024))
    if not wanted:
        assert answer.head.status == 416
        return
    assert answer.head.status == 206
    body = octets(answer)
    assert answer.head.headers["content-length"] == str(len(body))
    given_out = sorted(n for a, b in answer.slices for n in range(a, b))
    assert given_out == sorted(wanted)
    if len(answer.slices) == 1:
        assert "content-range" in answer.head.headers
        return
    assert "content-range" not in answer.head.headers
    boundary = re.fullmatch(r"multipart/byteranges; boundary=(\w+)", answer.head.headers["content-type"])
    assert boundary is not None
    first, *parts, last = body.split(b"--" + boundary[1].encode())
    assert (first, last, len(parts)) == (b"", b"--\r\n", len(answer.slices))
    for (start, stop), text in zip(answer.slices, parts, strict=True):
        head, _, content = text.partition(b"\r\n\r\n")
        assert head == f"\r\nContent-Type: text/plain\r\nContent-Range: bytes {start}-{stop - 1}/1024".encode()
        assert content == BODY[start:stop] + b"\r\n"


def test_while_nobody_knows_how_long_it_will_be() -> None:
    arriving = present(get({"Range": "bytes=0-1"}), UNDATED, None, NOW)
    assert (arriving.head.status, arriving.slices, arriving.body_omitted) == (200, (), False)
    assert "content-length" not in arriving.head.headers
    assert present(get({"If-None-Match": '"a"'}), ENTRY, None, NOW).head.status == 304


def test_a_204_has_no_length() -> None:
    empty = stored({"Cache-Control": "max-age=60"}, status=204)
    assert "content-length" not in present(get(), empty, 0, NOW).head.headers


def test_a_part_that_is_still_arriving_is_given_whole() -> None:
    part = stored(
        {"Cache-Control": "max-age=60", "Content-Range": "bytes 4-8/10"},
        status=206,
        request=get({"Range": "bytes=4-8"}),
    )
    arriving = present(get({"Range": "bytes=4-8"}), part, None, NOW)
    assert (arriving.head.status, arriving.slices) == (206, ())
    assert arriving.head.headers["content-range"] == "bytes 4-8/10"
