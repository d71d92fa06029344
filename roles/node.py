"""A caching node as a process: reads its part of the topology, puts the parts together, and runs until it is told
to stop.

The life of a node: starting -> ready -> draining -> gone. SIGTERM and SIGINT drain; SIGUSR1 reopens the access log.
What a role adds stands in its own package; where its upstreams are is the one thing that it says here.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import uvloop

from roles.adminport import OpenAdmin, Who, host_names, open_admin, open_metrics, who_may_ask
from roles.collector import rounds, tame
from roles.levels import levels_of, most_in_memory, open_lower
from roles.news import News
from roles.post import Post
from roles.purging import allowed_to_purge, nodes_secret, open_service, standing_of
from roles.rules import rules_for
from roles.ways import ways_of, wire_of
from roles.wiring import limits_for, router_for
from seawall.admin.view import NotReady, Readiness, Ready
from seawall.clock import SystemClock
from seawall.config.places import data_directory
from seawall.config.schema import Topology
from seawall.downstream.server import Front, Server
from seawall.engine.engine import Engine
from seawall.engine.grounds import Grounds
from seawall.engine.invalidation import Invalidator
from seawall.engine.peers import Peers
from seawall.engine.popular import Popular
from seawall.engine.popularity import Popularity
from seawall.engine.purgerequest import with_purge
from seawall.engine.tally import Tally
from seawall.engine.warmer import Warmer
from seawall.purge.service import PurgeService
from seawall.store.memory import MemoryStore
from seawall.telemetry import events
from seawall.telemetry.accesslog import AccessLog, access_log
from seawall.telemetry.exposition import Scrape
from seawall.telemetry.metrics import JSON, Counters, Gauges, PortUsage, TierUsage, snapshot
from seawall.telemetry.sums import figures
from seawall.telemetry.version import own_version

# Bodies that are still arriving live beside the store: a quarter of its budget again at the most, and not less
# than two objects of the largest size that is stored.
FILL_SHARE = 4
LEAST_FILL_BYTES = 64 * 1024 * 1024
# How long a node that stops goes on writing what was stored to the levels below memory.
FLUSH_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class ReadyInfo:
    """Where a node listens, now that it does."""

    node: str
    listen: str
    admin: str | None


# Who is offered what arrives before the engine is; only an edge has one.
MakeFront = Callable[[Grounds, Server], Front]


class CachingNode:
    """One node and everything it owns. `run` is its whole life."""

    def __init__(
        self, topology: Topology, name: str, post: Post | None = None, *, front: MakeFront | None = None
    ) -> None:
        """`post`: this process is one of the node's workers."""
        self._post = post
        self._front = front
        self._topology = topology
        self._settings = topology.nodes[name]
        self.name = name
        self.role = str(self._settings.role)
        self.counters = Counters()
        self._state: Readiness = NotReady("starting")
        self._stop = asyncio.Event()

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
        topology, settings, post = self._topology, self._settings, self._post
        levels = topology.store_of(settings)
        secret = nodes_secret(topology)
        clock = SystemClock()
        memory = MemoryStore(levels.memory.size, levels.memory.eviction)
        lower = await open_lower(topology, self.name, memory, secret, clock.now)
        standing = standing_of(topology, self.name, lower.kept, post)
        self._store = store = levels_of(
            levels, memory, lower.levels, standing, clock.now, lower.disk if settings.workers > 1 else None
        )
        async with AsyncExitStack() as parts:
            parts.enter_context(rounds())
            parts.push_async_callback(store.close, FLUSH_SECONDS)
            log = self._open_log()
            if log is not None:
                parts.callback(log.close)
            wire = wire_of(settings)
            ways = ways_of(topology, settings, secret, wire)
            parts.push_async_callback(ways.close)
            ways.start()
            popularity = Popularity()
            tally = Tally(self.counters, log)
            engine = Engine(
                node=self.name,
                clock=clock,
                route=router_for(
                    topology.effective_routes(), lambda route: rules_for(route, levels), topology.origin_of, ways
                ),
                store=store,
                observer=tally,
                fill_budget_bytes=max(memory.budget_bytes // FILL_SHARE, LEAST_FILL_BYTES),
                most_in_memory=most_in_memory(levels),
                standing=standing,
                peers=Peers(secret),
                popularity=popularity,
                leases=lower.leases,
            )
            parts.push_async_callback(engine.close)
            self._popular = Popular(popularity, store.get, engine.key_of)
            self._warmer = warmer = Warmer(engine.handle, holds=engine.holds, clock=clock)
            service = await open_service(topology, self.name, standing, engine.purger, secret, wire, post)
            # What the workers of a node share is counted by the first of them.
            engine.purger.counts_below = post is None or post.worker == 0
            if post is not None and settings.workers > 1:
                parts.callback(self._hear_news(engine.invalidator, post).close)
            who = who_may_ask(topology, self.name, secret, *(() if post is None else (post.token,)))
            handler = with_purge(engine.handle, service, allowed_to_purge(topology, who.tokens))
            self._server = server = Server(handler, limits=limits_for(topology.limits), name=self.name, clock=clock)
            if self._front is not None:
                server.front = self._front(engine.grounds(tally), server)
            self._gauges = Gauges(
                tiers=self._tiers, port=self._port, flights=lambda: engine.flights, purge=service.usage
            )
            self._scrape = Scrape(self.counters, self._gauges, self.name)
            try:
                if post is None:
                    await server.start(settings.listen.host, settings.listen.port)
                else:
                    await server.serve(socket.socket(fileno=each) for each in post.listening)
                admin = await self._open_admin(who, service)
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
                warmer.close()
                await server.drain(topology.limits.drain_timeout)
            finally:
                await server.drain(0)
                # After the last reply, before the admin port: feeds keep its connections.
                await service.close()
        events.info("node.stopped")

    def _hear_news(self, invalidator: Invalidator, post: Post) -> News:
        directory = data_directory(self._settings.data, self.name, os.environ)
        news = News(directory, post.worker, self._settings.workers, invalidator.invalidate)
        invalidator.tell = news.tell
        return news

    def _listen_to_signals(self, log: AccessLog | None) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        if log is not None:
            loop.add_signal_handler(signal.SIGUSR1, log.reopen)

    def _open_log(self) -> AccessLog | None:
        wanted = self._topology.access_log
        return None if wanted is None else access_log(wanted.path, wanted.format, self.name, self.counters)

    async def _open_admin(self, who: Who, service: PurgeService) -> OpenAdmin | None:
        wanted, topology = self._settings.admin, self._topology
        if self._post is None and wanted is None:
            return None
        # Imported here: aiohttp's server costs 150 ms, and a node without an admin port needs none of it.
        from seawall.admin.app import create_app
        from seawall.admin.warm import Warming

        app = create_app(
            self,
            who.tokens,
            version=own_version(),
            host_names=() if wanted is None else host_names(topology, wanted),
            open_metrics=wanted is not None and open_metrics(topology, wanted),
            purge=service,
            warming=Warming(self._warmer, self._popular),
        )
        if self._post is not None:
            from roles.workerdoor import open_door

            return await open_door(app, self._post, who.tokens, lambda: figures(self.counters, self._gauges))
        assert wanted is not None  # noqa: S101
        return await open_admin(app, wanted, who.own)

    def _tiers(self) -> Iterable[TierUsage]:
        for held in self._store.held():
            self.counters.evictions[held.tier, "size"] = held.evicted
            yield TierUsage(
                held.tier, held.bytes, held.entries, held.damaged, held.failures, dict(held.lost), held.waiting
            )

    def _port(self) -> PortUsage:
        server = self._server
        return PortUsage(
            server.open,
            server.accepted,
            {str(status): number for status, number in server.bad_requests.items()},
            dict(server.timeouts),
        )


def run_node(
    topology: Topology,
    name: str,
    on_ready: Callable[[ReadyInfo], None],
    *,
    front: MakeFront | None = None,
    worker: str = "roles.worker",
) -> int:
    """Runs the node until SIGTERM or SIGINT; the exit code. Raises OSError and ConfigError as CachingNode.run does.

    `worker`: the module that its workers run, where it has several.
    """
    if topology.nodes[name].workers > 1:
        from roles.keeper import keep_node

        return keep_node(topology, name, on_ready, worker)

    async def live() -> None:
        await CachingNode(topology, name, front=front).run(on_ready)

    tame()
    uvloop.run(live())
    return 0
