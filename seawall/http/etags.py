"""Entity-tags (RFC 9110 8.8.3): reading them alone and in lists, and the two ways to compare them.

Knows nothing of preconditions. A tag that breaks the grammar (`abc`, `w/"abc"`) is kept to the letter, so that
a client which sends back what it was given still matches; it never counts as strong.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

# etagc takes no space and no DEL; both occur in the wild and harm nobody, so only the quote ends a tag.
# There are no escapes: in "a\" the backslash is the last character of the tag.
_ETAG = re.compile(r'(W/)?("[^"]*")')
_MEMBER = re.compile(r'(?:[^",]|"[^"]*+")*+')


@dataclass(frozen=True, slots=True)
class ETag:
    """One entity-tag. `opaque` has its quotes, or is the whole text where that is not a well-formed tag."""

    weak: bool
    opaque: str

    def __str__(self) -> str:
        """As it stands in a field."""
        return f"W/{self.opaque}" if self.weak else self.opaque

    @property
    def well_formed(self) -> bool:
        """Is it what RFC 9110 8.8.3 calls an entity-tag?"""
        return _ETAG.fullmatch(self.opaque) is not None and self.opaque.startswith('"')


def parse_etag(value: str) -> ETag | None:
    """The tag of an ETag field or of one list member; None only where there is nothing."""
    text = value.strip(" \t")
    if not text:
        return None
    if (match := _ETAG.fullmatch(text)) is not None:
        return ETag(weak=match[1] is not None, opaque=match[2])
    return ETag(weak=False, opaque=text)


def parse_etag_list(value: str) -> tuple[ETag, ...] | Literal["*"]:
    """The tags of If-Match or If-None-Match, lines joined by ", "; "*" where the value is just that.

    Commas inside quotes belong to the tag; empty members are skipped. A "*" among tags is no wildcard but
    a malformed tag, which matches nothing well-formed. Never raises.
    """
    if value.strip(" \t") == "*":
        return "*"
    tags: list[ETag] = []
    at, end = 0, len(value)
    while at < end:
        member = _MEMBER.match(value, at)
        stop = member.end() if member is not None else at
        if stop < end and value[stop] == '"':  # never closed: from here on every comma divides
            tags += [tag for part in value[at:].split(",") if (tag := parse_etag(part)) is not None]
            break
        if (tag := parse_etag(value[at:stop])) is not None:
            tags.append(tag)
        at = stop + 1
    return tuple(tags)


def weak_match(a: ETag, b: ETag) -> bool:
    """Same opaque text, weak or not: the comparison of If-None-Match (RFC 9110 8.8.3.2)."""
    return a.opaque == b.opaque


def strong_match(a: ETag, b: ETag) -> bool:
    """Same opaque text and neither weak: the comparison of If-Match, If-Range and of joining parts.

    A malformed tag never matches here: `w/"abc"` meant to be weak, and joining bytes on a guess corrupts them.
    """
    return not a.weak and not b.weak and a.opaque == b.opaque and a.well_formed
