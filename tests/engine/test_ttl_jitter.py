"""Freshness shortened by chance: wherever an answer settles, by how much, and what is told about it."""

from __future__ import annotations

import pytest

from seawall.policy.rules import Rules
from tests.engine.scripted import NOW, Got, Stage

HUNDRED = ("Cache-Control", "max-age=100, stale-while-revalidate=30")
TAGGED = (HUNDRED, ("ETag", '"one"'))


def stage_with(chance: float = 0.5, share: float = 0.2, **more: str) -> Stage:
    return Stage(Rules(ttl_jitter=share), chance=lambda: chance, **more)  # type: ignore[arg-type]


async def fetched(stage: Stage, *fields: tuple[str, str], status: int = 200, target: str = "/") -> Got:
    client = stage.ask(target)
    (await stage.origin.nth(len(stage.origin.asked) + 1)).replies(status, *fields, body=b"" if status == 304 else b"b")
    got = await client
    await stage.quiet()
    return got


@pytest.mark.parametrize(("chance", "ttl"), [(0.0, 100), (0.5, 90), (0.25, 95)])
async def test_answer_is_fresh_for_less_by_chance(chance: float, ttl: int) -> None:
    stage = stage_with(chance)
    assert f"ttl={ttl}" in (await fetched(stage, *TAGGED)).fields["cache-status"]
    assert f"ttl={ttl}" in (await stage.get()).fields["cache-status"]
    stage.clock.at = NOW + ttl
    assert (await stage.get()).x_cache == "STALE"
    await stage.engine.close()


async def test_window_for_stale_responses_keeps_its_length() -> None:
    stage = stage_with()
    await fetched(stage, HUNDRED)
    stage.clock.at = NOW + 119.9
    assert (await stage.get()).x_cache == "STALE"
    (await stage.origin.nth(2)).fails()
    await stage.quiet()
    stage.clock.at = NOW + 120
    assert (await fetched(stage, HUNDRED)).x_cache == "MISS"


async def test_304_is_shortened_too() -> None:
    stage = stage_with()
    await fetched(stage, *TAGGED)
    stage.clock.at = NOW + 200
    got = await fetched(stage, *TAGGED, status=304)
    assert (got.status, got.body) == (200, b"b")
    assert "ttl=90" in got.fields["cache-status"]


async def test_those_stored_together_expire_one_by_one() -> None:
    draws = iter([0.1, 0.9, 0.4])
    stage = Stage(Rules(ttl_jitter=0.5), chance=lambda: next(draws))
    for target in ("/a", "/b", "/c"):
        await fetched(stage, HUNDRED, target=target)
    assert sorted(round(item.entry.fresh_until - NOW) for item in stage.store.items()) == [55, 80, 95]


async def test_nothing_is_drawn_where_the_route_does_not_ask_for_it() -> None:
    def never() -> float:
        raise AssertionError("drawn")

    assert "ttl=100" in (await fetched(Stage(chance=never), HUNDRED)).fields["cache-status"]


async def test_what_is_never_fresh_is_stored_as_it_was() -> None:
    stage = stage_with()
    await fetched(stage, ("Cache-Control", "max-age=0"), ("ETag", '"one"'))
    (item,) = stage.store.items()
    assert item.entry.fresh_until == NOW


async def test_parent_that_has_less_left_is_not_exceeded_and_is_shortened() -> None:
    stage = stage_with(parent_secret="s")
    got = await fetched(stage, HUNDRED, ("Seawall-Order", "journal 0"), ("Seawall-Fresh", "10"))
    assert "ttl=9" in got.fields["cache-status"]


async def test_node_that_asks_is_told_what_is_left_here() -> None:
    stage = stage_with(secret="s")
    client = stage.ask("/", ("Seawall-Peer", "s"))
    (await stage.origin.nth(1)).replies(200, HUNDRED)
    assert float((await client).fields["seawall-fresh"]) == 90.0
    await stage.quiet()


async def test_part_that_becomes_a_whole_is_shortened_too() -> None:
    stage = stage_with()
    first = stage.ask("/", ("Range", "bytes=0-1"))
    (await stage.origin.nth(1)).replies(206, *TAGGED, ("Content-Range", "bytes 0-1/4"), body=b"ab")
    await first
    await stage.quiet()
    whole = stage.ask()
    (await stage.origin.nth(2)).replies(206, *TAGGED, ("Content-Range", "bytes 2-3/4"), body=b"cd")
    got = await whole
    assert (got.status, got.body) == (200, b"abcd")
    assert "ttl=90" in got.fields["cache-status"]
    await stage.quiet()
