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
        """One use more, up to three; its place stays. 94 ns (bench/eviction.py)."""
        queue = self._main
        if name not in queue:
            queue = self._small
            if name not in queue:
                return
        record = queue[name]  # in and [] take 61 ns together where one get() takes 71
        if record & _USES != _USES:
            queue[name] = record + 1

    def admit(self, name: Hashable, cost_bytes: int, expires_at: float | None = None) -> list[Hashable] | None:
        if cost_bytes > self.budget_bytes:
            return None
        home, uses = self._home(name), 0
        if home is not None:
            if cost_bytes <= home[name] >> 2:
                self._reprice(home, name, cost_bytes)
                return []
            uses = home[name] & _USES
            self.forget(name)
        elif self._ghosts.take(name):
            home = self._main
        elif not len(self):
            self._crowded = False
        victims: list[Hashable] = []
        while self.used_bytes + cost_bytes > self.budget_bytes:
            self._evict(victims)
        queue = self._entrance() if home is None else home
        queue[name] = uses
        self._reprice(queue, name, cost_bytes)
        return victims

    def forget(self, name: Hashable) -> None:
        record = self._main.pop(name, None)
        if record is not None:
            self._main_bytes -= record >> 2
        else:
            record = self._small.pop(name, 0)
        self.used_bytes -= record >> 2

    def __len__(self) -> int:
        return len(self._small) + len(self._main)

    def __contains__(self, name: object) -> bool:
        return name in self._main or name in self._small

    def __repr__(self) -> str:
        queues = f"{len(self._small)} small, {len(self._main)} main, {len(self._ghosts)} ghosts"
        return f"<S3FIFO {queues}, {self.used_bytes}/{self.budget_bytes} bytes>"

    def check(self) -> None:
        assert self._small.keys().isdisjoint(self._main)  # noqa: S101
        assert self._main_bytes == sum(record >> 2 for record in self._main.values())  # noqa: S101
        small_bytes = sum(record >> 2 for record in self._small.values())
        assert self.used_bytes == self._main_bytes + small_bytes  # noqa: S101
        assert self.used_bytes <= self.budget_bytes  # noqa: S101
        self._ghosts.check()

    def _home(self, name: Hashable) -> OrderedDict[Hashable, int] | None:
        """The queue that it is in."""
        if name in self._main:
            return self._main
        return self._small if name in self._small else None

    def _entrance(self) -> OrderedDict[Hashable, int]:
        """The queue that a newcomer goes to."""
        overflows = not self._crowded and self.used_bytes - self._main_bytes >= self._small_share
        return self._main if overflows else self._small

    def _reprice(self, queue: OrderedDict[Hashable, int], name: Hashable, cost_bytes: int) -> None:
        record = queue[name]
        more = cost_bytes - (record >> 2)
        queue[name] = cost_bytes << 2 | record & _USES
        self.used_bytes += more
        if queue is self._main:
            self._main_bytes += more

    def _evict(self, victims: list[Hashable]) -> None:
        self._crowded = True
        if self._main_bytes > self._main_share or not self._small:
            self._evict_main(victims)
        else:
            self._evict_small(victims)

    def _evict_small(self, victims: list[Hashable]) -> None:
        """One leaves, and what was used before it moves on; or all of them move on."""
        while self._small:
            name, record = self._small.popitem(last=False)
            cost = record >> 2
            if record & _USES >= USES_TO_MOVE_ON:
                self._main[name] = cost << 2  # "its access bits are cleared during the move"
                self._main_bytes += cost
                continue
            self.used_bytes -= cost
            self._ghosts.add(name, cost)
            victims.append(name)
            return

    def _evict_main(self, victims: list[Hashable]) -> None:
        """One leaves; what was used before it goes round again, one use poorer."""
        while True:
            name, record = self._main.popitem(last=False)
            if record & _USES:
                self._main[name] = record - 1
                continue
            self.used_bytes -= record >> 2
            self._main_bytes -= record >> 2
            victims.append(name)
            return
