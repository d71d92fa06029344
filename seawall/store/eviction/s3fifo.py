"""S3-FIFO: three queues, and what is asked once leaves soon (Yang, Zhang, Qiu, Yue, Rashmi: SOSP'23).

A newcomer enters the small queue. When its turn comes there, it moves on to the main queue if it was used more
than once meanwhile; otherwise it leaves, and its name becomes a ghost. A ghost that comes back goes straight to
the main queue. In the main queue each use, up to three, buys another round. A scan therefore passes through a
tenth of the budget and touches nothing else.

Sizes vary, so queues are measured in bytes, as the paper does; an object that is larger than the small queue's
share passes through it all the same, and is then the first to go.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from seawall.store.eviction.ghosts import Ghosts

# Section 4.1 of the paper: 10 % of the space, as many ghosts as the main queue holds, moves on after two uses.
SMALL_SHARE = 0.1
GHOST_SHARE = 0.9
USES_TO_MOVE_ON = 2

# A record is the cost and the uses in one number, cost << 2 | uses: one dict lookup and no object for each name.
# With a slotted record object a touch costs about the same, and a name 64 bytes more.
_USES = 3


class S3FIFO:
    """S3-FIFO. O(1) amortised: a name goes round the main queue at most once for each use that was counted.

    Two things as in its authors' libCacheSim and not in the paper's pseudo-code: until something had to
    leave for the first time, what the small queue has no room for goes to the main queue; and the main queue
    gives way only while it is above its share or the small one is empty.
    """

    __slots__ = ("_crowded", "_ghosts", "_main", "_main_bytes", "_main_share", "_small", "_small_share",
                 "budget_bytes", "used_bytes")  # fmt: skip

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.used_bytes = 0
        self._small: OrderedDict[Hashable, int] = OrderedDict()  # name to record, oldest first
        self._main: OrderedDict[Hashable, int] = OrderedDict()
        self._main_bytes = 0
        self._small_share = int(budget_bytes * SMALL_SHARE)
        self._main_share = budget_bytes - self._small_share
        self._ghosts = Ghosts(int(budget_bytes * GHOST_SHARE))
        self._crowded = False  # something had to leave since it was empty

    def touch(self, name: Hashable) -> None:
        """TOUCH_NS"""
        main = self._main
        record = main.get(name)
        if record is not None:
            if record & _USES != _USES:
                main[name] = record + 1
            return
        small = self._small
        record = small.get(name)
        if record is not None and record & _USES != _USES:
            small[name] = record + 1

    def admit(self, name: Hashable, cost_bytes: int, expires_at: float | None = None) -> list[Hashable] | None:
        if cost_bytes > self.budget_bytes:
            return None
        self.touch(name)
        in_main, uses = self._take(name)
        if uses is None:
            uses, in_main = 0, self._ghosts.take(name) or self._overflows()
        victims: list[Hashable] = []
        while self.used_bytes + cost_bytes > self.budget_bytes:
            self._evict(victims)
        if not self.used_bytes
