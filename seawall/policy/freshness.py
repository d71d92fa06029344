"""How long a response is fresh, how old it is, and how long it may be served stale (RFC 9111 4.2).

Knows no clock and no store: `now` is an argument, and what is computed here is kept in the entry, so that a
hit compares two numbers. Durations are seconds, instants seconds since the epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from seawall.http.dates import parse_date
from seawall.http.fields import MAX_DELTA_SECONDS, parse_age
from seawall.http.headers import Headers, combined
from seawall.policy.control import Control, Speaker
from seawall.policy.rules import Rules

# RFC 9110 15.1: "Responses with status codes that are defined as heuristically cacheable".
HEURISTICALLY_CACHEABLE = frozenset({200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501})

# RFC 9111 4.2.2: "A typical setting of this fraction might be 10%."
_HEURISTIC_FRACTION = 0.1
# A page of ten years is not fresh for one. Apache's CacheMaxExpire is a day, Squid's refresh_pattern three.
_HEURISTIC_MOST = 86400.0


class Source(StrEnum):
    """What a lifetime rests on."""

    ROUTE = "route"
    CDN_CACHE_CONTROL = "cdn-cache-control"
    SURROGATE_CONTROL = "surrogate-control"
    S_MAXAGE = "s-maxage"
    MAX_AGE = "max-age"
    EXPIRES = "expires"
    NEGATIVE = "negative"
    HEURISTIC = "heuristic"
    DEFAULT = "default"


# The origin itself said how long, in this response.
EXPLICIT = frozenset(
    {Source.CDN_CACHE_CONTROL, Source.SURROGATE_CONTROL, Source.S_MAXAGE, Source.MAX_AGE, Source.EXPIRES}
)


@dataclass(frozen=True, slots=True)
class Lifetime:
    """A freshness lifetime (RFC 9111 4.2.1) and who said so. Never negative."""

    seconds: float
    source: Source


class Instants(NamedTuple):
    """What an entry is judged by on each hit; see Entry. Made for every response: 0.26 us, a frozen dataclass 0.8."""

    born_at: float
    fresh_until: float
    swr_until: float
    sie_until: float
    unreachable_until: float


def lifetime(status: int, fields: Headers, said: Control, rules: Rules, now: float) -> Lifetime | None:
    """How long this response is fresh, or None where nobody says.

    `now` is when the response was received.
    """
    if rules.ttl is not None and _went_well(status):
        return Lifetime(max(rules.ttl, 0.0), Source.ROUTE)
    explicit = _explicit(fields, said, now)
    if explicit is not None:
        return explicit
    negative = _negative(status, rules)
    if negative is not None:
        # Before the heuristic: a bounded time for an error that somebody chose beats a guess.
        return Lifetime(negative, Source.NEGATIVE)
    heuristic = _heuristic(status, fields, said, now)
    if heuristic is not None:
        return heuristic
    if rules.default_ttl is not None and _went_well(status):
        return Lifetime(max(rules.default_ttl, 0.0), Source.DEFAULT)
    return None


def _went_well(status: int) -> bool:
    """What the route says in general is meant for what went well; its negative_ttl is for the rest."""
    return status in HEURISTICALLY_CACHEABLE and status < 400


def _explicit(fields: Headers, said: Control, now: float) -> Lifetime | None:
    if said.speaker is not Speaker.CACHE_CONTROL:
        # RFC 9213 2.2: a targeted field that says nothing of freshness does not bring Expires back.
        seconds = said.max_age if said.s_maxage is None else said.s_maxage
        source = Source.CDN_CACHE_CONTROL
        if said.speaker is Speaker.SURROGATE_CONTROL:
            source = Source.SURROGATE_CONTROL
        return None if seconds is None else _said(seconds, source)
    # RFC 9111 4.2.1: the first that is there of s-maxage (as we are shared), max-age, and Expires minus Date.
    if said.s_maxage is not None:
        return _said(said.s_maxage, Source.S_MAXAGE)
    if said.max_age is not None:
        return _said(said.max_age, Source.MAX_AGE)
    lines = fields.getall("expires", None)
    if lines is None:
        return None
    # RFC 9111 5.3: "A cache recipient MUST interpret invalid date formats, especially the value "0", as
    # representing a time in the past". More than one line is no date either.
    expires_at = parse_date(lines[0], now) if len(lines) == 1 else None
    if expires_at is None:
        return Lifetime(0.0, Source.EXPIRES)
    return Lifetime(max(expires_at - date_of(fields, now), 0.0), Source.EXPIRES)


@lru_cache(maxsize=1024)  # a site says a few: 0.07 us from here, 0.4 us to make
def _said(seconds: int, source: Source) -> Lifetime:
    return Lifetime(float(seconds), source)


def _heuristic(status: int, fields: Headers, said: Control, now: float) -> Lifetime | None:
    # RFC 9111 4.2.2: "A cache MUST NOT use heuristics to determine freshness when an explicit expiration time is
    # present", and only for a status defined as heuristically cacheable, or one that is marked public.
    if said.speaker is not Speaker.CACHE_CONTROL or not (status in HEURISTICALLY_CACHEABLE or said.public):
        return None
    modified_at = last_modified(fields, now)
    if modified_at is None:
        return None
    elapsed = date_of(fields, now) - modified_at
    return Lifetime(min(max(elapsed * _HEURISTIC_FRACTION, 0.0), _HEURISTIC_MOST), Source.HEURISTIC)


def _negative(status: int, rules: Rules) -> float | None:
    if status < 400:
        return None
    named = dict(rules.negative_ttl)
    seconds = named.get(str(status), named.get(f"{status // 100}xx"))
    return None if seconds is None else max(seconds, 0.0)


def date_of(fields: Headers, received_at: float) -> float:
    """The instant of Date; where it is missing or unreadable, when the message came (RFC 9110 6.6.1)."""
    value = fields.get("date")
    stamped_at = parse_date(value, received_at) if value is not None else None
    return received_at if stamped_at is None else stamped_at


def last_modified(fields: Headers, now: float) -> float | None:
    """The instant of Last-Modified, or None."""
    value = fields.get("last-modified")
    return None if value is None else parse_date(value, now)


def corrected_initial_age(fields: Headers, requested_at: float, received_at: float) -> float:
    """Seconds since the origin made or validated this response, as of `received_at` (RFC 9111 4.2.3)."""
    response_delay = max(received_at - requested_at, 0.0)
    age_value = (parse_age(combined(fields, "age")) or 0) if "age" in fields else 0
    corrected_age_value = age_value + response_delay
    # RFC 9111 4.2.3: "apparent_age = max(0, response_time - date_value)". Of two the larger, and the other is not
    # negative: the 0 can stay away.
    apparent_age = received_at - date_of(fields, received_at)
    # Both, as 4.2.3 has it: the larger one is the safe one, whoever's clock is wrong.
    return max(apparent_age, corrected_age_value)


def current_age(born_at: float, now: float) -> float:
    """Seconds, never negative; never more than an Age field can say (RFC 9111 1.2.2)."""
    return min(max(now - born_at, 0.0), float(MAX_DELTA_SECONDS))


def instants(
    fresh: Lifetime | None, fields: Headers, said: Control, rules: Rules, requested_at: float, now: float
) -> Instants:
    """When it stops being fresh, and for how long it may be served stale.

    Without a lifetime it is stale from the start, to be validated on each use.
    """
    born_at = now - corrected_initial_age(fields, requested_at, now)
    fresh_until = born_at + (fresh.seconds if fresh is not None else 0.0)
    while_revalidating, on_error, unreachable = _stale_windows(said, rules)
    return Instants(
        born_at, fresh_until, fresh_until + while_revalidating, fresh_until + on_error, fresh_until + unreachable
    )


def _stale_windows(said: Control, rules: Rules) -> tuple[float, float, float]:
    """Seconds past freshness: while it is refreshed, on listed errors, when the origin cannot be reached."""
    # RFC 9111 4.2.4: "A cache MUST NOT generate a stale response if it is prohibited by an explicit in-protocol
    # directive (e.g., by a no-cache response directive, a must-revalidate response directive, or an applicable
    # s-maxage or proxy-revalidate response directive)".
    if said.no_cache or said.must_revalidate or said.proxy_revalidate:
        return 0.0, 0.0, 0.0
    refreshing, error = said.stale_while_revalidate, said.stale_if_error
    if said.s_maxage is not None and said.speaker is Speaker.CACHE_CONTROL:
        # What stands beside s-maxage in the same field is the origin's own permission (RFC 5861 3 and 4), and
        # "s-maxage=1, stale-while-revalidate=59" is how it is written today. What the origin did not say, a
        # route may not add.
        return float(refreshing or 0), float(error or 0), float(error or 0)
    while_revalidating = rules.stale_while_revalidate if refreshing is None else float(refreshing)
    on_error = rules.stale_if_error if error is None else float(error)
    # Who said how long errors may be bridged has said it for a dead origin too; the default is for nobody's word.
    unreachable = rules.stale_if_unreachable if on_error is None else on_error
    return (
        0.0 if while_revalidating is None else max(while_revalidating, 0.0),
        0.0 if on_error is None else max(on_error, 0.0),
        max(unreachable, 0.0),
    )
