"""What a reply comes to for one request: 200, 304, 206 or 416, its fields, and which bytes of the body. Pure.

RFC 9110 13 (conditional requests) and 14 (ranges), as far as a well-behaved origin needs them: If-None-Match before
If-Modified-Since, If-Range, one range. Several ranges are answered with the whole, which 14.2 allows.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from http import HTTPStatus

from origin_stub.body import body_key
from origin_stub.reply import AUTO, Framing, Reply

_RANGE = re.compile(r"bytes=[ \t]*(\d*)-(\d*)[ \t]*", re.ASCII | re.IGNORECASE)
_FIRST = datetime(2026, 1, 1, tzinfo=UTC)
_ETAG = re.compile(r'(?:W/)?"[^"]*"')


@dataclass(frozen=True, slots=True)
class Question:
    """What of a request decides the answer. `field` gives all lines of a field as one list value, or None."""

    method: str
    path: str
    field: Callable[[str], str | None]
    http10: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """An answer ready to be written: the head, and the bytes [start, stop) of a body of `size`."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    framing: Framing
    key: str
    version: int
    size: int
    start: int
    stop: int
    silent: bool  # HEAD, 304: the framing fields of a body that is not sent


def plan(reply: Reply, question: Question, version: int, serial: int) -> Plan:
    """The answer that this reply is to this question, at this version of the path's content."""
    if reply.version is not None:
        version = reply.version
    selecting = [f"{name}={question.field(name) or ''}" for name in reply.vary]
    key = body_key(question.path, "&".join(selecting))
    size = len(reply.body) if reply.body is not None else reply.size
    status, start, stop = reply.status, 0, size
    head = list(reply.headers)
    etag = _etag(key, version, size, reply.body) if reply.etag == AUTO else reply.etag
    modified = _modified(version) if reply.last_modified == AUTO else reply.last_modified
    if etag is not None:
        head.append(("ETag", etag))
    if modified is not None:
        head.append(("Last-Modified", modified))
    if reply.vary:
        head.append(("Vary", ", ".join(reply.vary)))
    if not reply.plain:
        head += (("Stub-Version", str(version)), ("Stub-Serial", str(serial)))
    if status == 200 and question.method in ("GET", "HEAD"):
        if reply.conditional and _unchanged(question, etag, modified):
            status = 304
        elif reply.ranges and reply.raw is None and question.method == "GET" and size:
            asked = _range(question, size, etag, modified)
            if asked is not None:
                start, stop = asked
                status = 206 if start < stop else 416
                shown = f"{start}-{stop - 1}/{size}" if start < stop else f"*/{size}"
                head.append(("Content-Range", shown.join(("bytes ", ""))))
    if status == 416:
        start = stop = 0
    elif status == 304:
        # RFC 9110 15.4.5: no representation metadata beyond what guides the cache.
        head = [(name, value) for name, value in head if name.lower() != "content-type"]
    framing = reply.framing
    if status == 304 or framing is None:
        framing = Framing.NONE if status < 200 or status in (204, 304) else Framing.LENGTH
    reason = reply.reason if reply.reason is not None and status == reply.status else _phrase(status)
    silent = question.method == "HEAD" or status == 304
    return Plan(status, reason, tuple(head), framing, key, version, size, start, stop, silent)


def _etag(key: str, version: int, size: int, body: bytes | None) -> str:
    seed = f"{key} {size} ".encode("utf-8", "surrogateescape") + (body or b"")
    return f'"v{version}-{hashlib.blake2b(seed, digest_size=5).hexdigest()}"'


def _modified(version: int) -> str:
    # A minute apart, so that two versions differ at the resolution of HTTP dates and are never "weak".
    return format_datetime(_FIRST + timedelta(minutes=version), usegmt=True)


def _unchanged(question: Question, etag: str | None, modified: str | None) -> bool:
    known = question.field("If-None-Match")
    if known is not None:
        # RFC 9110 13.1.3: If-Modified-Since is ignored where If-None-Match stands.
        if known.strip() == "*":
            return True
        return etag is not None and _opaque(etag) in {_opaque(one) for one in _ETAG.findall(known)}
    since, changed = _date(question.field("If-Modified-Since")), _date(modified)
    return since is not None and changed is not None and changed <= since


def _range(question: Question, size: int, etag: str | None, modified: str | None) -> tuple[int, int] | None:
    """The bytes [start, stop) asked for; empty if unsatisfiable; None where the whole is the answer."""
    asked = _RANGE.fullmatch(question.field("Range") or "")
    if asked is None or not (asked[1] or asked[2]):
        return None
    condition = question.field("If-Range")
    # RFC 9110 13.1.5: strong comparison, or the exact date.
    if condition is not None and condition not in {one for one in (etag, modified) if one and one[:2] != "W/"}:
        return None
    if not asked[1]:
        last = int(asked[2])
        return (max(0, size - last), size) if last else (size, size)
    start = int(asked[1])
    end = int(asked[2]) if asked[2] else size - 1
    if asked[2] and end < start:
        return None
    return (start, min(end + 1, size)) if start < size else (size, size)


def _opaque(etag: str) -> str:
    return etag.removeprefix("W/")


def _date(text: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(text) if text else None
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found is not None and found.tzinfo is None else found


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
