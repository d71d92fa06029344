"""How long a body is (RFC 9112 6), and whether the connection lives on behind it (9.3).

Where two readers could count differently, the message is refused: every smuggling attack lives on a
framing that one side reads generously (HAZARDS T01-T04, T11, T21, T25). Knows heads only, no bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from seawall.http.bad import Bad
from seawall.http.headers import Headers, connection_options
from seawall.http.message import RequestHead, ResponseHead

_NONE: frozenset[str] = frozenset()
# What nearly every browser and tool sends: 0.1 us from this table, 0.6 us to read.
_COMMON = {value: frozenset({value.lower()}) for value in ("keep-alive", "Keep-Alive", "close", "Close")}


@dataclass(frozen=True, slots=True)
class NoBody:
    """The message ends with its head."""


@dataclass(frozen=True, slots=True)
class Length:
    """Exactly this many octets follow; 0 where Content-Length says 0."""

    length_bytes: int


@dataclass(frozen=True, slots=True)
class Chunked:
    """Chunks follow, up to the last one."""


@dataclass(frozen=True, slots=True)
class UntilClose:
    """Only the end of the connection ends the body: wholeness cannot be proven (HAZARDS T23)."""


NO_BODY = NoBody()
CHUNKED = Chunked()
UNTIL_CLOSE = UntilClose()

# RFC 9110 8.6 says 1*DIGIT. Leading zeros are octal to somebody, and 18 digits fit every peer's integer.
CONTENT_LENGTH = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)

# A well-formed list that ends with chunked, once: RFC 9112 6.1 asks for 501 where a coding is not understood.
_OTHER_CODINGS = re.compile(r"(?:(?!chunked)[a-z-]++[ \t]*,[ \t]*)+chunked", re.ASCII)

# Connection may not name what frames or routes the message it came with (HAZARDS T11, CVE-2022-45059).
_NEVER_AN_OPTION = frozenset({"content-length", "transfer-encoding", "host"})


def request_framing(head: RequestHead) -> NoBody | Length | Chunked | Bad:
    """RFC 9112 6.3 for a request. The method plays no part: a GET may have a body (HAZARDS T08, T34)."""
    fields = head.headers
    if not _NEVER_AN_OPTION.isdisjoint(_options(fields)):
        return Bad(400, "Connection names a field of framing or routing")
    delimiter = _delimiter(fields, head.minor)
    if delimiter is None:
        return NO_BODY
    return delimiter


def response_framing(request_method: str, head: ResponseHead) -> NoBody | Length | Chunked | UntilClose | Bad:
    """RFC 9112 6.3 for a response to this method."""
    delimiter = _delimiter(head.headers, head.minor)
    if isinstance(delimiter, Bad):
        # A faulty response is our gateway's failure, whichever way it is faulty.
        return Bad(502, delimiter.reason)
    if head.status < 200 or head.status == 204:
        # RFC 9110 8.6, RFC 9112 6.1: neither field may be there; a peer that sends one may send a body.
        if delimiter is not None and delimiter != Length(0):
            return Bad(502, "a body announced with a status that has none")
        return NO_BODY
    if request_method == "HEAD" or head.status == 304:
        return NO_BODY
    return UNTIL_CLOSE if delimiter is None else delimiter


def keep_alive(head: RequestHead | ResponseHead) -> bool:
    """Whether the sender will go on with the connection behind this message (RFC 9112 9.3)."""
    options = _options(head.headers)
    if "close" in options:
        return False
    return head.minor == 1 or "keep-alive" in options


def _options(fields: Headers) -> frozenset[str]:
    lines = fields.getall("connection", None)
    if lines is None:
        return _NONE
    return (_COMMON.get(lines[0]) if len(lines) == 1 else None) or connection_options(fields)


def _delimiter(fields: Headers, minor: int) -> Length | Chunked | Bad | None:
    """What the two framing fields say together; None where neither is there."""
    lengths = fields.getall("content-length", ())
    codings = fields.getall("transfer-encoding", ())
    if codings:
        if lengths:
            # RFC 9112 6.3: "ought to be handled as an error"; taking TE, as it allows, is how requests are smuggled.
            return Bad(400, "both Content-Length and Transfer-Encoding")
        if minor == 0:
            # RFC 9112 6.1: a 1.0 sender cannot mean it.
            return Bad(400, "Transfer-Encoding in HTTP/1.0")
        if len(codings) > 1:
            return Bad(400, "more than one Transfer-Encoding")
        coding = codings[0].lower()
        if coding == "chunked" and codings[0].isascii():  # lower() makes a k of the Kelvin sign
            return CHUNKED
        if _OTHER_CODINGS.fullmatch(coding):
            return Bad(501, "a transfer coding other than chunked")
        return Bad(400, "Transfer-Encoding does not end with one chunked")
    if lengths:
        if len(lengths) > 1:
            # RFC 9110 8.6 lets equal ones pass; whoever counts lines differently would not (HAZARDS T02).
            return Bad(400, "more than one Content-Length")
        if CONTENT_LENGTH.fullmatch(lengths[0]) is None:
            return Bad(400, "invalid Content-Length")
        return Length(int(lengths[0]))
    return None
