"""Leases on a real Redis: one fetches and the others wait, across processes; without Redis everybody goes on alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import uvloop

from seawall.flight import leaseredis
from seawall.flight.lease import Lease, Leases
from seawall.flight.leaseredis import _RENEW, ALIVE_SECONDS, PAUSE_MOST_SECONDS, TOKEN_BYTES, RedisLeases
from seawall.store.level import LevelDown
from seawall.store.redisclient import OPERATION_SECONDS
from tests.redis_house import LAYOUT, opened
from tests.redis_servers import RedisProcess, redis_servers
from tests.topology.ports import free_ports

A, B = "http://a.example/a", "http://b.example/b"
LONG = 30.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    with redis_servers(tmp_path_factory.mktemp("redis")) as servers:
        yield servers.server()


@pytest.fixture
def redis(server: RedisProcess) -> RedisProcess:
    server.ask("FLUSHALL")
    return server


@pytest.fixture
async def ours(redis: RedisProcess) -> AsyncIterator[Leases]:
    async with opened(redis) as level:
        yield RedisLeases(level.client, level.layout)


@pytest.fixture
async def theirs(redis: RedisProcess) -> AsyncIterator[Leases]:
    async with opened(redis) as level:
        yield RedisLeases(level.client, level.layout)


async def taken(leases: Leases, key: str = A, seconds: float = LONG) -> Lease:
    lease = await leases.take(key, seconds)
    assert lease is not None
    assert lease.shared
    return lease


async def test_one_of_two_has_it_until_it_lets_go(ours: Leases, theirs: Leases) -> None:
    lease = await taken(ours)
    assert await theirs.take(A, LONG) is None
    assert await ours.take(A, LONG) is None, "a process has no second one either"
    await taken(theirs, B)
    await ours.release(lease)
    await taken(theirs)


async def test_of_many_at_once_one_has_it(ours: Leases, theirs: Leases) -> None:
    got = await asyncio.gather(*(leases.take(A, LONG) for _ in range(50) for leases in (ours, theirs)))
    assert sum(lease is not None for lease in got) == 1


async def test_it_runs_out_by_itself(redis: RedisProcess, ours: Leases, theirs: Leases) -> None:
    await taken(ours, seconds=1.5)
    assert 500 < redis.ask("PTTL", LAYOUT.lease(A)) <= 1_500
    redis.ask("PEXPIRE", LAYOUT.lease(A), 1)
    await theirs.wait(A, LONG)
    await taken(theirs)


async def test_who_dies_or_stands_still_with_it_holds_up_nobody_for_long(redis: RedisProcess, ours: Leases) -> None:
    await taken(ours, seconds=LONG)
    assert 0 < redis.ask("PTTL", LAYOUT.lease(A)) <= 1000 * ALIVE_SECONDS


async def test_who_needs_it_longer_keeps_it(
    redis: RedisProcess, ours: Leases, theirs: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaseredis, "RENEW_SECONDS", 0.01)
    lease = await taken(ours)
    for _ in range(3):
        redis.ask("PEXPIRE", LAYOUT.lease(A), 60_000)  # until the holder says otherwise
        async with asyncio.timeout(20):
            while redis.ask("PTTL", LAYOUT.lease(A)) > 1000 * ALIVE_SECONDS:  # noqa: ASYNC110 (Redis tells nobody)
                await asyncio.sleep(0)
    assert await theirs.take(A, LONG) is None
    await ours.release(lease)
    theirs_now = await taken(theirs)
    assert redis.ask("GET", LAYOUT.lease(A)) == theirs_now.token.encode()


async def test_nobody_prolongs_what_has_become_anothers(
    redis: RedisProcess, ours: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaseredis, "RENEW_SECONDS", 0.01)
    await taken(ours)
    redis.ask("SET", LAYOUT.lease(A), "another's", "PX", 60_000)  # the first holder stood still for too long
    async with asyncio.timeout(20):
        while ours._held:  # type: ignore[attr-defined]  # noqa: ASYNC110 (nor does it)
            await asyncio.sleep(0)
    assert redis.ask("PTTL", LAYOUT.lease(A)) > 1000 * ALIVE_SECONDS


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("under_way", [False, True], ids=["between", "while it is prolonged"])
def test_what_redis_could_not_be_told_to_let_go_of_is_not_prolonged_either(
    redis: RedisProcess, loop_factory: Callable[[], asyncio.AbstractEventLoop], under_way: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Else everybody waits for it for as long as a fetch may take, 10 s. A node runs on uvloop, whose handles are none
    of asyncio's."""
    monkeypatch.setattr(leaseredis, "RENEW_SECONDS", 0.001 if under_way else 60.0)

    async def story() -> None:
        asked, answered = asyncio.Event(), asyncio.Event()

        async def slow(key: str, *command: str | bytes | int) -> object:
            if _RENEW in command:
                asked.set()
                await answered.wait()
                return 1
            raise LevelDown("no answer")

        async with opened(redis) as level:
            leases = RedisLeases(level.client, level.layout)
            lease = await taken(leases)
            timer = leases._held[lease.token]
            monkeypatch.setattr(leases, "_ask", slow)
            if under_way:
                await asked.wait()
            await leases.release(lease)
            answered.set()
            if not under_way:
                assert timer is not None
                assert timer.cancelled()
            await asyncio.gather(*leases._prolonging)
            assert not leases._held

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(asyncio.wait_for(story(), 20))


