"""What is wrong with a configuration: every problem at once, each with its place and what was expected there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

# A file is input like any other: what it holds is shown on a terminal, so nothing that moves a cursor passes.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_VALUE_SHOWN = 80


def printable(text: str) -> str:
    """The text with every control character spelled out."""
    return _UNPRINTABLE.sub(lambda match: f"\\x{ord(match.group()):02x}", text)


def shown(text: str) -> str:
    """A value as a message may quote it: one line, printable, at most 80 characters."""
    plain = printable(text)
    return plain if len(plain) <= _VALUE_SHOWN else plain[: _VALUE_SHOWN - 1] + "…"


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in a file, counted from 1; zero where there is none (the command line, a file that is not there)."""

    line: int = 0
    column: int = 0


NOWHERE = Spot()


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where, what stands there, and what was expected instead."""

    file: str
    at: Spot
    path: str  # routes[2].ttl; empty for the file as a whole
    message: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.at.line}:{self.at.column}" if self.at.line else self.file
        subject = f"{self.path}: " if self.path else ""
        hint = f" ({self.hint})" if self.hint else ""
        return printable(f"{place}: {subject}{self.message}{hint}")


class ConfigError(Exception):
    """The configuration cannot be used, and why: all problems, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(
            sorted(problems, key=lambda problem: (problem.at.line, problem.at.column))
        )
        super().__init__("\n".join(map(str, self.problems)))


@dataclass(slots=True)
class Reading:
    """One reading of one file: collects problems and remembers where each setting stands. Its reader owns it."""

    file: str
    problems: list[Problem] = field(default_factory=list)
    spots: dict[str, Spot] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)  # paths of sections that could not be built

    def refuse(self, path: str, message: str, hint: str = "", at: Spot | None = None) -> None:
        """Notes a problem; reading goes on, so that one run finds them all."""
        place = at if at is not None else self.nearest(path)
        self.problems.append(Problem(self.file, place, path, message, hint))

    def nearest(self, path: str) -> Spot:
        """Where this setting stands, or else the closest section around it."""
        return nearest(self.spots, path)


def nearest(spots: Mapping[str, Spot], path: str) -> Spot:
    """The place of a path, or of the closest section around it that has one."""
    while path:
        if path in spots:
            return spots[path]
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return spots.get("", NOWHERE)
