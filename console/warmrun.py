"""Asking for many URLs: so many at a time, at a pace, until all are done or somebody says stop.

One thread asks for each request under way; what comes back is judged and written down in the caller's thread alone, so
that an interruption finds everything either done or not begun.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread

from console.adminclient import AdminError
from console.warmpace import Pace
from console.warmresult import Result

Ask = Callable[[str], Result]
# Is told of each result in turn; why to stop, or "".
Each = Callable[[Result], str]


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended: with all URLs answered, unless one of these says otherwise."""

    why: str = ""  # it was stopped
    error: AdminError | None = None  # the node refused, or did not answer
    interrupted: bool = False


def run(urls: Sequence[str], ask: Ask, each: Each, *, at_once: int, pace: Pace) -> Ended:
    """Asks for all of them. What is under way when it is to stop is waited for; on Ctrl-C it is not."""
    work: SimpleQueue[int | None] = SimpleQueue()
    results: SimpleQueue[Result | AdminError] = SimpleQueue()

    def serve() -> None:
        while (place := work.get()) is not None:
            try:
                results.put(ask(urls[place]))
            except AdminError as error:
                results.put(error)
            except Exception as error:  # a thread that died silently would be waited for without end
                results.put(AdminError(repr(error)))

    # Daemons: on Ctrl-C nobody waits for an answer that may take a minute.
    workers = [Thread(target=serve, daemon=True) for _ in range(min(at_once, len(urls)))]
    for worker in workers:
        worker.start()
    begun = under_way = 0
    why, failure, interrupted = "", None, False
    try:
        while under_way or (begun < len(urls) and not why):
            patience = None
            if begun < len(urls) and not why and under_way < len(workers):
                patience = pace.wait(time.monotonic())
                if not patience:
                    work.put(begun)
                    begun, under_way = begun + 1, under_way + 1
                    continue
            try:
                result = results.get(timeout=patience)
            except Empty:
                continue
            under_way -= 1
            if isinstance(result, AdminError):
                failure = failure or result
                why = why or str(result)
                continue
            said = each(result)
            why = why or said
    except KeyboardInterrupt:
        interrupted = True
    finally:
        for _ in workers:
            work.put(None)
    return Ended(why, failure, interrupted)
