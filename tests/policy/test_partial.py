"""Parts: stored as parts, served as parts, put together only when it is proven that they belong (RFC 9111 3.3, 3.4)."""

from __future__ import annotations

import pytest

from seawall.policy.entry import Entry, Part
from seawall.policy.outcomes import Again, Combine, Complete, Fetch, PassOn, Revalidate, Serve, Store
from seawall.policy.present import present
from seawall.policy.reasons import Fwd, Reason
from seawall.policy.rules import Rules
from tests.policy.heads import NOW, Pairs, date, decided, get, settled, stored


def ranged(value: str, **fields: str) -> dict[str, str]:
    return {"Range": value, **{name.replace("_", "-"): text for name, text in fields.items()}}


def part(asked: str, content_range: str, **fields: str) -> Entry:
    return stored(
        {
            "Cache-Control": "max-age=60",
            "Content-Range": content_range,
            **{name.replace("_", "-"): text for name, text in fields.items()},
        },
        status=206,
        request=get({"Range": asked}),
    )


# --- storing ---


@pytest.mark.parametrize(
    ("asked", "content_range", "length", "expected"),
    [
        ("bytes=0-4", "bytes 0-4/10", "5", (0, 4, 10)),
        ("bytes=-5", "bytes 5-9/10", None, (5, 9, 10)),
        ("bytes=2-", "bytes 2-9/*", "8", (2, 9, None)),
        ("bytes=-5", "bytes 4-9/10", "5", (4, 8, None)),
    ],
)
def test_a_part_knows_what_it_holds(
    asked: str, content_range: str, length: str | None, expected: tuple[int, int, int | None]
) -> None:
    entry = part(asked, content_range, **({"Content_Length": length} if length else {}))
    assert entry.part == Part(*expected, asked)
    assert (entry.status, entry.headers["content-range"]) == (206, content_range)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"Content-Range": "bytes */10"},
        {"Content-Range": "bytes 4-2/10"},
        {"Content-Range": "bytes 0-9/5"},
        {"Content-Range": "lines 0-4/10"},
        {"Content-Range": "bytes 0-4/10", "Content-Type": "multipart/byteranges; boundary=x"},
        {"Content-Range": "bytes 0-4/10", "Content-Length": "6"},
        {"Content-Range": "bytes 0-4/10", "Content-Length": "0"},
        {"Content-Range": "bytes 0-4/10", "Content-Length": "x"},
        [("Content-Range", "bytes 0-4/10"), ("Content-Range", "bytes 0-4/10")],
    ],
)
def test_what_does_not_say_what_it_holds_is_passed_on(fields: Pairs) -> None:
    pairs = [("Cache-Control", "max-age=60"), *(fields.items() if isinstance(fields, dict) else fields)]
    assert settled(pairs, status=206, request=get({"Range": "bytes=0-4"})) == PassOn(Reason.BAD_PARTIAL, False)


def test_an_unasked_206_is_never_stored() -> None:
    fields = {"Cache-Control": "max-age=60", "Content-Range": "bytes 0-4/10"}
    assert settled(fields, status=206) == PassOn(Reason.BAD_PARTIAL, False)
    assert settled(fields, status=206, asked=True) == Again(Reason.BAD_PARTIAL)


def test_a_206_with_everything_is_a_whole() -> None:
    entry = part("bytes=0-", "bytes 0-9/10", Content_Length="10")
    assert (entry.status, entry.part, entry.headers["content-length"]) == (200, None, "10")
    assert decided(get(), entry) == Serve(entry)


def test_a_206_is_held_to_the_rules_of_all_responses() -> None:
    fields = {"Cache-Control": "no-store", "Content-Range": "bytes 0-4/10"}
    asked = get({"Range": "bytes=0-4"})
    assert settled(fields, status=206, request=asked) == PassOn(Reason.NO_STORE, True)


# --- serving ---

