"""deploy/redis/redis.conf: a real server starts with it, and its user can do what the nodes do, and nothing else."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as library

from seawall.flight.leaseredis import RedisLeases
from seawall.store.level import Found, How, LevelDown, Names, Reset
from tests.redis_house import LAYOUT, bodies, fill, news, one, opened, order, stamp, thing
from tests.redis_servers import RedisProcess, RedisServers, redis_servers

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / "deploy/redis/redis.conf"
A = "http://a.example/a"
PASSWORD = "correct horse"

# What the nodes send themselves, outside of scripts.
SENT = {"select", "ping", "asking", "cluster|slots", "script|load", "eval", "evalsha", "set", "get", "exists"}
SENT_TO_THE_JOURNAL = {"info", "config|get"}


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[RedisServers]:
    with redis_servers(tmp_path / "servers") as servers:
        yield servers


def users() -> list[str]:
    """The two lines for the nodes: as it stands, and with the journal."""
    return re.findall(r"^(?:# )?(user seawall on resetpass .*)$", CONFIGURATION.read_text(), re.MULTILINE)


def with_password(line: str) -> str:
    return line.replace("resetpass", "#" + hashlib.sha256(PASSWORD.encode()).hexdigest())


@pytest.fixture(params=[0, 1], ids=["store", "store and journal"])
def redis(request: pytest.FixtureRequest, servers: RedisServers, tmp_path: Path) -> RedisProcess:
    text = CONFIGURATION.read_text()
    text = re.sub(r"^user seawall .*$", lambda _: with_password(users()[request.param]), text, flags=re.MULTILINE)
    changed = tmp_path / "redis.conf"
    changed.write_text(text)
    return servers.configured(changed)


def url_of(redis: RedisProcess) -> str:
    return redis.url.replace("//", "//seawall:correct%20horse@")


async def test_a_server_starts_with_it_as_it_is_and_lets_nobody_in(servers: RedisServers) -> None:
    redis = servers.configured(CONFIGURATION)
    for who in ("", ":x@", "seawall:resetpass@", "default:resetpass@"):
        async with opened(redis.url.replace("//", "//" + who)) as level:
            with pytest.raises(LevelDown):
                await level.read(A)


async def test_its_user_can_do_what_a_node_does(redis: RedisProcess) -> None:
    async with opened(url_of(redis) + "/0") as level:
        for number in range(3):
            await fill(level, [thing(A, tags=("t",)), thing(A, b"de", varied=(("accept-language", "de"),))], number)
            assert await bodies(level, A) == [b"body", b"de"]
            assert (await one(level, news(Names(all=True), How.COUNT))).met
            assert (await one(level, order(number + 1, Names(tags=("t",))))).met == {A: 4}
        await one(level, order(4, Names(all=True)))
        await one(level, Reset(stamp(9)))
        await fill(level, [thing(A)], 9)
        await one(level, Reset(stamp(10)))
        await fill(level, [thing(A)], 10)
        with redis.client(username="seawall", password=PASSWORD) as client:
            client.execute_command("HSET", LAYOUT.object(A), b"v" + A.encode(), b"damaged")
        assert await level.read(A) == Found((), stamp(10))
        assert level.usage().failures == 0
        leases = RedisLeases(level.client, level.layout)
        lease = await leases.take(A, 10)
        assert lease is not None
        assert lease.shared
        assert await leases.take(A, 10) is None
        await leases.release(lease)
        await leases.wait(A, 10)


FORBIDDEN: list[tuple[object, ...]] = [
    ("FLUSHALL",),
    ("KEYS", "*"),
    ("SCAN", "0"),
    ("CONFIG", "SET", "maxmemory", "1"),
    ("CONFIG", "REWRITE"),
    ("SCRIPT", "FLUSH"),
    ("SHUTDOWN",),
    ("MODULE", "LIST"),
    ("ACL", "LIST"),
    ("REPLICAOF", "NO", "ONE"),
    ("PUBLISH", "x", "x"),
    ("GET", "somebody-elses"),
    ("GET", "{seawallet}"),
    ("EVAL", "return redis.call('GET', 'somebody-elses')", 0),
    ("EVAL", "return redis.call('FLUSHALL')", 0),
]


def test_its_user_can_do_nothing_else(redis: RedisProcess) -> None:
    with redis.client(username="seawall", password=PASSWORD) as client:
        for words in FORBIDDEN:
            with pytest.raises(library.RedisError, match=r"(?i)permission|can't"):
                client.execute_command(*words)
        assert client.execute_command("GET", "{seawall:1:07}:x") is None


def test_its_user_has_exactly_the_commands_that_are_used() -> None:
    """A command that a script begins to use is missing here, and one that no script uses any more is one too many."""
    store, journal = (set(re.findall(r"\+(\S+)", line)) for line in users())
    assert store == SENT | called("seawall/store/redisscripts.py", "seawall/flight/leaseredis.py")
    assert journal == store | SENT_TO_THE_JOURNAL | called("seawall/purge/redisscripts.py")


def called(*files: str) -> set[str]:
    """The commands that the scripts in these files use, and those that one is told by name."""
    text = "".join((ROOT / file).read_text() for file in files)
    return {name.lower() for name in re.findall(r"(?:redis\.p?call|in_pieces)\('([A-Z]+)'", text)}
