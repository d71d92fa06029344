"""The second door of policy: what becomes of the origin's answer, or of its failure (RFC 9111 3, 3.4 and 4.3).

Knows no body, no store and no flight; `candidates` are what is stored for the key at the moment of the answer.
"""

from __future__ import annotations

from collections.abc import Sequence

from seawall.http.etags import ETag, strong_match, weak_match
from seawall.http.headers import Headers, combined, headers, without
from seawall.http.message import RequestHead, ResponseHead
from seawall.policy.control import control
from seawall.policy.entry import Entry
from seawall.policy.forward import asks_to_upgrade
from seawall.policy.freshness import EXPLICIT, lifetime
from seawall.policy.invalidate import same_origin
from seawall.policy.outcomes import Again, Combine, Failure, PassOn, Refresh, Settlement, Store, UseStale
from seawall.policy.partial import holds, part_of, wants_range
from seawall.policy.reasons import Reason
from seawall.policy.rules import Rules
from seawall.policy.storable import admit
from seawall.policy.update import combined_entry, refreshed
from seawall.policy.validators import etag_of, same_version
from seawall.policy.vary import matches, matching

# RFC 5861 4: "an error is any situation that would result in a 500, 502, 503, or 504 HTTP response status code".
_ERRORS = frozenset({500, 502, 503, 504})


def settle(
    request: RequestHead,
    sent_conditional: bool,
    reply: ResponseHead | Failure,
    delimited: bool,
    entry: Entry | None,
    candidates: Sequence[Entry],
    requested_at: float,
    now: float,
    rules: Rules,
) -> Settlement:
    """What to do with the answer.

    `sent_conditional`: we sent fields of our own (validators, or the Range of a completion); `entry` is the one
    they speak of, None where it has gone meanwhile. `delimited`: the framing can prove that the body is whole.
    400 and 501 are stored only with explicit freshness and for a modest request, 413 and 431 never (CPDoS).
    """
    if isinstance(reply, Failure):
        return _failed(request, reply, entry, candidates, now)
    if reply.status < 200:
        return PassOn(Reason.UPGRADED, remember=False)  # RFC 9111 3: the status code has to be final
    if request.method == "POST":
        return _posted(request, reply, delimited, candidates, requested_at, now, rules)
    if request.method != "GET":
        return PassOn(Reason.METHOD, remember=False)
    if _has_body(request.headers):
        return PassOn(Reason.REQUEST_BODY, remember=False)  # HAZARDS T34: the key does not name the body
    if asks_to_upgrade(request):
        return PassOn(Reason.UPGRADE, remember=False)
    if reply.status == 304:
        return _not_modified(request, sent_conditional, reply, entry, candidates, requested_at, now, rules)
    if reply.status in _ERRORS:
        stale = _stale(request, entry, candidates)
        # RFC 5861 4: "MAY be used to satisfy the request, regardless of other freshness information".
        if stale is not None and now < stale.sie_until:
            return UseStale(stale, Reason.STALE_IF_ERROR)
    if reply.status == 206:
        return _partial(request, sent_conditional, reply, delimited, entry, candidates, requested_at, now, rules)
    if reply.status == 416 and sent_conditional and not wants_range(request):
        return Again(Reason.BAD_PARTIAL)  # the Range was ours
    admitted = admit(request, reply, control(reply.headers), delimited, candidates, requested_at, now, rules)
    return Store(admitted) if isinstance(admitted, Entry) else admitted


def _has_body(fields: Headers) -> bool:
    if "transfer-encoding" in fields:
        return True
    return "content-length" in fields and fields["content-length"].strip("0 \t") != ""


# --- no answer, or an error ---


def _failed(
    request: RequestHead, failure: Failure, entry: Entry | None, candidates: Sequence[Entry], now: float
) -> Settlement:
    stale = _stale(request, entry, candidates) if request.method in ("GET", "HEAD") else None
    # RFC 9111 4.2.4: "A cache MUST NOT generate a stale response unless it is disconnected or doing so is
    # explicitly permitted by the client or origin server".
    if stale is not None and now < max(stale.sie_until, stale.unreachable_until):
        return UseStale(stale, Reason.ORIGIN_UNREACHABLE)
    return PassOn(failure.reason, remember=False)


def _stale(request: RequestHead, entry: Entry | None, candidates: Sequence[Entry]) -> Entry | None:
    """The stored response that may stand in, its windows apart: never one that only validation could allow."""
    offered = ([entry] if entry is not None and matches(request, entry) else []) + matching(request, candidates)
    for stored in offered:
        prohibited = stored.no_cache or stored.must_revalidate or stored.invalidated
        if not prohibited and stored.status < 500 and holds(request, stored):
            return stored
    return None


# --- POST ---


def _posted(
    request: RequestHead,
    reply: ResponseHead,
    delimited: bool,
    candidates: Sequence[Entry],
    requested_at: float,
    now: float,
    rules: Rules,
) -> Settlement:
    """RFC 9110 9.3.3: "Responses to POST requests are only cacheable when they include explicit freshness
    information and a Content-Location header field that has the same value as the POST's target URI"; they then
    answer later GETs.
    """
    location = reply.headers.get("content-location")
    if reply.status != 200 or location is None or same_origin(request, location) != request.url:
        return PassOn(Reason.METHOD, remember=False)
    said = control(reply.headers)
    fresh = lifetime(reply.status, reply.headers, said, rules, now)
    if fresh is None or fresh.source not in EXPLICIT:
        return PassOn(Reason.METHOD, remember=False)
    admitted = admit(request, reply, said, delimited, candidates, requested_at, now, rules)
    # Whatever speaks against it speaks of this POST; it says nothing of what a GET will get.
    return Store(admitted) if isinstance(admitted, Entry) else PassOn(admitted.reason, remember=False)


