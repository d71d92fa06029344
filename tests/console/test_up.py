"""`seawall up` starts every node of a file, keeps them running, and stops all of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from console.supervisor import Died, Event, Output, Ready, StartFailed, Stopped, Supervisor, environment
from console.up import drain_order
from seawall.config.load import parse
from tests.console.command import fetch, free_port, run, running


def topology(tmp_path: Path, port: int) -> str:
    file = tmp_path / "t.yaml"
    file.write_text(
        f"origins: {{app: {{url: 'http://127.0.0.1:{port}'}}}}\n"
        "nodes:\n"
        f"  app: {{role: origin-stub, listen: '127.0.0.1:{port}'}}\n"
        "  one: {role: edge, listen: '127.0.0.1:0', admin: '127.0.0.1:0'}\n"
    )
    return str(file)


def gone(pid: object) -> bool:
    assert isinstance(pid, int)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_all_nodes_serve_and_all_are_stopped(tmp_path: Path) -> None:
    async with running(tmp_path, "up", topology(tmp_path, free_port()), "--json") as up:
        nodes = (await up.event("up"))["nodes"]
        assert isinstance(nodes, list)
        listening = {node["node"]: node["listen"] for node in nodes}
        assert set(listening) == {"app", "one"}
        for expected in ("MISS", "HIT"):
            _, fields, _ = await fetch(f"http://{listening['one']}/make/x?max-age=60")
            assert fields["X-Cache"] == expected
        assert await up.end(signal.SIGINT) == 0
        assert [await up.event("stopped", node=name) for name in ("one", "app")]  # whom clients ask drains first
    for address in listening.values():
        host, _, port = address.rpartition(":")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, int(port)), 1).close()


async def test_only_some_of_the_nodes_can_be_started(tmp_path: Path) -> None:
    async with running(tmp_path, "up", topology(tmp_path, free_port()), "--only", "app", "--json") as up:
        nodes = (await up.event("up"))["nodes"]
        assert isinstance(nodes, list)
        assert [node["node"] for node in nodes] == ["app"]


def test_a_node_that_is_not_there_cannot_be_started(tmp_path: Path) -> None:
    ended = run(tmp_path, "up", topology(tmp_path, 1), "--only", "apq")
    assert ended.returncode == 2
    assert "did you mean app?" in ended.stderr


def test_one_node_that_cannot_start_stops_all(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        ended = run(tmp_path, "up", topology(tmp_path, other.getsockname()[1]))
    assert ended.returncode == 1
    assert "app ended with exit code 1 before it was ready; everything is stopped again" in ended.stderr


async def test_people_get_a_table_and_a_line_to_try(tmp_path: Path) -> None:
    async with running(tmp_path, "up", topology(tmp_path, port := free_port())) as up:
        assert up.process.stdout is not None
        lines: list[str] = []
        async with asyncio.timeout(20):
            while not lines or not lines[-1].startswith("Ctrl-C"):
                lines.append((await up.process.stdout.readline()).decode().rstrip())
        assert any(line.split() == ["app", "origin-stub", f"127.0.0.1:{port}"] for line in lines)
        assert any(line.startswith("try: curl -i 'http://127.0.0.1:") for line in lines)
        assert not any("\x1b" in line for line in lines)


# --- the supervisor alone, with scripts for nodes ---

SAY_READY = "import json; print(json.dumps({'event': 'ready', 'listen': 'x'}), flush=True)"
STAY = "\nimport time\nwhile True: time.sleep(60)"


class Story:
    """What a supervisor reports, and a way to wait for it."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._news = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def observe(self, event: Event) -> None:
        self.events.append(event)
        task = asyncio.create_task(self._tell())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def until(self, holds: Callable[[list[Event]], bool]) -> None:
        async with asyncio.timeout(20), self._news:
            await self._news.wait_for(lambda: holds(self.events))


def supervisor(story: Story, programs: Mapping[str, str]) -> Supervisor:
    commands = {name: (sys.executable, "-S", "-c", program) for name, program in programs.items()}
    return Supervisor(commands, story.observe, environment())


async def test_a_node_that_dies_is_reported_and_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.supervisor.FIRST_PAUSE", 0.01)
    story = Story()
    supervised = supervisor(story, {"a": f"{SAY_READY}{STAY}"})
    up = asyncio.Event()
    running_ = asyncio.create_task(supervised.run(up.set, [["a"]], 5))
    await up.wait()
    first = supervised.pids["a"]
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await story.until(lambda events: sum(isinstance(event, Ready) for event in events) == 2)
    assert Died("a", -9, 0.01) in story.events
    assert supervised.pids["a"] not in (None, first)
    supervised.stop()
    await running_
    assert story.events[-1] == Stopped("a", -15)


