"""The first door of policy: answer from what is stored, or go forward, and how (RFC 9111 4).

Knows no body, no store and no flight. Reads top to bottom: what is never ours to answer; what is stored and
may be served as it is; what may be served after asking; what has to be fetched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from seawall.http.cachecontrol import Directives, parse_cache_control
from seawall.http.dates import parse_date
from seawall.http.etags import parse_etag_list, strong_match
from seawall.http.headers import combined, headers
from seawall.http.message import RequestHead
from seawall.policy.entry import Entry
from seawall.policy.forward import asks_to_upgrade
from seawall.policy.freshness import current_age, last_modified
from seawall.policy.outcomes import Complete, Decision, Fetch, Refuse, Revalidate, Serve, ServeStale
from seawall.policy.partial import holds, wants_range
from seawall.policy.reasons import Fwd, Reason
from seawall.policy.rules import Rules
from seawall.policy.validators import any_of, conditions, etag_of, strong_validator
from seawall.policy.vary import matching

# If-None-Match with the tags of other variants: each is up to a hundred bytes, and origins take 8 KiB a field.
_MOST_VARIANTS_ASKED = 16


def decide(
    request: RequestHead,
    has_body: bool,
    candidates: Sequence[Entry],
    now: float,
    rules: Rules,
    hit_for_miss: bool,
) -> Decision:
    """What to do with this request, given what is stored for its key.

    `hit_for_miss`: the key was uncacheable a moment ago; then it goes forward alone, unless something stored
    answers it as it is.
    """
    passed = _never_ours(request, has_body, rules)
    if passed is not None:
        return passed
    asked = _asked(request, rules)
    found = matching(request, candidates) if candidates else []
    servable = [entry for entry in found if holds(request, entry)] if found else []
    decision = _from_stored(request, asked, servable, now) if servable else None
    if decision is not None:
        return decision
    if asked.only_if_cached:
        # RFC 9111 5.2.1.7: "either a stored response consistent with the other constraints of the request or a 504
        # (Gateway Timeout) status code".
        return Refuse(504, Reason.ONLY_IF_CACHED)
    return _forward(request, asked, found, servable, candidates, now, hit_for_miss)


def _never_ours(request: RequestHead, has_body: bool, rules: Rules) -> Fetch | None:
    if not rules.cache:
        return Fetch(Fwd.BYPASS, False, Reason.ROUTE_PASS)
    if request.method not in ("GET", "HEAD"):
        # RFC 9111 4: "A cache MUST write through requests with methods that are unsafe".
        return Fetch(Fwd.METHOD, False, Reason.METHOD)
    if has_body:
        return Fetch(Fwd.BYPASS, False, Reason.REQUEST_BODY)  # HAZARDS T34: the key does not name the body
    if asks_to_upgrade(request):
        return Fetch(Fwd.BYPASS, False, Reason.UPGRADE)
    return None


# --- what the request asks of a cache ---


@dataclass(frozen=True, slots=True)
class _Asked:
    """The request directives that count (RFC 9111 5.2.1). Seconds; `max_stale` is infinite where it is bare."""

    only_if_cached: bool = False
    no_store: bool = False
    no_cache: bool = False
    max_age: float | None = None
    min_fresh: float | None = None
    max_stale: float | None = None


_NOTHING = _Asked()


def _asked(request: RequestHead, rules: Rules) -> _Asked:
    fields = request.headers
    if "cache-control" not in fields:
        # RFC 9111 5.4: Pragma is deprecated, and counts only where there is no Cache-Control.
        pragma = rules.request_directives and "no-cache" in parse_cache_control(combined(fields, "pragma"))
        return _Asked(no_cache=True) if pragma else _NOTHING
    directives = parse_cache_control(combined(fields, "cache-control"))
    only_if_cached, no_store = "only-if-cached" in directives, "no-store" in directives
    if not rules.request_directives:
        # no-cache and its like are a lever against the origin, and not ours to believe unless the route says so.
        return _Asked(only_if_cached, no_store)
    return _Asked(
        only_if_cached,
        no_store,
        no_cache="no-cache" in directives,
        max_age=directives.seconds("max-age"),
        min_fresh=directives.seconds("min-fresh"),
        max_stale=_max_stale(directives),
    )


def _max_stale(directives: Directives) -> float | None:
    # RFC 9111 5.2.1.2: "If no value is assigned to max-stale, then the client will accept a stale response of any age."
    return float("inf") if directives.bare("max-stale") else directives.seconds("max-stale")


def _forbidden(asked: _Asked, entry: Entry, now: float) -> Reason | None:
    """Why the request's own directives do not let this fresh response be used."""
    if asked.no_cache:
        return Reason.REQUEST_NO_CACHE
    if asked.max_age is not None and current_age(entry.born_at, now) > asked.max_age:
        return Reason.REQUEST_MAX_AGE  # RFC 9111 5.2.1.1
    if asked.min_fresh is not None and entry.fresh_until - now < asked.min_fresh:
        return Reason.REQUEST_MIN_FRESH  # RFC 9111 5.2.1.3
    return None


# --- from what is stored ---


def _from_stored(request: RequestHead, asked: _Asked, servable: Sequence[Entry], now: float) -> Decision | None:
    for entry in servable:
        if _fresh(entry, now) and _forbidden(asked, entry, now) is None and _may_answer(request, entry):
            return Serve(entry)
    for entry in servable:
        if _validate_first(entry) or not _may_answer(request, entry):
            continue
        if _forbidden(asked, entry, now) in (Reason.REQUEST_NO_CACHE, Reason.REQUEST_MAX_AGE):
            continue
        if now < entry.swr_until and asked.min_fresh is None:
            # RFC 5861 3: "caches MAY serve the response ... up to the indicated number of seconds" past freshness,
            # "without blocking". A HEAD cannot bring back what a GET needs.
            refresh = request.method == "GET" and not asked.only_if_cached
            return ServeStale(entry, Reason.STALE_WHILE_REVALIDATE, refresh)
        if asked.max_stale is not None and now < entry.fresh_until + asked.max_stale:
            return ServeStale(entry, Reason.REQUEST_MAX_STALE, refresh=False)  # RFC 9111 5.2.1.2
    return None


