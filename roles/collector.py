"""Garbage collection that does not stop the node: what has lived for a while is not looked at again.

CPython's collector visits every container that is alive, from time to time. With a million stored objects that is
half a second in which nobody is answered, to find nothing: what is stored is freed by its reference count. So after
each collection of the two young generations the survivors are frozen, which costs the same however many there are.
What becomes a cycle of garbage after it was frozen is never freed; connections, tasks and flights take their cycles
apart when they end (tests/roles/test_collector.py counts).

By itself CPython collects after so many containers were made *more than freed*. A full store frees an old object for
each new one, so that its young generation grows and grows: 125,000 after 600,000 evictions, and then a visit of 37 ms.
So rounds() collects by time as well, and the middle generation by how long the youngest took: no step above 3 ms,
whatever comes and goes.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

# Net allocations from one young collection to the next: 1 ms of work.
YOUNG = 5_000
# And of those to one of the middle generation, where rounds() do not come to it, because the loop does not turn.
MIDDLE = 8
NEVER = 1 << 30
# Young collections that took so long together have left so much that it is looked at once more, and frozen.
MIDDLE_SECONDS = 0.001
# From one round to the next: under load 2.4 ms is the longest step with 10 ms, 3 with 20. Where a round finds next to
# nothing the next one is later, so that an idle node wakes up a dozen times a second for it, for 10 us.
ROUND_SECONDS = 0.010
IDLE_ROUND_SECONDS = 0.080
_NOTHING_SECONDS = 50e-6

# How long a thread keeps the interpreter while another waits for it; CPython's own is 5 ms. The threads of the disk
# work in steps of a tenth of that, and the event loop is not to wait for more than one of them.
SWITCH_SECONDS = 0.0005


class _Watch:
    """How long collections took: what there was to look at cannot be asked."""

    def __init__(self) -> None:
        self._began = 0.0
        self.last = 0.0
        self.young = 0.0  # since the last one that froze

    def __call__(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.perf_counter()
            return
        self.last = time.perf_counter() - self._began
        if info["generation"] >= 1:
            gc.freeze()
            self.young = 0.0
        else:
            self.young += self.last


_watch = _Watch()


def tame() -> None:
    """For this process, from now on."""
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, NEVER)
    if _watch not in gc.callbacks:
        gc.callbacks.append(_watch)


@contextmanager
def rounds() -> Iterator[None]:
    """Collects on the running loop, every ROUND_SECONDS while there is something to look at. After tame()."""
    loop = asyncio.get_running_loop()
    pause = ROUND_SECONDS
    timer: asyncio.TimerHandle

    def go() -> None:
        nonlocal pause, timer
        gc.collect(1 if _watch.young >= MIDDLE_SECONDS else 0)
        pause = ROUND_SECONDS if _watch.last > _NOTHING_SECONDS else min(2 * pause, IDLE_ROUND_SECONDS)
        timer = loop.call_later(pause, go)

    timer = loop.call_later(pause, go)
    try:
        yield
    finally:
        timer.cancel()