async def test_whose_lease_ran_out_does_not_let_go_of_another_ones(
    redis: RedisProcess, ours: Leases, theirs: Leases
) -> None:
    late = await taken(ours)
    redis.ask("DEL", LAYOUT.lease(A))  # its time was over
    await taken(theirs)
    await ours.release(late)
    assert await ours.take(A, LONG) is None
    assert redis.ask("EXISTS", LAYOUT.lease(A)) == 1


async def test_tokens_are_random_and_never_the_same(ours: Leases) -> None:
    tokens = set()
    for _ in range(20):
        lease = await taken(ours)
        tokens.add(lease.token)
        await ours.release(lease)
    assert len(tokens) == 20
    assert {len(bytes.fromhex(token)) for token in tokens} == {TOKEN_BYTES}


async def test_who_waits_goes_on_when_it_is_let_go_of(ours: Leases, theirs: Leases) -> None:
    lease = await taken(ours)
    waiting = [asyncio.create_task(theirs.wait(A, LONG)) for _ in range(5)]
    await theirs.wait(A, 3 * PAUSE_MOST_SECONDS)
    assert not any(task.done() for task in waiting)
    await ours.release(lease)
    async with asyncio.timeout(LONG / 2):
        await asyncio.gather(*waiting)


async def test_who_waits_does_so_no_longer_than_asked(ours: Leases) -> None:
    await taken(ours)
    began = time.monotonic()
    await ours.wait(A, 0.1)
    assert 0.1 <= time.monotonic() - began < 5
    await ours.wait(A, 0)
    await ours.wait(A, -1)


async def test_nobody_waits_for_what_nobody_has(ours: Leases) -> None:
    async with asyncio.timeout(LONG / 2):
        await ours.wait(A, LONG)


async def test_who_is_cancelled_while_he_waits_stops(ours: Leases) -> None:
    await taken(ours)
    waiting = asyncio.create_task(ours.wait(A, LONG))
    await ours.wait(A, 0.02)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_without_redis_everybody_goes_on_alone() -> None:
    [port] = free_ports(1)
    async with opened(f"redis://127.0.0.1:{port}") as level:
        leases = RedisLeases(level.client, level.layout)
        first, second = await leases.take(A, LONG), await leases.take(A, LONG)
        assert first is not None
        assert second is not None
        assert not first.shared
        assert not second.shared
        async with asyncio.timeout(LONG / 2):
            await leases.wait(A, LONG)
        await leases.release(first)


async def test_a_redis_that_hangs_holds_nobody_up(redis: RedisProcess) -> None:
    async with opened(redis, in_time=True) as level:
        leases = RedisLeases(level.client, level.layout)
        await leases.take(B, LONG)
        redis.stop()
        try:
            began = time.monotonic()
            lease = await leases.take(A, LONG)
            assert lease is not None
            assert not lease.shared
            await leases.wait(A, LONG)
            await leases.release(lease)
            assert time.monotonic() - began < OPERATION_SECONDS * 30
        finally:
            redis.go_on()


@pytest.mark.parametrize("words", [("RPUSH", "x"), ("HSET", "x", "y"), ("SADD", "x")])
async def test_what_lies_in_its_place_is_no_reason_to_wait_for_ever(
    redis: RedisProcess, ours: Leases, words: tuple[str, ...]
) -> None:
    redis.ask(words[0], LAYOUT.lease(A), *words[1:])
    lease = await ours.take(A, LONG)
    assert lease is not None
    assert not lease.shared
    await ours.release(lease)
    await ours.wait(A, 0.05)


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e9])
async def test_a_lease_of_any_length_ends(redis: RedisProcess, ours: Leases, seconds: float) -> None:
    await taken(ours, seconds=seconds)
    assert redis.ask("PTTL", LAYOUT.lease(A)) <= 3_600_000
    assert redis.ask("PTTL", LAYOUT.lease(A)) != -1


async def test_a_take_that_was_sent_twice_knows_its_own(
    redis: RedisProcess, ours: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection broke after Redis had done it: sent again, SET finds the key there, with our token in it."""
    assert isinstance(ours, RedisLeases)
    asked = ours._client.run

    async def twice(calls: object) -> object:
        await asked(calls)  # type: ignore[arg-type]
        return await asked(calls)  # type: ignore[arg-type]

    monkeypatch.setattr(ours._client, "run", twice)
    await taken(ours)
