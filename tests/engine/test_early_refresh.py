"""Hits that refresh before they must: who sets one off, that there is one, and that nobody notices it."""

from __future__ import annotations

import asyncio

import pytest

from seawall.policy.reasons import Reason
from seawall.policy.rules import Rules
from tests.engine.scripted import NOW, Got, Stage

FRESH = ("Cache-Control", "max-age=60")
TAGGED = (FRESH, ("ETag", '"one"'))
# How long the first fetch takes; delta from then on.
DELTA = 2.0
ALMOST = NOW + 59.0
# A draw that 1 - chance turns into -ln = 6.9: due for 13.8 s before the end, where delta is two.
LUCKY = 0.999


def stage_with(chance: float = LUCKY, beta: float = 1.0) -> Stage:
    return Stage(Rules(early_refresh=beta), chance=lambda: chance)


async def filled(stage: Stage, *fields: tuple[str, str], delta: float = DELTA) -> Stage:
    """Holds an answer that took `delta` seconds and is fresh until NOW + 60."""
    client = stage.ask()
    origin = await stage.origin.nth(1)
    stage.clock.at += delta
    origin.replies(200, *(fields or TAGGED), body=b"old")
    assert (await client).body == b"old"
    await stage.quiet()
    return stage


def set_off(got: Got) -> bool:
    return f"detail={Reason.EARLY_REFRESH}" in got.fields["cache-status"]


async def test_hundred_hits_at_once_set_off_one_refresh_and_wait_for_none() -> None:
    stage = await filled(stage_with())
    stage.clock.at = ALMOST
    got = await asyncio.gather(*(stage.get() for _ in range(100)))
    assert {(one.x_cache, one.body) for one in got} == {("HIT", b"old")}
    assert sum(map(set_off, got)) == 1
    refresh = await stage.origin.nth(2)
    assert refresh.head.headers["if-none-match"] == '"one"'
    # It is in the air: whoever comes now is served as before and sends no second one.
    assert [one.body for one in await asyncio.gather(*(stage.get() for _ in range(100)))] == [b"old"] * 100
    assert len(stage.origin.asked) == 2
    refresh.replies(200, FRESH, body=b"new")
    await stage.quiet()
    stage.clock.at = NOW + 61
    after = await stage.get()
    assert (after.x_cache, after.body) == ("HIT", b"new")
    assert len(stage.origin.asked) == 2
    await stage.engine.close()


async def test_304_makes_it_fresh_again_before_anybody_had_to_wait() -> None:
    stage = await filled(stage_with())
    stage.clock.at = ALMOST
    assert set_off(await stage.get())
    (await stage.origin.nth(2)).replies(304, *TAGGED, body=b"")
    await stage.quiet()
    got = await stage.get()
    assert (got.x_cache, got.body) == ("HIT", b"old")
    assert "ttl=60" in got.fields["cache-status"]


@pytest.mark.parametrize(
    ("chance", "beta", "delta", "at"),
    [
        (0.0, 1.0, DELTA, ALMOST),
        (LUCKY, 0.0, DELTA, ALMOST),
        (LUCKY, 1.0, 0.0, ALMOST),
        (LUCKY, 1.0, DELTA, NOW + 45),
        (1 - 2**-53, 1.0, DELTA, NOW + 39.9),
    ],
    ids=["no luck", "off", "fetched in no time", "early for this luck", "early for any luck"],
)
async def test_hit_that_sets_off_nothing(chance: float, beta: float, delta: float, at: float) -> None:
    stage = await filled(stage_with(chance, beta), delta=delta)
    stage.clock.at = at
    got = await stage.get()
    assert got.x_cache == "HIT"
    assert not set_off(got)
    assert (stage.engine.flights, len(stage.origin.asked)) == (0, 1)


async def test_nothing_is_drawn_where_the_route_does_not_ask_for_it() -> None:
    def never() -> float:
        raise AssertionError("drawn")

    stage = await filled(Stage(chance=never))
    stage.clock.at = ALMOST
    assert (await stage.get()).x_cache == "HIT"


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("HEAD", ()),
        ("GET", (("Range", "bytes=0-0"),)),
        ("GET", (("Cache-Control", "only-if-cached"),)),
        ("GET", (("Cache-Control", "no-store"),)),
    ],
)
async def test_request_that_speaks_for_itself_only_sets_off_nothing(
    method: str, fields: tuple[tuple[str, str], ...]
) -> None:
    stage = await filled(stage_with())
    stage.clock.at = ALMOST
    assert (await stage.get("/", *fields, method=method)).x_cache == "HIT"
    assert stage.engine.flights == 0
    assert set_off(await stage.get())
    await stage.engine.close()


