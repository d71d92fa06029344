"""The head of a request as it goes forward (RFC 9110 7.6, RFC 7239, RFC 8586).

Knows no connection: framing and Host are its business. What a client says of itself in X-Forwarded-* is not
believed but overwritten, unless the client is a node of ours (`trusted`).
"""

from __future__ import annotations

from functools import lru_cache

from seawall.http.fields import is_token
from seawall.http.headers import EMPTY, HOP_BY_HOP, Headers, combined, connection_options, headers
from seawall.http.message import RequestHead

# Frameworks take these for the method of a request. Never interpreted by us.
METHOD_OVERRIDES = frozenset({"x-http-method-override", "x-http-method", "x-method-override"})

# What the origin reads here is ours, and differs from client to client whatever the client wrote.
OVERWRITTEN = frozenset({"x-forwarded-for", "forwarded", "x-real-ip"})

_CONDITIONS = frozenset({"if-match", "if-none-match", "if-modified-since", "if-unmodified-since"})
# If-Range means nothing without its Range, and Range without its If-Range the wrong bytes (RFC 9110 13.1.5).
_RANGES = frozenset({"range", "if-range"})

# HAZARDS T33: not in the key, and frameworks build URLs from them. Expect is answered by us (T10); ESI and other
# capabilities are what we have, not what a client claims (T70); Proxy would become HTTP_PROXY in a CGI.
_NEVER = frozenset(
    {
        "expect",
        "forwarded",
        "proxy",
        "surrogate-capability",
        "x-host",
        "x-original-host",
        "x-original-url",
        "x-real-ip",
        "x-rewrite-url",
        "http2-settings",
    }
)
# Names that are keyed, that authenticate, that say what may be cached or who has been here. RFC 9110 7.6.1 lets a
# sender list any field in Connection; a client that lists these wants the origin to see a request that we did not
# (CVE-2022-45059, HAZARDS T11), so for them the option is ignored and the field goes on.
_NOT_HOP_BY_HOP = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "authorization",
        "cache-control",
        "cdn-loop",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "host",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "origin",
        "pragma",
        "range",
        "via",
    }
)
_PORTS = {"http": "80", "https": "443"}


def asks_to_upgrade(request: RequestHead) -> bool:
    """Does it ask to leave HTTP (RFC 9110 7.8)? Upgrade without the connection option is not for us (T09)."""
    return "upgrade" in request.headers and "upgrade" in connection_options(request.headers)


def loops(request: RequestHead, node: str) -> bool:
    """Has this request been here before (RFC 8586)? `node` is our own id."""
    if "cdn-loop" not in request.headers:
        return False
    own = pseudonym(node).lower()
    members = (combined(request.headers, "cdn-loop") or "").split(",")
    return any(member.partition(";")[0].strip(" \t").lower() == own for member in members)


def forward_head(
    request: RequestHead,
    *,
    peer: str,
    node: str,
    keep_conditions: bool,
    keep_range: bool,
    extra: Headers = EMPTY,
    upgrade: bool = False,
    trusted: bool = False,
) -> RequestHead:
    """The request as we send it.

    `peer` is the client's address, `node` our name. `extra` replaces fields of the same names: validators of
    ours, a request id. `upgrade` keeps the wish for another protocol, which only a pass may. `trusted`: the
    client is a node of ours, and what it says of its own client stands.
    """
    dropped = _dropped(request.method in ("GET", "HEAD"), keep_conditions, keep_range, trusted)
    spoken_for = {name.lower() for name in extra} if extra else set()
    if "connection" in request.headers:
        spoken_for |= {name for name in connection_options(request.headers) if not _protected(name)}
    if trusted:
        spoken_for.discard("forwarded")
    pairs: list[tuple[str, str]] = []
    appended: dict[str, list[str]] = {"via": [], "cdn-loop": [], "x-forwarded-for": [], "forwarded": []}
    for name, value in request.headers.items():
        lower = name.lower()
        if lower in dropped or lower in spoken_for or (lower.startswith("x-forwarded") and not trusted):
            continue
        if lower in appended:
            appended[lower].append(value)
        else:
            pairs.append((name, value))
    pairs += extra.items()
    pairs += _forwarded(request, peer, appended, trusted)
    pairs.append(("Via", ", ".join([*appended["via"], f"1.{request.minor} {pseudonym(node)}"])))
    pairs.append(("CDN-Loop", ", ".join([*appended["cdn-loop"], pseudonym(node)])))
    if upgrade and asks_to_upgrade(request):
        pairs += [("Upgrade", value) for value in request.headers.getall("upgrade")]
        pairs.append(("Connection", "Upgrade"))
    return RequestHead(request.method, request.scheme, request.authority, request.target, headers(pairs), request.minor)


@lru_cache(maxsize=16)
def _dropped(reads_only: bool, keep_conditions: bool, keep_range: bool, trusted: bool) -> frozenset[str]:
    """What no request of this kind takes along, whatever its Connection says."""
    dropped = _NEVER | HOP_BY_HOP
    if not keep_conditions:
        dropped |= _CONDITIONS
    if not keep_range:
        dropped |= _RANGES
    if reads_only:
        # HAZARDS T39: a GET that means DELETE is one client's answer under everybody's key.
        dropped |= METHOD_OVERRIDES
    return dropped - {"forwarded"} if trusted else dropped


def _protected(name: str) -> bool:
    return name in _NOT_HOP_BY_HOP or name.startswith("x-forwarded-")


def _forwarded(request: RequestHead, peer: str, appended: dict[str, list[str]], trusted: bool) -> list[tuple[str, str]]:
    """Who asked, for what, over what: X-Forwarded-* and RFC 7239."""
    host, port = _host_and_port(request.authority, request.scheme)
    node = f'"[{peer}]"' if ":" in peer else peer
    element = f"for={node};host={host};proto={request.scheme}"
    pairs = [
        ("X-Forwarded-For", ", ".join([*appended["x-forwarded-for"], peer])),
        ("Forwarded", ", ".join([*appended["forwarded"], element])),
    ]
    if trusted and "x-forwarded-proto" in request.headers:
        return pairs
    return [
        *pairs,
        ("X-Forwarded-Proto", request.scheme),
        ("X-Forwarded-Host", request.authority),
        ("X-Forwarded-Port", port),
    ]


@lru_cache(maxsize=1024)  # sites are few; an authority is short (target.py): 0.07 us from here, 0.7 us to look at
def _host_and_port(authority: str, scheme: str) -> tuple[str, str]:
    """The host as Forwarded can hold it, a token or quoted, and the port that X-Forwarded-Port says."""
    name, _, port = authority.rpartition(":")
    if not name or port.endswith("]"):
        port = _PORTS.get(scheme, "")
    return authority if is_token(authority) else f'"{authority}"', port


@lru_cache(maxsize=256)  # our own name, and two of each head
def pseudonym(node: str) -> str:
    """A node's name as Via and CDN-Loop can hold it: a token (RFC 9110 7.6.3)."""
    return node if is_token(node) else "".join(char if is_token(char) else "-" for char in node) or "seawall"
