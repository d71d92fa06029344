"""Validators (RFC 9110 8.8): what we ask the origin about a stored response, and whether two speak of one version.

Knows no clock and no store.
"""

from __future__ import annotations

from collections.abc import Iterable

from seawall.http.dates import parse_date
from seawall.http.etags import ETag, parse_etag, strong_match
from seawall.http.headers import Headers, headers
from seawall.policy.entry import Entry
from seawall.policy.freshness import date_of, last_modified

# RFC 9110 8.8.2.2: a Last-Modified at least a second before Date is strong where there is "some reason to believe"
# that one clock made both. A minute, as HTTP/1.1 had it from RFC 2068 to RFC 7232.
_STRONG_DATE_SECONDS = 60.0


def etag_of(fields: Headers) -> ETag | None:
    """The entity-tag, or None."""
    value = fields.get("etag")
    return None if value is None else parse_etag(value)


def has_validator(fields: Headers, now: float) -> bool:
    """Could the origin be asked whether this still holds?"""
    return etag_of(fields) is not None or last_modified(fields, now) is not None


def conditions(entry: Entry) -> Headers:
    """The fields that ask the origin whether `entry` still holds; empty where it has no validator (RFC 9111 4.3.1).

    Both where there are both: "MUST send the relevant entity tags", "SHOULD send the Last-Modified value".
    """
    pairs: list[tuple[str, str]] = []
    etag = etag_of(entry.headers)
    if etag is not None:
        pairs.append(("If-None-Match", str(etag)))
    value = entry.headers.get("last-modified")
    if value is not None and parse_date(value, entry.stored_at) is not None:
        pairs.append(("If-Modified-Since", value))
    return headers(pairs)


def any_of(entries: Iterable[Entry]) -> Headers:
    """Asks whether any of these variants is the answer (RFC 9111 4.1); empty where none has an entity-tag.

    By entity-tag only: If-Modified-Since cannot tell one variant from another.
    """
    tags = dict.fromkeys(str(etag) for entry in entries if (etag := etag_of(entry.headers)) is not None)
    return headers([("If-None-Match", ", ".join(tags))] if tags else [])


def strong_validator(fields: Headers, received_at: float) -> str | None:
    """What If-Range may say of this response (RFC 9110 13.1.5), or None where nothing it has is strong."""
    etag = etag_of(fields)
    if etag is not None:
        return str(etag) if strong_match(etag, etag) else None
    return fields["last-modified"] if _strongly_dated(fields, received_at) else None


def same_version(stored: Headers, arriving: Headers, received_at: float) -> bool:
    """May bytes of the two be put together? Only "if they share the same strong validator" (RFC 9110 15.3.7.3)."""
    ours, theirs = etag_of(stored), etag_of(arriving)
    if ours is not None or theirs is not None:
        return ours is not None and theirs is not None and strong_match(ours, theirs)
    return _strongly_dated(stored, received_at) and stored["last-modified"] == arriving.get("last-modified")


def if_range_holds(request: Headers, stored: Headers, received_at: float) -> bool:
    """Is the Range of this request meant for this very version (RFC 9110 13.1.5)? Yes where there is no If-Range."""
    value = request.get("if-range")
    if value is None:
        return True
    modified_at = parse_date(value, received_at)
    if modified_at is not None:
        return _strongly_dated(stored, received_at) and last_modified(stored, received_at) == modified_at
    asked, ours = parse_etag(value), etag_of(stored)
    return asked is not None and ours is not None and strong_match(asked, ours)


def _strongly_dated(fields: Headers, received_at: float) -> bool:
    modified_at = last_modified(fields, received_at)
    if modified_at is None or "date" not in fields:
        return False
    return date_of(fields, received_at) - modified_at >= _STRONG_DATE_SECONDS
