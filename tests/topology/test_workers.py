"""A node of two processes is one node: one port, one receipt, one set of numbers, whichever of them answers."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.downstream.client import Client
from tests.topology.city import ORIGIN, City, Settings, city, edge, gone, own_word, request, shield, until
from tests.topology.workers import another, frozen, pids, send, warm_all

ONE = {"edge-ams": edge(workers=2)}
PAIR = {"shield-1": shield(workers=2), "edge-ams": edge("shield-1", workers=2)}
MEMORY = "size=1KiB&max-age=600&header=Surrogate-Key: t"


async def requests(town: City, name: str) -> int:
    stats = (await town.ask(name, "/v1/stats")).document
    return sum(stats["requests"].values())


async def connected(town: City, name: str, count: int, stack: AsyncExitStack) -> list[Client]:
    """So many connections, which the kernel has spread over the workers."""
    return [await stack.enter_async_context(town.client(name)) for _ in range(count)]


async def test_connections_are_spread_and_the_numbers_of_all_workers_are_the_nodes(tmp_path: Path) -> None:
    async with city(tmp_path, ONE) as town:
        town.stub.script("/p", [MEMORY])
        await warm_all(town, "edge-ams", "/p")
        made = await requests(town, "edge-ams")
        got = [await town.get("edge-ams", "/p") for _ in range(30)]
        assert {own_word(each) for each in got} == {"HIT"}
        assert {each.headers["via"] for each in got} == {"1.1 edge-ams"}
        assert town.asked("/p") == 2, "each worker has a memory of its own"
        stats = (await town.ask("edge-ams", "/v1/stats")).document
        assert stats["workers"] == {"answering": 2, "silent": [], "replaced": 0}
        assert sum(stats["requests"].values()) == made + 30
        assert stats["store"]["memory"]["entries"] == 2
        assert stats["connections"]["accepted"] == made + 30
        async with town.session.get(town.nodes["edge-ams"].admin + "/metrics") as answer:
            metrics = await answer.text()
        hits = stats["requests"]["HIT"]
        assert f'seawall_requests_total{{outcome="HIT"}} {hits}.0' in metrics
        assert f"seawall_request_seconds_count {made + 30}.0" in metrics
        assert 'seawall_workers{state="answering"} 2.0' in metrics
        popular = (await town.ask("edge-ams", "/v1/popular")).document
        assert popular["urls"] == [{"url": f"{ORIGIN}/p", "hits": hits}]


async def test_what_a_worker_knows_is_asked_at_the_admin_port_of_the_node(tmp_path: Path) -> None:
    async with city(tmp_path, ONE) as town:
        town.stub.script("/w", [MEMORY])
        warming = {"urls": [f"{ORIGIN}/w"]}
        refused = await town.ask("edge-ams", "/v1/warm", method="POST", token="", json=warming)
        assert (refused.status, town.asked("/w")) == (401, 0)
        said = await town.ask("edge-ams", "/v1/warm", method="POST", json=warming)
        assert [(each["status"], each["stored"]) for each in said.document["urls"]] == [(200, True)]
        for path, status in (("/v1/nothing", 404), ("/v1/popular?top=x", 400), ("/figures", 403)):
            answer = await town.ask("edge-ams", path)
            assert (answer.status, answer.is_problem) == (status, True), path
        assert "/v1/warm" in (await town.ask("edge-ams", "/v1/openapi.json")).document["paths"]
        for path in ("/a", "/b"):
            town.stub.script(path, [MEMORY])
            await warm_all(town, "edge-ams", path)
            for _ in range(10):
                await town.get("edge-ams", path)
        for _ in range(20):
            await town.get("edge-ams", "/b")
        one = (await town.ask("edge-ams", "/v1/popular?top=1")).document["urls"]
        assert [each["url"] for each in one] == [f"{ORIGIN}/b"]
        named = (await town.ask("edge-ams", "/v1/popular", method="POST", json={"tags": ["t"]})).document["urls"]
        assert [each["url"] for each in named][:2] == [f"{ORIGIN}/b", f"{ORIGIN}/a"]
        assert named[0]["hits"] >= 30, "of both workers"


async def warm(town: City, *paths: str) -> list[Settings]:
    """What the node says of a warming, line by line."""
    asked = {"urls": [ORIGIN + path for path in paths]}
    headers = {"Authorization": f"Bearer {town.token('edge-ams')}", "Accept": "application/x-ndjson"}
    async with town.session.post(town.nodes["edge-ams"].admin + "/v1/warm", json=asked, headers=headers) as answer:
        assert (answer.status, answer.content_type) == (200, "application/x-ndjson")
        return [json.loads(line) async for line in answer.content]


@pytest.mark.parametrize(("store", "fetches"), [({}, 2), ({"disk": {"size": "64MiB"}}, 1)], ids=["memory", "disk"])
async def test_what_is_warmed_is_a_hit_at_every_worker(tmp_path: Path, store: Settings, fetches: int) -> None:
    async with city(tmp_path, ONE, store=store) as town:
        paths = [f"/w/{number}" for number in range(10)]
        for path in (*paths, "/never"):
            town.stub.script(path, [MEMORY])
        town.stub.script("/never", ["cache-control=no-store&size=10"])
        said = await warm(town, *paths, paths[0], "/never")
        assert sorted(each["url"] for each in said) == sorted(ORIGIN + path for path in (*paths, paths[0], "/never"))
        assert {(each["status"], each["stored"]) for each in said if each["url"] != f"{ORIGIN}/never"} == {(200, True)}
        (never,) = (each for each in said if each["url"] == f"{ORIGIN}/never")
        assert (never["stored"], never["why"], never["bytes"]) == (False, "no-store", 10)
        again = {"urls": [ORIGIN + path for path in (paths[1], "/never", paths[0])]}
        whole = (await town.ask("edge-ams", "/v1/warm", method="POST", json=again)).document["urls"]
        assert [(each["url"], each["stored"]) for each in whole] == [
            (url, stored) for url, stored in zip(again["urls"], (True, False, True), strict=True)
        ]
        for path in paths:
            assert town.asked(path) == fetches
        assert (await town.ask("edge-ams", "/v1/stats")).document["store"]["memory"]["entries"] == 20
        for _ in range(4):
            assert {own_word(await town.get("edge-ams", path)) for path in paths} == {"HIT"}
        assert {town.asked(path) for path in paths} == {fetches}


async def test_a_worker_that_dies_over_a_warming_is_not_waited_for(tmp_path: Path) -> None:
    async with city(tmp_path, ONE) as town:
        town.stub.script("/quick", [MEMORY])
        town.stub.script("/slow", [MEMORY + "&gate=g"])
        warming = asyncio.create_task(warm(town, "/quick", "/slow"))
        await town.stub.parked("g", 2)
        send(town, "edge-ams", 0, signal.SIGKILL)
        town.stub.open("g")
        said = {each["url"]: each["stored"] for each in await warming}
        assert said == {f"{ORIGIN}/quick": True, f"{ORIGIN}/slow": True}


async def test_a_worker_that_dies_again_and_again_is_given_time(tmp_path: Path) -> None:
    async with city(tmp_path, ONE) as town:
        for _ in range(3):
            victim = pids(town, "edge-ams")[0]
            send(town, "edge-ams", 0, signal.SIGKILL)
            await another(town, "edge-ams", 0, victim)
        log = town.nodes["edge-ams"].log.read_text()
        assert [float(pause) for pause in re.findall(r"restart_in=([\d.]+)", log)] == [0.0, 0.5, 1.0]


async def test_purge_is_complete_when_all_workers_have_applied_it_and_is_one_line_a_node(tmp_path: Path) -> None:
    async with city(tmp_path, PAIR) as town:
        town.stub.script("/p", ["body=old&max-age=600&header=Surrogate-Key: t"])
        for names in ({"urls": [f"{ORIGIN}/p"]}, {"tags": ["t"]}):
            for _ in range(20):
                await town.get("edge-ams", "/p")
            counted = (await town.purge("edge-ams", dry_run=True, **names)).document
            assert {node["node"] for node in counted["nodes"]} == set(PAIR)
            said = await town.purge("edge-ams", **names)
            assert (said.status, said.state) == (200, "complete")
            assert said.states == {"shield-1": "applied", "edge-ams": "applied"}
            met = {node["node"]: node["matched"] for node in said.document["nodes"]}
            assert met == {node["node"]: node["matched"] for node in counted["nodes"]}
            assert met["edge-ams"] == 2
            assert met["shield-1"] in (1, 2), "the edge's connections may all have come to one of its workers"
            asked = town.asked("/p")
            got = [await town.get("edge-ams", "/p") for _ in range(20)]
            assert own_word(got[0]) == "MISS"
            assert town.asked("/p") > asked
        shown = (await town.ask("shield-1", "/v1/topology")).document["nodes"]
        assert [(node["node"], node["hub"], node["lag"]) for node in shown] == [
            ("shield-1", True, 0),
            ("edge-ams", False, 0),
        ]
        assert [node["workers"] for node in shown] == [{"connected": 2, "of": 2}] * 2


async def test_frozen_worker_is_fenced_and_answers_nothing_old_when_it_goes_on(tmp_path: Path) -> None:
    async with city(tmp_path, ONE) as town, AsyncExitStack() as stack:
        town.stub.script("/p", ["body=old&max-age=600"])
        await warm_all(town, "edge-ams", "/p")
        with frozen(town, "edge-ams", 1):
            town.stub.script("/p", ["body=new&max-age=600"])
            said = await town.purge("edge-ams", urls=[f"{ORIGIN}/p"])
            assert (said.status, said.state, said.states) == (207, "partial", {"edge-ams": "fenced"})
            async with town.session.get(town.nodes["edge-ams"].admin + "/readyz") as answer:
                assert answer.status == 503
                assert (await answer.json(content_type=None))["detail"] == "worker-1-is-silent"
            stats = (await town.ask("edge-ams", "/v1/stats")).document
            assert stats["workers"] == {"answering": 1, "silent": [1], "replaced": 0}
            waiting = await connected(town, "edge-ams", 24, stack)
            for client in waiting:
                await client.send(request("/p"))
        # Some of them the other worker has answered meanwhile; the rest waited for the frozen one.
        assert {(await client.hear()).body for client in waiting} == {b"new"}
        await town.applied(said.document["id"])
        await town.ready("edge-ams")


async def test_worker_that_dies_refuses_nobody_and_is_replaced(tmp_path: Path) -> None:
    async with city(tmp_path, ONE, purge={"lease": "20s"}) as town, AsyncExitStack() as stack:
        town.stub.script("/p", ["body=x&max-age=600"])
        await warm_all(town, "edge-ams", "/p")
        made = await requests(town, "edge-ams")
        victim = pids(town, "edge-ams")[0]
        # Frozen it takes nobody out of its queue; killed it leaves the queue to its successor.
        with frozen(town, "edge-ams", 0):
            waiting = await connected(town, "edge-ams", 24, stack)
            for client in waiting:
                await client.send(request("/p"))
            send(town, "edge-ams", 0, signal.SIGKILL)
        late = await connected(town, "edge-ams", 24, stack)
        for client in late:
            await client.send(request("/p"))
        assert {(await client.hear()).body for client in (*waiting, *late)} == {b"x"}
        await another(town, "edge-ams", 0, victim)
        await town.ready("edge-ams")
        stats = (await town.ask("edge-ams", "/v1/stats")).document
        assert stats["workers"] == {"answering": 2, "silent": [], "replaced": 1}
        assert sum(stats["requests"].values()) == made + 48, "what the dead one had counted is not forgotten"
        # Its predecessor's lease is nobody's any more, and is not waited for.
        said = await town.purge("edge-ams", urls=[f"{ORIGIN}/p"])
        assert (said.status, said.state) == (200, "complete")


async def test_a_worker_killed_under_load_costs_only_the_connections_that_it_had(tmp_path: Path) -> None:
    async with city(tmp_path, ONE) as town:
        town.stub.script("/p", ["size=10KiB&max-age=600"])
        await warm_all(town, "edge-ams", "/p")
        victim = pids(town, "edge-ams")[0]
        answered = 0
        broken = 0
        done = asyncio.Event()

        async def client() -> None:
            nonlocal answered, broken
            while not done.is_set():
                async with town.client("edge-ams") as connection:  # a refused one fails the story
                    try:
                        heard = await connection.ask(request("/p"))
                    except (ConnectionError, asyncio.IncompleteReadError):
                        broken += 1
                        continue
                assert heard.status == 200
                answered += 1

        async def killer() -> None:
            send(town, "edge-ams", 0, signal.SIGKILL)
            await another(town, "edge-ams", 0, victim)
            before = answered

            async def more() -> bool:
                return answered > before + 100

            await until(more, lambda: f"{answered} answered after {before}")
            done.set()

        async with asyncio.TaskGroup() as tasks:
            for _ in range(8):
                tasks.create_task(client())
            tasks.create_task(killer())
        assert broken <= 8


async def test_a_stop_answers_whoever_got_through_to_either_worker(tmp_path: Path) -> None:
    async with city(tmp_path, ONE, limits={"drain_timeout": "20s"}) as town, AsyncExitStack() as stack:
        town.stub.script("/slow/*", ["size=100KiB&max-age=600&gate=g"])
        town.stub.script("/p", ["body=x&max-age=600"])
        await warm_all(town, "edge-ams", "/p")
        under_way = [asyncio.create_task(town.get("edge-ams", f"/slow/{number}")) for number in range(12)]
        await town.stub.parked("g", 12)
        with frozen(town, "edge-ams", 1):
            queued = await connected(town, "edge-ams", 24, stack)
            for client in queued:
                await client.send(request("/p"))
            town.terminate("edge-ams")

            async def drains() -> bool:
                async with town.session.get(town.nodes["edge-ams"].admin + "/readyz") as answer:
                    return answer.status == 503 and "draining" in await answer.text()

            await until(drains, lambda: "edge-ams drains")
        assert {(await client.hear()).body for client in queued} == {b"x"}
        town.stub.open("g")
        for number, got in enumerate(await asyncio.gather(*under_way)):
            assert (got.status, got.body) == (200, town.stub.body(f"/slow/{number}", 100 * 1024))
        workers = pids(town, "edge-ams")
        assert await town.ended("edge-ams") == 0
        assert all(gone(pid) for pid in workers.values())


async def test_workers_end_with_their_keeper_however_that_ends(tmp_path: Path) -> None:
    async with city(tmp_path, ONE) as town:
        workers = pids(town, "edge-ams")
        assert len(workers) == 2
        await town.kill("edge-ams")

        async def all_gone() -> bool:
            return all(gone(pid) for pid in workers.values())

        await until(all_gone, lambda: f"{workers} gone")
        await town.start("edge-ams")
        await town.ready("edge-ams")


async def test_what_one_worker_stored_on_the_disk_the_others_serve_and_a_cold_key_is_fetched_once(
    tmp_path: Path,
) -> None:
    async with city(tmp_path, ONE, store={"disk": {"size": "64MiB"}}) as town:
        town.stub.script("/cold", ["size=20KiB&max-age=600&gate=g"])
        crowd = [asyncio.create_task(town.get("edge-ams", "/cold")) for _ in range(50)]
        await town.stub.parked("g", 1)
        town.stub.open("g")
        bodies = {got.body for got in await asyncio.gather(*crowd)}
        assert bodies == {town.stub.body("/cold", 20 * 1024)}
        assert town.asked("/cold") == 1

        async def promoted() -> bool:
            await town.get("edge-ams", "/cold")
            store = (await town.ask("edge-ams", "/v1/stats")).document["store"]
            return bool(store["memory"]["entries"] == 2 and store["disk"]["entries"] == 1)

        await until(promoted, lambda: "in both memories, and once on the disk")
        counted = (await town.purge("edge-ams", urls=[f"{ORIGIN}/cold"], dry_run=True)).document
        assert counted["matched"] == 2
        said = await town.purge("edge-ams", urls=[f"{ORIGIN}/cold"])
        assert (said.status, said.state) == (200, "complete")
        got = [await town.get("edge-ams", "/cold") for _ in range(20)]
        assert town.asked("/cold") == 2
        assert own_word(got[0]) == "MISS"


async def test_access_log_has_the_whole_lines_of_all_workers_and_rotates(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    async with city(tmp_path, ONE, access_log={"path": str(log), "format": "combined"}) as town:
        town.stub.script("/p", [MEMORY])
        await warm_all(town, "edge-ams", "/p")
        made = await requests(town, "edge-ams")

        async def written(count: int) -> bool:
            return log.exists() and log.read_text().count("\n") == count

        await until(lambda: written(made), lambda: f"{made} lines")
        log.rename(tmp_path / "access.log.1")
        keeper = town.nodes["edge-ams"].process
        assert keeper is not None
        keeper.send_signal(signal.SIGUSR1)
        for _ in range(20):
            await town.get("edge-ams", "/p")
        await until(lambda: written(20), lambda: f"20 lines, not {log.read_text() if log.exists() else None}")
        lines = (tmp_path / "access.log.1").read_text() + log.read_text()
        assert all(line.startswith("127.0.0.1 - - [") and ' HTTP/1.1" 200 ' in line for line in lines.splitlines())


async def test_a_node_of_one_process_has_no_keeper(tmp_path: Path) -> None:
    async with city(tmp_path, {"edge-ams": edge(workers=1)}) as town:
        assert pids(town, "edge-ams") == {}
        assert "workers" not in (await town.ask("edge-ams", "/v1/stats")).document
        assert not (town.state / "seawall" / "edge-ams" / "worker.0.sock").exists()


async def test_what_an_unsafe_request_changed_is_stale_on_every_worker(tmp_path: Path) -> None:
    async with city(tmp_path, ONE) as town:
        town.stub.script("/p", ["body=old&max-age=600"])
        await warm_all(town, "edge-ams", "/p")
        town.stub.script("/p", ["status=204"])
        assert (await town.get("edge-ams", "/p", method="POST")).status == 204
        town.stub.script("/p", ["body=new&max-age=600"])
        # On a connection each of twenty, so of both workers; news between processes takes a moment.
        bodies = set()

        async def all_new() -> bool:
            bodies.clear()
            bodies.update([(await town.get("edge-ams", "/p")).body for _ in range(20)])
            return bodies == {b"new"}

        await until(all_new, lambda: f"only the new one, not {bodies}")