TO_THE_END = part("bytes=-5", "bytes 4-9/10", Content_Length="5", ETag='"a"')  # 5 bytes arrive: 4 to 8
MIDDLE = part("bytes=2-6", "bytes 2-6/10", ETag='"a"')
UNKNOWN = part("bytes=2-6", "bytes 2-6/*", ETag='"a"')


@pytest.mark.parametrize(
    ("entry", "fields", "span"),
    [
        (TO_THE_END, ranged("bytes=-5"), (0, 5)),
        (TO_THE_END, ranged("bytes=6-8"), (2, 5)),
        (TO_THE_END, ranged("bytes=6-"), (2, 5)),
        (TO_THE_END, ranged("bytes=-1"), (4, 5)),
        (TO_THE_END, ranged("bytes=3-5"), None),
        (TO_THE_END, ranged("bytes=-6"), None),
        (MIDDLE, ranged("bytes=2-6"), (0, 5)),
        (MIDDLE, ranged("bytes=3-3"), (1, 2)),
        (MIDDLE, ranged("bytes=3-7"), None),
        (MIDDLE, ranged("bytes=3-"), None),
        (MIDDLE, ranged("bytes=-1"), None),
        (MIDDLE, ranged("bytes=2-3,5-6"), None),
        (MIDDLE, ranged("bytes=3-4", If_Range='"a"'), (1, 3)),
        (MIDDLE, ranged("bytes=3-4", If_Range='"b"'), None),
        (MIDDLE, ranged("bytes=3-4", If_Range='W/"a"'), None),
        (MIDDLE, ranged("lines=3-4"), None),
        (MIDDLE, ranged("bytes=x"), None),
        (UNKNOWN, ranged("bytes=3-4"), (1, 3)),
        (UNKNOWN, ranged("bytes=3-"), None),
        (UNKNOWN, ranged("bytes=-2"), None),
    ],
)
def test_a_part_serves_the_bytes_it_holds(entry: Entry, fields: dict[str, str], span: tuple[int, int] | None) -> None:
    decision = decided(get(fields), entry)
    if span is None:
        assert decision == Fetch(Fwd.PARTIAL, True, Reason.RANGE_ABSENT)
        return
    assert decision == Serve(entry)
    assert entry.part is not None
    shown = present(get(fields), entry, 5, NOW)
    total = "*" if entry.part.total is None else entry.part.total
    first, last = entry.part.first + span[0], entry.part.first + span[1] - 1
    said = f"bytes {first}-{last}/{total}"
    if span == (0, 5):
        said = entry.headers["content-range"]  # as the origin had it, right or wrong
    assert shown.slices == (span,)
    assert shown.head.status == 206
    assert shown.head.headers["content-range"] == said
    assert shown.head.headers["content-length"] == str(span[1] - span[0])


def test_a_part_never_answers_a_get_or_a_head_of_the_whole() -> None:
    assert not isinstance(decided(get(), MIDDLE), Serve)
    assert decided(get(method="HEAD"), MIDDLE) == Fetch(Fwd.PARTIAL, False, Reason.RANGE_ABSENT)
    assert not isinstance(decided(get(ranged("bytes=2-6"), method="HEAD"), MIDDLE), Serve)


def test_a_stored_whole_answers_any_range() -> None:
    whole = stored({"Cache-Control": "max-age=60"})
    for value in ("bytes=0-1", "bytes=-1", "bytes=1-", "bytes=900-", "bytes=0-0,2-2"):
        assert decided(get(ranged(value)), MIDDLE, whole) == Serve(whole)


def test_a_stale_part_is_validated() -> None:
    decision = decided(get(ranged("bytes=3-4")), MIDDLE, after=61)
    assert isinstance(decision, Revalidate)
    assert dict(decision.conditions) == {"If-None-Match": '"a"'}


# --- completing ---


def test_the_rest_is_asked_for() -> None:
    first = part("bytes=0-4", "bytes 0-4/10", ETag='"a"')
    decision = decided(get(), first)
    assert isinstance(decision, Complete)
    assert dict(decision.conditions) == {"Range": "bytes=5-", "If-Range": '"a"'}
    assert decided(get(), first, after=100) == decision


