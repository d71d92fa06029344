"""A stored response as this client gets it: 200, 206, 304 or 416 (RFC 9110 13 and 14, RFC 9111 4.3.2).

Knows no octets: it says which of the stored ones go out. Preconditions that only an origin may answer, If-Match
and If-Unmodified-Since, have been looked at by decide().
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

from seawall.http.dates import parse_date
from seawall.http.etags import parse_etag_list, weak_match
from seawall.http.headers import Headers, combined, headers
from seawall.http.message import RequestHead, ResponseHead
from seawall.http.ranges import format_content_range, parse_range, resolve
from seawall.policy.byteranges import envelope
from seawall.policy.entry import Entry, Part
from seawall.policy.freshness import current_age, date_of, last_modified
from seawall.policy.partial import span, wants_range
from seawall.policy.validators import etag_of, if_range_holds

# RangeAmp (HAZARDS T62): what overlaps is merged, so no answer is longer than the whole; and beyond this many
# parts the whole is the cheaper answer. A reader of a PDF asks for a dozen or two.
_MOST_PARTS = 32

# RFC 9110 15.4.5: "the sender SHOULD NOT generate representation metadata other than the above listed fields".
_NOT_IN_304 = frozenset(
    {
        "content-length",
        "content-encoding",
        "content-language",
        "content-md5",
        "content-digest",
        "content-range",
        "content-type",
        "digest",
    }
)

# What speaks of the 200 and would make a 416 pass for one, or be cached like one (HAZARDS T40).
_OF_THE_WHOLE = frozenset(
    {"etag", "last-modified", "cache-control", "cdn-cache-control", "surrogate-control", "expires", "set-cookie"}
)


class Answered(Enum):
    """Where the response comes from, at this moment."""

    STORED = "stored"  # from the store, validated or not: Age always (RFC 9111 4)
    FETCHED = "fetched"  # just from the origin, for this request: Age only where it has some


@dataclass(frozen=True, slots=True)
class Presentation:
    """What the client gets.

    `slices` are half-open offsets into the stored body; none of them and no `body_omitted` is all of it, however
    long it will be. For multipart/byteranges `leads` go before each slice and `trail` behind the last.
    """

    head: ResponseHead
    slices: tuple[tuple[int, int], ...]
    leads: tuple[bytes, ...] = ()
    trail: bytes = b""
    body_omitted: bool = False  # no octets at all: HEAD, 304, 416


def present(
    request: RequestHead,
    entry: Entry,
    body_bytes: int | None,
    now: float,
    *,
    answered: Answered = Answered.STORED,
) -> Presentation:
    """How the entry answers the request.

    `body_bytes`: the stored body's length; for a part the part's. None while it is still arriving and nobody
    knows: ranges are then ignored, as RFC 9110 14.2 allows.
    """
    age = _age(entry, now, answered)
    # RFC 9110 13.1.2: for other methods than GET and HEAD the answer would be 412, and not ours to give.
    if request.method in ("GET", "HEAD") and 200 <= entry.status < 300 and _unchanged(request, entry):
        return _empty(304, "Not Modified", entry.headers, not_in_304(entry.headers), age)
    if entry.part is not None:
        return _of_part(request, entry, entry.part, body_bytes, age)
    if body_bytes is not None and entry.status == 200 and wants_range(request):
        ranged = _ranged(request, entry, body_bytes, age)
        if ranged is not None:
            return ranged
    return _whole(request, entry, body_bytes, age)


def _age(entry: Entry, now: float, answered: Answered) -> str | None:
    """RFC 9111 4: "When a stored response is used to satisfy a request without validation, a cache MUST generate
    an Age header field"; RFC 9111 5.1: it "implies that the response was not generated or validated by the
    origin server for this request".
    """
    seconds = int(current_age(entry.born_at, now))
    return None if answered is Answered.FETCHED and seconds == 0 else str(seconds)


# --- conditions ---


def _unchanged(request: RequestHead, entry: Entry) -> bool:
    fields = request.headers
    if "if-none-match" in fields:
        # RFC 9110 13.2.2: If-None-Match first, and If-Modified-Since only where there is none.
        asked, ours = parse_etag_list(combined(fields, "if-none-match") or ""), etag_of(entry.headers)
        return asked == "*" or (ours is not None and any(weak_match(tag, ours) for tag in asked))
    value = fields.get("if-modified-since")
    since = parse_date(value, entry.stored_at) if value is not None else None
    if since is None:
        return False
    return changed_at(entry) <= since


def changed_at(entry: Entry) -> float:
    """What If-Modified-Since is compared with.

    RFC 9111 4.3.2: where there is no Last-Modified, "a cache SHOULD use the stored response's Date field value (or,
    if no Date field is present, the time that the stored response was received)".
    """
    modified_at = last_modified(entry.headers, entry.stored_at)
    return date_of(entry.headers, entry.stored_at) if modified_at is None else modified_at


def not_in_304(fields: Headers) -> Collection[str]:
    # "Last-Modified might be useful if the response does not have an ETag field".
    return {*_NOT_IN_304, "last-modified"} if "etag" in fields else _NOT_IN_304


# --- ranges ---


def _ranged(request: RequestHead, entry: Entry, total: int, age: str | None) -> Presentation | None:
    """206 or 416 of a whole body, or None where the Range is ignored."""
    specs = parse_range(combined(request.headers, "range") or "")
    if specs is None or not if_range_holds(request.headers, entry.headers, entry.stored_at):
        return None
    spans = resolve(specs, total)
    if not spans:
        # RFC 9110 15.5.17: "SHOULD generate a Content-Range header field specifying the current length".
        drop = {*_NOT_IN_304, *_OF_THE_WHOLE}
        extra = [("Content-Range", format_content_range(0, -1, total)), ("Content-Length", "0")]
        return _empty(416, "Range Not Satisfiable", entry.headers, drop, age, extra)
    if len(spans) > _MOST_PARTS:
        return None
    slices = tuple((first, last + 1) for first, last in spans)
    if len(spans) == 1:
        return Presentation(_partial_head(entry, spans[0], total, age), slices)
    seed = f"{entry.stored_at!r} {entry.headers.get('etag')}"
    wrapped = envelope(spans, total, entry.headers.get("content-type"), seed)
    # RFC 9110 15.3.7.2: "MUST NOT generate a Content-Range header field in the HTTP header section" of several parts.
    extra = [("Content-Type", wrapped.content_type), ("Content-Length", str(wrapped.length))]
    head = _head(206, "Partial Content", entry.headers, {"content-type", "content-length", "content-range"}, age, extra)
    return Presentation(head, slices, wrapped.leads, wrapped.trail)


def _of_part(request: RequestHead, entry: Entry, part: Part, body_bytes: int | None, age: str | None) -> Presentation:
    """206 out of a stored part. The whole part where it is what the origin itself gave for this request."""
    first, last = span(request, part, entry.headers, entry.stored_at) or (part.first, part.last)
    if body_bytes is not None:
        last = min(last, part.first + body_bytes - 1)
    head = _partial_head(entry, (first, last), part.total, age)
    if body_bytes is None:
        return Presentation(_partial_head(entry, (part.first, part.last), part.total, age), ())
    return Presentation(head, ((first - part.first, last - part.first + 1),))


def _partial_head(entry: Entry, span: tuple[int, int], total: int | None, age: str | None) -> ResponseHead:
    first, last = span
    value = format_content_range(first, last, total)
    if entry.part is not None and span == (entry.part.first, entry.part.last):
        value = entry.headers.get("content-range", value)  # the part as the origin gave it is in the origin's words
    extra = [
        ("Content-Range", value),
        ("Content-Length", str(last - first + 1)),
    ]
    return _head(206, "Partial Content", entry.headers, {"content-range", "content-length"}, age, extra)


# --- whole ---


def _whole(request: RequestHead, entry: Entry, body_bytes: int | None, age: str | None) -> Presentation:
    omitted = request.method == "HEAD"
    drop: Collection[str] = ()
    extra: list[tuple[str, str]] = []
    if body_bytes is not None and entry.status != 204:
        # RFC 9110 8.6: not in a 204; for a HEAD what the GET would have had.
        drop, extra = ("content-length",), [("Content-Length", str(body_bytes))]
    head = _head(entry.status, entry.reason, entry.headers, drop, age, extra)
    slices = () if omitted or body_bytes is None else ((0, body_bytes),)
    return Presentation(head, slices, body_omitted=omitted)


def _empty(
    status: int,
    reason: str,
    fields: Headers,
    drop: Collection[str],
    age: str | None,
    extra: list[tuple[str, str]] | None = None,
) -> Presentation:
    return Presentation(_head(status, reason, fields, drop, age, extra or []), (), body_omitted=True)


def _head(
    status: int, reason: str, fields: Headers, drop: Collection[str], age: str | None, extra: list[tuple[str, str]]
) -> ResponseHead:
    pairs = [(name, value) for name, value in fields.items() if name.lower() not in drop] if drop else [*fields.items()]
    pairs += extra
    if age is not None:
        pairs.append(("Age", age))
    return ResponseHead(status, reason, headers(pairs))
