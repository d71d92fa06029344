"""A flight that other processes wait for: between its landing and the return of its lease it is nobody's any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from seawall.flight.lease import Lease
from tests.engine.scripted import NOW, Stage

FRESH = ("Cache-Control", "max-age=60")
TAG = ("ETag", '"1"')
SECRET = "shared by the nodes of this test"
# What a parent says of an answer that it served stale.
STALE_AT_THE_PARENT = (("Seawall-Order", "journal 0"), ("Seawall-Fresh", "0.000"))


class SlowLeases:
    """The leases of one process, that are given back when the story lets them."""

    def __init__(self) -> None:
        self.held: set[str] = set()
        self.coming_back = 0
        self._may_come_back = asyncio.Event()
        self._may_come_back.set()

    def hold_back(self) -> None:
        self._may_come_back.clear()

    def let_come_back(self) -> None:
        self._may_come_back.set()

    async def take(self, key: str, seconds: float) -> Lease | None:
        if key in self.held:
            return None
        self.held.add(key)
        return Lease(key, "mine", shared=True)

    async def release(self, lease: Lease) -> None:
        self.coming_back += 1
        await self._may_come_back.wait()
        self.held.discard(lease.key)

    async def wait(self, key: str, seconds: float) -> None:
        await self._may_come_back.wait()


@pytest.fixture
def leases() -> SlowLeases:
    return SlowLeases()


@pytest.fixture
async def stage(leases: SlowLeases) -> AsyncIterator[Stage]:
    stage = Stage(leases=leases, parent_secret=SECRET, secret=SECRET)
    yield stage
    leases.let_come_back()
    await stage.quiet()
    await stage.engine.close()


async def stored_and_run_out(stage: Stage) -> None:
    client = stage.ask()
    (await stage.origin.nth(1)).replies(200, FRESH, TAG, ("Surrogate-Key", "t"), *fresh(stage), body=b"old")
    await client
    await stage.quiet()
    stage.clock.at = NOW + 61


def fresh(stage: Stage) -> tuple[tuple[str, str], ...]:
    return ("Seawall-Order", f"journal {stage.standing.applied.number}"), ("Seawall-Fresh", "60.000")


async def test_who_comes_after_an_order_is_not_given_what_landed_before_it(stage: Stage, leases: SlowLeases) -> None:
    await stored_and_run_out(stage)
    leases.hold_back()
    client = stage.ask()
    (await stage.origin.nth(2)).replies(304, FRESH, TAG, *fresh(stage), body=b"")
    assert (await client).body == b"old"
    await stage.until(lambda: leases.coming_back == 2)
    stage.purge(tags=["t"])
    newcomer = stage.ask()
    leases.let_come_back()
    (await stage.origin.nth(3)).replies(200, FRESH, *fresh(stage), body=b"new")
    assert (await newcomer).body == b"new"


async def test_what_was_for_its_leader_alone_makes_nobody_else_go_alone(stage: Stage, leases: SlowLeases) -> None:
    leases.hold_back()
    client = stage.ask()
    (await stage.origin.nth(1)).replies(200, FRESH, *STALE_AT_THE_PARENT, body=b"stale")
    assert (await client).body == b"stale"
    await stage.until(lambda: leases.coming_back == 1)
    newcomers = [stage.ask() for _ in range(5)]
    await stage.until(lambda: stage.tally.collapses == 4)
    leases.let_come_back()
    (await stage.origin.nth(2)).replies(200, FRESH, *fresh(stage), body=b"new")
    got = [await newcomer for newcomer in newcomers]
    assert {(one.body, one.x_cache) for one in got} == {(b"new", "MISS")}
    assert len(stage.origin.asked) == 2


async def test_order_between_a_landing_and_its_leaders_turn_is_not_said_to_be_applied(stage: Stage) -> None:
    """The next tier would store it as if it had survived the order."""
    await stored_and_run_out(stage)
    client = stage.ask("/", ("Seawall-Peer", SECRET))
    asked = await stage.origin.nth(2)
    [flight] = list(stage.engine._flights)
    asked.replies(304, FRESH, TAG, *fresh(stage), body=b"")
    await stage.until(lambda: flight.landed)
    stage.purge(tags=["t"])
    assert not client.done()
    got = await client
    assert (got.body, got.fields["seawall-order"]) == (b"old", "journal 0")
