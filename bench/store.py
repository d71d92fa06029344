"""What a store costs, level by level, and for how long it ever keeps the event loop from its other work.

    python -m bench.store [--memory 1000000] [--disk 100000] [--only memory,disk,restart,redis] [--backed]

    memory    so many objects of 1 KiB put and then got at random, on one thread, the loop turning every 25; then a
              hundredth of them purged by a tag, another made stale, and all of them purged by their host
    disk      so many put through memory into the disk (write-behind), the loop turning every 25, then promoted at
              random by 16 readers
    restart   a node over that directory: from its start to /readyz, then how many of 2,000 random URLs are hits
    redis     10,000 put and promoted, where there is a redis-server on this machine

The longest block is the longest time for which a task that wanted to run every millisecond did not. The kernel's own
pauses are in it: give the bench a core of its own. Beside it the most CPU that the loop's thread spent in between; but
a virtual machine counts as CPU also what its host gave to others. So every block above 10 ms is told with what the
kernel knows of it: time in user and system mode, page faults, switches away, and what the host stole from either core
in that while (in ticks of 10 ms, and only as far as the host admits it).
Bytes above the body are resident memory.

--backed: the host of a virtual machine may find the memory behind a page only when the page is first touched, and
counts what it takes as the guest's CPU. With this, the bench first touches as much as the part in memory needs, and
gives it back to the kernel as it goes, so that what is allocated next was there already.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import mmap
import os
import random
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from roles.collector import rounds, tame
from seawall.clock import SystemClock
from seawall.engine.purger import Purger
from seawall.flight.table import Flights
from seawall.http.headers import Headers, headers
from seawall.policy.entry import Entry
from seawall.purge.applied import Applied
from seawall.purge.forgetter import Met
from seawall.purge.selection import Selection
from seawall.store.disk import open_disk
from seawall.store.level import Level, Stamp
from seawall.store.levels import Levels
from seawall.store.memory import MemoryStore
from seawall.store.stored import Stored, stored
from tests.topology.city import HOST, city, edge, own_word

KIB, MIB = 1 << 10, 1 << 20
# Puts or gets between two turns of the loop. With what makes them here, a put is 15 to 60 us: of a hundred of them the
# longest block would be made, and say nothing of the store.
AT_A_TIME = 25
WAITING = 1000
READERS = 16
NODE = "edge-1"
TICK_SECONDS = 0.001
TOLD_SECONDS = 0.010
BACKED_BYTES = 2 * KIB  # a little more than an object of 1 KiB and its time take
STEAL_TURNS = 50  # between two looks at what was stolen: 40 us each
FIELDS = (
    ("Date", "Mon, 23 Nov 2026 10:00:00 GMT"),
    ("Content-Type", "text/html; charset=utf-8"),
    ("Cache-Control", "max-age=86400"),
    ("ETag", '"abcdef0123456789"'),
    ("Server", "origin"),
)


@dataclass
class Figures:
    """What one part of the bench has seen. Seconds."""

    put: list[float] = field(default_factory=list)
    get: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    longest_block: float = 0.0
    longest_work: float = 0.0  # of the loop's own thread between two turns of a task: without what others took
    blocks: list[str] = field(default_factory=list)  # what the kernel says of each above TOLD_SECONDS


def url(number: int) -> str:
    return f"http://{HOST}/o/{number}"


def made(number: int, shared: Headers, now: float) -> Stored:
    """An object of 1 KiB, no two alike, with a tag of its own and one of a hundred."""
    entry = Entry(
        "GET", 200, "OK", shared, (), now, now, now, now + 86400, now + 86400, now + 86400, now + 86400,
        tags=(f"o{number}", f"t{number % 100}"),
    )  # fmt: skip
    return stored(url(number), entry, (number.to_bytes(8, "big") * 128,))


@asynccontextmanager
async def watched(figures: Figures) -> AsyncIterator[None]:
    """Notes for how long the loop was kept busy in one piece."""

    collecting = Collecting()

    async def tick() -> None:
        stolen, turns = stolen_seconds(), 0
        before, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_THREAD)
        worked, collected = time.thread_time(), collecting.seconds
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now, work, use = time.perf_counter(), time.thread_time(), resource.getrusage(resource.RUSAGE_THREAD)
            block = now - before - TICK_SECONDS
            figures.longest_block = max(figures.longest_block, block)
            figures.longest_work = max(figures.longest_work, work - worked)
            turns += 1
            if block > TOLD_SECONDS or turns % STEAL_TURNS == 0:
                was, stolen = stolen, stolen_seconds()
                if block > TOLD_SECONDS:
                    figures.blocks.append(
                        f"{1000 * block:.1f} ms (user {1000 * (use.ru_utime - used.ru_utime):.1f},"
                        f" system {1000 * (use.ru_stime - used.ru_stime):.1f}, collector"
                        f" {1000 * (collecting.seconds - collected):.1f}, faults {use.ru_minflt - used.ru_minflt}"
                        f"+{use.ru_majflt - used.ru_majflt}, switches {use.ru_nvcsw - used.ru_nvcsw}"
                        f"+{use.ru_nivcsw - used.ru_nivcsw}, stolen {1000 * (stolen - was):.0f})"
                    )
            before, worked, used, collected = time.perf_counter(), time.thread_time(), use, collecting.seconds

    ticking = asyncio.create_task(tick())
    try:
        with collecting.watched(), rounds():  # as a node does
            yield
    finally:
        ticking.cancel()
        await asyncio.gather(ticking, return_exceptions=True)


class Collecting:
    """How long the garbage collector has worked."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = 0.0

    @contextmanager
    def watched(self) -> Iterator[None]:
        gc.callbacks.append(self._note)
        try:
            yield
        finally:
            gc.callbacks.remove(self._note)

    def _note(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self.seconds += time.perf_counter() - self._began


def stolen_seconds() -> float:
    """What the host of a virtual machine gave to others, of all cores (proc(5), the eighth figure of *cpu*)."""
    with open("/proc/stat", "rb") as stat:
        return int(stat.readline().split()[8]) / os.sysconf("SC_CLK_TCK")


class Backed:
    """Touched memory, given back a little at a time. The kernel hands out first what it got last."""

    def __init__(self, size: int) -> None:
        self._size, self._at = size, 0
        self._map = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        for page in range(0, size, mmap.PAGESIZE):
            self._map[page] = 1

    def give(self, count: int) -> None:
        count = min(count, self._size - self._at)
        if count:
            self._map.madvise(mmap.MADV_DONTNEED, self._at, count)
            self._at += count

    @property
    def left(self) -> int:
        return self._size - self._at


@contextmanager
def timed(into: list[float]) -> Iterator[None]:
    began = time.perf_counter()
    yield
    into.append(time.perf_counter() - began)


def resident_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * KIB
    raise RuntimeError("no VmRSS")


async def each(count: int, do: Callable[[int], None], backed: Backed | None = None) -> None:
    """do(0) to do(count - 1), with a turn for others every AT_A_TIME."""
    for number in range(count):
        do(number)
        if number % AT_A_TIME == AT_A_TIME - 1:
            if backed is not None:
                backed.give(BACKED_BYTES * AT_A_TIME)
            await asyncio.sleep(0)


async def of_memory(count: int, *, backed: bool = False) -> Figures:
    figures, now, shared = Figures(), time.time(), headers(FIELDS)
    memory = MemoryStore(count * 8 * KIB)
    given = Backed(count * BACKED_BYTES) if backed else None
    before = resident_bytes()

    def put(number: int) -> None:
        item = made(number, shared, now)
        with timed(figures.put):
            memory.put(item)

    chance = random.Random(1)

    def get(_: int) -> None:
        key = url(chance.randrange(count))
        with timed(figures.get):
            (item,) = memory.get(key)
            memory.touch(item)

    async with watched(figures):
        await each(count, put, given)
        grown = resident_bytes() - before - (len(figures.put) * 32)  # the list of times is ours
        if given is not None:
            grown += count * BACKED_BYTES - given.left
        await each(min(count, 300_000), get)
    figures.notes.append(f"{grown / count - KIB:,.0f} B of memory an object above its body")
    levels = Levels(memory, now=time.time)
    for what, soft in (
        (Selection(tags=("t7",)), False),
        (Selection(tags=("t8",)), True),
        (Selection(hosts=(HOST,)), False),
    ):
        figures.notes.append(await of_order(levels, what, soft=soft))
    memory.close()
    return figures


async def of_order(levels: Levels, what: Selection, *, soft: bool) -> str:
    """A purge as a node's engine does it: what holds at once, and what follows in steps."""
    purger = Purger(lambda head: None, levels, Flights(), SystemClock(), Applied("bench"))
    figures, began = Figures(), time.perf_counter()
    async with watched(figures):
        await asyncio.sleep(2 * TICK_SECONDS)
        worked = time.thread_time()
        at_once: list[float] = []
        with timed(at_once):
            met = purger.apply(what, soft=soft)
        worked = time.thread_time() - worked
        counted = met if isinstance(met, Met) else await met
        known = time.perf_counter() - began
        while levels.busy:  # noqa: ASYNC110 (nothing else is to be waited for)
            await asyncio.sleep(0)
    return (
        f"{counted.matched:,} objects of one {'tag' if what.tags else 'host'} {'are stale' if soft else 'are gone'} for"
        f" everybody after {1000 * at_once[0]:.1f} ms (CPU: {1000 * worked:.1f}), in one piece; they are counted after"
        f" {1000 * known:.0f} and all is done after"
        f" {1000 * (time.perf_counter() - began):.0f} ms, in which the longest block is"
        f" {1000 * figures.longest_block:.1f} ms (CPU: {1000 * figures.longest_work:.1f})"
    )


async def of_level(level: Level, count: int, name: str, stamp: Callable[[], Stamp] = Stamp) -> Figures:
    """Put through memory, written behind, then promoted into a memory that holds nothing."""
    figures, now, shared = Figures(), time.time(), headers(FIELDS)
    levels = Levels(MemoryStore(16 * MIB), [level], now=time.time, stamp=stamp)
    async with watched(figures):
        began = time.perf_counter()
        for first in range(0, count, AT_A_TIME):
            for number in range(first, min(first + AT_A_TIME, count)):
                item = made(number, shared, now)
                with timed(figures.put):
                    levels.put(item)
            await asyncio.sleep(0)
            # As fast as the level takes it: the queue is bounded, and nothing is to be lost here.
            while levels.held()[1].waiting > WAITING:  # noqa: ASYNC110 (nothing else is to be waited for)
                await asyncio.sleep(TICK_SECONDS)
        if not await levels.written(60):
            raise RuntimeError(f"{name}: not written in a minute")
        took = time.perf_counter() - began
        held = levels.held()[1]
        if held.entries != count or held.lost:
            raise RuntimeError(f"{name}: {held}")
        figures.notes.append(f"{count / took:,.0f} objects a second until they are there")
        figures.notes.append(f"{held.bytes / count - KIB:,.0f} B an object above its body, by its own count")
        levels.memory.close()
        chance = random.Random(2)

        async def reader() -> None:
            for _ in range(min(count, 20_000) // READERS):
                key = url(chance.randrange(count))
                if levels.get(key):
                    continue
                with timed(figures.get):
                    await levels.promote(key)
                if not levels.get(key):
                    raise RuntimeError(f"{name}: {key} is not there")

        began = time.perf_counter()
        await asyncio.gather(*(reader() for _ in range(READERS)))
        figures.notes.append(f"{len(figures.get) / (time.perf_counter() - began):,.0f} promotions a second")
    await levels.close(10)
    return figures


async def of_disk(count: int, directory: Path) -> Figures:
    level = await open_disk(directory, size_bytes=count * 16 * KIB, whole_bytes=32 * MIB)
    return await of_level(level, count, "disk", lambda: level.stamp)


def store_of(count: int) -> dict[str, object]:
    """The section of the topology file."""
    return {"memory": {"size": "256MiB"}, "disk": {"size": f"{count * 16}KiB"}}


async def begin(count: int, directory: Path) -> None:
    """A node over an empty directory, so that what is stored there later has survived the orders of its journal."""
    async with city(directory, {NODE: edge()}, store=store_of(count)):
        pass


async def of_restart(count: int, directory: Path) -> Figures:
    """The node's own words: how long until /readyz, and how much of what is fresh is a hit."""
    figures = Figures()
    async with city(directory, {NODE: edge()}, store=store_of(count), start=False) as town:
        began = time.perf_counter()
        await town.start(NODE)
        await town.ready(NODE)
        figures.notes.append(f"ready {time.perf_counter() - began:.2f} s after its process was started")
        chance = random.Random(3)
        paths = [f"/o/{chance.randrange(count)}" for _ in range(2000)]
        hits = 0
        for path in paths:
            with timed(figures.get):
                hits += own_word(await town.get(NODE, path)) == "HIT"
        figures.notes.append(f"{100 * hits / len(paths):.2f} % of {len(paths):,} random URLs are hits")
    return figures


async def of_redis(count: int) -> Figures:
    from seawall.store.redislevel import open_redis
    from tests.redis_servers import redis_servers

    with tempfile.TemporaryDirectory(prefix="seawall-bench-") as directory, redis_servers(Path(directory)) as servers:
        level = await open_redis(servers.server().url, namespace="bench", now=time.time)
        return await of_level(level, count, "redis")


def row(name: str, figures: Figures) -> str:
    def told(seconds: list[float]) -> str:
        if len(seconds) < 100:
            return "– | –"
        cuts = statistics.quantiles(seconds, n=100)
        return f"{1e6 * cuts[49]:,.1f} | {1e6 * cuts[98]:,.1f}"

    block = "– | –"
    if figures.longest_block:
        block = f"{1000 * figures.longest_block:.1f} ms | {1000 * figures.longest_work:.1f} ms"
    return f"| {name} | {told(figures.put)} | {told(figures.get)} | {block} |"


async def bench(parts: set[str], in_memory: int, on_disk: int, *, backed: bool) -> None:
    print("| | put p50 µs | p99 µs | get p50 µs | p99 µs | longest block | CPU of it |")
    print("|---|---|---|---|---|---|---|", flush=True)
    notes: list[str] = []

    def tell(name: str, figures: Figures) -> None:
        print(row(name, figures), flush=True)
        notes.extend(f"- {name}: {note}" for note in figures.notes)
        if figures.blocks:
            notes.append(f"- {name}: blocks above {1000 * TOLD_SECONDS:.0f} ms: {'; '.join(figures.blocks)}")
        gc.collect()
        gc.freeze()

    directory = Path(tempfile.mkdtemp(prefix="seawall-bench-store-"))
    try:
        if "memory" in parts:
            tell(f"memory, {in_memory:,} objects", await of_memory(in_memory, backed=backed))
        if parts & {"disk", "restart"}:
            data = directory / "state" / "seawall" / NODE  # where the node of the next part looks
            await begin(on_disk, directory)
            tell(f"disk, {on_disk:,} objects", await of_disk(on_disk, data / "cache"))
        if "restart" in parts:
            tell("restart", await of_restart(on_disk, directory))
        if "redis" in parts and shutil.which("redis-server"):
            tell("redis, 10,000 objects", await of_redis(10_000))
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print("\n" + "\n".join(notes))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--disk", type=int, default=100_000, metavar="N")
    parser.add_argument("--backed", action="store_true")
    parser.add_argument("--only", default="memory,disk,restart,redis", metavar="PARTS")
    args = parser.parse_args()
    tame()
    uvloop.run(bench(set(args.only.split(",")), args.memory, args.disk, backed=args.backed))


if __name__ == "__main__":
    main()
