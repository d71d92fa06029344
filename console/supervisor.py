"""Several nodes, each its own process: started, watched, restarted, drained.

Knows no topology: a process is a name and a command that prints one JSON line {"event": "ready", ...} on standard
output. The life of one:

    starting --ready--> up --exit--> waiting --back-off--> starting
        |                |                                    |
        +--exit before its first ready: the whole start fails-+
                         +--stop()--> draining --exit--> gone

A process is in a session of its own, so that Ctrl-C in the terminal reaches only the supervisor, which then drains in
order. Its standard input is a pipe held by the supervisor: when that dies, the process notices and drains by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
# Up for this long, and the next exit is not counted as one of a series.
CALM_SECONDS = 60.0
READY_SECONDS = 30.0
MAX_LINE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Ready:
    """A process serves."""

    name: str
    pid: int
    said: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Output:
    """A line that a process printed."""

    name: str
    line: str


@dataclass(frozen=True, slots=True)
class Died:
    """A process ended that nobody asked to; it is started again after `pause` seconds."""

    name: str
    code: int
    pause: float


@dataclass(frozen=True, slots=True)
class Stopped:
    """A process ended because it was asked to."""

    name: str
    code: int


Event = Ready | Output | Died | Stopped
Observer = Callable[[Event], None]


class StartFailed(Exception):
    """A process ended, or said nothing for too long, before it was ready for the first time."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name} {why}")
        self.name = name


class Process:
    """One supervised process. Its task is owned by the supervisor."""

    def __init__(self, name: str, command: Sequence[str], env: Mapping[str, str], observer: Observer) -> None:
        self.name = name
        self._command = command
        self._env = env
        self._observer = observer
        self._child: asyncio.subprocess.Process | None = None
        self._ready = asyncio.Event()
        self._stopping = asyncio.Event()
        self.was_ready = False

    def __repr__(self) -> str:
        state = "stopping" if self._stopping.is_set() else "ready" if self._ready.is_set() else "not ready"
        return f"<Process {self.name} {state} pid={self.pid}>"

    @property
    def pid(self) -> int | None:
        """Of the process that runs now."""
        return self._child.pid if self._child is not None and self._child.returncode is None else None

    async def run(self) -> None:
        """Keeps it running until stop(). Raises StartFailed before the first ready."""
        pause = FIRST_PAUSE
        clock = asyncio.get_running_loop().time
        while not self._stopping.is_set():
            started = clock()
            code = await self._once()
            if self._stopping.is_set():
                self._observer(Stopped(self.name, code))
                return
            if not self.was_ready:
                raise StartFailed(self.name, f"ended with {_code(code)} before it was ready")
            if clock() - started > CALM_SECONDS:
                pause = FIRST_PAUSE
            self._observer(Died(self.name, code, pause))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def ready(self) -> None:
        """Returns when it serves. Raises StartFailed when that takes too long."""
        try:
            await asyncio.wait_for(self._ready.wait(), READY_SECONDS)
        except TimeoutError as error:
            raise StartFailed(self.name, f"was not ready after {READY_SECONDS:.0f} s") from error

    def stop(self) -> None:
        """Asks it to drain (SIGTERM). Idempotent."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._send(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it now."""
        self._stopping.set()
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self._child is not None and self._child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._child.send_signal(number)

    async def _once(self) -> int:
        self._ready.clear()
        self._child = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._env,
            start_new_session=True,
            limit=MAX_LINE_BYTES,
        )
        if self._stopping.is_set():  # asked to stop while it was being started
            self._send(signal.SIGTERM)
        child = self._child
        assert child.stdout is not None  # noqa: S101 (both are pipes)
        assert child.stderr is not None  # noqa: S101
        try:
            await asyncio.gather(self._read(child.stdout, child.pid), self._read(child.stderr, None))
            return await child.wait()
        except BaseException:
            self._send(signal.SIGKILL)
            await child.wait()
            raise
        finally:
            self._ready.clear()

    async def _read(self, stream: asyncio.StreamReader, announces: int | None) -> None:
        """Passes lines on. Those of the stream that announces, given the pid, may say that it is ready."""
        while True:
            try:
                octets = await stream.readline()
            except ValueError:
                continue  # longer than MAX_LINE_BYTES: readline has dropped it
            if not octets:
                return
            line = octets.decode("utf-8", "replace").rstrip("\r\n")
            said = _announcement(line) if announces is not None and not self._ready.is_set() else None
            if said is None or announces is None:
                self._observer(Output(self.name, line))
                continue
            self.was_ready = True
            self._ready.set()
            self._observer(Ready(self.name, announces, said))


