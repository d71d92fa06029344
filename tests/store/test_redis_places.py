"""Sentinel and cluster, as real ones: what a failover, a lost node and a moving slot cost."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from redis.crc import key_slot

from seawall.store.level import Found, LevelDown, Names, Stamp
from seawall.store.redislayout import bucket_of
from seawall.store.redislevel import TRIP_CALLS, RedisLevel
from tests.needs import program
from tests.redis_house import LAYOUT, bodies, fill, one, opened, order, put, recovered, stamp, thing, url
from tests.redis_servers import PATIENCE, RedisProcess, RedisServers, redis_servers, until
from tests.topology.ports import free_ports

A = "http://a.example/a"
KEYS = [f"http://a.example/{number}" for number in range(60)]


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[RedisServers]:
    with redis_servers(tmp_path) as servers:
        yield servers


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisProcess]]:
    with redis_servers(tmp_path_factory.mktemp("cluster")) as servers:
        nodes = servers.cluster()
        yield nodes


@pytest.fixture
def emptied(cluster: list[RedisProcess]) -> list[RedisProcess]:
    for node in cluster:
        node.ask("FLUSHALL")
    return cluster


def cluster_url(nodes: list[RedisProcess]) -> str:
    return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)


def home(nodes: list[RedisProcess], key: str) -> RedisProcess:
    """The node that has the key's bucket."""
    slot = slot_of(key)
    for low, high, (_, port, *_), *_ in nodes[0].ask("CLUSTER", "SLOTS"):
        if low <= slot <= high:
            return next(node for node in nodes if node.port == port)
    raise AssertionError


def slot_of(key: str) -> int:
    return key_slot(LAYOUT.object(key))


