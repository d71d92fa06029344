"""Selecting fields in one spelling, so that requests which mean the same find the same variant (RFC 9111 4.1).

Knows nothing of Vary or of stored responses. Each normal form is the fixed point of its function. What cannot be
read is left as it is, in lower case: it then equals only itself, and can never pass for a well-formed value.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from seawall.http.fields import TCHAR, member_end

# The longest list a browser sends has about ten members. Beyond these a value is not read, only compared.
_MAX_LENGTH = 1024
_MAX_MEMBERS = 64
# Browsers send a few dozen spellings in all; read anew, one of four members takes 5 us.
_MEMO = 512

# qvalue = ( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0") ] )
_WEIGHTED = re.compile(
    rf"([{TCHAR}]+)(?:[ \t]*;[ \t]*q=(0(?:\.[0-9]{{0,3}})?|1(?:\.0{{0,3}})?))?", re.IGNORECASE | re.ASCII
)
_LANGUAGE = re.compile(r"[a-z]{1,8}(?:-[a-z0-9]{1,8})*|\*")


class _Choice(NamedTuple):
    name: str
    thousandths: int  # of weight: 1000 where none is given

    def __str__(self) -> str:
        if self.thousandths == 1000:
            return self.name
        return f"{self.name};q={f'{self.thousandths / 1000:.3f}'.rstrip('0').rstrip('.')}"


def _choices(value: str) -> tuple[_Choice, ...] | None:
    """The members of a weighted list, lower-case, each once, as they came; None where it cannot be trusted.

    That is a malformed member, too many, or one name with two weights: who reads the first and who reads the
    last would choose differently, so such a value is none that another could stand in for.
    """
    if len(value) > _MAX_LENGTH:
        return None
    weights: dict[str, int] = {}
    for member in value.lower().split(","):
        text = member.strip(" \t")
        if not text:
            continue
        match = _WEIGHTED.fullmatch(text)
        if match is None:
            return None
        whole, _, fraction = (match[2] or "1").partition(".")
        thousandths = int(whole) * 1000 + int(fraction.ljust(3, "0"))
        if weights.setdefault(match[1], thousandths) != thousandths or len(weights) > _MAX_MEMBERS:
            return None
    return tuple(_Choice(name, weight) for name, weight in weights.items())


def _verbatim(value: str) -> str:
    return value.strip(" \t").lower()


def normalise_accept_encoding(value: str | None) -> str | None:
    """Accept-Encoding as a set: order, case, white space, repetition and the spelling of weights do not matter.

    Weights do, q=0 above all. None stays None: no field accepts anything, an empty one only identity
    (RFC 9110 12.5.3).
    """
    if value is None:
        return None
    return _encodings(value) if len(value) <= _MAX_LENGTH else _verbatim(value)


@lru_cache(maxsize=_MEMO)
def _encodings(value: str) -> str:
    choices = _choices(value)
    return _verbatim(value) if choices is None else ", ".join(map(str, sorted(choices)))


def normalise_accept_language(value: str | None) -> str | None:
    """Accept-Language by falling weight; case, white space and the spelling of weights do not matter.

    Among equal weights the order stays as it came. RFC 9110 12.5.4 gives it no meaning but warns that many
    give it one, and an origin that answers "de, en" in German answers "en, de" in English.
    """
    if value is None:
        return None
    return _languages(value) if len(value) <= _MAX_LENGTH else _verbatim(value)


@lru_cache(maxsize=_MEMO)
def _languages(value: str) -> str:
    choices = _choices(value)
    return _verbatim(value) if choices is None else ", ".join(map(str, _by_weight(choices)))


def _by_weight(choices: tuple[_Choice, ...]) -> list[_Choice]:
    return sorted(choices, key=lambda choice: -choice.thousandths)  # stable


def language_matches(accept_language: str | None, content_language: str | None) -> bool:
    """Is a response in `content_language` what `accept_language` would have before all else?

    Its first choice is the range of greatest weight, the earliest of equals; that has to match one of the
    content's languages by basic filtering (RFC 4647 3.3.1: the same, or a prefix that ends at a hyphen), and
    the range that fits this language closest must not refuse it with q=0. Nothing matches where either is
    absent, empty or malformed: then nobody said what is preferred.
    """
    if accept_language is None or content_language is None:
        return False
    choices = _choices(accept_language)
    if not choices or not all(_LANGUAGE.fullmatch(choice.name) for choice in choices):
        return False
    first = _by_weight(choices)[0]
    tags = [tag.strip(" \t").lower() for tag in content_language.split(",")]
    return any(
        _filters(first.name, tag) and _closest_weight(choices, tag) > 0 for tag in tags if _LANGUAGE.fullmatch(tag)
    )


def _filters(language_range: str, tag: str) -> bool:
    return language_range in ("*", tag) or tag.startswith(language_range + "-")


def _closest_weight(choices: tuple[_Choice, ...], tag: str) -> int:
    """The weight of the longest range that matches, `*` counting as the shortest."""
    matching = [choice for choice in choices if _filters(choice.name, tag)]
    return max(matching, key=lambda choice: 0 if choice.name == "*" else len(choice.name)).thousandths


def normalise_list(value: str | None) -> str | None:
    """Any other selecting field: white space around its commas and at its ends does not matter, all else does.

    Inside quoted strings nothing is touched, nor behind a quote that never closes. Empty members stay: not
    every field is a list, and in a User-Agent two commas are not one.
    """
    if value is None:
        return None
    members: list[str] = []
    at = 0
    while True:
        stop = member_end(value, at)
        if stop == len(value) or value[stop] == '"':
            members.append(value[at:].strip(" \t"))
            return ", ".join(members).strip(" \t")
        members.append(value[at:stop].strip(" \t"))
        at = stop + 1
