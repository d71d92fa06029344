"""A file is read whole, and whatever is wrong with it is said with its place, all at once."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.config.load import load, parse
from seawall.config.problems import ConfigError, Problem
from seawall.config.schema import Eviction, Journal, Scope, Topology

CONTRACT = """\
version: 1
origins:
  app:
    url: http://127.0.0.1:3000            # or urls: [...] for a pool with health checks
    timeouts: {connect: 2s, first_byte: 15s, idle: 30s}
    max_connections: 128
    health: {path: /healthz, interval: 2s}
routes:                                   # first match wins; without routes everything goes to the only origin
  - match: {host: shop.example, path: /static/*}
    origin: app
    ttl: 1d                               # overrides what the origin said; default_ttl: where it said nothing
    stale_while_revalidate: 60s
    stale_if_error: 1h
    negative_ttl: {404: 1m, 5xx: 5s}
    key: {query: {allow: [page, q]}, headers: [], cookies: []}
    tags: ["static"]
    cache: true                           # false = always pass
nodes:
  shield-1: {role: shield, listen: 127.0.0.1:8200, admin: 127.0.0.1:8201, region: eu}
  edge-ams: {role: edge, listen: 127.0.0.1:8080, admin: 127.0.0.1:8081, region: eu, parents: [shield-1]}
  edge-nyc: {role: edge, listen: 127.0.0.1:8090, admin: 127.0.0.1:8091, region: us, parents: [shield-1], \
link: {latency: 40ms}}
  app:      {role: origin-stub, listen: 127.0.0.1:3000}
store:                                    # defaults for every node; a node may have its own
  memory: {size: 256MiB, eviction: s3fifo}
  disk:   {size: 2GiB}                    # leave out for memory only
  redis:  {url: redis://127.0.0.1:6379/0} # optional, shared second level
purge:
  journal: embedded                       # or redis, for more than one shield
  hub: shield-1                           # who numbers the orders
  lease: 5s
admin:
  tokens: [{name: ci, env: SEAWALL_TOKEN, may: [purge]}]
"""

LEAST = """\
origins: {app: {url: "http://127.0.0.1:3000"}}
nodes: {one: {role: edge, listen: "127.0.0.1:8080"}}
"""


def problems(text: str) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as caught:
        parse(text, "t.yaml")
    return caught.value.problems


def test_the_file_of_the_contract_reads_as_it_says() -> None:
    topology = parse(CONTRACT, "t.yaml")
    app = topology.origins["app"]
    assert (str(app.url), app.timeouts.connect, app.timeouts.first_byte, app.timeouts.idle) == (
        "http://127.0.0.1:3000",
        2.0,
        15.0,
        30.0,
    )
    assert app.health is not None
    assert app.health.interval == 2.0
    (route,) = topology.routes
    assert (route.match.host, route.match.path, route.match.methods) == (("shop.example",), ("/static/*",), ())
    assert (route.ttl, route.stale_while_revalidate, route.stale_if_error) == (86400.0, 60.0, 3600.0)
    assert route.negative_ttl == (("404", 60.0), ("5xx", 5.0))
    assert (route.key.query.allow, route.key.headers, route.tags) == (("page", "q"), (), ("static",))
    assert list(topology.nodes) == ["shield-1", "edge-ams", "edge-nyc", "app"]
    nyc = topology.nodes["edge-nyc"]
    assert (str(nyc.listen), str(nyc.admin), nyc.parents, nyc.region) == (
        "127.0.0.1:8090",
        "127.0.0.1:8091",
        ("shield-1",),
        "us",
    )
    assert nyc.link is not None
    assert nyc.link.latency == 0.04
    assert (topology.store.memory.size, topology.store.memory.eviction) == (1 << 28, Eviction.S3FIFO)
    assert topology.store.disk is not None
    assert topology.store.disk.size == 1 << 31
    assert (topology.purge.journal, topology.purge.hub, topology.purge.lease) == (Journal.EMBEDDED, "shield-1", 5.0)
    assert topology.admin.tokens[0].may == (Scope.PURGE,)


def test_the_least_file_takes_every_default() -> None:
    topology = parse(LEAST, "t.yaml")
    assert topology.limits == Topology().limits
    assert topology.store_of(topology.nodes["one"]) is topology.store
    (route,) = topology.effective_routes()
    assert topology.origin_of(route) is topology.origins["app"]


def test_every_problem_is_told_at_once_in_the_order_of_the_file() -> None:
    text = """\
version: 1
origins:
  app:
    url: ftp://x
    timeouts: {connect: soon}
routes:
  - match: {path: static}
    origin: ap
    stale_while_revalidat: 60s
    ttl: 5
nodes:
  one: {role: edge, listen: 127.0.0.1:99999, parent: [x]}
  two: {role: edgy, listen: 127.0.0.1:8080}
stor: {}
"""
    assert [str(problem) for problem in problems(text)] == [
        "t.yaml:4:10: origins.app.url: 'ftp://x' is not an address such as http://127.0.0.1:3000 "
        "(the scheme is http or https)",
        "t.yaml:5:25: origins.app.timeouts.connect: 'soon' is not a duration such as 500ms, 10s, 5m, 1h or 7d, "
        "from 1ms to 1d",
        "t.yaml:7:19: routes[0].match.path: 'static' is not a path pattern such as /static/*, or a list",
        "t.yaml:8:5: routes[0].origin: no origin is called 'ap' (did you mean app?)",
        "t.yaml:9:5: routes[0].stale_while_revalidat: unknown key (did you mean stale_while_revalidate?)",
        "t.yaml:10:10: routes[0].ttl: '5' is not a duration such as 500ms, 10s, 5m, 1h or 7d, from 0s to 3650d "
        "(say the unit: 5s)",
        "t.yaml:12:29: nodes.one.listen: '127.0.0.1:99999' is not an address such as 127.0.0.1:8080 or [::1]:8080 "
        "(a port is a number from 0 to 65535)",
        "t.yaml:12:46: nodes.one.parent: unknown key (did you mean parents?)",
        "t.yaml:13:15: nodes.two.role: 'edgy' is not edge, shield or origin-stub (did you mean edge?)",
        "t.yaml:14:1: stor: unknown key (did you mean store?)",
    ]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("", 0, "is empty"),
        ("# only a comment\n", 0, "is empty"),
        ("- a\n- b\n", 1, "not a table of settings"),
        ("just text\n", 1, "not a table of settings"),
        ("a: 1\n\tb: 2\n", 2, "a tab"),
        ("origins:\n\tapp: {}\n", 2, "a tab"),
        ("a: [1\n", 2, "not YAML"),
        ("a: b: c\n", 1, "a colon too many"),
        ("a: 1\n---\nb: 2\n", 2, "second document"),
        ("a: *nobody\n", 1, "undefined alias"),
        ("version: 1\nversion: 1\n", 2, "a second time"),
        ("version: !!python/object:os.system 1\n", 1, "no meaning"),
        ("version: !mine 1\n", 1, "no meaning"),
        ("[a]: 1\n", 1, "a key is a list"),
        ("version:\n", 1, "is empty"),
        ("origins: []\n", 1, "not a table of names"),
        ("routes: {}\n", 1, "not a list"),
        ("origins: {app: }\n", 1, "nothing is not a table"),
        ("origins: {'a b': {url: 'http://a'}}\n", 1, "not a name"),
        ("a: \x01\n", 0, "cannot stand in YAML"),
        ("a: &a [*a]\n", 1, "nested too deeply"),
        ("a: " + "[" * 5000, 0, ""),
        ("routes: " + "[" * 200 + "]" * 200, 1, "nested too deeply"),
    ],
)
def test_a_file_that_is_no_topology_is_refused_readably(text: str, line: int, said: str) -> None:
    found = [problem for problem in problems(text) if said in str(problem)]
    assert found
    if line:
        assert found[0].at.line == line


def test_a_key_that_stands_twice_is_an_error_that_names_the_first() -> None:
    text = "routes:\n  - ttl: 1s\n    ttl: 2s\n" + LEAST
    (problem,) = problems(text)
    assert str(problem) == "t.yaml:3:5: routes[0].ttl: stands here a second time (first on line 2)"


def test_anchors_aliases_and_merges_work() -> None:
    text = LEAST + "routes:\n  - &slow {ttl: 1d, tags: [a]}\n  - {<<: *slow, ttl: 1s}\n  - *slow\n"
    with pytest.raises(ConfigError, match="in the list twice"):
        parse(text, "t.yaml")  # the alias worked: the last route is the first once more
    routes = parse(text.replace("  - *slow\n", ""), "t.yaml").routes
    assert (routes[1].ttl, routes[1].tags) == (1.0, ("a",))


def test_a_billion_laughs_are_refused_before_they_are_laughed() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    (problem,) = problems("\n".join(lines))
    assert "unfolds to more than" in str(problem)


@pytest.mark.parametrize("make", ["missing", "directory", "latin-1", "huge"])
def test_a_file_that_cannot_be_read_is_a_problem_not_a_trace(tmp_path: Path, make: str) -> None:
    path = tmp_path / "t.yaml"
    match make:
        case "directory":
            path.mkdir()
        case "latin-1":
            path.write_bytes(b"version: 1\n# caf\xe9\n")
        case "huge":
            path.write_bytes(b"#" * (3 << 20))
    with pytest.raises(ConfigError) as caught:
        load(path)
    (problem,) = caught.value.problems
    assert problem.file == str(path)
    if make == "latin-1":
        assert problem.at.line == 2


def test_yaml_1_1_does_not_turn_words_into_something_else() -> None:
    text = "origins: {app: {url: 'http://a'}}\nnodes: {no: {role: edge, listen: 127.0.0.1:80, region: no}}"
    topology = parse(text, "t.yaml")
    assert topology.nodes["no"].region == "no"


def test_a_value_on_a_terminal_moves_no_cursor() -> None:
    told = "".join(map(str, problems('version: "\\e[2J\\x9b"\n')))
    assert "\x1b" not in told
    assert "\x9b" not in told
    assert "\\x1b[2J" in told
    assert "\x1b" not in "".join(map(str, problems('"\\e[2J": 1\n')))


def test_a_tree_knows_where_its_settings_stand() -> None:
    source = parse(CONTRACT, "t.yaml").source
    assert source.at("routes[0].ttl").line == 11
    assert source.at("routes[0].match.path[0]").line == 9
    assert source.at("nodes.edge-nyc.link.latency").line == 21
    assert source.at("limits.header_timeout") == source.at("")
    assert source.says("purge.lease")
    assert not source.says("limits")


@given(st.text(alphabet=":{}[]-&*!#|>'\"%@`, \n\tab01<~\\\x00é", max_size=60))
def test_no_text_gets_anything_but_a_tree_or_a_config_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        parse(text, "t.yaml")
