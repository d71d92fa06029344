"""A command line makes the same tree as a file, or all its mistakes at once."""

from __future__ import annotations

import pytest

from seawall.config.flags import from_flags
from seawall.config.load import parse
from seawall.config.problems import ConfigError


def test_flags_mean_one_node_on_one_origin() -> None:
    flags = from_flags("http://127.0.0.1:3000", "127.0.0.1:8080", "127.0.0.1:8081", "d", "one", 1)
    file = parse(
        "origins: {origin: {url: 'http://127.0.0.1:3000'}}\n"
        "nodes: {one: {role: edge, listen: '127.0.0.1:8080', admin: '127.0.0.1:8081', data: d}}\n"
        "store: {disk: {}}\n",
        "t.yaml",
    )
    assert flags == file


def test_two_nodes_without_names_are_not_taken_for_each_other() -> None:
    names = {next(iter(from_flags("http://a", f"127.0.0.1:{port}", None, None, None).nodes)) for port in (1, 2)}
    assert len(names) == 2


def test_every_wrong_flag_is_told() -> None:
    with pytest.raises(ConfigError) as caught:
        from_flags("x", "8080", "h:0:0", None, "a/b", 0)
    assert [problem.path for problem in caught.value.problems] == [
        "--origin",
        "--listen",
        "--admin",
        "--name",
        "--workers",
    ]


def test_both_ports_cannot_be_one() -> None:
    with pytest.raises(ConfigError, match="--admin"):
        from_flags("http://a", "0.0.0.0:80", "127.0.0.1:80", None, None)
