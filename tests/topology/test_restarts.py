"""Nodes that die and come back around a purge, the hub among them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.purge.relay import Relay
from tests.topology.city import ORIGIN, Settings, city, edge, own_word, request, shield, until

PAIR = {"shield-1": shield(), "edge-ams": edge("shield-1")}
TOWN = {**PAIR, "edge-nyc": edge("shield-1")}
ALL_APPLIED = dict.fromkeys(TOWN, "applied")


async def test_killed_edge_is_fenced_and_comes_back_without_the_old_one(tmp_path: Path) -> None:
    async with city(tmp_path, TOWN) as town:
        town.stub.script("/p", ["body=old&max-age=600"])
        await town.warm("edge-ams", "/p")
        await town.kill("edge-ams")
        town.stub.script("/p", ["body=new&max-age=600"])
        said = await town.purge("shield-1", urls=[f"{ORIGIN}/p"])
        assert (said.status, said.state, said.states) == (207, "partial", ALL_APPLIED | {"edge-ams": "fenced"})
        await town.start("edge-ams")
        assert (await town.get("edge-ams", "/p")).body == b"new"
        assert (await town.applied(said.document["id"])).states == ALL_APPLIED
        assert (await town.warm("edge-ams", "/p")).body == b"new"


async def test_purge_waits_for_an_edge_that_is_being_restarted(tmp_path: Path) -> None:
    # A lease that does not run out in this story: only the restarted edge itself can settle the purge.
    async with city(tmp_path, PAIR, purge={"lease": "10s"}) as town:
        town.stub.script("/p", ["body=old&max-age=600"])
        await town.warm("edge-ams", "/p")
        await town.kill("edge-ams")
        purging = asyncio.create_task(town.purge("shield-1", urls=[f"{ORIGIN}/p"]))
        await town.applied(1, "shield-1")
        assert not purging.done()
        await town.start("edge-ams")
        said = await purging
        assert (said.status, said.states) == (200, dict.fromkeys(PAIR, "applied"))


async def test_hub_that_was_killed_goes_on_with_its_journal(tmp_path: Path) -> None:
    async with city(tmp_path, TOWN) as town:
        town.stub.script("/p", ["body=old&max-age=600&etag&header=Surrogate-Key: t"])
        town.stub.script("/kept", ["body=kept&max-age=600&etag"])
        for path in ("/p", "/kept"):
            await town.warm("edge-ams", path)
        first = await town.purge("edge-ams", tags=["nothing"])
        assert (first.status, first.document["id"]) == (200, 1)

        await town.kill("shield-1")
        town.stub.script("/p", ["body=new&max-age=600&etag&header=Surrogate-Key: t"])
        await town.start("shield-1")
        second = await town.purge("shield-1", tags=["t"])
        assert second.document["id"] == 2
        # Whoever had reconnected by then has applied it; for whoever had not, its lease has run out.
        assert second.state in ("complete", "partial")
        for name in ("edge-ams", "edge-nyc"):
            assert (await town.get(name, "/p")).body == b"new"
        assert (await town.applied(2)).states == ALL_APPLIED

        past = await town.receipt("edge-nyc", 1)
        assert (past.status, past.states, past.document["tags"]) == (200, ALL_APPLIED, ["nothing"])
        listed = (await town.ask("edge-nyc", "/v1/purges")).document
        assert ([each["id"] for each in listed["purges"]], listed["first"], listed["last"]) == ([2, 1], 1, 2)
        await town.ready(*TOWN)
        third = await town.purge("edge-ams", urls=[f"{ORIGIN}/p"])
        assert (third.status, third.document["id"], third.states) == (200, 3, ALL_APPLIED)
        # The edges knew this journal: nothing but what was purged has been lost.
        asked = town.asked("/kept")
        assert (await town.warm("edge-ams", "/kept")).body == b"kept"
        assert town.asked("/kept") <= asked + 1  # for the shield, whose memory is new


async def test_journal_that_was_replaced_makes_everything_old_stale(tmp_path: Path) -> None:
    async with city(tmp_path, TOWN) as town:
        town.stub.script("/p", ["body=old&max-age=600"])
        town.stub.script("/q", ["body=old&max-age=600"])
        for name in ("edge-ams", "edge-nyc"):
            await town.warm(name, "/p")
            await town.warm(name, "/q")
        # edge-ams never hears of this order, and the journal that holds it is lost.
        town.freeze("edge-ams")
        said = await town.purge("edge-nyc", urls=[f"{ORIGIN}/p"])
        assert said.states["edge-ams"] == "fenced"
        await town.kill("shield-1")
        town.forget_journal()
        for path in ("/p", "/q"):
            town.stub.script(path, ["body=new&max-age=600"])
        await town.start("shield-1")
        async with town.client("edge-ams") as waiting:
            await waiting.send(request("/p"))
            town.thaw("edge-ams")
            assert (await waiting.hear()).body == b"new"
        await town.ready(*TOWN)
        # Nothing but the journal says whether /q was purged meanwhile, so it is asked for, on every node.
        for name in ("edge-ams", "edge-nyc"):
            got = await town.get(name, "/q")
            assert (got.body, own_word(got)) == (b"new", "MISS")
        again = await town.purge("edge-ams", urls=[f"{ORIGIN}/p"])
        assert (again.status, again.document["id"], again.states) == (200, 1, ALL_APPLIED)


async def test_hub_without_its_journal_does_not_take_for_fenced_who_holds_a_lease_of_the_one_before(
    tmp_path: Path,
) -> None:
    # A lease that is longer than the story, and a network that is cut before the new hub is there.
    relay = Relay()
    await relay.open()

    def through_relay(file: Settings) -> None:
        file["nodes"]["shield-1"]["admin"] = relay.url.removeprefix("http://")

    change = {"edge-ams": through_relay}
    try:
        async with city(tmp_path, PAIR, start=False, change=change, purge={"lease": "20s"}) as town:
            relay.to = int(town.nodes["shield-1"].settings["admin"].rpartition(":")[2])
            await town.start(*PAIR)
            await town.ready(*PAIR)
            town.stub.script("/p", ["body=old&max-age=600"])
            await town.warm("edge-ams", "/p")
            relay.to = None
            relay.cut()
            await town.kill("shield-1")
            town.forget_journal()
            await town.start("shield-1")
            said = await town.purge("shield-1", urls=[f"{ORIGIN}/p"], patience="100ms")
            assert own_word(await town.get("edge-ams", "/p")) == "HIT"
            assert (said.status, said.states["edge-ams"]) == (202, "pending")
    finally:
        await relay.close()


async def test_node_serves_nothing_it_stored_before_it_has_caught_up(tmp_path: Path) -> None:
    """A hub that is not there yet: its nodes say that they are not ready, and answer all the same."""
    async with city(tmp_path, PAIR, start=False) as town:
        town.stub.script("/p", ["body=first&max-age=600", "body=second&max-age=600"])
        await town.start("edge-ams")
        async with town.session.get(f"{town.nodes['edge-ams'].admin}/readyz") as answer:
            assert (answer.status, (await answer.json())["detail"]) == (503, "catching-up")
        assert (await town.get("edge-ams", "/p")).status == 502
        await town.start("shield-1")
        await town.ready("shield-1", "edge-ams")

        async def answers() -> bool:
            return (await town.get("edge-ams", "/p")).status == 200

        await until(answers, lambda: "edge-ams reaches its shield")
