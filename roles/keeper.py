"""A node of several processes: one that keeps, and workers that serve.

The keeper holds what has to outlive a worker: the listening sockets, one for each worker (SO_REUSEPORT: the kernel
spreads connections over them), the node's lock, the admin port, and the journal where the node numbers the purge
orders. It answers no client and stores nothing. A node of one process has no keeper.

    clients ──▶ socket 0 ──▶ worker 0: memory, flights ─┐
            ──▶ socket 1 ──▶ worker 1: memory, flights ─┴─▶ one disk level
                   │               │ feed, figures
                   └─ keeper: held, replaced when it dies ──▶ admin port, journal

A worker that dies takes its connections with it. Its socket stays, and with it the queue of who has connected and was
not taken yet: nobody is refused, and its successor answers. A keeper that dies takes its workers with it.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import uvloop

from roles.adminport import Who, host_names, open_admin, open_metrics, who_may_ask
from roles.keeperview import KeeperView, Worker
from roles.node import FLUSH_SECONDS, ReadyInfo
from roles.post import Post
from roles.purging import LOCK, nodes_secret, only_one, open_keepers_service
from roles.workerprocess import Sockets, WorkerFailed, WorkerProcess
from seawall.admin.tokenfile import own_directory
from seawall.admin.view import NotReady, Readiness, Ready
from seawall.config.place import hub
from seawall.config.places import data_directory
from seawall.config.schema import Topology
from seawall.downstream.server import BACKLOG, bound
from seawall.purge.service import PurgeService
from seawall.telemetry import events
from seawall.telemetry.version import own_version

# After its drain_timeout a worker writes what it has for the disk, says good-bye to its hub and closes its logs.
GRACE_SECONDS = FLUSH_SECONDS + 3.0
HUB_SOCKET = "keeper.sock"


class Keeper:
    """The keeper of one node, and owner of its workers. `run` is its whole life."""

    def __init__(self, topology: Topology, name: str, program: str = "roles.worker") -> None:
        """`program`: the module that each worker runs."""
        self._program = program
        self._topology = topology
        self._settings = topology.nodes[name]
        self.name = name
        self.state: Readiness = NotReady("starting")
        self._stop = asyncio.Event()
        self._workers: list[WorkerProcess] = []

    async def run(self, on_ready: Callable[[ReadyInfo], None]) -> None:
        """Serves until told to stop. Raises what CachingNode.run does, and WorkerFailed, which is an OSError."""
        topology, settings = self._topology, self._settings
        secret = nodes_secret(topology)
        password = secrets.token_urlsafe(32)
        data = data_directory(settings.data, self.name, os.environ)
        own_directory(data)
        alone = only_one(data, LOCK)
        async with AsyncExitStack() as parts:
            directory = os.open(data, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            parts.callback(os.close, directory)
            places = await _places(settings.listen.host, settings.listen.port, settings.workers)
            for place in places:
                parts.callback(_close, place)
            where = str(replace(settings.listen, port=places[0][0].getsockname()[1]))
            service = await open_keepers_service(topology, self.name, secret)
            numbers = hub(topology) == self.name
            post = Post(
                topology=topology,
                node=self.name,
                worker=0,
                listening=(),
                admin=-1,
                secret=password,
                hub=_within(directory, HUB_SOCKET) if numbers else None,
                alone=alone,
            )
            self._listen_to_signals()
            try:
                admin = await self._open_doors(parts, post, directory, places, service, secret)
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._live(where, admin, on_ready))
                    for worker in self._workers:
                        group.create_task(worker.run())
            except* WorkerFailed as failed:
                raise _first(failed) from None
            finally:
                # After the last reply, before the ports: feeds keep their connections.
                await service.close()
        events.info("node.stopped")

    async def _live(self, where: str, admin: str | None, on_ready: Callable[[ReadyInfo], None]) -> None:
        """From the start of the workers to their end. Cancelled where one of them could not start."""
        try:
            await self._all_serve_or_stop()
            if not self._stop.is_set():
                self.state = Ready()
                events.info("node.ready", listen=where, admin=admin, workers=len(self._workers))
                on_ready(ReadyInfo(self.name, where, admin))
                await self._stop.wait()
            self.state = NotReady("draining")
            events.info("node.draining", workers=len(self._workers))
            seconds = self._topology.limits.drain_timeout + GRACE_SECONDS
            await asyncio.gather(*(worker.stop(seconds) for worker in self._workers))
        finally:
            for worker in self._workers:
                worker.kill()

    async def _all_serve_or_stop(self) -> None:
        async def all_serve() -> None:
            for worker in self._workers:
                await worker.served()

        waiting = [asyncio.ensure_future(all_serve()), asyncio.ensure_future(self._stop.wait())]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()

    async def _open_doors(
        self,
        parts: AsyncExitStack,
        post: Post,
        directory: int,
        places: Sequence[Sequence[socket.socket]],
        service: PurgeService,
        secret: str | None,
    ) -> str | None:
        """Makes the workers, which do not run yet, and opens the ports of the keeper; the admin port's address."""
        who = who_may_ask(self._topology, self.name, secret, post.token)
        workers: list[Worker] = []
        view = KeeperView(self.name, str(self._settings.role), lambda: self.state, service.usage, workers, post.secret)
        parts.push_async_callback(view.close)
        for index, place in enumerate(places):
            name = f"worker.{index}.sock"
            door = _door(directory, name)
            parts.callback(door.close)
            sockets = Sockets(place, door)
            own = replace(post, worker=index, listening=tuple(sock.fileno() for sock in place), admin=door.fileno())
            process = WorkerProcess(own, sockets, (directory,), view.ended, self._program)
            self._workers.append(process)
            workers.append(Worker(process, _within(directory, name)))
        await self._open_hub(parts, post, directory, view, who, service)
        return await self._open_admin(parts, view, who, service)

    async def _open_hub(
        self, parts: AsyncExitStack, post: Post, directory: int, view: KeeperView, who: Who, service: PurgeService
    ) -> None:
        """Where the workers follow the orders, if they do so here: it works without an admin port too."""
        if post.hub is None:
            return
        from seawall.admin.app import create_app
        from seawall.admin.port import open_socket

        app = create_app(view, who.tokens, version=own_version(), purge=service)
        port = await open_socket(app, _door(directory, HUB_SOCKET))
        parts.push_async_callback(port.close)

    async def _open_admin(self, parts: AsyncExitStack, view: KeeperView, who: Who, service: PurgeService) -> str | None:
        wanted = self._settings.admin
        if wanted is None:
            return None
        from seawall.admin.app import create_app

        app = create_app(
            view,
            who.tokens,
            version=own_version(),
            host_names=host_names(self._topology, wanted),
            open_metrics=open_metrics(self._topology, wanted),
            purge=service,
            warming=view.passed,
        )
        # Whatever else a worker's port has, one of them answers; it asks for the token itself.
        app.router.add_route("*", "/{path:.*}", view.passed.any)
        admin = await open_admin(app, wanted, who.own)
        parts.push_async_callback(admin.close)
        return admin.address

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)

        def reopen() -> None:
            for worker in self._workers:
                if worker.ready:  # before that it has not opened its log, and the signal would end it
                    worker.send(signal.SIGUSR1)

        if self._topology.access_log is not None:
            loop.add_signal_handler(signal.SIGUSR1, reopen)


