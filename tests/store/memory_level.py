"""MemoryStore behind the contract of a lower level: the plainest one there is, to hold the contract itself to."""

from __future__ import annotations

from collections.abc import Sequence

from seawall.policy.invalidate import invalidated, stale_from
from seawall.store.level import Forget, Found, How, LevelUsage, Op, Put, Reset, Spool, Stamp, Used, Wrote
from seawall.store.memory import MemoryStore
from seawall.store.stored import Stored


class MemoryLevel:
    """See seawall.store.level.Level. `store` is its owner's to look at."""

    tier = "memory"
    shared = False

    def __init__(self, budget_bytes: int) -> None:
        self.store = MemoryStore(budget_bytes)
        self.stamp = Stamp()

    async def read(self, key: str) -> Found:
        return Found(self.store.get(key), self.stamp)

    async def write(self, ops: Sequence[Op]) -> list[Wrote]:
        return [self._do(op) for op in ops]

    def spool(self) -> Spool | None:
        return None

    def usage(self) -> LevelUsage:
        return LevelUsage(self.store.used_bytes, len(self.store), self.store.evicted)

    async def close(self) -> None:
        self.store.close()

    def _do(self, op: Op) -> Wrote:
        match op:
            case Put(item, stamp):
                if stamp.journal != self.stamp.journal or stamp.number < self.stamp.number:
                    return Wrote(refused="overtaken")
                return Wrote(refused=None if self.store.put(item) else "too-large")
            case Forget():
                return self._forget(op)
            case Reset(stamp):
                self.stamp = stamp
                for item in self.store.items():
                    self.store.refresh(item, invalidated(item.entry))
                return Wrote()
            case Used():
                return Wrote()

    def _forget(self, op: Forget) -> Wrote:
        if op.after is not None:
            if op.after.journal == self.stamp.journal and op.after.number <= self.stamp.number:
                return Wrote(met={})
            self.stamp = op.after
        met = [item for item in self.store.items() if op.names.selects(item.name, item.key, item.entry.tags)]
        for item in met:
            self._forget_one(item, op)
        return Wrote(met={item.name: item.body_bytes for item in met})

    def _forget_one(self, item: Stored, op: Forget) -> None:
        match op.how:
            case How.DROP:
                self.store.discard(item)
            case How.STALE:
                self.store.refresh(item, stale_from(item.entry, op.at))
            case How.INVALIDATE:
                self.store.refresh(item, invalidated(item.entry))
            case How.COUNT:
                pass
