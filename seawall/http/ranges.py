"""Byte ranges (RFC 9110 14): Range, Content-Range, and which bytes of a whole they mean.

Knows neither If-Range nor bodies. Positions are inclusive, as on the wire. A Range that cannot be read is
ignored (RFC 9110 14.2), which the caller does on None; one that is read but lies outside is for 416.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

# Apache and pingora stop at 200. Each part of multipart/byteranges costs about 100 bytes, so many tiny ranges
# are an amplifier (RangeAmp); a PDF reader, the heaviest honest user, asks for a dozen or two.
MAX_RANGES = 64

# Positions beyond this are one and the same: no representation is that long, and int() refuses long strings.
_FAR = 10**18

_UNIT = re.compile(r"bytes=", re.IGNORECASE | re.ASCII)
_SPEC = re.compile(r"([0-9]*)-([0-9]*)")
_CONTENT_RANGE = re.compile(r"bytes (?:([0-9]+)-([0-9]+)/([0-9]+|\*)|\*/([0-9]+))", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class RangeSpec:
    """One member of Range: "first-last", "first-" (last is None), or the last bytes "-n" (first is None, last is n)."""

    first: int | None
    last: int | None


@dataclass(frozen=True, slots=True)
class ContentRange:
    """What a 206 holds: bytes first to last, of `total` where the sender told it.

    The unsatisfied form of a 416, "*/total", holds nothing: first is 0 and last is -1.
    """

    first: int
    last: int
    total: int | None

    @property
    def unsatisfied(self) -> bool:
        """Is this the "*/total" of a 416?"""
        return self.last < self.first


def parse_range(value: str, max_ranges: int = MAX_RANGES) -> tuple[RangeSpec, ...] | None:
    """The members of a Range of bytes, at least one, in order.

    None where it is to be ignored: another unit, any malformed member, last before first, or more than
    `max_ranges` members. Never raises.
    """
    unit = _UNIT.match(value)
    if unit is None:
        return None
    specs: list[RangeSpec] = []
    for member in value[unit.end() :].split(","):
        text = member.strip(" \t")
        if not text:
            continue  # RFC 9110 5.6.1.2: a recipient ignores a reasonable number of empty list elements
        match = _SPEC.fullmatch(text)
        if match is None or text == "-" or len(specs) == max_ranges:
            return None
        first, last = _position(match[1]), _position(match[2])
        # RFC 9110 14.1.1: "An int-range is invalid if the last-pos value is present and less than first-pos."
        if first is not None and last is not None and last < first:
            return None
        specs.append(RangeSpec(first, last))
    return tuple(specs) or None


def _position(digits: str) -> int | None:
    if not digits:
        return None
    significant = digits.lstrip("0")
    return _FAR if len(significant) > 18 else int(significant or "0")


def resolve(specs: Iterable[RangeSpec], total: int) -> tuple[tuple[int, int], ...]:
    """The (first, last) positions in a representation of `total` bytes, none of them twice.

    Only what is satisfiable; () calls for 416. Ranges that overlap or touch become one, at the place of the
    earliest asked; the others keep the order in which they were asked (RFC 9110 15.3.7.2). So an answer never
    holds more than `total` bytes, whatever was asked.
    """
    satisfiable = sorted(
        (first, last, order) for order, spec in enumerate(specs) for first, last in _positions(spec, total)
    )
    merged: list[tuple[int, int, int]] = []  # order, first, last
    for first, last, order in satisfiable:
        if merged and first <= merged[-1][2] + 1:
            earliest, start, stop = merged[-1]
            merged[-1] = (min(earliest, order), start, max(stop, last))
        else:
            merged.append((order, first, last))
    return tuple((first, last) for _, first, last in sorted(merged))


def _positions(spec: RangeSpec, total: int) -> tuple[tuple[int, int], ...]:
    """One pair, or none where the range is unsatisfiable."""
    if spec.first is None:
        suffix = min(spec.last or 0, total)
        return ((total - suffix, total - 1),) if suffix else ()
    if spec.first >= total:
        return ()
    return ((spec.first, total - 1 if spec.last is None else min(spec.last, total - 1)),)


def parse_content_range(value: str) -> ContentRange | None:
    """Content-Range of bytes; None for other units and for what is invalid (RFC 9110 14.4). Never raises.

    Invalid is a last before first, and a total that is not greater than last: such a part must not be joined.
    """
    match = _CONTENT_RANGE.fullmatch(value)
    if match is None:
        return None
    if match[4] is not None:
        total = _position(match[4])
        return None if total == _FAR else ContentRange(0, -1, total)
    first, last = _position(match[1]), _position(match[2])
    total = None if match[3] == "*" else _position(match[3])
    if first is None or last is None or last < first or _FAR in (first, last, total):
        return None
    if total is not None and total <= last:
        return None
    return ContentRange(first, last, total)


def format_content_range(first: int, last: int, total: int | None) -> str:
    """The value of Content-Range: "bytes 0-4/10", "bytes 0-4/*"; "bytes */10" where last is before first."""
    of = "*" if total is None else total
    return f"bytes {first}-{last}/{of}" if first <= last else f"bytes */{of}"
