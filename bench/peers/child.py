"""One server with all its processes, pinned to a core: started, watched through /proc, and ended by its own ids."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")
_GRACE_SECONDS = 5.0


class DidNotStart(Exception):
    """A server ended, or was not there in time. Says which, and what it wrote."""


class Child:
    """A server started on `core`. Its processes are a session of their own: Ctrl-C reaches only who started them."""

    def __init__(self, command: Sequence[str], core: int, output: Path, env: Mapping[str, str] | None = None) -> None:
        self.command = list(command)
        self.output = output
        self.started_at = time.monotonic()
        with output.open("ab") as sink:
            self._process = subprocess.Popen(
                ["taskset", "--cpu-list", str(core), *command],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )

    def __repr__(self) -> str:
        state = "runs" if self.alive() else f"ended with {self._process.returncode}"
        return f"<Child {self._process.pid} {self.command[0]} {state}>"

    def alive(self) -> bool:
        return self._process.poll() is None

    def require_alive(self) -> None:
        if not self.alive():
            said = self.output.read_text(errors="replace")[-2000:]
            raise DidNotStart(f"{' '.join(self.command)} ended with {self._process.returncode}:\n{said}")

    def pids(self) -> list[int]:
        """The process and all that descend from it."""
        return descendants(self._process.pid)

    def cpu_seconds(self) -> float:
        """User and system time of all of them until now, of children that ended and were waited for too."""
        return sum(_cpu_seconds(pid) for pid in self.pids())

    def private_bytes(self) -> int:
        """Anonymous memory that is resident, and shared memory of which it is counted once."""
        found = [_status(pid) for pid in self.pids()]
        shared = max((each.get("RssShmem", 0) for each in found), default=0)
        return sum(each.get("RssAnon", 0) for each in found) + shared

    def anonymous_bytes(self) -> int:
        return sum(_status(pid).get("RssAnon", 0) for pid in self.pids())

    def end(self) -> None:
        """SIGTERM, and SIGKILL to whatever of it is left after five seconds. Never raises for what is gone already."""
        family = {pid: _born(pid) for pid in self.pids()}
        if self.alive():
            with suppress(ProcessLookupError):
                self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE_SECONDS)
        for pid, born in family.items():
            # An id may be another's by now; an id with its instant of birth is not.
            if born is not None and _born(pid) == born:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._process.wait()


def descendants(pid: int) -> list[int]:
    """The id and those of its children, theirs, and so on; empty where it is gone."""
    found, unseen = [], [pid]
    while unseen:
        each = unseen.pop()
        try:
            tasks = list(Path(f"/proc/{each}/task").iterdir())
            children = [child for task in tasks for child in (task / "children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            # A thread or a process that ended while we looked.
            if not Path(f"/proc/{each}").exists():
                continue
            children = []
        found.append(each)
        unseen += map(int, children)
    return found


def _stat(pid: int) -> list[str]:
    """The fields after the name, which may hold spaces: the state is number 0."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def core_seconds(core: int) -> float:
    """How long a core has worked since boot, whoever for."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, ticks[:8])
            return (user + nice + system + irq + softirq + steal) * _TICK_SECONDS
    raise ValueError(f"there is no core {core}")


def _born(pid: int) -> int | None:
    """When it was started, in ticks since boot; None where it is gone."""
    try:
        return int(_stat(pid)[19])
    except (FileNotFoundError, ProcessLookupError):
        return None


def _cpu_seconds(pid: int) -> float:
    try:
        fields = _stat(pid)
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(map(int, fields[11:15])) * _TICK_SECONDS  # utime, stime, cutime, cstime


def _status(pid: int) -> dict[str, int]:
    """The sizes in /proc/PID/status, in bytes."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return {
        name: int(rest.split()[0]) * 1024
        for name, _, rest in (line.partition(":") for line in lines)
        if rest.endswith(" kB")
    }


def files_bytes(directory: Path) -> int:
    """What the files below occupy, in whole blocks of their file system."""
    total = 0
    for where, _, names in os.walk(directory):
        for name in names:
            with suppress(FileNotFoundError):
                total += os.lstat(os.path.join(where, name)).st_blocks * 512
    return total
