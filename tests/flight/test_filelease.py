"""Leases between the processes of a node: one holder, gone with its process, bounded waits."""

from __future__ import annotations

import asyncio
import errno
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from seawall.flight.filelease import FileLeases
from seawall.flight.lease import Leases
from tests.structure.sources import ROOT

LONG = 30.0

HOLDER = """
import asyncio, sys
from pathlib import Path
from seawall.flight.filelease import FileLeases

async def live():
    leases = FileLeases(Path(sys.argv[1]))
    for line in sys.stdin:
        word, _, key = line.strip().partition(" ")
        if word == "take":
            held = await leases.take(key, 30.0)
            print("taken" if held else "refused", flush=True)
        elif word == "release":
            await leases.release(held)
            print("released", flush=True)

asyncio.run(live())
"""


class Other:
    """Another process with the same file."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def asked(self, words: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(words.encode() + b"\n")
        async with asyncio.timeout(10):
            return (await self.process.stdout.readline()).decode().strip()


@asynccontextmanager
async def another(path: Path) -> AsyncIterator[Other]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, str(path), cwd=ROOT,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield Other(process)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        await process.communicate()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "leases"


@pytest.fixture
async def leases(file: Path) -> AsyncIterator[FileLeases]:
    opened = FileLeases(file)
    yield opened
    opened.close()


def test_they_are_the_leases_that_a_flight_asks_for(file: Path) -> None:
    leases: Leases = FileLeases(file)
    assert isinstance(leases, FileLeases)
    leases.close()
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.stat().st_size == 0


async def test_of_two_processes_one_is_given_the_lease_until_it_lets_go(leases: FileLeases, file: Path) -> None:
    async with another(file) as other:
        assert await other.asked("take k") == "taken"
        assert await leases.take("k", LONG) is None
        free = await leases.take("another key", LONG)
        assert free is not None
        assert free.shared
        waiting = asyncio.create_task(leases.wait("k", LONG))
        assert await other.asked("release") == "released"
        async with asyncio.timeout(5):
            await waiting
        assert await leases.take("k", LONG) is not None
        assert await other.asked("take k") == "refused"


async def test_a_lease_ends_with_its_process_however_that_ends(leases: FileLeases, file: Path) -> None:
    async with another(file) as other:
        assert await other.asked("take k") == "taken"
        waiting = asyncio.create_task(leases.wait("k", LONG))
        other.process.kill()
        async with asyncio.timeout(5):
            await waiting
        assert await leases.take("k", LONG) is not None


async def test_a_frozen_holder_is_waited_for_no_longer_than_was_said(leases: FileLeases, file: Path) -> None:
    async with another(file) as other:
        assert await other.asked("take k") == "taken"
        other.process.send_signal(signal.SIGSTOP)
        async with asyncio.timeout(5):
            await leases.wait("k", 0.1)
        assert await leases.take("k", LONG) is None


async def test_within_a_process_a_key_is_held_once(leases: FileLeases) -> None:
    first = await leases.take("k", LONG)
    assert first is not None
    assert await leases.take("k", LONG) is None
    waiting = asyncio.create_task(leases.wait("k", LONG))
    await asyncio.sleep(0)
    assert not waiting.done()
    await leases.release(first)
    async with asyncio.timeout(5):
        await waiting
    second = await leases.take("k", LONG)
    assert second is not None
    await leases.release(first)  # not its owner's any more
    assert await leases.take("k", LONG) is None


async def test_a_lease_runs_out_and_its_owner_then_lets_nothing_go(leases: FileLeases, file: Path) -> None:
    mine = await leases.take("k", 0.05)
    assert mine is not None
    async with asyncio.timeout(5):
        await leases.wait("k", LONG)
    async with another(file) as other:
        assert await other.asked("take k") == "taken"
        await leases.release(mine)
        assert await leases.take("k", LONG) is None


async def test_looking_at_a_lease_does_not_take_it(leases: FileLeases, file: Path) -> None:
    await leases.wait("k", LONG)
    async with another(file) as other:
        assert await other.asked("take k") == "taken"


async def test_where_there_are_no_locks_everybody_goes_alone(
    leases: FileLeases, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.lockf", none)
    lease = await leases.take("k", LONG)
    assert lease is not None
    assert not lease.shared
    await leases.release(lease)
