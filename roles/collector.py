"""Garbage collection that does not stop the node: what has lived for a while is not looked at again.

CPython's collector visits every container that is alive, from time to time. With a million stored objects that is
half a second in which nobody is answered, to find nothing: what is stored is freed by its reference count. So after
each collection of the two young generations the survivors are frozen, which costs the same however many there are.
What becomes a cycle of garbage after it was frozen is never freed; connections, tasks and flights take their cycles
apart when they end (tests/roles/test_collector.py counts).
"""

from __future__ import annotations

import gc
import sys

# Net allocations from one young collection to the next, and of those to one of the middle generation: 4 ms of work.
YOUNG = 5_000
MIDDLE = 4
NEVER = 1 << 30


# How long a thread keeps the interpreter while another waits for it; CPython's own is 5 ms. The threads of the disk
# work in steps of a tenth of that, and the event loop is not to wait for more than one of them.
SWITCH_SECONDS = 0.0005


def tame() -> None:
    """For this process, from now on."""
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, NEVER)
    if _freeze not in gc.callbacks:
        gc.callbacks.append(_freeze)


def _freeze(phase: str, info: dict[str, int]) -> None:
    if phase == "stop" and info["generation"] >= 1:
        gc.freeze()
