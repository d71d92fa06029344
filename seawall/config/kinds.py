"""The kinds of value a setting may have: how each is read, what it expects, how it is shown.

Each kind is one small frozen object; a setting names one and adds bounds. Containers read all of their items
even when some are wrong, so that one run finds every problem; `Refused` says no to the value itself.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar, cast

from seawall.config.address import Address, NotAnAddress, OriginUrl, address, origin_url
from seawall.config.located import Items, Node, Scalar, Sort, Table, described
from seawall.config.problems import Reading, shown
from seawall.config.units import NotAnAmount, duration_text, octets, seconds, size_text

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
E = TypeVar("E", bound=StrEnum)
S = TypeVar("S")

NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}"


class Refused(Exception):
    """This value will not do; the hint says what to write instead, or is empty."""

    def __init__(self, hint: str = "") -> None:
        super().__init__(hint)
        self.hint = hint


class _Broken(Refused):
    """The section said already what is wrong with it."""


class Kind(Protocol[T_co]):
    """One kind of value."""

    @property
    def expected(self) -> str:
        """What belongs here, as a message and the documentation say it."""
        ...

    def read(self, node: Node, path: str, reading: Reading) -> T_co:
        """The value. Raises Refused for the node itself; problems deeper down go to the reading."""
        ...

    def show(self, value: Any) -> str:
        """The value as one would write it in the file."""
        ...


def read_item(kind: Kind[T], node: Node, path: str, reading: Reading) -> T | None:
    """The value, or None once the reading has been told why there is none."""
    reading.spots[path] = node.at
    if isinstance(node, Scalar) and node.sort is Sort.NULL:
        reading.refuse(path, f"is empty, expected {kind.expected}", "leave the key out for the default")
        return None
    try:
        return kind.read(node, path, reading)
    except _Broken:
        return None
    except Refused as refused:
        reading.refuse(path, f"{described(node)} is not {kind.expected}", refused.hint)
        return None


def scalar_text(node: Node) -> str:
    """The text of a scalar as written. Raises Refused for lists and tables."""
    if not isinstance(node, Scalar):
        raise Refused
    return node.text


# --- scalars ---


@dataclass(frozen=True, slots=True)
class Text:
    """A text, of a form where a pattern says so."""

    expected: str = "a text"
    pattern: str = r"[^\x00-\x1f\x7f]+"
    most: int = 1024

    def read(self, node: Node, path: str, reading: Reading) -> str:
        text = scalar_text(node)
        if len(text) > self.most:
            raise Refused(f"at most {self.most} characters")
        if not re.fullmatch(self.pattern, text):
            raise Refused
        return text

    def show(self, value: Any) -> str:
        return str(value)


@dataclass(frozen=True, slots=True)
class Name:
    """A field name or token (RFC 9110 5.6.2), kept in lower case: such names have no case."""

    expected: str = "a field name"
    barred: frozenset[str] = frozenset()

    def read(self, node: Node, path: str, reading: Reading) -> str:
        text = scalar_text(node)
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}", text):
            raise Refused
        if text.lower() in self.barred:
            raise Refused("it belongs to one connection, not to the message")
        return text.lower()

    def show(self, value: Any) -> str:
        return str(value)


@dataclass(frozen=True, slots=True)
class Flag:
    """true or false."""

    expected: str = "true or false"

    def read(self, node: Node, path: str, reading: Reading) -> bool:
        if isinstance(node, Scalar) and node.sort in (Sort.TRUE, Sort.FALSE):
            return node.sort is Sort.TRUE
        raise Refused

    def show(self, value: Any) -> str:
        return "true" if value else "false"


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number within bounds, decimal."""

    least: int
    most: int

    @property
    def expected(self) -> str:
        if self.least == self.most:
            return str(self.least)
        return f"a whole number from {self.least} to {self.most}"

    def read(self, node: Node, path: str, reading: Reading) -> int:
        text = scalar_text(node)
        if not re.fullmatch(r"-?[0-9]{1,18}", text, re.ASCII):
            raise Refused
        if not self.least <= int(text) <= self.most:
            raise Refused
        return int(text)

    def show(self, value: Any) -> str:
        return str(value)


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a whole, decimal: 0.01 is one in a hundred."""

    most: float = 1.0

    @property
    def expected(self) -> str:
        return f"a number from 0 to {self.most:g}"

    def read(self, node: Node, path: str, reading: Reading) -> float:
        text = scalar_text(node)
        if not re.fullmatch(r"[0-9](?:\.[0-9]{1,9})?", text, re.ASCII) or float(text) > self.most:
            raise Refused
        return float(text)

    def show(self, value: Any) -> str:
        return f"{value:g}"


@dataclass(frozen=True, slots=True)
class Strength:
    """How much of something: 0 is none, 1 what is usual for it. true and false are 1 and 0."""

    most: float

    @property
    def expected(self) -> str:
        return f"true, false or a number from 0 to {self.most:g}"

    def read(self, node: Node, path: str, reading: Reading) -> float:
        if isinstance(node, Scalar) and node.sort in (Sort.TRUE, Sort.FALSE):
            return 1.0 if node.sort is Sort.TRUE else 0.0
        text = scalar_text(node)
        if not re.fullmatch(r"[0-9]{1,3}(?:\.[0-9]{1,9})?", text, re.ASCII) or float(text) > self.most:
            raise Refused
        return float(text)

    def show(self, value: Any) -> str:
        return f"{value:g}"


@dataclass(frozen=True, slots=True)
class Duration:
    """A span of time; the value is seconds."""

    least: float = 0.0
    most: float = 10 * 365 * 86400.0  # RFC 9111 1.2.2 caps at 2^31 s; ten years is for ever, and readable

    @property
    def expected(self) -> str:
        bounds = f"from {duration_text(self.least)} to {duration_text(self.most)}"
        return f"a duration such as 500ms, 10s, 5m, 1h or 7d, {bounds}"

    def read(self, node: Node, path: str, reading: Reading) -> float:
        try:
            value = seconds(scalar_text(node))
        except NotAnAmount as error:
            raise Refused(str(error)) from error
        if not self.least <= value <= self.most:
            raise Refused
        return value

    def show(self, value: Any) -> str:
        return duration_text(value)


@dataclass(frozen=True, slots=True)
class Size:
    """An amount of memory or disk; the value is bytes."""

    least: int = 0
    most: int = 1 << 50

    @property
    def expected(self) -> str:
        return f"a size such as 64KiB, 256MiB or 2GiB, from {size_text(self.least)} to {size_text(self.most)}"

    def read(self, node: Node, path: str, reading: Reading) -> int:
        try:
            value = octets(scalar_text(node))
        except NotAnAmount as error:
            raise Refused(str(error)) from error
        if not self.least <= value <= self.most:
            raise Refused
        return value

    def show(self, value: Any) -> str:
        return size_text(value)


@dataclass(frozen=True, slots=True)
class OneOf(Generic[E]):
    """One word of an enum."""

    words: type[E]

    @property
    def expected(self) -> str:
        *most, last = (word.value for word in self.words)
        return f"{', '.join(most)} or {last}" if most else last

    def read(self, node: Node, path: str, reading: Reading) -> E:
        text = scalar_text(node)
        try:
            return self.words(text)
        except ValueError as error:
            raise Refused(did_you_mean(text, [word.value for word in self.words])) from error

    def show(self, value: Any) -> str:
        return str(value)


@dataclass(frozen=True, slots=True)
class Listen:
    """host:port."""

    expected: str = "an address such as 127.0.0.1:8080 or [::1]:8080"

    def read(self, node: Node, path: str, reading: Reading) -> Address:
        try:
            return address(scalar_text(node))
        except NotAnAddress as error:
            raise Refused(str(error)) from error

    def show(self, value: Any) -> str:
        return str(value)


@dataclass(frozen=True, slots=True)
class Url:
    """Where an origin is."""

    expected: str = "an address such as http://127.0.0.1:3000"

    def read(self, node: Node, path: str, reading: Reading) -> OriginUrl:
        try:
            return origin_url(scalar_text(node))
        except NotAnAddress as error:
            raise Refused(str(error)) from error

    def show(self, value: Any) -> str:
        return str(value)


# --- containers ---


@dataclass(frozen=True, slots=True)
class ListOf(Generic[T]):
    """A list; where `single` is set, one value may stand without brackets. No value twice."""

    kind: Kind[T]
    single: bool = False
    most: int = 256

    @property
    def expected(self) -> str:
        return f"{self.kind.expected}, or a list" if self.single else f"a list, each {self.kind.expected}"

    def read(self, node: Node, path: str, reading: Reading) -> tuple[T, ...]:
        if self.single and isinstance(node, Scalar):
            return (self.kind.read(node, path, reading),)
        if not isinstance(node, Items):
            raise Refused("write it in brackets: [a, b]" if isinstance(node, Scalar) else "")
        if len(node.items) > self.most:
            raise Refused(f"at most {self.most} items")
        read: list[T] = []
        for index, item in enumerate(node.items):
            value = read_item(self.kind, item, f"{path}[{index}]", reading)
            if value is None:
                continue
            if value in read:
                reading.refuse(f"{path}[{index}]", f"{described(item)} is in the list twice")
                continue
            read.append(value)
        return tuple(read)

    def show(self, value: Any) -> str:
        return "[" + ", ".join(self.kind.show(item) for item in value) + "]"


@dataclass(frozen=True, slots=True)
class PairsOf(Generic[S, T]):
    """A small table from one kind to another, in the order of the file."""

    key: Kind[S]
    kind: Kind[T]

    @property
    def expected(self) -> str:
        return f"a table from {self.key.expected} to {self.kind.expected}"

    def read(self, node: Node, path: str, reading: Reading) -> tuple[tuple[S, T], ...]:
        if not isinstance(node, Table):
            raise Refused
        pairs: list[tuple[S, T]] = []
        for key_node, value_node in node.entries:
            inner = f"{path}.{key_node.text}"
            key = read_item(self.key, key_node, inner, reading)
            value = read_item(self.kind, value_node, inner, reading)
            if key is not None and value is not None:
                pairs.append((key, value))
        return tuple(pairs)

    def show(self, value: Any) -> str:
        return "{" + ", ".join(f"{self.key.show(k)}: {self.kind.show(v)}" for k, v in value) + "}"


@dataclass(frozen=True, slots=True)
class Section(Generic[T]):
    """A table of settings, as the dataclass declares them."""

    of: type[T]

    @property
    def expected(self) -> str:
        return "a table of settings"

    def read(self, node: Node, path: str, reading: Reading) -> T:
        if not isinstance(node, Table):
            raise Refused("write key: value lines under it")
        built = read_section(self.of, node, path, reading)
        if built is None:
            raise _Broken
        return built

    def show(self, value: Any) -> str:
        return "{}"


@dataclass(frozen=True, slots=True)
class Named(Generic[T]):
    """A table of sections by name; each gets its name as the field `name`."""

    of: type[T]
    # A name goes into Via and Cache-Status as a token, into file names, metric labels, and paths like nodes.NAME.role.
    pattern: str = NAME

    @property
    def expected(self) -> str:
        return "a table of names, each with its settings"

    def read(self, node: Node, path: str, reading: Reading) -> Mapping[str, T]:
        if not isinstance(node, Table):
            raise Refused("write name: {…} lines under it")
        read: dict[str, T] = {}
        for key, value in node.entries:
            inner = f"{path}.{key.text}"
            if not re.fullmatch(self.pattern, key.text):
                reading.refuse(
                    inner,
                    f"'{shown(key.text)}' is not a name",
                    "letters, digits, dash and underscore, at most 63",
                    key.at,
                )
                continue
            reading.spots[inner] = key.at
            if not isinstance(value, Table):
                reading.refuse(inner, f"{described(value)} is not a table of settings", at=value.at)
                reading.broken.add(inner)
                continue
            section = read_section(self.of, value, inner, reading, name=key.text)
            if section is not None:
                read[key.text] = section
        return read

    def show(self, value: Any) -> str:
        return "{}"


# --- declaring settings ---


@dataclass(frozen=True, slots=True)
class Setting:
    """What a field of a section is in the file: its kind and one sentence."""

    kind: Kind[Any]
    says: str
    required: bool


_KEY = "setting"


def setting(kind: Kind[T], default: T, says: str) -> T:
    """Declares a field with a default."""
    return field(default=default, metadata={_KEY: Setting(kind, says, required=False)})


def required(kind: Kind[T], says: str) -> T:
    """Declares a field that the file must have."""
    return cast("T", field(metadata={_KEY: Setting(kind, says, required=True)}))


def named(kind: Named[T], says: str) -> Mapping[str, T]:
    """Declares a field of named sections, none by default."""
    declared: Any = field(default_factory=dict, metadata={_KEY: Setting(kind, says, required=False)})
    return cast("Mapping[str, T]", declared)


def settings(section: type[Any]) -> dict[str, tuple[Setting, Field[Any]]]:
    """What may stand in a section, in the order of its declaration."""
    return {item.name: (item.metadata[_KEY], item) for item in fields(section) if _KEY in item.metadata}


def default_of(item: Field[Any]) -> Any:
    """The default of a declared field, or MISSING."""
    return item.default_factory() if item.default_factory is not MISSING else item.default


# --- reading a section ---


def did_you_mean(text: str, known: list[str]) -> str:
    """The nearest known word as a hint, or else all of them."""
    folded = {word.lower().replace("-", "_"): word for word in known}
    near = difflib.get_close_matches(text.lower().replace("-", "_"), folded, n=1, cutoff=0.6)
    if near:
        return f"did you mean {folded[near[0]]}?"
    return "known: " + ", ".join(known)


def read_section(section: type[T], node: Table, path: str, reading: Reading, **given: str) -> T | None:
    """The section that the table describes, or None where a required setting is missing or wrong.

    A setting that is wrong takes its default, so that the checks across sections still see the rest; the reading
    holds the problem, and nobody gets the tree.
    """
    known = settings(section)
    values: dict[str, Any] = dict(given)
    for key, value in node.entries:
        inner = f"{path}.{key.text}" if path else key.text
        if key.text not in known:
            hint = did_you_mean(key.text, list(known))
            reading.refuse(inner, "unknown key", hint, key.at)
            continue
        declared, _ = known[key.text]
        result = read_item(declared.kind, value, inner, reading)
        reading.spots[inner] = key.at
        if result is not None:
            values[key.text] = result
    reading.spots.setdefault(path, node.at)
    missing = [name for name, (declared, _) in known.items() if declared.required and name not in values]
    for name in missing:
        inner = f"{path}.{name}" if path else name
        if inner not in reading.spots:
            reading.refuse(inner, f"is missing, expected {known[name][0].kind.expected}")
    if missing:
        reading.broken.add(path)
        return None
    return section(**values)
