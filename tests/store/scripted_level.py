"""A lower level whose every step the story holds, lets go, breaks or refuses. Lives in memory, keeps the contract.

Steps, in the order in which an operation takes them: `read` (asked), `seen` (looked, not yet told); `write` (asked),
`wrote` (done, not yet told); `spool.write`, `spool.read`, `spool.finish`; `open` (of a body that lies here).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

from seawall.http.body import BodyBroken
from seawall.policy.invalidate import invalidated, stale_from
from seawall.store.level import Forget, Found, How, LevelDown, LevelUsage, Op, Put, Reset, Stamp, Used, Wrote
from seawall.store.memory import supersedes
from seawall.store.stored import Gone, Stored, stored


class ScriptedLevel:
    """`objects` by name, `stamp`, and every operation it was ever given in `given` are for the story to look at."""

    def __init__(self, *, shared: bool = False, whole_bytes: int = 1 << 30, tier: str = "scripted") -> None:
        """`whole_bytes`: a larger body is told as Filed."""
        self.tier = tier
        self.shared = shared
        self.objects: dict[str, Stored] = {}
        self.stamp = Stamp()
        self.given: list[Op] = []
        self.reached: Counter[str] = Counter()
        self.closed = False
        self.spools: list[ScriptedSpool] = []
        self.takes_spools = True
        self.spool_lag = 0  # pieces that a spool has taken and cannot give back yet
        self.refuses: Callable[[Put], str | None] = lambda put: None
        self.tears_at: int | None = None  # the operation of a batch at which the next write breaks
        self.whole_bytes = whole_bytes
        self._held: dict[str, asyncio.Event] = {}
        self._broken: Counter[str] = Counter()

    # --- the story's side ---

    def hold(self, step: str) -> None:
        """Whoever comes to this step waits there."""
        self._held.setdefault(step, asyncio.Event())

    def let_go(self, step: str) -> None:
        """All who wait at this step go on, and those who come."""
        held = self._held.pop(step, None)
        if held is not None:
            held.set()

    def let_one_go(self, step: str) -> None:
        """Those who wait at this step by now go on; who comes later waits."""
        self.let_go(step)
        self.hold(step)

    def break_down(self, step: str, times: int = 1 << 30) -> None:
        """This step fails with LevelDown, so often."""
        self._broken[step] = times

    def mend(self, *steps: str) -> None:
        """These steps do not fail any more; none named: all."""
        for step in steps or tuple(self._broken):
            del self._broken[step]

    def goes_down(self) -> None:
        """Nothing works."""
        for step in ("read", "write", "spool.write", "spool.read", "spool.finish"):
            self.break_down(step)
        self.takes_spools = False

    def holds(self, item: Stored) -> None:
        """It has this, from another process or from before."""
        for old in self._superseded_by(item):
            del self.objects[old.name]
        self.objects[item.name] = item

    def done(self, kind: type[Op]) -> int:
        """How many operations of this kind it was given."""
        return sum(isinstance(op, kind) for op in self.given)

    # --- the level ---

    async def read(self, key: str) -> Found:
        await self.step("read")
        found = Found(tuple(self._told(item) for item in self.objects.values() if item.key == key), self.stamp)
        await self.step("seen")
        return found

    async def write(self, ops: Sequence[Op]) -> list[Wrote]:
        await self.step("write")
        wrote = []
        for at, op in enumerate(ops):
            if self.tears_at == at:
                self.tears_at = None
                raise LevelDown("torn")
            self.given.append(op)
            wrote.append(self._do(op))
        await self.step("wrote")
        return wrote

    def spool(self) -> ScriptedSpool | None:
        if not self.takes_spools:
            return None
        self.spools.append(ScriptedSpool(self))
        return self.spools[-1]

    def usage(self) -> LevelUsage:
        return LevelUsage(sum(item.body_bytes for item in self.objects.values()), len(self.objects))

    async def close(self) -> None:
        self.closed = True

    async def step(self, name: str) -> None:
        """The operation has come to this step."""
        self.reached[name] += 1
        held = self._held.get(name)
        if held is not None:
            await held.wait()
        if self._broken[name] > 0:
            self._broken[name] -= 1
            raise LevelDown(f"{name}, as the story will have it")

    # --- small steps ---

    def _told(self, item: Stored) -> Stored:
        body = item.body
        if isinstance(body, tuple) and item.body_bytes > self.whole_bytes:
            return stored(item.key, item.entry, ScriptedFiled(self, b"".join(body), item.name))
        return stored(item.key, item.entry, body)

    def _superseded_by(self, item: Stored) -> list[Stored]:
        return [old for old in self.objects.values() if old.key == item.key and supersedes(item.entry, old.entry)]

    def _do(self, op: Op) -> Wrote:
        match op:
            case Put():
                return Wrote(refused=self._put(op))
            case Forget():
                return self._forget(op)
            case Reset(stamp):
                as_far = stamp.journal == self.stamp.journal and stamp.number <= self.stamp.number
                if self.shared and as_far:
                    return Wrote()
                self.stamp = stamp
                for item in tuple(self.objects.values()):
                    self.objects[item.name] = stored(item.key, invalidated(item.entry), item.body)
                return Wrote()
            case Used():
                return Wrote()

    def _put(self, put: Put) -> str | None:
        known, now = self.stamp, put.stamp
        other_generation = not self.shared and now.generation != known.generation
        if now.journal != known.journal or other_generation or now.number < known.number:
            return "overtaken"
        refused = self.refuses(put)
        if refused is not None:
            return refused
        self.holds(put.item)
        return None

    def _forget(self, op: Forget) -> Wrote:
        if op.after is not None:
            if op.after.journal == self.stamp.journal and op.after.number <= self.stamp.number:
                return Wrote(met={})
            self.stamp = op.after
        met = [item for item in self.objects.values() if op.names.selects(item.name, item.key, item.entry.tags)]
        for item in met:
            match op.how:
                case How.DROP:
                    del self.objects[item.name]
                case How.STALE:
                    self.objects[item.name] = stored(item.key, stale_from(item.entry, op.at), item.body)
                case How.INVALIDATE:
                    self.objects[item.name] = stored(item.key, invalidated(item.entry), item.body)
                case How.COUNT:
                    pass
        return Wrote(met={item.name: item.body_bytes for item in met})


class ScriptedFiled:
    """A body that lies in the level for as long as an object of its name does, once it did."""

    def __init__(self, level: ScriptedLevel, octets: bytes, name: str | None = None) -> None:
        self.octets = octets
        self.length = len(octets)
        self.opened = 0
        self.gone = False
        self._level = level
        self._name = name

    async def open(self, first: int, stop: int) -> ScriptedReader:
        try:
            await self._level.step("open")
        except LevelDown as down:
            raise Gone(str(down)) from down
        if self.gone or (self._name is not None and self._name not in self._level.objects):
            raise Gone("it was dropped")
        self.opened += 1
        return ScriptedReader(self.octets[first:stop])


class ScriptedReader:
    """In pieces of three octets, so that there are several."""

    def __init__(self, octets: bytes) -> None:
        self.length = len(octets)
        self.closed = False
        self._left = octets

    async def read(self) -> bytes:
        if self.closed:
            raise BodyBroken("closed")
        piece, self._left = self._left[:3], self._left[3:]
        return piece

    def close(self) -> None:
        self.closed = True


class ScriptedSpool:
    """`taken` is what it was given; what it can give back is `spool_lag` pieces less."""

    def __init__(self, level: ScriptedLevel) -> None:
        self.taken: list[bytes] = []
        self.aborted = False
        self.finished: ScriptedFiled | None = None
        self._level = level

    @property
    def written(self) -> int:
        if self.finished is not None:
            return self.finished.length
        return sum(map(len, self.taken[: max(len(self.taken) - self._level.spool_lag, 0)]))

    async def write(self, piece: bytes) -> None:
        assert not self.aborted
        assert self.finished is None
        await self._level.step("spool.write")
        self.taken.append(piece)

    async def read(self, at: int, most: int) -> bytes:
        assert 0 <= at < self.written
        assert most > 0
        await self._level.step("spool.read")
        return b"".join(self.taken)[at : min(at + most, self.written)]

    async def finish(self) -> ScriptedFiled:
        await self._level.step("spool.finish")
        self.finished = ScriptedFiled(self._level, b"".join(self.taken))
        return self.finished

    def abort(self) -> None:
        self.aborted = True
