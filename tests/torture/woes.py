"""Stores whose lower level is in trouble, again and again: nothing that was purged is ever served, no octet is wrong,
nothing but hits is lost.

Every body says its key and its version; who reads one knows which versions it may be. What the troubles are is the
caller's (rediswoes.py, diskwoes.py).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from seawall.http.headers import headers
from seawall.policy.entry import Entry
from seawall.store.level import How, Level, Names, Stamp
from seawall.store.levels import Levels
from seawall.store.memory import MemoryStore
from seawall.store.stored import Stored, stored

# How it begins, and what ends it.
Woe = tuple[Callable[[], object], Callable[[], object]]

KEYS = [f"http://a.example/{number}" for number in range(60)]
JOURNAL = "journal"
MEMORY_BYTES = 30_000  # of 60 objects, ten
FIELDS = headers([("Content-Type", "text/plain")])
STEPS = 100  # between two woes: what comes up in between must be right
STEPS_WITHIN = 40
PAUSE_SECONDS = 0.02  # a level that is down is tried again by then, where a node would wait for a second


@dataclass
class Truth:
    """What was ordered, and which versions there have been."""

    version: Counter[str] = field(default_factory=Counter)
    purged: Counter[str] = field(default_factory=Counter)  # versions below this one may not be served any more
    orders: list[str] = field(default_factory=list)  # the key of each, by number - 1

    @property
    def stamp(self) -> Stamp:
        return Stamp(JOURNAL, len(self.orders))

    def survived(self, stamp: Stamp, item: Stored) -> bool:
        return stamp.journal == JOURNAL and item.key not in self.orders[stamp.number :]


@dataclass
class Suffered:
    """What many woes came to."""

    woes: Counter[str] = field(default_factory=Counter)
    reads: int = 0
    from_below: int = 0
    purges: int = 0
    slowest: float = 0.0

    def __str__(self) -> str:
        woes = ", ".join(f"{count} {name}" for name, count in sorted(self.woes.items()))
        return (
            f"{woes}; {self.reads} reads, {self.from_below} of them from below, {self.purges} purges, "
            f"the slowest read {self.slowest * 1000:.0f} ms"
        )


def body_of(key: str, version: int) -> bytes:
    return f"{key} {version} ".encode() * (20 + len(key) * version % 37)


def made(key: str, version: int) -> Stored:
    now = time.time()
    entry = Entry("GET", 200, "OK", FIELDS, (), now, now, now, now + 600, now + 600, now + 600, now + 600)
    return stored(key, entry, (body_of(key, version),))


class Node:
    """What holds its store: memory of a few objects over a level, with the orders that it was given."""

    def __init__(self, levels: Levels, truth: Truth, seen: Suffered) -> None:
        self.levels = levels
        self._truth = truth
        self._seen = seen

    async def ask(self, key: str) -> None:
        """As a request does: memory, the level, the origin. Raises AssertionError where the answer is none."""
        truth, seen, levels = self._truth, self._seen, self.levels
        least, began = truth.purged[key], time.monotonic()
        seen.reads += 1
        items = levels.get(key)
        if not items:
            promoted = await levels.promote(key)
            items = levels.get(key) or (promoted.items if levels.stands(promoted) else ())
            seen.from_below += bool(items)
        seen.slowest = max(seen.slowest, time.monotonic() - began)
        if not items:
            levels.put(made(key, truth.version[key]))
            return
        ((body,),) = (item.body for item in items)
        may_be = range(least, truth.version[key] + 1)
        assert body in {body_of(key, version) for version in may_be}, f"{key}: {body[:60]!r}, not of {may_be}"

    async def ask_all_anew(self) -> None:
        """As if memory had let everything go: what the level has to say, before the next order puts it right."""
        for key in KEYS:
            self.levels.memory.drop(key)
        for key in KEYS:
            await self.ask(key)

    def forget(self, key: str) -> None:
        self.levels.memory.drop(key)
        self.levels.forget(Names(urls=(key,)), How.DROP, self._truth.stamp)


def node_over(level: Level, truth: Truth, seen: Suffered) -> Node:
    levels = Levels(
        MemoryStore(MEMORY_BYTES), [level], now=time.time, stamp=lambda: truth.stamp, survived=truth.survived,
        shared_seconds=600.0,
    )  # fmt: skip
    return Node(levels, truth, seen)


async def suffer(
    nodes: Sequence[Node], truth: Truth, seen: Suffered, woes: Mapping[str, Woe], count: int, chance: random.Random
) -> None:
    """So many woes, each as often as any other. Raises AssertionError at the first thing that is wrong."""

    async def steps(number: int) -> None:
        for _ in range(number):
            key = chance.choice(KEYS)
            if chance.random() < 0.1:
                truth.version[key] += 1
            if chance.random() < 0.05:
                truth.version[key] += 1
                truth.purged[key] = truth.version[key]
                truth.orders.append(key)
                seen.purges += 1
                for node in nodes:
                    node.forget(key)
            await asyncio.gather(*(node.ask(chance.choice((key, *KEYS))) for node in nodes))

    names: list[str] = []
    for _ in range(count):
        await steps(STEPS)
        names = names or chance.sample(sorted(woes), len(woes))
        name = names.pop()
        begin, end = woes[name]
        await asyncio.to_thread(begin)
        await steps(STEPS_WITHIN)
        await asyncio.to_thread(end)
        seen.woes[name] += 1
        for node in nodes:
            await node.ask_all_anew()
        for node in nodes:
            assert await node.levels.written(30.0), f"after {name}: what waits for the level does not get there"
    await steps(STEPS)
