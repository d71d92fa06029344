"""Nodes with a disk that stop, are killed and come back: what was fresh is a HIT, what was purged stays purged."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.topology.city import ORIGIN, City, city, edge, own_status, own_word, shield, until

DISK = {"memory": {"size": "8MiB"}, "disk": {"size": "64MiB"}}
ALONE = {"edge-1": edge()}
PAIR = {"shield-1": shield(), "edge-ams": edge("shield-1")}
MANY = 100


async def fill(town: City, name: str) -> list[str]:
    """A hundred objects with a tag each of ten, fresh for an hour; returned when the disk has them."""
    paths = [f"/o/{number}" for number in range(MANY)]
    for number, path in enumerate(paths):
        town.stub.script(path, [f"body=v1-{number}&max-age=3600&etag&header=Surrogate-Key: t{number % 10}"])
    for _ in range(2):
        await asyncio.gather(*(town.get(name, path) for path in paths))
    await on_disk(town, name)
    return paths


async def on_disk(town: City, name: str) -> None:
    async def written() -> bool:
        disk = (await town.ask(name, "/v1/stats")).document["store"]["disk"]
        return disk["waiting"] == 0

    await until(written, lambda: "the disk has everything")


async def words(town: City, name: str, paths: list[str]) -> dict[str, str]:
    return {path: own_word(await town.get(name, path)) for path in paths}


async def test_what_was_fresh_is_a_hit_after_a_restart_and_a_purge_before_it_holds(tmp_path: Path) -> None:
    async with city(tmp_path, ALONE, store=DISK) as town:
        paths = await fill(town, "edge-1")
        purged = await town.purge("edge-1", tags=["t3"])
        assert (purged.state, purged.document["matched"]) == ("complete", 10)
        town.terminate("edge-1")
        await town.ended("edge-1")
        asked = {path: town.asked(path) for path in paths}
        await town.start("edge-1")
        found = await words(town, "edge-1", paths)
        gone = set(paths[3::10])
        assert {path for path, word in found.items() if word != "HIT"} == gone
        assert {path for path in paths if town.asked(path) != asked[path]} == gone
        again = await town.purge("edge-1", urls=[ORIGIN + paths[0]])
        assert (again.document["id"], again.document["matched"]) == (2, 1), "the numbers go on, and tags and URLs too"


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_purge_right_before_sigterm_holds(tmp_path: Path, workers: int) -> None:
    """The node is told to stop while it is still being carried out, and while all of it waits for the disk."""
    async with city(tmp_path, {"edge-1": edge(workers=workers)}, store=DISK) as town:
        paths = await fill(town, "edge-1")
        for number, path in enumerate(paths):
            town.stub.script(path, [f"body=v2-{number}&max-age=3600&etag"])
        ordering = asyncio.create_task(town.purge("edge-1", tags=["t3"]))
        await journalled(town, "edge-1")
        town.terminate("edge-1")
        await asyncio.gather(ordering, return_exceptions=True)
        assert await town.ended("edge-1") == 0
        await town.start("edge-1")
        await town.ready("edge-1")
        for number, path in enumerate(paths):
            got = await town.get("edge-1", path)
            assert got.body == f"v{2 if number % 10 == 3 else 1}-{number}".encode(), path
        listed = (await town.ask("edge-1", "/v1/purges")).document["purges"]
        assert [each["id"] for each in listed] == [1]


async def journalled(town: City, name: str) -> None:
    """The order is written down: from here on it has to hold, whatever becomes of its answer."""
    journal = town.state / "seawall" / name / "journal"

    async def written() -> bool:
        return any(b"t3" in file.read_bytes() for file in journal.iterdir() if file.is_file())

    await until(written, lambda: "the purge is in the journal")


async def test_killed_node_comes_back_with_what_the_disk_had_and_without_what_was_purged(tmp_path: Path) -> None:
    async with city(tmp_path, ALONE, store=DISK) as town:
        paths = await fill(town, "edge-1")
        assert (await town.purge("edge-1", prefixes=[f"{ORIGIN}/o/4"])).state == "complete"
        await town.kill("edge-1")
        await town.start("edge-1")
        gone = {path for path in paths if path.startswith("/o/4")}
        found = await words(town, "edge-1", paths)
        assert {path for path, word in found.items() if word != "HIT"} == gone


async def test_edge_that_was_dead_during_a_purge_does_not_bring_the_old_one_up_from_its_disk(tmp_path: Path) -> None:
    async with city(tmp_path, PAIR, store=DISK) as town:
        paths = await fill(town, "edge-ams")
        await town.kill("edge-ams")
        for number in range(5, MANY, 10):
            town.stub.script(paths[number], [f"body=v2-{number}&max-age=3600&etag"])
        assert (await town.purge("shield-1", tags=["t5"])).states["edge-ams"] == "fenced"
        await town.start("edge-ams")
        await town.ready("edge-ams")
        for number, path in enumerate(paths):
            got = await town.get("edge-ams", path)
            old = b"v2-" if number % 10 == 5 else b"v1-"
            assert got.body == old + str(number).encode(), path
            assert own_word(got) == ("MISS" if number % 10 == 5 else "HIT"), path


async def test_lost_journal_makes_everything_on_disk_a_question(tmp_path: Path) -> None:
    async with city(tmp_path, PAIR, store=DISK) as town:
        paths = (await fill(town, "edge-ams"))[:20]
        for name in PAIR:
            await town.kill(name)
        town.forget_journal()
        await town.start(*PAIR)
        await town.ready(*PAIR)
        for path in paths:
            got = await town.get("edge-ams", path)
            assert own_word(got) == "MISS"
            assert "fwd-status=304" in own_status(got) or "fwd-status=200" in own_status(got), own_status(got)
        assert set((await words(town, "edge-ams", paths)).values()) == {"HIT"}


async def test_soft_purge_and_an_unsafe_request_hold_through_a_crash(tmp_path: Path) -> None:
    async with city(tmp_path, ALONE, store=DISK) as town:
        paths = await fill(town, "edge-1")
        assert (await town.purge("edge-1", tags=["t1"], soft=True)).document["matched"] == 10
        town.stub.script(paths[2], ["status=204"])
        assert (await town.get("edge-1", paths[2], method="POST")).status == 204
        await on_disk(town, "edge-1")
        await town.kill("edge-1")
        for path in (paths[1], paths[2]):
            town.stub.script(path, ["body=new&max-age=3600&etag"])
        await town.start("edge-1")
        for path in (paths[1], paths[2]):
            got = await town.get("edge-1", path)
            assert (own_word(got), got.body) == ("MISS", b"new"), path
        assert own_word(await town.get("edge-1", paths[4])) == "HIT"


async def test_dry_run_counts_what_lies_on_disk_only(tmp_path: Path) -> None:
    async with city(tmp_path, ALONE, store=DISK) as town:
        await fill(town, "edge-1")
        town.terminate("edge-1")
        await town.ended("edge-1")
        await town.start("edge-1")
        said = await town.purge("edge-1", tags=["t7"], dry_run=True)
        assert said.document["matched"] == 10
        said = await town.purge("edge-1", tags=["t7"])
        assert said.document["matched"] == 10
