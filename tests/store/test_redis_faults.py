"""What a Redis that is down, slow, full, wiped, restored or full of garbage costs: hits, and nothing else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from seawall.store.level import Found, How, LevelDown, Names, Op, Reset, Stamp, Wrote
from seawall.store.redisbreaker import FAILURES, OPEN_SECONDS, TIMEOUTS, RedisBreaker
from seawall.store.redisclient import OPERATION_SECONDS, RedisClient, Script
from seawall.store.redislayout import BUCKETS, bucket_of
from seawall.store.redislevel import RedisLevel
from seawall.store.redisserver import RedisServer
from seawall.store.redisurl import Address, parse_redis_url
from tests.redis_house import (
    LAYOUT,
    bodies,
    body_of,
    fill,
    news,
    one,
    opened,
    order,
    put,
    recovered,
    stamp,
    thing,
    url,
)
from tests.redis_servers import PATIENCE, RedisProcess, RedisServers, redis_servers
from tests.topology.ports import free_ports

A, B = "http://a.example/a", "http://b.example/b"
# A machine that does much else may be late; a bound that is missing would be seconds.
GENEROUS = 20


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[RedisServers]:
    with redis_servers(tmp_path) as servers:
        yield servers


@pytest.fixture
def redis(servers: RedisServers) -> RedisProcess:
    return servers.server()


@pytest.fixture
async def level(redis: RedisProcess) -> AsyncIterator[RedisLevel]:
    async with opened(redis) as level:
        yield level


@pytest.fixture
async def hasty(redis: RedisProcess) -> AsyncIterator[RedisLevel]:
    """With the time limit as it is."""
    async with opened(redis, in_time=True) as level:
        yield level


async def down(level: RedisLevel, op: Op | None = None) -> LevelDown:
    """What it says when it is."""
    with pytest.raises(LevelDown) as raised:
        await (level.read(A) if op is None else level.write([op]))
    return raised.value


EVERY_WAY = [None, put(thing(A), 5), order(6, url(A)), news(Names(all=True)), Reset(stamp(6))]


# --- not there ---


async def test_a_server_that_nobody_started_is_down_and_opening_does_not_mind() -> None:
    [port] = free_ports(1)
    async with opened(f"redis://:secret@127.0.0.1:{port}") as level:
        for op in EVERY_WAY:
            said = str(await down(level, op))
            assert f"127.0.0.1:{port}" in said
            assert "secret" not in said
        assert level.usage().failures >= len(EVERY_WAY)


async def test_a_server_that_was_killed_is_down_and_is_found_again(redis: RedisProcess, level: RedisLevel) -> None:
    await fill(level, [thing(A)], 5)
    redis.kill()
    for op in EVERY_WAY:
        await down(level, op)
    redis.start()
    assert await recovered(level) == Found((), Stamp())
    await fill(level, [thing(A)], 5)
    assert await bodies(level, A) == [b"body"]


async def test_a_restart_between_two_operations_is_not_even_noticed(redis: RedisProcess, level: RedisLevel) -> None:
    await fill(level, [thing(A)], 5)
    await asyncio.gather(*(level.read(A) for _ in range(20)))  # several connections, all of which will be dead
    redis.kill()
    redis.start()
    assert await level.read(A) == Found((), Stamp())
    assert level.usage().failures == 0


async def test_killed_in_the_middle_of_a_batch_it_has_done_a_beginning_of_it(
    redis: RedisProcess, servers: RedisServers
) -> None:
    """Every order was either carried out on a bucket or that bucket says that it was not."""
    redis.kill()
    redis = servers.server("--appendonly", "yes", "--appendfsync", "always")
    for round_ in range(3):
        redis.ask("FLUSHALL")
        async with opened(redis) as level:
            items = [thing(f"http://a.example/{n}", b"x" * 20_000, tags=("t",)) for n in range(100)]
            await fill(level, items, 5)
            ops: list[Op] = [op for n in range(100) for op in (put(items[n], 5 + n), order(6 + n, Names(tags=("t",))))]
            under_way = asyncio.create_task(level.write(ops))
            while (await level.read(A)).stamp.number < 6 + round_:
                pass
            redis.kill()
            with pytest.raises(LevelDown):
                await under_way
            redis.start()
            await recovered(level)
            for item in items:
                found = await level.read(item.key)
                put_with = max(5, 5 + items.index(item))
                for _ in found.items:
                    assert found.stamp.number <= put_with, "an order was said to be done, and the object is there"
            # Each may be done again.
            await level.write([Reset(stamp(105))])
            assert (await level.read(items[0].key)).items == ()


# --- there, and silent ---


async def test_a_server_that_hangs_costs_each_operation_50_ms_and_soon_nothing(
    redis: RedisProcess, hasty: RedisLevel
) -> None:
    level = hasty
    async with opened(redis) as patient:
        await fill(patient, [thing(A)], 5)
    redis.stop()
    try:
        for op in EVERY_WAY:
            began = time.monotonic()
            await down(level, op)
            assert time.monotonic() - began < OPERATION_SECONDS * GENEROUS
        began = time.monotonic()
        said = [str(await down(level)) for _ in range(20)]
        # At most one of them was the trial. All would be 20 times that.
        assert time.monotonic() - began < OPERATION_SECONDS * 10
        assert any("a moment ago" in one for one in said)
    finally:
        redis.go_on()
    found = await recovered(level)
    assert found.stamp.number <= 6


async def test_a_new_connection_to_a_server_that_hangs_is_bounded_too(redis: RedisProcess) -> None:
    redis.stop()
    async with opened(redis, in_time=True) as level:
        began = time.monotonic()
        await down(level)
        assert time.monotonic() - began < OPERATION_SECONDS * GENEROUS
        redis.go_on()
        await recovered(level)


async def test_an_answer_that_comes_too_late_is_not_taken_for_the_next_one(
    redis: RedisProcess, level: RedisLevel
) -> None:
    await fill(level, [thing(A, b"a"), thing(B, b"b")], 5)
    redis.stop()
    level.client.seconds = OPERATION_SECONDS
    await down(level)
    level.client.seconds = PATIENCE
    redis.go_on()
    for _ in range(20):
        assert await bodies(level, B) == [b"b"]
        assert await bodies(level, A) == [b"a"]


async def test_a_reader_who_leaves_takes_no_connection_and_no_answer_with_him(level: RedisLevel) -> None:
    await fill(level, [thing(A, b"a"), thing(B, b"b")], 5)
    for turns in range(30):
        reader = asyncio.create_task(level.read(A))
        for _ in range(turns % 6):
            await asyncio.sleep(0)
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        assert await bodies(level, B) == [b"b"]
    assert level.usage().failures == 0


async def test_a_connection_that_came_for_somebody_who_left_is_kept(redis: RedisProcess) -> None:
    server = RedisServer(Address("127.0.0.1", redis.port), parse_redis_url(redis.url))
    try:
        connection, _ = await server._take()
        waiting = asyncio.create_task(server.ask([("PING",)]))
        await asyncio.sleep(0)
        assert server._waiters
        server._give(connection)
        waiting.cancel()  # in the very turn in which it got what it waited for
        await asyncio.gather(waiting, return_exceptions=True)
        while server._connecting:
            await asyncio.wait(server._connecting)
        assert "2 connections, 2 idle" in repr(server)
    finally:
        await server.close()


async def test_calls_for_one_tag_keep_their_order_where_only_one_script_was_forgotten(redis: RedisProcess) -> None:
    said = [Script(f"redis.call('RPUSH', KEYS[1], '{word}') return '{word}'") for word in ("first", "then")]
    client = RedisClient(redis.url, said, seconds=PATIENCE)
    try:
        calls = [script.call("t", (b"{t}",)) for script in said]
        await client.run(calls)
        redis.ask("SCRIPT", "FLUSH")
        redis.ask("SCRIPT", "LOAD", said[1].text)
        assert await client.run(calls) == [b"first", b"then"]
        assert redis.ask("LRANGE", "{t}", -2, -1) == [b"first", b"then"]
    finally:
        await client.close()


class Distance:
    """A relay in front of a server that passes everything on later, as a network of so many seconds does."""

    def __init__(self, port: int, seconds: float) -> None:
        self._port, self._seconds = port, seconds
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        further_reader, further_writer = await asyncio.open_connection("127.0.0.1", self._port)
        for ends in ((reader, further_writer), (further_reader, writer)):
            self._tasks.add(asyncio.create_task(self._pass_on(*ends)))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(65536):
                await asyncio.sleep(self._seconds)
                writer.write(piece)
        finally:
            writer.close()


async def test_a_server_too_far_for_the_first_operation_is_reached_all_the_same(redis: RedisProcess) -> None:
    """To connect takes longer than an operation may: it goes on behind, or it would never be done."""
    redis.ask("ACL", "SETUSER", "far", "on", ">secret", "~*", "+@all")
    async with (
        Distance(redis.port, 0.03) as relayed,
        opened(relayed.replace("//", "//far:secret@"), in_time=True) as level,
    ):
        await down(level)
        with pytest.raises(TimeoutError):
            # Its answers take 60 ms, so no operation succeeds; but a connection stands.
            async with asyncio.timeout(0.5):
                await recovered(level)
    async with (
        Distance(redis.port, 0.012) as relayed,
        opened(relayed.replace("//", "//far:secret@"), in_time=True) as level,
    ):
        assert await recovered(level) == Found((), Stamp())


# --- wiped, restored, full ---


async def test_a_server_that_was_wiped_is_empty(redis: RedisProcess, level: RedisLevel) -> None:
    await fill(level, [thing(A)], 5)
    redis.ask("FLUSHALL")
    assert await level.read(A) == Found((), Stamp())
    assert (await one(level, order(6, url(A)))).met == {}
    assert await one(level, put(thing(A), 5)) == Wrote(refused="overtaken")
    await fill(level, [thing(A)], 6)
    assert await bodies(level, A) == [b"body"]


async def test_scripts_that_were_forgotten_are_sent_again_and_the_order_of_a_batch_stays(
    redis: RedisProcess, level: RedisLevel
) -> None:
    await fill(level, [thing(A)], 5)
    redis.ask("SCRIPT", "FLUSH")
    assert await bodies(level, A) == [b"body"]
    redis.ask("SCRIPT", "FLUSH")
    wrote = await level.write([put(thing(A, b"%d" % number), 5) for number in range(20)])
    assert wrote == [Wrote()] * 20
    assert await bodies(level, A) == [b"19"]


async def test_an_older_snapshot_says_how_old_it_is(redis: RedisProcess, level: RedisLevel) -> None:
    """An order was carried out, then yesterday's dump is restored: the object is there, under yesterday's stamp."""
    await fill(level, [thing(A, tags=("t",)), thing(B)], 5)
    redis.ask("SAVE")
    snapshot = (redis.directory / "dump.rdb").read_bytes()
    await one(level, order(6, Names(tags=("t",))))
    await fill(level, [thing(A, b"new")], 6)
    redis.kill()
    (redis.directory / "dump.rdb").write_bytes(snapshot)
    redis.start()
    found = await recovered(level, A)
    assert [body_of(item) for item in found.items] == [b"body"]
    assert found.stamp == stamp(5), "a reader who has applied order 6 sees that this did not survive it"
    # The next order finds that one is missing, whichever object that was about.
    await one(level, order(7, url("http://nothing.example/")))
    assert await level.read(A) == Found((), stamp(7))
    assert await level.read(B) == Found((), stamp(7))


async def test_an_older_snapshot_on_which_the_order_is_carried_out_again_is_clean(
    redis: RedisProcess, level: RedisLevel
) -> None:
    await fill(level, [thing(A, tags=("t",)), thing(B)], 5)
    redis.ask("SAVE")
    snapshot = (redis.directory / "dump.rdb").read_bytes()
    await one(level, order(6, Names(tags=("t",))))
    redis.kill()
    (redis.directory / "dump.rdb").write_bytes(snapshot)
    redis.start()
    await recovered(level)
    assert (await one(level, order(6, Names(tags=("t",))))).met == {A: 4}
    assert await level.read(A) == Found((), stamp(6))
    assert await bodies(level, B) == [b"body"]


async def test_a_full_server_refuses_objects_and_carries_out_orders(servers: RedisServers) -> None:
    redis = servers.server("--maxmemory-policy", "noeviction")
    async with opened(redis) as level:
        await fill(level, [thing(A, b"old", tags=("t",)), thing(B)], 5)
        redis.ask("CONFIG", "SET", "maxmemory", "1")
        assert await one(level, put(thing(A, b"new"), 5)) == Wrote(refused="full")
        assert await one(level, put(thing("http://c.example/"), 5)) == Wrote(refused="full")
        assert await bodies(level, A) == [b"old"]
        assert (await one(level, order(6, Names(tags=("t",))))).met == {A: 3}
        assert await level.read(A) == Found((), stamp(6))
        assert (await one(level, news(url(B), How.INVALIDATE))).met == {B: 4}
        await one(level, Reset(stamp(9)))
        await one(level, order(10, Names(all=True)))
        assert (await level.read(B)).stamp == stamp(10)
        redis.ask("FLUSHALL")
        await one(level, order(11, url(A)))  # 64 new indexes, in no room at all
        assert (await level.read(B)).stamp == stamp(11)
        assert level.usage().failures == 0


async def test_whatever_is_evicted_nothing_purged_is_read_as_clean(servers: RedisServers) -> None:
    """A server with room for a fraction evicts objects and indexes as it likes, while orders are carried out."""
    redis = servers.server("--maxmemory-policy", "allkeys-random")
    async with opened(redis) as level:
        redis.ask("CONFIG", "SET", "maxmemory", redis.ask("INFO", "memory")["used_memory"] + 1_500_000)
        newest: dict[str, int] = {}
        read = 0
        for number in range(1, 150):
            key, purged = f"http://a.example/{number % 40}", number * 7 % 40
            item = thing(key, b"%d" % number + b" " * 80_000, tags=(f"tag-{number % 40}",))
            assert (await one(level, put(item, number - 1))).refused is None
            newest[key] = number
            await one(level, order(number, Names(tags=(f"tag-{purged}",))))
            newest.pop(f"http://a.example/{purged}", None)
            for other in range(40):
                found = await level.read(key := f"http://a.example/{other}")
                for each in found.items:
                    read += 1
                    assert found.stamp != stamp(number) or int(body_of(each)) == newest.get(key)
        assert redis.ask("INFO", "stats")["evicted_keys"] > 50
        assert read > 100
        assert level.usage().failures == 0


async def test_a_server_that_may_not_be_written_to_is_down_for_writes_and_answers_reads(
    redis: RedisProcess, level: RedisLevel
) -> None:
    await fill(level, [thing(A)], 5)
    [nobody] = free_ports(1)
    redis.ask("REPLICAOF", "127.0.0.1", nobody)
    for op in EVERY_WAY[1:]:
        assert "read only" in str(await down(level, op))
    assert await bodies(level, A) == [b"body"]
    redis.ask("REPLICAOF", "NO", "ONE")
    await one(level, order(6, url(A)))


@pytest.mark.parametrize("who", ["", ":wrong-secret@", "seawall:wrong-secret@"])
async def test_without_the_right_password_it_is_down_and_no_password_is_told(servers: RedisServers, who: str) -> None:
    redis = servers.server()
    redis.ask("ACL", "SETUSER", "seawall", "on", ">right-secret", "~*", "+@all")
    redis.ask("ACL", "SETUSER", "default", ">right-secret", "resetkeys", "-@all", "+ping")
    async with opened(redis.url.replace("//", f"//{who}")) as level:
        for op in EVERY_WAY:
            assert "secret" not in str(await down(level, op))
    async with opened(redis.url.replace("//", "//seawall:right-secret@")) as level:
        assert await level.read(A) == Found((), Stamp())


# --- garbage ---

GARBAGE: dict[str, list[tuple[object, ...]]] = {
    "string": [("SET", b"junk")],
    "list": [("RPUSH", b"junk")],
    "set": [("SADD", b"junk")],
    "hash": [("HSET", b"junk", b"junk", b"v", b"junk", b"h", b"junk", b"v" + A.encode(), b"junk")],
    "stream": [("XADD", b"*", b"junk", b"junk")],
    "sorted set": [("ZADD", 0, b"junk", 0, b"m", 0, b"u" + A.encode(), 0, b"t")],
    "sorted set with a header of words": [("ZADD", 0, b"mone two journal", 0, b"u" + A.encode())],
    "sorted set with two headers": [("ZADD", 0, b"m5 5 journal", 0, b"m9 9 journal", 0, b"u" + A.encode())],
    "sorted set with scores": [("ZADD", 1, b"m5 5 journal", 2, b"u" + A.encode(), 3, b"junk")],
    "sorted set without header": [("ZADD", 0, b"u" + A.encode())],
    "sorted set with a huge number": [("ZADD", 0, b"m" + b"9" * 400 + b" 9 journal", 0, b"u" + A.encode())],
    "sorted set with short members": [("ZADD", 0, b"m5 5 journal", 0, b"t", 0, b"tx", 0, b"u", 0, b"\xff" * 50)],
}
PLACES = {"index": LAYOUT.index(bucket_of(A)), "object": LAYOUT.object(A), "dead": LAYOUT.dead(bucket_of(A))}


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    with redis_servers(tmp_path_factory.mktemp("lasting")) as servers:
        yield servers.server()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("garbage", GARBAGE)
async def test_garbage_in_any_place_costs_hits_and_is_got_over(lasting: RedisProcess, garbage: str, place: str) -> None:
    key = PLACES[place]

    def plant() -> None:
        lasting.ask("DEL", key)
        for command, *words in GARBAGE[garbage]:
            lasting.ask(command, key, *words)

    async with opened(lasting) as level:
        lasting.ask("FLUSHALL")
        await fill(level, [thing(A, tags=("t",))], 5)
        for op in (None, *EVERY_WAY[1:], order(7, Names(tags=("t",))), news(url(A), How.COUNT)):
            plant()
            if op is not None:
                await level.write([op])
            for item in (await level.read(A)).items:
                assert body_of(item) == b"body"
        plant()
        await one(level, Reset(stamp(20)))
        assert await level.read(A) == Found((), stamp(20)) or place == "object"
        await fill(level, [thing(A, tags=("t",))], 20)
        assert await bodies(level, A) == [b"body"]
        assert (await one(level, order(21, Names(tags=("t",))))).met == {A: 4}
        assert await level.read(A) == Found((), stamp(21))
        assert level.usage().failures == 0


@pytest.mark.parametrize(
    "answers",
    [
        b"+OK\r\n" * 50,
        b"$5\r\nhello\r\n" * 50,
        b"*0\r\n" * 50,
        b":1\r\n" * 50,
        b"-ERR no\r\n" * 50,
        b"HTTP/1.1 400 Bad\r\n",
        b"",
        b"-MOVED nonsense\r\n" * 50,
        b"*3\r\n$1\r\nj\r\n$1\r\nx\r\n:1\r\n" * 50,
        b"-NOSCRIPT\r\n" * 50,
        b"$-1\r\n" * 50,
    ],
)
async def test_whoever_speaks_at_the_other_end_it_is_an_answer_or_down(answers: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(answers)
        await reader.read(100_000)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with opened(f"redis://127.0.0.1:{port}") as level:
            for op in EVERY_WAY:
                try:
                    await (level.read(A) if op is None else level.write([op]))
                except LevelDown:
                    continue


# --- the breaker ---


def test_a_breaker_opens_after_failures_in_a_row_and_lets_one_try() -> None:
    breaker = RedisBreaker()
    for _ in range(FAILURES):
        assert breaker.may_ask(0)
        breaker.failed(0, timeout=False)
    assert not breaker.may_ask(OPEN_SECONDS / 2)
    assert breaker.may_ask(OPEN_SECONDS)
    assert not breaker.may_ask(OPEN_SECONDS), "somebody is trying"
    breaker.failed(OPEN_SECONDS, timeout=False)
    assert not breaker.may_ask(OPEN_SECONDS * 1.5)
    assert breaker.may_ask(OPEN_SECONDS * 2)
    breaker.answered()
    assert breaker.may_ask(OPEN_SECONDS * 2)


def test_time_outs_open_it_sooner_and_an_answer_begins_the_count_again() -> None:
    breaker = RedisBreaker()
    for _ in range(3):
        for _ in range(TIMEOUTS - 1):
            breaker.failed(0, timeout=True)
        assert breaker.may_ask(0)
        breaker.answered()
    for _ in range(TIMEOUTS):
        breaker.failed(0, timeout=True)
    assert not breaker.may_ask(0)


def test_whoever_tries_and_leaves_lets_the_next_one_try() -> None:
    breaker = RedisBreaker()
    for _ in range(TIMEOUTS):
        breaker.failed(0, timeout=True)
    assert breaker.may_ask(OPEN_SECONDS)
    breaker.undecided()
    assert breaker.may_ask(OPEN_SECONDS)
    assert "trying" in repr(breaker)


async def test_an_order_reaches_every_bucket_or_says_that_it_did_not(redis: RedisProcess, level: RedisLevel) -> None:
    await fill(level, [thing(A)], 5)
    await one(level, order(6, url(A)))
    numbers = {redis.ask("ZRANGE", LAYOUT.index(bucket), 0, 0)[0] for bucket in range(BUCKETS)}
    assert numbers == {b"m6 6 journal"}
