"""Every topology that the repository shows is one that works, as its users would try it."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from pathlib import Path

import aiohttp
import pytest

from seawall.config.load import load
from seawall.config.roles import Role
from tests.console.command import run, running
from tests.structure.sources import ROOT
from tests.topology.city import gone, until
from tests.topology.ports import free_ports

CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))


def moved(config: Path, directory: Path) -> Path:
    """The file with ports that nobody has."""
    text = config.read_text()
    ports = sorted(set(re.findall(r"127\.0\.0\.1:([0-9]+)", text)))
    free = {port: str(new) for port, new in zip(ports, free_ports(len(ports)), strict=True)}
    file = directory / config.name
    file.write_text(re.sub(r"127\.0\.0\.1:([0-9]+)", lambda found: f"127.0.0.1:{free[found[1]]}", text))
    return file


def test_there_are_the_topologies_that_were_promised() -> None:
    names = {config.stem for config in CONFIGS}
    assert names >= {"demo", "two-regions", "edge-on-origin", "shield-behind-shield"}


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.stem)
async def test_topology_starts_serves_purges_and_ends(config: Path, tmp_path: Path) -> None:
    file = moved(config, tmp_path)
    nodes = load(str(file)).nodes
    caching = [name for name, node in nodes.items() if node.role.caches]
    edges = {name: str(node.listen) for name, node in nodes.items() if node.role is Role.EDGE}
    assert edges
    async with running(tmp_path, "up", str(file), "--json") as up, aiohttp.ClientSession() as session:
        await up.event("up")
        pids = {said["node"]: said["pid"] for said in up.seen if said["event"] == "ready"}
        assert pids.keys() == nodes.keys()

        async def word(address: str) -> str:
            url = f"http://{address}/make/max-age=600&size=1KiB/x"
            async with session.get(url, headers={"Host": "shop.example"}) as answer:
                assert answer.status == 200
                assert len(await answer.read()) == 1024
                return str(answer.headers["X-Cache"].rpartition(", ")[2])

        async def all_ready() -> bool:
            for name in caching:
                async with session.get(f"http://{nodes[name].admin}/readyz") as answer:
                    if answer.status != 200:
                        return False
            return True

        await until(all_ready, lambda: "all nodes are ready")
        for address in edges.values():

            async def hit(address: str = address) -> bool:
                return await word(address) == "HIT"

            await until(hit, lambda: "a hit")

        admin = f"http://{nodes[next(iter(edges))].admin}"
        words = ("purge", "--url", "http://shop.example/make/max-age=600&size=1KiB/x", "--admin", admin, "--json")
        ended = await asyncio.to_thread(run, tmp_path, *words)
        assert ended.returncode == 0, ended.stderr
        said = json.loads(ended.stdout)
        assert (said["state"], said["matched"]) == ("complete", len(caching))
        assert {node["node"]: node["state"] for node in said["nodes"]} == dict.fromkeys(caching, "applied")
        for address in edges.values():
            assert await word(address) == "MISS"

        assert await up.end(signal.SIGINT) == 0
        assert all(gone(pid) for pid in pids.values())
