"""A warming that all workers of a node carry out, told as one.

Each has a memory of its own, so each is asked. Where they share a level below it, one of them fetches and the others
find it there (flight/filelease.py). Knows the form of a result (admin.warm.told).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import aiohttp
import msgspec
from aiohttp import hdrs, web

from seawall.admin.warm import NDJSON
from seawall.policy.reasons import Outcome


class Told(msgspec.Struct, frozen=True):
    """What became of one URL at one worker."""

    url: str
    status: int | None
    outcome: str | None
    stored: bool
    why: str | None
    bytes: int
    ms: float


class Document(msgspec.Struct):
    """A whole answer."""

    urls: list[Told]


def worst(told: Sequence[Told]) -> Told:
    """One URL at several workers: stored where all have it, and as slow as with the slowest. The rest is as with the
    one that could not, or with the one that fetched it."""
    failed = next((each for each in told if not each.stored), None)
    fetched = next((each for each in told if each.outcome != Outcome.HIT), told[0])
    return msgspec.structs.replace(failed or fetched, ms=max(each.ms for each in told))


async def document(answers: Sequence[aiohttp.ClientResponse]) -> bytes | None:
    """The results in the order of the URLs; None where every worker died over it."""
    told = [each for each in await asyncio.gather(*map(_whole, answers)) if each is not None]
    if not told:
        return None
    return msgspec.json.encode(Document([worst(each) for each in zip(*told, strict=False)]))


async def _whole(answer: aiohttp.ClientResponse) -> list[Told] | None:
    try:
        return msgspec.json.decode(await answer.read(), type=Document).urls
    except (aiohttp.ClientError, msgspec.DecodeError):
        return None


async def lines(request: web.Request, answers: Sequence[aiohttp.ClientResponse]) -> web.StreamResponse:
    """A line for each URL, as soon as every worker has said what became of it there. One that dies is not waited for.

    A client that leaves ends it; the workers notice by the connections that their answers come on.
    """
    response = web.StreamResponse(headers={hdrs.CONTENT_TYPE: NDJSON})
    await response.prepare(request)
    together = _Together(len(answers))
    async with asyncio.TaskGroup() as group:
        listening = [group.create_task(together.listen(*each)) for each in enumerate(answers)]
        try:
            while not together.over or not together.ready.empty():
                if line := await together.ready.get():
                    await response.write(line)
        except ConnectionError:
            for task in listening:
                task.cancel()
    if together.dead == len(answers) and request.transport is not None:
        request.transport.abort()  # half an answer must not look like a whole one
    return response


class _Together:
    """Lines of several workers, each URL until all have said theirs. `ready` has b"" in it for each that is over."""

    def __init__(self, workers: int) -> None:
        self.ready: asyncio.Queue[bytes] = asyncio.Queue()
        self.dead = 0
        self._talking = workers
        # By worker, by URL, and by how often it has been named: a list may ask for one more than once.
        self._told: dict[tuple[str, int], dict[int, Told]] = {}
        self._silent: set[int] = set()
        self._workers = range(workers)

    @property
    def over(self) -> bool:
        return not self._talking

    async def listen(self, worker: int, answer: aiohttp.ClientResponse) -> None:
        met: Counter[str] = Counter()
        try:
            async for line in answer.content:
                told = msgspec.json.decode(line, type=Told)
                met[told.url] += 1
                key = told.url, met[told.url]
                self._told.setdefault(key, {})[worker] = told
                self._tell_if_all_have(key)
        except (aiohttp.ClientError, msgspec.DecodeError):
            self.dead += 1
            self._silent.add(worker)
            for left in tuple(self._told):
                self._tell_if_all_have(left)
        self._talking -= 1
        self.ready.put_nowait(b"")

    def _tell_if_all_have(self, key: tuple[str, int]) -> None:
        told = self._told[key]
        if all(worker in told or worker in self._silent for worker in self._workers):
            del self._told[key]
            self.ready.put_nowait(msgspec.json.encode(worst([*told.values()])) + b"\n")
