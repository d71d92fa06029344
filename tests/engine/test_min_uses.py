"""Stored only when asked for often enough: what counts, who shares meanwhile, and what a flood leaves alone."""

from __future__ import annotations

import asyncio

import pytest

from seawall.engine.uses import GENERATION_SECONDS
from seawall.policy.reasons import Reason
from seawall.policy.rules import Rules
from tests.engine.scripted import NOW, Got, Stage

FRESH = ("Cache-Control", "max-age=60")
TAGGED = (FRESH, ("ETag", '"one"'))


@pytest.fixture
def thrice() -> Stage:
    return Stage(Rules(min_uses=3))


async def fetched(
    stage: Stage, *fields: tuple[str, str], target: str = "/", method: str = "GET", status: int = 200
) -> Got:
    client = stage.ask(target, method=method)
    origin = await stage.origin.nth(len(stage.origin.asked) + 1)
    origin.replies(status, *(fields or (FRESH,)), body=b"" if status == 304 else b"body")
    got = await client
    await stage.quiet()
    return got


async def test_third_request_is_stored_and_the_fourth_is_a_hit(thrice: Stage) -> None:
    for _ in range(2):
        got = await fetched(thrice)
        assert (got.status, got.body, got.x_cache) == (200, b"body", "MISS")
        assert "detail=min-uses" in got.fields["cache-status"]
        assert "stored" not in got.fields["cache-status"]
        assert len(thrice.store) == 0
    third = await fetched(thrice)
    assert "stored" in third.fields["cache-status"]
    assert "min-uses" not in third.fields["cache-status"]
    assert (await thrice.get()).x_cache == "HIT"
    assert thrice.tally.unstored == [Reason.MIN_USES] * 2


async def test_each_key_is_counted_for_itself(thrice: Stage) -> None:
    for target in ("/a", "/b", "/a", "/b"):
        await fetched(thrice, target=target)
    assert len(thrice.store) == 0
    await fetched(thrice, target="/a")
    assert [item.key for item in thrice.store.items()] == ["http://a.example/a"]


async def test_those_who_ask_at_once_share_what_is_not_stored() -> None:
    stage = Stage(Rules(min_uses=11))
    clients = [stage.ask() for _ in range(10)]
    origin = await stage.origin.nth(1)
    await stage.until(lambda: stage.tally.collapses == 9)
    origin.replies(200, FRESH, body=b"shared")
    got = await asyncio.gather(*clients)
    await stage.quiet()
    assert {one.body for one in got} == {b"shared"}
    assert all("detail=min-uses" in one.fields["cache-status"] for one in got)
    assert (len(stage.origin.asked), len(stage.store)) == (1, 0)
    assert stage.tally.unstored == [Reason.MIN_USES]


async def test_those_who_wait_count_before_the_answer_comes(thrice: Stage) -> None:
    clients = [thrice.ask() for _ in range(3)]
    origin = await thrice.origin.nth(1)
    await thrice.until(lambda: thrice.tally.collapses == 2)
    origin.replies(200, FRESH)
    await asyncio.gather(*clients)
    await thrice.quiet()
    assert (await thrice.get()).x_cache == "HIT"


async def test_request_that_waits_for_two_flights_counts_once() -> None:
    stage = Stage(Rules(min_uses=4))
    clients = [stage.ask() for _ in range(3)]
    first = await stage.origin.nth(1)
    await stage.until(lambda: stage.tally.collapses == 2)
    first.fails(Reason.RESET)
    (await stage.origin.nth(2)).replies(200, FRESH)
    await asyncio.gather(*clients)
    await stage.quiet()
    assert len(stage.store) == 0


async def test_flood_of_urls_asked_for_once_leaves_what_is_stored_alone() -> None:
    stage = Stage(Rules(min_uses=2))
    await fetched(stage, target="/hot")
    await fetched(stage, target="/hot")
    for number in range(200):
        await fetched(stage, target=f"/hot?{number}")
    assert len(stage.store) == 1
    assert (await stage.get("/hot")).x_cache == "HIT"


@pytest.mark.parametrize("status", [200, 304])
async def test_what_is_stored_is_replaced_and_validated_however_seldom_it_is_asked_for(
    thrice: Stage, status: int
) -> None:
    for _ in range(3):
        await fetched(thrice, *TAGGED)
    thrice.clock.at = NOW + 10 * GENERATION_SECONDS
    got = await fetched(thrice, *TAGGED, status=status)
    assert "min-uses" not in got.fields["cache-status"]
    assert (await thrice.get()).x_cache == "HIT"


async def test_what_has_no_validator_is_replaced_too(thrice: Stage) -> None:
    for _ in range(3):
        await fetched(thrice)
    thrice.clock.at = NOW + 10 * GENERATION_SECONDS
    await fetched(thrice)
    assert (await thrice.get()).x_cache == "HIT"


async def test_uses_long_ago_do_not_count() -> None:
    stage = Stage(Rules(min_uses=2))
    await fetched(stage)
    stage.clock.at = NOW + 2 * GENERATION_SECONDS
    assert "detail=min-uses" in (await fetched(stage)).fields["cache-status"]
    assert "stored" in (await fetched(stage)).fields["cache-status"]


async def test_what_the_store_could_not_have_answered_is_no_use(thrice: Stage) -> None:
    for _ in range(5):
        await fetched(thrice, method="POST")
    assert "detail=min-uses" in (await fetched(thrice)).fields["cache-status"]


async def test_hits_count_so_that_what_left_comes_back_at_once(thrice: Stage) -> None:
    for _ in range(3):
        await fetched(thrice)
    thrice.store.drop("http://a.example/")
    assert "stored" in (await fetched(thrice)).fields["cache-status"]


async def test_key_that_becomes_cacheable_is_shared_again_before_it_is_stored() -> None:
    stage = Stage(Rules(min_uses=9))
    await fetched(stage, ("Cache-Control", "no-store"))
    got = await fetched(stage)
    assert "detail=min-uses" in got.fields["cache-status"]
    clients = [stage.ask() for _ in range(3)]
    origin = await stage.origin.nth(3)
    await stage.until(lambda: stage.tally.collapses == 2)
    origin.replies(200, FRESH)
    assert [one.body for one in await asyncio.gather(*clients)] == [b"body"] * 3
    assert len(stage.origin.asked) == 3


async def test_what_breaks_off_says_so_and_not_that_it_was_asked_for_seldom(thrice: Stage) -> None:
    client = thrice.ask()
    body = (await thrice.origin.nth(1)).replies(200, FRESH, body=None)
    body.write(b"ha")
    body.break_off()
    assert not (await client).whole
    await thrice.quiet()
    assert thrice.tally.unstored == [Reason.INCOMPLETE]