# --- 304 ---


def _not_modified(
    request: RequestHead,
    sent_conditional: bool,
    reply: ResponseHead,
    entry: Entry | None,
    candidates: Sequence[Entry],
    requested_at: float,
    now: float,
    rules: Rules,
) -> Settlement:
    if not sent_conditional:
        return Again(Reason.UNSOLICITED_304)
    held = _identified(request, reply, entry, candidates)
    if held is None:
        return Again(Reason.VALIDATOR_MISMATCH)
    updated = refreshed(held, request, reply, requested_at, now, rules)
    # What may not be stored any more cannot be updated, and the client needs more than a 304: fetch it.
    return Refresh(held, updated) if isinstance(updated, Entry) else Again(updated)


def _identified(
    request: RequestHead, reply: ResponseHead, entry: Entry | None, candidates: Sequence[Entry]
) -> Entry | None:
    """The stored response that this 304 speaks of (RFC 9111 4.3.4)."""
    etag = etag_of(reply.headers)
    others = [stored for stored in candidates if stored is not entry and holds(request, stored)]
    offered = ([entry] if entry is not None else []) + others
    if etag is not None:
        # "If none of the stored responses contains at least one of the same strong validators, then the cache MUST
        # NOT use the new response to update any stored responses"; of weak ones "the most recent".
        return next((stored for stored in offered if _same_tag(etag, etag_of(stored.headers))), None)
    if entry is None:
        return None
    modified = reply.headers.get("last-modified")
    if modified is not None:
        return entry if entry.headers.get("last-modified") in (None, modified) else None
    # RFC 9110 15.4.5 says that a 304 MUST send the ETag of the 200, and many do not. It answers what we asked of
    # this one entry; where we asked of several variants, it would be a guess.
    asked_of_several = sum(1 for stored in candidates if etag_of(stored.headers) is not None) > 1
    return None if asked_of_several and not _asked_alone(entry, candidates) else entry


def _same_tag(new: ETag, stored: ETag | None) -> bool:
    if stored is None:
        return False
    if new.weak or not new.well_formed:
        return weak_match(new, stored)
    return strong_match(new, stored)


def _asked_alone(entry: Entry, candidates: Sequence[Entry]) -> bool:
    """Do all candidates with a tag have the same one?"""
    own = etag_of(entry.headers)
    tags = {etag for stored in candidates if (etag := etag_of(stored.headers)) is not None}
    return tags <= {own}


# --- 206 ---


def _partial(
    request: RequestHead,
    sent_conditional: bool,
    reply: ResponseHead,
    delimited: bool,
    entry: Entry | None,
    candidates: Sequence[Entry],
    requested_at: float,
    now: float,
    rules: Rules,
) -> Settlement:
    if not wants_range(request):
        # The client asked for the whole: either we asked for the rest, or nobody asked for a part.
        if not sent_conditional:
            return PassOn(Reason.BAD_PARTIAL, remember=False)
        completed = _completed(request, reply, delimited, entry, requested_at, now, rules)
        return completed if completed is not None else Again(Reason.BAD_PARTIAL)
    part = part_of(reply, combined(request.headers, "range") or "")
    if part is None:
        return PassOn(Reason.BAD_PARTIAL, remember=False)
    if part.first == 0 and part.total == part.last + 1:
        # RFC 9110 15.3.7.3: what "consists of the entire range of the representation" is a complete 200. Players ask
        # for "bytes=0-", and a later GET without Range is to find it.
        reply, part = _as_whole(reply, part.total), None
    said = control(reply.headers)
    admitted = admit(request, reply, said, delimited, candidates, requested_at, now, rules, part)
    return Store(admitted) if isinstance(admitted, Entry) else admitted


def _as_whole(reply: ResponseHead, total: int) -> ResponseHead:
    fields = without(reply.headers, ("content-range", "content-length"))
    return ResponseHead(200, "OK", headers([*fields.items(), ("Content-Length", str(total))]), reply.minor)


def _completed(
    request: RequestHead,
    reply: ResponseHead,
    delimited: bool,
    entry: Entry | None,
    requested_at: float,
    now: float,
    rules: Rules,
) -> Settlement | None:
    """The stored first part and this rest as one, or None where they do not make a whole (RFC 9111 3.4)."""
    if entry is None or entry.part is None or not delimited:
        return None
    rest = part_of(reply, "")
    held = entry.part
    if rest is None or rest.total is None or held.total not in (None, rest.total):
        return None
    if held.first != 0 or rest.first != held.last + 1 or rest.last != rest.total - 1:
        return None
    if rest.total > rules.max_object_bytes or not same_version(entry.headers, reply.headers, entry.stored_at):
        return None
    updated = combined_entry(entry, request, reply, rest.total, requested_at, now, rules)
    return Combine(entry, updated) if isinstance(updated, Entry) else Again(updated)
