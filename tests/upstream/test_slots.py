"""Who gets a connection, who waits, and that a cancelled exchange leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from seawall.policy.reasons import Reason
from seawall.upstream.answer import Answer, UpstreamError
from seawall.upstream.connection import Connection
from seawall.upstream.pool import Pool
from tests.upstream.scripted import (
    OK,
    Peer,
    Sent,
    Stuck,
    always,
    origin,
    pool_of,
    request,
    stage,
    until,
    until_broken,
    whole,
)


class Gate:
    """An origin that answers one request for each permit, and notes their targets in order."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.permits = asyncio.Semaphore(0)

    async def __call__(self, peer: Peer) -> None:
        while True:
            self.asked.append((await peer.head()).split(b" ")[1].decode())
            await self.permits.acquire()
            await peer.send(OK)


def _ask(pool: Pool, target: str) -> asyncio.Task[Answer]:
    return asyncio.create_task(pool.exchange(request("GET", target), None))


async def _cancelled(task: asyncio.Task[Answer]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_no_more_connections_than_allowed_and_first_come_first_served() -> None:
    gate = Gate()
    async with origin(gate) as it, pool_of(it, max_connections=2) as pool:
        tasks = []
        for number in range(6):
            tasks.append(_ask(pool, f"/{number}"))
            await until(lambda number=number: pool.waiting == max(0, number - 1))  # type: ignore[misc]
        assert repr(pool).endswith("2 in use, 0 idle, 0 opening, 4 waiting, of 2>") or pool.opening
        for _ in range(6):
            gate.permits.release()
        for task in tasks:
            assert await whole((await task).body) == b"hello"
        assert it.accepted == 2
        assert gate.asked[2:] == ["/2", "/3", "/4", "/5"]


async def test_a_newcomer_does_not_overtake_who_waits() -> None:
    gate = Gate()
    async with stage(gate, max_connections=1) as pool:
        first = _ask(pool, "/first")
        await until(lambda: gate.asked == ["/first"])
        waiting = _ask(pool, "/waiting")
        await until(lambda: pool.waiting == 1)
        gate.permits.release()
        await first
        newcomer = _ask(pool, "/newcomer")
        await until(lambda: len(gate.asked) == 2)
        assert gate.asked[1] == "/waiting"
        gate.permits.release()
        gate.permits.release()
        await waiting
        await newcomer


async def test_a_full_queue_is_said_at_once() -> None:
    gate = Gate()
    async with origin(gate) as it, pool_of(it, max_connections=1, max_waiting=1) as pool:
        one = _ask(pool, "/1")
        await until(lambda: bool(gate.asked))
        two = _ask(pool, "/2")
        await until(lambda: pool.waiting == 1)
        with pytest.raises(UpstreamError) as caught:
            await pool.exchange(request(), None)
        assert caught.value.reason is Reason.QUEUE_FULL
        gate.permits.release()
        gate.permits.release()
        await one
        await two


async def test_who_waits_gets_the_slot_of_a_connection_that_closed() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello")

    async with stage(script, max_connections=1) as pool:
        tasks = [_ask(pool, f"/{number}") for number in range(5)]
        for task in tasks:
            assert await whole((await task).body) == b"hello"
        assert pool.opened == 5


async def test_who_waits_gets_the_slot_of_a_connection_that_could_not_be_opened() -> None:
    async with origin(always()) as it:
        port = it.port
    async with pool_of(port, max_connections=1) as pool:
        tasks = [_ask(pool, f"/{number}") for number in range(5)]
        for task in tasks:
            with pytest.raises(UpstreamError) as caught:
                await task
            assert caught.value.reason is Reason.CONNECT_FAILED
        assert (pool.in_use, pool.opening) == (0, 0)


async def test_a_grant_that_died_on_the_way_is_replaced() -> None:
    """Handed over and closed by the origin before the waiter has run."""
    gate = Gate()
    async with stage(gate, max_connections=1) as pool:
        one = _ask(pool, "/1")
        await until(lambda: gate.asked == ["/1"])
        two = _ask(pool, "/2")
        await until(lambda: pool.waiting == 1)
        released = pool.released

        def release_and_intrude(connection: object) -> None:
            released(connection)  # type: ignore[arg-type]
            connection.data_received(b"x")  # type: ignore[attr-defined]

        pool.released = release_and_intrude  # type: ignore[method-assign]
        gate.permits.release()
        await one
        pool.released = released  # type: ignore[method-assign]
        gate.permits.release()
        assert await whole((await two).body) == b"hello"
        assert (pool.opened, pool.intrusions) == (2, 1)


# --- cancellation, at each await of an exchange ---


def _is(pool: Pool, **counts: int) -> Callable[[], bool]:
    return lambda: all(getattr(pool, name) == count for name, count in counts.items())


async def test_cancelled_while_connecting() -> None:
    async with origin(always()) as it, pool_of(it, max_connections=1) as pool:
        for turns in range(6):
            task = _ask(pool, "/")
            for _ in range(turns):
                await asyncio.sleep(0)
            if task.done():
                await whole((await task).body)
                continue
            await _cancelled(task)
            assert (pool.opening, pool.in_use, pool.waiting) == (0, 0, 0)
        assert await whole((await pool.exchange(request(), None)).body) == b"hello"


async def test_cancelled_while_awaiting_the_head() -> None:
    gate = Gate()
    async with stage(gate, max_connections=1) as pool:
        for number in range(3):
            task = _ask(pool, "/")
            await until(lambda number=number: len(gate.asked) == number + 1)  # type: ignore[misc]
            await _cancelled(task)
            assert (pool.in_use, pool.idle) == (0, 0), "an answer is on its way: never used again"


async def test_cancelled_while_waiting_for_a_slot() -> None:
    gate = Gate()
    async with stage(gate, max_connections=1) as pool:
        first = _ask(pool, "/first")
        await until(lambda: bool(gate.asked))
        waiting = [_ask(pool, f"/{number}") for number in range(3)]
        await until(lambda: pool.waiting == 3)
        await _cancelled(waiting[0])
        await _cancelled(waiting[2])
        assert pool.waiting == 1
        gate.permits.release()
        gate.permits.release()
        await first
        await waiting[1]
        assert gate.asked == ["/first", "/1"]
        await until(_is(pool, idle=1, in_use=0))


async def test_cancelled_in_the_turn_in_which_a_connection_is_granted() -> None:
    gate = Gate()
    async with stage(gate, max_connections=1) as pool:
        first = _ask(pool, "/first")
        await until(lambda: bool(gate.asked))
        granted, behind = _ask(pool, "/granted"), _ask(pool, "/behind")
        await until(lambda: pool.waiting == 2)
        released = pool.released

        def release_and_cancel(connection: object) -> None:
            released(connection)  # type: ignore[arg-type]
            granted.cancel()

        pool.released = release_and_cancel  # type: ignore[method-assign]
        gate.permits.release()
        await first
        pool.released = released  # type: ignore[method-assign]
        with pytest.raises(asyncio.CancelledError):
            await granted
        gate.permits.release()
        assert await whole((await behind).body) == b"hello"
        assert gate.asked == ["/first", "/behind"]
        assert (pool.opened, pool.idle) == (1, 1)


async def test_cancelled_in_the_turn_in_which_a_slot_is_granted() -> None:
    gate = Gate()
    async with stage(gate, max_connections=1) as pool:
        first = _ask(pool, "/first")
        await until(lambda: bool(gate.asked))
        granted, behind = _ask(pool, "/granted"), _ask(pool, "/behind")
        await until(lambda: pool.waiting == 2)
        lost = pool.lost

        def lose_and_cancel(connection: object) -> None:
            lost(connection)  # type: ignore[arg-type]
            assert pool.opening == 1, "the slot is granted"
            granted.cancel()

        pool.lost = lose_and_cancel  # type: ignore[method-assign]
        await _cancelled(first)
        pool.lost = lost  # type: ignore[method-assign]
        with pytest.raises(asyncio.CancelledError):
            await granted
        for _ in range(2):  # the origin still holds the request that was given up
            gate.permits.release()
        assert await whole((await behind).body) == b"hello"
        assert (pool.in_use, pool.opening) == (0, 0)


@pytest.mark.parametrize("wire", [OK, OK[:-1], b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n"])
async def test_cancelled_in_the_turn_in_which_the_answer_arrives(wire: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage(always(wire), max_connections=1) as pool:
        original = Connection.data_received

        def receive_and_cancel(self: Connection, data: bytes) -> None:
            original(self, data)
            task.cancel()

        monkeypatch.setattr(Connection, "data_received", receive_and_cancel)
        task = _ask(pool, "/")
        with pytest.raises(asyncio.CancelledError):
            await task
        assert pool.in_use == 0
        whole_answer = wire in (OK, b"HTTP/1.1 204 No Content\r\n\r\n")
        assert pool.idle == (1 if whole_answer else 0), "a whole answer leaves a good connection"


@pytest.mark.parametrize("length", [100, None])
async def test_cancelled_while_sending(length: int | None) -> None:
    left: list[bytes] = []

    async def script(peer: Peer) -> None:
        left.append(await peer.left())

    async with stage(script, max_connections=1) as pool:
        body = Stuck(b"hello", length=length)
        task = asyncio.create_task(pool.exchange(request("POST"), body))
        await body.waits.wait()
        assert pool.in_use == 1
        await _cancelled(task)
        assert body.closed
        assert (pool.in_use, pool.idle) == (0, 0)
        await until(lambda: bool(left))
        assert not left[0].endswith(b"0\r\n\r\n")


async def test_cancelled_at_any_turn_of_the_loop() -> None:
    """A sweep: whatever the exchange awaits after so many turns, nothing is lost and the next one works."""
    wire = b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300_000
    async with stage(always(wire), max_connections=2) as pool:
        for pieces in (None, [b"hello"], [b"x" * 300_000] * 2):
            for turns in range(30):
                tasks = [asyncio.create_task(pool.exchange(request(), pieces and Sent(*pieces))) for _ in range(4)]
                for _ in range(turns):
                    await asyncio.sleep(0)
                for task in tasks:
                    task.cancel()
                for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                    if isinstance(outcome, Answer):
                        outcome.body.close()
                assert (pool.in_use, pool.opening, pool.waiting) == (0, 0, 0), (turns, pool)
        assert len(await whole((await pool.exchange(request(), None)).body)) == 300_000


# --- the end of a pool ---


async def test_close_ends_everything_and_refuses_what_comes_after() -> None:
    gate = Gate()
    async with origin(gate) as it, pool_of(it, max_connections=2) as pool:
        kept = _ask(pool, "/kept")
        gate.permits.release()
        await kept
        asking = [_ask(pool, f"/{number}") for number in range(2)]
        await until(lambda: len(gate.asked) == 3)
        waiting = _ask(pool, "/waiting")
        await until(lambda: pool.waiting == 1)
        await pool.close()
        reasons = []
        for task in [*asking, waiting, _ask(pool, "/late")]:
            with pytest.raises(UpstreamError) as caught:
                await task
            reasons.append(caught.value.reason)
        assert set(reasons) <= {Reason.RESET, Reason.CONNECT_FAILED}
        await pool.close()


async def test_a_body_under_way_breaks_when_the_pool_closes() -> None:
    async with stage(always(OK[:-1])) as pool:
        answer = await pool.exchange(request(), None)
        await pool.close()
        assert await until_broken(answer.body) == b"hell"


async def test_a_body_that_is_closed_early_costs_its_connection_and_frees_its_slot() -> None:
    async with stage(always(OK[:-1]), max_connections=1) as pool:
        for number in (1, 2, 3):
            answer = await pool.exchange(request(), None)
            answer.body.close()
            assert (pool.in_use, pool.idle, pool.opened) == (0, 0, number)
