"""Churn: a small node over which far more passes than it can hold, for as long as you like, and whether it grows.

    python -m tests.torture.churn --minutes 60 [--workers 2] [--seed 1]

Most of what is asked for is asked for once. Between that: hits, variants, 304s, purges by tag, unsafe methods,
broken answers, clients that leave. After the first third, in which everything that is bounded gets to its bounds,
memory, what is stored and what waits are to stay where they are.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from tests.topology.city import City, city, edge, request, until
from tests.topology.workers import pids

NODE = "edge-1"
KIB = 1024
MEMORY_BYTES, DISK_BYTES = 512 * KIB, 1536 * KIB
STORE = {"memory": {"size": "512KiB"}, "disk": {"size": "1536KiB"}}
AT_ONCE = 16
ROUND = 100  # requests between two samples
GATE = "never"
ORDER_BYTES = 512  # of one in the hub's journal: 414 measured, and what an allocator adds


@dataclass(frozen=True)
class Sample:
    """The node at one moment, when nothing was under way."""

    requests: int
    resident_bytes: int  # of all its processes that serve, with large_bytes
    large_bytes: int  # of bodies that lie in a file of their own, which no process is charged with
    memory_bytes: int
    memory_entries: int
    disk_bytes: int
    disk_entries: int


@dataclass
class Churned:
    """What the whole run has seen."""

    samples: list[Sample] = field(default_factory=list)

    @property
    def settled(self) -> list[Sample]:
        """Those after the first third."""
        return self.samples[len(self.samples) // 3 :]

    @property
    def growth(self) -> int:
        """By how many bytes the middle of the last third is above that of the third before. Not the last above the
        first: an allocator gives pages back when it likes. Without what the orders of a third take, one a sample: an
        hour brings 20,000 of the 100,000 that a hub keeps."""
        third = len(self.samples) // 3
        grown = _middle(self.samples[-third:]) - _middle(self.samples[third : 2 * third])
        return grown - third * ORDER_BYTES

    def __str__(self) -> str:
        first, last = self.settled[0], self.settled[-1]
        return (
            f"{last.requests} requests: {_mib(first.resident_bytes)} MiB after {first.requests}, "
            f"{_mib(last.resident_bytes)} at the end, growth {_mib(self.growth)}; "
            f"memory {last.memory_entries} objects, disk {last.disk_entries}"
        )


def check(churned: Churned, most_growth: int, workers: int = 1) -> None:
    """Raises AssertionError where something grew, or where too little happened to tell."""
    some = churned.samples[:: max(1, len(churned.samples) // 50)]
    assert churned.growth <= most_growth, [(each.requests, _mib(each.resident_bytes)) for each in some]
    for each in churned.settled:
        assert each.memory_bytes <= workers * MEMORY_BYTES, each
        # What was just written is more than the disk may hold, until the cull has been there.
        assert each.disk_bytes <= 1.25 * DISK_BYTES, each
    third = len(churned.samples) // 3
    before, after = churned.samples[third : 2 * third], churned.samples[-third:]
    for entries in (lambda each: each.memory_entries, lambda each: each.disk_entries):
        assert max(map(entries, after)) <= 1.25 * max(map(entries, before)), churned
    assert max(each.disk_bytes for each in before) > DISK_BYTES / 2, "the disk was never full"
    assert 0 < max(each.large_bytes for each in churned.samples) <= workers * MEMORY_BYTES, "of large bodies"


async def churn(directory: Path, seed: int, go_on: Callable[[int], bool], workers: int = 1) -> Churned:
    """Runs while `go_on(requests)`."""
    chance = random.Random(seed)
    churned = Churned()
    asked = 0
    # Purges of the disk's fullest moments are not what this is about: a lease may be missed on a busy machine.
    async with city(directory, {NODE: edge(workers=workers)}, store=STORE, purge={"lease": "30s"}) as town:
        town.stub.script("/new/*", ["size=4KiB&max-age=600&etag&header=Surrogate-Key: all one two"])
        town.stub.script("/varied/*", ["size=2KiB&max-age=600&vary=Accept-Language"])
        town.stub.script("/short/*", ["size=2KiB&max-age=0&etag"])
        town.stub.script("/broken/*", ["size=8KiB&max-age=600&fault=truncate&at=100"])
        town.stub.script("/large/*", ["size=120KiB&max-age=600"])
        town.stub.script("/slow/*", [f"size=1KiB&max-age=600&gate={GATE}"])
        while go_on(asked):
            turns = asyncio.Semaphore(AT_ONCE)
            async with asyncio.TaskGroup() as group:
                for number in range(asked, asked + ROUND):
                    group.create_task(_one(town, turns, number, chance.random()))
            asked += ROUND
            await town.purge(NODE, tags=["two"] if chance.random() < 0.02 else [f"t{asked}"])
            churned.samples.append(await _sample(town, asked, workers))
    return churned


async def _one(town: City, turns: asyncio.Semaphore, number: int, chance: float) -> None:
    async with turns:
        if chance < 0.60:
            await town.get(NODE, f"/new/{number}?session={number * 7919}")
        elif chance < 0.75:
            await town.get(NODE, f"/new/{number - number % 50}")
        elif chance < 0.80:
            await town.get(NODE, f"/varied/{number % 20}", ("Accept-Language", f"x-{number % 200}"))
        elif chance < 0.85:
            await town.get(NODE, f"/short/{number % 20}")
        elif chance < 0.88:
            await town.get(NODE, f"/new/{number - number % 50}", method="POST", data=b"x")
        elif chance < 0.92:
            with contextlib.suppress(aiohttp.ClientPayloadError):
                await town.get(NODE, f"/broken/{number}")
        elif chance < 0.95:
            part = [("Range", "bytes=100000-100999")] if number % 2 else []
            await town.get(NODE, f"/large/{number}", *part)
        else:
            async with town.client(NODE) as client:
                await client.send(request(f"/slow/{number}") if chance < 0.98 else b"GET /sl")


async def _sample(town: City, requests: int, workers: int) -> Sample:

    town.stub.open(GATE)
    stats: dict[str, dict[str, int]] = {}

    async def quiet() -> bool:
        nonlocal stats
        document = (await town.ask(NODE, "/v1/stats")).document
        stats = document["store"]
        return bool(document["flights"] == 0 and stats["disk"]["waiting"] == 0)

    await until(quiet, lambda: f"nothing under way: {stats}", 60.0)
    town.stub.shut(GATE)
    process = town.nodes[NODE].process
    assert process is not None
    serving = [process.pid] if workers == 1 else list(pids(town, NODE).values())
    large_bytes = sum(map(_large_bytes, serving))
    return Sample(
        requests,
        sum(map(_resident_bytes, serving)) + large_bytes,
        large_bytes,
        stats["memory"]["bytes"],
        stats["memory"]["entries"],
        stats["disk"]["bytes"],
        stats["disk"]["entries"],
    )


def _resident_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


def _large_bytes(pid: int) -> int:
    """What the files that lie on no disk take of the machine's memory (seawall/store/arena.py)."""
    found = 0
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            if str(link.readlink()).startswith("/memfd:seawall-bodies"):
                found += link.stat().st_blocks * 512
    return found


def _middle(samples: list[Sample]) -> int:
    return sorted(each.resident_bytes for each in samples)[len(samples) // 2]


def _mib(size: int) -> float:
    return round(size / (1 << 20), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description="Lets far more pass through a node than it holds: does it grow?")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    until_then = time.monotonic() + given.minutes * 60
    with tempfile.TemporaryDirectory(prefix="churn-") as room:
        churned = asyncio.run(churn(Path(room), given.seed, lambda _: time.monotonic() < until_then, given.workers))
    print(churned)
    check(churned, most_growth=2 << 20, workers=given.workers)


if __name__ == "__main__":
    main()
