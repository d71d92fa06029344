"""Who waits for whom: stories of flights as clients see them. Order is made with the scripted origin."""

import asyncio

import pytest

from seawall.policy.reasons import Reason
from tests.engine.scripted import NOW, Stage

FRESH = ("Cache-Control", "max-age=60")


async def test_hundred_clients_for_a_cold_key_cost_one_request(stage: Stage) -> None:
    clients = [stage.ask() for _ in range(100)]
    origin = await stage.origin.nth(1)
    await stage.until(lambda: stage.tally.collapses == 99)
    origin.replies(200, FRESH, body=b"shared")
    got = await asyncio.gather(*clients)
    assert {one.body for one in got} == {b"shared"}
    assert len(stage.origin.asked) == 1
    assert sum("collapsed" in one.fields["cache-status"] for one in got) == 99
    await stage.quiet()
    assert (await stage.get()).x_cache == "HIT"


async def test_waiters_stream_while_the_body_arrives(stage: Stage) -> None:
    opening = [asyncio.create_task(stage.open()) for _ in range(2)]
    body = (await stage.origin.nth(1)).replies(200, FRESH, body=None)
    first, second = await asyncio.gather(*opening)
    assert not isinstance(first.body, tuple)
    assert not isinstance(second.body, tuple)
    body.write(b"half")
    assert (await first.body.read(), await second.body.read()) == (b"half", b"half")
    late = await stage.open()
    assert not isinstance(late.body, tuple)
    assert await late.body.read() == b"half"
    body.end()
    assert await first.body.read() == b""
    assert len(stage.origin.asked) == 1


async def test_client_that_leaves_takes_nobody_with_it(stage: Stage) -> None:
    leader, follower = stage.ask(), stage.ask()
    origin = await stage.origin.nth(1)
    await stage.until(lambda: stage.tally.collapses == 1)
    leader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leader
    origin.replies(200, FRESH)
    assert (await follower).status == 200
    assert len(stage.origin.asked) == 1


async def test_fetch_goes_on_and_is_stored_although_its_only_client_left(stage: Stage) -> None:
    leader = stage.ask()
    origin = await stage.origin.nth(1)
    leader.cancel()
    origin.replies(200, FRESH)
    await stage.quiet()
    assert (await stage.get()).x_cache == "HIT"


async def test_answer_for_a_leader_who_left_is_closed_not_leaked(stage: Stage) -> None:
    leader = stage.ask()
    origin = await stage.origin.nth(1)
    leader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leader
    body = origin.replies(200, ("Cache-Control", "no-store"), body=None)
    await stage.quiet()
    assert body.closed


async def test_private_answer_is_never_shared_with_those_who_waited(stage: Stage) -> None:
    clients = [stage.ask("/", ("X-User", str(number))) for number in range(5)]
    first = await stage.origin.nth(1)
    await stage.until(lambda: stage.tally.collapses == 4)
    first.replies(200, ("Cache-Control", "private, max-age=60"), body=b"user 0")
    for number in range(2, 6):
        asked = await stage.origin.nth(number)
        asked.replies(200, ("Cache-Control", "private"), body=b"user " + asked.head.headers["x-user"].encode())
    got = await asyncio.gather(*clients)
    assert [one.body for one in got] == [b"user %d" % number for number in range(5)]
    assert len(stage.store) == 0


async def test_uncacheable_key_is_remembered_and_nobody_waits_again(stage: Stage) -> None:
    first = stage.ask()
    (await stage.origin.nth(1)).replies(200, ("Cache-Control", "no-store"))
    await first
    clients = [stage.ask() for _ in range(10)]
    # All ten are at the origin at the same time: had they waited for each other, the eleventh would never come.
    await stage.origin.nth(11)
    for asked in stage.origin.asked[1:]:
        asked.replies(200, ("Cache-Control", "no-store"))
    assert {one.x_cache for one in await asyncio.gather(*clients)} == {"PASS"}


async def test_remembered_key_that_becomes_cacheable_is_stored(stage: Stage) -> None:
    first = stage.ask()
    (await stage.origin.nth(1)).replies(200, ("Cache-Control", "no-store"))
    await first
    second = stage.ask()
    (await stage.origin.nth(2)).replies(200, FRESH, body=b"now for all")
    assert (await second).body == b"now for all"
    await stage.quiet()
    assert (await stage.get()).x_cache == "HIT"


async def test_failed_leader_promotes_one_waiter(stage: Stage) -> None:
    clients = [stage.ask() for _ in range(5)]
    first = await stage.origin.nth(1)
    await stage.until(lambda: stage.tally.collapses == 4)
    first.fails(Reason.RESET)
    second = await stage.origin.nth(2)
    second.replies(200, FRESH)
    got = await asyncio.gather(*clients)
    assert sorted(one.status for one in got) == [200, 200, 200, 200, 502]
    assert len(stage.origin.asked) == 2


