"""A stored head as octets: what a client is shown first, what stays with caches behind it.

    Name: value CRLF ... CRLF        what every reply carries, in the order it came, ready to go out
    Name: value CRLF ...             the rest: fields of the way here (Via), the length, what is for caches only

A map of ten fields takes 2 to 3 KiB of memory and its octets 300 B, and a hit needs the octets. Lines of one name
keep their order; lines of different names may change theirs, which means nothing (RFC 9110 5.3).
"""

from __future__ import annotations

from functools import lru_cache

from seawall.http.headers import Headers, headers
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
# Heads that are octet for octet the same are held once, if they come within so many of each other.
_SHARED = 1024


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
    shown: list[str] = []
    traced: list[str] = []
    rest: list[str] = []
    plain = False
    odd = False
    for name, value in fields.items():
        lower = name.lower()
        line = f"{name}: {value}\r\n"
        if lower in APPENDED:
            traced.append(line)
        elif lower in _BEHIND:
            rest.append(line)
        else:
            shown.append(line)
            plain = plain or lower == "date"
            odd = odd or lower in _NOT_AS_IT_IS
        if ":" in name or not name:
            return None
    text = "".join([*shown, "\r\n", *traced, *rest])
    if not shown or text.count("\n") != len(fields) + 1 or text.count("\r") != len(fields) + 1 or "\0" in text:
        return None
    try:
        octets = text.encode("latin-1")
    except UnicodeEncodeError:
        return None
    return Packed(_shared(octets), sum(map(len, shown)), plain=plain and not odd, traced=bool(traced))


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
