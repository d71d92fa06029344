"""A process that the runner started: watched line by line, and ended with everything it started itself.

Knows nothing of what it runs. Every child is the leader of its own session, so ending one never touches a
process that somebody else started.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_PATIENCE_SECONDS = 5.0  # between asking a child to end and making it


class ChildError(RuntimeError):
    """A child died, stayed silent, or took too long. The text carries what it printed last."""


class Child:
    """One running process. Its output is read continuously, so a full pipe never stops it."""

    def __init__(self, name: str, process: subprocess.Popen[str]) -> None:
        self.name = name
        self._process = process
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._printed: deque[str] = deque(maxlen=2000)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._printed.append(line)
            self._lines.put(line)
        self._lines.put(None)

    def line(self, seconds: float) -> str:
        """Its next line. Raises ChildError when it ends, or says nothing for that long."""
        try:
            line = self._lines.get(timeout=max(seconds, 0))
        except queue.Empty:
            raise ChildError(f"{self.name} was not ready in time.{self._last()}") from None
        if line is None:
            code = self._process.wait()
            raise ChildError(f"{self.name} ended with exit code {code}.{self._last()}")
        return line

    def lines(self, seconds: float) -> Iterator[str]:
        """Its lines as they come, as long as the whole does not take longer than that."""
        deadline = time.monotonic() + seconds
        while True:
            yield self.line(deadline - time.monotonic())

    def output(self, seconds: float) -> str:
        """All that it prints until it ends by itself, which it must do in time and with exit code 0."""
        try:
            code = self._process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise ChildError(f"{self.name} took longer than {seconds:.0f} s.{self._last()}") from None
        self._reader.join()
        if code != 0:
            raise ChildError(f"{self.name} ended with exit code {code}.{self._last()}")
        return "".join(self._printed)

    def printed(self) -> str:
        """What it has printed up to now (the last 2,000 lines of it)."""
        return "".join(self._printed)

    def running(self) -> bool:
        return self._process.poll() is None

    def _last(self) -> str:
        tail = list(self._printed)[-20:]
        return " It printed last:\n  " + "  ".join(tail) if tail else " It printed nothing."

    def end(self) -> None:
        """Ends it and its own children: asked first, then made."""
        for request in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, request)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=_PATIENCE_SECONDS)
                break
        # Its workers, should it have left some behind: the group outlives its leader.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._reader.join(_PATIENCE_SECONDS)
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with suppress(OSError):
                stream.close()


@contextmanager
def child(name: str, command: Sequence[str], cwd: Path, env: Mapping[str, str]) -> Iterator[Child]:
    """Runs a command for as long as the block lasts; both its outputs are read as one."""
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    started = Child(name, process)
    try:
        yield started
    finally:
        started.end()
