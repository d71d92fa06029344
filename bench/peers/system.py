"""What a cache is to the harness: something that runs in front of the origin, on a core, in a directory of its own."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.peers.child import Child, DidNotStart
from bench.peers.exchange import Unexpected, ask

_READY_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Setup:
    """What all three are given alike."""

    directory: Path  # empty, on a tmpfs where there is one
    port: int  # where it listens
    spare_port: int  # for an admin port, where it has one
    origin_port: int
    core: int
    storage_bytes: int | None = None  # None: Seawall's default, and as much for the others
    access_log: bool = False
    disk: bool = False  # Seawall keeps what it stores on disk too; the others are as they always are

    @property
    def log_file(self) -> Path:
        return self.directory / "access.log"


class System(ABC):
    """A running cache. What it consists of is in `children`, the one that listens first."""

    name: str

    def __init__(self, setup: Setup) -> None:
        setup.directory.mkdir(parents=True)
        self.setup = setup
        self.port = setup.port
        self.core = setup.core
        self.children: list[Child] = []
        try:
            self.start()
        except BaseException:
            self.end()
            raise

    @abstractmethod
    def start(self) -> None:
        """Writes the configuration and starts the processes; it may return before they listen."""

    @abstractmethod
    def memory_bytes(self) -> int:
        """What it has taken for what it stores, wherever that is: grows with the objects, and with little else."""

    def run(self, *command: str, **env: str) -> Child:
        child = Child(command, self.core, self.setup.directory / f"{self.name}.out", env)
        self.children.append(child)
        return child

    def cpu_seconds(self) -> float:
        return sum(child.cpu_seconds() for child in self.children)

    def ready(self, path: str = "/o/0") -> float:
        """Waits for the first 200; seconds since its start. DidNotStart where none comes."""
        first = self.children[0]
        give_up = first.started_at + _READY_SECONDS
        while time.monotonic() < give_up:
            for child in self.children:
                child.require_alive()
            with suppress(OSError, Unexpected):
                if ask(self.port, path).status == 200:
                    return time.monotonic() - first.started_at
            time.sleep(0.001)
        said = first.output.read_text(errors="replace")[-2000:]
        raise DidNotStart(f"{self.name} did not answer with 200 in {_READY_SECONDS:g} s:\n{said}")

    def require_alive(self) -> None:
        for child in self.children:
            child.require_alive()

    def end(self) -> None:
        while self.children:
            self.children.pop().end()


Builder = Callable[[Setup], System]
