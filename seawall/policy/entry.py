"""A stored response as policy sees it: its head, what selected it, and instants computed once, at store time.

Knows no body; a store keeps that beside the entry. There are as many of these as objects, so it is held in few and
small pieces: its fields as octets (packed.py), its instants in one string of doubles, its words shared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from struct import Struct
from typing import TYPE_CHECKING

from seawall.http.headers import Headers
from seawall.policy.packed import pack, unpack


@dataclass(frozen=True, slots=True)
class Part:
    """The bytes held of a partial response: [first, last], of `total` where the origin told it (RFC 9110 14.4)."""

    first: int
    last: int
    total: int | None
    requested: str  # the Range value that it answered, for reuse by the very same request


@dataclass(frozen=True, slots=True)
class Kind:
    """What thousands of entries have in common, and share."""

    method: str
    status: int
    reason: str
    no_cache: bool
    must_revalidate: bool
    invalidated: bool
    traced: bool  # does the packed head begin its second part with fields that a reply joins its own member to?
    line: bytes | None
    """The status line of a reply, where the packed head's first part may stand below it as it is; else None."""


@lru_cache(maxsize=1024)
def _kind(
    method: str, status: int, reason: str, no_cache: bool, must_revalidate: bool, invalidated: bool, packed: _Use
) -> Kind:
    plain, traced = packed
    line = None
    if plain and reason.isascii() and (reason.isprintable() or not reason):
        line = f"HTTP/1.1 {status} {reason}\r\n".encode("ascii")
    return Kind(method, status, reason, no_cache, must_revalidate, invalidated, traced, line)


_Use = tuple[bool, bool]

Varied = tuple[tuple[str, str | None], ...]


@lru_cache(maxsize=1024)
def _same(varied: Varied) -> Varied:
    """One tuple for all who say the same."""
    return varied


@lru_cache(maxsize=1024)
def _tag(tag: str) -> str:
    """One string for a tag that many carry."""
    return tag


_INSTANTS = Struct("7dI")  # and how long the shown part of the head is: to look for its end is 0.4 us
# `born_at`, `fresh_until` and that length: unpack_span(entry.instants, SPAN_AT) is Entry.span, two calls cheaper.
unpack_span: Callable[[bytes, int], tuple[float, float, int]] = Struct("2d24xI").unpack_from
SPAN_AT = 16
# A float of its own is 24 bytes and 8 for the place it is held in; seven in one string are 96 where they would be 224.
_PLACES = ("requested_at", "stored_at", "born_at", "fresh_until", "swr_until", "sie_until", "unreachable_until")


@dataclass(frozen=True, init=False)
class Entry:
    """One stored response, immutable; a refresh makes a new one. Instants are seconds since the epoch.

    `varied` holds the selecting fields of the request that fetched it: lower-case name and normalised
    value, or None for absent (RFC 9111 4.1). `headers` is made of `fields` at each look, and kept while it is
    looked at often; `fields` is the head as packed.py writes it down, or a map where it cannot.
    """

    __slots__ = ("fields", "instants", "kind", "part", "tags", "varied")

    method: str  # of the requests that it answers: GET, also where a POST brought it (RFC 9110 9.3.3)
    status: int
    reason: str
    headers: Headers  # as stored: end-to-end only, the origin's Date kept, Age removed
    varied: Varied
    requested_at: float
    stored_at: float
    born_at: float  # stored_at - corrected_initial_age: current_age is now - born_at (RFC 9111 4.2.3)
    fresh_until: float
    swr_until: float  # may be served stale while it is refreshed (RFC 5861 3), absolute; == fresh_until: never
    sie_until: float  # may be served stale on the listed errors (RFC 5861 4)
    unreachable_until: float  # may be served stale when the origin cannot be reached (RFC 9111 4.2.4)
    no_cache: bool  # validate each time
    must_revalidate: bool  # RFC 9111 5.2.2.2, or 5.2.2.8 proxy-revalidate: never stale without the origin
    part: Part | None
    tags: tuple[str, ...]
    invalidated: bool  # by an unsafe method or soft purge: stale from now on

    def __init__(
        self,
        method: str,
        status: int,
        reason: str,
        headers: Headers,
        varied: Varied,
        requested_at: float,
        stored_at: float,
        born_at: float,
        fresh_until: float,
        swr_until: float,
        sie_until: float,
        unreachable_until: float,
        no_cache: bool = False,
        must_revalidate: bool = False,
        part: Part | None = None,
        tags: tuple[str, ...] = (),
        invalidated: bool = False,
    ) -> None:
        packed = pack(headers)
        use = (packed.plain, packed.traced) if packed is not None else (False, False)
        _put_kind(self, _kind(method, status, reason, no_cache, must_revalidate, invalidated, use))
        _put_fields(self, headers if packed is None else packed.octets)
        _put_varied(self, _same(varied) if varied else ())
        _put_instants(
            self,
            _INSTANTS.pack(
                requested_at,
                stored_at,
                born_at,
                fresh_until,
                swr_until,
                sie_until,
                unreachable_until,
                0 if packed is None else packed.shown_bytes,
            ),
        )
        _put_part(self, part)
        _put_tags(self, tuple(map(_tag, tags)) if tags else ())

    if TYPE_CHECKING:
        kind: Kind
        fields: Headers | bytes
        instants: bytes

    @property
    def head_bytes(self) -> int:
        """The octets of names and values, without what stands between and behind them."""
        fields = self.fields
        if isinstance(fields, bytes):
            return len(fields) - 4 * fields.count(b"\n") + 2  # one of the lines is the empty one
        return sum(len(name) + len(value) for name, value in fields.items())

    @property
    def span(self) -> tuple[float, float, int]:
        """`born_at`, `fresh_until` and the length of the first part of `fields`: all that a hit asks."""
        return unpack_span(self.instants, SPAN_AT)

    @property
    def fetch_seconds(self) -> float:
        """How long the last fetch or validation took, from asking until its head was here (XFetch's delta).

        Without the body: that comes as fast as its readers take it, which says nothing of the origin.
        """
        return max(self.stored_at - self.requested_at, 0.0)


# What object.__setattr__ would look up by name each time, for every one of them: 0.2 us an entry.
_put_fields, _put_instants, _put_kind, _put_part, _put_tags, _put_varied = (
    Entry.__dict__[name].__set__ for name in Entry.__slots__
)


def _fields(entry: Entry) -> Headers:
    fields = entry.fields
    return unpack(fields) if isinstance(fields, bytes) else fields


def _instant(place: int) -> Callable[[Entry], float]:
    double = Struct(f"{8 * place}xd")

    def instant(entry: Entry) -> float:
        value: float = double.unpack_from(entry.instants)[0]
        return value

    return instant


# Set from outside: in the class body they would be the dataclass's defaults. 0.1 us a look.
for _name in ("method", "status", "reason", "no_cache", "must_revalidate", "invalidated"):
    setattr(Entry, _name, property(attrgetter(f"kind.{_name}")))
for _place, _name in enumerate(_PLACES):
    setattr(Entry, _name, property(_instant(_place)))
Entry.headers = property(_fields)  # type: ignore[assignment]
