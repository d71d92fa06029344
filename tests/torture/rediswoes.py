"""Two nodes over one Redis that is killed, stopped, flushed, filled with garbage, restarted and put back to an older
copy of itself, again and again: nothing that was purged is ever served, no octet is wrong, nothing but hits is lost.

    python -m tests.torture.rediswoes --woes 100 [--seed 1]

A node here is what holds its store: memory of a few objects over a RedisLevel, with the orders that it was given. Every
body says its key and its version; who reads one knows which versions it may be.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from seawall.http.headers import headers
from seawall.policy.entry import Entry
from seawall.store import behind
from seawall.store.level import How, Names, Stamp
from seawall.store.levels import Levels
from seawall.store.memory import MemoryStore
from seawall.store.redislevel import open_redis
from seawall.store.stored import Stored, stored
from tests.redis_servers import RedisProcess, redis_servers

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
    from_redis: int = 0
    purges: int = 0
    slowest: float = 0.0

    def __str__(self) -> str:
        woes = ", ".join(f"{count} {name}" for name, count in sorted(self.woes.items()))
        return (
            f"redis: {woes}; {self.reads} reads, {self.from_redis} of them from Redis, {self.purges} purges, "
            f"the slowest read {self.slowest * 1000:.0f} ms"
        )


def body_of(key: str, version: int) -> bytes:
    return f"{key} {version} ".encode() * (20 + len(key) * version % 37)


def made(key: str, version: int) -> Stored:
    now = time.time()
    entry = Entry("GET", 200, "OK", FIELDS, (), now, now, now, now + 600, now + 600, now + 600, now + 600)
    return stored(key, entry, (body_of(key, version),))


class Node:
    """One of the two."""

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
            seen.from_redis += bool(items)
        seen.slowest = max(seen.slowest, time.monotonic() - began)
        if not items:
            levels.put(made(key, truth.version[key]))
            return
        ((body,),) = (item.body for item in items)
        may_be = range(least, truth.version[key] + 1)
        assert body in {body_of(key, version) for version in may_be}, f"{key}: {body[:60]!r}, not of {may_be}"

    async def ask_all_anew(self) -> None:
        """As if memory had let everything go: what Redis has to say, before the next order puts it right."""
        for key in KEYS:
            self.levels.memory.drop(key)
        for key in KEYS:
            await self.ask(key)

    def forget(self, key: str) -> None:
        self.levels.memory.drop(key)
        self.levels.forget(Names(urls=(key,)), How.DROP, self._truth.stamp)


async def suffer(room: Path, woes: int, seed: int) -> Suffered:
    """Raises AssertionError at the first thing that is wrong."""
    chance, truth, seen = random.Random(seed), Truth(), Suffered()
    with redis_servers(room) as servers:
        redis = servers.server("--appendonly", "yes", "--appendfsync", "always", "--save", "")
        nodes = [await _node(redis, truth, seen) for _ in range(2)]

        async def steps(count: int) -> None:
            for _ in range(count):
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

        try:
            names: list[str] = []
            for _ in range(woes):
                await steps(STEPS)
                names = names or chance.sample(sorted(WOES), len(WOES))
                name = names.pop()
                begin, end = WOES[name]
                begin(redis)
                await steps(STEPS_WITHIN)
                await asyncio.to_thread(end, redis)
                seen.woes[name] += 1
                for node in nodes:
                    await node.ask_all_anew()
                for node in nodes:
                    assert await node.levels.written(30.0), "what waits for Redis does not get there"
            await steps(STEPS)
        finally:
            redis.kill()
            for node in nodes:
                await node.levels.close(0.0)
    return seen


async def _node(redis: RedisProcess, truth: Truth, seen: Suffered) -> Node:
    level = await open_redis(redis.url, secret=b"theirs", now=time.time)
    levels = Levels(
        MemoryStore(MEMORY_BYTES), [level], now=time.time, stamp=lambda: truth.stamp, survived=truth.survived,
        shared_seconds=600.0,
    )  # fmt: skip
    return Node(levels, truth, seen)


# --- woes: how each begins, and what ends it ---


def _nothing(redis: RedisProcess) -> None:
    """It goes on by itself."""


def _garbage(redis: RedisProcess) -> None:
    with redis.client() as client:
        for number, key in enumerate(list(client.scan_iter())):
            if number % 3 == 0:
                client.delete(key)
                client.set(key, b"\x80\x04garbage")
            elif number % 3 == 1 and client.type(key) == b"hash":
                for name in client.hkeys(key):
                    client.hset(key, name, b"\x00" * 100)


def _copied(redis: RedisProcess) -> None:
    """A copy of its data as they are now, for _put_back."""
    shutil.rmtree(redis.directory / "copy", ignore_errors=True)
    shutil.copytree(redis.directory / "appendonlydir", redis.directory / "copy")


def _put_back(redis: RedisProcess) -> None:
    """Everything that was ordered since is unknown to it."""
    redis.kill()
    shutil.rmtree(redis.directory / "appendonlydir")
    shutil.copytree(redis.directory / "copy", redis.directory / "appendonlydir")
    redis.start()


WOES: dict[str, tuple[Callable[[RedisProcess], object], Callable[[RedisProcess], object]]] = {
    "kills": (RedisProcess.kill, RedisProcess.start),
    "stops": (RedisProcess.stop, RedisProcess.go_on),
    "flushes": (lambda redis: redis.ask("FLUSHALL"), _nothing),
    "garbage": (_garbage, _nothing),
    "old copies": (_copied, _put_back),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Gives two nodes a Redis that is in trouble until they break, or not.")
    parser.add_argument("--woes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if shutil.which("redis-server") is None:
        print("redis: left out, there is no redis-server here")
        return
    logging.getLogger("seawall").setLevel(logging.ERROR)
    behind.PAUSE_SECONDS = PAUSE_SECONDS
    with tempfile.TemporaryDirectory(prefix="woes-") as room:
        print(asyncio.run(suffer(Path(room), given.woes, given.seed)))


if __name__ == "__main__":
    main()
