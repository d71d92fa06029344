"""How a node of several processes begins: all serve or none does, and whatever is wrong is said by the node."""

from __future__ import annotations

import asyncio
import signal
import socket
from pathlib import Path

import pytest

from tests.console.command import fetch, free_port, run, running
from tests.topology.city import LEASE, ORIGIN, city, edge, gone, shield, until
from tests.topology.workers import frozen, pids

FLAGS = ("serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--name", "x", "--workers", "2")


def test_a_worker_that_cannot_start_ends_the_node_with_its_reason(tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_text(
        "origins: {app: {url: 'http://127.0.0.1:1'}}\n"
        "nodes: {x: {role: edge, listen: '127.0.0.1:0', workers: 2}}\n"
        f"access_log: {{path: {tmp_path}/nowhere/access.log}}\n"
    )
    ended = run(tmp_path, "serve", "--config", str(file))
    assert ended.returncode == 1
    assert "x cannot start: its worker " in ended.stderr
    assert "did not start: No such file or directory" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_that_another_process_shares_is_taken_all_the_same(tmp_path: Path) -> None:
    with socket.socket() as other:
        # With SO_REUSEPORT on both sides the kernel would let us in, and give each a part of the clients.
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        ended = run(tmp_path, "serve", "--origin", "http://127.0.0.1:1", "--workers", "2", "--listen", listen)
    assert ended.returncode == 1
    assert f"{listen} is already in use" in ended.stderr


async def test_workers_are_reached_however_long_the_path_of_their_directory_is(tmp_path: Path) -> None:
    data = tmp_path / ("long-" * 30)
    async with running(tmp_path, *FLAGS, "--origin", "http://127.0.0.1:1", "--data", str(data), "--json") as node:
        said = await node.event("ready")

        async def caught_up() -> bool:
            return (await fetch(f"http://{said['admin']}/readyz"))[0] == 200

        await until(caught_up, lambda: "ready")
        assert (data / "worker.0.sock").stat().st_mode & 0o777 == 0o600
        assert (data / "keeper.sock").stat().st_mode & 0o777 == 0o600
        assert data.stat().st_mode & 0o777 == 0o700


async def test_a_node_without_an_admin_port_has_workers_that_follow_its_orders(tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_text(
        "origins: {app: {url: 'http://127.0.0.1:1'}}\n"
        "nodes: {x: {role: edge, listen: '127.0.0.1:0', workers: 2}}\n"
        "purge: {allow: [127.0.0.1]}\n"
    )
    async with running(tmp_path, "serve", "--config", str(file), "--json") as node:
        host, _, port = str((await node.event("ready"))["listen"]).rpartition(":")

        async def purged() -> bool:
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                writer.write(b"PURGE /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                return (await reader.read()).startswith(b"HTTP/1.1 200 ")
            finally:
                writer.close()
                await writer.wait_closed()

        await until(purged, lambda: "a purge on the data port that both workers have applied")


async def test_up_shows_how_many_processes_a_node_has(tmp_path: Path) -> None:
    port = free_port()
    file = tmp_path / "t.yaml"
    file.write_text(
        f"origins: {{app: {{url: 'http://127.0.0.1:{port}'}}}}\n"
        "nodes:\n"
        f"  app: {{role: origin-stub, listen: '127.0.0.1:{port}'}}\n"
        "  one: {role: edge, listen: '127.0.0.1:0', admin: '127.0.0.1:0', workers: 2}\n"
    )
    async with running(tmp_path, "up", str(file), "--json") as up:
        nodes = (await up.event("up"))["nodes"]
        assert isinstance(nodes, list)
        assert {node["node"]: node["workers"] for node in nodes} == {"app": 1, "one": 2}
        (one,) = (node for node in nodes if node["node"] == "one")
        assert (await fetch(f"http://{one['listen']}/make/x?max-age=60"))[0] == 200
        assert await up.end(signal.SIGINT) == 0


async def test_one_worker_of_a_shield_that_is_frozen_holds_back_no_edge_for_longer_than_its_lease(
    tmp_path: Path,
) -> None:
    """The edge asks the hub's own workers: it forgets only when all of them have, or are fenced."""
    async with city(tmp_path, {"shield-1": shield(workers=2), "edge-ams": edge("shield-1")}) as town:
        town.stub.script("/p", ["body=old&max-age=600"])
        await town.warm("edge-ams", "/p")
        with frozen(town, "shield-1", 0):
            town.stub.script("/p", ["body=new&max-age=600"])
            said = await town.purge("shield-1", urls=[f"{ORIGIN}/p"])
            assert (said.state, said.states["shield-1"]) == ("partial", "fenced")
            applied = await town.applied(said.document["id"], "edge-ams")
            assert applied.states == {"shield-1": "fenced", "edge-ams": "applied"}
            edges = next(node for node in applied.document["nodes"] if node["node"] == "edge-ams")
            assert edges["ms"] > 1000 * LEASE / 2
        assert (await town.applied(said.document["id"])).state == "complete"
        assert (await town.get("edge-ams", "/p")).body == b"new"


async def test_a_worker_that_outlived_its_keeper_keeps_its_port_until_it_has_ended(tmp_path: Path) -> None:
    """It is frozen when its keeper dies. The kernel would go on giving it a part of the clients."""
    async with city(tmp_path, {"edge-ams": edge(workers=2)}) as town:
        keeper, old = town.nodes["edge-ams"].process, pids(town, "edge-ams")[1]
        assert keeper is not None
        with frozen(town, "edge-ams", 1):
            keeper.kill()

            async def without_keeper() -> bool:
                return gone(keeper.pid)

            await until(without_keeper, lambda: "the keeper is gone")
            with pytest.raises(AssertionError, match="is already in use"):
                await town.start("edge-ams")
            assert await town.ended("edge-ams") == 1

        async def ended() -> bool:
            return gone(old)

        await until(ended, lambda: "the frozen worker has ended")
        await keeper.communicate()
        await town.start("edge-ams")
        await town.ready("edge-ams")
