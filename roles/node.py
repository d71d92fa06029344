"""A caching node as a process: reads its part of the topology, puts the parts together, and runs until it is told
to stop.

The life of a node: starting -> ready -> draining -> gone. SIGTERM and SIGINT drain; SIGUSR1 reopens the access log.
What a role adds stands in its own package; where its upstreams are is the one thing that it says here.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import uvloop

from roles.purging import allowed_to_purge, nodes_secret, open_service, standing_of
from roles.rules import rules_for
from roles.ways import ways_of, wire_of
from roles.wiring import limits_for, router_for
from seawall.admin.tokenfile import keep_token, leave_note, remove_note
from seawall.admin.tokens import EVERYTHING, Tokens, nodes_token
from seawall.admin.view import NotReady, Readiness, Ready
from seawall.clock import SystemClock
from seawall.config.places import data_directory, state_directory
from seawall.config.schema import MetricsAccess, Topology
from seawall.config.secrets import Secret, read_secrets
from seawall.downstream.server import Server
from seawall.engine.engine import Engine
from seawall.engine.peers import Peers
from seawall.engine.purgerequest import with_purge
from seawall.engine.tally import Tally
from seawall.purge.service import PurgeService
from seawall.store.memory import MemoryStore
from seawall.telemetry import events
from seawall.telemetry.accesslog import AccessLog, access_log
from seawall.telemetry.exposition import Scrape
from seawall.telemetry.metrics import JSON, Counters, Gauges, PortUsage, TierUsage, snapshot
from seawall.telemetry.version import own_version

# Bodies that are still arriving live beside the store: a quarter of its budget again at the most, and not less
# than two objects of the largest size that is stored.
FILL_SHARE = 4
LEAST_FILL_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ReadyInfo:
    """Where a node listens, now that it does."""

    node: str
    listen: str
    admin: str | None


@dataclass(frozen=True, slots=True)
class _Admin:
    """The open admin port: where it is, and how it ends."""

    address: str
    close: Callable[[], Awaitable[None]]


class CachingNode:
    """One node and everything it owns. `run` is its whole life."""

    def __init__(self, topology: Topology, name: str) -> None:
        self._topology = topology
        self._settings = topology.nodes[name]
        self.name = name
        self.role = str(self._settings.role)
        self.counters = Counters()
        self._state: Readiness = NotReady("starting")
        self._stop = asyncio.Event()
        self._own_token: Path | None = None  # the directory of the token that this node made for itself

    # --- what the admin port sees (admin.view.NodeView) ---

    def ready(self) -> Readiness:
        return self._state

    def stats(self) -> dict[str, JSON]:
        return {"node": self.name, "role": self.role, **snapshot(self.counters, self._gauges)}

    def scrape(self, accept: str) -> tuple[str, bytes]:
        return self._scrape(accept)

    # --- its life ---

    async def run(self, on_ready: Callable[[ReadyInfo], None]) -> None:
        """Serves until told to stop. Raises OSError where it cannot listen, ConfigError for secrets it cannot have,
        JournalError where the hub cannot write its orders down."""
        topology, settings = self._topology, self._settings
        memory = topology.store_of(settings).memory
        secret = nodes_secret(topology)
        clock = SystemClock()
        self._store = store = MemoryStore(memory.size, memory.eviction)
        standing = standing_of(topology, self.name)
        async with AsyncExitStack() as parts:
            log = self._open_log()
            if log is not None:
                parts.callback(log.close)
            wire = wire_of(settings)
            ways = ways_of(topology, settings, secret, wire)
            parts.push_async_callback(ways.close)
            ways.start()
            engine = Engine(
                node=self.name,
                clock=clock,
                route=router_for(
                    topology.effective_routes(), lambda route: rules_for(route, memory), topology.origin_of, ways
                ),
                store=store,
                observer=Tally(self.counters, log),
                fill_budget_bytes=max(memory.size // FILL_SHARE, LEAST_FILL_BYTES),
                standing=standing,
                peers=Peers(secret),
            )
            parts.push_async_callback(engine.close)
            service = await open_service(topology, self.name, standing, engine.purger, secret, wire)
            tokens = self._tokens(secret)
            handler = with_purge(engine.handle, service, allowed_to_purge(topology, tokens))
            self._server = server = Server(handler, limits=limits_for(topology.limits), name=self.name, clock=clock)
            self._gauges = Gauges(
                tiers=self._tiers, port=self._port, flights=lambda: engine.flights, purge=service.usage
            )
            self._scrape = Scrape(self.counters, self._gauges, self.name)
            try:
                await server.start(settings.listen.host, settings.listen.port)
                admin = await self._open_admin(tokens, service)
                if admin is not None:
                    parts.push_async_callback(admin.close)
                self._listen_to_signals(log)
                self._state = Ready()
                where = str(replace(settings.listen, port=server.port))
                events.info("node.ready", listen=where, admin=admin.address if admin is not None else None)
                on_ready(ReadyInfo(self.name, where, admin.address if admin is not None else None))
                await self._stop.wait()
                events.info("node.draining", flights=engine.flights, connections=server.open)
                self._state = NotReady("draining")
                await server.drain(topology.limits.drain_timeout)
            finally:
                await server.drain(0)
                # After the last reply, before the admin port: feeds keep its connections.
                await service.close()
        events.info("node.stopped")

    def _listen_to_signals(self, log: AccessLog | None) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        if log is not None:
            loop.add_signal_handler(signal.SIGUSR1, log.reopen)

    def _open_log(self) -> AccessLog | None:
        wanted = self._topology.access_log
        return None if wanted is None else access_log(wanted.path, wanted.format, self.name, self.counters)

    def _tokens(self, secret: str | None) -> Tokens:
        """Who may ask: the file's tokens or one of the node's own, and the other nodes."""
        secrets: Iterable[Secret] = read_secrets(self._topology, os.environ)
        if not secrets and self._settings.admin is not None:
            self._own_token = data_directory(self._settings.data, self.name, os.environ)
            secrets = (Secret("local", keep_token(self._own_token), frozenset(EVERYTHING)),)
        holders: list[tuple[str, str, Iterable[str]]] = [(each.name, each.secret, each.may) for each in secrets]
        if secret is not None:
            holders.append(nodes_token(secret))
        return Tokens(holders)

    async def _open_admin(self, tokens: Tokens, service: PurgeService) -> _Admin | None:
        wanted = self._settings.admin
        if wanted is None:
            return None
        # Imported here: aiohttp's server costs 150 ms, and a node without an admin port needs none of it.
        from seawall.admin.app import create_app
        from seawall.admin.port import open_port

        topology = self._topology
        open_metrics = topology.admin.metrics is MetricsAccess.OPEN or (
            topology.admin.metrics is MetricsAccess.LOOPBACK and wanted.loopback
        )
        app = create_app(
            self,
            tokens,
            version=own_version(),
            host_names=(*topology.admin.hosts, wanted.host),  # nodes call their hub by the file's name for it
            open_metrics=open_metrics,
            purge=service,
        )
        port = await open_port(app, wanted.host, wanted.port)
        note = None
        if self._own_token is not None:
            note = leave_note(state_directory(os.environ), wanted.host, port.port, self._own_token)

        async def close() -> None:
            if note is not None:
                remove_note(note)
            await port.close()

        return _Admin(port.address, close)

    def _tiers(self) -> Iterable[TierUsage]:
        self.counters.evictions["memory", "size"] = self._store.evicted
        yield TierUsage("memory", self._store.used_bytes, len(self._store))

    def _port(self) -> PortUsage:
        server = self._server
        return PortUsage(
            server.open,
            server.accepted,
            {str(status): number for status, number in server.bad_requests.items()},
            dict(server.timeouts),
        )


def run_node(topology: Topology, name: str, on_ready: Callable[[ReadyInfo], None]) -> int:
    """Runs the node until SIGTERM or SIGINT; the exit code. Raises OSError and ConfigError as CachingNode.run does."""

    async def live() -> None:
        await CachingNode(topology, name).run(on_ready)

    uvloop.run(live())
    return 0
