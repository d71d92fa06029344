"""One worker as its keeper sees it: started, replaced when it ends unasked, drained.

    starting --ready--> ready --exit--> pausing --back-off--> starting
        |                 |
        |                 +--stop()--> draining --exit--> gone
        +--exit before its first ready: the node cannot start

A worker is a fresh interpreter and no fork: a loop that runs, its threads and its connections cannot be forked. It
inherits the sockets under their numbers. The keeper never accepts from them, but as long as it holds them their
queues live: who connected to a worker that died is answered by the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from roles.post import Post
from roles.worker import READY
from seawall.telemetry import events

# Before it is started again, after the first, second, ... crash in a row. Once is an accident, and costs nobody a wait.
PAUSES = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0)
# Ready for this long, and the next exit is not counted as one of a row.
CALM_SECONDS = 60.0
# Redis may be asked in between, and a disk level swept.
READY_SECONDS = 30.0
# How long a node that stops waits for a worker that is being started: somebody may be in its queue.
LAST_START_SECONDS = 5.0


class WorkerFailed(OSError):
    """A worker could not start, at the start of its node. Says why."""


@dataclass(frozen=True, slots=True)
class Sockets:
    """What a worker inherits, and its keeper holds on to."""

    listening: Sequence[socket.socket]
    admin: socket.socket

    @property
    def numbers(self) -> tuple[int, ...]:
        return (*(sock.fileno() for sock in self.listening), self.admin.fileno())

    def close(self) -> None:
        for sock in (*self.listening, self.admin):
            sock.close()


class WorkerProcess:
    """Keeps one worker of a node running. Owner of its sockets; its task belongs to the keeper."""

    def __init__(
        self,
        post: Post,
        sockets: Sockets,
        more: Sequence[int],
        on_exit: Callable[[int], None],
        program: str = "roles.worker",
    ) -> None:
        """`more`: descriptors that it inherits besides. `on_exit` is told the pid of each process that ended. `program`
        is the module that it runs."""
        self._program = program
        self.post = post
        self.replaced = 0
        self._sockets = sockets
        self._more = more
        self._on_exit = on_exit
        self._child: asyncio.subprocess.Process | None = None
        self._ready = asyncio.Event()
        self._was_ready = False
        self._stopping = asyncio.Event()

    def __repr__(self) -> str:
        state = "stopping" if self._stopping.is_set() else "ready" if self.ready else "not ready"
        return f"<WorkerProcess {self.post.feed} {state} pid={self.pid}>"

    @property
    def ready(self) -> bool:
        """Does it serve, as far as it has said?"""
        return self._ready.is_set()

    @property
    def pid(self) -> int | None:
        """Of the process that runs now."""
        return self._child.pid if self._child is not None and self._child.returncode is None else None

    async def served(self) -> None:
        """Returns when it serves."""
        await self._ready.wait()

    def send(self, number: int) -> None:
        """To the process that runs now, if there is one."""
        if self._child is not None and self._child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._child.send_signal(number)

    async def run(self) -> None:
        """Until stop(). Raises WorkerFailed where it has never been ready."""
        clock = asyncio.get_running_loop().time
        crashes = 0
        while not self._stopping.is_set():
            ready_at, why = await self._once(clock)
            if self._stopping.is_set():
                return
            if not self._was_ready:
                raise WorkerFailed(f"its worker {self.post.worker} did not start: {why}")
            if ready_at is not None and clock() - ready_at > CALM_SECONDS:
                crashes = 0
            pause = PAUSES[min(crashes, len(PAUSES) - 1)]
            crashes += 1
            self.replaced += 1
            events.error("worker.died", worker=self.post.worker, why=why, restart_in=pause)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    async def stop(self, seconds: float) -> None:
        """Drains it (SIGTERM), and ends it after so many seconds. Once; run() returns then."""
        if self.pid is not None and not self.ready:
            # Replaced just now: who waits in the queue of the one before it is to be answered.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ready_or_gone(), LAST_START_SECONDS)
        self._stopping.set()
        child = self._child
        # Before the signal: what the worker then takes out of the queue is all that there ever will be in it.
        self._sockets.close()
        if child is None or child.returncode is not None:
            return
        self.send(signal.SIGTERM)
        try:
            await asyncio.wait_for(child.wait(), seconds)
        except TimeoutError:
            events.warning("worker.killed", worker=self.post.worker, after=seconds)
            self.kill()
            await child.wait()

    def kill(self) -> None:
        """Ends it now, and starts no other."""
        self._stopping.set()
        self.send(signal.SIGKILL)

    async def _ready_or_gone(self) -> None:
        assert self._child is not None  # noqa: S101
        waiting = [asyncio.ensure_future(self._ready.wait()), asyncio.ensure_future(self._child.wait())]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()

    async def _once(self, clock: Callable[[], float]) -> tuple[float | None, str]:
        """One process from its start to its end: when it was ready, and how it ended."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                try:
                    child = self._child = await self._spawn(theirs.fileno())
                except OSError as error:  # no memory, no process number
                    return None, error.strerror or str(error)
            try:
                if self._stopping.is_set():
                    self.kill()
                said = await self._greeting(ours)
                ready_at = clock() if said is None else None
                if said is None:
                    self._was_ready = True
                    self._ready.set()
                    events.info("worker.ready", worker=self.post.worker, pid=child.pid)
                else:
                    self.send(signal.SIGKILL)
                code = await child.wait()
                return ready_at, said or (f"signal {-code}" if code < 0 else f"exit code {code}")
            finally:
                self._ready.clear()
                if child.returncode is None:
                    self.send(signal.SIGKILL)
                    await child.wait()
                self._on_exit(child.pid)

    async def _spawn(self, control: int) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *_command(self._program, control),
            stdin=asyncio.subprocess.DEVNULL,
            pass_fds=(control, *self._sockets.numbers, *self._more),
            # Ctrl-C in a terminal is for the keeper, which then drains all.
            start_new_session=True,
        )

    async def _greeting(self, control: socket.socket) -> str | None:
        """Tells it what it is. None once it serves, or why it does not."""
        loop = asyncio.get_running_loop()
        control.setblocking(False)
        said = bytearray()
        try:
            async with asyncio.timeout(READY_SECONDS):
                await loop.sock_sendall(control, self.post.encode())
                while not said.endswith(b"\n") and (piece := await loop.sock_recv(control, 4096)):
                    said += piece
        except TimeoutError:
            return f"it was not ready after {READY_SECONDS:g} s"
        except OSError as error:
            return error.strerror or str(error)
        if said == READY:
            return None
        return said.decode("utf-8", "replace").strip() or "it ended before it was ready"


def _command(program: str, control: int) -> list[str]:
    # -P: a directory called roles where the user stands must not be imported instead of ours; but where this very
    # process got its modules from there, so must the child.
    here = os.getcwd() in sys.path or "" in sys.path
    return [sys.executable, *([] if here else ["-P"]), "-m", program, str(control)]
