"""Structured fields (RFC 9651), strictly: a value parses as a whole or not at all.

Knows no field. The doors are parse_item, parse_list and parse_dictionary, which take a value with its lines joined
by ", " and answer None where it is invalid (RFC 9651 4.2: the whole field is then ignored); and serialize_* for what
we send, which raise ValueError, our own mistake, for what no structured field can say.

A bool is an int to Python: who expects an Integer asks for `type(value) is int`, or `max-age` alone would be one
second. Keys are lower-case by grammar, so `Max-Age=1` makes the field invalid, not the key unknown.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TypeVar

from seawall.http.fields import TCHAR


@dataclass(frozen=True, slots=True)
class Token:
    """A bare word, as distinct from a String: hit, uri-miss, text/html."""

    value: str


@dataclass(frozen=True, slots=True)
class Date:
    """An instant, in whole seconds since the epoch."""

    seconds: int


@dataclass(frozen=True, slots=True)
class DisplayString:
    """Text for people, any of Unicode."""

    text: str


BareItem = int | Decimal | str | Token | bytes | bool | Date | DisplayString
Parameters = Mapping[str, BareItem]


@dataclass(frozen=True, slots=True)
class Item:
    """A bare item and its parameters, in order."""

    value: BareItem
    params: Parameters = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InnerList:
    """A list in parentheses, with parameters of its own."""

    items: tuple[Item, ...]
    params: Parameters = field(default_factory=dict)


Member = Item | InnerList

_KEY = re.compile(r"[a-z*][a-z0-9_\-.*]*")
_TOKEN = re.compile(rf"[A-Za-z*][{TCHAR}:/]*")
_NUMBER = re.compile(r"-?(?:([0-9]+)\.([0-9]+)|([0-9]+))")
_STRING = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*+)"')
_BYTES = re.compile(r":([A-Za-z0-9+/]*)(={0,2}):")
_DISPLAY = re.compile(r'%"((?:[ !#$&-~]|%[0-9a-f]{2})*+)"')
_SPACES = re.compile(r" *")
_OWS = re.compile(r"[ \t]*")
_STRING_ESCAPE = re.compile(r'\\(["\\])')
_PERCENT = re.compile(rb"%([0-9a-f]{2})")

_INTEGER_LIMIT = 10**15

T = TypeVar("T")


class _Invalid(Exception):
    """Parsing failed; never leaves this module."""


def parse_item(value: str) -> Item | None:
    """An Item with its parameters (RFC 9651 3.3)."""
    return _whole(value, _Reader.item)


def parse_list(value: str) -> tuple[Member, ...] | None:
    """A List (RFC 9651 3.1); () for an empty value, as if the field were not there."""
    return _whole(value, _Reader.list)


def parse_dictionary(value: str) -> dict[str, Member] | None:
    """A Dictionary (RFC 9651 3.2) in order; {} for an empty value. A repeated key has its last value, first place."""
    return _whole(value, _Reader.dictionary)


def _whole(value: str, read: Callable[[_Reader], T]) -> T | None:
    reader = _Reader(value)
    try:
        reader.skip(_SPACES)
        result = read(reader)
        reader.skip(_SPACES)
    except _Invalid:
        return None
    return result if reader.at_end() else None


class _Reader:
    """A position in a value. Each method is one algorithm of RFC 9651 4.2 and moves behind what it has read."""

    __slots__ = ("_at", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def at_end(self) -> bool:
        return self._at == len(self._text)

    def skip(self, pattern: re.Pattern[str]) -> None:
        self._read(pattern)

    def list(self) -> tuple[Member, ...]:
        members: list[Member] = []
        while not self.at_end():
            members.append(self._member())
            if not self._comma():
                break
        return tuple(members)

    def dictionary(self) -> dict[str, Member]:
        members: dict[str, Member] = {}
        while not self.at_end():
            key = self._read(_KEY)[0]
            members[key] = self._member() if self._take("=") else Item(True, self._parameters())
            if not self._comma():
                break
        return members

    def item(self) -> Item:
        return Item(self._bare(), self._parameters())

    def _comma(self) -> bool:
        """Is there another member? A comma with nothing behind it is an error."""
        self.skip(_OWS)
        if self.at_end():
            return False
        if not self._take(","):
            raise _Invalid
        self.skip(_OWS)
        if self.at_end():
            raise _Invalid
        return True

    def _member(self) -> Member:
        if not self._take("("):
            return self.item()
        items: list[Item] = []
        while True:
            self.skip(_SPACES)
            if self._take(")"):
                return InnerList(tuple(items), self._parameters())
            items.append(self.item())
            if self._peek() not in (" ", ")"):
                raise _Invalid

    def _parameters(self) -> Parameters:
        params: dict[str, BareItem] = {}
        while self._take(";"):
            self.skip(_SPACES)
            key = self._read(_KEY)[0]
            params[key] = self._bare() if self._take("=") else True
        return params

    def _bare(self) -> BareItem:
        first = self._peek()
        if first == '"':
            return _STRING_ESCAPE.sub(r"\1", self._read(_STRING)[1])
        if first == ":":
            return self._bytes()
        if first == "?":
            return self._boolean()
        if first == "@":
            self._at += 1
            seconds = self._number()
            if not isinstance(seconds, int):
                raise _Invalid
            return Date(seconds)
        if first == "%":
            return self._display()
        if first == "-" or (first.isascii() and first.isdigit()):
            return self._number()
        return Token(self._read(_TOKEN)[0])

    def _number(self) -> int | Decimal:
        # In "1." the match ends before the dot, which nothing that may follow an item accepts.
        match = self._read(_NUMBER)
        whole, fraction, integer = match.groups()
        if integer is not None:
            if len(integer) > 15:
                raise _Invalid
            return int(match[0])
        if len(whole) > 12 or len(fraction) > 3:
            raise _Invalid
        return Decimal(match[0])

    def _boolean(self) -> bool:
        for text, truth in (("?1", True), ("?0", False)):
            if self._take(text):
                return truth
        raise _Invalid

    def _bytes(self) -> bytes:
        content, padding = self._read(_BYTES).groups()
        # RFC 9651 4.2.7: padding is synthesised where it is missing, and pad bits that are not zero are no error.
        missing = -len(content) % 4
        if missing == 3 or len(padding) > missing:
            raise _Invalid
        return binascii.a2b_base64(content + "=" * missing)

    def _display(self) -> DisplayString:
        encoded = self._read(_DISPLAY)[1].encode("ascii")
        try:
            return DisplayString(_PERCENT.sub(lambda hexed: bytes([int(hexed[1], 16)]), encoded).decode("utf-8"))
        except UnicodeDecodeError:
            raise _Invalid from None

    def _peek(self) -> str:
        """The next character, or "" at the end."""
        return self._text[self._at : self._at + 1]

    def _take(self, text: str) -> bool:
        if not self._text.startswith(text, self._at):
            return False
        self._at += len(text)
        return True

    def _read(self, pattern: re.Pattern[str]) -> re.Match[str]:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise _Invalid
        self._at = match.end()
        return match


def serialize_item(value: Item | BareItem) -> str:
    """An Item, or a bare item without parameters (RFC 9651 4.1.3)."""
    if isinstance(value, Item):
        return _bare_text(value.value) + _parameters_text(value.params)
    return _bare_text(value)


def serialize_list(members: Iterable[Member]) -> str:
    """A List (RFC 9651 4.1.1). An empty one is "": such a field is not to be sent."""
    return ", ".join(map(_member_text, members))


def serialize_dictionary(members: Mapping[str, Member]) -> str:
    """A Dictionary (RFC 9651 4.1.2). An empty one is "": such a field is not to be sent."""
    return ", ".join(
        serialize_key(key) + _parameters_text(member.params)
        if isinstance(member, Item) and member.value is True
        else f"{serialize_key(key)}={_member_text(member)}"
        for key, member in members.items()
    )


def serialize_key(key: str) -> str:
    """The key as it is, where it is one (RFC 9651 4.1.1.3)."""
    return _checked(_KEY, key, "key")


def serialize_token(token: str) -> str:
    """The text as a Token, where it is one (RFC 9651 4.1.7)."""
    return _checked(_TOKEN, token, "token")


def serialize_string(text: str) -> str:
    """The text as a String, in quotes; ValueError beyond printable ASCII (RFC 9651 4.1.6)."""
    return _checked(_STRING, '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"', "string")


def _checked(pattern: re.Pattern[str], text: str, kind: str) -> str:
    if pattern.fullmatch(text) is None:
        raise ValueError(f"not a structured-field {kind}: {text!r}")
    return text


def _member_text(member: Member) -> str:
    if isinstance(member, Item):
        return serialize_item(member)
    return f"({' '.join(map(serialize_item, member.items))}){_parameters_text(member.params)}"


def _parameters_text(params: Parameters) -> str:
    return "".join(
        f";{serialize_key(key)}" if value is True else f";{serialize_key(key)}={_bare_text(value)}"
        for key, value in params.items()
    )


def _bare_text(value: BareItem) -> str:
    match value:
        case bool():
            return "?1" if value else "?0"
        case int():
            return _integer_text(value)
        case Decimal():
            return _decimal_text(value)
        case str():
            return serialize_string(value)
        case Token():
            return serialize_token(value.value)
        case bytes():
            return f":{binascii.b2a_base64(value, newline=False).decode('ascii')}:"
        case Date():
            return f"@{_integer_text(value.seconds)}"
        case DisplayString():
            return _display_text(value.text)


def _integer_text(value: int) -> str:
    if not -_INTEGER_LIMIT < value < _INTEGER_LIMIT:
        raise ValueError(f"not a structured-field integer: {value}")
    return str(value)


def _decimal_text(value: Decimal) -> str:
    if not value.is_finite() or abs(value) >= 10**13:
        raise ValueError(f"not a structured-field decimal: {value}")
    rounded = value.quantize(Decimal("0.001"), ROUND_HALF_EVEN)
    if abs(rounded) >= 10**12:
        raise ValueError(f"not a structured-field decimal: {value}")
    whole, _, fraction = f"{rounded:f}".partition(".")
    return f"{whole}.{fraction.rstrip('0') or '0'}"


def _display_text(text: str) -> str:
    # Everything but printable ASCII, and of that the quote and the percent sign themselves.
    plain = "".join(
        chr(octet) if 0x20 <= octet <= 0x7E and octet not in b'%"' else f"%{octet:02x}"
        for octet in text.encode("utf-8")
    )
    return f'%"{plain}"'
