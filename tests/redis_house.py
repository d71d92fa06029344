"""Objects and levels for the tests of Redis, and the keys as the level lays them out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from seawall.http.headers import headers
from seawall.policy.entry import Entry, Part
from seawall.store.level import Forget, Found, How, LevelDown, Names, Op, Put, Stamp, Wrote
from seawall.store.redislayout import RedisLayout
from seawall.store.redislevel import RedisLevel, open_redis
from seawall.store.stored import Stored, key_of, stored
from tests.redis_servers import PATIENCE, RedisProcess

JOURNAL = "journal"
NOW = 1_000_000.0
LAYOUT = RedisLayout("seawall")


def thing(
    key: str,
    body: bytes = b"body",
    *,
    tags: tuple[str, ...] = (),
    varied: tuple[tuple[str, str | None], ...] = (),
    part: Part | None = None,
    useful: float = 600.0,
    stored_at: float = NOW,
) -> Stored:
    """An object that is worth something for so many seconds from NOW."""
    until = NOW + useful
    entry = Entry(
        "GET", 200, "OK", headers([("A", "1")]), varied, stored_at, stored_at, stored_at, until, until, until, until
    )
    return stored(key, replace(entry, part=part, tags=tags), (body,) if body else ())


def stamp(number: int, journal: str = JOURNAL) -> Stamp:
    return Stamp(journal, number)


def put(item: Stored, number: int = 0, journal: str = JOURNAL) -> Put:
    return Put(item, Stamp(journal, number))


def order(number: int, names: Names, how: How = How.DROP, journal: str = JOURNAL) -> Forget:
    """The order of this number."""
    return Forget(names, how, NOW, Stamp(journal, number))


def news(names: Names, how: How = How.DROP) -> Forget:
    """What no order asks for."""
    return Forget(names, how, NOW)


def url(*names: str) -> Names:
    return Names(urls=names)


@asynccontextmanager
async def opened(redis: RedisProcess | str, *, in_time: bool = False, **settings: object) -> AsyncIterator[RedisLevel]:
    """A level on this server, or with this URL. It has time: on a machine that does much else, 50 ms are not many.

    Tests of the time limit itself ask for `in_time`.
    """
    where = redis if isinstance(redis, str) else redis.url
    level = await open_redis(where, **({"now": lambda: NOW} | settings))  # type: ignore[arg-type]
    if not in_time:
        level.client.seconds = PATIENCE
    try:
        yield level
    finally:
        await level.close()


async def one(level: RedisLevel, op: Op) -> Wrote:
    [wrote] = await level.write([op])
    return wrote


async def bodies(level: RedisLevel, key: str) -> list[bytes]:
    """What is read under the key, octets only, in order of the octets."""
    return sorted(body_of(item) for item in (await level.read(key)).items)


def body_of(item: Stored) -> bytes:
    assert isinstance(item.body, tuple)
    return b"".join(item.body)


async def fill(level: RedisLevel, items: Iterable[Stored], number: int = 0) -> None:
    """Puts them all, and each is taken."""
    ops: Sequence[Op] = [put(item, number) for item in items]
    assert {wrote.refused for wrote in await level.write(ops)} <= {None}


async def recovered(level: RedisLevel, key: str = "http://a.example/recovered") -> Found:
    """Asks until the level answers; for servers that come back when they come back."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await level.read(key)
            except LevelDown:
                await asyncio.sleep(0.02)


def check(servers: Iterable[RedisProcess]) -> None:
    """Raises AssertionError where an index and the objects of its bucket disagree. For where nothing has expired."""
    for server in servers:
        with server.client() as client:
            for index in client.execute_command("KEYS", LAYOUT.index(0).replace(b"00", b"*")):
                _check(client, index)


def _check(client: Any, index: bytes) -> None:
    members = set(client.zrange(index, 0, -1))
    named = {member[1:] for member in members if member[:1] == b"u"}
    tagged = {(member[1:17], member[17:]) for member in members if member[:1] == b"t"}
    tags: set[tuple[bytes, bytes]] = set()
    for name in named:
        facts, value = client.hmget(LAYOUT.object(key_of(name.decode())), [b"h" + name, b"v" + name])
        assert facts is not None, f"{name!r} is named and not there"
        assert value is not None, f"{name!r} has no value"
        digests = facts.partition(b" ")[2]
        tags |= {(digests[at : at + 16], name) for at in range(0, len(digests), 16)}
    assert tagged == tags
    assert len(members) == len(named) + len(tagged) + 1, "a header, and nothing else"
