"""`seawall serve` runs one node, says when it is ready, and says clearly why it cannot."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.console.command import fetch, free_port, run, running
from tests.structure.sources import ROOT

STUB = "origins: {app: {url: 'http://127.0.0.1:1'}}\nnodes: {app: {role: origin-stub, listen: '127.0.0.1:0'}}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "one of --origin and --config is needed"),
        (("--origin", "http://a", "--config", "x"), "one of --origin and --config is needed"),
        (("--origin", "http://a", "--node", "x"), "with --origin say --name"),
        (("--config", "x", "--listen", "h:1", "--workers", "2"), "--listen, --workers: with --config the file says"),
        (("--origin", "127.0.0.1:3000"), "--origin: '127.0.0.1:3000' is not an address"),
        (("--origin", "http://a", "--listen", "8080"), "write 127.0.0.1:8080"),
        (("--origin", "http://a", "--workers", "0"), "--workers: '0' is not a whole number from 1 to 256"),
        (("--origin", "http://a", "--workers", "x"), "Invalid value for '--workers'"),
        (("--config", "nowhere.yaml"), "nowhere.yaml: cannot be read"),
        (("--config", "configs/demo.yaml"), "--node is needed: configs/demo.yaml has"),
        (("--config", "configs/demo.yaml", "--node", "edge-asm"), "did you mean edge-ams?"),
        (("--no-such-flag",), "No such option"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_says_what_is_right(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    ended = run(tmp_path, "serve", *words)
    assert ended.returncode == 2, ended.stderr
    assert said in ended.stderr
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("command", [(), ("serve",), ("up",), ("check",), ("stat",)])
def test_every_command_has_help_with_an_example(tmp_path: Path, command: tuple[str, ...]) -> None:
    ended = run(tmp_path, *command, "--help")
    assert ended.returncode == 0
    if command:
        assert f"Example: seawall {command[0]}" in ended.stdout
    else:
        for name in ("serve", "up", "check", "stat"):
            assert name in ended.stdout


def test_the_version_is_the_package_s(tmp_path: Path) -> None:
    from importlib.metadata import version

    assert run(tmp_path, "--version").stdout == f"seawall {version('seawall')}\n"


async def test_an_edge_says_where_it_listens_once_it_does_and_drains_on_sigterm(tmp_path: Path) -> None:
    words = ("--origin", "http://127.0.0.1:1", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--name", "one")
    async with running(tmp_path, "serve", *words, "--json") as node:
        ready = await node.event("ready")
        assert set(ready) == {"event", "listen", "admin", "node"}
        assert ready["node"] == "one"
        assert (await fetch(f"http://{ready['admin']}/readyz"))[0] == 200
        assert (await fetch(f"http://{ready['listen']}/"))[0] == 502  # nobody is at port 1
        stat = run(tmp_path, "stat", "--admin", f"http://{ready['admin']}", "--json")
        assert json.loads(stat.stdout)["requests"]["ERROR"] == 1, stat.stderr
        shown = run(tmp_path, "stat", SEAWALL_ADMIN=f"http://{ready['admin']}")
        assert "requests.ERROR" in shown.stdout
        refused = run(tmp_path, "stat", "--admin", str(ready["admin"]), SEAWALL_TOKEN="not-the-token-at-all")
        assert refused.returncode == 1
        assert "401" in refused.stderr
        elsewhere = run(tmp_path / "elsewhere", "stat", "--admin", str(ready["admin"]))
        assert elsewhere.returncode == 1
        assert "SEAWALL_TOKEN" in elsewhere.stderr
        assert await node.end() == 0


async def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        for listen, admin in ((taken, "127.0.0.1:0"), ("127.0.0.1:0", taken)):
            ended = run(tmp_path, "serve", "--origin", "http://127.0.0.1:1", "--listen", listen, "--admin", admin)
            assert ended.returncode == 1
            assert f"seawall: {taken} is already in use" in ended.stderr
            assert "Traceback" not in ended.stderr


async def test_an_origin_stub_of_the_file_is_a_node_like_others(tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_text(STUB)
    async with running(tmp_path, "serve", "--config", str(file), "--json") as node:
        ready = await node.event("ready")
        assert len((await fetch(f"http://{ready['listen']}/make/x?size=3"))[2]) == 3
        assert await node.end(signal.SIGINT) == 0


async def test_secrets_that_are_not_there_are_wrong_configuration(tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_text(
        "origins: {app: {url: 'http://127.0.0.1:1'}}\n"
        "nodes: {one: {role: edge, listen: '127.0.0.1:0', admin: '127.0.0.1:0'}}\n"
        "admin: {tokens: [{name: ci, env: NO_SUCH_TOKEN}]}\n"
    )
    ended = run(tmp_path, "serve", "--config", str(file))
    assert ended.returncode == 2
    assert f"{file}:3:29: admin.tokens[0].env: the environment variable NO_SUCH_TOKEN is not set" in ended.stderr


def test_a_token_file_that_others_can_read_is_no_trace(tmp_path: Path) -> None:
    data = tmp_path / "d"
    data.mkdir(0o700)
    (data / "admin.token").write_text("x" * 43)
    (data / "admin.token").chmod(0o644)
    ends = ("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data", str(data))
    ended = run(tmp_path, "serve", "--origin", "http://127.0.0.1:1", *ends)
    assert ended.returncode == 1
    assert "can be read by others" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("admin", "code", "said"),
    [
        ("ftp://x", 2, "not an admin URL"),
        ("http://h:99999", 2, "not an admin URL"),
        ("http://127.0.0.1:{port}", 1, "no node answers at http://127.0.0.1:{port}: Connection refused"),
    ],
)
def test_stat_says_why_it_has_no_answer(tmp_path: Path, admin: str, code: int, said: str) -> None:
    port = free_port()
    ended = run(tmp_path, "stat", "--admin", admin.format(port=port))
    assert ended.returncode == code
    assert said.format(port=port) in ended.stderr


def test_asking_for_help_loads_nothing_that_takes_long() -> None:
    program = (
        "import sys; sys.argv = ['seawall', 'serve', '--help']\n"
        "from console.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'aiohttp', 'yaml', 'rich', 'prometheus_client', 'msgspec', 'uvloop', 'asyncio', 'seawall.engine'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stderr == "[]\n"
