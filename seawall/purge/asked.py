"""What somebody asks of a purge: which objects, how hard, and how long they are ready to wait for the answer.

Knows no HTTP. The members are those of POST /v1/purge; `as_members` writes what `parse_asked` reads, for the node
that passes a purge on to its hub.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from seawall.purge.selection import Problem, Selection, parse_selection

DEFAULT_TIMEOUT = 30.0
# Whoever waits holds a connection and a receipt. Who wants to know later asks for the receipt later.
LONGEST_TIMEOUT = 600.0

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(ms|s|m)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0}


class Wait(StrEnum):
    """When the answer comes."""

    ALL = "all"  # when no node can serve anything stale any more, or at the time-out
    ACCEPTED = "accepted"  # when the order is written down, and applied at the hub


@dataclass(frozen=True, slots=True)
class Asked:
    """One purge as it was asked for. `timeout` in seconds. `dry_run`: count, and change nothing."""

    what: Selection
    soft: bool = False
    dry_run: bool = False
    wait: Wait = Wait.ALL
    timeout: float = DEFAULT_TIMEOUT


_OWN = frozenset({"soft", "dry_run", "wait", "timeout"})


def parse_asked(obj: object) -> Asked | list[Problem]:
    """What a decoded JSON body asks for, or all that is wrong with it."""
    what = parse_selection(obj, also=_OWN)
    if not isinstance(obj, dict):
        assert isinstance(what, list)  # noqa: S101 (only an object selects anything)
        return what
    problems = what if isinstance(what, list) else []
    flags = {}
    for name in ("soft", "dry_run"):
        flags[name] = obj.get(name, False)
        if not isinstance(flags[name], bool):
            problems.append(Problem(name, "true or false is expected"))
    wait = obj.get("wait", Wait.ALL.value)
    if wait not in list(Wait):
        problems.append(Problem("wait", "all or accepted is expected"))
    timeout = _seconds(obj.get("timeout", f"{DEFAULT_TIMEOUT:g}s"))
    if timeout is None:
        problems.append(Problem("timeout", f"a duration such as 500ms, 30s or 2m is expected, at most {_longest()}"))
    if problems or timeout is None or isinstance(what, list):
        return problems
    return Asked(what, flags["soft"], flags["dry_run"], Wait(wait), timeout)


def as_members(asked: Asked) -> dict[str, object]:
    """The body that asks for the same."""
    return {
        **names(asked.what),
        "soft": asked.soft,
        "dry_run": asked.dry_run,
        "wait": asked.wait.value,
        "timeout": f"{asked.timeout * 1000:.0f}ms",
    }


def names(what: Selection) -> dict[str, object]:
    """The selection as JSON names it; what selects nothing is left out."""
    if what.all:
        return {"all": True}
    members = {
        "urls": list(what.urls),
        # Octets inside, text outside: selection.tag_octets the other way. Not all octets are text.
        "tags": [tag.encode("latin-1").decode("utf-8", "replace") for tag in what.tags],
        "prefixes": list(what.prefixes),
        "hosts": list(what.hosts),
    }
    return {name: value for name, value in members.items() if value}


def _seconds(said: object) -> float | None:
    match = _DURATION.fullmatch(said) if isinstance(said, str) else None
    if match is None:
        return None
    seconds = float(match[1]) * _SECONDS[match[2]]
    return seconds if seconds <= LONGEST_TIMEOUT else None


def _longest() -> str:
    return f"{LONGEST_TIMEOUT / 60:g}m"
