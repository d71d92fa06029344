"""What only two settings together can get wrong is found before anything starts."""

from __future__ import annotations

import pytest

from seawall.config.load import parse
from seawall.config.problems import ConfigError

ORIGIN = "origins: {app: {url: 'http://a'}}\n"


def said(text: str) -> list[str]:
    """The problems without file and hint."""
    try:
        parse(text, "t.yaml")
    except ConfigError as error:
        return [f"{problem.at.line} {problem.path}: {problem.message}" for problem in error.problems]
    return []


def nodes(*lines: str) -> str:
    return "nodes:\n" + "".join(f"  {line}\n" for line in lines)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ORIGIN + nodes("a: {role: edge, listen: 'h:1'}"), []),
        (nodes("a: {role: edge, listen: 'h:1'}"), ["1 origins: no origin is named"]),
        (nodes("a: {role: origin-stub, listen: 'h:1'}"), []),
        ("origins: {app: {}}\n", ["1 origins.app: has no address"]),
        ("origins: {app: {urls: []}}\n", ["1 origins.app.urls: is an empty list"]),
        ("origins: {app: {url: 'http://a', urls: ['http://b']}}\n", ["1 origins.app.urls: stands beside url"]),
        ("origins: {app: {urls: ['http://a', 'https://b']}}\n", ["1 origins.app.urls: mixes http and https"]),
        (
            "origins: {app: {url: 'http://a', tls: {verify: false}}}\n",
            ["1 origins.app.tls: has no effect on an http address"],
        ),
        (ORIGIN + "routes: [{origin: ap}]\n", ["2 routes[0].origin: no origin is called 'ap'"]),
        (
            "origins: {a: {url: 'http://a'}, b: {url: 'http://b'}}\nroutes: [{ttl: 1s}]\n",
            ["2 routes[0].origin: which origin is not said, and there are several"],
        ),
        (
            "origins: {a: {url: 'http://a'}, b: {url: 'http://b'}}\n",
            ["1 routes: which origin is not said, and there are several"],
        ),
    ],
)
def test_origins_and_routes_fit_together(text: str, expected: list[str]) -> None:
    assert said(text) == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            (
                "a: {role: edge, listen: 'h:1', parents: [b]}",
                "b: {role: shield, listen: 'h:2', admin: 'h:5', parents: [c]}",
                "c: {role: shield, listen: 'h:3', admin: 'h:4'}",
            ),
            [],
        ),
        (
            ("a: {role: edge, listen: 'h:1', parents: [b]}", "b: {role: shield, listen: 'h:2'}"),
            ["4 nodes.b: 'b' numbers the purges of 2 nodes and needs an admin port that they know"],
        ),
        (
            ("a: {role: edge, listen: 'h:1', parents: [b]}", "b: {role: shield, listen: 'h:2', admin: 'h:0'}"),
            ["4 nodes.b.admin: 'b' numbers the purges of 2 nodes and needs an admin port that they know"],
        ),
        (("a: {role: edge, listen: 'h:1', parents: [x]}",), ["3 nodes.a.parents[0]: no node is called 'x'"]),
        (
            ("a: {role: edge, listen: 'h:1', parents: [b]}", "b: {role: edge, listen: 'h:2'}"),
            ["3 nodes.a.parents[0]: 'b' is no shield"],
        ),
        (
            ("a: {role: shield, listen: 'h:1', parents: [b]}", "b: {role: shield, listen: 'h:2', parents: [a]}"),
            ["3 nodes.a.parents: asks itself in the end: a > b > a"],
        ),
        (
            ("a: {role: shield, listen: 'h:1', parents: [a]}",),
            ["3 nodes.a.parents: asks itself in the end: a > a"],
        ),
        (
            ("a: {role: edge, listen: 'h:1', admin: 'h:1'}",),
            ["3 nodes.a.admin: h:1 is taken by nodes.a.listen"],
        ),
        (
            ("a: {role: edge, listen: '127.0.0.1:1'}", "b: {role: edge, listen: '0.0.0.0:1'}"),
            ["4 nodes.b.listen: 0.0.0.0:1 is taken by nodes.a.listen"],
        ),
        (
            ("a: {role: edge, listen: 'h:1', data: d}", "b: {role: edge, listen: 'h:2', data: d/}"),
            ["4 nodes.b.data: is the directory of a too"],
        ),
        (
            ("a: {role: origin-stub, listen: 'h:1', admin: 'h:2'}",),
            ["3 nodes.a.admin: means nothing to a node of the role origin-stub"],
        ),
        # A node that could not be read is not reported missing as well.
        (
            ("a: {role: edge, listen: 'h:1', parents: [b]}", "b: {role: shild, listen: 'h:2'}"),
            ["4 nodes.b.role: 'shild' is not edge, shield or origin-stub"],
        ),
    ],
)
def test_nodes_fit_together(lines: tuple[str, ...], expected: list[str]) -> None:
    assert said(ORIGIN + nodes(*lines)) == expected


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ("purge: {hub: a}", []),
        ("purge: {hub: b}", ["4 purge.hub: no node is called 'b'"]),
        ("purge: {journal: redis}", ["4 purge.journal: the store has no redis"]),
        ("admin: {tokens: [{name: a, env: A}, {name: b, file: f}]}", []),
        ("admin: {tokens: [{name: a}]}", ["4 admin.tokens[0]: takes one of env and file"]),
        ("admin: {tokens: [{name: a, env: A, file: f}]}", ["4 admin.tokens[0]: takes one of env and file"]),
        ("admin: {tokens: [{name: a, env: A}, {name: a, env: B}]}", ["4 admin.tokens: 2 tokens are called 'a'"]),
        ("admin: {tokens: [{name: a, env: A, may: []}]}", ["4 admin.tokens[0].may: allows nothing"]),
        (
            "admin: {tokens: [{name: a, env: A, may: [read, read]}]}",
            ["4 admin.tokens[0].may[1]: 'read' is in the list twice"],
        ),
        (
            "store: {memory: {size: 1MiB, max_object_size: 2MiB}}",
            ["4 store.memory.max_object_size: is larger than the whole memory"],
        ),
        ("store: {memory: {size: 1MiB}}", []),
        ("store: {redis: {}}", ["4 store.redis.url: is missing, expected an address such as redis://127.0.0.1:6379/0"]),
    ],
)
def test_the_rest_fits_together(rest: str, expected: list[str]) -> None:
    assert said(ORIGIN + nodes("a: {role: edge, listen: 'h:1'}") + rest + "\n") == expected
