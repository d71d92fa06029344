"""A stored head as octets: what a client is shown first, what stays with caches behind it.

    Name: value CRLF ... CRLF        what every reply carries, in the order it came, ready to go out
    Name: value CRLF ...             the rest: fields of the way here (Via), the length, what is for caches only

A map of ten fields takes 2 to 3 KiB of memory and its octets 300 B, and a hit needs the octets. Lines of one name
keep their order; lines of different names may change theirs, which means nothing (RFC 9110 5.3).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from operator import itemgetter
from typing import NamedTuple

from seawall.http.headers import Headers, headers
from seawall.http.memo import Memo
from seawall.policy.trace import APPENDED, INTERNAL

# The tail, in this order: first what each reply joins its own member to.
_LENGTH = frozenset({"content-length"})
_BEHIND = INTERNAL | _LENGTH | APPENDED

# Fields that the connection or the reply makes, or treats in a way of its own: a head that has one of these, or no
# Date, is no sequence of octets that could simply go out.
_NOT_AS_IT_IS = frozenset(
    {
        "age",
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# How many maps are kept beside their octets, for the heads in use at the moment: 256 of them are 700 KB.
_MAPS = 256
# Heads that are octet for octet the same are held once, if they come within so many of each other; longer ones are
# not worth what 1024 of them would hold on to.
_SHARED = 1024
_SHARED_BYTES = 4096


class Packed:
    """The octets of a head, and how they may be used. `plain`: the first part, which is `shown_bytes` long, goes out as
    it is. `traced`: the second part begins with fields that a reply joins its own member to."""

    __slots__ = ("octets", "plain", "shown_bytes", "traced")

    def __init__(self, octets: bytes, shown_bytes: int, *, plain: bool, traced: bool) -> None:
        self.octets = octets
        self.shown_bytes = shown_bytes
        self.plain = plain
        self.traced = traced


def pack(fields: Headers) -> Packed | None:
    """None where octets could not give the very same fields back: such a head stays a map."""
    names, values = list(fields), tuple(fields.values())
    if len(names) != len(values):  # a map names each of its fields once, however many lines it has
        names = [name for name, _ in fields.items()]
    layout = _LAYOUTS["\n".join(names)]
    if layout is None or layout.lines != len(values):
        return None
    said = "".join(values)
    if "\n" in said or "\r" in said or "\0" in said:
        return None
    _, template, in_order, plain, traced = layout
    text = template % in_order(values)
    try:
        octets = text.encode("latin-1")
    except UnicodeEncodeError:
        return None
    if len(octets) <= _SHARED_BYTES:
        octets = _shared(octets)
    return Packed(octets, text.index("\r\n\r\n") + 2, plain=plain, traced=traced)


class _Layout(NamedTuple):
    """Where the lines of these names stand. `template` wants the values in the order that `in_order` puts them in."""

    lines: int
    template: str
    in_order: Callable[[tuple[str, ...]], object]
    plain: bool
    traced: bool


def _layout(joined: str) -> _Layout | None:
    """For names that line feeds keep apart; a name with one in it makes it a layout of more lines than there are."""
    shown: list[int] = []
    traced: list[int] = []
    rest: list[int] = []
    names = joined.split("\n")
    lowered = [name.lower() for name in names]
    for place, lower in enumerate(lowered):
        (traced if lower in APPENDED else rest if lower in _BEHIND else shown).append(place)
    if not shown or not all(names) or any(mark in joined for mark in ":\r\0"):
        return None
    order = [*shown, *traced, *rest]
    lines = [f"{names[place]}: ".replace("%", "%%") + "%s\r\n" for place in order]
    plain = "date" in lowered and _NOT_AS_IT_IS.isdisjoint(lowered)
    template = "".join([*lines[: len(shown)], "\r\n", *lines[len(shown) :]])
    return _Layout(len(names), template, itemgetter(*order), plain, bool(traced))


# Whoever answers, answers with the same names in the same order: 1.9 us for 6 lines with a layout from here, 3.4 for a
# walk over them. 256 of these are at most 700 KB.
_LAYOUTS = Memo(_layout, longest=512, most=256)


def unpack(octets: bytes) -> Headers:
    """The fields of what pack() made."""
    return _unpack(octets)


@lru_cache(maxsize=_MAPS)
def _unpack(octets: bytes) -> Headers:
    lines = octets.decode("latin-1").split("\r\n")
    return headers([(name, value) for name, _, value in [line.partition(": ") for line in lines if line]])


@lru_cache(maxsize=_SHARED)
def _shared(octets: bytes) -> bytes:
    return octets