async def test_pauses_grow_while_it_keeps_dying(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.supervisor.FIRST_PAUSE", 0.01)
    monkeypatch.setattr("console.supervisor.LONGEST_PAUSE", 0.03)
    story = Story()
    supervised = supervisor(story, {"a": f"{SAY_READY}; raise SystemExit(3)"})
    running_ = asyncio.create_task(supervised.run(lambda: None, [["a"]], 5))
    await story.until(lambda events: sum(isinstance(event, Died) for event in events) >= 4)
    supervised.stop()
    await running_
    deaths = [event for event in story.events if isinstance(event, Died)]
    assert [death.pause for death in deaths[:4]] == [0.01, 0.02, 0.03, 0.03]
    assert {death.code for death in deaths} == {3}


async def test_a_start_that_fails_stops_what_had_started() -> None:
    story = Story()
    programs = {"good": f"{SAY_READY}{STAY}", "bad": "raise SystemExit(7)"}
    supervised = supervisor(story, programs)
    with pytest.raises(StartFailed, match="bad ended with exit code 7 before it was ready"):
        await supervised.run(lambda: None, [["good"], ["bad"]], 5)
    assert supervised.pids == {"good": None, "bad": None}


async def test_a_node_that_never_gets_ready_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.supervisor.READY_SECONDS", 0.1)
    supervised = supervisor(Story(), {"a": "import time; time.sleep(60)"})
    with pytest.raises(StartFailed, match="a was not ready after"):
        await supervised.run(lambda: None, [["a"]], 5)
    assert supervised.pids == {"a": None}


async def test_a_second_stop_ends_a_node_that_will_not_drain() -> None:
    story = Story()
    says_no = "import signal; signal.signal(15, lambda *_: print('no', flush=True))"
    stubborn = f"{says_no}; {SAY_READY}{STAY}"
    supervised = supervisor(story, {"a": stubborn})
    up = asyncio.Event()
    running_ = asyncio.create_task(supervised.run(up.set, [["a"]], 60))
    await up.wait()
    supervised.stop()
    await story.until(lambda events: Output("a", "no") in events)
    supervised.stop()
    await running_
    assert story.events[-1] == Stopped("a", -9)


async def test_a_node_that_drains_too_long_is_ended() -> None:
    story = Story()
    stubborn = f"import signal; signal.signal(15, signal.SIG_IGN); {SAY_READY}{STAY}"
    supervised = supervisor(story, {"a": stubborn})
    up = asyncio.Event()
    running_ = asyncio.create_task(supervised.run(up.set, [["a"]], 0.05))
    await up.wait()
    supervised.stop()
    await running_
    assert story.events[-1] == Stopped("a", -9)


async def test_a_cancelled_supervisor_leaves_nobody_behind() -> None:
    story = Story()
    supervised = supervisor(story, {"a": f"{SAY_READY}{STAY}"})
    up = asyncio.Event()
    running_ = asyncio.create_task(supervised.run(up.set, [["a"]], 5))
    await up.wait()
    pid = supervised.pids["a"]
    running_.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running_
    assert gone(pid)


async def test_lines_are_passed_on_with_the_name_of_who_said_them() -> None:
    story = Story()
    speaks = "import sys; print('before'); print('x' * 3_000_000); print('err', file=sys.stderr, flush=True)"
    program = f"{speaks}; {SAY_READY}{STAY}"
    supervised = supervisor(story, {"a": program})
    up = asyncio.Event()
    running_ = asyncio.create_task(supervised.run(up.set, [["a"]], 5))
    await up.wait()
    await story.until(lambda events: Output("a", "err") in events)
    supervised.stop()
    await running_
    assert Output("a", "before") in story.events


async def test_nodes_end_when_their_supervisor_was_killed(tmp_path: Path) -> None:
    file = topology(tmp_path, free_port())
    async with running(tmp_path, "up", file, "--only", "app", "--json") as up:
        node = await up.event("ready")
        pid = node["pid"]
        assert isinstance(pid, int)
        handle = os.pidfd_open(pid)  # readable once the process has ended, whoever its parent is by then
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(handle, ended.set)
        try:
            await up.end(signal.SIGKILL)
            await asyncio.wait_for(ended.wait(), 20)
        finally:
            asyncio.get_running_loop().remove_reader(handle)
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            os.close(handle)


def test_whom_nobody_asks_drains_first_and_origins_last() -> None:
    text = """\
origins: {app: {url: "http://127.0.0.1:1"}}
nodes:
  app: {role: origin-stub, listen: "h:1"}
  far: {role: shield, listen: "h:2", admin: "h:6"}
  near: {role: shield, listen: "h:3", parents: [far]}
  one: {role: edge, listen: "h:4", parents: [near]}
  two: {role: edge, listen: "h:5", parents: [far]}
"""
    found = parse(text, "t.yaml")
    assert drain_order(found, list(found.nodes)) == [["one", "two"], ["near"], ["far"], ["app"]]
    assert drain_order(found, ["app", "one"]) == [["one"], ["app"]]
