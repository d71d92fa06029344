"""What an unsafe request makes stale (RFC 9111 4.4, RFC 9875 3).

Knows no store; names URLs and tags. Any method that is not known to be safe counts as unsafe.
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urljoin, urlsplit

from seawall.http.headers import combined
from seawall.http.message import RequestHead, ResponseHead
from seawall.http.target import canonical_authority
from seawall.policy.entry import Entry
from seawall.policy.tags import group_names, group_tag

# RFC 9110 9.2.1, and what the registry (16.1.1) marks as safe.
SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "QUERY", "PROPFIND", "REPORT", "SEARCH", "PRI"})


def invalidates(request: RequestHead, reply: ResponseHead) -> tuple[str, ...]:
    """The URLs whose stored responses are stale after this exchange, each once, target first.

    RFC 9111 4.4: "A cache MUST invalidate the target URI when it receives a non-error status code in response to
    an unsafe request method (including methods whose safety is unknown)"; "non-error ... is one with a 2xx
    (Successful) or 3xx (Redirection) status code".
    """
    if request.method in SAFE or not 200 <= reply.status <= 399 or request.target == "*":
        return ()
    urls = {request.url: None}
    for name in ("location", "content-location"):
        for reference in reply.headers.getall(name, ()):
            url = same_origin(request, reference)
            if url is not None:
                urls[url] = None
    return tuple(urls)


def same_origin(request: RequestHead, reference: str) -> str | None:
    """The URL that this reference names, seen from the target URI, or None where it is another origin's.

    RFC 9111 4.4: "a cache MUST NOT trigger an invalidation under these conditions if the origin of the URI to be
    invalidated differs from that of the target URI", or anybody could empty everybody's cache.
    """
    try:
        parts = urlsplit(urljoin(request.url, reference.strip(" \t")))
        authority = canonical_authority(parts.netloc, parts.scheme)
    except ValueError:
        return None
    if (parts.scheme, authority) != (request.scheme, request.authority):
        return None
    query = f"?{parts.query}" if parts.query else ""
    return f"{request.scheme}://{request.authority}{parts.path or '/'}{query}"


def invalidated_groups(request: RequestHead, reply: ResponseHead) -> tuple[str, ...]:
    """The tags of the groups that this reply invalidates, of the target's origin only.

    RFC 9875 3: the field counts in answers to unsafe methods only.
    """
    if request.method in SAFE:
        return ()
    origin = f"{request.scheme}://{request.authority}"
    return tuple(group_tag(origin, name) for name in group_names(combined(reply.headers, "cache-group-invalidation")))


def invalidated(entry: Entry) -> Entry:
    """The entry "in need of a mandatory validation" (RFC 9111 4.4): stale from now on, whatever windows it had."""
    return replace(entry, invalidated=True)


def stale_from(entry: Entry, at: float) -> Entry:
    """The entry, fresh no longer than until `at`: a soft purge, or a parent where less was left.

    The windows for stale responses keep their length and begin then; those that have begun are not made longer.
    """
    if entry.fresh_until <= at:
        return entry
    earlier = entry.fresh_until - at
    return replace(
        entry,
        fresh_until=at,
        swr_until=entry.swr_until - earlier,
        sie_until=entry.sie_until - earlier,
        unreachable_until=entry.unreachable_until - earlier,
    )
