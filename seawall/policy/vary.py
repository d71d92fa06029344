"""Which stored response a request selects (RFC 9111 4.1).

Knows no freshness. Values are compared in normal form, so that what means the same finds the same variant;
what cannot be read equals only itself, so a malformed field is a miss, never a way around the cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from seawall.http.headers import combined
from seawall.http.message import RequestHead
from seawall.http.negotiation import (
    language_matches,
    normalise_accept_encoding,
    normalise_accept_language,
    normalise_list,
)
from seawall.policy.entry import Entry
from seawall.policy.freshness import date_of

Selected = tuple[tuple[str, str | None], ...]


def selected(names: Iterable[str], request: RequestHead) -> Selected:
    """The selecting fields of this request: lower-case names in order, normalised values, None for absent."""
    return tuple((name, _normal(name, combined(request.headers, name))) for name in sorted(names))


def matches(request: RequestHead, entry: Entry) -> bool:
    """Do all the fields that the stored response varies on match (RFC 9111 4.1)?"""
    return all(
        _normal(name, combined(request.headers, name)) == value or _in_other_words(name, value, request, entry)
        for name, value in entry.varied
    )


def select(request: RequestHead, candidates: Sequence[Entry]) -> Entry | None:
    """The most recent of those that match, or None."""
    found = matching(request, candidates)
    return found[0] if found else None


def matching(request: RequestHead, candidates: Sequence[Entry]) -> list[Entry]:
    """All that match, the most recent first.

    RFC 9111 4: "When more than one suitable response is stored, a cache MUST use the most recent one (as
    determined by the Date header field)".
    """
    found = [entry for entry in candidates if matches(request, entry)]
    if len(found) > 1:
        found.sort(key=lambda entry: (date_of(entry.headers, entry.stored_at), entry.stored_at), reverse=True)
    return found


def _normal(name: str, value: str | None) -> str | None:
    if name == "accept-encoding":
        return normalise_accept_encoding(value)
    if name == "accept-language":
        return normalise_accept_language(value)
    return normalise_list(value)


def _in_other_words(name: str, stored: str | None, request: RequestHead, entry: Entry) -> bool:
    """Does the request ask for the same language, if not in the same words?"""
    if name != "accept-language":
        return False
    asked = combined(request.headers, name)
    language = combined(entry.headers, "content-language")
    if language is not None:
        # RFC 9111 4.1: fields match if they can be made to by "normalizing both header field values in a way that
        # is known to have identical semantics, according to the header field's specification"; what the
        # response is in tells more than what the first client would have taken.
        return language_matches(asked, language)
    # RFC 9110 12.5.4 gives the order of equal weights no meaning. Only here: where the response says its
    # language, a client that meant its order is given what it asked for first.
    return _unordered(stored) == _unordered(_normal(name, asked))


def _unordered(value: str | None) -> list[str] | None:
    return None if value is None else sorted(value.split(", "))
