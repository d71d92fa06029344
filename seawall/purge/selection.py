"""What an order names: URLs, tags, URL prefixes, hosts, or everything; and how a request body says it.

Decides the one spelling of each name, so that it compares octet by octet with the key and the tags of a
stored response. There are no patterns: Souin took tags for unanchored regular expressions, and objects
became unpurgeable for a year (HAZARDS T65).

A name that cannot be in any key or tag is refused, not ignored: a purge that matches nothing by mistake
looks like one that had nothing to do.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from seawall.http.target import DEFAULT_PORTS, canonical_authority
from seawall.http.wire import MAX_TARGET_BYTES
from seawall.policy.tags import MAX_TAG_BYTES

# One order. Fastly takes 256 keys a request, Cloudflare 30 to 500; what a deploy touches is more than that.
MAX_NAMES = 1000
# All names of one order together: it is one line of the journal, and one of many in a message.
MAX_SELECTION_BYTES = 256 * 1024
# Longer than this no client could have requested.
MAX_URL_BYTES = MAX_TARGET_BYTES + 300

MAX_PROBLEMS = 20  # of one body: the rest is more of the same

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^#]*)", re.DOTALL)
_VISIBLE = re.compile(r"[\x21-\x7e]+")
# RFC 9110 5.5: what a field value can hold; a tag with anything else never came with a response.
_TAG = re.compile(r"[\x20-\x7e\x80-\xff]+")


class Selection(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The names of one order, each canonical and there once. An object is selected by any one of them.

    `urls` are exactly what a client would request. `prefixes` are `scheme://authority/path`, or
    `authority/path` for both schemes, and end before the query. `hosts` are `host` or `host:port`, on both
    schemes. `tags` are one character an octet (latin-1), as header values are everywhere here.

    A field that this version does not know makes the whole order unreadable: to apply half of it and
    confirm would be a lie.
    """

    urls: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    all: bool = False

    def __bool__(self) -> bool:
        """Does it name anything?"""
        return bool(self.all or self.urls or self.tags or self.prefixes or self.hosts)

    @property
    def names(self) -> int:
        return len(self.urls) + len(self.tags) + len(self.prefixes) + len(self.hosts)

    @property
    def octets(self) -> int:
        """The names' length together, in bytes."""
        return sum(map(len, (*self.urls, *self.tags, *self.prefixes, *self.hosts)))


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a purge, and where: `tags[3]`. Never quotes what the caller sent (HAZARDS T53)."""

    where: str
    what: str


def canonical_url(text: str) -> str:
    """The URL as it is keyed: scheme and host lower-case, a default port dropped. Path and query stay as they are.

    Raises ValueError with a clause that says why it is none.
    """
    scheme, authority, rest = _split(text)
    if not rest:
        rest = "/"
    elif rest[0] == "?":
        rest = "/" + rest
    return f"{scheme}://{authority}{rest}"


def canonical_prefix(text: str) -> str:
    """A prefix with its whole authority, so that `a.example` does not begin `a.example.org`. Raises ValueError."""
    if "?" in text:
        # Routes leave out or reorder parts of the query, so the beginning of one names nothing reliably.
        raise ValueError("a prefix ends before the query")
    if "://" in text:
        return canonical_url(text)
    _requestable(text)
    host, _, path = text.partition("/")
    return f"{canonical_host(host)}/{path}"


def canonical_host(text: str) -> str:
    """`host` or `host:port`, lower-case. Raises ValueError."""
    authority = canonical_authority(text, "")
    if authority is None:
        raise ValueError("no host or host:port; without a scheme, and IPv6 in brackets")
    return authority


def tag_octets(text: str) -> str:
    """A tag from JSON or a command line as the octets that a header carries: UTF-8. Raises ValueError.

    Whoever has a tag from a header has its octets already and asks `canonical_tag`.
    """
    try:
        return canonical_tag(text.encode().decode("latin-1"))
    except UnicodeEncodeError:
        raise ValueError("not valid Unicode") from None


def canonical_tag(octets: str) -> str:
    """The tag itself, where a response can carry it. Raises ValueError."""
    if not octets:
        raise ValueError("empty")
    if len(octets) > MAX_TAG_BYTES:
        raise ValueError(f"over {MAX_TAG_BYTES} bytes: no response is stored with that much")
    if not _TAG.fullmatch(octets):
        raise ValueError("control characters cannot be in a tag")
    return octets


def _requestable(text: str) -> None:
    """Raises ValueError where no request line can hold it."""
    if len(text) > MAX_URL_BYTES:
        raise ValueError(f"over {MAX_URL_BYTES} bytes")
    if not _VISIBLE.fullmatch(text):
        raise ValueError("only visible ASCII; percent-encode the rest as a client would")
    if "#" in text:
        raise ValueError("without a fragment: clients do not send it")


def _split(text: str) -> tuple[str, str, str]:
    _requestable(text)
    match = _URL.fullmatch(text)
    if match is None:
        raise ValueError("no absolute URL: scheme and host included")
    scheme = match[1].lower()
    if scheme not in DEFAULT_PORTS:
        raise ValueError("the scheme is http or https")
    if "@" in match[2]:
        raise ValueError("without user and password")
    authority = canonical_authority(match[2], scheme)
    if authority is None:
        raise ValueError("the host or the port is malformed")
    return scheme, authority, match[3]


_FORMS: dict[str, Callable[[str], str]] = {
    "urls": canonical_url,
    "tags": tag_octets,
    "prefixes": canonical_prefix,
    "hosts": canonical_host,
}


def parse_selection(obj: object, also: frozenset[str] = frozenset()) -> Selection | list[Problem]:
    """What a decoded JSON body selects, or all that is wrong with it (never both, never an empty list).

    `also` names the members that the caller reads itself, such as `soft` and `wait`. Any other member is
    a problem: a misspelt one would purge less than was meant.
    """
    if not isinstance(obj, dict):
        return [Problem("", "an object is expected")]
    problems = [
        Problem(_named(member), "no such member")
        for member in obj
        if member not in _FORMS and member not in {"all", *also}
    ]
    everything = obj.get("all", False)
    if not isinstance(everything, bool):
        problems.append(Problem("all", "true or false is expected"))
    names = {member: _names(member, obj.get(member, []), problems) for member in _FORMS}
    if problems:
        return problems[:MAX_PROBLEMS]
    selection = Selection(**names, all=everything)
    if not selection:
        return [Problem("", "nothing is named: urls, tags, prefixes, hosts, or all")]
    if everything and selection.names:
        # Which of the two was meant? One of them costs the whole cache.
        return [Problem("all", "stands alone")]
    return over_bounds(selection) or selection


def over_bounds(selection: Selection) -> list[Problem]:
    """What is too much for one order, or nothing."""
    if selection.names > MAX_NAMES:
        return [Problem("", f"more than {MAX_NAMES} names; send them in several purges, or use a tag")]
    if selection.octets > MAX_SELECTION_BYTES:
        return [Problem("", f"more than {MAX_SELECTION_BYTES} bytes of names; send them in several purges")]
    return []


def _names(member: str, listed: object, problems: list[Problem]) -> tuple[str, ...]:
    if not isinstance(listed, list | tuple):
        problems.append(Problem(member, "a list of strings is expected"))
        return ()
    if len(listed) > MAX_NAMES:
        problems.append(Problem(member, f"more than {MAX_NAMES} names; send them in several purges, or use a tag"))
        return ()
    form = _FORMS[member]
    names: dict[str, None] = {}
    for place, text in enumerate(listed):
        if not isinstance(text, str):
            problems.append(Problem(f"{member}[{place}]", "a string is expected"))
            continue
        try:
            names[form(text)] = None
        except ValueError as wrong:
            problems.append(Problem(f"{member}[{place}]", str(wrong)))
    return tuple(names)


def _named(member: object) -> str:
    """A member's name for a message, where it is a harmless word."""
    return member if isinstance(member, str) and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,31}", member) else "(a member)"
