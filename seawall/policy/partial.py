"""Parts: what a 206 holds, and which of its bytes answer a request (RFC 9110 14 and 15.3.7, RFC 9111 3.3).

Knows no freshness and no body. Positions are those of the whole representation, inclusive.
"""

from __future__ import annotations

from seawall.http.fields import parse_content_length
from seawall.http.headers import Headers, combined
from seawall.http.message import RequestHead, ResponseHead
from seawall.http.ranges import RangeSpec, parse_content_range, parse_range, resolve
from seawall.policy.entry import Entry, Part
from seawall.policy.validators import if_range_holds


def part_of(reply: ResponseHead, requested: str) -> Part | None:
    """The bytes that this 206 brings, or None where it does not say so in one Content-Range.

    RFC 9110 15.3.7.2: a multipart/byteranges has no Content-Range of its own; we do not store those.
    Where Content-Length says less than Content-Range, as many bytes arrive as Content-Length says, and the
    total that stands beside the wrong number is not believed. Where it says more, nothing is.
    """
    value = combined(reply.headers, "content-range")
    spoken = parse_content_range(value) if value is not None else None
    media_type = (reply.headers.get("content-type") or "").lower()
    if spoken is None or spoken.unsatisfied or media_type.startswith("multipart/byteranges"):
        return None
    said = spoken.last - spoken.first + 1
    lines = reply.headers.getall("content-length", None)
    arriving = said if lines is None else parse_content_length(lines)
    if arriving is None or not 0 < arriving <= said:
        return None
    total = spoken.total if arriving == said else None
    return Part(spoken.first, spoken.first + arriving - 1, total, requested)


def wants_range(request: RequestHead) -> bool:
    """Does it ask for parts at all? RFC 9110 14.2: "A server MUST ignore a Range header field received with a
    request method that is unrecognized or for which range handling is not defined", so for all but GET.
    """
    return request.method == "GET" and "range" in request.headers


def holds(request: RequestHead, entry: Entry) -> bool:
    """Are the bytes that this request asks for among those stored?"""
    return entry.part is None or span(request, entry.part, entry.headers, entry.stored_at) is not None


def span(request: RequestHead, part: Part, stored: Headers, stored_at: float) -> tuple[int, int] | None:
    """The first and last position that answer this request out of the part; None where they are not all held."""
    value = combined(request.headers, "range") if wants_range(request) else None
    if value is None or not if_range_holds(request.headers, stored, stored_at):
        return None
    if value == part.requested:
        return part.first, part.last  # the very question that this was the answer to
    specs = parse_range(value)
    if specs is None or len(specs) != 1:
        return None
    wanted = _wanted(specs[0], part)
    if wanted is None or wanted[0] < part.first or wanted[1] > part.last:
        return None
    return wanted


def _wanted(spec: RangeSpec, part: Part) -> tuple[int, int] | None:
    end = part.total
    if end is None and _to_the_end(part.requested):
        end = part.last + 1  # asked for everything up to the end, the origin sent up to here
    if end is not None:
        found = resolve((spec,), end)
        return found[0] if found else None
    if spec.first is None or spec.last is None:
        return None
    return spec.first, spec.last


def _to_the_end(requested: str) -> bool:
    specs = parse_range(requested)
    return specs is not None and len(specs) == 1 and (specs[0].first is None or specs[0].last is None)
