"""The small fields: Vary, Age, Content-Length, the two spellings of tags, and the words other grammars share.

Knows nothing of what a cache does with them. No input raises; each function says what its cautious reading is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

# RFC 9110 5.6.2, for use inside a character class.
TCHAR = r"!#$%&'*+\-.^_`|~0-9A-Za-z"
_TOKEN = re.compile(f"[{TCHAR}]+")

# RFC 9111 1.2.2: a value greater than the greatest that can be represented is taken as 2^31 seconds (68 years).
MAX_DELTA_SECONDS = 2**31


def is_token(text: str) -> bool:
    """Is this a token (RFC 9110 5.6.2): a field name, a method, a directive's name?"""
    return _TOKEN.fullmatch(text) is not None


def is_digits(text: str) -> bool:
    """1*DIGIT, ASCII only: str.isdigit alone takes the superscripts of latin-1, on which int() then raises."""
    return text.isascii() and text.isdigit()


def delta_seconds(text: str) -> int | None:
    """Seconds of 1*DIGIT (RFC 9111 1.2.2), at most MAX_DELTA_SECONDS; None for anything else, signs included."""
    if not is_digits(text):
        return None
    # Eleven digits exceed the maximum anyhow, and int() refuses strings of thousands of them.
    significant = text.lstrip("0")
    return MAX_DELTA_SECONDS if len(significant) > 10 else min(int(text[-10:]), MAX_DELTA_SECONDS)


# Possessive throughout: a quote that never closes is scanned once, not once for each backslash in it.
_MEMBER = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*+")*+', re.DOTALL)


def member_end(value: str, start: int) -> int:
    """Where the list member that begins at `start` ends: at a comma outside of quoted strings, or at the end.

    Or at a quote that never closes; what follows it is then for the caller to judge.
    """
    match = _MEMBER.match(value, start)
    return start if match is None else match.end()


def parse_age(value: str | None) -> int | None:
    """Seconds of Age (RFC 9111 5.1), at most MAX_DELTA_SECONDS; None where absent or unreadable.

    "Although it is defined as a singleton header field, a cache encountering a message with a list-based
    Age field value SHOULD use the first member of the field value, discarding subsequent ones."
    """
    if value is None:
        return None
    for member in value.split(","):
        first = member.strip(" \t")
        if first:
            return delta_seconds(first)
    return None


def parse_vary(value: str | None) -> tuple[str, ...] | Literal["*"]:
    """The selecting fields, lower-case, sorted, each once; "*" where no request can match (RFC 9111 4.1).

    A "*" in any place makes the whole "*". So does a member that is no field name: the origin varies on
    something, and we cannot tell on what.
    """
    if value is None:
        return ()
    names = {member.strip(" \t").lower() for member in value.split(",")} - {""}
    if "*" in names or not all(map(is_token, names)):
        return "*"
    return tuple(sorted(names))


def parse_content_length(values: Sequence[str]) -> int | None:
    """The length in bytes that the lines of Content-Length agree on, or None where they are not one valid length.

    Exactly one line of 1*DIGIT. RFC 9110 8.6 lets a recipient take a list of identical values ("42, 42",
    or two lines) for one; we refuse it, as the duplicate shows that somebody upstream already disagreed
    on framing. No lines at all is None too: the caller sees from `values` whether the field is there.
    """
    if len(values) != 1:
        return None
    text = values[0]
    if len(text) > 19 or not is_digits(text):
        return None
    length = int(text)
    return length if length < 2**63 else None


def parse_surrogate_key(value: str | None) -> tuple[str, ...]:
    """The tags of Surrogate-Key or xkey: separated by white space, case kept, each once, in order.

    A comma inside a tag belongs to it; one at its end is where two lines of the field were joined.
    """
    if value is None:
        return ()
    tags = (tag.rstrip(",") for tag in re.split(r"[ \t]+", value))
    return tuple(dict.fromkeys(tag for tag in tags if tag))


def parse_cache_tag(value: str | None) -> tuple[str, ...]:
    """The tags of Cache-Tag: separated by commas, white space around them dropped, case kept, each once, in order."""
    if value is None:
        return ()
    tags = (tag.strip(" \t") for tag in value.split(","))
    return tuple(dict.fromkeys(tag for tag in tags if tag))
