"""Threads for what would block the event loop: a few of them, each job in its turn, every wait bounded.

Knows no disk. Not concurrent.futures: a disk that hangs must not hang the end of the process, so these are daemons;
a thread keeps connections of its own, so it is told when it leaves; and a job may be posted that nobody waits for.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Generic, TypeVar

from seawall.store.level import LevelDown

T = TypeVar("T")


class TooSlow(LevelDown):
    """The disk has not answered in time."""


# Who would wait behind so many others does better without the level.
MOST_WAITING = 512


class Crew:
    """Owned by one level and one event loop; its jobs begin in the order in which they were given."""

    def __init__(self, name: str, threads: int, *, leave: Callable[[], None]) -> None:
        """`leave` is called in each thread as its last deed."""
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[_Job[object] | Callable[[], None] | None] = SimpleQueue()
        self._leave = leave
        self._waiting = 0
        self._left = 0
        self._all_left = asyncio.Event()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True) for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    async def run(self, work: Callable[[], T], within: float) -> T:
        """What `work` returns or raises. Raises LevelDown where it takes longer: then it may still be done."""
        if self._closed:
            raise LevelDown("closed")
        if self._waiting >= MOST_WAITING:
            raise LevelDown("too many wait for it")
        job: _Job[T] = _Job(work, self._loop.create_future())
        self._waiting += 1
        self._jobs.put(job)  # type: ignore[arg-type]  # a queue of all kinds
        try:
            async with asyncio.timeout(within):
                return await job.result
        except TimeoutError:
            raise TooSlow(f"no answer within {within:g} s") from None

    def post(self, work: Callable[[], None]) -> None:
        """Has it done some time, by nobody's leave: what it raises is lost. From any thread; dropped after close()."""
        if not self._closed:
            self._jobs.put(work)

    def each(self, work: Callable[[], None], within: float) -> None:
        """As post(), in every thread once; where one of them is busy for longer than that, the others go first and
        some may do it twice."""
        together = threading.Barrier(len(self._threads))

        def once() -> None:
            with suppress(threading.BrokenBarrierError):
                together.wait(within)
            work()

        for _ in self._threads:
            self.post(once)

    async def drain(self, within: float) -> None:
        """Waits until everything given so far is done, what was posted too."""
        together = threading.Barrier(len(self._threads))
        await asyncio.gather(*(self.run(lambda: together.wait(within), within) for _ in self._threads))

    async def close(self, within: float) -> bool:
        """Lets the threads finish what was given and leave; whether all have left in time."""
        if not self._closed:
            self._closed = True
            for _ in self._threads:
                self._jobs.put(None)
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._all_left.wait()
        return self._all_left.is_set()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if isinstance(job, _Job):
                job.do()
                self._tell(self._done, job)
            else:
                with suppress(Exception):
                    job()
            del job  # or an idle thread would keep alive what its last job held
        with suppress(Exception):
            self._leave()
        self._tell(self._gone)

    def _tell(self, what: Callable[..., None], *told: object) -> None:
        with suppress(RuntimeError):  # the loop has ended: nobody is left to be told
            self._loop.call_soon_threadsafe(what, *told)

    def _done(self, job: _Job[object]) -> None:
        self._waiting -= 1
        job.tell()

    def _gone(self) -> None:
        self._left += 1
        if self._left == len(self._threads):
            self._all_left.set()


class _Job(Generic[T]):
    """Work, and who waits for it. A job whose waiter has left before its turn is not begun."""

    __slots__ = ("error", "result", "value", "work")

    def __init__(self, work: Callable[[], T], result: asyncio.Future[T]) -> None:
        self.work: Callable[[], T] | None = work
        self.result = result
        self.value: T | None = None
        self.error: BaseException | None = None

    def do(self) -> None:
        """In a thread."""
        if self.work is not None and not self.result.done():
            try:
                self.value = self.work()
            except BaseException as error:  # noqa: BLE001, RUF100 (it is the waiter's)
                self.error = error
        self.work = None

    def tell(self) -> None:
        """On the event loop."""
        if self.result.done():
            return
        if self.error is not None:
            self.result.set_exception(self.error)
        else:
            self.result.set_result(self.value)  # type: ignore[arg-type]  # do() was here
        self.error = None
