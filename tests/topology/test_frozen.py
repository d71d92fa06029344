"""A node that is stopped in the middle of its work: what a purge says of it, and what it says when it goes on."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.topology.city import ORIGIN, city, edge, own_word, request, shield

TOWN = {"shield-1": shield(), "edge-ams": edge("shield-1"), "edge-nyc": edge("shield-1")}


async def test_frozen_edge_is_fenced_after_its_lease_and_its_first_answer_is_not_the_old_one(tmp_path: Path) -> None:
    async with city(tmp_path, TOWN) as town:
        town.stub.script("/p", ["body=old&max-age=600&header=Surrogate-Key: t"])
        for name in ("edge-ams", "edge-nyc"):
            assert (await town.warm(name, "/p")).body == b"old"
        town.freeze("edge-ams")
        town.stub.script("/p", ["body=new&max-age=600&header=Surrogate-Key: t"])

        # While the frozen one may still hold a lease, nobody is told that this is over.
        hasty = await town.purge("edge-nyc", urls=[f"{ORIGIN}/p"], timeout="100ms")
        assert (hasty.status, hasty.state, hasty.states["edge-ams"]) == (202, "accepted", "pending")
        patient = await town.purge("edge-nyc", tags=["t"])
        assert (patient.status, patient.state) == (207, "partial")
        assert patient.states == {"shield-1": "applied", "edge-nyc": "applied", "edge-ams": "fenced"}
        assert (await town.receipt("shield-1", hasty.document["id"])).states["edge-ams"] == "fenced"
        assert (await town.get("edge-nyc", "/p")).body == b"new"

        # A request waits in its sockets beside orders and echoes; whichever it reads first:
        async with town.client("edge-ams") as waiting:
            await waiting.send(request("/p"))
            town.thaw("edge-ams")
            assert (await waiting.hear()).body == b"new"
        for number in (hasty.document["id"], patient.document["id"]):
            assert (await town.applied(number)).state == "complete"
        assert (await town.warm("edge-ams", "/p")).body == b"new"


async def test_edge_that_was_frozen_for_less_than_its_lease_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    async with city(tmp_path, TOWN, purge={"lease": "20s"}) as town:
        town.stub.script("/p", ["body=old&max-age=600"])
        await town.warm("edge-ams", "/p")
        asked = town.asked("/p")
        town.freeze("edge-ams")
        purging = asyncio.create_task(town.purge("shield-1", urls=[f"{ORIGIN}/other"]))
        await town.applied(1, "shield-1", "edge-nyc")
        town.thaw("edge-ams")
        said = await purging
        assert (said.status, said.states["edge-ams"]) == (200, "applied")
        assert own_word(await town.get("edge-ams", "/p")) == "HIT"
        assert town.asked("/p") == asked
