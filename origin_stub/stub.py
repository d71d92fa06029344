"""OriginStub: the stub inside an event loop, for tests and for `origin-stub`. Owns its sockets and its memory."""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from aiohttp import web
from aiohttp.http import HttpProcessingError

from origin_stub.app import App
from origin_stub.body import body_bytes, body_key
from origin_stub.control import Control
from origin_stub.reply import Reply
from origin_stub.state import State
from origin_stub.tally import PathTally


class _PeerErrors(logging.Filter):
    """A request that cannot be parsed is one line, without a traceback: it is the peer's mistake, not ours."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            told = " ".join(error.message.split())
            record.msg, record.args = "refused a request with %d: %s", (error.code, told)
            record.exc_info, record.levelno, record.levelname = None, logging.WARNING, "WARNING"
        return True


_logger = logging.getLogger(__name__)
_logger.addFilter(_PeerErrors())


class ControlAt(enum.Enum):
    """Where the control API listens, if not on a port of its own."""

    SAME_PORT = "same"
    NOWHERE = "off"


class OriginStub:
    """`async with OriginStub() as stub:` listens on a free port of loopback until the block ends.

    Times are seconds. `keepalive` is how long an idle connection stays; `drain` how long leaving the block waits
    for answers under way before it cuts them (0: not at all).
    """

    def __init__(
        self,
        listen: tuple[str, int] = ("127.0.0.1", 0),
        *,
        control: tuple[str, int] | ControlAt = ControlAt.SAME_PORT,
        keepalive: float = 75.0,
        drain: float = 0.0,
    ) -> None:
        self.host, self.port = listen
        self._wanted = control
        self._keepalive = keepalive
        self._drain = drain
        self._servers: list[tuple[asyncio.Server, web.Server]] = []
        self._state: State | None = None
        self._control: tuple[str, int] | None = None

    def __repr__(self) -> str:
        return f"<OriginStub {self.address} {self._state.tally if self._state else 'not started'}>"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop(self._drain)

    async def start(self) -> None:
        """Listen. OSError if an address cannot be had."""
        self._state = state = State()
        control = Control(state)
        same = self._wanted is ControlAt.SAME_PORT
        try:
            self.port = await self._listen(App(state, control if same else None), self.host, self.port)
            if same:
                self._control = (self.host, self.port)
            elif isinstance(self._wanted, tuple):
                host, port = self._wanted
                self._control = (host, await self._listen(control, host, port))
        except OSError:
            await self.stop()
            raise

    async def stop(self, drain: float = 0.0) -> None:
        """Stop listening, finish what is under way for up to `drain` seconds, cut the rest.

        A control port of its own is heard until the end, so that gates can still be opened.
        """
        if self._state is None:
            return
        self._state.stopping.set()
        if drain and self._servers:
            listener, origin = self._servers[0]
            listener.close()
            # What is idle is told so by pre_shutdown and closed by shutdown, the rest as each answer is through.
            origin.pre_shutdown()
            graceful = asyncio.create_task(origin.shutdown(drain))
            await asyncio.wait({graceful}, timeout=drain)
            graceful.cancel()
            await asyncio.gather(graceful, return_exceptions=True)
        for listener, _ in self._servers:
            listener.close()
        await asyncio.gather(*(server.shutdown(0.05) for _, server in self._servers))
        self._servers.clear()
        await self._state.end()

    # Where it is

    @property
    def address(self) -> str:
        """HOST:PORT of the origin."""
        return _shown(self.host, self.port)

    @property
    def url(self) -> str:
        """http://HOST:PORT, without a slash."""
        return f"http://{self.address}"

    @property
    def control_address(self) -> str | None:
        """HOST:PORT of the control API, or None where there is none."""
        return None if self._control is None else _shown(*self._control)

    # What it answers

    def script(
        self, path: str, replies: Reply | str | Mapping[str, object] | Sequence[Reply | str | Mapping[str, object]]
    ) -> None:
        """From now on these replies answer the path, in this order; the last repeats. ScriptError if unreadable."""
        self._memory.scripts.set(path, replies)

    def unscript(self, path: str) -> None:
        """The path is as it was before it was scripted."""
        self._memory.scripts.drop(path)

    def bump(self, path: str | None = None) -> int:
        """The content of the path (None: of every path) changes; its new version."""
        return self._memory.versions.bump(path)

    def version(self, path: str) -> int:
        """The version that the path's content has now."""
        return self._memory.versions.of(path)

    def body(self, path: str, size: int, *, variant: str = "", version: int | None = None) -> bytes:
        """The generated body that the path has now, or had at an earlier version."""
        return body_bytes(body_key(path, variant), self.version(path) if version is None else version, size)

    # Barriers

    def open(self, gate: str, passes: int | None = None) -> None:
        """Let through what waits at the gate and whatever comes later, or only `passes` of them."""
        self._memory.gates.open(gate, passes)

    def shut(self, gate: str) -> None:
        """What comes to the gate from now on waits."""
        self._memory.gates.shut(gate)

    async def parked(self, gate: str, n: int = 1, within: float = 10.0) -> None:
        """Return once n replies wait at the gate. TimeoutError tells how many do."""
        waits = self._memory.gates.gate(gate)
        if not await self._memory.bell.until(lambda: waits.parked >= n, within):
            raise TimeoutError(f"{waits.parked} of {n} replies wait at gate {gate!r} after {within} s")

    async def arrived(self, path: str, n: int = 1, within: float = 10.0) -> None:
        """Return once the path has been asked for n times in all. TimeoutError tells how often it was."""
        tally = self._memory.tally
        if not await self._memory.bell.until(lambda: tally.of(path).count >= n, within):
            raise TimeoutError(f"{tally.of(path).count} of {n} requests for {path!r} after {within} s; {tally}")

    async def settled(self, path: str, n: int = 1, within: float = 10.0) -> None:
        """Return once n requests for the path have been answered or given up by their peer."""
        tally = self._memory.tally
        if not await self._memory.bell.until(lambda: tally.of(path).finished + tally.of(path).aborted >= n, within):
            raise TimeoutError(f"fewer than {n} requests for {path!r} settled after {within} s: {tally.of(path)}")

    # What it was asked

    def tally(self, path: str) -> PathTally:
        """The counts and last requests of a path, or of a whole target with its query."""
        return self._memory.tally.of(path)

    @property
    def total(self) -> PathTally:
        """The counts and last requests of everything."""
        return self._memory.tally.total

    def reset(self) -> None:
        """Forget scripts, versions, gates and counts."""
        self._memory.reset()

    @property
    def _memory(self) -> State:
        if self._state is None:
            raise RuntimeError("the stub is not started: use `async with`")
        return self._state

    async def _listen(self, handler: App | Control, host: str, port: int) -> int:
        server = web.Server(
            handler,
            handler_cancellation=True,  # a peer that leaves ends its request, and is counted as aborted
            access_log=None,
            logger=_logger,
            auto_decompress=False,  # lengths and digests are of the bytes that came
            keepalive_timeout=self._keepalive,
            lingering_time=1.0,
            max_line_size=256 * 1024,
            max_field_size=256 * 1024,
            max_headers=4096,
        )
        listener = await asyncio.get_running_loop().create_server(server, host, port, backlog=1024)
        self._servers.append((listener, server))
        return int(listener.sockets[0].getsockname()[1])


def _shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
