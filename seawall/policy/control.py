"""Which cache directives hold for us, out of the three fields that an origin can say them in.

Knows no status and no clock. One field speaks, the first that is there and valid of CDN-Cache-Control
(RFC 9213), Surrogate-Control and Cache-Control; the others are for caches further down.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from seawall.http.cachecontrol import Directives, parse_cache_control
from seawall.http.fields import MAX_DELTA_SECONDS, delta_seconds
from seawall.http.headers import Headers, combined
from seawall.http.memo import Memo
from seawall.http.structured import Item, Member, parse_dictionary


class Speaker(StrEnum):
    """The field whose directives hold."""

    CDN_CACHE_CONTROL = "cdn-cache-control"
    SURROGATE_CONTROL = "surrogate-control"
    CACHE_CONTROL = "cache-control"


@dataclass(frozen=True, slots=True)
class Control:
    """What the response asks of a shared cache. Durations in seconds, None where it says nothing.

    `private_fields`: only these are for one user (RFC 9111 5.2.2.7, qualified form); `private` is the
    unqualified form. `no_cache` holds both forms: RFC 9111 5.2.2.4 lets a cache take the qualified for
    the unqualified, and most do.
    """

    speaker: Speaker
    no_store: bool = False
    private: bool = False
    private_fields: tuple[str, ...] = ()
    no_cache: bool = False
    must_revalidate: bool = False
    proxy_revalidate: bool = False
    must_understand: bool = False
    public: bool = False
    max_age: int | None = None
    s_maxage: int | None = None
    stale_while_revalidate: int | None = None
    stale_if_error: int | None = None

    @property
    def shared_explicitly(self) -> bool:
        """Did the origin say in so many words that one user's answer may be given to another?"""
        return self.public or self.s_maxage is not None or self.speaker is Speaker.CDN_CACHE_CONTROL

    @property
    def lets_authorized_be_shared(self) -> bool:
        """RFC 9111 3.5: "In this specification, the following response directives have such an effect:
        must-revalidate, public, and s-maxage."
        """
        return self.public or self.must_revalidate or self.s_maxage is not None


def control(fields: Headers) -> Control:
    """The directives that hold for us. Never raises: what is malformed reads as the stricter of two meanings."""
    # RFC 9213 2.2: with a valid, non-empty targeted field a cache "MUST ignore the Cache-Control and Expires
    # header fields in that response".
    if "cdn-cache-control" in fields:
        targeted = _TARGETED[combined(fields, "cdn-cache-control") or ""]
        if targeted is not None:
            return targeted
    value = combined(fields, "cache-control")
    if "surrogate-control" in fields:
        surrogate = _surrogate(combined(fields, "surrogate-control") or "", parse_cache_control(value))
        if surrogate is not None:
            return surrogate
    return _SILENT if value is None else _ORDINARY[value]


def _ordinary(value: str) -> Control:
    directives = parse_cache_control(value)
    if not directives:
        return _SILENT
    private = directives.fields("private")
    return Control(
        speaker=Speaker.CACHE_CONTROL,
        no_store="no-store" in directives,
        private=private == (),
        private_fields=private or (),
        no_cache="no-cache" in directives,
        must_revalidate="must-revalidate" in directives,
        proxy_revalidate="proxy-revalidate" in directives,
        must_understand="must-understand" in directives,
        public="public" in directives,
        max_age=directives.seconds("max-age"),
        s_maxage=directives.seconds("s-maxage"),
        stale_while_revalidate=directives.seconds("stale-while-revalidate"),
        stale_if_error=directives.seconds("stale-if-error"),
    )


_SILENT = Control(Speaker.CACHE_CONTROL)
_ORDINARY = Memo(_ordinary)  # a site has a handful of values: 0.05 us from here, 3.5 us to read

# --- CDN-Cache-Control (RFC 9213) ---

_FLAGS = ("no-store", "must-revalidate", "proxy-revalidate", "must-understand", "public")
_LIMITED = ("private", "no-cache")
_DURATIONS = ("max-age", "s-maxage", "stale-while-revalidate", "stale-if-error")


