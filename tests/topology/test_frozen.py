"""A node that is stopped in the middle of its work: what a purge says of it, and what it says when it goes on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.purge.relay import Relay
from tests.topology.city import ORIGIN, Settings, city, edge, own_word, request, shield

PAIR = {"shield-1": shield(), "edge-ams": edge("shield-1")}
TOWN = {**PAIR, "edge-nyc": edge("shield-1")}


class Observed(Relay):
    """A relay that tells when it holds something back that is for the hub, and when it has passed on its answer."""

    def __init__(self) -> None:
        super().__init__()
        self.holds = asyncio.Event()
        self.answered = asyncio.Event()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while octets := await reader.read(65536):
                for_hub = writer.get_extra_info("peername")[1] == self.to
                if for_hub and not self._flows.is_set():
                    self.holds.set()
                await self._flows.wait()
                writer.write(octets)
                await writer.drain()
                if self.holds.is_set() and not for_hub:
                    self.answered.set()


@pytest.fixture
async def relay() -> AsyncIterator[Observed]:
    """The network between edge-ams and the hub's admin port."""
    opened = Observed()
    await opened.open()
    yield opened
    await opened.close()


async def test_frozen_edge_is_fenced_after_its_lease_and_its_first_answer_is_not_the_old_one(
    tmp_path: Path, relay: Observed
) -> None:
    def through_relay(file: Settings) -> None:
        file["nodes"]["shield-1"]["admin"] = relay.url.removeprefix("http://")

    async with city(tmp_path, TOWN, start=False, change={"edge-ams": through_relay}) as town:
        relay.to = int(town.nodes["shield-1"].settings["admin"].rpartition(":")[2])
        await town.start(*TOWN)
        await town.ready(*TOWN)
        town.stub.script("/p", ["body=old&max-age=600&header=Surrogate-Key: t"])
        for name in ("edge-ams", "edge-nyc"):
            assert (await town.warm(name, "/p")).body == b"old"
        # The echo of a ping comes when the edge is frozen already, and waits for it; what comes later is held back.
        async with asyncio.timeout(5):
            relay.hold()
            await relay.holds.wait()
            town.freeze("edge-ams")
            relay.release()
            await relay.answered.wait()
            relay.hold()
        town.stub.script("/p", ["body=new&max-age=600&header=Surrogate-Key: t"])

        # While the frozen one may still hold a lease, nobody is told that this is over.
        hasty = await town.purge("edge-nyc", urls=[f"{ORIGIN}/p"], patience="100ms")
        assert (hasty.status, hasty.state, hasty.states["edge-ams"]) == (202, "accepted", "pending")
        patient = await town.purge("edge-nyc", tags=["t"])
        assert (patient.status, patient.state) == (207, "partial")
        assert patient.states == {"shield-1": "applied", "edge-nyc": "applied", "edge-ams": "fenced"}
        assert (await town.receipt("shield-1", hasty.document["id"])).states["edge-ams"] == "fenced"
        assert (await town.get("edge-nyc", "/p")).body == b"new"

        # A request and that echo wait in its sockets, and it reads of no order before it answers.
        async with town.client("edge-ams") as waiting:
            await waiting.send(request("/p"))
            town.thaw("edge-ams")
            assert (await waiting.hear()).body == b"new"
        relay.release()
        for number in (hasty.document["id"], patient.document["id"]):
            assert (await town.applied(number)).state == "complete"
        assert (await town.warm("edge-ams", "/p")).body == b"new"


async def test_edge_that_was_frozen_for_less_than_its_lease_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    async with city(tmp_path, PAIR, purge={"lease": "20s"}) as town:
        town.stub.script("/p", ["body=old&max-age=600"])
        await town.warm("edge-ams", "/p")
        asked = town.asked("/p")
        town.freeze("edge-ams")
        purging = asyncio.create_task(town.purge("shield-1", urls=[f"{ORIGIN}/other"]))
        await town.applied(1, "shield-1")
        town.thaw("edge-ams")
        said = await purging
        assert (said.status, said.states["edge-ams"]) == (200, "applied")
        assert own_word(await town.get("edge-ams", "/p")) == "HIT"
        assert town.asked("/p") == asked