async def written(level: RedisLevel, key: str, number: int) -> None:
    """Puts something as soon as it is taken."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                assert await one(level, put(thing(key), number))
                return
            except LevelDown:
                await asyncio.sleep(0.02)


async def test_a_failover_costs_hits_for_as_long_as_it_takes(servers: RedisServers) -> None:
    master, replica, sentinel = servers.sentinel()
    async with opened(f"redis+sentinel://127.0.0.1:1,127.0.0.1:{sentinel.port}/cache") as level:
        await fill(level, [thing(A)], 5)
        assert master.ask("DBSIZE") == 2
        until(lambda: replica.ask("DBSIZE") == 2, "the replica has it")
        master.kill()
        with pytest.raises(LevelDown):
            await level.read(A)
        await written(level, A + "/after", 5)
        assert replica.ask("ROLE")[0] == b"master"
        assert await bodies(level, A) == [b"body"]
        await one(level, order(6, url(A)))
        assert await level.read(A) == Found((), stamp(6))


async def test_a_master_that_became_a_replica_is_left(servers: RedisServers) -> None:
    """It lets itself be read, and refuses to write: then Sentinel is asked again."""
    master, replica, sentinel = servers.sentinel()
    async with opened(f"redis+sentinel://127.0.0.1:{sentinel.port}/cache") as level:
        await fill(level, [thing(A)], 5)
        until(lambda: replica.ask("DBSIZE") == 2, "the replica has it")
        sentinel.ask("SENTINEL", "REMOVE", "cache")  # we do it ourselves: it takes 10 s to make a replica of a master
        replica.ask("REPLICAOF", "NO", "ONE")
        master.ask("REPLICAOF", "127.0.0.1", replica.port)
        with pytest.raises(LevelDown, match="read only"):
            await one(level, put(thing(A), 5))
        sentinel.ask("SENTINEL", "MONITOR", "cache", "127.0.0.1", replica.port, 1)
        await written(level, A + "/after", 5)
        assert replica.ask("EXISTS", LAYOUT.object(A + "/after")) == 1


async def test_a_service_that_no_sentinel_knows_is_down(servers: RedisServers) -> None:
    sentinel = servers.sentinel()[2]
    async with opened(f"redis+sentinel://:password-of-data@127.0.0.1:{sentinel.port}/other") as level:
        with pytest.raises(LevelDown, match="does not say which server"):
            await level.read(A)


async def test_every_node_of_a_cluster_has_its_share(emptied: list[RedisProcess]) -> None:
    async with opened(cluster_url(emptied[:1])) as level:
        await fill(level, [thing(key, tags=("t",)) for key in KEYS], 5)
        assert all(node.ask("DBSIZE") > 5 for node in emptied)
        assert (await one(level, order(6, Names(tags=("t",))))).met == dict.fromkeys(KEYS, 4)
        assert level.usage().failures == 0


async def test_with_one_node_down_the_others_serve_and_carry_out_orders(servers: RedisServers) -> None:
    nodes = servers.cluster()
    async with opened(cluster_url(nodes[:1])) as level:
        await fill(level, [thing(key, tags=("t",)) for key in KEYS], 5)
        lost = nodes[2]
        theirs = [key for key in KEYS if home(nodes, key) is lost]
        others = [key for key in KEYS if key not in theirs]
        lost.kill()
        for _ in range(3):
            for key in others:
                assert await bodies(level, key) == [b"body"]
            for key in theirs:
                with pytest.raises(LevelDown):
                    await level.read(key)
        with pytest.raises(LevelDown):  # some of it may have been done
            await one(level, order(6, Names(tags=("t",))))
        for key in others:
            assert await level.read(key) == Found((), stamp(6))
        # A Put in the same batch as one for the lost node is done, too.
        with pytest.raises(LevelDown):
            await level.write([put(thing(theirs[0]), 6), put(thing(others[0]), 6)])
        assert await bodies(level, others[0]) == [b"body"]
        # And so is one in a later round trip.
        with pytest.raises(LevelDown):
            await level.write([put(thing(theirs[0]), 6)] * TRIP_CALLS + [put(thing(others[1]), 6)])
        assert await bodies(level, others[1]) == [b"body"]
        lost.start()  # empty, as it kept nothing
        await recovered(level, theirs[0])
        await written(level, theirs[0], 6)
        assert (await level.read(theirs[0])).stamp == stamp(6)


async def test_a_slot_that_has_moved_is_found_where_it_is(emptied: list[RedisProcess]) -> None:
    async with opened(cluster_url(emptied)) as level:
        await fill(level, [thing(A)], 5)
        source = home(emptied, A)
        target = next(node for node in emptied if node is not source)
        with moving(source, target, A) as move:
            move(LAYOUT.index(bucket_of(A)), LAYOUT.object(A))
        assert await bodies(level, A) == [b"body"]
        await fill(level, [thing(A, b"new")], 5)
        assert await bodies(level, A) == [b"new"]
        assert level.usage().failures == 0


@pytest.mark.parametrize("first", ["index", "object"])
async def test_a_slot_on_the_move_costs_hits_and_brings_nothing_back(emptied: list[RedisProcess], first: str) -> None:
    """Half of it is there and half is here while an order is carried out."""
    async with opened(cluster_url(emptied)) as level:
        await fill(level, [thing(A, tags=("t",))], 5)
        source = home(emptied, A)
        target = next(node for node in emptied if node is not source)
        parts = [LAYOUT.index(bucket_of(A)), LAYOUT.object(A)]
        if first == "object":
            parts.reverse()
        with moving(source, target, A) as move:
            move(parts[0])
            try:
                found = await level.read(A)
            except LevelDown:
                found = Found((), Stamp())
            assert found.items == () or found.stamp == stamp(5)
            done = True
            try:
                await one(level, order(6, Names(tags=("t",))))
            except LevelDown:
                done = False
            with suppress(LevelDown):
                await one(level, put(thing(A + "?other", tags=("t",)), 6))
            move(parts[1])
        found = await recovered(level, A)
        assert found.items == () or (found.stamp == stamp(5) and not done)
        await one(level, order(6, Names(tags=("t",))))
        assert await level.read(A) == Found((), stamp(6))


class moving:
    """While the block lasts, the slot of the key is on its way; what is given to `move` goes over."""

    def __init__(self, source: RedisProcess, target: RedisProcess, key: str) -> None:
        self._source, self._target, self._slot = source, target, slot_of(key)
        self._ids = [node.ask("CLUSTER", "MYID").decode() for node in (source, target)]

    def __enter__(self) -> moving:
        self._target.ask("CLUSTER", "SETSLOT", self._slot, "IMPORTING", self._ids[0])
        self._source.ask("CLUSTER", "SETSLOT", self._slot, "MIGRATING", self._ids[1])
        return self

    def __call__(self, *keys: bytes) -> None:
        for key in keys:
            assert self._source.ask("MIGRATE", "127.0.0.1", self._target.port, key, 0, 5000) in (b"OK", b"NOKEY")

    def __exit__(self, *_: object) -> None:
        for node in (self._target, self._source):
            node.ask("CLUSTER", "SETSLOT", self._slot, "NODE", self._ids[1])


# --- TLS ---


def certificate(directory: Path) -> Path:
    """For 127.0.0.1, signed by itself; the key beside it."""
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=redis"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(directory / "key.pem")]
    command = [program("openssl"), *words.split(), *names, "-out", str(directory / "cert.pem")]
    subprocess.run(command, check=True, capture_output=True)
    return directory / "cert.pem"


def over_tls(servers: RedisServers, directory: Path) -> tuple[int, Path]:
    """The port of one more server, and whom to trust."""
    cert = certificate(directory)
    files = (
        "--tls-cert-file",
        str(cert),
        "--tls-key-file",
        str(directory / "key.pem"),
        "--tls-ca-cert-file",
        str(cert),
    )
    [port] = free_ports(1)
    servers.server("--tls-port", str(port), "--tls-auth-clients", "no", *files)
    return port, cert


async def test_over_tls_only_who_is_trusted_is_spoken_to(servers: RedisServers, tmp_path: Path) -> None:
    tls_port, cert = over_tls(servers, tmp_path)
    async with opened(f"rediss://127.0.0.1:{tls_port}?ssl_ca_certs={cert}") as level:
        await fill(level, [thing(A)], 5)
        assert await bodies(level, A) == [b"body"]
    async with opened(f"rediss://127.0.0.1:{tls_port}") as level:
        with pytest.raises(LevelDown, match="certificate"):
            await level.read(A)
    async with opened(f"rediss://localhost:{tls_port}?ssl_ca_certs={cert}") as level:
        with pytest.raises(LevelDown, match=r"(?i)certificate|hostname"):
            await level.read(A)


async def test_whom_to_trust_is_read_once_and_not_for_each_connection(
    servers: RedisServers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, cert = over_tls(servers, tmp_path)
    made: list[ssl.SSLContext] = []
    make = ssl.create_default_context

    def counted() -> ssl.SSLContext:
        made.append(make())
        return made[-1]

    monkeypatch.setattr(ssl, "create_default_context", counted)
    async with opened(f"rediss://127.0.0.1:{port}?ssl_ca_certs={cert}") as level:
        await asyncio.gather(*(level.read(A) for _ in range(8)))
    assert len(made) == 1