class Supervisor:
    """Owner of the processes and of the tasks that keep them."""

    def __init__(self, commands: Mapping[str, Sequence[str]], observer: Observer, env: Mapping[str, str]) -> None:
        self._processes = {name: Process(name, command, env, observer) for name, command in commands.items()}
        self._stop = asyncio.Event()
        self._kill = asyncio.Event()

    @property
    def pids(self) -> dict[str, int | None]:
        """What runs now."""
        return {name: process.pid for name, process in self._processes.items()}

    def stop(self) -> None:
        """Drains all; asked a second time, ends all at once."""
        if self._stop.is_set():
            self._kill.set()
        self._stop.set()

    async def run(self, all_ready: Callable[[], None], order: Sequence[Sequence[str]], drain_seconds: float) -> None:
        """Starts all, tells when all serve, and returns after stop() once all have ended.

        `order` is who drains together, first group first. Raises StartFailed, with everything stopped again.
        """
        tasks = {name: asyncio.create_task(process.run()) for name, process in self._processes.items()}
        try:
            if await self._all_ready(tasks):
                all_ready()
                await self._until(self._stop.wait(), tasks)
        finally:
            await self._drain(tasks, order, drain_seconds)

    async def _all_ready(self, tasks: Mapping[str, asyncio.Task[None]]) -> bool:
        async def everyone() -> None:
            async with asyncio.TaskGroup() as group:
                for process in self._processes.values():
                    group.create_task(process.ready())

        async def everyone_or_stop() -> None:
            waiting = [asyncio.ensure_future(everyone()), asyncio.ensure_future(self._stop.wait())]
            try:
                done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for future in done:
                    future.result()
            finally:
                for future in waiting:
                    future.cancel()
                await asyncio.gather(*waiting, return_exceptions=True)

        try:
            await self._until(everyone_or_stop(), tasks)
        except* StartFailed as failed:
            raise _first(failed) from None
        return not self._stop.is_set()

    async def _until(self, awaitable: Awaitable[object], tasks: Mapping[str, asyncio.Task[None]]) -> None:
        """Waits, unless a process's task fails first."""
        waited = asyncio.ensure_future(awaitable)
        try:
            # A task ends well only after stop(), so the first to end is what was waited for, or a failed start.
            await asyncio.wait([waited, *tasks.values()], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks.values():
                if task.done():
                    task.result()
            await waited
        finally:
            waited.cancel()
            await asyncio.gather(waited, return_exceptions=True)

    async def _drain(
        self, tasks: Mapping[str, asyncio.Task[None]], order: Sequence[Sequence[str]], seconds: float
    ) -> None:
        killing = asyncio.create_task(self._kill_when_told())
        try:
            for group in order:
                for name in group:
                    self._processes[name].stop()
                _, late = await asyncio.wait([tasks[name] for name in group], timeout=seconds)
                if late:
                    for name in group:
                        self._processes[name].kill()
                    await asyncio.wait(late)
        finally:
            killing.cancel()
            for process in self._processes.values():
                process.kill()
            await asyncio.gather(killing, *tasks.values(), return_exceptions=True)

    async def _kill_when_told(self) -> None:
        await self._kill.wait()
        for process in self._processes.values():
            process.kill()


def _first(group: BaseExceptionGroup[StartFailed]) -> StartFailed:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, StartFailed)  # noqa: S101 (the group holds nothing else)
    return found


def _announcement(line: str) -> Mapping[str, object] | None:
    if not line.startswith("{"):
        return None
    try:
        said = json.loads(line)
    except ValueError:
        return None
    return said if isinstance(said, dict) and said.get("event") == "ready" else None


def _code(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


def environment(**more: str) -> dict[str, str]:
    """This process's environment for a child, unbuffered so that its lines arrive when it prints them."""
    return {**os.environ, "PYTHONUNBUFFERED": "1", **more}