async def test_refresh_that_fails_costs_nobody_anything_and_the_next_hit_tries_again() -> None:
    stage = await filled(stage_with())
    stage.clock.at = ALMOST
    for number in (2, 3):
        assert set_off(await stage.get())
        (await stage.origin.nth(number)).fails(Reason.RESET)
        await stage.quiet()
    got = await stage.get()
    assert (got.x_cache, got.body) == ("HIT", b"old")
    await stage.engine.close()


@pytest.mark.parametrize("status", [500, 503])
async def test_error_does_not_take_the_place_of_what_is_fresh(status: int) -> None:
    stage = await filled(stage_with())
    stage.clock.at = ALMOST
    await stage.get()
    (await stage.origin.nth(2)).replies(status, FRESH, body=b"sorry")
    await stage.quiet()
    assert (await stage.get()).body == b"old"
    await stage.engine.close()


async def test_refresh_that_a_purge_overtakes_revives_nothing() -> None:
    stage = await filled(stage_with())
    stage.clock.at = ALMOST
    await stage.get()
    refresh = await stage.origin.nth(2)
    stage.purge(all=True)
    refresh.replies(200, FRESH, body=b"asked for before the order")
    await stage.quiet()
    assert len(stage.store) == 0


async def test_304_that_a_purge_overtakes_is_asked_for_again_as_a_whole() -> None:
    stage = await filled(stage_with())
    stage.clock.at = ALMOST
    await stage.get()
    refresh = await stage.origin.nth(2)
    stage.purge(all=True)
    refresh.replies(304, *TAGGED, body=b"")
    again = await stage.origin.nth(3)
    assert "if-none-match" not in again.head.headers
    again.replies(200, FRESH, body=b"asked for after the order")
    await stage.quiet()
    assert (await stage.get()).body == b"asked for after the order"


async def test_who_comes_after_the_end_waits_for_the_refresh_that_is_under_way() -> None:
    stage = await filled(stage_with())
    stage.clock.at = ALMOST
    await stage.get()
    refresh = await stage.origin.nth(2)
    stage.clock.at = NOW + 61
    late = stage.ask()
    await stage.until(lambda: stage.tally.collapses == 1)
    refresh.replies(200, FRESH, body=b"new")
    assert (await late).body == b"new"
    assert len(stage.origin.asked) == 2


async def test_variants_are_refreshed_each_for_itself() -> None:
    stage = stage_with()
    vary = (FRESH, ("Vary", "Accept-Language"))
    for number, language in enumerate(("de", "fr"), 1):
        client = stage.ask("/", ("Accept-Language", language))
        origin = await stage.origin.nth(number)
        stage.clock.at += DELTA
        origin.replies(200, *vary, body=language.encode())
        await client
        await stage.quiet()
    stage.clock.at = ALMOST
    got = [await stage.get("/", ("Accept-Language", language)) for language in ("de", "fr", "de", "fr")]
    assert [set_off(one) for one in got] == [True, True, False, False]
    asked = [(await stage.origin.nth(number)).head.headers["accept-language"] for number in (3, 4)]
    assert asked == ["de", "fr"]
    await stage.engine.close()


async def test_parent_that_has_no_more_left_is_not_asked_over_and_over() -> None:
    """Its answer came from its store, in no time: the next draw is about that time, not about the origin's."""
    stage = Stage(Rules(early_refresh=1.0), parent_secret="s", chance=lambda: LUCKY)
    left = (("Seawall-Order", "journal 0"), ("Seawall-Fresh", "60"))
    await filled(stage, *TAGGED, *left)
    stage.clock.at = ALMOST
    assert set_off(await stage.get())
    (await stage.origin.nth(2)).replies(304, *TAGGED, left[0], ("Seawall-Fresh", "3"), body=b"")
    await stage.quiet()
    assert "ttl=3" in (await stage.get()).fields["cache-status"]
    assert stage.engine.flights == 0
