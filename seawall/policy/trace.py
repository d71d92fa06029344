"""What a reply tells about its way: Via, Cache-Status (RFC 9211), X-Cache.

Knows nothing of how it came to be. Each node adds one member at the end, so the origin's side comes first.
"""

from __future__ import annotations

from functools import lru_cache

from seawall.http.headers import headers
from seawall.http.message import ResponseHead
from seawall.http.structured import Token, serialize_item
from seawall.policy.forward import pseudonym
from seawall.policy.reasons import Fwd, Outcome

# For caches, not for clients: tags say how a site is built, Surrogate-Control ends at us by its own definition.
INTERNAL = frozenset({"surrogate-key", "cache-tag", "cache-groups", "surrogate-control"})
# A reply joins our own member to these.
APPENDED = frozenset({"via", "cache-status", "x-cache"})


def cache_status(
    node: str,
    *,
    hit: bool = False,
    fwd: Fwd | None = None,
    fwd_status: int | None = None,
    stored: bool = False,
    collapsed: bool = False,
    ttl: float | None = None,
    detail: str | None = None,
) -> str:
    """One member of Cache-Status. `ttl` is seconds of freshness left, negative when stale (RFC 9211 2.4)."""
    parts = [serialize_item(Token(node)) if _is_sf_token(node) else serialize_item(_printable(node))]
    # RFC 9211 2: hit and fwd exclude each other.
    if hit and fwd is None:
        parts.append("hit")
    if fwd is not None:
        parts.append(f"fwd={fwd.value}")
        if fwd_status is not None:
            parts.append(f"fwd-status={fwd_status}")
        if stored:
            parts.append("stored")
        if collapsed:
            parts.append("collapsed")
    if ttl is not None:
        parts.append(f"ttl={int(ttl // 1)}")
    if detail is not None:
        parts.append(f"detail={detail if _is_sf_token(detail) else serialize_item(_printable(detail))}")
    return "; ".join(parts)


def add_trace(
    head: ResponseHead,
    *,
    node: str,
    member: str,
    outcome: Outcome,
    via_version: str = "1.1",
    age: int | None = None,
    debug: bool = False,
) -> ResponseHead:
    """The head with our member in each trace field, and without what is only for caches.

    `age` in seconds replaces Age; None leaves it as it is. `debug` keeps the internal fields: for a client with
    a debug token, and for a node of ours, which needs the tags.
    """
    pairs: list[tuple[str, str]] = []
    trace: dict[str, list[str]] = {}
    for name, value in head.headers.items():
        lower = name.lower()
        if lower in APPENDED:
            trace.setdefault(lower, []).append(value)
        elif not ((lower in INTERNAL and not debug) or (lower == "age" and age is not None)):
            pairs.append((name, value))
    if age is not None:
        pairs.append(("Age", str(max(age, 0))))
    pairs += (
        ("Via", ", ".join([*trace.get("via", ()), f"{via_version} {pseudonym(node)}"])),
        ("Cache-Status", ", ".join([*trace.get("cache-status", ()), member])),
        ("X-Cache", ", ".join([*trace.get("x-cache", ()), outcome.value])),
    )
    return ResponseHead(head.status, head.reason, headers(pairs), head.minor)


@lru_cache(maxsize=256)  # our names and reasons: a few dozen
def _is_sf_token(text: str) -> bool:
    """RFC 9651 3.3.4: a token begins with a letter or "*"."""
    try:
        serialize_item(Token(text))
    except ValueError:
        return False
    return True


def _printable(text: str) -> str:
    return "".join(char if " " <= char <= "~" else "?" for char in text)
