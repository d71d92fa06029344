"""The Redis level keeps the contract of levels: on one server, with a secret, and spread over a cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from seawall.store.level import Level
from tests.redis_house import check, opened
from tests.redis_servers import RedisProcess, redis_servers
from tests.store.level_contract import NOW, LevelContract


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisProcess]]:
    with redis_servers(tmp_path_factory.mktemp("redis")) as servers:
        yield [servers.server()]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisProcess]]:
    with redis_servers(tmp_path_factory.mktemp("cluster")) as servers:
        yield servers.cluster()


@asynccontextmanager
async def emptied(servers: list[RedisProcess], url: str, secret: bytes | None = None) -> AsyncIterator[Level]:
    for server in servers:
        server.ask("FLUSHALL")
    async with opened(url, secret=secret, now=lambda: NOW) as level:
        yield level
        check(servers)
        assert (level.usage().damaged, level.usage().failures) == (0, 0)


class TestRedisLevel(LevelContract):
    @pytest.fixture
    async def level(self, single: list[RedisProcess]) -> AsyncIterator[Level]:
        async with emptied(single, single[0].url) as level:
            yield level


class TestRedisLevelWithASecret(LevelContract):
    @pytest.fixture
    async def level(self, single: list[RedisProcess]) -> AsyncIterator[Level]:
        async with emptied(single, single[0].url, b"a secret of the nodes") as level:
            yield level


class TestRedisLevelInACluster(LevelContract):
    @pytest.fixture
    async def level(self, cluster: list[RedisProcess]) -> AsyncIterator[Level]:
        async with emptied(cluster, f"redis+cluster://127.0.0.1:{cluster[1].port}") as level:
            yield level
