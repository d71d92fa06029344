"""Memory over disk over Redis: one store for the engine.

Memory is asked at once and answers at once; what it does not hold may be promoted from below, once for all who ask
at the same time. What is stored goes to memory now and to the levels below in the background (behind.py). What is
forgotten is forgotten everywhere from the same moment on: below that is a promise about what is read, kept by
Behind and by the stamps, not about when the disk has done it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from seawall.policy.entry import Entry
from seawall.store.bans import Ban
from seawall.store.behind import Behind
from seawall.store.level import Forget, How, Level, LevelDown, Names, Put, Spool, Stamp
from seawall.store.memory import MemoryStore, supersedes
from seawall.store.stored import Stored, stored

# A level that does not say within this time whether it holds something is a miss.
READ_SECONDS = 1.0
# Overtaken objects in one turn of the event loop: 1 ms where they go, 3 where they become stale.
AT_A_TIME = 100
# A level that follows another journal is told of ours, and then has so long to take it in.
RESET_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Promoted:
    """What memory would not take of what was found below: good for the one request, and while `epoch` is today's.

    An epoch ends when anything is forgotten or stored."""

    items: tuple[Stored, ...]
    epoch: int


@dataclass(frozen=True, slots=True)
class Held:
    """One level and what it holds, for telemetry."""

    tier: str
    bytes: int
    entries: int
    evicted: int
    damaged: int
    failures: int
    lost: Mapping[str, int]
    waiting: int


NOTHING = Promoted((), -1)


class Levels:
    """Owner of the memory level and of those below it, upper first.

    `stamp` is where this process stands in the purge orders; `survived(stamp, item)` whether an object on
    which every order up to `stamp` was carried out is touched by none that came since. `now` is
    seconds since the epoch. `shared_seconds`: how long memory may serve what a shared level holds too. `several`: other
    processes of this node write to its own levels. `trusted`: is this process up to date with the orders?
    """

    def __init__(
        self,
        memory: MemoryStore,
        lower: Sequence[Level] = (),
        *,
        now: Callable[[], float],
        stamp: Callable[[], Stamp] = Stamp,
        survived: Callable[[Stamp, Stored], bool] = lambda stamp, item: True,
        shared_seconds: float = math.inf,
        several: bool = False,
        trusted: Callable[[], bool] = lambda: True,
    ) -> None:
        self.memory = memory
        self._now = now
        self._stamp = stamp
        self._survived = survived
        self._trusted = trusted
        self._lower = tuple(Behind(level, renewed=self._renewed, refused=self._refused, stamp=stamp) for level in lower)
        self._shared_seconds = shared_seconds if any(level.shared for level in lower) else math.inf
        self.shared = several or any(level.shared for level in lower)
        self._promotions: dict[str, asyncio.Task[Promoted]] = {}
        self._reset_at: dict[Behind, float] = {}
        self._epoch = 0
        self._catching_up: asyncio.Handle | None = None

    @property
    def deep(self) -> bool:
        """Is there anything below memory?"""
        return bool(self._lower)

    @property
    def busy(self) -> bool:
        """Is something left to be done about what was overtaken?"""
        return self._catching_up is not None

    # --- what memory answers ---

    def get(self, key: str) -> tuple[Stored, ...]:
        """All variants and parts under the key in memory; () where there are none."""
        return self.memory.get(key)

    def touch(self, item: Stored) -> None:
        """It was served."""
        self.memory.touch(item)

    # --- what is stored ---

    def put(self, item: Stored) -> bool:
        """Takes it in, in place of what it supersedes. False: no level can."""
        self._epoch += 1
        item = self._to_look_again(item)
        kept = self.memory.put(item)
        if not kept:
            self._make_way_for(item)
        for behind in self._lower:
            behind.put(item, self._stamp())
        return kept or self.deep

    def refresh(self, old: Stored, entry: Entry) -> Stored | None:
        """The same body under a new entry. None: see MemoryStore.refresh; the levels below have it all the same where
        memory had only no room for it."""
        if old not in self.memory.get(old.key):
            return None
        self._epoch += 1
        kept = self.memory.refresh(old, entry)
        new = self._to_look_again(kept or stored(old.key, entry, old.held))
        if kept is None:
            self._make_way_for(new)
        elif new is not kept:
            self.memory.put(new)
        if new.name != old.name:
            # It varies on something else now: what lies below under its former name is no longer true.
            self._below(Forget(Names(exact=(old.name,)), How.DROP, self._now()))
        for behind in self._lower:
            behind.put(new, self._stamp())
        return None if kept is None else new

    def discard(self, item: Stored) -> None:
        """This one is gone, on every level. What has come in its place since stays."""
        for held in self.memory.get(item.key):
            if held.name == item.name:
                if held.entry is not item.entry:
                    return
                self.memory.discard(held)
        self._below(Forget(Names(exact=(item.name,)), How.DROP, self._now()))

    def overtake(self, items: Collection[Stored], how: Callable[[Entry], Entry] | None) -> None:
        """In memory, none of these is found any more as it is (MemoryStore.overtake). A few are done at once; what
        others need is done in the next turns of the loop."""
        self.memory.overtake(items, how)
        if self._catching_up is None:
            self._catch_up()

    def ban(self, prefixes: tuple[str, ...], how: Callable[[Entry], Entry] | None, *, named: bool = False) -> Ban:
        """The same for everything in memory that is stored under keys which begin like this (MemoryStore.ban)."""
        ban = self.memory.ban(prefixes, how, named=named)
        if self._catching_up is None:
            self._catching_up = asyncio.get_running_loop().call_soon(self._catch_up)
        return ban

    def forget(self, names: Names, how: How, after: Stamp | None) -> asyncio.Future[Mapping[str, int]] | None:
        """Nothing of what is selected is promoted any more, except as `how` leaves it. Memory is the caller's.

        `after`: the stamp that holds then, where an order asks. The future is what the node's own levels met, by
        name and octets; None where it has none, also where what lies below is shared.
        """
        return self._below(Forget(names, how, self._now(), after))

    def reset(self, stamp: Stamp) -> None:
        """Orders were lost: nothing from below may be served without asking. Memory is the caller's."""
        self._epoch += 1
        for behind in self._lower:
            behind.reset(stamp)

    # --- what lies below ---

    async def promote(self, key: str) -> Promoted:
        """Looks below for the key, and brings what is there into memory. Once, however many ask. Never raises but
        CancelledError."""
        task = self._promotions.get(key)
        if task is None:
            task = self._promotions[key] = asyncio.get_running_loop().create_task(self._promote(key))
            task.add_done_callback(lambda _: self._promotions.pop(key))
        return await asyncio.shield(task)

    def stands(self, promoted: Promoted) -> bool:
        """Was nothing forgotten or stored since this was found?"""
        return promoted.epoch == self._epoch

    def spool(self) -> Spool | None:
        """A way in for a body that is too large for memory; None where no level takes one."""
        for behind in self._lower:
            if not behind.down and (spool := behind.level.spool()) is not None:
                return spool
        return None

    async def settled(self, key: str) -> None:
        """Returns when what was put under this key is where others find it, or is lost."""
        for behind in self._lower:
            await behind.settled(key)

    async def written(self, seconds: float) -> bool:
        """Waits until everything is where it belongs, or for so long; whether it is."""
        results = await asyncio.gather(*(behind.flush(seconds) for behind in self._lower))
        return all(results)

    def held(self) -> list[Held]:
        """What each level holds and has counted, upper first."""
        memory = self.memory
        found = [Held("memory", memory.used_bytes, len(memory), memory.evicted, 0, 0, {}, 0)]
        for behind in self._lower:
            usage = behind.level.usage()
            found.append(
                Held(
                    behind.level.tier,
                    usage.bytes,
                    usage.entries,
                    usage.evicted,
                    usage.damaged,
                    usage.failures,
                    behind.lost,
                    len(behind),
                )
            )
        return found

    async def close(self, seconds: float) -> None:
        """Writes what waits for up to so long, and lets everything go."""
        if self._catching_up is not None:
            self._catching_up.cancel()
        for task in tuple(self._promotions.values()):
            task.cancel()
        await asyncio.gather(*self._promotions.values(), return_exceptions=True)
        await asyncio.gather(*(behind.close(seconds) for behind in self._lower))
        self.memory.close()

    # --- small steps ---

    def _catch_up(self) -> None:
        self._catching_up = None
        if self.memory.catch_up(AT_A_TIME):
            self._catching_up = asyncio.get_running_loop().call_soon(self._catch_up)

    async def _promote(self, key: str) -> Promoted:
        # What memory holds, the node's own levels hold too: only others can have something newer.
        only_shared = any(item.look_again_at <= self._now() for item in self.memory.get(key))
        left_over: list[Stored] = []
        epoch = self._epoch
        for place, behind in enumerate(self._lower):
            if only_shared and not behind.level.shared:
                continue
            try:
                async with asyncio.timeout(READ_SECONDS):
                    found = await behind.read(key)
            except (LevelDown, TimeoutError):
                continue
            # No await from here on: what is held against today's orders must be in memory before the next comes.
            if epoch != self._epoch:
                left_over, epoch = [], self._epoch
            if found.stamp.journal != self._stamp().journal:
                self._bring_up_to_date(behind)
            items = [item for item in found.items if self._survived(found.stamp, item)]
            for item in items:
                behind.used(item.name)
                if self._is_known(item, (*self.memory.get(key), *left_over)):
                    continue
                left_over = [each for each in left_over if not supersedes(item.entry, each.entry)]
                if not self.memory.put(self._to_look_again(item)):
                    self._make_way_for(item)
                    left_over.append(item)
                for above in self._lower[:place]:
                    above.put(item, self._stamp())
            if items and not any(below.level.shared for below in self._lower[place + 1 :]):
                break
        self._looked_again(key)
        return Promoted(tuple(left_over), epoch) if left_over else NOTHING

    def _bring_up_to_date(self, behind: Behind) -> None:
        """It follows another journal: restored from a backup, or down when that changed. Ours it would not take."""
        now = self._now()
        if self._trusted() and now - self._reset_at.get(behind, -math.inf) >= RESET_SECONDS:
            self._reset_at[behind] = now
            if not behind.resetting:
                behind.reset(self._stamp())

    def _is_known(self, item: Stored, others: Sequence[Stored]) -> bool:
        """Does one of the others stand in its place that is as new?"""
        for other in others:
            replaces = supersedes(item.entry, other.entry)
            newer = replaces and item.entry.stored_at > other.entry.stored_at
            if not newer and (replaces or supersedes(other.entry, item.entry)):
                return True
        return False

    def _make_way_for(self, item: Stored) -> None:
        """Memory would not have it; what it was to supersede there is older than what clients are given now."""
        for old in self.memory.get(item.key):
            if supersedes(item.entry, old.entry):
                self.memory.discard(old)

    def _looked_again(self, key: str) -> None:
        """What memory holds of the key is good for another while."""
        if not math.isinf(self._shared_seconds):
            now = self._now()
            for item in self.memory.get(key):
                if item.look_again_at <= now:
                    self.memory.put(self._to_look_again(item))

    def _to_look_again(self, item: Stored) -> Stored:
        if math.isinf(self._shared_seconds):
            return item
        return stored(item.key, item.entry, item.held, look_again_at=self._now() + self._shared_seconds)

    def _below(self, op: Forget) -> asyncio.Future[Mapping[str, int]] | None:
        if op.how is not How.COUNT:
            self._epoch += 1
        told = None
        for behind in self._lower:
            if op.how is How.COUNT and behind.level.shared:
                continue
            met = behind.forget(op)
            if not behind.level.shared:
                told = met
        return told

    def _renewed(self, put: Put) -> Put | None:
        """A Put that was overtaken, with today's stamp, where memory still holds the object: every order that came
        since was held against that."""
        item = put.item
        if any(held.entry is item.entry for held in self.memory.get(item.key)):
            return Put(item, self._stamp())
        return None

    def _refused(self, item: Stored, why: str) -> None:
        """A level has not got it. Where its body was to lie there, there is nothing to serve."""
        if not item.in_memory:
            for held in self.memory.get(item.key):
                if held.entry is item.entry:
                    self.memory.discard(held)
