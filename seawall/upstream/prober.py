"""Asks each address again and again whether it is well, and tells whoever wants to know.

Knows no thresholds: it reports each result, and health decides. Owns one task an address, from start() to
close(), and the upstreams that it asks.

Each address is asked over an upstream of its own, a pool of one connection. Over the pool of the requests a
probe would wait behind them, and an address that is merely busy would look like a dead one. It may also be
another port: a node's health is its admin port's to tell.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from seawall.http.body import BodyBroken
from seawall.http.headers import headers
from seawall.http.message import RequestHead
from seawall.upstream.answer import UpstreamError
from seawall.upstream.upstream import Upstream

# A health page is a line or a small document; whoever put a catalogue there is still well.
MAX_BODY_BYTES = 64 * 1024
# Ten per cent each way: a hundred nodes that start together do not ask together for long.
JITTER = 0.1


@dataclass(frozen=True, slots=True)
class Finding:
    """What one probe found."""

    ok: bool
    detail: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Target:
    """One address to probe. `report` gets each result with the instant of it, from the event loop."""

    name: str
    upstream: Upstream
    authority: str
    path: str
    report: Callable[[bool, float], object]
    scheme: str = "http"


class Prober:
    """The probes of a node. `interval` (from one probe to the next) and `timeout` (for a whole answer) in seconds."""

    def __init__(
        self,
        targets: Sequence[Target],
        *,
        interval: float = 2.0,
        timeout: float = 1.0,
        now: Callable[[], float] = time.monotonic,
        random: Random | None = None,
    ) -> None:
        self.interval = interval
        self.timeout = timeout
        self.findings: dict[str, Finding] = {}  # the last of each target
        self._targets = tuple(targets)
        self._now = now
        self._random = random or Random()  # noqa: S311 (spreads load, protects nothing)
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False

    def start(self) -> None:
        """Begins to probe, each address at once. Once only."""
        assert not self._tasks, self  # noqa: S101 (our own mistake)
        if self._closed:
            return
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._watch(target), name=f"probe {target.name}") for target in self._targets]

    async def close(self) -> None:
        """Ends all probes and their connections; nothing is reported afterwards. Idempotent."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await asyncio.gather(*(target.upstream.close() for target in self._targets))
        for result in results:
            if isinstance(result, Exception):  # a report() that raised: our own mistake, not to be swallowed
                raise result

    async def _watch(self, target: Target) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began_at = loop.time()
            finding = await self.probe(target)
            self.findings[target.name] = finding
            target.report(finding.ok, self._now())
            pause = self.interval * self._random.uniform(1 - JITTER, 1 + JITTER)
            await asyncio.sleep(max(0.0, began_at + pause - loop.time()))

    async def probe(self, target: Target) -> Finding:
        """One probe: well is who gives a whole 2xx answer in time."""
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        try:
            async with asyncio.timeout(self.timeout):
                ok, detail = await _ask(target)
        except TimeoutError:
            ok, detail = False, f"no whole answer within {self.timeout:g} s"
        except (UpstreamError, BodyBroken) as error:
            ok, detail = False, str(error)
        return Finding(ok, detail, loop.time() - began_at)

    def __repr__(self) -> str:
        said = ", ".join(f"{name} {'ok' if finding.ok else finding.detail}" for name, finding in self.findings.items())
        return f"<Prober of {len(self._targets)}: {said}>"


async def _ask(target: Target) -> tuple[bool, str]:
    fields = headers([("User-Agent", "seawall-probe"), ("Cache-Control", "no-store")])
    answer = await target.upstream.exchange(
        RequestHead("GET", target.scheme, target.authority, target.path, fields), None
    )
    status = answer.head.status
    try:
        read = 0
        while read < MAX_BODY_BYTES and (piece := await answer.body.read()):
            read += len(piece)
    finally:
        answer.body.close()
    return 200 <= status < 300, f"status {status}"
