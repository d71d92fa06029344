"""Stampede control, one story a test. Order is made with events, never with sleeps."""

import asyncio
from collections.abc import Callable

import pytest

from seawall.flight.table import Flight, FlightFailed, Flights


class Runway:
    """A pilot that waits at named points until the story lets it go on."""

    def __init__(self) -> None:
        self.took_off = asyncio.Event()
        self.may_land = asyncio.Event()
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.flown = 0
        self.failing: Exception | None = None
        self.value: object = "cargo"

    async def pilot(self, flight: Flight[object]) -> None:
        self.flown += 1
        self.took_off.set()
        await self.may_land.wait()
        if self.failing is not None:
            raise self.failing
        flight.land(self.value)
        await self.may_end.wait()


async def settle_until(condition: Callable[[], bool]) -> None:
    """Lets the loop turn until the condition holds; a bounded number of turns, no clock."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("the story never got there")


async def test_five_hundred_callers_cost_one_flight() -> None:
    flights: Flights[object] = Flights()
    runway = Runway()

    async def caller() -> tuple[object, bool]:
        flight, led = flights.board("key", runway.pilot)
        return await flight.wait(), led

    callers = [asyncio.create_task(caller()) for _ in range(500)]
    await runway.took_off.wait()
    runway.may_land.set()
    got = await asyncio.gather(*callers)
    assert runway.flown == 1
    assert [value for value, _ in got] == ["cargo"] * 500
    assert sum(led for _, led in got) == 1
    await settle_until(lambda: len(flights) == 0)


async def test_different_keys_do_not_wait_for_each_other() -> None:
    flights: Flights[object] = Flights()
    slow, quick = Runway(), Runway()
    quick.may_land.set()
    flights.board("slow", slow.pilot)
    flight, led = flights.board("quick", quick.pilot)
    assert led
    assert await flight.wait() == "cargo"
    await flights.close()


async def test_follower_survives_cancelled_leader() -> None:
    flights: Flights[object] = Flights()
    runway = Runway()
    leading, _ = flights.board("key", runway.pilot)
    leader = asyncio.create_task(leading.wait())
    flight, led = flights.board("key", runway.pilot)
    follower = asyncio.create_task(flight.wait())
    await runway.took_off.wait()
    await settle_until(lambda: flight.waiting == 2)
    leader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leader
    runway.may_land.set()
    assert (await follower, led, runway.flown) == ("cargo", False, 1)


async def test_leader_survives_cancelled_follower() -> None:
    flights: Flights[object] = Flights()
    runway = Runway()
    flight, _ = flights.board("key", runway.pilot)
    leader, follower = asyncio.create_task(flight.wait()), asyncio.create_task(flight.wait())
    await settle_until(lambda: flight.waiting == 2)
    follower.cancel()
    with pytest.raises(asyncio.CancelledError):
        await follower
    assert flight.waiting == 1
    runway.may_land.set()
    assert await leader == "cargo"


async def test_flight_lands_although_every_caller_has_left() -> None:
    flights: Flights[object] = Flights()
    runway = Runway()
    flight, _ = flights.board("key", runway.pilot)
    caller = asyncio.create_task(flight.wait())
    await runway.took_off.wait()
    caller.cancel()
    landed: list[object] = []
    flight.on_landing(landed.append)
    runway.may_land.set()
    await settle_until(lambda: len(flights) == 0)
    assert landed == ["cargo"]


async def test_what_has_landed_is_handed_to_a_leader_that_leaves_late() -> None:
    flights: Flights[object] = Flights()
    runway = Runway()
    runway.may_land.set()
    flight, _ = flights.board("key", runway.pilot)
    await flight.wait()
    landed: list[object] = []
    flight.on_landing(landed.append)
    assert landed == ["cargo"]


async def test_newcomer_gets_what_has_landed_while_the_pilot_goes_on() -> None:
    flights: Flights[object] = Flights()
    runway = Runway()
    runway.may_land.set()
    runway.may_end.clear()
    first, _ = flights.board("key", runway.pilot)
    await first.wait()
    second, led = flights.board("key", runway.pilot)
    assert (second is first, led, await second.wait()) == (True, False, "cargo")
    runway.may_end.set()
    await settle_until(lambda: len(flights) == 0)
    assert flights.get("key") is None


async def test_failure_reaches_all_and_the_first_to_board_again_leads() -> None:
    flights: Flights[object] = Flights()
    failing, working = Runway(), Runway()
    failing.failing = OSError("origin")
    working.may_land.set()

    async def caller() -> tuple[object, int]:
        flight, _ = flights.board("key", failing.pilot)
        with pytest.raises(FlightFailed) as failed:
            await flight.wait()
        assert isinstance(failed.value.__cause__, OSError)
        flight, led = flights.board("key", working.pilot)
        return await flight.wait(), int(led)

    callers = [asyncio.create_task(caller()) for _ in range(20)]
    await failing.took_off.wait()
    failing.may_land.set()
    got = await asyncio.gather(*callers)
    assert (failing.flown, working.flown) == (1, 1)
    assert [value for value, _ in got] == ["cargo"] * 20
    assert sum(led for _, led in got) == 1


async def test_pilot_that_forgets_to_land_fails_its_callers() -> None:
    flights: Flights[object] = Flights()

    async def nowhere(flight: Flight[object]) -> None:
        return

    flight, _ = flights.board("key", nowhere)
    with pytest.raises(FlightFailed):
        await flight.wait()


async def test_overtaken_flight_keeps_its_passengers_and_takes_no_more() -> None:
    flights: Flights[object] = Flights()
    old, new = Runway(), Runway()
    old.value, new.value = "old", "new"
    flight, _ = flights.board("key", old.pilot)
    waiting = asyncio.create_task(flight.wait())
    await old.took_off.wait()
    assert flights.overtake(lambda key: key == "key") == 1
    assert flight.overtaken
    after, led = flights.board("key", new.pilot)
    assert (after is flight, led) == (False, True)
    old.may_land.set()
    assert await waiting == "old"
    # The old flight's end must not take the new one out of the table.
    await settle_until(lambda: len(flights) == 1)
    assert flights.get("key") is after
    new.may_land.set()
    assert await after.wait() == "new"


async def test_overtake_reaches_flights_that_nobody_can_board() -> None:
    flights: Flights[object] = Flights()
    flight = flights.enter("key")
    assert flights.get("key") is None
    assert flights.overtake(lambda key: key == "other") == 0
    assert not flight.overtaken
    assert flights.overtake(lambda key: key == "key") == 1
    assert flight.overtaken
    flights.leave(flight)
    assert len(flights) == 0


async def test_close_wakes_every_caller() -> None:
    flights: Flights[object] = Flights()
    runway = Runway()
    flight, _ = flights.board("key", runway.pilot)
    caller = asyncio.create_task(flight.wait())
    await runway.took_off.wait()
    await flights.close()
    with pytest.raises(FlightFailed):
        await caller
    assert len(flights) == 0


async def test_repr_tells_the_state() -> None:
    flights: Flights[object] = Flights()
    runway = Runway()
    flight, _ = flights.board("key", runway.pilot)
    caller = asyncio.create_task(flight.wait())
    await settle_until(lambda: flight.waiting == 1)
    assert repr(flight) == "<Flight 'key' airborne waiting=1>"
    flights.overtake(lambda _: True)
    runway.may_land.set()
    await caller
    assert repr(flight) == "<Flight 'key' landed overtaken>"


# --- flown by hand ---


async def test_who_boards_a_flight_that_is_flown_by_hand_cannot_tell() -> None:
    flights: Flights[object] = Flights()
    flight = flights.enter("key", boarding=True)
    runway = Runway()
    boarded, led = flights.board("key", runway.pilot)
    assert (boarded is flight, led, runway.flown) == (True, False, 0)
    waiting = [asyncio.create_task(boarded.wait()) for _ in range(3)]
    await settle_until(lambda: flight.waiting == 3)
    assert not flight.launched
    flight.land("cargo")
    flights.leave(flight)
    assert await asyncio.gather(*waiting) == ["cargo"] * 3
    assert len(flights) == 0
    after, led = flights.board("key", runway.pilot)
    assert (after is flight, led) == (False, True)
    await flights.close()


async def test_a_flight_that_is_left_without_landing_fails_who_waits_for_it() -> None:
    flights: Flights[object] = Flights()
    flight = flights.enter("key", boarding=True)
    waiting = asyncio.create_task(flight.wait())
    await settle_until(lambda: flight.waiting == 1)
    flights.leave(flight)
    with pytest.raises(FlightFailed):
        await waiting
    assert flights.get("key") is None
    flights.leave(flight)
    assert len(flights) == 0


async def test_leaving_an_overtaken_flight_leaves_the_next_one_alone() -> None:
    flights: Flights[object] = Flights()
    flight = flights.enter("key", boarding=True)
    flights.overtake(lambda key: key == "key")
    assert flight.overtaken
    following = flights.enter("key", boarding=True)
    flights.leave(flight)
    assert flights.get("key") is following
    assert len(flights) == 1
    flights.leave(following)


async def test_two_flights_for_a_key_are_never_open_to_others() -> None:
    flights: Flights[object] = Flights()
    flights.enter("key", boarding=True)
    with pytest.raises(AssertionError):
        flights.enter("key", boarding=True)
    flights.enter("key")  # which nobody can board


async def test_a_pilot_may_take_over_half_way() -> None:
    flights: Flights[object] = Flights()
    aborted: list[str] = []
    flight = flights.enter("key", lambda: aborted.append("by hand"), boarding=True)
    early = asyncio.create_task(flight.wait())
    await settle_until(lambda: flight.waiting == 1)
    runway = Runway()
    flights.launch(flight, runway.pilot)
    assert flight.launched
    late, led = flights.board("key", runway.pilot)
    assert (late is flight, led) == (True, False)
    runway.may_land.set()
    assert [await early, await late.wait(), runway.flown] == ["cargo", "cargo", 1]
    await settle_until(lambda: len(flights) == 0)
    await flights.close()
    assert aborted == []


async def test_closing_the_table_aborts_what_is_flown_by_hand_once() -> None:
    flights: Flights[object] = Flights()
    aborted: list[object] = []

    def abort() -> None:
        aborted.append(flight)
        flights.leave(flight)

    flight = flights.enter("key", abort, boarding=True)
    left = flights.enter("left", lambda: aborted.append("left"))
    flights.leave(left)
    waiting = asyncio.create_task(flight.wait())
    await settle_until(lambda: flight.waiting == 1)
    await flights.close()
    await flights.close()
    with pytest.raises(FlightFailed):
        await waiting
    assert aborted == [flight]
    assert len(flights) == 0


async def test_an_abort_may_launch_and_the_close_ends_that_too() -> None:
    flights: Flights[object] = Flights()
    runway = Runway()
    flight = flights.enter("key", lambda: flights.launch(flight, runway.pilot), boarding=True)
    waiting = asyncio.create_task(flight.wait())
    await settle_until(lambda: flight.waiting == 1)
    await flights.close()
    with pytest.raises(FlightFailed):
        await waiting
    assert (len(flights), flights.get("key")) == (0, None)


async def test_a_pilot_that_is_cancelled_before_its_first_step_wakes_its_callers() -> None:
    flights: Flights[object] = Flights()
    runway = Runway()
    flight, _ = flights.board("key", runway.pilot)
    waiting = asyncio.create_task(flight.wait())
    await flights.close()
    with pytest.raises(FlightFailed):
        await waiting
    assert (runway.flown, len(flights), flights.get("key")) == (0, 0, None)
