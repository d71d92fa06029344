"""An edge that is told to stop under load: what was sent is answered, and purges go on until it has gone."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from tests.topology.city import ORIGIN, City, city, edge, request, shield, until

TOWN = {"shield-1": shield(), "edge-ams": edge("shield-1")}


async def drains(town: City, name: str) -> bool:
    async with town.session.get(f"{town.nodes[name].admin}/readyz") as answer:
        return answer.status == 503


async def test_draining_edge_applies_purges_and_finishes_what_is_under_way(tmp_path: Path) -> None:
    async with city(tmp_path, TOWN, limits={"drain_timeout": "20s"}) as town:
        town.stub.script("/slow/*", ["size=100KiB&max-age=600&gate=g"])
        under_way = [asyncio.create_task(town.get("edge-ams", f"/slow/{number}")) for number in range(20)]
        await town.stub.parked("g", 20)
        town.terminate("edge-ams")
        await until(lambda: drains(town, "edge-ams"), lambda: "edge-ams drains")
        for at in ("shield-1", "edge-ams"):
            said = await town.purge(at, urls=[f"{ORIGIN}/slow/1"])
            assert (said.status, said.states) == (200, {"shield-1": "applied", "edge-ams": "applied"})
        town.stub.open("g")
        for number, got in enumerate(await asyncio.gather(*under_way)):
            assert (got.status, got.body) == (200, town.stub.body(f"/slow/{number}", 100 * 1024))
        assert await town.ended("edge-ams") == 0
        # It has taken leave: nobody waits for its lease.
        said = await town.purge("shield-1", urls=[f"{ORIGIN}/slow/1"], patience="500ms")
        assert (said.status, said.states["edge-ams"]) == (207, "fenced")


async def test_whoever_got_through_to_an_edge_that_is_told_to_stop_is_answered(tmp_path: Path) -> None:
    """Clients as after a deploy that takes this edge out: each request on a connection of its own."""
    async with city(tmp_path, TOWN) as town:
        town.stub.script("/hot", ["size=10KiB&max-age=600"])
        body = (await town.warm("edge-ams", "/hot")).body
        answered = 0
        busy = asyncio.Event()

        async def client() -> None:
            nonlocal answered
            async with AsyncExitStack() as stack:
                while True:
                    try:
                        connection = await stack.enter_async_context(town.client("edge-ams"))
                    except ConnectionError:
                        return  # nobody listens any more: nothing was sent
                    heard = await connection.ask(request("/hot"))
                    assert (heard.status, heard.body) == (200, body)
                    await stack.pop_all().aclose()
                    answered += 1
                    if answered == 200:
                        busy.set()

        async with asyncio.TaskGroup() as clients:
            for _ in range(20):
                clients.create_task(client())
            await busy.wait()
            town.terminate("edge-ams")
        assert await town.ended("edge-ams") == 0
