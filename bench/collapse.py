"""A crowd at a cold key, and at one that may not be stored: real processes, a shield, two edges, an origin of 0.5 s.

    python -m bench.collapse [--rounds 5] [--clients 500] [--uncacheable 50]

    cold key      half of the clients at each edge ask for the same at once: one request to the origin, and nobody
                  waits much longer than it takes
    uncacheable   first round: nobody can know yet that it is not for everyone, so all wait for the first answer;
                  second round: it is known, and all go at once (hit-for-miss; nginx sends them one after the other)

Seconds are from the first connect to the last octet of the last answer, each client on a connection of its own.
Clients and origin share this process, so on few cores they pay for each other. Loopback only; ends what it started.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop

from tests.topology.city import City, city, edge, request, shield

ORIGIN_SECONDS = 0.5
EDGES = ("edge-ams", "edge-nyc")


@dataclass(frozen=True)
class Round:
    """What one crowd met."""

    seconds: float
    asked: int  # requests that the origin saw for it


async def crowd(town: City, path: str, clients: int, edges: Sequence[str]) -> Round:
    """So many clients at once, spread over the edges. RuntimeError where one is not answered with 200."""
    before = town.asked(path)

    async def client(number: int) -> int:
        async with town.client(edges[number % len(edges)]) as connection:
            heard = await connection.ask(request(path))
            return heard.status if len(heard.body) == 1024 else 0

    began = time.perf_counter()
    statuses = await asyncio.gather(*(client(number) for number in range(clients)))
    took = time.perf_counter() - began
    if set(statuses) != {200}:
        raise RuntimeError(f"{path}: {sorted(set(statuses))}")
    return Round(took, town.asked(path) - before)


def row(label: str, rounds: Sequence[Round], promised_seconds: float, promised_asked: int | None) -> tuple[str, bool]:
    """One line of the table, and whether it is as promised."""
    seconds = [each.seconds for each in rounds]
    most = max(each.asked for each in rounds)
    kept = max(seconds) <= promised_seconds and promised_asked in (None, most)
    line = (
        f"{label:<34} {most:>8} {min(seconds):>8.3f} {statistics.median(seconds):>8.3f} {max(seconds):>8.3f} "
        f"{promised_seconds:>9.1f}  {'kept' if kept else 'BROKEN'}"
    )
    return line, kept


async def main(rounds: int, clients: int, uncacheable: int) -> bool:
    nodes = {"shield-1": shield(), **{name: edge("shield-1") for name in EDGES}}
    cold: list[Round] = []
    first: list[Round] = []
    second: list[Round] = []
    with tempfile.TemporaryDirectory() as directory:
        async with city(Path(directory), nodes, purge={"lease": "5s"}) as town:
            delayed = f"size=1KiB&delay={ORIGIN_SECONDS}s"
            town.stub.script("/cold/*", [f"{delayed}&max-age=600"])
            town.stub.script("/private/*", [f"{delayed}&cache-control=no-store"])
            await crowd(town, "/cold/warm-up", clients, EDGES)  # imports, buffers, connections to the shield
            for number in range(rounds):
                cold.append(await crowd(town, f"/cold/{number}", clients, EDGES))
                for found in (first, second):
                    found.append(await crowd(town, f"/private/{number}", uncacheable, EDGES[:1]))
    where = f"Python {platform.python_version()}, {os.cpu_count()} cores"
    print(f"a shield and two edges, an origin of {ORIGIN_SECONDS:g} s; {rounds} rounds; {where}")
    print(f"{'':<34} {'origin':>8} {'seconds until the last is answered':>34}")
    print(f"{'':<34} {'requests':>8} {'best':>8} {'median':>8} {'worst':>8} {'promised':>9}")
    table = [
        row(f"{clients} clients, one cold key", cold, 0.8, 1),
        row(f"{uncacheable} clients, uncacheable, first", first, 1.2, uncacheable),
        row(f"{uncacheable} clients, uncacheable, second", second, 0.7, uncacheable),
    ]
    for line, _ in table:
        print(line)
    return all(kept for _, kept in table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--uncacheable", type=int, default=50)
    options = parser.parse_args()
    sys.exit(not uvloop.run(main(options.rounds, options.clients, options.uncacheable)))
