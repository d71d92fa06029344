"""A stored response as policy sees it: its head, what selected it, and instants computed once, at store time.

Knows no body; a store keeps that beside the entry.
"""

from __future__ import annotations

from dataclasses import dataclass

from seawall.http.headers import Headers


@dataclass(frozen=True, slots=True)
class Part:
    """The bytes held of a partial response: [first, last], of `total` where the origin told it (RFC 9110 14.4)."""

    first: int
    last: int
    total: int | None
    requested: str  # the Range value that it answered, for reuse by the very same request


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored response, immutable; a refresh makes a new one. Instants are seconds since the epoch.

    `varied` holds the selecting fields of the request that fetched it: lower-case name and normalised
    value, or None for absent (RFC 9111 4.1).
    """

    method: str  # of the requests that it answers: GET, also where a POST brought it (RFC 9110 9.3.3)
    status: int
    reason: str
    headers: Headers  # as stored: end-to-end only, the origin's Date kept, Age removed
    varied: tuple[tuple[str, str | None], ...]
    requested_at: float
    stored_at: float
    born_at: float  # stored_at - corrected_initial_age: current_age is now - born_at (RFC 9111 4.2.3)
    fresh_until: float
    swr_until: float  # may be served stale while it is refreshed (RFC 5861 3), absolute; == fresh_until: never
    sie_until: float  # may be served stale on the listed errors (RFC 5861 4)
    unreachable_until: float  # may be served stale when the origin cannot be reached (RFC 9111 4.2.4)
    no_cache: bool = False  # validate each time
    must_revalidate: bool = False  # RFC 9111 5.2.2.2, or 5.2.2.8 proxy-revalidate: never stale without the origin
    part: Part | None = None
    tags: tuple[str, ...] = ()
    invalidated: bool = False  # by an unsafe method or soft purge: stale from now on
