"""An edge that its hub cannot be reached from, while its shield can: it asks before it serves, and catches up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.purge.relay import Relay
from tests.topology.city import ORIGIN, City, Settings, city, edge, own_status, own_word, shield, until

TOWN = {"shield-1": shield(), "edge-ams": edge("shield-1"), "edge-nyc": edge("shield-1")}


@pytest.fixture
async def relay() -> AsyncIterator[Relay]:
    """The network between edge-ams and the hub's admin port."""
    opened = Relay()
    await opened.open()
    yield opened
    await opened.close()


def connect(town: City, relay: Relay) -> None:
    relay.to = int(town.nodes["shield-1"].settings["admin"].rpartition(":")[2])


def cut(relay: Relay) -> None:
    relay.to = None
    relay.cut()


async def test_edge_without_its_hub_asks_before_it_serves_and_catches_up_afterwards(
    tmp_path: Path, relay: Relay
) -> None:
    def through_relay(file: Settings) -> None:
        file["nodes"]["shield-1"]["admin"] = relay.url.removeprefix("http://")

    async with city(tmp_path, TOWN, start=False, change={"edge-ams": through_relay}) as town:
        connect(town, relay)
        await town.start(*TOWN)
        await town.ready(*TOWN)
        town.stub.script("/p", ["body=old&max-age=600&etag"])
        town.stub.script("/kept", ["body=kept&max-age=600&etag"])
        for path in ("/p", "/kept"):
            await town.warm("edge-ams", path)

        # A firewall that drops: the connection stays, and nothing comes through it.
        relay.hold()
        town.stub.script("/p", ["body=newer&max-age=600&etag"])
        said = await town.purge("shield-1", urls=[f"{ORIGIN}/p"])
        assert (said.status, said.states["edge-ams"]) == (207, "fenced")
        assert (await town.get("edge-ams", "/p")).body == b"newer"
        relay.release()
        assert (await town.applied(said.document["id"])).state == "complete"
        await town.warm("edge-ams", "/kept")

        # A cable that is pulled: connections end, and no other is to be had.
        cut(relay)

        async def asks() -> bool:
            got = await town.get("edge-ams", "/kept")
            assert (got.status, got.body) == (200, b"kept")  # before and after the lease: it goes on serving
            return own_word(got) != "HIT"

        await until(asks, lambda: "edge-ams asks before it serves")
        assert "fwd=stale" in own_status(again := await town.get("edge-ams", "/kept"))
        assert "detail=fenced" in own_status(again)
        assert town.asked("/kept") == 1  # the shield, not the origin, is who it asks

        # It has not heard of this purge, and does not serve what it was for.
        town.stub.script("/p", ["body=new&max-age=600&etag"])
        said = await town.purge("edge-nyc", urls=[f"{ORIGIN}/p"])
        assert (said.status, said.states["edge-ams"]) == (207, "fenced")
        assert (await town.get("edge-ams", "/p")).body == b"new"
        refused = await town.purge("edge-ams", urls=[f"{ORIGIN}/p"])
        assert refused.status in (502, 503)
        assert refused.is_problem

        connect(town, relay)
        assert (await town.applied(said.document["id"])).state == "complete"
        assert (await town.warm("edge-ams", "/kept")).body == b"kept"
        assert (await town.warm("edge-ams", "/p")).body == b"new"
        assert town.asked("/kept") == 1  # what no purge had named was not fetched again
