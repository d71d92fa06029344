"""What the bench starts, it ends: by id, with all that descends from it, and nothing else."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.peers.child import Child, DidNotStart, core_seconds, files_bytes
from bench.peers.system import Setup, System

CORE = min(os.sched_getaffinity(0))
# A parent that ignores being told to end, with a child that does as well; it says when both are there.
STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
open(sys.argv[1] + str(os.getpid()), "w").close()
time.sleep(600)
"""


def wait_for(condition: object, seconds: float = 10.0) -> None:
    assert callable(condition)
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it did not come to that"
        time.sleep(0.005)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.fixture
def started() -> Iterator[list[Child]]:
    children: list[Child] = []
    yield children
    for child in children:
        child.end()


def test_a_family_that_does_not_want_to_end_is_ended(
    tmp_path: Path, started: list[Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.peers.child._GRACE_SECONDS", 0.1)
    child = Child([sys.executable, "-c", STUBBORN, f"{tmp_path}/up-"], CORE, tmp_path / "out")
    started.append(child)
    wait_for(lambda: len(list(tmp_path.glob("up-*"))) == 2)
    pids = child.pids()
    assert len(pids) == 2
    child.end()
    assert not child.alive()
    wait_for(lambda: all(map(gone, pids)))
    child.end()  # once more does nothing


def test_it_runs_on_its_core_alone_and_its_time_is_counted(tmp_path: Path, started: list[Child]) -> None:
    child = Child([sys.executable, "-c", "while True: pass"], CORE, tmp_path / "out")
    started.append(child)
    before, core = child.cpu_seconds(), core_seconds(CORE)
    wait_for(lambda: child.cpu_seconds() > before + 0.2)
    assert os.sched_getaffinity(child.pids()[0]) == {CORE}
    assert core_seconds(CORE) >= core + 0.15  # ticks of 10 ms, counted at different instants


def test_its_memory_is_counted(tmp_path: Path, started: list[Child]) -> None:
    code = "import time; kept = b'x' * 50_000_000; print('up', flush=True); time.sleep(600)"
    child = Child([sys.executable, "-c", code], CORE, tmp_path / "out")
    started.append(child)
    wait_for(lambda: "up" in (tmp_path / "out").read_text())
    assert child.private_bytes() >= child.anonymous_bytes() > 50_000_000


def test_files_count_in_whole_blocks(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "small").write_bytes(b"x")
    assert files_bytes(tmp_path) >= 512


def test_who_ends_at_once_is_named_with_what_it_said(tmp_path: Path, started: list[Child]) -> None:
    child = Child([sys.executable, "-c", "import sys; sys.exit('no such origin')"], CORE, tmp_path / "out")
    started.append(child)
    wait_for(lambda: not child.alive())
    with pytest.raises(DidNotStart, match="no such origin"):
        child.require_alive()


class Broken(System):
    """Starts one process and fails at the next."""

    name = "broken"
    began: Child

    def start(self) -> None:
        Broken.began = self.run(sys.executable, "-c", "import time; time.sleep(600)")
        raise RuntimeError("the second could not be started")

    def memory_bytes(self) -> int:
        return 0


def test_a_system_that_comes_up_by_half_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="the second"):
        Broken(Setup(tmp_path / "broken", 1, 2, 3, CORE))
    assert not Broken.began.alive()
