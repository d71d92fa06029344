"""The command `origin-stub` as a process: what it prints, how it ends, what it needs."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from origin_stub.body import body_bytes, iter_body
from origin_stub.main import parse

COMMAND = [sys.executable, "-m", "origin_stub"]
ROOT = Path(__file__).parents[2]


@contextmanager
def running(*words: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    with subprocess.Popen(
        [*COMMAND, "--listen", "127.0.0.1:0", "--json", *words], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        try:
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def ask(sock: socket.socket, target: str) -> None:
    sock.sendall(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())


def listen_to(sock: socket.socket) -> bytes:
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data


def listen_until_it_ends(sock: socket.socket) -> tuple[bytes, str]:
    data = b""
    try:
        while piece := sock.recv(65536):
            data += piece
    except ConnectionResetError:
        return data, "rst"
    return data, "fin"


def connect(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=20)


def control(address: str, method: str, what: str) -> Any:
    request = urllib.request.Request(f"http://{address}/_stub/{what}", method=method)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def test_the_ready_line_tells_where_it_listens() -> None:
    with running() as (process, ready):
        assert ready["event"] == "ready"
        assert ready["control"] == ready["listen"]
        assert ready["pid"] == process.pid
        with urllib.request.urlopen(f"http://{ready['listen']}/make/a?size=3", timeout=20) as answer:
            assert answer.read() == body_bytes("/make/a", 1, 3)


def test_sigterm_finishes_what_is_under_way_and_takes_nothing_new() -> None:
    with (
        running("--control", "127.0.0.1:0", "--drain", "30s") as (process, ready),
        connect(ready["listen"]) as idle,
        connect(ready["listen"]) as busy,
        connect(ready["listen"]) as stuck,
    ):
        ask(busy, "/make/a?body=helloworld&gate-body=half&at=5")
        ask(stuck, "/make/b?fault=hang")
        control(ready["control"], "GET", "gate/half?parked=1")
        control(ready["control"], "GET", "arrived?path=/make/b")
        process.send_signal(signal.SIGTERM)
        assert listen_to(idle) == b""
        assert listen_to(stuck) == b""
        with pytest.raises(ConnectionRefusedError):
            connect(ready["listen"])
        assert process.poll() is None
        control(ready["control"], "POST", "gate/half/open")
        assert listen_to(busy).endswith(b"helloworld")
        assert process.wait(20) == 0


def test_a_second_sigterm_does_not_wait() -> None:
    with (
        running("--control", "127.0.0.1:0", "--drain", "1h") as (process, ready),
        connect(ready["listen"]) as idle,
        connect(ready["listen"]) as busy,
    ):
        ask(busy, "/make/a?gate=never")
        control(ready["control"], "GET", "gate/never?parked=1")
        process.send_signal(signal.SIGINT)
        assert listen_to(idle) == b""
        # Ctrl-C, and then the supervisor's own request: that is one wish, not two.
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == -signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_process_ends_at_once(number: signal.Signals) -> None:
    with running() as (process, _):
        process.send_signal(number)
        assert process.wait(5) == 0


def test_a_large_body_is_never_held_in_memory() -> None:
    with running() as (process, ready), connect(ready["listen"]) as sock:
        size = 256 << 20
        sock.sendall(f"GET /make/a?size={size} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        with sock.makefile("rb") as heard:
            while heard.readline() != b"\r\n":
                pass
            for piece in iter_body("/make/a", 1, size, piece=1 << 20):
                assert heard.read(len(piece)) == piece
        peak = Path(f"/proc/{process.pid}/status").read_text()
        held = next(int(line.split()[1]) for line in peak.splitlines() if line.startswith("VmHWM"))
        assert held < 120 * 1024


def test_faults_are_the_same_on_the_fast_loop() -> None:
    # The process runs on uvloop, the other tests on asyncio's own loop.
    with running() as (_, ready):
        with connect(ready["listen"]) as sock:
            ask(sock, "/make/a?body=helloworld&fault=truncate&at=4")
            assert listen_to(sock).endswith(b"\r\n\r\nhell")
        with connect(ready["listen"]) as sock:
            ask(sock, "/make/a?body=helloworld&fault=reset")
            with pytest.raises(ConnectionResetError):
                listen_to(sock)
        with connect(ready["listen"]) as sock:
            ask(sock, "/make/a?size=8MiB&fault=reset-body&at=6MiB")
            data, ending = listen_until_it_ends(sock)
            assert ending == "rst"
            assert data.partition(b"\r\n\r\n")[2] == body_bytes("/make/a", 1, 8 << 20)[: 6 << 20]


def test_a_port_in_use_is_one_line_and_exit_1() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = subprocess.run([*COMMAND, "--listen", address], capture_output=True, text=True, cwd=ROOT, timeout=20)
    assert done.returncode == 1
    assert "in use" in done.stderr
    assert address.rpartition(":")[2] in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--listen", "3000"], "not HOST:PORT"),
        (["--listen", "127.0.0.1:99999"], "not HOST:PORT"),
        (["--control", "0.0.0.0:1"], "not a loopback address"),
        (["--control", "nowhere"], "not HOST:PORT"),
        (["--drain", "long"], "not a duration"),
        (["--colour"], "unrecognized"),
    ],
)
def test_wrong_usage_is_exit_2(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parse(words)
    assert left.value.code == 2
    assert says in capsys.readouterr().err


def test_help_lists_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parse(["--help"])
    told = capsys.readouterr().out
    assert left.value.code == 0
    assert "gate-body=NAME" in told
    assert "/_stub/script" in told


def test_importing_it_is_cheap_and_needs_nothing_of_the_parser_it_judges() -> None:
    script = "\n".join(
        [
            "import sys, origin_stub, origin_stub.body, origin_stub.main",
            "assert 'aiohttp' not in sys.modules, 'aiohttp was loaded'",
            "origin_stub.OriginStub",
            "mine = {name.partition('.')[0] for name in sys.modules}",
            "assert not mine & {'seawall', 'edge', 'shield', 'console', 'simulator'}, mine",
        ]
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT, timeout=20)
