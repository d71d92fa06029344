"""An origin of several addresses: one that is dead, or dies, costs nobody an answer."""

from __future__ import annotations

import asyncio
from pathlib import Path

from origin_stub import OriginStub
from tests.topology.city import Settings, city, edge
from tests.topology.ports import free_ports

REPLY = "body=x&cache-control=no-store"


async def test_no_client_sees_that_an_address_of_the_origin_is_dead(tmp_path: Path) -> None:
    (nobody,) = free_ports(1)
    async with OriginStub() as other:

        def three(stub: OriginStub) -> Settings:
            return {"urls": [f"http://127.0.0.1:{nobody}", stub.url, other.url]}

        async with city(tmp_path, {"edge-1": edge()}, origin=three) as town:
            for stub in (town.stub, other):
                stub.script("/*", [REPLY])

            async def burst(name: str) -> set[tuple[int, bytes]]:
                gets = [town.get("edge-1", f"/{name}/{number}") for number in range(40)]
                posts = [town.get("edge-1", f"/{name}/post", method="POST", data=b"sent") for _ in range(10)]
                return {(got.status, got.body) for got in await asyncio.gather(*gets, *posts)}

            assert await burst("one-is-dead") == {(200, b"x")}
            assert min(town.stub.total.count, other.total.count) > 10  # both of the others had their share
            assert town.stub.total.body_bytes + other.total.body_bytes == 10 * len(b"sent")  # and nothing came twice

            # Another one goes, with connections of ours open to it.
            await other.stop()
            assert await burst("two-are-dead") == {(200, b"x")}
