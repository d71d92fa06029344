"""The real thing, to be run against: an origin stub, a shield and three edges, each a process of its own or several.

Where the nodes keep what they store is the run's choice (`Levels`). Starts them, asks the origin to change and a node
to purge, and disturbs them. Ends only what it started, by process id. Knows nothing of histories: every verb says when
it was done, on `time.monotonic()`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from time import monotonic

import aiohttp
import yaml

from tests.consistency.history import SELECTING, Key, PurgeState
from tests.consistency.relay import Relay
from tests.redis_servers import RedisProcess, redis_servers

ROOT = Path(__file__).parents[2]
HOST = "shop.test"  # the host of every URL, whichever node is asked
SHIELD = "shield-1"
EDGES = ("edge-1", "edge-2", "edge-3")
NODES = (SHIELD, *EDGES)
LEASE = 2.0
# What seawall.purge.lease adds to a lease before it counts on it: 50 ms and one percent.
MARGIN = 0.05 + LEASE / 100
TOKEN = "SEAWALL_TOKEN"
# A bound for a machine that has much else to do; a node is ready after a second.
READY_SECONDS = 120.0
# Who is frozen or dead for longer than a lease is fenced by then.
_PURGE_TIMEOUT = 3 * LEASE


class Levels(StrEnum):
    """Where the nodes keep what they store."""

    MEMORY = "memory"
    DISK = "disk"  # a memory too small for it, over a directory that outlives the process
    REDIS = "redis"  # the same over one Redis for all of them
    WORKERS = "workers"  # edges of two processes; one edge without and two with a directory that both share


_SMALL = {"size": "64KiB"}
_AMPLE = {"memory": {"size": "256KiB"}}  # entries leave in between all the same
# Larger bodies stay on the disk and are read from there for each client.
_ON_DISK = {"memory": {**_SMALL, "max_object_size": "8KiB"}, "disk": {"size": "2MiB"}}


@dataclass(frozen=True, slots=True)
class Told:
    """What a purge, or a later question for its receipt, was answered."""

    number: int
    state: PurgeState
    nodes: dict[str, str]
    why: str = ""


class Process:
    """One process, started again as often as it is killed. Owned by its World."""

    def __init__(self, name: str, words: Sequence[str], environment: Mapping[str, str], directory: Path) -> None:
        self.name = name
        self._words = words
        self._environment = environment
        self._said = directory / f"{name}.out"
        self._log = directory / f"{name}.log"
        self._handle: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self._handle is not None
        return self._handle.pid

    @property
    def ended(self) -> bool:
        return self._handle is None or self._handle.returncode is not None

    async def start(self) -> dict[str, object]:
        """Starts it and returns what its ready line says. Raises RuntimeError with its log where there is none."""
        with self._said.open("wb") as said, self._log.open("ab") as log:
            self._handle = await asyncio.create_subprocess_exec(
                sys.executable, *self._words,
                stdin=asyncio.subprocess.DEVNULL, stdout=said, stderr=log, cwd=ROOT, env=self._environment,
            )  # fmt: skip
        until = monotonic() + READY_SECONDS
        while monotonic() < until and not self.ended:
            for line in self._said.read_bytes().split(b"\n")[:-1]:
                with contextlib.suppress(ValueError):
                    told = json.loads(line)
                    if isinstance(told, dict) and told.get("event") == "ready":
                        return told
            await asyncio.sleep(0.02)
        raise RuntimeError(f"{self.name} was not ready\n{self.log()[-4000:]}")

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def send(self, number: signal.Signals) -> None:
        if not self.ended:
            os.kill(self.pid, number)

    def workers(self) -> list[int]:
        """The processes that it has started and that run."""
        return [] if self.ended else _children(self.pid)

    async def kill(self, *, alone: bool = False) -> None:
        """Ends it and what it started without a word; returns when all are gone. `alone`: it only, and what it started
        finds out for itself."""
        assert self._handle is not None
        self.send(signal.SIGSTOP)  # so that it replaces nobody
        await _stand_still(self.pid)
        workers = self.workers()
        self.send(signal.SIGKILL)
        for worker in workers:
            if not alone:
                send(worker, signal.SIGKILL)
        await self._handle.wait()
        for worker in workers:
            while not _is_gone(worker):  # noqa: ASYNC110 (whose child it is now, we do not know)
                await asyncio.sleep(0.005)

    async def freeze(self) -> None:
        """Stops it and what it started; returns when every thread of them stands still."""
        self.send(signal.SIGSTOP)
        await _stand_still(self.pid)
        for worker in self.workers():
            await freeze(worker)

    def thaw(self) -> None:
        for worker in self.workers():
            send(worker, signal.SIGCONT)
        self.send(signal.SIGCONT)

    async def end(self) -> None:
        """Lets it drain, for a while."""
        if self._handle is None or self.ended:
            return
        self.thaw()
        self.send(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._handle.wait(), 10.0)
        except TimeoutError:
            await self.kill()


def send(pid: int, number: signal.Signals) -> None:
    """A signal to a process that may be gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


