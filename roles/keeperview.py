"""A node of several processes as its admin port shows it: what they counted as one, and questions passed on to them.

Each worker has an admin port of its own, on a Unix socket. A worker that gives no answer in time is left out, and the
answer says so; what it counted stands as it was heard last, because a counter that falls looks like a restart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import msgspec
from aiohttp import hdrs, web

from roles import warmall
from roles.workerdoor import FIGURES
from roles.workerprocess import WorkerProcess
from seawall.admin.problem import problem
from seawall.admin.view import NotReady, Readiness, Ready
from seawall.admin.warm import DEFAULT_TOP, wants_lines
from seawall.telemetry.exposition import Scrape
from seawall.telemetry.metrics import JSON, Gauges, PurgeUsage, WorkersUsage, snapshot
from seawall.telemetry.sums import Figures, decode, summed

# Who scrapes or probes has a time-out too, of a second or more.
ANSWER_SECONDS = 1.0
READY_SECONDS = 0.75  # parents are probed with a time-out of one (roles/ways.py)

_PASSED_FIELDS = (hdrs.AUTHORIZATION, hdrs.ACCEPT, hdrs.CONTENT_TYPE)


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker, and where it is asked."""

    process: WorkerProcess
    door: Path


@dataclass(frozen=True, slots=True)
class _Heard:
    status: int
    body: bytes


class KeeperView:
    """A NodeView whose answers have to be awaited. Owner of the connections to the workers."""

    def __init__(
        self,
        name: str,
        role: str,
        state: Callable[[], Readiness],
        purge: Callable[[], PurgeUsage | None],
        workers: Sequence[Worker],
        secret: str,
    ) -> None:
        """`workers` may still be empty; `secret` is what they know their keeper by."""
        self.name = name
        self.role = role
        self.passed = Passed(self)
        self._state = state
        self._purge = purge
        self.workers = workers
        self._own: dict[str, str] = {hdrs.AUTHORIZATION: f"Bearer {secret}"}
        self._sessions: dict[Path, aiohttp.ClientSession] = {}
        self._last: dict[int, Figures] = {}  # by pid
        self._ended = summed(())
        self._turn = 0

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()

    def ended(self, pid: int) -> None:
        """This process is gone; what it counted stays."""
        left = self._last.pop(pid, None)
        if left is not None:
            self._ended = summed((self._ended, left.ended()))

    # --- admin.view.NodeView ---

    async def ready(self) -> Readiness:
        """Ready when all workers are: whoever connects does not choose."""
        state = self._state()
        if not isinstance(state, Ready):
            return state
        heard = await self._all("/readyz", READY_SECONDS)
        for worker, said in zip(self.workers, heard, strict=True):
            if said is None:
                return NotReady(f"worker-{worker.process.post.worker}-is-silent")
            if said.status != 200:
                return NotReady(_detail(said))
        return state

    async def stats(self) -> dict[str, JSON]:
        figures, gauges = await self._gathered()
        return {"node": self.name, "role": self.role, **snapshot(figures.counters, gauges)}

    async def scrape(self, accept: str) -> tuple[str, bytes]:
        figures, gauges = await self._gathered()
        return Scrape(figures.counters, gauges, self.name)(accept)

    async def _gathered(self) -> tuple[Figures, Gauges]:
        """What all have counted, those that have ended included."""
        pids = [worker.process.pid for worker in self.workers]
        heard = await self._all(FIGURES, ANSWER_SECONDS)
        silent: list[int] = []
        for worker, pid, said in zip(self.workers, pids, heard, strict=True):
            if said is None or said.status != 200 or pid is None or pid != worker.process.pid:
                silent.append(worker.process.post.worker)
                continue
            self._last[pid] = decode(said.body)
        usage = WorkersUsage(
            answering=len(self.workers) - len(silent),
            silent=tuple(silent),
            replaced=sum(worker.process.replaced for worker in self.workers),
            pids=tuple(pid for pid in pids if pid is not None),
        )
        total = summed((self._ended, *self._last.values()))
        return total, replace(total.gauges(), purge=self._purge, workers=lambda: usage)

    # --- asking ---

    async def _all(self, path: str, seconds: float) -> list[_Heard | None]:
        return await asyncio.gather(*(self._ask(worker, path, seconds) for worker in self.workers))

    async def _ask(self, worker: Worker, path: str, seconds: float) -> _Heard | None:
        if not worker.process.ready:
            return None
        try:
            async with asyncio.timeout(seconds), self.request(worker, "GET", path, self._own, None) as answer:
                return _Heard(answer.status, await answer.read())
        except (TimeoutError, aiohttp.ClientError, OSError):
            return None

    def request(
        self, worker: Worker, method: str, path: str, fields: dict[str, str], body: bytes | None
    ) -> aiohttp.client._RequestContextManager:
        """One request to a worker's port."""
        session = self._sessions.get(worker.door)
        if session is None:
            session = self._sessions[worker.door] = aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(str(worker.door), limit=0, force_close=True),
                timeout=aiohttp.ClientTimeout(),
                auto_decompress=False,
            )
        return session.request(method, f"http://localhost{path}", headers=fields, data=body, allow_redirects=False)

    def one(self) -> Worker | None:
        """A worker that serves, another one each time."""
        ready = [worker for worker in self.workers if worker.process.ready]
        self._turn += 1
        return ready[self._turn % len(ready)] if ready else None


