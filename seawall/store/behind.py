"""The way down into a lower level: what is to be written waits here, and what is read is held against it.

Operations are carried out in the order in which they were given, by one task, in batches. A reader need not wait for
them: what it finds is compared with everything that was given and not yet done when it began to read. So a level
that is slow, full or down gives misses, and never something that was replaced or forgotten.

Bounded: `most_bytes` of bodies and `MOST_OPS` operations. A Put that cannot wait or was not taken becomes a Forget,
which is small: the level would else still hold what it was to supersede. Forgets are never lost; where too many wait,
they become one of everything.

    given ──▶ waiting (in order) ──▶ under way (one batch) ──▶ done
                  └── a newer Put of the same name takes the older one's place out
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from heapq import merge
from typing import NamedTuple

from seawall.policy.entry import Entry, Varied
from seawall.policy.invalidate import invalidated, stale_from
from seawall.store.level import Forget, Found, How, Level, LevelDown, Names, Op, Put, Reset, Stamp, Used, Wrote
from seawall.store.stored import Stored, key_of, stored
from seawall.telemetry import events

MOST_BYTES = 64 << 20
MOST_OPS = 50_000
# One batch is one transaction or one pipeline: large enough to share its cost, small enough to be done soon.
BATCH_OPS = 256
LEAST_OPS = 8  # after failures
BATCH_BYTES = 4 << 20
# A level that is down is tried again after this long.
PAUSE_SECONDS = 1.0


class _Given(NamedTuple):
    number: int
    op: Op
    told: asyncio.Future[Mapping[str, int]] | None = None


class _Taken(NamedTuple):
    """What the last Put or Forget of one name takes from its key. Of a Put, this is all that is kept of it for
    readers: its body would else stay in memory for as long as the level is down."""

    number: int
    key: str
    name: str
    varied: Varied | None  # of a whole response: it takes its parts too (store.memory.supersedes)
    stored_at: float = math.inf  # of what was put: what another node has put since is newer, and stays

    def takes(self, item: Stored) -> bool:
        if item.name == self.name:
            return item.entry.stored_at <= self.stored_at
        return self.varied is not None and item.entry.part is not None and item.entry.varied == self.varied


class Behind:
    """Owner of one level, of what waits for it, and of the task that brings it there.

    `lost` counts, by reason, the objects that the level was to have and has not. `refused` is called with each.
    """

    def __init__(
        self,
        level: Level,
        *,
        renewed: Callable[[Put], Put | None],
        refused: Callable[[Stored, str], None],
        stamp: Callable[[], Stamp] = Stamp,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        """`renewed`: the Put again, with today's stamp, where what it puts still stands; asked where it was
        overtaken. `stamp`: the orders that were given by now."""
        self.level = level
        self.lost: Counter[str] = Counter()
        self._renewed = renewed
        self._refused = refused
        self._stamp = stamp
        self._most_bytes = most_bytes
        self._waiting: OrderedDict[int, _Given] = OrderedDict()  # by number, in order
        self._waiting_bytes = 0
        self._under_way: list[_Given] = []
        self._puts: dict[str, dict[str, _Given]] = {}  # key -> name -> the newest Put, where it is not done
        self._awaited: dict[str, list[asyncio.Future[None]]] = {}  # keys whose Puts somebody waits for
        self._number = 0
        self._done = 0  # every operation up to here is done
        # A batch that fails is begun anew, also with what was done of it. So the next one is half as large: what works
        # only now and then must not stand still for ever because it never works so often in a row.
        self._most_ops = BATCH_OPS
        # What a reader under way may not have seen, from the oldest: by name, also by key, and what names no object.
        self._taken: OrderedDict[str, _Taken] = OrderedDict()
        self._taken_of: dict[str, set[str]] = {}
        self._wide: deque[_Given] = deque()
        self._reading: Counter[int] = Counter()  # what was done when each read under way began
        self._task: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._unread = False  # did the last read fail
        self._unwritten = False  # did the last write
        self._closed = False

    def __len__(self) -> int:
        """How many operations are not done."""
        return len(self._waiting) + len(self._under_way)

    def __repr__(self) -> str:
        state = "closed" if self._closed else "down" if self.down else "up"
        return f"<Behind {self.level.tier} {state} {len(self._waiting)} waiting {len(self._under_way)} under way>"

    @property
    def waiting_bytes(self) -> int:
        return self._waiting_bytes

    @property
    def resetting(self) -> bool:
        """Is it still to be told that orders were lost? Looks at everything that waits."""
        return any(isinstance(given.op, Reset) for given in (*self._under_way, *self._waiting.values()))

    @property
    def down(self) -> bool:
        """Did the last thing that was read or written fail?"""
        return self._unread or self._unwritten

    def put(self, item: Stored, stamp: Stamp) -> None:
        """To be kept, when there is time."""
        if self._closed:
            self.lost["closed"] += 1
            return
        self._unput(item.key, item.name)
        size = _octets(item)
        if self._waiting_bytes + size > self._most_bytes or len(self._waiting) >= MOST_OPS:
            self._lose(item, "queue-full")
            return
        self._waiting_bytes += size
        given = self._give(Put(item, stamp))
        self._puts.setdefault(item.key, {})[item.name] = given
        self._take(given.number, item)

    def forget(self, op: Forget) -> asyncio.Future[Mapping[str, int]]:
        """To be forgotten: never served from here any more, from now on. The future is what the level met."""
        told: asyncio.Future[Mapping[str, int]] = asyncio.get_running_loop().create_future()
        if self._closed:
            told.set_result({})
            return told
        given = self._give(op, told)
        if op.how is How.DROP and op.names == Names(exact=op.names.exact):
            for name in op.names.exact:
                self._take_name(_Taken(given.number, key_of(name), name, None))
        elif op.how is not How.COUNT:
            self._wide.append(given)
        self._collapse()
        return told

    def reset(self, stamp: Stamp) -> None:
        """Nothing in the level may be served without asking, from now on."""
        if not self._closed:
            self._wide.append(self._give(Reset(stamp)))
            self._collapse()

    def used(self, name: str) -> None:
        """It was served. Told when there is something else to tell."""
        if len(self._waiting) < MOST_OPS and not self._closed:
            self._give(Used((name,)))

    async def read(self, key: str) -> Found:
        """What the level holds and will go on holding once all that was given is done. Raises LevelDown."""
        began = self._done
        self._reading[began] += 1
        try:
            found = await self.level.read(key)
        except LevelDown as error:
            self._went_down(str(error), reading=True)
            raise
        except Exception as error:
            # A level's own mistake must not become a client's.
            self._went_down(repr(error), reading=True)
            raise LevelDown(repr(error)) from error
        else:
            self._came_up(reading=True)
            return replace(found, items=self._as_it_will_be(key, found.items, began))
        finally:
            self._reading[began] -= 1
            if not self._reading[began]:
                del self._reading[began]
            self._trim()

    async def settled(self, key: str) -> None:
        """Returns when nothing that was put under this key waits any more, written or lost."""
        if key in self._puts:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._awaited.setdefault(key, []).append(waiter)
            await waiter

    async def flush(self, seconds: float) -> bool:
        """Waits until everything given is done, or for so long; whether it is."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        return not len(self)

    async def close(self, seconds: float) -> None:
        """Writes what is waiting for so long, then lets the level go. What is left over is counted and told."""
        done = await self.flush(seconds)
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        left = [*self._under_way, *self._waiting.values()]
        self._under_way = []
        self._waiting.clear()
        self._waiting_bytes = 0
        if not done:
            puts = [given for given in left if isinstance(given.op, Put)]
            self.lost["closed"] += len(puts)
            events.warning("level.unwritten", tier=self.level.tier, objects=len(puts), operations=len(left))
        for given in left:
            _tell_nothing(given)
            if isinstance(given.op, Put):
                self._unindex(given)
        self._idle.set()
        with suppress(LevelDown):
            await self.level.close()

    # --- giving ---

    def _give(self, op: Op, told: asyncio.Future[Mapping[str, int]] | None = None) -> _Given:
        self._number += 1
        given = _Given(self._number, op, told)
        self._waiting[given.number] = given
        self._idle.clear()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._carry_out(), name=f"behind-{self.level.tier}")
        return given

    def _unput(self, key: str, name: str) -> None:
        """A Put that still waits for its turn is not worth doing before a newer one of the same name."""
        older = self._puts.get(key, {}).get(name)
        given = self._waiting.pop(older.number, None) if older is not None else None
        if given is not None:
            assert isinstance(given.op, Put)  # noqa: S101 (only those are in _puts)
            self._waiting_bytes -= _octets(given.op.item)
            self._unindex(given)

    def _unindex(self, given: _Given) -> None:
        assert isinstance(given.op, Put)  # noqa: S101
        item = given.op.item
        names = self._puts.get(item.key, {})
        newest = names.get(item.name)
        if newest is not None and newest.number == given.number:
            del names[item.name]
            if not names:
                del self._puts[item.key]
                for waiter in self._awaited.pop(item.key, ()):
                    if not waiter.done():
                        waiter.set_result(None)

    def _lose(self, item: Stored, why: str) -> None:
        """The level will not have it, and is not to go on with what it was to supersede."""
        self.lost[why] += 1
        self._take(self._give(_instead_of(item)).number, item)
        self._collapse()
        self._refused(item, why)

    def _take(self, number: int, item: Stored) -> None:
        entry = item.entry
        varied = entry.varied if entry.part is None else None
        self._take_name(_Taken(number, item.key, item.name, varied, entry.stored_at))

    def _take_name(self, taken: _Taken) -> None:
        older = self._taken.get(taken.name)
        if older is not None and taken.varied is None:
            # One record a name, or a name that is put again and again would grow while the level is down. It takes
            # what either did.
            taken = taken._replace(varied=older.varied)
        self._taken[taken.name] = taken
        self._taken.move_to_end(taken.name)
        self._taken_of.setdefault(taken.key, set()).add(taken.name)

    def _collapse(self) -> None:
        """Where too many operations wait: everything is distrusted, in place of whatever was to be forgotten."""
        if len(self._waiting) <= 2 * MOST_OPS:
            return
        events.error("level.distrusted", tier=self.level.tier, why="too many operations wait for it")
        left = self._waiting
        self._waiting = OrderedDict((number, given) for number, given in left.items() if isinstance(given.op, Put))
        for given in (*self._under_way, *left.values()):
            _tell_nothing(given)
        kept = [taken for taken in self._taken.values() if taken.name in self._puts.get(taken.key, {})]
        self._taken.clear()
        self._taken_of.clear()
        for taken in kept:
            self._take_name(taken)
        self._wide.clear()
        stamp = self._stamp()
        if self.level.shared:
            # Other nodes may have brought it to this order already, and then a Reset would do nothing: but what
            # only this node was to forget is still there.
            self._wide.append(self._give(Forget(Names(all=True), How.DROP, 0.0)))
            self._give(Forget(Names(), How.DROP, 0.0, stamp))
        else:
            self._wide.append(self._give(Reset(stamp)))

    # --- carrying out ---

    async def _carry_out(self) -> None:
        """The task: batch after batch, until nothing waits."""
        try:
            while self._waiting:
                batch = self._under_way = self._next()
                wrote = await self._write([given.op for given in batch])
                if wrote is None:
                    self._most_ops = max(len(batch) // 2, LEAST_OPS)
                    self._again(batch)
                    await asyncio.sleep(PAUSE_SECONDS)
                    continue
                self._most_ops = min(2 * self._most_ops, BATCH_OPS)
                self._under_way = []
                self._done = batch[-1].number
                results = list(zip(batch, wrote, strict=True))
                for given, result in results:
                    if given.told is not None and not given.told.done():
                        given.told.set_result(result.met or {})
                # These may give more, and what is given then is told after what was asked before.
                for given, result in results:
                    if isinstance(given.op, Put):
                        self._wrote(given, given.op, result)
                self._trim()
        finally:
            self._task = None
            if not len(self):
                self._idle.set()

    async def _write(self, ops: list[Op]) -> list[Wrote] | None:
        """What became of them; None where the level is down."""
        try:
            wrote = await self.level.write(ops)
        except LevelDown as error:
            self._went_down(str(error), reading=False)
            return None
        except Exception as error:  # a level's own mistake: no Forget may be lost by it
            self._went_down(repr(error), reading=False)
            return None
        self._came_up(reading=False)
        return wrote

    def _next(self) -> list[_Given]:
        batch: list[_Given] = []
        octets = 0
        while self._waiting and len(batch) < min(self._most_ops, BATCH_OPS) and octets <= BATCH_BYTES:
            _, given = self._waiting.popitem(last=False)
            batch.append(given)
            if isinstance(given.op, Put):
                size = _octets(given.op.item)
                octets += size
                self._waiting_bytes -= size
        return batch

    def _again(self, batch: list[_Given]) -> None:
        """The same operations, before all others; what was to be kept is given up.

        A disk that is full takes no objects and may well forget some: Puts in front of a Forget must not keep it
        from its turn. That something was used is told again only where there is nothing else to find out by whether
        the level is back.
        """
        self._under_way = []
        lost: list[Stored] = []
        again: list[_Given] = []
        for given in batch:
            op = given.op
            if isinstance(op, Put):
                self._unindex(given)
                lost.append(op.item)
                again.append(given._replace(op=_instead_of(op.item)))
            elif not isinstance(op, Used):
                again.append(given)
        for given in reversed(again or batch[-1:]):
            self._waiting[given.number] = given
            self._waiting.move_to_end(given.number, last=False)
        for item in lost:
            self.lost["down"] += 1
            self._refused(item, "down")

    def _wrote(self, given: _Given, put: Put, wrote: Wrote) -> None:
        self._unindex(given)
        if wrote.refused is None:
            return
        renewed = self._renewed(put) if wrote.refused == "overtaken" else None
        if renewed is not None and renewed.stamp != put.stamp:
            self.put(renewed.item, renewed.stamp)
        elif put.item.name in self._puts.get(put.item.key, {}):
            # A newer one was given since, and is about to supersede the same.
            self.lost[wrote.refused] += 1
            self._refused(put.item, wrote.refused)
        else:
            self._lose(put.item, wrote.refused)

    def _went_down(self, why: str, *, reading: bool) -> None:
        was_down = self.down
        if reading:
            self._unread = True
        else:
            self._unwritten = True
        if not was_down:
            events.warning("level.down", tier=self.level.tier, why=why)

    def _came_up(self, *, reading: bool) -> None:
        was_down = self.down
        if reading:
            self._unread = False
        else:
            self._unwritten = False
        if was_down and not self.down:
            events.info("level.up", tier=self.level.tier)

    # --- reading ---

    def _as_it_will_be(self, key: str, items: tuple[Stored, ...], began: int) -> tuple[Stored, ...]:
        """What is left of these when everything given since `began` is done.

        What was put and lost again still takes away what it was to supersede: that is older than what clients saw.
        """
        held = list(items)
        for number, what in merge(self._of_key(key), self._of_all(), key=lambda step: step[0]):
            if number <= began:
                continue
            match what:
                case _Taken():
                    held = [each for each in held if not what.takes(each)]
                case Put(item):
                    if not any(each.name == item.name for each in held):  # then it is newer: see _Taken
                        held.append(item)
                case Forget(names, how, at):
                    held = [left for each in held if (left := _forgotten(each, names, how, at)) is not None]
                case Reset():
                    held = [_under(each, invalidated(each.entry)) for each in held]
        return tuple(held)

    def _of_key(self, key: str) -> Iterator[tuple[int, _Taken | Op]]:
        steps: list[tuple[int, _Taken | Op]] = [
            (self._taken[name].number, self._taken[name]) for name in self._taken_of.get(key, ())
        ]
        steps += ((given.number, given.op) for given in self._puts.get(key, {}).values())
        # A Put takes away what it supersedes before it stands there itself; sort() keeps the order of equals.
        steps.sort(key=lambda step: step[0])
        return iter(steps)

    def _of_all(self) -> Iterator[tuple[int, _Taken | Op]]:
        return ((given.number, given.op) for given in self._wide)

    def _trim(self) -> None:
        """Lets go of what every reader that is under way has seen done."""
        seen = min(self._reading, default=self._done)
        while self._wide and self._wide[0].number <= seen:
            self._wide.popleft()
        while self._taken:
            taken = next(iter(self._taken.values()))
            if taken.number > seen:
                break
            del self._taken[taken.name]
            names = self._taken_of[taken.key]
            names.discard(taken.name)
            if not names:
                del self._taken_of[taken.key]


def _instead_of(item: Stored) -> Forget:
    """What is to be done where an object is not kept: what it was to supersede goes all the same.

    The parts of a whole response have names that nobody here knows, so it takes all of its URL.
    """
    urls = () if item.entry.part is not None else (item.key.partition("\n")[0],)
    return Forget(Names(urls=urls, exact=(item.name,)), How.DROP, 0.0)


def _tell_nothing(given: _Given) -> None:
    if given.told is not None and not given.told.done():
        given.told.set_result({})


def _forgotten(item: Stored, names: Names, how: How, at: float) -> Stored | None:
    """What is left of it."""
    if not names.selects(item.name, item.key, item.entry.tags):
        return item
    match how:
        case How.DROP:
            return None
        case How.STALE:
            return _under(item, stale_from(item.entry, at))
        case How.INVALIDATE:
            return _under(item, invalidated(item.entry))
        case How.COUNT:
            return item


def _under(item: Stored, entry: Entry) -> Stored:
    return stored(item.key, entry, item.held, look_again_at=item.look_again_at)


def _octets(item: Stored) -> int:
    """What it holds in memory while it waits."""
    return item.body_bytes if item.in_memory else 0
