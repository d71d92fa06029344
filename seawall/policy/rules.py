"""What a route may say beyond the RFCs, as the values policy needs. Built by the roles' node.py from the file."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SetCookie(StrEnum):
    """What to do with a response that sets a cookie.

    RFC 9111 7.3 leaves it to the cache; frameworks leak sessions that way, so the default asks the origin
    to have made sharing explicit (`public`, `s-maxage`, or CDN-Cache-Control).
    """

    EXPLICIT = "explicit"
    STORE = "store"
    STRIP = "strip"
    PASS = "pass"  # noqa: S105


@dataclass(frozen=True, slots=True)
class KeyRules:
    """What of a request names the stored response, beyond scheme, host and path.

    `query_allow` None keeps the whole query as it came; else only these names, in their order of arrival.
    `query_deny` drops names (a trailing * matches a prefix). What is dropped is not forwarded either:
    the key is exactly what the origin saw.
    """

    query_allow: tuple[str, ...] | None = None
    query_deny: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    cookies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rules:
    """A route's say in policy. Durations in seconds; None: the route says nothing."""

    cache: bool = True
    ttl: float | None = None  # overrides how long the origin said, for what went well; never a no-store or private
    default_ttl: float | None = None  # where the origin said nothing
    stale_while_revalidate: float | None = None  # where the origin said nothing
    stale_if_error: float | None = None  # where the origin said nothing
    negative_ttl: tuple[tuple[str, float], ...] = ()  # ("404", 60.0), ("5xx", 5.0): where the origin said nothing
    set_cookie: SetCookie = SetCookie.EXPLICIT
    request_directives: bool = False  # may a client's Cache-Control force us to the origin?
    # RFC 9111 4.2.4 lets a disconnected cache serve stale; a day, so that nobody reads last month's news
    # because an origin died in between.
    stale_if_unreachable: float = 86400.0
    early_refresh: float = 0.0  # XFetch's beta: 1 is the paper's, more is earlier, 0 is never
    ttl_jitter: float = 0.0  # freshness is shortened by up to this share, by chance
    min_uses: int = 1  # asked for this often lately, a key's response is stored
    tags: tuple[str, ...] = ()
    key: KeyRules = KeyRules()
    max_object_bytes: int = 32 * 1024 * 1024
    max_variants: int = 64
    max_head_bytes: int = 64 * 1024


DEFAULT = Rules()
