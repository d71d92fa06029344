"""How a later answer changes what is stored: a 304 (RFC 9111 4.3.4), the answer to a HEAD (4.3.5), the rest of a
part (3.4).

Knows no store and no body. A changed entry is a new one, its instants computed anew.
"""

from __future__ import annotations

from dataclasses import replace

from seawall.http.fields import parse_content_length, parse_vary
from seawall.http.headers import Headers, combined, headers, without
from seawall.http.message import RequestHead, ResponseHead
from seawall.policy.control import control
from seawall.policy.entry import Entry
from seawall.policy.freshness import instants, lifetime
from seawall.policy.invalidate import invalidated
from seawall.policy.reasons import Reason
from seawall.policy.rules import Rules
from seawall.policy.storable import by_directives, cookie_may_be_stored, entry_of, head_bytes, stored_fields
from seawall.policy.tags import tags

# RFC 9111 3.2: all fields are updated but those excluded from storage, those that "the cache's stored response
# depends upon", and Content-Length. What describes the stored octets stays as it came with them; a digest of the
# content of a 304 is one of nothing.
KEPT = frozenset(
    {
        "content-length",
        "content-encoding",
        "content-range",
        "content-type",
        "transfer-encoding",
        "etag",
        "content-md5",
        "content-digest",
        "digest",
    }
)


def merged(stored: Headers, newer: Headers) -> Headers:
    """The stored fields, those that `newer` has too replaced (RFC 9111 3.2)."""
    updates = without(newer, KEPT)
    replaced = {name.lower() for name in updates}
    return headers([*without(stored, replaced).items(), *updates.items()])


def refreshed(
    entry: Entry, request: RequestHead, reply: ResponseHead, requested_at: float, now: float, rules: Rules
) -> Entry | Reason:
    """The stored response after this 304, or why it cannot be stored any more.

    `request` becomes the one that selects it: a variant that was validated for other selecting fields is from
    now on the one for these.
    """
    if "set-cookie" in reply.headers and not cookie_may_be_stored(control(reply.headers), rules):
        return Reason.SET_COOKIE
    fields = merged(entry.headers, stored_fields(reply.headers, control(reply.headers), rules, now))
    return _anew(entry, request, fields, reply.headers, requested_at, now, rules)


def combined_entry(
    entry: Entry, request: RequestHead, reply: ResponseHead, total: int, requested_at: float, now: float, rules: Rules
) -> Entry | Reason:
    """A stored first part and the 206 with the rest of it, as the whole (RFC 9110 15.3.7.3).

    "the client MUST process the combined response as if it were a complete 200 (OK) response, including a
    Content-Length header field that reflects the complete length".
    """
    newer = stored_fields(reply.headers, control(reply.headers), rules, now)
    fields = without(merged(entry.headers, newer), ("content-range", "content-length"))
    whole = headers([*fields.items(), ("Content-Length", str(total))])
    as_whole = replace(entry, status=200, reason="OK", part=None)
    return _anew(as_whole, request, whole, reply.headers, requested_at, now, rules)


def _anew(
    entry: Entry, request: RequestHead, fields: Headers, newest: Headers, requested_at: float, now: float, rules: Rules
) -> Entry | Reason:
    updated = ResponseHead(entry.status, entry.reason, fields)
    said = control(fields)
    veto = by_directives(updated, said)
    if veto is not None:
        return veto
    if parse_vary(combined(fields, "vary")) == "*":
        return Reason.VARY_STAR
    # Age is of the message that has just come, and never stored.
    aged = _with_age(fields, newest)
    fresh = lifetime(entry.status, aged, said, rules, now)
    times = instants(fresh, aged, said, rules, requested_at, now)
    # CVE-2023-5824: the limit holds for what came of the merge, not for what was merged in.
    return entry_of(request, updated, said, fresh, times, requested_at, now, rules, entry.part)


def _with_age(fields: Headers, newest: Headers) -> Headers:
    age = combined(newest, "age")
    return fields if age is None else headers([*without(fields, ("age",)).items(), ("Age", age)])


def head_effect(entry: Entry, reply: ResponseHead, requested_at: float, now: float, rules: Rules) -> Entry | None:
    """What the answer to a HEAD does to a stored GET that it could have been answered from; None: nothing.

    RFC 9111 4.3.5: where Content-Length, ETag and Last-Modified of a 200 agree with what is stored, it updates the
    stored response; where one does not, "the cache SHOULD consider the stored response to be stale".
    """
    if reply.status != 200 or entry.status != 200 or entry.part is not None:
        return None
    if not _agrees(entry.headers, reply.headers):
        return invalidated(entry)
    said = control(reply.headers)
    fields = merged(entry.headers, stored_fields(reply.headers, said, rules, now))
    said = control(fields)
    named = tags(reply.headers, rules)
    if (
        by_directives(reply, said) is not None
        or ("set-cookie" in reply.headers and not cookie_may_be_stored(said, rules))
        or head_bytes(fields) > rules.max_head_bytes
        or named is None
    ):
        return invalidated(entry)
    aged = _with_age(fields, reply.headers)
    fresh = lifetime(entry.status, aged, said, rules, now)
    times = instants(fresh, aged, said, rules, requested_at, now)
    return replace(
        entry,
        headers=fields,
        requested_at=requested_at,
        stored_at=now,
        born_at=times.born_at,
        fresh_until=times.fresh_until,
        swr_until=times.swr_until,
        sie_until=times.sie_until,
        unreachable_until=times.unreachable_until,
        no_cache=said.no_cache,
        must_revalidate=said.must_revalidate or said.proxy_revalidate,
        tags=tuple(dict.fromkeys(entry.tags + named)),
        invalidated=False,
    )


def _agrees(stored: Headers, answered: Headers) -> bool:
    if "content-length" in answered and "content-length" in stored:
        ours = parse_content_length(stored.getall("content-length"))
        if ours != parse_content_length(answered.getall("content-length")):
            return False
    return all(name not in answered or answered[name] == stored.get(name) for name in ("etag", "last-modified"))
