"""The command as a user runs it: a process with its own state directory, its output read line by line."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from tests.structure.sources import ROOT

COMMAND = (sys.executable, "-m", "console.main")


def environment(state: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SEAWALL_")}
    return kept | {"XDG_STATE_HOME": str(state), "COLUMNS": "100", "TERM": "dumb"} | more


def run(state: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """The command to its end."""
    env = environment(state, **more)
    return subprocess.run(
        [*COMMAND, *words], cwd=ROOT, env=env, capture_output=True, text=True, timeout=30, check=False
    )


def free_port() -> int:
    """A port that nobody has; outside the range that port 0 is served from, others could take it meanwhile."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def fetch(url: str) -> tuple[int, Mapping[str, str], bytes]:
    """Status, fields and body of a GET, whatever the status."""

    def blocking() -> tuple[int, Mapping[str, str], bytes]:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, dict(error.headers), error.read()

    return await asyncio.to_thread(blocking)


class Running:
    """A command that goes on; its standard output is read as JSON lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.seen: list[dict[str, object]] = []

    async def event(self, name: str, **fields: object) -> dict[str, object]:
        """The next line that is this event with these fields."""
        assert self.process.stdout is not None
        async with asyncio.timeout(20):
            while line := await self.process.stdout.readline():
                said = json.loads(line)
                self.seen.append(said)
                if said.get("event") == name and fields.items() <= said.items():
                    assert isinstance(said, dict)
                    return said
        raise AssertionError(f"ended before {name} {fields}: {self.seen} {await self.complaint()}")

    async def complaint(self) -> str:
        """All that it wrote on standard error; to be asked once it has ended."""
        assert self.process.stderr is not None
        return (await self.process.stderr.read()).decode()

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Sends the signal; the exit code."""
        self.process.send_signal(number)
        async with asyncio.timeout(20):
            return await self.process.wait()


@contextlib.asynccontextmanager
async def running(state: Path, *words: str, env: Mapping[str, str] | None = None) -> AsyncIterator[Running]:
    """The command while it goes on; ended for good afterwards."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *words,
        cwd=ROOT,
        env=environment(state) | dict(env or {}),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    started = Running(process)
    try:
        yield started
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 10)
            except TimeoutError:
                process.kill()
                await process.wait()
        # Whatever is left in the pipes is read, so that their transports close.
        await process.communicate()
