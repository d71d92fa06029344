"""Starting a process, reading the JSON line with which it says that it is ready, and ending it."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PATIENCE = 20.0


@contextmanager
def started(log: Path, *words: str) -> Iterator[dict[str, Any]]:
    """Run `python WORDS` until the block ends; yields what its ready line said. What it wrote else is in `log`."""
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [sys.executable, *words], stdout=subprocess.PIPE, stderr=errors, cwd=ROOT, env=environment
        ) as process,
    ):
        try:
            yield _ready(process, log)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()


def _ready(process: subprocess.Popen[bytes], log: Path) -> dict[str, Any]:
    assert process.stdout is not None
    deadline = time.monotonic() + PATIENCE
    said = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            if not selector.select(left):
                break
            piece = os.read(process.stdout.fileno(), 65536)
            said += piece
            for line in said.split(b"\n")[:-1]:
                try:
                    told = json.loads(line)
                except ValueError:
                    continue
                if isinstance(told, dict) and told.get("event") == "ready":
                    return told
            if not piece:
                break
    raise AssertionError(f"{process.args!r} was not ready: {said!r}\n{log.read_text()}")
