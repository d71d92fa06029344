"""S3-FIFO: three queues, and what is asked once leaves soon (Yang, Zhang, Qiu, Yue, Rashmi: SOSP'23).

A newcomer enters the small queue. When its turn comes there, it moves on to the main queue if it was used more
than once meanwhile; otherwise it leaves, and its name becomes a ghost. A ghost that comes back goes straight to
the main queue. In the main queue each use, up to three, buys another round. A scan therefore passes through a
tenth of the budget and touches nothing else.

Sizes vary, so queues are measured in bytes, as the paper does; an object that is larger than the small queue's
share passes through it all the same, and is then the first to go.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from seawall.store.eviction.ghosts import Ghosts
from seawall.store.eviction.rows import USES, Register, Row
from seawall.store.shards import TOP

# Section 4.1 of the paper: 10 % of the space, as many ghosts as the main queue holds, moves on after two uses.
SMALL_SHARE = 0.1
GHOST_SHARE = 0.9
USES_TO_MOVE_ON = 2

# So many in a row may stay for their uses, 3 ms; then the next one leaves all the same. The paper has no such bound: a
# million objects that were all used go round three times before the first of them leaves, 1.4 s for one admission.
MOST_SPARED = 4096


class S3FIFO:
    """S3-FIFO. O(1) amortised: a name goes round the main queue at most once for each use that was counted; never more
    than MOST_SPARED a queue for one that leaves.

    Two things as in its authors' libCacheSim and not in the paper's pseudo-code: until something had to
    leave for the first time, what the small queue has no room for goes to the main queue; and the main queue
    gives way only while it is above its share or the small one is empty.

    `more_uses`: uses that were counted elsewhere since it was last called for this name. They are asked for when it is
    a name's turn, and until then its record is not touched for a use: 0.5 us of main memory, where there are many.
    """

    __slots__ = ("_crowded", "_ghosts", "_main", "_main_share", "_more_uses", "_names", "_records", "_small",
                 "_small_share", "budget_bytes")  # fmt: skip

    def __init__(self, budget_bytes: int, more_uses: Callable[[Hashable], int] = lambda name: 0) -> None:
        self.budget_bytes = budget_bytes
        self._more_uses = more_uses
        self._names = Register(budget_bytes)
        self._records = self._names.records
        self._small = Row(self._names)
        self._main = Row(self._names)
        self._small_share = int(budget_bytes * SMALL_SHARE)
        self._main_share = budget_bytes - self._small_share
        self._ghosts = Ghosts(int(budget_bytes * GHOST_SHARE))
        self._crowded = False  # something had to leave since it was empty

    @property
    def used_bytes(self) -> int:
        return self._small.bytes + self._main.bytes

    def touch(self, name: Hashable) -> None:
        """One use more, up to three; its place stays."""
        records = self._records[hash(name) >> TOP]
        record = records.get(name)
        if record is not None and record & USES != USES:
            records[name] = record + 1

    def admit(self, name: Hashable, cost_bytes: int, expires_at: float | None = None) -> list[Hashable] | None:
        if cost_bytes > self.budget_bytes:
            return None
        known = self._records[hash(name) >> TOP].get(name)
        row, uses = None, 0
        if known is not None:
            row = self._main if self._main.holds(known) else self._small
            if cost_bytes <= self._names.cost_of(known):
                row.reprice(name, cost_bytes)
                return []
            uses = known & USES
            self.forget(name)
        elif self._ghosts.take(name):
            row = self._main
        elif self._crowded and not len(self):
            self._crowded = False
        victims: list[Hashable] = []
        small, main, most = self._small, self._main, self.budget_bytes - cost_bytes
        while small.bytes + main.bytes > most:
            self._crowded = True
            if main.bytes > self._main_share or not len(small):
                self._evict_main(victims)
            else:
                self._evict_small(victims)
        (self._entrance() if row is None else row).add(name, cost_bytes, uses)
        return victims

    def forget(self, name: Hashable) -> None:
        record = self._records[hash(name) >> TOP].pop(name, 0)
        if record and not self._main.leave(name, record):
            self._small.leave(name, record)

    def __len__(self) -> int:
        return len(self._small) + len(self._main)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __repr__(self) -> str:
        queues = f"{len(self._small)} small, {len(self._main)} main, {len(self._ghosts)} ghosts"
        return f"<S3FIFO {queues}, {self.used_bytes}/{self.budget_bytes} bytes>"

    def check(self) -> None:
        self._small.check()
        self._main.check()
        small, main = set(self._small), set(self._main)
        assert small.isdisjoint(main)  # noqa: S101
        assert small | main == set(self._names)  # noqa: S101
        assert self.used_bytes <= self.budget_bytes  # noqa: S101
        self._ghosts.check()

    def _entrance(self) -> Row:
        """The queue that a newcomer goes to."""
        overflows = not self._crowded and self._small.bytes >= self._small_share
        return self._main if overflows else self._small

    def _evict_small(self, victims: list[Hashable]) -> None:
        """One leaves, and what was used before it moves on; or all of them move on."""
        small, main, more_uses = self._small, self._main, self._more_uses
        for _ in range(MOST_SPARED):
            name, cost_bytes, uses = small.pop()
            if uses + more_uses(name) < USES_TO_MOVE_ON:
                self._ghosts.add(name, cost_bytes)
                victims.append(name)
                return
            main.add(name, cost_bytes)  # "its access bits are cleared during the move"
            if not len(small):
                return

    def _evict_main(self, victims: list[Hashable]) -> None:
        """One leaves; what was used before it goes round again, one use poorer."""
        main, more_uses = self._main, self._more_uses
        name, cost_bytes, uses = main.pop()
        for _ in range(MOST_SPARED):
            uses = min(uses + more_uses(name), USES)
            if not uses:
                break
            main.add(name, cost_bytes, uses - 1)
            name, cost_bytes, uses = main.pop()
        victims.append(name)
