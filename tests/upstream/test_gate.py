"""How many requests an origin gets at a time, and that clients go before refreshes."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from seawall.policy.reasons import Reason
from seawall.upstream.answer import Answer, UpstreamError
from seawall.upstream.gate import Gate, Slot
from tests.upstream.doubles import Scripted
from tests.upstream.scripted import OK, Peer, Sent, Stuck, always, origin, pool_of, request, until, until_broken, whole


def take(gate: Gate, *, background: bool = False) -> asyncio.Task[Slot]:
    return asyncio.create_task(gate.take(background=background))


async def settled(task: asyncio.Task[Slot], gate: Gate, waiting: int) -> asyncio.Task[Slot]:
    await until(lambda: task.done() or gate.waiting == waiting)
    return task


async def refused(task: asyncio.Task[Slot]) -> str:
    with pytest.raises(UpstreamError) as caught:
        await task
    assert caught.value.reason is Reason.QUEUE_FULL
    return caught.value.detail


async def cancelled(task: asyncio.Task[Slot]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def empty(gate: Gate) -> bool:
    return (gate.in_flight, gate.background_in_flight, gate.waiting) == (0, 0, 0)


async def test_no_more_than_allowed_and_first_come_first_served() -> None:
    gate = Gate(2, 10)
    held = [await gate.take(), await gate.take()]
    waiting = [await settled(take(gate), gate, number) for number in (1, 2, 3)]
    assert not any(task.done() for task in waiting)
    for task in waiting:
        held.pop(0).leave()
        held.append(await task)
        assert gate.in_flight == 2
    for slot in held:
        slot.leave()
        slot.leave()
    assert empty(gate)
    assert (gate.admitted, gate.peak) == (5, 2)


async def test_the_background_leaves_the_reserve_to_clients() -> None:
    gate = Gate(3, 10, reserve=1)
    refreshes = [await gate.take(background=True), await gate.take(background=True)]
    third = await settled(take(gate, background=True), gate, 1)
    assert not third.done(), "the third slot is the reserve"
    client = await gate.take()
    assert gate.in_flight == 3
    client.leave()
    assert not third.done()
    refreshes[0].leave()
    (await third).leave()
    refreshes[1].leave()
    assert empty(gate)


async def test_a_client_that_comes_later_goes_first() -> None:
    gate = Gate(2, 10, reserve=1)
    held = [await gate.take(), await gate.take()]
    refresh = await settled(take(gate, background=True), gate, 1)
    client = await settled(take(gate), gate, 2)
    another = await settled(take(gate), gate, 3)
    for task in (client, another):
        held.pop(0).leave()
        held.append(await task)
        assert not refresh.done()
    held.pop(0).leave()
    (await refresh).leave()
    held.pop(0).leave()
    assert empty(gate)


async def test_a_refresh_does_not_overtake_one_that_waits() -> None:
    gate = Gate(2, 10, reserve=1)
    one = await gate.take(background=True)
    two = await settled(take(gate, background=True), gate, 1)
    one.leave()  # two is called, but has not run
    three = take(gate, background=True)
    slot = await two
    assert not three.done()
    slot.leave()
    (await three).leave()
    assert empty(gate)


async def test_a_full_queue_is_said_at_once() -> None:
    gate = Gate(1, 1, name="app")
    slot = await gate.take()
    one = await settled(take(gate), gate, 1)
    assert await refused(take(gate)) == "app: 1 wait already"
    assert await refused(take(gate, background=True)) == "app: 1 wait already"
    assert gate.refused == 2
    slot.leave()
    (await one).leave()
    assert empty(gate)


async def test_no_queue_is_possible() -> None:
    gate = Gate(1, 0)
    slot = await gate.take()
    await refused(take(gate))
    slot.leave()
    (await gate.take()).leave()


async def test_a_client_takes_the_place_of_the_youngest_refresh_in_a_full_queue() -> None:
    gate = Gate(2, 2, reserve=1)
    held = [await gate.take(), await gate.take()]
    old = await settled(take(gate, background=True), gate, 1)
    young = await settled(take(gate, background=True), gate, 2)
    client = take(gate)
    assert "a client goes first" in await refused(young)
    assert not old.done()
    assert (gate.displaced, gate.refused, gate.waiting) == (1, 0, 2)
    another = take(gate)
    await refused(old)
    await refused(take(gate))
    for task in (client, another):
        held.pop(0).leave()
        held.append(await task)
    for slot in held:
        slot.leave()
    assert empty(gate)


async def test_nobody_waits_for_ever() -> None:
    gate = Gate(2, 10, reserve=1, max_wait=0.02)
    held = [await gate.take(), await gate.take()]
    both = [take(gate), take(gate, background=True)]
    for task in both:
        assert "within 0.02 s" in await refused(task)
    assert (gate.expired, gate.waiting) == (2, 0)
    for slot in held:
        slot.leave()
    assert empty(gate)


async def test_who_is_cancelled_while_waiting_leaves_the_queue() -> None:
    gate = Gate(1, 10)
    slot = await gate.take()
    one = await settled(take(gate), gate, 1)
    two = await settled(take(gate), gate, 2)
    await cancelled(one)
    assert gate.waiting == 1
    slot.leave()
    (await two).leave()
    assert empty(gate)


@pytest.mark.parametrize("background", [False, True])
async def test_who_is_called_and_cancelled_in_one_turn_passes_the_slot_on(background: bool) -> None:
    gate = Gate(2, 10, reserve=1)
    held = [await gate.take(), await gate.take()]
    one = await settled(take(gate, background=background), gate, 1)
    two = await settled(take(gate, background=background), gate, 2)
    held[0].leave()
    await cancelled(one)
    (await two).leave()
    held[1].leave()
    assert empty(gate)


async def test_who_is_cancelled_and_then_would_have_been_called_passes_the_slot_on() -> None:
    gate = Gate(1, 10)
    slot = await gate.take()
    one = await settled(take(gate), gate, 1)
    two = await settled(take(gate), gate, 2)
    one.cancel()
    slot.leave()  # before `one` has run
    (await two).leave()
    assert one.cancelled()
    assert empty(gate)


async def test_who_is_displaced_and_cancelled_in_one_turn_is_gone() -> None:
    gate = Gate(1, 1)
    slot = await gate.take()
    refresh = await settled(take(gate, background=True), gate, 1)
    client = take(gate)
    await until(lambda: gate.displaced == 1)
    refresh.cancel()
    with pytest.raises((asyncio.CancelledError, UpstreamError)):
        await refresh
    slot.leave()
    (await client).leave()
    assert empty(gate)


async def test_a_block_leaves_its_slot_however_it_ends() -> None:
    gate = Gate(1, 0)

    async def raises() -> None:
        async with gate.enter():
            assert gate.in_flight == 1
            raise KeyError

    with pytest.raises(KeyError):
        await raises()
    async with gate.enter(background=True):
        assert gate.background_in_flight == 1
    assert empty(gate)


@pytest.mark.parametrize(("limit", "max_waiting", "reserve"), [(0, 1, 0), (1, -1, 0), (1, 1, 1), (2, 1, 3), (2, 1, -1)])
def test_a_gate_that_nobody_gets_through_is_a_mistake(limit: int, max_waiting: int, reserve: int) -> None:
    with pytest.raises(ValueError, match="reserve"):
        Gate(limit, max_waiting, reserve)


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_happens_the_bounds_hold_and_nothing_is_left(seed: int) -> None:
    random = Random(seed)
    gate = Gate(random.randint(2, 4), random.randint(0, 6), reserve=1, max_wait=0.01)
    overtaken = 0

    async def visit(background: bool) -> None:
        nonlocal overtaken
        async with gate.enter(background):
            assert gate.in_flight <= gate.limit
            assert gate.background_in_flight <= gate.limit - gate.reserve
            for _ in range(random.randint(0, 5)):
                await asyncio.sleep(0)

    tasks: list[asyncio.Task[None]] = []
    for _ in range(300):
        tasks.append(asyncio.create_task(visit(random.random() < 0.5)))
        if random.random() < 0.3:
            random.choice(tasks).cancel()
        if random.random() < 0.5:
            await asyncio.sleep(0)
        assert gate.waiting <= gate.max_waiting
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        assert result is None or isinstance(result, asyncio.CancelledError | UpstreamError), result
    assert empty(gate)
    assert gate.admitted > 50


# --- an upstream behind it ---


def ask(upstream: object, target: str = "/") -> asyncio.Task[Answer]:
    return asyncio.create_task(upstream.exchange(request("GET", target), None))  # type: ignore[attr-defined]


async def test_a_request_holds_its_slot_until_its_body_has_ended() -> None:
    gate = Gate(1, 10)
    scripted = Scripted()
    gated = gate.foreground(scripted)
    first = ask(gated, "/first")
    body = (await scripted.nth(1)).replies()
    answer = await first
    second = ask(gated, "/second")
    await until(lambda: gate.waiting == 1)
    body.feed(b"all of it")
    body.end()
    assert await answer.body.read() == b"all of it"
    assert gate.in_flight == 1
    assert len(scripted.asked) == 1
    assert await answer.body.read() == b""
    (await scripted.nth(2)).says()
    await second
    answer.body.close()
    assert empty(gate)


async def test_a_body_that_breaks_or_is_closed_gives_the_slot_back() -> None:
    gate = Gate(2, 0)
    scripted = Scripted()
    gated = gate.foreground(scripted)
    for number in (1, 2):
        task = ask(gated)
        body = (await scripted.nth(number)).replies()
        answer = await task
        assert gate.in_flight == 1
        if number == 1:
            body.break_off("the origin hung up")
            await until_broken(answer.body)
        else:
            answer.body.close()
        assert empty(gate)
        answer.body.close()
        assert empty(gate)


async def test_a_request_that_fails_or_is_cancelled_gives_the_slot_back() -> None:
    gate = Gate(1, 0)
    scripted = Scripted()
    gated = gate.background(scripted)
    one = ask(gated)
    (await scripted.nth(1)).fails(Reason.RESET)
    with pytest.raises(UpstreamError):
        await one
    assert empty(gate)
    two = ask(gated)
    await scripted.nth(2)
    assert gate.background_in_flight == 1
    two.cancel()
    with pytest.raises(asyncio.CancelledError):
        await two
    assert empty(gate)


async def test_a_client_that_sends_nothing_of_its_body_holds_no_slot() -> None:
    gate = Gate(1, 0)
    scripted = Scripted(lambda asked: asked.says())
    gated = gate.foreground(scripted)
    stuck = Stuck(length=5)
    slow = asyncio.create_task(gated.exchange(request("POST"), stuck))
    await stuck.waits.wait()
    assert gate.in_flight == 0
    await ask(gated)
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow
    assert stuck.closed
    assert empty(gate)


async def test_a_body_goes_through_whole_over_real_sockets() -> None:
    got: list[bytes] = []

    async def script(peer: Peer) -> None:
        await peer.head()
        got.append(await peer.reader.readexactly(10))
        await peer.send(OK)

    gate = Gate(1, 0)
    async with origin(script) as it, pool_of(it) as pool:
        body = Sent(b"hello", b"world", length=10)
        answer = await gate.foreground(pool).exchange(request("POST"), body)
        assert await whole(answer.body) == b"hello"
        assert got == [b"helloworld"]
        assert body.closed
        assert empty(gate)


async def test_a_tunnel_leaves_the_gate_when_it_is_made() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n")
        await peer.left()

    gate = Gate(1, 0)
    async with origin(script) as it, pool_of(it) as pool:
        answer = await gate.foreground(pool).exchange(request(fields=[("Upgrade", "chat")]), None)
        assert answer.tunnel is not None
        assert empty(gate)
        answer.tunnel.close()


async def test_two_views_of_one_gate_share_its_slots_and_close_what_is_behind() -> None:
    gate = Gate(2, 10, reserve=1)
    async with origin(always()) as it, pool_of(it) as pool:
        client, refresh = gate.foreground(pool), gate.background(pool)
        answers = [await client.exchange(request(), None), await refresh.exchange(request(), None)]
        assert (gate.in_flight, gate.background_in_flight) == (2, 1)
        for answer in answers:
            await whole(answer.body)
        assert empty(gate)
        await client.close()
        with pytest.raises(UpstreamError):
            await refresh.exchange(request(), None)
        assert empty(gate)
