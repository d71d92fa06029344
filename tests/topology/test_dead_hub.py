"""A purge that cannot be written down is a loud error, whoever is asked for it and however."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests.console.command import run
from tests.topology.city import ORIGIN, Settings, city, edge, own_word, shield

# The hub is a node of its own, so that the others lose nothing else with it.
TOWN = {"hub": edge(), "shield-1": shield(), "edge-ams": edge("shield-1")}
PURGE = {"hub": "hub", "lease": "30s"}


def allow_here(file: Settings) -> None:
    file["purge"]["allow"] = ["127.0.0.1/32"]


async def test_purge_at_a_dead_hub_is_a_loud_error_on_every_node(tmp_path: Path) -> None:
    async with city(tmp_path, TOWN, purge=PURGE, change={"edge-ams": allow_here}) as town:
        town.stub.script("/p", ["body=old&max-age=600"])
        await town.warm("edge-ams", "/p")
        await town.kill("hub")
        for name in ("shield-1", "edge-ams"):
            said = await town.purge(name, urls=[f"{ORIGIN}/p"])
            assert said.status in (502, 503), said
            assert said.is_problem
            assert "purged" in said.document["detail"]
            for path in ("/v1/purges", "/v1/purges/1", "/v1/topology"):
                assert (await town.ask(name, path)).status in (502, 503)
        words = ("purge", "--url", f"{ORIGIN}/p", "--admin", town.nodes["edge-ams"].admin)
        for more in ((), ("--json", "--wait", "accepted"), ("--dry-run",)):
            ended = await asyncio.to_thread(run, town.state, *words, *more)
            assert (ended.returncode, ended.stdout) == (1, ""), ended
            assert "gave no answer" in ended.stderr
        refused = await town.get("edge-ams", "/p", method="PURGE")
        assert refused.status in (502, 503)
        assert json.loads(refused.body)["status"] == refused.status

        # Nothing was purged, as was said; and the hub that comes back knows of none of these.
        assert own_word(await town.get("edge-ams", "/p")) == "HIT"
        await town.start("hub")
        await town.ready(*TOWN)
        assert (await town.ask("edge-ams", "/v1/purges")).document["purges"] == []
        assert own_word(await town.get("edge-ams", "/p")) == "HIT"
