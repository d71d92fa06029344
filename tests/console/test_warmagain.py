"""`seawall purge --rewarm`: what was asked for most of what was purged is there again, and in its new version."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from console.purge import Options, purge
from tests.purge.house import ADMIN, house
from tests.topology.city import HOST, City, city, edge, own_word, shield

URL = f"http://{HOST}"
TOWN = {"shield-1": shield(), "edge-ams": edge("shield-1")}
TAGGED = "body={}&max-age=600&header=Surrogate-Key: shop"


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[City]:
    """/1 was asked for once from the store, /2 twice ...; all carry the tag."""
    async with city(tmp_path, TOWN) as built:
        built.stub.script("/*", [TAGGED.format("old")])
        for number in range(1, 5):
            for _ in range(number + 1):
                await built.get("edge-ams", f"/{number}")
        built.stub.script("/*", [TAGGED.format("new")])
        yield built


async def told(town: City, options: Options, *, token: str | None = None, json: bool = True) -> int:
    where, known = town.nodes["edge-ams"].admin, token or town.token("edge-ams")
    return await asyncio.to_thread(purge, where, known, options, json=json)


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


async def words(town: City) -> list[str]:
    """What each URL's next client gets."""
    found = [await town.get("edge-ams", f"/{number}", ("Accept-Encoding", "gzip, br")) for number in range(1, 5)]
    assert {got.body for got in found} == {b"new"}
    return [own_word(got) for got in found]


async def test_the_most_asked_are_hits_again_and_new(town: City, capsys: pytest.CaptureFixture[str]) -> None:
    assert await told(town, Options(tags=("shop",), rewarm="top:2")) == 0
    document = said(capsys)
    assert (document["state"], document["matched"]) == ("complete", 8)
    again = document["rewarm"]
    assert (again["state"], again["wanted"], again["stored"], again["failed"]) == ("complete", 2, 2, 0)
    assert await words(town) == ["MISS", "MISS", "HIT", "HIT"]

    assert await told(town, Options(urls=(f"{URL}/1", f"{URL}/2"), rewarm="top:9"), json=False) == 0
    assert "warmed again: 2 of 2 URLs: 2 stored" in capsys.readouterr().out


async def test_a_dry_run_warms_nothing(town: City, capsys: pytest.CaptureFixture[str]) -> None:
    before = town.stub.total.count
    assert await told(town, Options(tags=("shop",), rewarm="top:2", dry_run=True)) == 0
    assert said(capsys)["rewarm"] == {"state": "not done", "stopped": "a dry run purges nothing"}
    assert town.stub.total.count == before


async def test_a_purge_that_is_not_complete_is_not_followed_by_one(
    town: City, capsys: pytest.CaptureFixture[str]
) -> None:
    before = town.stub.total.count
    town.freeze("edge-ams")
    where = town.nodes["shield-1"].admin
    asking = Options(tags=("shop",), rewarm="top:2", timeout="10s")
    assert await asyncio.to_thread(purge, where, town.token("shield-1"), asking, json=True) == 3
    assert said(capsys)["rewarm"] == {"state": "not done", "stopped": "the purge is not complete"}
    town.thaw("edge-ams")
    assert town.stub.total.count == before


async def test_several_purges_are_one_ranking(town: City, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    names = tmp_path / "names"
    names.write_text("".join(f"{URL}/{number}\n" for number in range(2, 1503)))
    assert await told(town, Options(from_file=str(names), rewarm="top:2")) == 0
    document = said(capsys)
    assert (len(document["purges"]), document["rewarm"]["stored"]) == (2, 2)
    assert town.asked("/4") == town.asked("/3") == 2
    assert town.asked("/2") == 1


async def test_an_origin_in_trouble_ends_it_and_the_purge_stands(
    town: City, capsys: pytest.CaptureFixture[str]
) -> None:
    town.stub.script("/*", ["status=503"])
    assert await told(town, Options(tags=("shop",), rewarm="top:4")) == 1
    document = said(capsys)
    assert (document["state"], document["rewarm"]["failed"]) == ("complete", 4)


async def test_a_node_that_cannot_say_what_is_popular_purges_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with house(tmp_path) as home:
        await home.open_hub(ranks={})
        home.shelf.fill()
        assert home.port is not None
        asking = Options(tags=("t",), rewarm="top:2")
        assert await asyncio.to_thread(purge, home.port.address, ADMIN, asking, json=True) == 1
        assert len(home.shelf.held) == 1
    document = said(capsys)
    assert (document["state"], document["matched"]) == ("complete", 2)
    assert document["rewarm"]["state"] == "not done"
    assert "404" in document["rewarm"]["stopped"]


@pytest.mark.parametrize("text", ["2", "top", "top:", "top:0", "top:x", "top:99999999", "bottom:2"])
def test_2_when_it_cannot_mean_anything(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert purge("127.0.0.1:1", "t", Options(tags=("t",), rewarm=text), json=False) == 2
    assert "top:N" in capsys.readouterr().err