async def test_dead_origin_is_asked_a_bounded_number_of_times_for_any_crowd(stage: Stage) -> None:
    clients = [stage.ask() for _ in range(50)]
    for number in (1, 2, 3):
        asked = await stage.origin.nth(number)
        await stage.until(lambda: sum(f.waiting for f in stage.engine._flights) >= 51 - len(stage.origin.asked))
        asked.fails()
    assert {one.status for one in await asyncio.gather(*clients)} == {502}
    assert len(stage.origin.asked) == 3


async def test_vary_is_checked_again_when_the_flight_lands(stage: Stage) -> None:
    german = stage.ask("/", ("Accept-Language", "de"))
    origin = await stage.origin.nth(1)
    english = [stage.ask("/", ("Accept-Language", "en")) for _ in range(3)]
    await stage.until(lambda: stage.tally.collapses == 3)
    origin.replies(200, FRESH, ("Vary", "Accept-Language"), body=b"hallo")
    second = await stage.origin.nth(2)
    assert second.head.headers["accept-language"] == "en"
    second.replies(200, FRESH, ("Vary", "Accept-Language"), body=b"hello")
    assert (await german).body == b"hallo"
    assert {one.body for one in await asyncio.gather(*english)} == {b"hello"}
    assert len(stage.origin.asked) == 2


async def test_of_two_fetches_of_a_variant_that_overlapped_neither_is_kept(stage: Stage) -> None:
    """Vary is unknown at the first take-off, so the same variant is fetched twice at once. Which is the newer?"""
    vary = ("Vary", "Accept-Language")
    slow = stage.ask("/", ("Accept-Language", "de"))
    older = await stage.origin.nth(1)
    stage.clock.at = NOW + 1
    english = stage.ask("/", ("Accept-Language", "en"), ("Authorization", "x"))
    (await stage.origin.nth(2)).replies(200, ("Cache-Control", "public, max-age=60"), vary, body=b"en")
    await english
    await stage.until(lambda: len(stage.store) == 1)
    quick = stage.ask("/", ("Accept-Language", "de"))
    (await stage.origin.nth(3)).replies(200, FRESH, vary, body=b"newer")
    assert (await quick).body == b"newer"
    await stage.until(lambda: len(stage.store) == 2)
    older.replies(200, FRESH, vary, body=b"older")
    assert (await slow).body == b"older"
    await stage.quiet()
    assert stage.tally.unstored == [Reason.OVERTAKEN]
    third = stage.ask("/", ("Accept-Language", "de"))
    (await stage.origin.nth(4)).replies(200, FRESH, vary, body=b"newest")
    assert (await third).body == b"newest"
    await stage.quiet()
    assert (await stage.get("/", ("Accept-Language", "de"))).x_cache == "HIT"


async def test_requests_with_authorization_do_not_wait_for_each_other(stage: Stage) -> None:
    clients = [stage.ask("/", ("Authorization", f"Bearer {number}")) for number in range(3)]
    await stage.origin.nth(3)
    for asked in stage.origin.asked:
        asked.replies(200, FRESH, body=asked.head.headers["authorization"].encode())
    assert [one.body for one in await asyncio.gather(*clients)] == [b"Bearer 0", b"Bearer 1", b"Bearer 2"]
    assert len(stage.store) == 0


async def test_truncated_answer_breaks_for_everyone_and_is_not_stored(stage: Stage) -> None:
    clients = [stage.ask() for _ in range(2)]
    body = (await stage.origin.nth(1)).replies(200, FRESH, body=None)
    body.write(b"half")
    body.break_off()
    got = await asyncio.gather(*clients)
    assert [(one.body, one.whole) for one in got] == [(b"half", False)] * 2
    await stage.quiet()
    assert len(stage.store) == 0
    assert stage.tally.unstored == [Reason.INCOMPLETE]


async def test_close_delimited_answer_is_passed_on_and_not_stored(stage: Stage) -> None:
    client = stage.ask()
    (await stage.origin.nth(1)).replies(200, FRESH, delimited=False)
    assert (await client).body == b"body"
    assert len(stage.store) == 0
    assert Reason.NOT_DELIMITED in stage.tally.unstored


async def test_stale_while_revalidate_answers_at_once_and_asks_once_in_the_background(stage: Stage) -> None:
    first = stage.ask()
    (await stage.origin.nth(1)).replies(
        200, ("Cache-Control", "max-age=60, stale-while-revalidate=30"), ("ETag", '"1"'), body=b"old"
    )
    await first
    await stage.quiet()
    stage.clock.at = NOW + 70
    got = [await stage.get() for _ in range(5)]
    assert [(one.body, one.x_cache) for one in got] == [(b"old", "STALE")] * 5
    refresh = await stage.origin.nth(2)
    assert refresh.head.headers["if-none-match"] == '"1"'
    refresh.replies(200, FRESH, body=b"new")
    await stage.quiet()
    after = await stage.get()
    assert (after.body, after.x_cache) == (b"new", "HIT")
    assert len(stage.origin.asked) == 2


