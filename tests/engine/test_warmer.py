"""The node asks itself as a client would, politely, and says the truth about what is stored then."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from seawall.downstream.exchange import Reply, Request, Sent
from seawall.engine.warmer import Warmed, Warmer
from seawall.http.headers import EMPTY, Headers, headers
from seawall.http.message import ResponseHead
from seawall.policy.reasons import Outcome
from seawall.policy.rules import Rules
from tests.engine.scripted import Stage
from tests.store.memory_level import MemoryLevel

FRESH = ("Cache-Control", "max-age=60")
A = "http://a.example/a"


async def go_on(_: Warmed) -> bool:
    return True


class Warm:
    """A warmer on a stage."""

    def __init__(self, stage: Stage, at_once: int = 8, most_waiting: int = 2000) -> None:
        engine = stage.engine
        self.warmer = Warmer(
            engine.handle, holds=engine.holds, clock=stage.clock, at_once=at_once, most_waiting=most_waiting
        )

    def ask(self, *urls: str, fields: Headers = EMPTY, seconds: float = 5.0) -> asyncio.Task[list[Warmed]]:
        return asyncio.create_task(self.warmer.warm(urls, fields, seconds, go_on))


@pytest.fixture
async def warm(stage: Stage) -> Warm:
    return Warm(stage)


def paths(warmed: Sequence[Warmed]) -> list[str]:
    return [each.url.removeprefix("http://a.example") for each in warmed]


async def test_what_is_warmed_is_a_hit_for_the_next_client(stage: Stage, warm: Warm) -> None:
    task = warm.ask(A)
    asked = await stage.origin.nth(1)
    assert (asked.head.url, asked.head.headers["accept-encoding"]) == (A, "gzip, br")
    asked.replies(200, FRESH, body=b"12345")
    (warmed,) = await task
    assert warmed == Warmed(A, 200, Outcome.MISS, True, "", 5, 0.0)
    assert (await stage.get("/a")).x_cache == "HIT"
    (again,) = await warm.ask(A)
    assert (again.outcome, again.stored, again.octets, len(stage.origin.asked)) == (Outcome.HIT, True, 5, 1)


async def test_requests_of_ours_are_counted_like_any_other(stage: Stage, warm: Warm) -> None:
    task = warm.ask(A)
    (await stage.origin.nth(1)).replies(200, FRESH)
    await task
    ((visit, sent),) = stage.tally.visits
    assert (visit.request.peer, visit.outcome, sent.complete, sent.body_bytes) == ("127.0.0.1", Outcome.MISS, True, 4)


async def test_other_fields_warm_another_variant(stage: Stage, warm: Warm) -> None:
    for encoding, number in (("gzip, br", 1), ("identity", 2)):
        fields = EMPTY if number == 1 else headers([("accept-encoding", encoding), ("X-Mine", "1")])
        task = warm.ask(A, fields=fields)
        asked = await stage.origin.nth(number)
        assert asked.head.headers.getall("accept-encoding") == [encoding]
        asked.replies(200, FRESH, ("Vary", "Accept-Encoding"), body=encoding.encode())
        assert [each.stored for each in await task] == [True]
    assert stage.origin.asked[1].head.headers["x-mine"] == "1"
    assert (await stage.get("/a", ("Accept-Encoding", "identity"))).body == b"identity"
    assert (await stage.get("/a", ("Accept-Encoding", "br, gzip"))).body == b"gzip, br"


@pytest.mark.parametrize(
    ("status", "fields", "outcome", "stored", "why"),
    [
        (200, [("Cache-Control", "no-store")], Outcome.MISS, False, "no-store"),
        (200, [("Cache-Control", "private")], Outcome.MISS, False, "private"),
        (200, [FRESH, ("Set-Cookie", "a=b")], Outcome.MISS, False, "set-cookie"),
        (200, [FRESH, ("Vary", "*")], Outcome.MISS, False, "vary-star"),
        (404, [FRESH], Outcome.MISS, True, ""),
        (500, [], Outcome.MISS, False, "status"),
    ],
)
async def test_what_is_not_stored_has_a_reason(
    stage: Stage,
    warm: Warm,
    status: int,
    fields: list[tuple[str, str]],
    outcome: Outcome,
    stored: bool,
    why: str,
) -> None:
    task = warm.ask(A)
    (await stage.origin.nth(1)).replies(status, *fields)
    (warmed,) = await task
    assert (warmed.status, warmed.outcome, warmed.stored, warmed.why) == (status, outcome, stored, why)


async def test_an_origin_that_is_not_there_is_told(stage: Stage, warm: Warm) -> None:
    task = warm.ask(A)
    (await stage.origin.nth(1)).fails()
    (warmed,) = await task
    assert (warmed.status, warmed.outcome, warmed.stored, warmed.why) == (502, Outcome.ERROR, False, "connect-failed")


async def test_a_body_that_breaks_off_is_not_stored(stage: Stage, warm: Warm) -> None:
    task = warm.ask(A)
    body = (await stage.origin.nth(1)).replies(200, FRESH, body=None)
    body.write(b"123")
    body.break_off()
    (warmed,) = await task
    assert (warmed.status, warmed.stored, warmed.why, warmed.octets) == (200, False, "incomplete", 3)
    assert stage.tally.visits[0][1].complete is False


async def test_what_a_purge_overtook_is_not_called_stored(stage: Stage, warm: Warm) -> None:
    task = warm.ask(A)
    body = (await stage.origin.nth(1)).replies(200, FRESH, body=None)
    body.write(b"123")
    await stage.until(lambda: body.pulled > 0)
    stage.purge(urls=(A,))
    body.end()
    (warmed,) = await task
    assert (warmed.outcome, warmed.stored, warmed.why) == (Outcome.MISS, False, "not-kept")


async def test_what_finds_no_room_is_not_called_stored() -> None:
    stage = Stage(Rules(max_object_bytes=10))
    task = Warm(stage).ask(A)
    body = (await stage.origin.nth(1)).replies(200, FRESH, body=None)
    for _ in range(5):
        body.write(b"12345")
    body.end()
    (warmed,) = await task
    assert (warmed.octets, warmed.stored, warmed.why) == (25, False, "not-kept")
    await stage.engine.close()


async def test_what_only_a_level_below_memory_holds_is_stored() -> None:
    stage = Stage(lower=[MemoryLevel(1 << 20)])
    task = Warm(stage).ask(A)
    (await stage.origin.nth(1)).replies(200, FRESH)
    assert [each.stored for each in await task] == [True]
    stage.store.drop(A)
    assert await stage.engine.holds(stage.request("/a").head)
    assert not await stage.engine.holds(stage.request("/b").head)
    await stage.engine.close()


async def test_a_stale_answer_keeps_its_reason_although_it_is_stored(stage: Stage, warm: Warm) -> None:
    first = stage.ask("/a")
    (await stage.origin.nth(1)).replies(200, ("Cache-Control", "max-age=1, stale-if-error=60"))
    await first
    await stage.quiet()
    stage.clock.at += 10
    task = warm.ask(A)
    (await stage.origin.nth(2)).replies(503)
    (warmed,) = await task
    assert (warmed.outcome, warmed.stored, warmed.why) == (Outcome.STALE, True, "stale-if-error")


async def test_a_url_of_the_other_scheme_is_not_asked_for(stage: Stage, warm: Warm) -> None:
    (warmed,) = await warm.ask("https://a.example/a")
    assert (warmed.status, warmed.why, stage.origin.asked) == (421, "scheme", [])


async def test_only_so_many_are_under_way_whoever_asks(stage: Stage) -> None:
    warm = Warm(stage, at_once=3)
    first = warm.ask(*(f"http://a.example/{number}" for number in range(5)))
    second = warm.ask(*(f"http://a.example/{number}" for number in range(5, 10)))
    for number in range(1, 11):
        asked = await stage.origin.nth(number)
        assert len(stage.origin.asked) - (number - 1) <= 3
        asked.replies(200, FRESH)
    assert paths(await first) == [f"/{number}" for number in range(5)]
    assert paths(await second) == [f"/{number}" for number in range(5, 10)]
    assert repr(warm.warmer) == "<Warmer 0/3 under way, 0/2000 not done>"


async def test_results_are_told_as_they_come_and_given_in_order(stage: Stage, warm: Warm) -> None:
    told: list[str] = []

    async def each(warmed: Warmed) -> bool:
        told.append(warmed.url)
        return True

    urls = [f"http://a.example/{number}" for number in range(3)]
    task = asyncio.create_task(warm.warmer.warm(urls, EMPTY, 5.0, each))
    await stage.origin.nth(3)
    for place in (2, 0, 1):
        url = stage.origin.asked[place].head.url
        stage.origin.asked[place].replies(200, FRESH)
        await stage.until(lambda url=url: told[-1:] == [url])  # type: ignore[misc]
    assert [warmed.url for warmed in await task] == urls


async def test_there_is_room_for_only_so_many(stage: Stage) -> None:
    warm = Warm(stage, most_waiting=3)
    assert warm.warmer.has_room(3)
    assert not warm.warmer.has_room(4)
    task = warm.ask(A, "http://a.example/b")
    asked = await stage.origin.nth(2)
    assert warm.warmer.has_room(1)
    assert not warm.warmer.has_room(2)
    stage.origin.asked[0].replies(200, FRESH)
    asked.replies(200, FRESH)
    await task
    assert warm.warmer.has_room(3)


async def test_each_has_its_own_time_out_and_its_flight_goes_on(stage: Stage, warm: Warm) -> None:
    (warmed,) = await warm.ask(A, seconds=0.01)
    assert (warmed.status, warmed.outcome, warmed.stored, warmed.why) == (None, None, False, "timeout")
    stage.origin.asked[0].replies(200, FRESH)
    await stage.quiet()
    assert (await stage.get("/a")).x_cache == "HIT"


async def test_a_time_out_in_the_middle_of_a_body_lets_go_of_it(stage: Stage, warm: Warm) -> None:
    task = warm.ask(A, seconds=0.05)
    body = (await stage.origin.nth(1)).replies(200, FRESH, body=None)
    body.write(b"123")
    (warmed,) = await task
    assert (warmed.status, warmed.stored, warmed.why, warmed.octets) == (200, False, "timeout", 3)
    assert stage.tally.visits[0][1].complete is False
    body.end()
    await stage.quiet()


async def test_closing_ends_what_is_under_way_and_what_waits(stage: Stage) -> None:
    warm = Warm(stage, at_once=1)
    task = warm.ask(A, "http://a.example/b")
    await stage.origin.nth(1)
    warm.warmer.close()
    warm.warmer.close()
    assert [(each.status, each.why) for each in await task] == [(None, "closing"), (None, "closing")]
    assert len(stage.origin.asked) == 1
    assert [each.why for each in await warm.ask(A)] == ["closing"]
    assert "closed" in repr(warm.warmer)


async def test_who_does_not_listen_any_more_ends_the_rest(stage: Stage) -> None:
    warm = Warm(stage, at_once=1)

    async def leaves(_: Warmed) -> bool:
        return False

    urls = (A, "http://a.example/b", "http://a.example/c")
    task = asyncio.create_task(warm.warmer.warm(urls, EMPTY, 5.0, leaves))
    (await stage.origin.nth(1)).replies(200, FRESH)
    assert paths(await task) == ["/a"]
    assert warm.warmer.has_room(2000)


async def test_a_caller_that_is_cancelled_gives_its_room_back(stage: Stage, warm: Warm) -> None:
    task = warm.ask(A, "http://a.example/b")
    await stage.origin.nth(2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert warm.warmer.has_room(2000)
    again = warm.ask(A)
    for asked in stage.origin.asked:
        asked.replies(200, FRESH)
    assert [each.stored for each in await again] == [True]


class Piece(bytes):
    """One that knows how many there are."""

    alive = 0

    def __del__(self) -> None:
        Piece.alive -= 1


class Long:
    """A body of a hundred pieces."""

    length = None

    def __init__(self) -> None:
        self.left, self.most_alive, self.closed = 100, 0, False

    async def read(self) -> bytes:
        if not self.left:
            return b""
        self.left -= 1
        Piece.alive += 1
        self.most_alive = max(self.most_alive, Piece.alive)
        return Piece(1000)

    def close(self) -> None:
        self.closed = True


async def test_bodies_are_not_collected(stage: Stage) -> None:
    body, done = Long(), list[Sent]()

    async def handle(_: Request) -> Reply:
        return Reply(ResponseHead(200, "OK"), body, done.append)

    warmer = Warmer(handle, holds=stage.engine.holds, clock=stage.clock)
    (warmed,) = await warmer.warm([A], EMPTY, 5.0, go_on)
    assert (warmed.octets, body.closed, done) == (100_000, True, [Sent(100_000, True)])
    assert body.most_alive <= 2
