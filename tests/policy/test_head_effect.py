"""What the answer to a HEAD does to a stored GET (RFC 9111 4.3.5)."""

from __future__ import annotations

import pytest

from seawall.policy.entry import Entry
from seawall.policy.rules import DEFAULT
from seawall.policy.update import head_effect
from tests.policy.heads import NOW, date, get, reply, stored

FIELDS = {
    "Cache-Control": "max-age=2",
    "ETag": '"a"',
    "Last-Modified": date(-1000),
    "Content-Length": "5",
    "Template-A": "1",
    "Surrogate-Key": "k",
    "Date": date(),
}
ENTRY = stored(FIELDS)


def effect(fields: dict[str, str], status: int = 200, entry: Entry = ENTRY) -> Entry | None:
    return head_effect(entry, reply({"Date": date(10), **fields}, status), NOW + 10, NOW + 10, DEFAULT)


@pytest.mark.parametrize("fields", [{}, {"ETag": '"a"'}, {"Content-Length": "5"}, {"Last-Modified": date(-1000)}])
def test_what_agrees_updates(fields: dict[str, str]) -> None:
    updated = effect({"Cache-Control": "max-age=1000", "Template-A": "2", **fields})
    assert updated is not None
    assert not updated.invalidated
    assert (updated.fresh_until, updated.headers["template-a"], updated.tags) == (NOW + 1010, "2", ("k",))
    assert updated.headers["content-length"] == "5"


def test_what_is_not_said_stays() -> None:
    updated = effect({})
    assert updated is not None
    assert (updated.headers["template-a"], updated.headers["cache-control"]) == ("1", "max-age=2")


@pytest.mark.parametrize("fields", [{"ETag": '"b"'}, {"Content-Length": "6"}, {"Last-Modified": date(-999)}])
def test_what_does_not_agree_makes_stale(fields: dict[str, str]) -> None:
    updated = effect(fields)
    assert updated is not None
    assert updated.invalidated
    assert updated.headers == ENTRY.headers


@pytest.mark.parametrize(
    "fields",
    [{"Cache-Control": "no-store"}, {"Set-Cookie": "a=b"}, {"X": "x" * 70_000}, {"Cache-Tag": "x" * 17_000}],
)
def test_what_may_not_be_stored_makes_stale(fields: dict[str, str]) -> None:
    updated = effect(fields)
    assert updated is not None
    assert updated.invalidated


def test_other_statuses_and_parts_are_left_alone() -> None:
    assert effect({"ETag": '"b"'}, 404) is None
    assert effect({"ETag": '"b"'}, 304) is None
    part = stored(
        {"Cache-Control": "max-age=60", "Content-Range": "bytes 0-4/10"},
        status=206,
        request=get({"Range": "bytes=0-4"}),
    )
    assert effect({"ETag": '"b"'}, entry=part) is None