async def test_stale_answer_is_given_when_the_origin_is_gone(stage: Stage) -> None:
    first = stage.ask()
    (await stage.origin.nth(1)).replies(200, FRESH, body=b"kept")
    await first
    await stage.quiet()
    stage.clock.at = NOW + 61
    second = stage.ask()
    (await stage.origin.nth(2)).fails()
    got = await second
    assert (got.body, got.x_cache, got.status) == (b"kept", "STALE", 200)
    assert "origin-unreachable" in got.fields["cache-status"]


async def test_304_refreshes_what_is_stored_and_the_client_gets_the_body(stage: Stage) -> None:
    first = stage.ask()
    (await stage.origin.nth(1)).replies(200, FRESH, ("ETag", '"1"'), body=b"same")
    await first
    await stage.quiet()
    stage.clock.at = NOW + 61
    second = stage.ask()
    asked = await stage.origin.nth(2)
    assert asked.head.headers["if-none-match"] == '"1"'
    asked.replies(304, ("Cache-Control", "max-age=100"), ("ETag", '"1"'), body=b"")
    got = await second
    assert (got.status, got.body) == (200, b"same")
    await stage.quiet()
    assert (await stage.get()).x_cache == "HIT"


async def test_object_dropped_while_its_304_was_out_is_fetched_anew(stage: Stage) -> None:
    first = stage.ask()
    (await stage.origin.nth(1)).replies(200, FRESH, ("ETag", '"1"'), body=b"purged")
    await first
    await stage.quiet()
    stage.clock.at = NOW + 61
    second = stage.ask()
    asked = await stage.origin.nth(2)
    stage.store.drop("http://a.example/")
    asked.replies(304, ("ETag", '"1"'), body=b"")
    again = await stage.origin.nth(3)
    assert "if-none-match" not in again.head.headers
    again.replies(200, FRESH, body=b"new")
    assert (await second).body == b"new"


async def test_fetch_that_an_unsafe_request_overtook_is_delivered_and_not_stored(stage: Stage) -> None:
    reader = stage.ask()
    fetch = await stage.origin.nth(1)
    writer = stage.ask(method="POST")
    (await stage.origin.nth(2)).replies(200)
    await writer
    fetch.replies(200, FRESH, body=b"before the write")
    assert (await reader).body == b"before the write"
    await stage.quiet()
    assert len(stage.store) == 0
    assert Reason.OVERTAKEN in stage.tally.unstored


async def test_request_after_an_unsafe_one_does_not_join_the_older_fetch(stage: Stage) -> None:
    reader = stage.ask()
    fetch = await stage.origin.nth(1)
    writer = stage.ask(method="DELETE")
    (await stage.origin.nth(2)).replies(204, body=b"")
    await writer
    after = stage.ask()
    (await stage.origin.nth(3)).replies(200, FRESH, body=b"after")
    assert (await after).body == b"after"
    fetch.replies(200, FRESH, body=b"before")
    assert (await reader).body == b"before"
    await stage.quiet()
    assert (await stage.get()).body == b"after"


async def test_body_larger_than_the_limit_streams_through_and_is_not_kept() -> None:
    from seawall.policy.rules import Rules

    stage = Stage(Rules(max_object_bytes=8))
    opening = asyncio.create_task(stage.open())
    body = (await stage.origin.nth(1)).replies(200, FRESH, body=None)
    for _ in range(5):
        body.write(b"xxxx")
    body.end()
    from tests.engine.scripted import finish

    got = await finish(await opening)
    assert (got.body, got.whole) == (b"xxxx" * 5, True)
    await stage.quiet()
    assert len(stage.store) == 0
    assert stage.tally.unstored == [Reason.TOO_LARGE]
    assert stage.engine._fetcher._filling.held_bytes == 0
    await stage.engine.close()


async def test_no_room_for_another_fill_means_passed_on_not_refused() -> None:
    stage = Stage(fill_budget_bytes=2)
    client = stage.ask()
    (await stage.origin.nth(1)).replies(200, FRESH, body=b"four")
    assert (await client).body == b"four"
    assert stage.tally.unstored == [Reason.NO_ROOM]
    await stage.engine.close()


async def test_visit_is_told_once_with_what_became_of_it(stage: Stage) -> None:
    client = stage.ask("/x")
    (await stage.origin.nth(1)).replies(200, FRESH, body=b"four")
    await client
    ((visit, sent),) = stage.tally.visits
    assert (visit.outcome, visit.status, visit.fwd, sent.body_bytes, sent.complete) == (
        "MISS",
        200,
        "uri-miss",
        4,
        True,
    )