def _fresh(entry: Entry, now: float) -> bool:
    return now < entry.fresh_until and not entry.no_cache and not entry.invalidated


def _validate_first(entry: Entry) -> bool:
    return entry.no_cache or entry.must_revalidate or entry.invalidated


def _may_answer(request: RequestHead, entry: Entry) -> bool:
    """May the entry stand for the origin, whose state If-Match and If-Unmodified-Since ask about?

    RFC 9110 13.1.1 lets a cache ignore them, and RFC 9111 4.3.2 forbids it to answer 412. Ignored, they would
    give a client that resumes a download the bytes of another version; so where they hold we serve, and
    where they do not the origin is asked.
    """
    fields = request.headers
    if "if-match" in fields:
        asked, ours = parse_etag_list(combined(fields, "if-match") or ""), etag_of(entry.headers)
        return asked == "*" or (ours is not None and any(strong_match(tag, ours) for tag in asked))
    if "if-unmodified-since" in fields:
        until = parse_date(fields["if-unmodified-since"], now=entry.stored_at)
        modified_at = last_modified(entry.headers, entry.stored_at)
        return until is None or (modified_at is not None and modified_at <= until)
    return True


# --- forward ---


def _forward(
    request: RequestHead,
    asked: _Asked,
    found: Sequence[Entry],
    servable: Sequence[Entry],
    candidates: Sequence[Entry],
    now: float,
    hit_for_miss: bool,
) -> Decision:
    fwd, reason = _why_forward(asked, found, servable, candidates, now)
    if "if-match" in request.headers or "if-unmodified-since" in request.headers:
        return Fetch(fwd, False, Reason.PRECONDITION)  # it goes along, so the answer is for this client only
    if asked.no_store:
        # RFC 9111 5.2.1.5: it "does not apply to the already stored response", but to all that comes back for this.
        return Fetch(fwd, False, Reason.REQUEST_NO_STORE)
    if hit_for_miss:
        return Fetch(fwd, False, Reason.HIT_FOR_MISS)
    if request.method == "HEAD":
        # Its answer cannot be stored as a GET's (HAZARDS T41); what it says of one is for head_effect().
        return Fetch(fwd, False, reason)
    if servable:
        return _revalidate(request, servable[0], fwd, reason)
    if found:
        return _complete(request, found, now) or Fetch(fwd, True, reason)
    return (_ask_for_variants(candidates) if candidates else None) or _fetch(fwd, reason)


@lru_cache(maxsize=64)  # a few words each way: 0.1 us from here, 0.4 us to make
def _fetch(fwd: Fwd, reason: Reason | None) -> Fetch:
    return Fetch(fwd, True, reason)


def _why_forward(
    asked: _Asked, found: Sequence[Entry], servable: Sequence[Entry], candidates: Sequence[Entry], now: float
) -> tuple[Fwd, Reason | None]:
    if servable:
        entry = servable[0]
        if entry.invalidated:
            return Fwd.STALE, Reason.INVALIDATED
        if entry.no_cache:
            return Fwd.STALE, Reason.NO_CACHE
        if now < entry.fresh_until:
            return Fwd.REQUEST, _forbidden(asked, entry, now)
        return Fwd.STALE, Reason.MUST_REVALIDATE if entry.must_revalidate else Reason.EXPIRED
    if found:
        return Fwd.PARTIAL, Reason.RANGE_ABSENT
    return (Fwd.VARY_MISS if candidates else Fwd.URI_MISS), None


def _revalidate(request: RequestHead, entry: Entry, fwd: Fwd, reason: Reason | None) -> Decision:
    """RFC 9111 4.3.1. Without a validator the whole is fetched anew, not the range that this client wants of it."""
    asking = conditions(entry)
    if asking or (entry.part is None and wants_range(request)):
        return Revalidate(entry, asking, fwd, reason)
    return Fetch(fwd, True, reason)


def _complete(request: RequestHead, found: Sequence[Entry], now: float) -> Complete | None:
    """Asks for what is missing behind a stored first part (RFC 9111 3.4).

    If-Range wherever the part has a strong validator: a new version then comes whole. Without one the rest
    cannot be put to it (RFC 9110 15.3.7.3), and settle() will ask again.
    """
    if wants_range(request):
        return None
    for entry in found:
        part = entry.part
        if part is None or part.first != 0:
            continue
        pairs = [("Range", f"bytes={part.last + 1}-")]
        strong = strong_validator(entry.headers, entry.stored_at)
        if strong is not None:
            pairs.append(("If-Range", strong))
        if strong is not None or _fresh(entry, now):
            return Complete(entry, headers(pairs))
    return None


def _ask_for_variants(candidates: Sequence[Entry]) -> Revalidate | None:
    """Nothing matches, but one of the variants may be the answer all the same.

    RFC 9111 4.1: without a match the request is forwarded, "potentially with preconditions added to describe what
    responses the cache has already stored".
    """
    variants = sorted(
        (entry for entry in candidates if entry.part is None and not entry.invalidated and 200 <= entry.status < 300),
        key=lambda entry: entry.stored_at,
        reverse=True,
    )
    tagged = [entry for entry in variants if etag_of(entry.headers) is not None][:_MOST_VARIANTS_ASKED]
    return Revalidate(tagged[0], any_of(tagged), Fwd.VARY_MISS) if tagged else None