async def freeze(pid: int) -> None:
    """Stops one process; returns when every thread of it stands still."""
    send(pid, signal.SIGSTOP)
    await _stand_still(pid)


async def _stand_still(pid: int) -> None:
    while not all(state in "TtZX" for state in _states(pid)):  # noqa: ASYNC110 (nobody tells when it has stopped)
        await asyncio.sleep(0.001)


def _states(pid: int) -> list[str]:
    """Of each thread; nothing where the process is gone, or where this is no Linux and no more can be known."""
    states = []
    for task in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(OSError):  # it ends just now
            states.append(task.read_text().rpartition(")")[2].split()[0])
    return states


def _is_gone(pid: int) -> bool:
    return all(state in "ZX" for state in _states(pid))


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, task.read_text().split())
    return found


@dataclass(slots=True)
class Ports:
    """Where each node listens."""

    listen: dict[str, int]
    admin: dict[str, int]


class World:
    """All processes of a run and the ways to speak to them. Made by `world()`."""

    def __init__(
        self, directory: Path, session: aiohttp.ClientSession, origin: str, ports: Ports, redis: RedisProcess | None
    ) -> None:
        self.directory = directory
        self.redis = redis
        self._session = session
        self._origin = origin
        self._ports = ports
        self.processes: dict[str, Process] = {}
        self.relays: dict[str, Relay] = {}  # between each edge and the hub
        self.token = ""

    def url_of(self, node: str) -> str:
        """Where its clients connect; they send HOST as Host all the same."""
        return f"http://127.0.0.1:{self._ports.listen[node]}"

    def cache_of(self, node: str) -> Path:
        """The directory of its disk level, which it may have or not."""
        return _state(self.directory) / "seawall" / node / "cache"

    def keep_cache(self, node: str) -> bool:
        """Copies the disk level of a node that does not run, in place of an earlier copy. False: there is none."""
        cache, copy = self.cache_of(node), self._copy_of(node)
        if not cache.exists():
            return False
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(cache, copy)
        return True

    def restore_cache(self, node: str) -> bool:
        """The other way round: it comes back from the backup. False: there is no copy."""
        cache, copy = self.cache_of(node), self._copy_of(node)
        if not copy.exists():
            return False
        self.lose_cache(node)
        shutil.copytree(copy, cache)
        return True

    def lose_cache(self, node: str) -> None:
        shutil.rmtree(self.cache_of(node), ignore_errors=True)

    def _copy_of(self, node: str) -> Path:
        return self.directory / f"{node}.copy"

    async def held(self, node: str) -> dict[str, dict[str, object]]:
        """What the levels of a node hold and have counted, by their names (/v1/stats)."""
        async with self._session.get(
            f"http://127.0.0.1:{self._ports.admin[node]}/v1/stats", headers=self._bearer()
        ) as response:
            store: dict[str, dict[str, object]] = (await response.json()).get("store", {})
        return store

    # --- the origin ---

    async def publish(self, key: Key, version: int, delay: float, *, broken: bool = False, slow: bool = False) -> None:
        """From now on the origin answers with this version, chosen when a request arrives and sent `delay` seconds
        later: what a purge overtakes is then really old."""
        stale = f", stale-while-revalidate={key.swr:g}" if key.swr else ""
        reply: dict[str, object] = {
            "size": key.size,
            "version": version,
            "etag": "",
            "delay": f"{delay * 1000:.0f}ms",
            "cache-control": f"max-age={key.max_age:g}{stale}",
            "header": [f"Surrogate-Key: {' '.join(key.tags)}"],
        }
        if any(key.variants):
            reply["vary"] = SELECTING
        if slow:
            reply |= {"piece": key.size // 4 + 1, "piece-delay": "15ms"}
        if broken:
            reply |= {"fault": "truncate", "at": key.size // 2}
        async with self._session.put(
            f"{self._origin}/_stub/script", params={"path": key.key}, json={"replies": [reply]}
        ) as response:
            if response.status != 200:
                raise RuntimeError(await response.text())

    async def most_at_once(self, key: Key) -> int:
        """The most fetches of this key that the origin ever had in flight."""
        async with self._session.get(f"{self._origin}/_stub/tally", params={"path": key.key}) as response:
            return int((await response.json())["most_at_once"])

    # --- purges ---

    async def purge(self, via: str, what: Mapping[str, object]) -> Told:
        """POST /v1/purge at this node; whatever comes back, or does not."""
        return await self._ask("POST", via, "/v1/purge", {"timeout": f"{_PURGE_TIMEOUT:g}s", **what})

    async def receipt(self, via: str, number: int) -> Told:
        """GET /v1/purges/N."""
        return await self._ask("GET", via, f"/v1/purges/{number}", None)

    async def _ask(self, method: str, via: str, path: str, body: Mapping[str, object] | None) -> Told:
        url = f"http://127.0.0.1:{self._ports.admin[via]}{path}"
        headers = self._bearer()
        timeout = aiohttp.ClientTimeout(total=_PURGE_TIMEOUT + 4 * LEASE)
        try:
            async with self._session.request(method, url, json=body, headers=headers, timeout=timeout) as response:
                text = await response.text()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return Told(0, PurgeState.UNANSWERED, {}, repr(error)[:200])
        try:
            said = json.loads(text)
            nodes = {each["node"]: each["state"] for each in said["nodes"]}
            return Told(int(said["id"]), PurgeState(said["state"]), nodes)
        except (ValueError, KeyError, TypeError):
            return Told(0, PurgeState.REFUSED, {}, f"{response.status} {text[:200]}")

    def _bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def heal(self, limit: float) -> float:
        """Returns when a purge is complete again, with the instant; raises RuntimeError after `limit` seconds."""
        until, told = monotonic() + limit, None
        while monotonic() < until:
            told = await self.purge(SHIELD, {"urls": [f"http://{HOST}/nothing"], "timeout": "500ms"})
            if told.state is PurgeState.COMPLETE:
                return monotonic()
            await asyncio.sleep(0.05)
        raise RuntimeError(f"{limit:g} s after a fault a purge is still not complete: {told}")


@asynccontextmanager
async def world(directory: Path, levels: Levels = Levels.MEMORY) -> AsyncIterator[World]:
    """The whole topology, serving; ended when the block is left. Logs and data lie in `directory`."""
    ports = Ports(*_free_ports())
    token = secrets.token_urlsafe(32)
    environment = {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "XDG_STATE_HOME": str(_state(directory)),
        TOKEN: token,
    }
    stub = Process("origin", ["-m", "origin_stub", "--listen", "127.0.0.1:0", "--json"], environment, directory)
    relays = {edge: Relay(ports.admin[SHIELD]) for edge in EDGES}
    processes = {"origin": stub}
    connector = aiohttp.TCPConnector(limit=0)
    async with contextlib.AsyncExitStack() as stack:
        redis = await _redis(directory, stack) if levels is Levels.REDIS else None
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        )
        try:
            said = await stub.start()
            made = World(directory, session, f"http://{said['listen']}", ports, redis)
            made.token, made.processes, made.relays = token, processes, relays
            for relay in relays.values():
                await relay.start()
            for name in NODES:
                # Each edge reaches the hub over a wire of its own, so each has a file of its own.
                hub_port = relays[name].port if name in relays else ports.admin[SHIELD]
                topology = _topology(str(said["listen"]), ports, hub_port, levels, redis)
                file = directory / f"{name}.yaml"
                file.write_text(yaml.safe_dump(topology, sort_keys=False))
                words = ["-m", "console.main", "serve", "--config", str(file), "--node", name, "--json"]
                processes[name] = Process(name, words, environment, directory)
            for name in NODES:
                await processes[name].start()
            yield made
        finally:
            for name in (*EDGES, SHIELD, "origin"):
                if name in processes:
                    await processes[name].end()
            for relay in relays.values():
                await relay.end()


async def _redis(directory: Path, stack: contextlib.AsyncExitStack) -> RedisProcess:
    return await asyncio.to_thread(stack.enter_context(redis_servers(directory)).server)


def _state(directory: Path) -> Path:
    return directory / "state"


def _topology(
    origin: str, ports: Ports, hub_port: int, levels: Levels, redis: RedisProcess | None
) -> dict[str, object]:
    def node(name: str, role: str, **more: object) -> dict[str, object]:
        listen, admin = (
            f"127.0.0.1:{ports.listen[name]}",
            f"127.0.0.1:{hub_port if name == SHIELD else ports.admin[name]}",
        )
        return {"role": role, "listen": listen, "admin": admin, **more}

    near = {"parents": [SHIELD], "link": {"latency": "2ms", "jitter": "4ms"}}
    far = {"parents": [SHIELD], "link": {"latency": "10ms", "jitter": "10ms", "loss": 0.02}}
    timeouts = {"connect": "1s", "first_byte": "4s", "idle": "4s"}
    store: dict[str, object]
    match levels:
        case Levels.MEMORY:
            store = dict(_AMPLE)
        case Levels.DISK | Levels.WORKERS:
            store = dict(_ON_DISK)
        case Levels.REDIS:
            assert redis is not None
            # Looked into again so soon that it happens all the time.
            store = {"memory": _SMALL, "redis": {"url": redis.url, "memory_ttl": "500ms"}}
    several = levels is Levels.WORKERS
    workers = {"workers": 2} if several else {}
    return {
        "version": 1,
        "origins": {"app": {"url": f"http://{origin}", "timeouts": timeouts}},
        "nodes": {
            SHIELD: node(SHIELD, "shield"),
            EDGES[0]: node(EDGES[0], "edge", **near, **workers, **({"store": _AMPLE} if several else {})),
            EDGES[1]: node(EDGES[1], "edge", **far, **workers),
            # It gets ahead of the shield when that is away.
            EDGES[2]: node(EDGES[2], "edge", **near, **workers, origin_fallback=True),
        },
        "purge": {"lease": f"{LEASE:g}s", "hub": SHIELD},
        "admin": {"tokens": [{"name": "run", "env": TOKEN, "may": ["read", "purge"]}]},
        "limits": {"drain_timeout": "2s"},
        "store": store,
    }


def _free_ports() -> tuple[dict[str, int], dict[str, int]]:
    """A listen and an admin port for each node, all held at once so that none comes twice."""
    with contextlib.ExitStack() as held:
        ports = []
        for _ in range(2 * len(NODES)):
            probe = held.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            ports.append(int(probe.getsockname()[1]))
    return dict(zip(NODES, ports, strict=False)), dict(zip(NODES, ports[len(NODES) :], strict=True))
