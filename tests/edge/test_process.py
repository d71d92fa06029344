"""A node as its users start it: a process of its own, asked over its ports, told to stop by signals."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from origin_stub import OriginStub
from origin_stub.body import iter_body

GIB = 1 << 30
MIB = 1 << 20


@dataclass
class Process:
    """A running `seawall serve`."""

    handle: asyncio.subprocess.Process
    url: str
    admin: str
    token: str

    def read_bytes(self) -> int:
        """What it has read from files and pipes so far; of sockets, only what is read and not received."""
        for line in Path(f"/proc/{self.handle.pid}/io").read_text().splitlines():
            if line.startswith("rchar:"):
                return int(line.split()[1])
        raise AssertionError("no rchar")

    def peak_memory_bytes(self) -> int:
        for line in Path(f"/proc/{self.handle.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmHWM")


@asynccontextmanager
async def serve(directory: Path, *arguments: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "console.main", "serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
        "--name", "edge-1", "--data", str(directory / "edge-1"), "--json", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "XDG_STATE_HOME": str(directory)},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        async with asyncio.timeout(10):
            ready = json.loads(await process.stdout.readline())
        token = (directory / "edge-1" / "admin.token").read_text().strip()
        yield Process(process, f"http://{ready['listen']}", f"http://{ready['admin']}", token)
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(20):
            await process.wait()


@pytest.mark.parametrize(
    "options",
    ["size=1GiB&max-age=60", "size=1GiB&max-age=60&framing=chunked", "size=1GiB&cache-control=no-store"],
    ids=["storable with a length", "storable chunked", "uncacheable"],
)
@pytest.mark.timeout(120)
async def test_gibibyte_costs_at_most_64_mebibytes(tmp_path: Path, options: str) -> None:
    async with OriginStub() as stub, serve(tmp_path, "--origin", stub.url) as edge, aiohttp.ClientSession() as session:
        async with session.get(f"{edge.url}/") as response:
            await response.read()
        before, received = edge.peak_memory_bytes(), 0
        async with session.get(f"{edge.url}/make/{options}/big") as response:
            async for piece in response.content.iter_any():
                received += len(piece)
        assert received == GIB
        grown = edge.peak_memory_bytes() - before
        assert grown <= 64 * MIB, f"{grown / MIB:.0f} MiB"
        if "max-age" in options:
            await ranges_are_read_alone(edge, session, f"/make/{options}/big", stub)


async def ranges_are_read_alone(edge: Process, session: aiohttp.ClientSession, path: str, stub: OriginStub) -> None:
    """A range of what lies on the disk: in memory there was no room for a gibibyte."""
    token = {"Authorization": f"Bearer {edge.token}"}
    async with asyncio.timeout(30):
        while True:  # it is written behind the client's back
            async with session.get(f"{edge.admin}/v1/stats", headers=token) as response:
                disk = (await response.json())["store"]["disk"]
            if disk["bytes"] > GIB and not disk["waiting"]:
                break
    asked, before = stub.tally(path).count, edge.read_bytes()
    ranges = [(GIB // 2, 1000), (GIB - 10, 10), (1, 200_000), (GIB // 3, 1)]
    for first, length in ranges:
        async with session.get(edge.url + path, headers={"Range": f"bytes={first}-{first + length - 1}"}) as response:
            body = await response.read()
            assert (response.status, response.headers["X-Cache"]) == (206, "HIT")
            assert response.headers["Content-Range"] == f"bytes {first}-{first + length - 1}/{GIB}"
            whole = iter_body(path, stub.version(path), GIB, start=first, stop=first + length)
            assert body == b"".join(whole)
    assert stub.tally(path).count == asked
    read = edge.read_bytes() - before
    assert read <= 4 * MIB, f"{read / MIB:.1f} MiB read for 200 KB"


async def test_sigterm_finishes_what_is_under_way_and_takes_nothing_new(tmp_path: Path) -> None:
    async with OriginStub() as stub, serve(tmp_path, "--origin", stub.url) as edge, aiohttp.ClientSession() as session:
        stub.script("/slow", ["size=1000&gate=g&max-age=60"])
        under_way = asyncio.create_task(session.get(f"{edge.url}/slow"))
        await stub.parked("g")
        edge.handle.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            while True:
                try:
                    async with session.get(f"{edge.admin}/readyz") as response:
                        if response.status == 503:
                            assert (await response.json())["detail"] == "draining"
                            break
                except aiohttp.ClientError:
                    break
        async with aiohttp.ClientSession() as newcomer:
            with pytest.raises(aiohttp.ClientConnectorError):
                await newcomer.get(f"{edge.url}/late")
        stub.open("g")
        response = await under_way
        assert len(await response.read()) == 1000
        response.release()
        async with asyncio.timeout(10):
            assert await edge.handle.wait() == 0


async def test_admin_port_tells_the_counters_to_whoever_holds_the_token(tmp_path: Path) -> None:
    async with OriginStub() as stub, serve(tmp_path, "--origin", stub.url) as edge, aiohttp.ClientSession() as session:
        for _ in range(3):
            async with session.get(f"{edge.url}/make/max-age=60/x") as response:
                await response.read()
        async with session.get(f"{edge.admin}/v1/stats") as response:
            assert response.status == 401
        async with session.get(f"{edge.admin}/v1/stats", headers={"Authorization": f"Bearer {edge.token}"}) as response:
            stats = await response.json()
        assert (stats["requests"]["HIT"], stats["requests"]["MISS"]) == (2, 1)
        assert stats["store"]["memory"]["entries"] == 1
        async with session.get(f"{edge.admin}/metrics") as response:
            text = await response.text()
        assert 'seawall_requests_total{outcome="HIT"} 2.0' in text
        assert 'seawall_origin_requests_total{reason="uri-miss"} 1.0' in text


async def test_port_that_is_taken_is_said_and_ends_with_1(tmp_path: Path) -> None:
    async with OriginStub() as stub:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "console.main", "serve", "--origin", stub.url, "--listen", stub.address,
            "--admin", "127.0.0.1:0", "--data", str(tmp_path),
            stderr=asyncio.subprocess.PIPE, env={**os.environ, "XDG_STATE_HOME": str(tmp_path)},
        )  # fmt: skip
        async with asyncio.timeout(10):
            _, err = await process.communicate()
        assert process.returncode == 1
        assert stub.address.encode() in err
        assert b"Traceback" not in err


async def test_access_log_has_a_line_for_each_request(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    async with OriginStub() as stub:
        file = tmp_path / "edge.yaml"
        file.write_text(
            "version: 1\n"
            f"origins: {{app: {{url: '{stub.url}'}}}}\n"
            "nodes: {edge-1: {role: edge, listen: '127.0.0.1:0', admin: '127.0.0.1:0'}}\n"
            f"access_log: {{path: '{log}', format: json}}\n"
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "console.main", "serve", "--config", str(file), "--node", "edge-1", "--json",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, "XDG_STATE_HOME": str(tmp_path)},
        )  # fmt: skip
        assert process.stdout is not None
        async with asyncio.timeout(10):
            ready = json.loads(await process.stdout.readline())
        async with aiohttp.ClientSession() as session:
            for _ in range(2):
                async with session.get(f"http://{ready['listen']}/make/max-age=60/x?_a=1") as response:
                    await response.read()
        process.terminate()
        async with asyncio.timeout(10):
            assert await process.wait() == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["outcome"], line["status"], line["url"].rpartition("/")[2]) for line in lines] == [
        ("MISS", 200, "x?_a=1"),
        ("HIT", 200, "x?_a=1"),
    ]
    assert lines[0]["upstream_seconds"] is not None
