"""A shield that is gone: what its edges go on with, and whom they ask instead."""

from __future__ import annotations

import asyncio
from itertools import count
from pathlib import Path

from tests.edge.house import Got
from tests.topology.city import City, city, edge, own_status, own_word, shield, until

# The purge hub is a node of its own here, or its lease would decide what these stories are about.
HUB = {"hub": "hub", "lease": "30s"}
TWO_PARENTS = {
    "hub": edge(),
    "shield-eu": shield(region="eu"),
    "shield-us": shield(region="us"),
    "edge-ams": edge("shield-us", "shield-eu", region="eu"),
    "edge-own": edge("shield-us", "shield-eu", region="eu", origin_fallback=True),
}


async def test_edges_serve_fresh_then_stale_where_allowed_then_502_or_ask_the_origin(tmp_path: Path) -> None:
    nodes = {
        "hub": edge(),
        "shield-1": shield(),
        "edge-ams": edge("shield-1"),
        "edge-nyc": edge("shield-1", origin_fallback=True),
    }
    async with city(tmp_path, nodes, purge=HUB) as town:
        town.stub.script("/fresh", ["body=fresh&max-age=600"])
        town.stub.script("/stale", ["body=stale&cache-control=max-age=1, stale-if-error=600"])
        town.stub.script("/strict", ["body=strict&cache-control=max-age=1, must-revalidate"])
        for name in ("edge-ams", "edge-nyc"):
            for path in ("/fresh", "/stale", "/strict"):
                assert (await town.get(name, path)).status == 200
        await town.kill("shield-1")

        assert own_word(await town.get("edge-ams", "/fresh")) == "HIT"
        await until(lambda: _says(town, "edge-ams", "/stale", "STALE"), lambda: "stale content")
        got = await town.get("edge-ams", "/stale")
        assert (got.status, got.body) == (200, b"stale")
        await until(lambda: _status(town, "edge-ams", "/strict", 502), lambda: "502 for what must not be stale")
        got = await town.get("edge-ams", "/never-seen")
        assert (got.status, got.headers["content-type"]) == (502, "application/problem+json")
        assert "detail=connect-failed" in own_status(got)
        assert town.asked("/never-seen") == 0

        town.stub.script("/never-seen", ["body=from the origin&max-age=600"])
        got = await town.get("edge-nyc", "/never-seen")
        assert (got.status, got.body) == (200, b"from the origin")
        assert (await town.get("edge-nyc", "/strict")).status == 200
        assert own_word(await town.warm("edge-nyc", "/never-seen")) == "HIT"

        # It is back: the edges find it by themselves.
        await town.start("shield-1")
        town.stub.script("/again", ["body=again&cache-control=no-store"])
        await until(lambda: _through(town, "edge-ams", "/again", "shield-1"), lambda: "edge-ams asks its shield again")
        await until(lambda: _through(town, "edge-nyc", "/again", "shield-1"), lambda: "edge-nyc asks its shield again")


async def test_other_parent_takes_over_and_the_preferred_one_gets_its_edges_back(tmp_path: Path) -> None:
    async with city(tmp_path, TWO_PARENTS, purge=HUB) as town:
        town.stub.script("/*", ["body=x&cache-control=no-store"])
        await _origin_that_fails_is_not_taken_for_a_shield_that_does(town)
        seen = await asyncio.gather(*(town.get("edge-ams", f"/before/{number}") for number in range(20)))
        assert {parents(got) for got in seen} == {("shield-eu", "edge-ams")}

        # Gone: not one client notices. (Five failures would eject it for ten seconds, which is another story.)
        await town.kill("shield-eu")
        seen = await asyncio.gather(*(town.get("edge-ams", f"/gone/{number}") for number in range(4)))
        assert {(got.status, parents(got)) for got in seen} == {(200, ("shield-us", "edge-ams"))}
        await town.start("shield-eu")
        await until(lambda: _through(town, "edge-ams", "/back", "shield-eu"), lambda: "the preferred parent again")

        # Frozen: it takes connections and says nothing, which its readiness tells.
        town.freeze("shield-eu")

        numbers = count()

        async def answered() -> bool:
            # Another key each time: whoever asks for one that is waited for already waits with it.
            try:
                async with asyncio.timeout(0.5):
                    return parents(await town.get("edge-ams", f"/freezes/{next(numbers)}")) == ("shield-us", "edge-ams")
            except TimeoutError:
                return False

        await until(answered, lambda: "the other parent takes over")
        seen = await asyncio.gather(*(town.get("edge-ams", f"/frozen/{number}") for number in range(40)))
        assert {(got.status, parents(got)) for got in seen} == {(200, ("shield-us", "edge-ams"))}
        town.thaw("shield-eu")
        await until(lambda: _through(town, "edge-ams", "/thawed", "shield-eu"), lambda: "the preferred parent again")


async def _origin_that_fails_is_not_taken_for_a_shield_that_does(town: City) -> None:
    """What a parent passes on is the origin's word: no other parent is asked because of it, nor the origin itself."""
    town.stub.script("/down/*", ["status=503&cache-control=no-store"])
    for name in ("edge-ams", "edge-own"):
        for number in range(12):
            path = f"/down/{name}/{number}"
            got = await town.get(name, path)
            assert (got.status, parents(got), town.asked(path)) == (503, ("shield-eu", name), 1)


def parents(got: Got) -> tuple[str, ...]:
    """The nodes that this came through, the nearest to the origin first."""
    return tuple(via.removeprefix("1.1 ") for via in got.headers["via"].split(", "))


async def _says(town: City, name: str, path: str, word: str) -> bool:
    return own_word(await town.get(name, path)) == word


async def _status(town: City, name: str, path: str, status: int) -> bool:
    return (await town.get(name, path)).status == status


async def _through(town: City, name: str, path: str, parent: str) -> bool:
    got = await town.get(name, path)
    return got.status == 200 and parents(got) == (parent, name)
