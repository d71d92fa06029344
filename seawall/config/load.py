"""The topology file: YAML in, a checked tree out, or every problem that it has.

The only module that knows YAML. It takes the composed nodes, not the constructed values: they know their lines, no
tag ever builds an object, and what a plain scalar means is for the setting to say. What an alias may unfold to is
bounded, so nine lines of anchors cannot become a billion items.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import yaml

from seawall.config.checks import check
from seawall.config.kinds import read_section
from seawall.config.located import Items, Node, Scalar, Sort, Table
from seawall.config.problems import ConfigError, Problem, Reading, Spot, shown
from seawall.config.schema import Source, Topology

# A topology of a thousand routes is some 200 KiB and 15,000 nodes; both bounds leave room for several of them.
MAX_FILE_BYTES = 2 << 20
MAX_NODES = 60_000
MAX_DEPTH = 32

_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = frozenset(
    _TAG + name for name in ("str", "int", "float", "bool", "null", "timestamp", "value", "seq", "map")
)
# YAML 1.1 has eleven spellings of each; these are the ones that PyYAML resolves.
_TRUE = frozenset({"yes", "true", "on"})


def load(path: str | Path) -> Topology:
    """Reads and checks a topology file. Raises ConfigError with all problems, never anything else."""
    file = str(path)
    return parse(_text(Path(path), file), file)


def parse(text: str, file: str) -> Topology:
    """As load, for a text that is here already; `file` is what messages call it."""
    root = _compose(text, file)
    reading = Reading(file)
    table = _Unfolding(reading).node(root, "", 0)
    if not isinstance(table, Table):
        reading.refuse(
            "", "the file is not a table of settings", "write origins:, routes: and nodes: at the top", table.at
        )
        raise ConfigError(reading.problems)
    topology = read_section(Topology, table, "", reading)
    if topology is not None:
        check(topology, reading)
    if topology is None or reading.problems:
        raise ConfigError(reading.problems)
    return replace(topology, source=Source(file, reading.spots))


def _text(path: Path, file: str) -> str:
    try:
        with path.open("rb") as opened:
            octets = opened.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise _whole(file, f"cannot be read: {why}") from error
    if len(octets) > MAX_FILE_BYTES:
        raise _whole(file, f"is larger than {MAX_FILE_BYTES >> 20} MiB")
    try:
        return octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        raise _whole(file, "is not UTF-8", at=Spot(line, 1)) from error


def _whole(file: str, message: str, hint: str = "", at: Spot | None = None) -> ConfigError:
    return ConfigError([Problem(file, at or Spot(), "", message, hint)])


def _compose(text: str, file: str) -> yaml.Node:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = Spot(mark.line + 1, mark.column + 1) if mark else Spot()
        raise _whole(file, *_explained(error), at=at) from error
    except yaml.reader.ReaderError as error:
        raise _whole(file, f"character {error.position} cannot stand in YAML") from error
    except yaml.YAMLError as error:
        raise _whole(file, shown(str(error))) from error
    except RecursionError as error:
        raise _whole(file, "is nested too deeply") from error
    if root is None:
        raise _whole(file, "is empty", "the least is an origin and a node")
    return root


def _explained(error: yaml.MarkedYAMLError) -> tuple[str, str]:
    """PyYAML's words, or better ones where people trip often."""
    said = error.problem or str(error)
    if "'\\t'" in said:
        return "a tab stands here", "YAML indents with spaces"
    if "expected a single document" in (error.context or ""):
        return "a second document starts here", "one file is one topology"
    if "mapping values are not allowed" in said:
        return "a colon too many, or a line that is indented wrongly", "quote values that hold ': '"
    return f"not YAML: {said}", error.context or ""


class _Unfolding:
    """From YAML's graph to a tree, under the budget; owns the count of nodes."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._nodes = 0

    def node(self, node: yaml.Node, path: str, depth: int) -> Node:
        at = Spot(node.start_mark.line + 1, node.start_mark.column + 1)
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _whole(self._reading.file, f"unfolds to more than {MAX_NODES} values", at=at)
        if depth > MAX_DEPTH:
            raise _whole(self._reading.file, "is nested too deeply, or an alias refers to itself", at=at)
        if node.tag not in _PLAIN_TAGS:
            self._reading.refuse(path, f"the tag {shown(node.tag)} has no meaning here", at=at)
        match node:
            case yaml.ScalarNode():
                return Scalar(node.value, at, _sort(node))
            case yaml.SequenceNode():
                return Items(
                    tuple(self.node(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(node.value)), at
                )
            case yaml.MappingNode():
                return Table(tuple(self._entries(node, path, depth).values()), at)
            case _:
                raise AssertionError(node)

    def _entries(self, node: yaml.MappingNode, path: str, depth: int) -> dict[str, tuple[Scalar, Node]]:
        entries: dict[str, tuple[Scalar, Node]] = {}
        merged: dict[str, tuple[Scalar, Node]] = {}
        for key, value in node.value:
            at = Spot(key.start_mark.line + 1, key.start_mark.column + 1)
            if key.tag == _TAG + "merge":
                for name, entry in self._merged(value, path, depth).items():
                    merged.setdefault(name, entry)
                continue
            if not isinstance(key, yaml.ScalarNode):
                self._reading.refuse(path, "a key is a list or a table", "quote values that begin with [ or {", at)
                continue
            inner = f"{path}.{key.value}" if path else key.value
            if key.value in entries:
                first = entries[key.value][0].at.line
                # YAML 1.1 calls it an error and PyYAML lets the last one win: half a route would vanish unseen.
                self._reading.refuse(inner, "stands here a second time", f"first on line {first}", at)
                continue
            entries[key.value] = (Scalar(key.value, at), self.node(value, inner, depth + 1))
        return entries | {name: entry for name, entry in merged.items() if name not in entries}

    def _merged(self, value: yaml.Node, path: str, depth: int) -> dict[str, tuple[Scalar, Node]]:
        """What `<<` brings in: the earlier of several tables wins, and keys that stand there win over all."""
        if depth > MAX_DEPTH:
            raise _whole(self._reading.file, "is nested too deeply, or an alias refers to itself")
        tables = value.value if isinstance(value, yaml.SequenceNode) else [value]
        merged: dict[str, tuple[Scalar, Node]] = {}
        for table in tables:
            if not isinstance(table, yaml.MappingNode):
                at = Spot(table.start_mark.line + 1, table.start_mark.column + 1)
                self._reading.refuse(path, "<< takes a table or a list of tables", at=at)
                continue
            for name, entry in self._entries(table, path, depth + 1).items():
                merged.setdefault(name, entry)
        return merged


def _sort(node: yaml.ScalarNode) -> Sort:
    if node.tag == _TAG + "null":
        return Sort.NULL
    if node.tag == _TAG + "bool":
        return Sort.TRUE if node.value.lower() in _TRUE else Sort.FALSE
    return Sort.TEXT