def keep_node(topology: Topology, name: str, on_ready: Callable[[ReadyInfo], None], program: str) -> int:
    """Runs the node until SIGTERM or SIGINT; the exit code. Raises what Keeper.run does."""

    uvloop.run(Keeper(topology, name, program).run(on_ready))
    return 0


async def _places(host: str, port: int, count: int) -> list[list[socket.socket]]:
    """For each worker the sockets that it accepts from, one for each address of the host. Raises OSError."""
    # Once without SO_REUSEPORT: with it we could bind where another process of this user listens already.
    for probe in await bound(host, port, reuse_port=False):
        probe.close()
    places: list[list[socket.socket]] = []
    try:
        for _ in range(count):
            places.append(await bound(host, port, reuse_port=True))
            port = port or places[0][0].getsockname()[1]
        for sock in (sock for place in places for sock in place):
            sock.listen(BACKLOG)
    except BaseException:
        for place in places:
            _close(place)
        raise
    return places


def _close(sockets: Sequence[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


def _within(directory: int, name: str) -> Path:
    """A path to what lies in an open directory: the name of a Unix socket may be 107 octets long, a data directory's
    longer. Good in every process that has the directory open under this number (proc_pid_fd(5))."""
    return Path(f"/proc/self/fd/{directory}/{name}")


def _door(directory: int, name: str) -> socket.socket:
    """A Unix socket of this name, for this user only, listened on. Raises OSError."""
    path = _within(directory, name)
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.bind(str(path))
        path.chmod(0o600)  # before anybody can connect
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _first(group: BaseExceptionGroup[WorkerFailed]) -> WorkerFailed:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, WorkerFailed)  # noqa: S101 (the group holds nothing else)
    return found
