"""How long a purge takes: confirmed by a shield and eight edges, each behind a link of 10 ms, over real processes.

    python -m bench.purge [--purges 300] [--latency 10ms] [--tagged 10000]

Prints percentiles of POST /v1/purge with wait=all, asked at the hub and at an edge, and of a tag with many objects.
Loopback only; ends by itself and ends only what it started.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import socket
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp

from origin_stub import OriginStub

EDGES = 8
HOST = "shop.example"
FETCHERS = 64


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def topology(origin: str, latency: str) -> tuple[str, dict[str, tuple[int, int]]]:
    """The file, and each node's data and admin port."""
    names = ["shield-1", *(f"edge-{number}" for number in range(EDGES))]
    ports = free_ports(2 * len(names))
    where = {name: (ports[2 * index], ports[2 * index + 1]) for index, name in enumerate(names)}
    lines = ["version: 1", f"origins: {{app: {{url: '{origin}'}}}}", "nodes:"]
    for name, (data, admin) in where.items():
        more = (
            "role: shield" if name == "shield-1" else f"role: edge, parents: [shield-1], link: {{latency: {latency}}}"
        )
        lines.append(f"  {name}: {{{more}, listen: '127.0.0.1:{data}', admin: '127.0.0.1:{admin}'}}")
    return "\n".join(lines) + "\n", where


def percentiles(seconds: list[float]) -> str:
    ordered = sorted(seconds)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000

    return f"p50 {at(0.5):7.1f} ms   p99 {at(0.99):7.1f} ms   max {ordered[-1] * 1000:7.1f} ms   n={len(ordered)}"


class Bench:
    """The running topology, and who asks it."""

    def __init__(self, session: aiohttp.ClientSession, where: dict[str, tuple[int, int]], state: Path) -> None:
        self._session = session
        self._where = where
        self._state = state

    def _token(self, node: str) -> str:
        return (self._state / "seawall" / node / "admin.token").read_text().strip()

    async def ready(self) -> None:
        async with asyncio.timeout(30):
            for _, admin in self._where.values():
                while True:
                    try:
                        async with self._session.get(f"http://127.0.0.1:{admin}/readyz") as response:
                            if response.status == 200:
                                break
                    except aiohttp.ClientError:
                        pass
                    await asyncio.sleep(0.05)

    async def fetch(self, node: str, path: str) -> None:
        url = f"http://127.0.0.1:{self._where[node][0]}{path}"
        async with self._session.get(url, headers={"Host": HOST}) as response:
            await response.read()
            if response.status != 200:
                raise RuntimeError(f"{url}: {response.status}")

    async def purge(self, node: str, **what: object) -> tuple[float, dict[str, object]]:
        url = f"http://127.0.0.1:{self._where[node][1]}/v1/purge"
        began = time.perf_counter()
        fields = {"Authorization": f"Bearer {self._token(node)}"}
        async with self._session.post(url, json={**what, "wait": "all"}, headers=fields) as response:
            document = await response.json()
            if response.status != 200 or document["state"] != "complete":
                raise RuntimeError(f"{response.status} {document}")
        return time.perf_counter() - began, document

    async def fill(self, node: str, paths: list[str]) -> None:
        waiting = iter(paths)

        async def work() -> None:
            for path in waiting:
                await self.fetch(node, path)

        await asyncio.gather(*(work() for _ in range(FETCHERS)))


async def main(purges: int, latency: str, tagged: int) -> None:
    async with AsyncExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stub = await stack.enter_async_context(OriginStub())
        text, where = topology(stub.url, latency)
        file = state / "topology.yaml"
        file.write_text(text)
        up = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "console.main", "up", str(file),
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, "XDG_STATE_HOME": str(state)},
        )  # fmt: skip
        try:
            session = await stack.enter_async_context(
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=60))
            )
            bench = Bench(session, where, state)
            await bench.ready()
            print(
                f"a shield and {EDGES} edges, links of {latency}; {platform.python_version()}, {os.cpu_count()} cores"
            )
            for asked, label in (("shield-1", "asked at the hub"), ("edge-0", "asked at an edge")):
                seconds = []
                for number in range(purges):
                    path = f"/make/x{number % 10}?max-age=600&size=100"
                    await bench.fetch("edge-0", path)
                    took, document = await bench.purge(asked, urls=[f"http://{HOST}{path}"])
                    if document["matched"] != 2:
                        raise RuntimeError(f"matched {document['matched']}, the shield and one edge had it")
                    seconds.append(took)
                print(f"one URL, {label:<18} {percentiles(seconds)}")
            took_by_tag: list[float] = []
            for _ in range(3):
                paths = [
                    f"/make/t{number}?max-age=600&size=100&header=Surrogate-Key:%20catalogue"
                    for number in range(tagged)
                ]
                await bench.fill("edge-0", paths)
                took, document = await bench.purge("shield-1", tags=["catalogue"])
                if document["matched"] != 2 * tagged:
                    raise RuntimeError(f"matched {document['matched']} of {2 * tagged}")
                took_by_tag.append(took)
            shown = ", ".join(f"{took * 1000:.0f}" for took in took_by_tag)
            median = statistics.median(took_by_tag) * 1000
            print(f"a tag with {tagged} objects on two nodes: {shown} ms, median {median:.0f}")
            print(json.dumps({"purge_bench": 1, "tag_ms": [round(took * 1000, 1) for took in took_by_tag]}))
        finally:
            up.terminate()
            async with asyncio.timeout(30):
                await up.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--purges", type=int, default=300)
    parser.add_argument("--latency", default="10ms")
    parser.add_argument("--tagged", type=int, default=10_000)
    options = parser.parse_args()
    asyncio.run(main(options.purges, options.latency, options.tagged))