@pytest.mark.parametrize(
    ("fields", "validator"),
    [
        ({"ETag": 'W/"a"'}, None),
        ({}, None),
        ({"Last_Modified": date(-3600), "Date": date()}, date(-3600)),
        ({"Last_Modified": date(-5), "Date": date()}, None),
    ],
)
def test_if_range_says_only_what_is_strong(fields: dict[str, str], validator: str | None) -> None:
    first = part("bytes=-5", "bytes 0-4/10", **fields)
    decision = decided(get(), first)
    assert isinstance(decision, Complete)
    assert decision.conditions["range"] == "bytes=5-"
    assert decision.conditions.get("if-range") == validator
    if validator is None:
        assert not isinstance(decided(get(), first, after=100), Complete)


def test_a_middle_part_is_no_beginning() -> None:
    assert decided(get(), MIDDLE) == Fetch(Fwd.PARTIAL, True, Reason.RANGE_ABSENT)


FIRST = part("bytes=0-4", "bytes 0-4/10", ETag='"a"', X_Old="1")
REST = {"Content-Range": "bytes 5-9/10", "Content-Length": "5", "ETag": '"a"', "Cache-Control": "max-age=90"}


def test_first_and_rest_make_a_whole() -> None:
    settlement = settled({**REST, "X-New": "2"}, status=206, asked=True, entry=FIRST)
    assert isinstance(settlement, Combine)
    whole = settlement.updated
    assert (whole.status, whole.part, whole.fresh_until) == (200, None, NOW + 90)
    assert (whole.headers["content-length"], whole.headers["x-old"], whole.headers["x-new"]) == ("10", "1", "2")
    assert "content-range" not in whole.headers


@pytest.mark.parametrize(
    "wrong",
    [
        {"ETag": '"b"'},
        {"ETag": 'W/"a"'},
        {"ETag": ""},
        {"Content-Range": "bytes 4-9/10", "Content-Length": "6"},
        {"Content-Range": "bytes 6-9/10", "Content-Length": "4"},
        {"Content-Range": "bytes 5-9/11"},
        {"Content-Range": "bytes 5-8/10", "Content-Length": "4"},
        {"Content-Range": "bytes 5-9/*"},
        {"Content-Length": "4"},
    ],
)
def test_what_does_not_belong_is_not_put_together(wrong: dict[str, str]) -> None:
    assert settled({**REST, **wrong}, status=206, asked=True, entry=FIRST) == Again(Reason.BAD_PARTIAL)


def test_no_whole_without_proof() -> None:
    bare = part("bytes=-5", "bytes 0-4/10")
    rest = {"Content-Range": "bytes 5-9/10"}
    assert settled(rest, status=206, asked=True, entry=bare) == Again(Reason.BAD_PARTIAL)
    assert settled(REST, status=206, asked=True, entry=FIRST, delimited=False) == Again(Reason.BAD_PARTIAL)
    assert settled(REST, status=206, asked=True, entry=None) == Again(Reason.BAD_PARTIAL)
    small = Rules(max_object_bytes=9)
    assert settled(REST, status=206, asked=True, entry=FIRST, rules=small) == Again(Reason.BAD_PARTIAL)
    assert settled({**REST, "Cache-Control": "no-store"}, status=206, asked=True, entry=FIRST) == Again(Reason.NO_STORE)


def test_a_416_to_our_own_range_is_not_the_clients() -> None:
    assert settled({}, status=416, asked=True, entry=FIRST) == Again(Reason.BAD_PARTIAL)
    assert settled({}, status=416, request=get(ranged("bytes=99-"))) == PassOn(Reason.STATUS, False)


def test_a_new_version_comes_whole() -> None:
    settlement = settled({"Cache-Control": "max-age=60", "ETag": '"b"'}, asked=True, entry=FIRST)
    assert isinstance(settlement, Store)
    assert settlement.entry.part is None
