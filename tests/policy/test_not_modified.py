"""304: which stored response it speaks of, and what it changes (RFC 9111 3.2, 4.3.3, 4.3.4)."""

from __future__ import annotations

import pytest

from seawall.policy.entry import Entry
from seawall.policy.invalidate import invalidated
from seawall.policy.outcomes import Again, Refresh, Settlement
from seawall.policy.reasons import Reason
from seawall.policy.rules import Rules, SetCookie
from tests.policy.heads import NOW, Pairs, date, get, settled, stored

OLD = stored(
    {
        "Cache-Control": "max-age=2",
        "ETag": '"a"',
        "Last-Modified": date(-1000),
        "Date": date(),
        "Content-Type": "text/plain",
        "Content-Encoding": "br",
        "Content-Length": "5",
        "Test-Header": "A",
        "Surrogate-Key": "old",
    }
)


def answered(
    fields: Pairs, held: Entry | None = OLD, *others: Entry, after: float = 3.0, rules: Rules | None = None
) -> Settlement:
    candidates = (() if held is None else (held,)) + others
    return settled(
        fields, status=304, asked=True, entry=held, candidates=candidates, now=NOW + after, rules=rules or Rules()
    )


def updated(fields: Pairs, held: Entry = OLD) -> Entry:
    settlement = answered(fields, held)
    assert isinstance(settlement, Refresh), settlement
    assert settlement.entry is held
    return settlement.updated


@pytest.mark.parametrize(
    "fields",
    [
        {"ETag": '"a"'},
        {"ETag": 'W/"a"'},
        {"ETag": '"a"', "Last-Modified": date(-1)},
        {"Last-Modified": date(-1000)},
        {},
    ],
)
def test_it_speaks_of_ours(fields: Pairs) -> None:
    assert isinstance(answered(fields), Refresh)


@pytest.mark.parametrize("fields", [{"ETag": '"b"'}, {"ETag": 'W/"b"'}, {"Last-Modified": date(-999)}])
def test_it_speaks_of_another_version(fields: Pairs) -> None:
    assert answered(fields) == Again(Reason.VALIDATOR_MISMATCH)


def test_strong_tags_are_not_matched_weakly() -> None:
    weak = stored({"ETag": 'W/"a"', "Cache-Control": "max-age=2"})
    assert answered({"ETag": '"a"'}, weak) == Again(Reason.VALIDATOR_MISMATCH)
    assert isinstance(answered({"ETag": 'W/"a"'}, weak), Refresh)


def test_a_purged_entry_is_not_revived() -> None:
    assert answered({"ETag": '"a"'}, None) == Again(Reason.VALIDATOR_MISMATCH)
    assert answered({}, None) == Again(Reason.VALIDATOR_MISMATCH)


def test_nobody_asked() -> None:
    assert settled({"ETag": '"a"'}, status=304, entry=OLD) == Again(Reason.UNSOLICITED_304)


def test_freshness_is_counted_anew() -> None:
    assert updated({"ETag": '"a"', "Date": date(3)}).fresh_until == NOW + 5
    assert updated({"ETag": '"a"', "Date": date(3), "Cache-Control": "max-age=60"}).fresh_until == NOW + 63
    assert updated({"ETag": '"a"', "Date": date(3), "Age": "1"}).fresh_until == NOW + 4
    entry = updated({"ETag": '"a"', "Date": date(3)}, invalidated(OLD))
    assert not entry.invalidated
    assert entry.headers["date"] == date(3)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Test-Header", "B"),
        ("X-New", "B"),
        ("Cache-Control", "max-age=3600"),
        ("Content-Location", "/b"),
        ("Content-Security-Policy", "default-src 'self'"),
        ("Expires", date(1)),
        ("X-Frame-Options", "deny"),
    ],
)
def test_fields_are_updated(name: str, value: str) -> None:
    entry = updated({"ETag": '"a"', name: value})
    assert entry.headers.getall(name) == [value]