def _targeted(value: str) -> Control | None:
    """None where the field is to be ignored: empty, no Structured Dictionary, or a directive of the wrong type.

    RFC 9213 2.1: "If a targeted field in a given response is empty or a parsing error is encountered, that
    field MUST be ignored by the cache". It says nothing of `max-age="60"`; to ignore that one directive would
    let it hide a no-store in Cache-Control, so we take the whole field for not written.
    """
    members = parse_dictionary(value)
    if not members or not all(_well_typed(name, member) for name, member in members.items()):
        return None
    durations = {name: _seconds(members, name) for name in _DURATIONS}
    return Control(
        speaker=Speaker.CDN_CACHE_CONTROL,
        no_store=_flag(members, "no-store"),
        private=_value(members, "private") is True,
        private_fields=_names(members, "private"),
        no_cache=_value(members, "no-cache") is not None and _value(members, "no-cache") is not False,
        must_revalidate=_flag(members, "must-revalidate"),
        proxy_revalidate=_flag(members, "proxy-revalidate"),
        must_understand=_flag(members, "must-understand"),
        public=_flag(members, "public"),
        max_age=durations["max-age"],
        s_maxage=durations["s-maxage"],
        stale_while_revalidate=durations["stale-while-revalidate"],
        stale_if_error=durations["stale-if-error"],
    )


_TARGETED = Memo(_targeted)


def _value(members: Mapping[str, Member], name: str) -> object:
    member = members.get(name)
    return member.value if isinstance(member, Item) else None


def _well_typed(name: str, member: Member) -> bool:
    if name in _DURATIONS:
        return isinstance(member, Item) and type(member.value) is int
    if name in _FLAGS:
        return isinstance(member, Item) and isinstance(member.value, bool)
    if name in _LIMITED:
        return isinstance(member, Item) and isinstance(member.value, bool | str)
    return True


def _flag(members: Mapping[str, Member], name: str) -> bool:
    return _value(members, name) is True


def _names(members: Mapping[str, Member], name: str) -> tuple[str, ...]:
    value = _value(members, name)
    return tuple(part.strip().lower() for part in value.split(",") if part.strip()) if isinstance(value, str) else ()


def _seconds(members: Mapping[str, Member], name: str) -> int | None:
    value = _value(members, name)
    # A negative lifetime is over already; an immense one is 68 years (RFC 9111 1.2.2).
    return min(max(value, 0), MAX_DELTA_SECONDS) if type(value) is int else None


# --- Surrogate-Control (W3C Edge Architecture 1.0, a Note of 2001 that CDNs still read) ---

_SURROGATE = re.compile(r"([a-z-]+)(?:=(\"[^\"]*\"|[^,; \t]*))?", re.IGNORECASE)
_SURROGATE_MEMBER = re.compile(r"(?:[^\",]|\"[^\"]*\")+")
# "max-age=600+30": thirty seconds more while it is refreshed.
_SURROGATE_AGE = re.compile(r"([0-9]+)(?:\+([0-9]+))?")


def _surrogate(value: str, ordinary: Directives) -> Control | None:
    """None where it says nothing of storing or freshness: content="ESI/1.0" alone leaves Cache-Control in force.

    `private` in Cache-Control still holds. That is what Fastly does, and whose an answer is differs in kind
    from how long it lasts.
    """
    no_store = False
    max_age: int | None = None
    stale: int | None = None
    for member in _SURROGATE_MEMBER.findall(value):
        match = _SURROGATE.match(member.strip(" \t"))
        if match is None:
            continue
        name = match[1].lower()
        if name in ("no-store", "no-store-remote"):
            no_store = True
        elif name == "max-age":
            age = _SURROGATE_AGE.fullmatch((match[2] or "").strip('"'))
            lifetime = 0 if age is None else delta_seconds(age[1]) or 0
            max_age = lifetime if max_age is None else min(max_age, lifetime)
            stale = delta_seconds(age[2]) if age is not None and age[2] else stale
    if max_age is None and not no_store:
        return None
    private = ordinary.fields("private")
    return Control(
        speaker=Speaker.SURROGATE_CONTROL,
        no_store=no_store,
        private=private == (),
        private_fields=private or (),
        max_age=max_age,
        stale_while_revalidate=stale,
    )
