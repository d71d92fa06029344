"""Whether a response may be stored, and the entry that it becomes (RFC 9111 3).

Knows no body and no store. Every no has its name; the order of the checks is the order of their weight, so
that the reason told is the strongest one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from seawall.http.cachecontrol import parse_cache_control
from seawall.http.dates import format_date
from seawall.http.fields import parse_content_length, parse_vary
from seawall.http.headers import HOP_BY_HOP, Headers, combined, connection_options, headers, without
from seawall.http.message import RequestHead, ResponseHead
from seawall.policy.control import Control
from seawall.policy.entry import Entry, Part
from seawall.policy.forward import METHOD_OVERRIDES, OVERWRITTEN
from seawall.policy.freshness import (
    EXPLICIT,
    HEURISTICALLY_CACHEABLE,
    Instants,
    Lifetime,
    Source,
    instants,
    lifetime,
)
from seawall.policy.outcomes import PassOn
from seawall.policy.reasons import Reason
from seawall.policy.rules import Rules, SetCookie
from seawall.policy.tags import tags
from seawall.policy.validators import has_validator
from seawall.policy.vary import selected

# RFC 9111 3: if "the must-understand cache directive is present", then only where "the cache understands the
# response status code". The registry of RFC 9110 16.2.1; none of these has caching requirements that we lack.
UNDERSTOOD = frozenset(
    {*range(200, 209), 226, *range(300, 309), *range(400, 418), *range(421, 427), 428, 429, 431, 451}
    | {*range(500, 509), 510, 511}
)

# Answers to one request's own words, never to everybody's: preconditions and ranges (304, 412, 416),
# expectations, sizes (413, 431), connections (408, 421, 425, 426) and credentials for us (407). RFC 6585 forbids
# 428, 429, 431 and 511 outright: "Responses with the 4xx status code MUST NOT be stored by a cache".
_ONE_REQUESTS_OWN = frozenset({304, 407, 408, 412, 413, 416, 417, 421, 425, 426, 428, 429, 431, 511})

# An origin says these of a request that it could not take, and often blames a field that is not in the key
# (cache-poisoned denial of service, CPDoS 2019). RFC 9111 lets them be stored, and the origin may have meant it;
# so: only with freshness that it wrote itself, and only where the request had nothing about it to refuse.
# 414 is as heuristically cacheable as RFC 9110 15.5.15 says, as what it blames is the key itself.
_BLAMES_REQUEST = frozenset({400, 413, 414, 431, 501})
_BLAMES_FIELDS = frozenset({400, 501})
# Half of the smallest limit in wide use: 8 KiB in nginx, Apache and Tomcat.
_MODEST_BYTES = 4096

# RFC 9111 4.3.3 needs something to validate: error pages are fetched anew.
_WORTH_VALIDATING = frozenset({200, 203, 204, 206, 300, 301, 308})

# What these rest on: the request's fields, the status, and the cache directives of the response. Nothing else that the
# response or a route says makes such an answer storable.
BY_DIRECTIVES = frozenset({Reason.NO_STORE, Reason.PRIVATE})

# Explicit and the same for everybody: who asks next is told the same.
_SETTLED = frozenset({Reason.NO_STORE, Reason.PRIVATE, Reason.SET_COOKIE, Reason.VARY_STAR, Reason.MUST_UNDERSTAND})
_SETTLED_FOR_SUCCESS = frozenset(
    {
        Reason.NO_CACHE,
        Reason.NO_FRESHNESS,
        Reason.NOT_DELIMITED,
        Reason.STATUS,
        Reason.TOO_LARGE,
        Reason.HEAD_TOO_LARGE,
        Reason.TAGS_TOO_LARGE,
    }
)


def admit(
    request: RequestHead,
    reply: ResponseHead,
    said: Control,
    delimited: bool,
    candidates: Sequence[Entry],
    requested_at: float,
    now: float,
    rules: Rules,
    part: Part | None = None,
) -> Entry | PassOn:
    """The entry to store, or why not."""
    entry = _admit(request, reply, said, delimited, candidates, requested_at, now, rules, part)
    return entry if isinstance(entry, Entry) else _refused(entry, reply.status)


@lru_cache(maxsize=1024)
def _refused(reason: Reason, status: int) -> PassOn:
    """Not stored, and remembered where the next answer for this key will very likely be refused for the same reason.

    0.1 us from the memo and 0.5 us without; reasons and statuses are few.
    """
    settled = (reason in _SETTLED and status < 500) or (reason in _SETTLED_FOR_SUCCESS and status < 400)
    return PassOn(reason, remember=settled)


def _admit(
    request: RequestHead,
    reply: ResponseHead,
    said: Control,
    delimited: bool,
    candidates: Sequence[Entry],
    requested_at: float,
    now: float,
    rules: Rules,
    part: Part | None,
) -> Entry | Reason:
    veto = (
        _by_request(request, said)
        or _by_status(reply.status)
        or by_directives(reply, said)
        or _by_fields(reply, said, rules)
    )
    if veto is not None:
        return veto
    if not delimited:
        # HAZARDS T23: an aborted connection and the end of the body look the same.
        return Reason.NOT_DELIMITED
    fresh = lifetime(reply.status, reply.headers, said, rules, now)
    blamed = _by_blame(request, reply.status, fresh)
    if blamed is not None:
        return blamed
    times = instants(fresh, reply.headers, said, rules, requested_at, now)
    useless = _by_freshness(request, reply, said, fresh, times, now)
    if useless is not None:
        return useless
    entry = entry_of(request, reply, said, fresh, times, requested_at, now, rules, part)
    return entry if isinstance(entry, Reason) else _by_room(reply, entry, candidates, rules) or entry


def _by_request(request: RequestHead, said: Control) -> Reason | None:
    fields = request.headers
    if "cache-control" in fields and "no-store" in parse_cache_control(combined(fields, "cache-control")):
        # RFC 9111 5.2.1.5: "a cache MUST NOT store any part of either this request or any response to it".
        return Reason.REQUEST_NO_STORE
    if "authorization" in fields and not said.lets_authorized_be_shared:
        # RFC 9111 3.5: not to be used for others "unless the response contains a Cache-Control field with a response
        # directive ... that allows it to be stored by a shared cache".
        return Reason.AUTHORIZATION
    return None


def _by_status(status: int) -> Reason | None:
    # RFC 9111 3: "the response status code is final". Beyond 599 nothing is defined (RFC 9110 15).
    if not 200 <= status <= 599:
        return Reason.STATUS
    if status in _ONE_REQUESTS_OWN:
        return Reason.CLIENT_ERROR if status in _BLAMES_REQUEST else Reason.STATUS
    return None


def by_directives(reply: ResponseHead, said: Control) -> Reason | None:
    """RFC 9111 3: what the response itself says against being stored."""
    if said.must_understand:
        # RFC 9111 5.2.2.3: "the cache SHOULD ignore the no-store directive if it understands and implements the
        # status code's caching requirements".
        if reply.status not in UNDERSTOOD:
            return Reason.MUST_UNDERSTAND
    elif said.no_store:
        return Reason.NO_STORE  # RFC 9111 5.2.2.5
    return Reason.PRIVATE if said.private else None  # RFC 9111 5.2.2.7


def _by_fields(reply: ResponseHead, said: Control, rules: Rules) -> Reason | None:
    if "vary" in reply.headers:
        vary = parse_vary(combined(reply.headers, "vary"))
        # RFC 9111 4.1: "A stored response with a Vary header field value containing a member "*" always fails to
        # match." Nor can a request be matched by a field in which the origin reads our words, not the client's.
        if vary == "*" or not OVERWRITTEN.isdisjoint(vary):
            return Reason.VARY_STAR
    if "set-cookie" in reply.headers and not cookie_may_be_stored(said, rules):
        return Reason.SET_COOKIE
    return None


def cookie_may_be_stored(said: Control, rules: Rules) -> bool:
    """May an entry be made of a response that sets a cookie? RFC 9111 7.3 leaves it to us; see SetCookie."""
    if rules.set_cookie is SetCookie.EXPLICIT:
        return said.shared_explicitly or "set-cookie" in said.private_fields
    return rules.set_cookie is not SetCookie.PASS


def _by_blame(request: RequestHead, status: int, fresh: Lifetime | None) -> Reason | None:
    if status not in _BLAMES_REQUEST:
        return None
    if not _modest(request.headers):
        return Reason.CLIENT_ERROR
    if status in _BLAMES_FIELDS or (fresh is not None and fresh.source is Source.NEGATIVE):
        return None if fresh is not None and fresh.source in EXPLICIT else Reason.CLIENT_ERROR
    return None


def _modest(fields: Headers) -> bool:
    """Nothing here that any server in wide use would refuse for its size, or take for another method."""
    return head_bytes(fields) <= _MODEST_BYTES and not any(name in fields for name in METHOD_OVERRIDES)


def _by_freshness(
    request: RequestHead, reply: ResponseHead, said: Control, fresh: Lifetime | None, times: Instants, now: float
) -> Reason | None:
    """Is there anything to gain?"""
    guessed = fresh is None or fresh.source is Source.HEURISTIC
    if guessed and not said.no_cache and "cookie" in request.headers:
        # Ours, not the RFC's: who asks with a cookie may have been answered personally, and nobody said that
        # this one may be shared. Frameworks forget to.
        return Reason.COOKIE
    if said.no_cache and not _overruled(fresh):
        return None if _worth_validating(reply, now) else Reason.NO_CACHE
    of_use = times.fresh_until > now or times.swr_until > now or times.sie_until > now
    if of_use or _worth_validating(reply, now):
        return None
    # RFC 9111 3: the last of its conditions, a status that is heuristically cacheable or explicit freshness.
    understood = reply.status in HEURISTICALLY_CACHEABLE or said.public
    return Reason.NO_FRESHNESS if understood or fresh is not None else Reason.STATUS


def _worth_validating(reply: ResponseHead, now: float) -> bool:
    return reply.status in _WORTH_VALIDATING and has_validator(reply.headers, now)


def _overruled(fresh: Lifetime | None) -> bool:
    """Has the route said how long, whatever the origin said? It overrides durations, and no-cache is one: zero."""
    return fresh is not None and fresh.source is Source.ROUTE


def entry_of(
    request: RequestHead,
    reply: ResponseHead,
    said: Control,
    fresh: Lifetime | None,
    times: Instants,
    requested_at: float,
    now: float,
    rules: Rules,
    part: Part | None,
) -> Entry | Reason:
    """The entry that this response becomes, or TAGS_TOO_LARGE or HEAD_TOO_LARGE."""
    named = tags(reply.headers, rules, f"{request.scheme}://{request.authority}")
    if named is None:
        return Reason.TAGS_TOO_LARGE
    fields = stored_fields(reply.headers, said, rules, now)
    vary = parse_vary(combined(reply.headers, "vary")) if "vary" in reply.headers else ()
    varied = () if vary == "*" or not vary else selected(vary, request)
    no_cache = said.no_cache and not _overruled(fresh)
    must_revalidate = said.must_revalidate or said.proxy_revalidate
    # By place, not by name, and the instants all at once, which stand in the same order here and there: 0.5 us less.
    entry = Entry(
        "GET", reply.status, reply.reason, fields, varied, requested_at, now, *times, no_cache, must_revalidate,
        part, named,
    )  # fmt: skip
    # As head_bytes() of the fields, which walks over them: 0.6 us, and 0.3 to ask the entry.
    too_large = entry.head_bytes + 4 * len(fields) > rules.max_head_bytes
    return Reason.HEAD_TOO_LARGE if too_large else entry


_NEVER_KEPT = (*HOP_BY_HOP, "age")


def stored_fields(fields: Headers, said: Control, rules: Rules, now: float) -> Headers:
    """What is kept of a response's fields (RFC 9111 3.1): end-to-end, without Age, and with a Date."""
    kept = without(fields, (*_NEVER_KEPT, *connection_options(fields), *said.private_fields))
    if rules.set_cookie is SetCookie.STRIP:
        kept = without(kept, ("set-cookie",))
    if "date" in kept:
        return kept
    # RFC 9110 6.6.1: "A recipient with a clock that receives a response message without a Date header field MUST
    # record the time it was received and append a corresponding Date header field".
    return headers([*kept.items(), ("Date", format_date(now))])


def _by_room(reply: ResponseHead, entry: Entry, candidates: Sequence[Entry], rules: Rules) -> Reason | None:
    if "content-length" in reply.headers:
        length = parse_content_length(reply.headers.getall("content-length"))
        if length is not None and length > rules.max_object_bytes:
            return Reason.TOO_LARGE
    others = 0
    if candidates:
        others = sum(1 for other in candidates if other.varied != entry.varied or other.part is not None)
    # HAZARDS T38: what varies without end would push everything else out.
    return Reason.TOO_MANY_VARIANTS if others >= rules.max_variants else None


def head_bytes(fields: Headers) -> int:
    """The octets of a field section as it stands on the wire."""
    return sum(len(name) + len(value) + 4 for name, value in fields.items())
