"""Who may send PURGE, and what the nodes know each other by."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest

from seawall.admin.tokenfile import Unsafe, keep_secret, keep_token
from seawall.config.load import parse
from seawall.config.problems import ConfigError
from seawall.config.schema import Topology
from seawall.config.secrets import shared_secret

SECRET = "correct-horse-battery"


def topology(purge: str = "", *, listen: str = "127.0.0.1", admin: str = "[::1]") -> Topology:
    text = "version: 1\norigins: {app: {url: 'http://a'}}\nnodes:\n"
    text += f"  shield-1: {{role: shield, listen: '127.0.0.1:1', admin: '{admin}:2'}}\n"
    text += f"  edge-1: {{role: edge, listen: '{listen}:3', parents: [shield-1]}}\n"
    return parse(text + purge, "t.yaml")


def test_nobody_may_by_default() -> None:
    assert topology().purge.allow == ()


def test_addresses_and_networks() -> None:
    found = topology("purge: {allow: [127.0.0.1, 10.0.0.0/8, '::1', 'fd00::/8']}\n").purge.allow
    assert found == tuple(map(ipaddress.ip_network, ("127.0.0.1/32", "10.0.0.0/8", "::1/128", "fd00::/8")))


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ("10.1.2.3/8", r"the network is 10\.0\.0\.0/8, the address 10\.1\.2\.3"),
        ("localhost", "is not an address or a network"),
        ("10.0.0.0/33", "is not an address or a network"),
        ("10", "is not an address or a network"),
        ("[]", "is not an address or a network"),
    ],
)
def test_what_is_no_network_is_refused(network: str, said: str) -> None:
    with pytest.raises(ConfigError, match=rf"t\.yaml:6:17: purge\.allow\[0\].*{said}"):
        topology(f"purge: {{allow: [{network}]}}\n")


@pytest.mark.parametrize("secret", ["{}", "{env: A, file: b}"])
def test_a_secret_is_in_one_place(secret: str) -> None:
    with pytest.raises(ConfigError, match=r"purge\.secret: takes one of env and file"):
        topology(f"purge: {{secret: {secret}}}\n")


def test_the_secret_of_the_file_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    assert shared_secret(topology("purge: {secret: {env: A}}\n"), {"A": SECRET}) == SECRET
    assert shared_secret(topology(f"purge: {{secret: {{file: {file}}}}}\n"), {}) == SECRET


def test_a_secret_that_cannot_be_had_is_an_error_with_its_place() -> None:
    with pytest.raises(ConfigError, match=r"t\.yaml:6:\d+: purge\.secret\.env: the environment variable A is not set"):
        shared_secret(topology("purge: {secret: {env: A}}\n"), {})
    with pytest.raises(ConfigError, match="at least 16") as caught:
        shared_secret(topology("purge: {secret: {env: A}}\n"), {"A": "tooshort"})
    assert "tooshort" not in str(caught.value)


def test_nodes_that_only_this_machine_reaches_may_make_one() -> None:
    assert shared_secret(topology(), {}) is None


@pytest.mark.parametrize(
    ("listen", "admin", "path"),
    [
        ("0.0.0.0", "127.0.0.1", "nodes.edge-1.listen"),
        ("10.0.0.1", "127.0.0.1", "nodes.edge-1.listen"),
        ("127.0.0.1", "0.0.0.0", "nodes.shield-1.admin"),
    ],
)
def test_nodes_that_others_reach_need_one(listen: str, admin: str, path: str) -> None:
    with pytest.raises(ConfigError, match=rf"{path}: .*secret: {{env: SEAWALL_SECRET}}"):
        shared_secret(topology(listen=listen, admin=admin), {})


def test_a_node_alone_needs_none() -> None:
    alone = parse("origins: {app: {url: 'http://a'}}\nnodes: {e: {role: edge, listen: '0.0.0.0:1'}}\n", "t.yaml")
    assert shared_secret(alone, {}) is None


def test_the_secret_that_nodes_make_is_the_same_for_all_and_for_their_user_only(tmp_path: Path) -> None:
    state = tmp_path / "state"
    first = keep_secret(state)
    assert keep_secret(state) == first
    assert first != keep_token(state)
    assert (state / "cluster.secret").stat().st_mode & 0o777 == 0o600
    (state / "cluster.secret").chmod(0o644)
    with pytest.raises(Unsafe):
        keep_secret(state)