@pytest.mark.parametrize(
    "name", ["Content-Length", "Content-Encoding", "Content-Type", "Content-Range", "Content-MD5", "Transfer-Encoding"]
)
def test_what_describes_the_stored_octets_is_kept(name: str) -> None:
    entry = updated({"ETag": '"a"', name: "77"})
    assert entry.headers.get(name) == OLD.headers.get(name)


def test_what_it_does_not_say_stays() -> None:
    assert updated({"Last-Modified": date(-1000)}).headers["test-header"] == "A"


def test_hop_by_hop_fields_and_age_are_not_merged_in() -> None:
    entry = updated({"ETag": '"a"', "Connection": "x-hop", "X-Hop": "1", "Age": "5", "Upgrade": "x"})
    assert {"x-hop", "age", "connection", "upgrade"}.isdisjoint(name.lower() for name in entry.headers)


def test_the_limit_holds_after_the_merge() -> None:
    rules = Rules(max_head_bytes=1000)
    assert answered({"ETag": '"a"', "X-1": "x" * 900}, rules=rules) == Again(Reason.HEAD_TOO_LARGE)
    held = OLD
    for number in range(1000):
        settlement = answered({"ETag": '"a"', f"X-{number}": "x" * 50}, held, rules=rules)
        if settlement == Again(Reason.HEAD_TOO_LARGE):
            return
        assert isinstance(settlement, Refresh)
        held = settlement.updated
    pytest.fail("the head grew without end")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"Cache-Control": "no-store"}, Reason.NO_STORE),
        ({"Cache-Control": "private"}, Reason.PRIVATE),
        ({"Vary": "*"}, Reason.VARY_STAR),
        ({"Set-Cookie": "a=b"}, Reason.SET_COOKIE),
        ({"Surrogate-Key": "k " * 9000}, Reason.TAGS_TOO_LARGE),
    ],
)
def test_what_may_not_be_stored_any_more_is_fetched(fields: dict[str, str], reason: Reason) -> None:
    assert answered({"ETag": '"a"', **fields}) == Again(reason)


def test_a_cookie_is_merged_where_the_route_stores_them() -> None:
    settlement = answered({"ETag": '"a"', "Set-Cookie": "a=b"}, rules=Rules(set_cookie=SetCookie.STRIP))
    assert isinstance(settlement, Refresh)
    assert "set-cookie" not in settlement.updated.headers


def test_tags_follow_the_fields() -> None:
    assert updated({"ETag": '"a"'}).tags == ("old",)
    assert updated({"ETag": '"a"', "Surrogate-Key": "new"}).tags == ("new",)


# --- several variants ---


def variant(value: str, etag: str) -> Entry:
    return stored({"Cache-Control": "max-age=60", "Vary": "Foo", "ETag": etag}, request=get({"Foo": value}))


def test_a_304_names_the_variant_that_answers() -> None:
    one, two = variant("1", '"1"'), variant("2", '"2"')
    settlement = settled(
        {"ETag": '"1"'}, status=304, request=get({"Foo": "3"}), asked=True, entry=two, candidates=(one, two)
    )
    assert isinstance(settlement, Refresh)
    assert settlement.entry is one
    assert settlement.updated.varied == (("foo", "3"),)


def test_a_304_without_a_name_is_no_guess_between_variants() -> None:
    one, two = variant("1", '"1"'), variant("2", '"2"')
    asked = settled({}, status=304, request=get({"Foo": "3"}), asked=True, entry=two, candidates=(one, two))
    assert asked == Again(Reason.VALIDATOR_MISMATCH)


def test_a_part_does_not_answer_for_the_whole() -> None:
    part = stored(
        {"Cache-Control": "max-age=60", "ETag": '"a"', "Content-Range": "bytes 0-4/10"},
        status=206,
        request=get({"Range": "bytes=0-4"}),
    )
    assert answered({"ETag": '"a"'}, None, part) == Again(Reason.VALIDATOR_MISMATCH)
