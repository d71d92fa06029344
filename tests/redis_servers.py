"""Real Redis servers for tests: one, a cluster, a master with its replica and Sentinel. Ended by pid, on loopback.

    with redis_servers(tmp_path) as servers:
        redis = servers.server("--maxmemory", "8mb")
        redis.ask("FLUSHALL"); redis.stop(); redis.go_on(); redis.kill(); redis.start()

Without redis-server on this machine the calling test is left out, loudly, or fails in CI (tests/needs.py).
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.needs import program
from tests.topology.ports import free_ports

PATIENCE = 20.0
_QUIET = ("--save", "", "--appendonly", "no", "--loglevel", "warning", "--daemonize", "no", "--bind", "127.0.0.1")


def until(true: Callable[[], Any], what: str) -> Any:
    """Waits until it is true and returns what it was; for what happens in another process and tells nobody."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if found := true():
                return found
        except (redis.RedisError, OSError):
            pass
        assert time.monotonic() < deadline, f"not in {PATIENCE} s: {what}"
        time.sleep(0.01)


class RedisProcess:
    """One redis-server. `settings` stand behind ours, so they win. Its directory and port stay when it restarts."""

    def __init__(
        self,
        directory: Path,
        port: int,
        settings: Sequence[str],
        *,
        first: Sequence[str] = (),
        quiet: Sequence[str] = _QUIET,
    ) -> None:
        self.directory = directory
        self.port = port
        place = ("--port", str(port), "--dir", str(directory))
        self._words = [program("redis-server"), *first, *place, *quiet, *settings]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def snapshot(self) -> Path:
        """Where SAVE writes, and from where it begins when it starts, if there is one."""
        return self.directory / "dump.rdb"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> RedisProcess:
        """Runs it, and returns when it answers."""
        assert self._process is None
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(self._words, stdout=log, stderr=log)
        try:
            until(self._answers, f"redis-server answers, {(self.directory / 'log').read_text()[-2000:]}")
        except BaseException:
            self.kill()
            raise
        return self

    def ask(self, *words: Any) -> Any:
        """What it answers to one command: bytes, as it says it."""
        with self.client() as client:
            return client.execute_command(*words)

    def client(self, **settings: Any) -> redis.Redis:
        """A client of the test's own; the caller closes it."""
        # Without its own retries, which wait for seconds.
        return redis.Redis(port=self.port, socket_timeout=PATIENCE, retry=Retry(NoBackoff(), 0), **settings)

    def stop(self) -> None:
        """SIGSTOP: it holds its connections and answers nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL. Idempotent."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            self._process = None

    def __repr__(self) -> str:
        return f"<RedisProcess {self.port} {'running' if self._process else 'not running'}>"

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.directory / "log").read_text()[-2000:]
        try:
            return bool(self.ask("PING"))
        except redis.AuthenticationError:
            return True  # it wants to know who asks


class RedisServers:
    """Every server that a test started."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running: list[RedisProcess] = []

    def server(self, *settings: str) -> RedisProcess:
        """One more, which answers. Settings as on its command line: `"--maxmemory", "8mb"`."""
        return self._run(settings)

    def configured(self, configuration: Path, *settings: str) -> RedisProcess:
        """One that runs with this file, but for its directory and port."""
        directory = self._new_directory()
        process = RedisProcess(directory, free_ports(1)[0], settings, first=(str(configuration),), quiet=())
        self._running.append(process)
        return process.start()

    def cluster(self, masters: int = 3) -> list[RedisProcess]:
        """So many masters that share all slots and agree that it is so. The others go on where one is down."""
        buses = free_ports(masters)
        always = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-require-full-coverage", "no")
        nodes = [self._run((*always, "--cluster-port", str(bus))) for bus in buses]
        bounds = [16384 * place // masters for place in range(masters + 1)]
        for place, node in enumerate(nodes):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", place + 1)
            node.ask("CLUSTER", "ADDSLOTSRANGE", bounds[place], bounds[place + 1] - 1)
            nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", node.port, buses[place])
        for node in nodes:
            until(partial(_knows, node, masters), "a cluster forms")
        return nodes

    def sentinel(self, service: str = "cache") -> tuple[RedisProcess, RedisProcess, RedisProcess]:
        """Master, replica in step with it, and a Sentinel that watches both and takes half a second for dead."""
        at_once = ("--repl-diskless-sync-delay", "0")
        master = self._run(at_once)
        replica = self._run((*at_once, "--replicaof", f"127.0.0.1 {master.port}"))
        until(lambda: replica.ask("ROLE")[3] == b"connected", "the replica follows")
        directory = self._new_directory()
        settings = directory / "sentinel.conf"
        settings.write_text(
            f"sentinel monitor {service} 127.0.0.1 {master.port} 1\n"
            f"sentinel down-after-milliseconds {service} 500\n"
            f"sentinel failover-timeout {service} 5000\n"
        )
        sentinel = RedisProcess(directory, free_ports(1)[0], ("--sentinel",), first=(str(settings),))
        self._running.append(sentinel)
        sentinel.start()
        until(lambda: len(sentinel.ask("SENTINEL", "REPLICAS", service)) == 1, "Sentinel knows the replica")
        return master, replica, sentinel

    def close(self) -> None:
        """Ends them all, also those that a test has stopped."""
        for process in self._running:
            process.kill()

    def _run(self, settings: Sequence[str]) -> RedisProcess:
        process = RedisProcess(self._new_directory(), free_ports(1)[0], settings)
        self._running.append(process)
        return process.start()

    def _new_directory(self) -> Path:
        directory = self._directory / f"redis-{len(self._running)}"
        directory.mkdir(parents=True)
        return directory


def _knows(node: RedisProcess, masters: int) -> bool:
    """Is it sure of the whole cluster?"""
    return b"cluster_state:ok" in node.ask("CLUSTER", "INFO") and len(node.ask("CLUSTER", "SLOTS")) == masters


@contextmanager
def redis_servers(directory: Path) -> Iterator[RedisServers]:
    """Those that are started in the block are ended at its end."""
    program("redis-server")
    servers = RedisServers(directory)
    try:
        yield servers
    finally:
        servers.close()
