"""A node's workers, as a story gets hold of them: by the events that their keeper logs."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.topology.city import City, until

_READY = re.compile(r"worker\.ready worker=(\d+) pid=(\d+)")


def pids(town: City, name: str) -> dict[int, int]:
    """The process that was ready last, of each worker."""
    return {int(worker): int(pid) for worker, pid in _READY.findall(town.nodes[name].log.read_text())}


def send(town: City, name: str, worker: int, number: signal.Signals) -> None:
    """A signal to one worker, past its keeper."""
    os.kill(pids(town, name)[worker], number)


@contextmanager
def frozen(town: City, name: str, worker: int) -> Iterator[None]:
    """SIGSTOP, and SIGCONT at the end whatever becomes of the story: nobody else would ever end a frozen process."""
    pid = pids(town, name)[worker]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


async def another(town: City, name: str, worker: int, pid: int) -> int:
    """The pid of the process that has taken this one's place."""

    async def replaced() -> bool:
        return pids(town, name)[worker] != pid

    await until(replaced, lambda: f"another worker {worker} of {name}: {town.nodes[name].log.read_text()}")
    return pids(town, name)[worker]


async def warm_all(town: City, name: str, path: str, workers: int = 2) -> None:
    """Asks, on new connections, until every worker has fetched it once and has it in its own memory."""
    before = town.asked(path)

    async def all_have() -> bool:
        await town.get(name, path)
        return town.asked(path) - before >= workers

    await until(all_have, lambda: f"{path} in all workers of {name}; the origin was asked {town.asked(path) - before}x")
