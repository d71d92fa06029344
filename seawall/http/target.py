"""Whom and what a request line asks for: the four forms of request-target (RFC 9112 3.2) and one form of authority.

Decides scheme, authority and origin-form, once; key and forwarded request are both made of these, so they
cannot disagree (HAZARDS T30-T32, T36). Knows no fields but the Host lines it is given. The path is never
decoded, normalised or re-encoded.

Choices:
- an absolute-form target overrules Host, but Host must be there and valid all the same;
- a scheme other than the connection's is refused: a cleartext request cannot speak for https URLs;
- a trailing dot of the host, a port that is the scheme's own and an empty port are dropped;
- HTTP/1.0 without Host is taken in absolute-form only: without a host there is no key;
- a reg-name is letters, digits and "-._~". RFC 3986 allows more, "," among it; DNS and certificates do not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address

from seawall.http.bad import Bad

DEFAULT_PORTS = {"http": "80", "https": "443"}

_AUTHORITY = re.compile(
    r"(?:(?P<name>[0-9a-z_~-]+(?:\.[0-9a-z_~-]+)*)\.?|\[(?P<v6>[0-9a-f:.]{2,45})\])(?::(?P<port>[1-9][0-9]{0,4})?)?"
)
_ABSOLUTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?]*)(.*)", re.DOTALL)

# RFC 1035 3.1: 255 octets a name; with brackets, port and a final dot it still fits.
MAX_AUTHORITY_BYTES = 262


@dataclass(frozen=True, slots=True)
class Resolved:
    """`authority` is canonical; `target` is in origin-form, or "*" of OPTIONS."""

    authority: str
    target: str


# Sites are few and requests are many: 0.1 us from the table, 0.9 us without. Bounded, so a flood of made-up
# hosts costs what it would without the table.
@lru_cache(maxsize=1024)
def canonical_authority(text: str, scheme: str) -> str | None:
    """The one spelling of `host[:port]` that is keyed and forwarded, or None where it is not a valid one."""
    if len(text) > MAX_AUTHORITY_BYTES or not text.isascii():
        return None
    match = _AUTHORITY.fullmatch(text.lower())
    if match is None:
        return None
    name, v6, port = match["name"], match["v6"], match["port"]
    if v6 is not None:
        try:
            name = f"[{IPv6Address(v6)}]"
        except AddressValueError:
            return None
    if port is None or port == DEFAULT_PORTS.get(scheme):
        return str(name)
    if int(port) > 65535:
        return None
    return f"{name}:{port}"


def resolve(method: str, target: str, minor: int, hosts: list[str], scheme: str) -> Resolved | Bad:
    """What is asked for. `target` holds visible ASCII without "#" (the parser of heads sees to that)."""
    if len(hosts) > 1:
        # RFC 9112 3.2: 400 to any request with more than one Host line, or with an invalid one.
        return Bad(400, "more than one Host")
    authority = None
    if hosts:
        authority = canonical_authority(hosts[0], scheme)
        if authority is None:
            return Bad(400, "invalid Host")
    elif minor == 1:
        return Bad(400, "no Host")
    if method == "CONNECT":
        return Bad(501, "CONNECT is not offered")
    if target[0] == "/":
        path = target
    elif target == "*":
        # RFC 9112 3.2.4: asterisk-form is for a server-wide OPTIONS only.
        if method != "OPTIONS":
            return Bad(400, "asterisk-form outside OPTIONS")
        path = target
    else:
        match = _ABSOLUTE.fullmatch(target)
        if match is None:
            return Bad(400, "no valid form of request-target")
        if match[1].lower() != scheme:
            return Bad(400, "the target's scheme is not the connection's")
        # RFC 9112 3.2.2: the target's authority replaces the received Host.
        authority = canonical_authority(match[2], scheme)
        if authority is None:
            return Bad(400, "invalid authority in the request-target")
        path = match[3]
        if not path:
            path = "*" if method == "OPTIONS" else "/"  # RFC 9112 3.2.1, 3.2.4
        elif path[0] == "?":
            path = "/" + path
    if authority is None:
        return Bad(400, "no host to be served")
    return Resolved(authority, path)
