"""A topology of real processes on this machine: written to a file, started, asked over its ports, hurt by signals.

Each node is what a real machine runs, `seawall serve --config FILE --node NAME`, with a state directory of the
story's own. The origin is an OriginStub in the test's process, so that a story scripts it and reads its tallies.
Every node has a copy of the file for itself, which a story may change: another address for the hub's admin port
is a piece of network that can be cut.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from console.node import SUPERVISED
from origin_stub import OriginStub
from tests.console.command import COMMAND, environment
from tests.downstream.client import Client
from tests.edge.house import Got
from tests.structure.sources import ROOT
from tests.topology.ports import free_ports

LEASE = 1.0
HOST = "shop.example"
ORIGIN = f"http://{HOST}"
# Longer than anything here may take; what is waited for comes in milliseconds.
PATIENCE = 15.0

Settings = dict[str, Any]  # a part of a topology file, as YAML has it


def shield(*parents: str, **more: object) -> Settings:
    """A node of the file."""
    return {"role": "shield", "parents": list(parents), **more}


def edge(*parents: str, **more: object) -> Settings:
    """Likewise."""
    return {"role": "edge", "parents": list(parents), **more}


async def until(holds: Callable[[], Awaitable[bool]], what: Callable[[], str], seconds: float = PATIENCE) -> None:
    """Looks again and again at something that nobody can announce. `what` is for the one who reads of the failure."""
    try:
        async with asyncio.timeout(seconds):
            while not await holds():  # noqa: ASYNC110 (other processes ring no bells)
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not within {seconds:g} s: {what()}") from None


@dataclass(frozen=True)
class Said:
    """What an admin port answered."""

    status: int
    fields: Mapping[str, str]
    document: dict[str, Any]

    @property
    def state(self) -> str:
        return str(self.document["state"])

    @property
    def states(self) -> dict[str, str]:
        """State by node, of a receipt; nothing where this is none."""
        return {node["node"]: node["state"] for node in self.document.get("nodes", ())}

    @property
    def is_problem(self) -> bool:
        """RFC 9457, and it says the status that it has."""
        return self.fields["content-type"] == "application/problem+json" and self.document["status"] == self.status


@dataclass
class Node:
    """One node of the file, and its process while there is one."""

    name: str
    settings: Settings
    file: Path
    log: Path
    process: asyncio.subprocess.Process | None = None
    said: Settings = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://{self.settings['listen']}"

    @property
    def admin(self) -> str:
        return f"http://{self.settings['admin']}"

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.returncode is None


class City:
    """The topology. Made by `city` only, which ends every process whatever became of the story."""

    def __init__(self, directory: Path, stub: OriginStub, session: aiohttp.ClientSession, topology: Settings) -> None:
        self.stub = stub
        self.session = session
        self.directory = directory
        self.state = directory / "state"
        self.topology = topology
        self.environment: dict[str, str] = {}
        self.tokens: dict[str, str] = {}  # the file's, where it has any: to "operate" and to "look"
        self.nodes = {
            name: Node(name, settings, directory / f"{name}.yaml", directory / f"{name}.log")
            for name, settings in topology["nodes"].items()
        }
        for name in self.nodes:
            self.write(name)

    @property
    def hub(self) -> str:
        """As the file says, else the first shield, else the first node."""
        said = self.topology["purge"].get("hub")
        return said or next(
            (n.name for n in self.nodes.values() if n.settings["role"] == "shield"), next(iter(self.nodes))
        )

    # --- processes ---

    def write(self, name: str, change: Callable[[Settings], None] | None = None) -> None:
        """The node's copy of the file. JSON is YAML."""
        topology = deepcopy(self.topology)
        if change is not None:
            change(topology)
        self.nodes[name].file.write_text(json.dumps(topology, indent=1))

    async def start(self, *names: str) -> None:
        """Starts these nodes and returns when all serve; they need not have caught up."""
        await asyncio.gather(*(self._start(self.nodes[name]) for name in names))

    async def _start(self, node: Node) -> None:
        assert not node.runs, node
        with node.log.open("ab") as log:
            node.process = await asyncio.create_subprocess_exec(
                *COMMAND, "serve", "--config", str(node.file), "--node", node.name, "--json",
                # As `seawall up` starts it: should this process be killed, its nodes end by themselves.
                cwd=ROOT, env=environment(self.state, **self.environment, **{SUPERVISED: "1"}),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log,
            )  # fmt: skip
        assert node.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            line = await node.process.stdout.readline()
        assert line, f"{node.name} did not start:\n{node.log.read_text()}"
        node.said = json.loads(line)

    def freeze(self, name: str) -> None:
        """SIGSTOP: it does nothing any more, and nobody is told."""
        self._send(name, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """SIGCONT: it goes on, with all that has piled up for it."""
        self._send(name, signal.SIGCONT)

    def terminate(self, name: str) -> None:
        """SIGTERM: it drains."""
        self._send(name, signal.SIGTERM)

    async def kill(self, name: str) -> None:
        """SIGKILL, and it is gone."""
        self._send(name, signal.SIGKILL)
        await self.ended(name)

    async def ended(self, name: str) -> int:
        """The exit code, once there is one."""
        process = self.nodes[name].process
        assert process is not None
        async with asyncio.timeout(PATIENCE):
            await process.communicate()  # and its pipes come to their ends
        assert process.returncode is not None
        return process.returncode

    def _send(self, name: str, number: signal.Signals) -> None:
        process = self.nodes[name].process
        assert process is not None
        assert process.returncode is None, f"{name} is gone"
        process.send_signal(number)

    def forget_journal(self) -> None:
        """What happens to a hub whose disk was replaced."""
        shutil.rmtree(self.state / "seawall" / self.hub / "journal")

    # --- as clients and operators ask ---

    async def get(self, name: str, path: str, *fields: tuple[str, str], method: str = "GET", **more: Any) -> Got:
        """One request on a connection of its own. Every node is asked for the same URL, as DNS would have it."""
        headers = [("Host", HOST), *fields]
        url = URL(self.nodes[name].url + path, encoded=True)
        async with self.session.request(method, url, headers=headers, allow_redirects=False, **more) as answer:
            found = {field.lower(): ", ".join(answer.headers.getall(field)) for field in answer.headers}
            return Got(answer.status, found, await answer.read())

    async def warm(self, name: str, path: str) -> Got:
        """The answer once the node gives it from its own store."""
        got = await self.get(name, path)

        async def hit() -> bool:
            nonlocal got
            got = await self.get(name, path)
            return own_word(got) == "HIT"

        await until(hit, lambda: f"a hit for {path} at {name}, not {got.status} {got.headers.get('cache-status')}")
        return got

    @asynccontextmanager
    async def client(self, name: str) -> AsyncIterator[Client]:
        """A connection to the node, for a story that needs to know when octets leave."""
        host, _, port = self.nodes[name].settings["listen"].rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            yield Client(reader, writer)
        finally:
            writer.transport.abort()

    def token(self, name: str) -> str:
        """The operator's, which the node made for itself where the file has none."""
        return (self.state / "seawall" / name / "admin.token").read_text().strip()

    async def ask(self, name: str, path: str, *, method: str = "GET", token: str | None = None, **more: Any) -> Said:
        """One request to the admin port, with the operator's token unless another is given ("" for none)."""
        if token is None and self.tokens:
            token = self.tokens["look" if method == "GET" else "operate"]
        said = self.token(name) if token is None else token
        headers = {**({"Authorization": f"Bearer {said}"} if said else {}), **more.pop("headers", {})}
        async with self.session.request(method, self.nodes[name].admin + path, headers=headers, **more) as answer:
            found = {field.lower(): value for field, value in answer.headers.items()}
            return Said(answer.status, found, await answer.json(content_type=None))

    async def purge(self, at: str, *, patience: str = "10s", **names: object) -> Said:
        """POST /v1/purge at this node."""
        return await self.ask(at, "/v1/purge", method="POST", json={"timeout": patience, **names})

    async def receipt(self, at: str, number: int) -> Said:
        return await self.ask(at, f"/v1/purges/{number}")

    async def applied(self, number: int, *names: str) -> Said:
        """The receipt, once it says that these nodes (or all) have applied the order."""
        wanted = names or tuple(self.nodes)
        said = await self.receipt(self.hub, number)

        async def so() -> bool:
            nonlocal said
            said = await self.receipt(self.hub, number)
            return all(said.states.get(name) == "applied" for name in wanted)

        await until(so, lambda: f"purge {number} applied on {', '.join(wanted)}, not {said.states}")
        return said

    async def ready(self, *names: str) -> None:
        """These nodes have caught up, and their hub grants them leases."""

        async def so() -> bool:
            for name in names:
                async with self.session.get(self.nodes[name].admin + "/readyz") as answer:
                    if answer.status != 200:
                        return False
            nodes = (await self.ask(self.hub, "/v1/topology")).document["nodes"]
            return all(n["hub"] or (n["connected"] and n["lease"]["left"] > 0) for n in nodes if n["node"] in names)

        await until(so, lambda: f"{', '.join(names)} ready")

    def asked(self, path: str) -> int:
        """How many requests the origin has seen for this path."""
        return self.stub.tally(path).count

    # --- the end ---

    async def end(self) -> list[str]:
        """Drains every node that is left; what was not as it should be."""
        left = [node for node in self.nodes.values() if node.runs]
        for node in left:
            self.thaw(node.name)
            self.terminate(node.name)
        complaints: list[str] = []
        for node in left:
            try:
                code = await self.ended(node.name)
            except TimeoutError:
                complaints.append(f"{node.name} did not end")
                await self.kill(node.name)
                continue
            if code:
                complaints.append(f"{node.name} ended with {code}")
        for node in self.nodes.values():
            if node.log.exists():
                complaints += [f"{node.name}: {line}" for line in node.log.read_text().splitlines() if _is_fault(line)]
        return complaints


def gone(pid: object) -> bool:
    """Is there no such process any more?"""
    assert isinstance(pid, int)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def request(path: str, method: str = "GET") -> bytes:
    """A request as a `client` sends it."""
    return f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode("ascii")


def own_word(got: Got) -> str:
    """What the node that was asked says of itself: HIT, MISS, STALE or PASS."""
    return got.x_cache.rpartition(", ")[2]


def own_status(got: Got) -> str:
    """Its member of Cache-Status."""
    return got.headers["cache-status"].rpartition(", ")[2]


def _is_fault(line: str) -> bool:
    """A line that no story may bring about: something of ours failed."""
    return "Traceback" in line or any(event in line for event in ("feed.failed", "admin.failed", "purge.hub_failed"))


@asynccontextmanager
async def city(
    directory: Path,
    nodes: Mapping[str, Settings],
    *,
    origin: Callable[[OriginStub], Settings] = lambda stub: {"url": stub.url},
    start: bool = True,
    environment: Mapping[str, str] | None = None,
    change: Mapping[str, Callable[[Settings], None]] | None = None,
    **more: Any,
) -> AsyncIterator[City]:
    """These nodes, each with ports of its own, on one origin; ready, unless `start` is False.

    `more` are sections of the file; `change` edits the copies of single nodes. Whatever the story does, every process
    is ended, and one that does not end well fails it.
    """
    async with AsyncExitStack() as stack:
        stub = await stack.enter_async_context(OriginStub())
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        session = await stack.enter_async_context(
            aiohttp.ClientSession(
                connector=connector,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=PATIENCE),
            )
        )
        ports = iter(free_ports(2 * len(nodes)))
        addressed = {
            name: {"listen": f"127.0.0.1:{next(ports)}", "admin": f"127.0.0.1:{next(ports)}", **deepcopy(settings)}
            for name, settings in nodes.items()
        }
        purge = {"lease": f"{LEASE}s", **more.pop("purge", {})}
        topology = {
            "version": 1,
            "origins": {"app": origin(stub)},
            "nodes": addressed,
            "purge": purge,
            "limits": {"drain_timeout": "3s", **more.pop("limits", {})},
            **more,
        }
        built = City(directory, stub, session, topology)
        built.environment = dict(environment or {})
        for name, edit in (change or {}).items():
            built.write(name, edit)
        try:
            if start:
                await built.start(*nodes)
                await built.ready(*nodes)
            yield built
        finally:
            complaints = await built.end()
        assert not complaints, "\n".join(complaints)
