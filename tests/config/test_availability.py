"""A setting that would be ignored is refused, by name; a file that says nothing of the kind runs."""

from __future__ import annotations

import dataclasses

import pytest

from seawall.config.availability import MISSING, require_available, unavailable
from seawall.config.flags import from_flags
from seawall.config.kinds import ListOf, Named, Section, settings
from seawall.config.load import load, parse
from seawall.config.problems import ConfigError
from seawall.config.schema import Topology
from tests.config.test_load import CONTRACT, LEAST
from tests.structure.sources import ROOT


def test_the_demo_runs() -> None:
    topology = load(ROOT / "configs" / "demo.yaml")
    require_available(topology)
    assert {node.role.value for node in topology.nodes.values()} >= {"edge", "origin-stub"}


def test_the_least_file_and_flags_run() -> None:
    require_available(parse(LEAST, "t.yaml"))
    require_available(from_flags("http://a", "127.0.0.1:0", None, None, None))


def test_a_setting_that_is_given_is_refused_even_where_it_says_the_default() -> None:
    with pytest.raises(ConfigError, match=r"t\.yaml:3:9: store\.disk: is not available yet in this version"):
        require_available(parse(LEAST + "store: {disk: {size: 2GiB}}\n", "t.yaml"))


def test_only_what_the_started_nodes_need_counts() -> None:
    two = "nodes:\n  one: {role: edge, listen: 'h:1', admin: 'h:3'}\n  two: {role: edge, listen: 'h:2', workers: 2}\n"
    topology = parse("origins: {app: {url: 'http://a'}}\n" + two, "t.yaml")
    require_available(topology, {"one"})
    with pytest.raises(ConfigError, match=r"nodes\.two\.workers"):
        require_available(topology, {"two"})


def _patterns(section: type[object], path: str) -> set[str]:
    found = set()
    for name, (declared, _) in settings(section).items():
        inner = f"{path}.{name}".lstrip(".")
        found.add(inner)
        kind, suffix = declared.kind, ""
        if isinstance(kind, ListOf):
            kind, suffix = kind.kind, "[*]"
        if isinstance(kind, Named):
            suffix = ".*"
        if isinstance(kind, Section | Named):
            assert dataclasses.is_dataclass(kind.of)
            found |= _patterns(kind.of, inner + suffix)
    return found


def test_every_entry_of_the_list_is_a_setting() -> None:
    assert {entry.path for entry in MISSING} <= _patterns(Topology, "")


def test_every_entry_of_the_list_can_strike() -> None:
    struck = {problem.path for problem in unavailable(parse(CONTRACT, "t.yaml"))}
    pool = "origins: {app: {urls: ['http://a', 'http://b']}}\nnodes: {x: {role: edge, listen: 'h:1', workers: 2,"
    own = " store: {disk: {}, redis: {url: 'redis://a'}}}}\n"
    shared = "store: {redis: {url: 'redis://a'}}\npurge: {journal: redis}\n"
    struck |= {problem.path for problem in unavailable(parse(pool + own + shared, "t.yaml"))}
    names = ("shield-1", "edge-ams", "edge-nyc", "app", "x")

    def general(path: str) -> str:
        return ".".join("*" if part in names and index == 1 else part for index, part in enumerate(path.split(".")))

    assert {general(path) for path in struck} == {entry.path for entry in MISSING}
