"""What the file may say already and this version cannot do yet: the one list, and who is refused because of it.

A setting that is taken and then ignored is worse than one that is refused: a purge hub that does not exist
looks like one that works. `check` names these as notes; whatever would run them refuses. When the machinery
behind an entry arrives, its line goes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, is_dataclass

from seawall.config.kinds import default_of, settings
from seawall.config.problems import ConfigError, Problem
from seawall.config.schema import Journal, Source, Topology


@dataclass(frozen=True, slots=True)
class Missing:
    """A setting whose machinery is not there yet: its path with * for names and indices, and which values need it."""

    path: str
    needs_it: Callable[[object], bool]
    instead: str


def _given(value: object) -> bool:
    return True


MISSING = (
    Missing("nodes.*.workers", lambda workers: workers != 1, "one process a node: workers: 1"),
    Missing("store.disk", _given, "responses are kept in memory"),
    Missing("nodes.*.store.disk", _given, "responses are kept in memory"),
    Missing("store.redis", _given, "responses are kept in memory"),
    Missing("nodes.*.store.redis", _given, "responses are kept in memory"),
    Missing("purge.journal", lambda journal: journal is Journal.REDIS, "embedded"),
)


@dataclass(frozen=True, slots=True)
class _Said:
    """One setting of a tree that was given, or differs from its default."""

    pattern: str
    path: str
    value: object


def unavailable(topology: Topology, nodes: Collection[str] | None = None) -> tuple[Problem, ...]:
    """What this version cannot do of what these nodes need (None: all nodes of the file), in the order of the file."""
    source = topology.source
    return ConfigError(
        Problem(source.file, source.at(said.path), said.path, "is not available yet in this version", missing.instead)
        for said in _said(topology, "", "", source)
        if nodes is None or not said.path.startswith("nodes.") or said.path.split(".")[1] in nodes
        for missing in MISSING
        if missing.path == said.pattern and missing.needs_it(said.value)
    ).problems


def require_available(topology: Topology, nodes: Collection[str] | None = None) -> None:
    """Raises ConfigError with every setting that running these nodes would silently ignore."""
    found = unavailable(topology, nodes)
    if found:
        raise ConfigError(found)


def _said(section: object, pattern: str, path: str, source: Source) -> Iterator[_Said]:
    for name, (_, declared) in settings(type(section)).items():
        value: object = getattr(section, name)
        inner = _Said(f"{pattern}.{name}".lstrip("."), f"{path}.{name}".lstrip("."), value)
        if source.says(inner.path) or value != default_of(declared):
            yield inner
        if is_dataclass(value):
            yield from _said(value, inner.pattern, inner.path, source)
        elif isinstance(value, Mapping):
            for key, item in value.items():
                yield from _said(item, f"{inner.pattern}.*", f"{inner.path}.{key}", source)
        elif isinstance(value, tuple):
            for index, item in enumerate(value):
                if is_dataclass(item):
                    yield from _said(item, f"{inner.pattern}[*]", f"{inner.path}[{index}]", source)
