"""Cache-Control (RFC 9111 5.2) as a set of directives, read with caution.

Knows the grammar, not the meaning: which directive does what is for policy. The rule where an origin wrote
something malformed: the directive counts, its argument does not. So `max-age=1O` is a lifetime of 0, `private=`
is private for the whole response, and `no-store` after a quote that never closes is still no-store.
What stands inside a quoted string that does close is never a directive.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from seawall.http.fields import TCHAR, delta_seconds, is_token, member_end

# cache-directive = token [ "=" ( token / quoted-string ) ]. No white space around "=": `max-age = 10` is malformed.
_ARGUMENT = rf'=(?:(?P<token>[{TCHAR}]++)|"(?P<quoted>(?:[^"\\]|\\.)*+)")'
_DIRECTIVE = re.compile(rf"(?P<name>[{TCHAR}]++)(?:{_ARGUMENT})?+[ \t]*+(?=,|\Z)", re.DOTALL)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_BETWEEN = re.compile(r"[ \t,]*+")
# A semicolon or a space in place of a comma is a common slip; each word of `private; max-age=60` counts as a name.
_WORD = re.compile(rf"(?:^|(?<=[; \t,]))[{TCHAR}]++")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)

_UNREADABLE = ""

# A value of a few hundred characters is no longer one that recurs, and the memo must stay small: 1024 of these
# are about half a megabyte.
_MEMO_LONGEST = 256


@dataclass(frozen=True, slots=True)
class Directives:
    """The directives of one message: lower-case names, each with the arguments it came with, in order.

    In `_arguments` None is a directive without "=", and the empty string an argument that cannot be read.
    """

    _arguments: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self._arguments

    def __bool__(self) -> bool:
        return bool(self._arguments)

    def names(self) -> frozenset[str]:
        """Every directive that is there, known to anyone or not."""
        return frozenset(self._arguments)

    def bare(self, name: str) -> bool:
        """Is it there without an argument? `max-stale` alone accepts any staleness, `max-stale=x` none."""
        return None in self._arguments.get(name, ())

    def seconds(self, name: str) -> int | None:
        """The directive's delta-seconds, at most 2**31; None where it is absent.

        Token and quoted form are one (RFC 9111 5.2). No argument, or one that is not 1*DIGIT (negative,
        fractional, 'quoted so', empty), reads as 0: RFC 9111 4.2.1 encourages to take invalid freshness
        information as stale. Several values read as the smallest: the same section allows the first or
        "stale", and of two lifetimes the shorter one is right in either case.
        """
        arguments = self._arguments.get(name)
        if arguments is None:
            return None
        return min(delta_seconds(argument or "") or 0 for argument in arguments)

    def fields(self, name: str) -> tuple[str, ...] | None:
        """The field names, lower-case, that private="a, b" or no-cache="a" is limited to; None where it is absent.

        () is the directive without limits: it holds for the whole response. That wins where both forms are
        there, and it is the reading of a list that is empty or holds anything but field names. The token form
        private=a is read too (RFC 9111 5.2.2.4: a sender should not, a recipient ought to).
        """
        arguments = self._arguments.get(name)
        if arguments is None:
            return None
        named: dict[str, None] = {}
        for argument in arguments:
            members = [member.strip(" \t").lower() for member in (argument or "").split(",")]
            limits = [member for member in members if member]
            # An apostrophe may stand in a token, but private='a' names no field that exists.
            if not limits or not all(is_token(limit) and "'" not in limit for limit in limits):
                return ()
            named.update(dict.fromkeys(limits))
        return tuple(named)


_NONE = Directives()


def parse_cache_control(value: str | None) -> Directives:
    """The directives of a field value, its lines joined by ", "; none at all for None. Never raises."""
    if value is None:
        return _NONE
    return _remembered(value) if len(value) <= _MEMO_LONGEST else _parse(value)


def _parse(value: str) -> Directives:
    found: dict[str, list[str | None]] = {}
    at, end = 0, len(value)
    while (at := _skip(value, at)) < end:
        if (match := _DIRECTIVE.match(value, at)) is not None:
            argument = match["token"]
            if (quoted := match["quoted"]) is not None:
                argument = _ESCAPE.sub(r"\1", quoted) if "\\" in quoted else quoted
            found.setdefault(match["name"].lower(), []).append(argument)
            at = match.end()
            continue
        stop = member_end(value, at)
        malformed = _QUOTED.sub('""', value[at:stop])
        if stop < end and value[stop] == '"':
            # Never closed. Where it was meant to is a guess, so all that follows counts as malformed.
            malformed, stop = malformed + value[stop:], end
        for word in _WORD.finditer(malformed):
            found.setdefault(word[0].lower(), []).append(_UNREADABLE)
        at = stop
    return Directives({name: tuple(arguments) for name, arguments in found.items()})


def _skip(value: str, at: int) -> int:
    match = _BETWEEN.match(value, at)
    return at if match is None else match.end()


_remembered = lru_cache(maxsize=1024)(_parse)
