"""The runner leaves no process behind, and says what a child printed when it fails."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from tests.conformance.child import ChildError, child

# Starts a child of its own that outlives it, prints its number, and waits.
PARENT = """
import subprocess, sys, time
worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(worker.pid, flush=True)
time.sleep(600)
"""

DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(600)
"""


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def gone(pid: int, within: float = 5.0) -> bool:
    """Whether a process that is no child of ours has ended (or is only waiting for its parent to notice)."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state in "ZX":
            return True
        time.sleep(0.01)
    return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_a_child_ends_with_everything_that_it_started(tmp_path: Path) -> None:
    with child("parent", python(PARENT), tmp_path, os.environ) as parent:
        worker = int(parent.line(20))
        assert parent.running()
    assert not parent.running()
    assert gone(worker)


def test_a_child_that_does_not_listen_ends_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.conformance.child._PATIENCE_SECONDS", 0.2)
    with child("deaf", python(DEAF), tmp_path, os.environ) as deaf:
        deaf.line(20)
    assert not deaf.running()


def test_a_child_that_dies_is_reported_with_its_last_words(tmp_path: Path) -> None:
    with (
        child("short", python("print('alas'); raise SystemExit(3)"), tmp_path, os.environ) as short,
        pytest.raises(ChildError, match=r"short ended with exit code 3\. It printed last:\n  alas"),
    ):
        list(short.lines(20))


def test_a_silent_child_is_not_waited_for_forever(tmp_path: Path) -> None:
    with (
        child("silent", python("import time; time.sleep(600)"), tmp_path, os.environ) as silent,
        pytest.raises(ChildError, match=r"silent was not ready in time\. It printed nothing\."),
    ):
        silent.line(0.1)


def test_output_is_bounded_in_time(tmp_path: Path) -> None:
    with (
        child("slow", python("import time; time.sleep(600)"), tmp_path, os.environ) as slow,
        pytest.raises(ChildError, match="took longer than"),
    ):
        slow.output(0.1)
