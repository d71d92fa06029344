"""Heads of messages as the inside sees them: parsed, validated, immutable."""

from __future__ import annotations

from dataclasses import dataclass, field

from seawall.http.headers import Headers, no_fields


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A request's control data and fields (RFC 9110 6.2).

    `authority` is canonical: lower-case host, port only where it is not the scheme's own.
    `target` is the origin-form exactly as it will be forwarded, or "*" of OPTIONS; never re-encoded.
    """

    method: str
    scheme: str
    authority: str
    target: str
    headers: Headers = field(default_factory=no_fields)
    minor: int = 1

    @property
    def url(self) -> str:
        """What a client would request, scheme and host included; the key of the cache unless a route says more."""
        return f"{self.scheme}://{self.authority}{self.target}"


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """A response's status and fields. `reason` may be empty; it never holds CR or LF."""

    status: int
    reason: str
    headers: Headers = field(default_factory=no_fields)
    minor: int = 1
