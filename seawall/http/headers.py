"""The header map of every message, and what HTTP says of fields in general.

Names keep the case they came with and are found in any case; lines keep their order.
Values are str, one character an octet (latin-1), so obs-text survives the way through.
"""

from __future__ import annotations

from collections.abc import Iterable

from multidict import CIMultiDict, CIMultiDictProxy

from seawall.http.memo import Memo

Headers = CIMultiDictProxy[str]

# RFC 9110 7.6.1: fields that belong to one connection, whether Connection names them or not.
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-authentication-info",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


def headers(pairs: Iterable[tuple[str, str]] = ()) -> Headers:
    """An immutable header map of these lines, in this order."""
    return CIMultiDictProxy(CIMultiDict(pairs))


EMPTY = headers()


def no_fields() -> Headers:
    """EMPTY, for dataclasses that want a factory."""
    return EMPTY


def combined(fields: Headers, name: str) -> str | None:
    """All lines of a field as one list value (RFC 9110 5.3), or None where there is none."""
    lines = fields.getall(name, None)
    if lines is None:
        return None
    return lines[0] if len(lines) == 1 else ", ".join(lines)


def connection_options(fields: Headers) -> frozenset[str]:
    """The options of Connection, lower-case (RFC 9110 7.6.1)."""
    value = combined(fields, "connection")
    return _NO_OPTIONS if value is None else _OPTIONS[value]


def _options(value: str) -> frozenset[str]:
    return frozenset(option.strip(" \t").lower() for option in value.split(",")) - {""}


_NO_OPTIONS: frozenset[str] = frozenset()
_OPTIONS = Memo(_options)


def without(fields: Headers, names: Iterable[str]) -> Headers:
    """The same lines but for the fields of these lower-case names."""
    # A copy that some are taken from again: 0.4 us for 8 lines and 11 names, where a walk over the lines takes 1.2.
    kept = fields.copy()
    for name in names:
        if name in kept:
            del kept[name]
    return CIMultiDictProxy(kept)


def end_to_end(fields: Headers) -> Headers:
    """Only what may be stored or forwarded: no hop-by-hop field, nothing that Connection lists (RFC 9111 3.1)."""
    return without(fields, (*HOP_BY_HOP, *connection_options(fields)))