class Passed:
    """Requests to the node's admin port that its workers answer. They ask for the token themselves."""

    def __init__(self, view: KeeperView) -> None:
        self._view = view

    async def any(self, request: web.Request) -> web.StreamResponse:
        """One of them answers, whichever; piece by piece, if it comes so."""
        worker = self._view.one()
        if worker is None:
            return _none()
        body = await request.read()
        response: web.StreamResponse | None = None
        try:
            async with self._view.request(
                worker, request.method, request.path_qs, _fields(request), body or None
            ) as answer:
                response = web.StreamResponse(status=answer.status, headers=_said(answer))
                await response.prepare(request)
                async for piece in answer.content.iter_any():
                    await response.write(piece)
                return response
        except (aiohttp.ClientError, ConnectionError) as error:
            if response is None:
                return problem(502, f"worker {worker.process.post.worker} gave no answer: {error}")
            if request.transport is not None:
                request.transport.abort()  # half an answer must not look like a whole one
            return response

    async def warm(self, request: web.Request) -> web.StreamResponse:
        """By all of them (warmall.py)."""
        body = await request.read()
        async with AsyncExitStack() as stack:

            async def ask(worker: Worker) -> aiohttp.ClientResponse | None:
                asking = self._view.request(worker, request.method, request.path_qs, _fields(request), body or None)
                try:
                    return await stack.enter_async_context(asking)
                except (aiohttp.ClientError, OSError):
                    return None

            asked = [worker for worker in self._view.workers if worker.process.ready]
            answers = [each for each in await asyncio.gather(*map(ask, asked)) if each is not None]
            # Who has begun where another refuses ends with its connection.
            refused = next((each for each in answers if each.status != 200), None)
            if refused is not None:
                return web.Response(status=refused.status, body=await refused.read(), headers=_said(refused))
            if answers and wants_lines(request):
                return await warmall.lines(request, answers)
            done = await warmall.document(answers)
            return _none() if done is None else web.Response(body=done, content_type="application/json")

    async def popular(self, request: web.Request) -> web.StreamResponse:
        """What all of them were asked for, added up."""
        return await self._merged(request)

    async def popular_of(self, request: web.Request) -> web.StreamResponse:
        return await self._merged(request)

    async def _merged(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()

        async def ask(worker: Worker) -> _Heard | None:
            try:
                async with (
                    asyncio.timeout(ANSWER_SECONDS),
                    self._view.request(
                        worker, request.method, request.path_qs, _fields(request), body or None
                    ) as answer,
                ):
                    return _Heard(answer.status, await answer.read())
            except (TimeoutError, aiohttp.ClientError, OSError):
                return None

        asked = [worker for worker in self._view.workers if worker.process.ready]
        answers = [each for each in await asyncio.gather(*map(ask, asked)) if each is not None]
        if not answers:
            return _none()
        refused = next((each for each in answers if each.status != 200), None)
        if refused is not None:
            kind = "application/problem+json"
            return web.Response(status=refused.status, body=refused.body, content_type=kind)
        hits: dict[str, int] = {}
        for each in answers:
            for ranked in msgspec.json.decode(each.body, type=_Ranking).urls:
                hits[ranked.url] = hits.get(ranked.url, 0) + ranked.hits
        most_first = sorted(hits.items(), key=lambda each: each[1], reverse=True)
        ranking = _Ranking([_Ranked(url, number) for url, number in most_first[: _top(request, body)]])
        return web.Response(body=msgspec.json.encode(ranking), content_type="application/json")


class _Ranked(msgspec.Struct):
    url: str
    hits: int


class _Ranking(msgspec.Struct):
    urls: list[_Ranked]


class _Asked(msgspec.Struct):
    top: int = DEFAULT_TOP


def _top(request: web.Request, body: bytes) -> int:
    """How many were asked for. The workers have found nothing wrong with the request."""
    if request.method == "POST":
        return msgspec.json.decode(body, type=_Asked).top
    return int(request.query.get("top", DEFAULT_TOP))


def _fields(request: web.Request) -> dict[str, str]:
    return {name: request.headers[name] for name in _PASSED_FIELDS if name in request.headers}


def _said(answer: aiohttp.ClientResponse) -> dict[str, str]:
    kept = (hdrs.CONTENT_TYPE, hdrs.CONTENT_LENGTH, hdrs.RETRY_AFTER, hdrs.WWW_AUTHENTICATE, hdrs.ALLOW)
    return {name: answer.headers[name] for name in kept if name in answer.headers}


def _detail(said: _Heard) -> str:
    """The reason in a worker's own refusal."""
    try:
        return msgspec.json.decode(said.body, type=_Problem).detail
    except msgspec.DecodeError:
        return f"status {said.status}"


class _Problem(msgspec.Struct):
    detail: str


def _none() -> web.Response:
    return problem(503, "no worker of this node is ready")
