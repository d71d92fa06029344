"""A parsed file before it means anything: scalars, lists and tables that know their line and column.

Knows no YAML and no setting. A scalar keeps its text as written, so that `region: no` stays "no" and a port
after a colon is never read as a sexagesimal number.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from seawall.config.problems import Spot, shown


class Sort(Enum):
    """What the file's own grammar takes a scalar for."""

    NULL = "null"
    TRUE = "true"
    FALSE = "false"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value and the text it was written as, quotes removed."""

    text: str
    at: Spot
    sort: Sort = Sort.TEXT


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: tuple[Node, ...]
    at: Spot


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping, in the order of the file; keys are unique."""

    entries: tuple[tuple[Scalar, Node], ...]
    at: Spot


Node = Scalar | Items | Table


def described(node: Node) -> str:
    """What stands there, as a message names it."""
    match node:
        case Scalar(sort=Sort.NULL):
            return "nothing"
        case Scalar():
            return f"'{shown(node.text)}'"
        case Items():
            return "a list"
        case Table():
            return "a table of settings"
