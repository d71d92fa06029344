"""Purge orders and what is under way: the stories in which other caches serve the old object again."""

from __future__ import annotations

import asyncio

import pytest

from seawall.engine import purger as purger_module
from seawall.http.headers import headers
from seawall.policy.entry import Entry
from seawall.policy.reasons import Reason
from seawall.purge.forgetter import Met
from seawall.purge.lease import Lease
from seawall.purge.selection import Selection
from seawall.store.levels import AT_A_TIME
from seawall.store.memory import MemoryStore
from seawall.store.stored import stored as keep
from tests.engine.scripted import NOW, Got, Stage, finish

FRESH = ("Cache-Control", "max-age=60")
URL = "http://a.example/"


async def stored(stage: Stage, *fields: tuple[str, str], target: str = "/", body: bytes = b"old") -> None:
    client = stage.ask(target)
    (await stage.origin.nth(len(stage.origin.asked) + 1)).replies(200, *(fields or (FRESH,)), body=body)
    await client
    await stage.quiet()


async def after(stage: Stage, body: bytes = b"new") -> Got:
    """A request that begins now, answered by the origin if it is asked."""
    number = len(stage.origin.asked) + 1
    client = stage.ask()
    await stage.until(lambda: client.done() or len(stage.origin.asked) >= number)
    if not client.done():
        stage.origin.asked[number - 1].replies(200, FRESH, body=body)
    return await client


@pytest.mark.parametrize(
    "names", [{"urls": [URL]}, {"tags": ["t"]}, {"prefixes": [URL]}, {"hosts": ["a.example"]}, {"all": True}]
)
async def test_order_before_the_head_is_here_is_not_undone_by_what_lands(
    stage: Stage, names: dict[str, object]
) -> None:
    """HAZARDS finding 6: Varnish 7.1.1 answers the purge and then stores the old object."""
    waiting = stage.ask()
    fetch = await stage.origin.nth(1)
    stage.purge(**names)
    newcomer = stage.ask()
    if "tags" in names:  # which tags a fetch brings, its landing tells; until then nobody asks twice
        await stage.until(lambda: stage.tally.collapses == 1)
    else:
        await stage.origin.nth(2)
    fetch.replies(200, FRESH, ("Surrogate-Key", "t"), body=b"old")
    assert (await waiting).body == b"old"
    (await stage.origin.nth(2)).replies(200, FRESH, ("Surrogate-Key", "t"), body=b"new")
    assert (await newcomer).body == b"new"
    await stage.quiet()
    got = await stage.get()
    assert (got.body, got.x_cache) == (b"new", "HIT")
    assert stage.tally.unstored == [Reason.OVERTAKEN]


@pytest.mark.parametrize("names", [{"urls": [URL]}, {"tags": ["t"]}])
async def test_order_in_the_middle_of_the_body_is_not_undone(stage: Stage, names: dict[str, object]) -> None:
    opening = asyncio.create_task(stage.open())
    body = (await stage.origin.nth(1)).replies(200, FRESH, ("Surrogate-Key", "t"), body=None)
    reply = await opening
    body.write(b"half")
    stage.purge(**names)
    body.write(b"half")
    body.end()
    assert (await finish(reply)).body == b"halfhalf"
    await stage.quiet()
    assert len(stage.store) == 0
    assert (await after(stage)).body == b"new"


async def test_order_by_another_tag_makes_nobody_ask_twice(stage: Stage) -> None:
    waiting = stage.ask()
    fetch = await stage.origin.nth(1)
    stage.purge(tags=["other"])
    newcomer = stage.ask()
    await stage.until(lambda: stage.tally.collapses == 1)
    fetch.replies(200, FRESH, ("Surrogate-Key", "t"), body=b"one")
    assert [(await each).body for each in (waiting, newcomer)] == [b"one", b"one"]
    assert len(stage.origin.asked) == 1


async def test_client_whom_orders_overtake_again_and_again_goes_alone_and_is_answered(stage: Stage) -> None:
    clients = [stage.ask()]
    await stage.origin.nth(1)
    clients += [stage.ask() for _ in range(3)]
    await stage.until(lambda: stage.tally.collapses == 3)
    for number in (1, 2, 3, 4):
        asked = await stage.origin.nth(number)
        if number < 4:
            left = 5 - number
            await stage.until(lambda left=left: sum(f.waiting for f in stage.engine._flights) == left)  # type: ignore[misc]
            stage.purge(tags=["t"])
        asked.replies(200, FRESH, ("Surrogate-Key", "t"), body=b"%d" % number)
    got = [await client for client in clients]
    assert {one.status for one in got} == {200}
    assert {one.body for one in got} == {b"1", b"2", b"3", b"4"}  # who leads next is nobody's promise


async def test_order_that_does_not_concern_a_fetch_leaves_it_alone(stage: Stage) -> None:
    waiting = stage.ask()
    fetch = await stage.origin.nth(1)
    stage.purge(tags=["other"])
    stage.purge(urls=["http://a.example/other"])
    fetch.replies(200, FRESH, ("Surrogate-Key", "t"))
    await waiting
    await stage.quiet()
    assert (await stage.get()).x_cache == "HIT"


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("names", [{"urls": [URL]}, {"tags": ["t"]}])
async def test_304_does_not_revive_what_was_purged_while_it_was_out(
    stage: Stage, names: dict[str, object], soft: bool
) -> None:
    await stored(stage, FRESH, ("ETag", '"1"'), ("Surrogate-Key", "t"))
    stage.clock.at = NOW + 61
    waiting = stage.ask()
    asked = await stage.origin.nth(2)
    stage.purge(soft=soft, **names)
    asked.replies(304, FRESH, ("ETag", '"1"'), body=b"")
    again = await stage.origin.nth(3)
    assert "if-none-match" not in again.head.headers
    again.replies(200, FRESH, ("Surrogate-Key", "t"), body=b"new")
    assert (await waiting).body == b"new"
    await stage.quiet()
    assert (await stage.get()).body == b"new"


async def test_purge_counts_every_variant_and_says_so_before_it_is_done(stage: Stage) -> None:
    for language in ("de", "en"):
        client = stage.ask("/", ("Accept-Language", language))
        (await stage.origin.nth(len(stage.origin.asked) + 1)).replies(
            200, FRESH, ("Vary", "Accept-Language"), body=language.encode()
        )
        await client
        await stage.quiet()
    assert stage.engine.purger.count(Selection(urls=(URL,))).matched == 2
    met = stage.purge(urls=[URL])
    assert (met.matched, met.octets) == (2, 4)
    assert len(stage.store) == 0


async def test_order_on_what_begins_with_something_holds_before_all_of_it_was_looked_at(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prefix, a host, everything, and what is named beside: each object is counted once, and after the walk."""
    many, named = 3 * AT_A_TIME, 5
    monkeypatch.setattr(purger_module, "AT_ONCE", many)
    fields = headers((FRESH,))

    def fill() -> None:
        for path in (f"a/{number}" for number in range(many)):
            entry = Entry("GET", 200, "OK", fields, (), NOW, NOW, NOW, *4 * [NOW + 60], tags=("t",))
            stage.store.put(keep(f"{URL}{path}", entry, (b"old",)))
        for number in range(named):
            entry = Entry("GET", 200, "OK", fields, (), NOW, NOW, NOW, *4 * [NOW + 60], tags=("u",))
            stage.store.put(keep(f"{URL}b/{number}", entry, (b"other",)))

    cases: list[tuple[dict[str, object], int, set[str]]] = [
        ({"prefixes": [f"{URL}a/"]}, many, {"/b/1"}),
        ({"prefixes": [f"{URL}a/"], "tags": ["t", "u"]}, many + named, set()),
        ({"prefixes": [f"{URL}b/"], "urls": [f"{URL}a/1", f"{URL}b/1"]}, named + 1, {"/a/2"}),
        ({"hosts": ["a.example"]}, many + named, set()),
        ({"all": True}, many + named, set()),
    ]
    for names, matched, left in cases:
        fill()
        for path in ("/a/2", "/b/1"):
            assert (await stage.get(path)).x_cache == "HIT"
        asked = len(stage.origin.asked)
        counting = stage.order(**names)
        assert isinstance(counting, asyncio.Future)
        assert not counting.done()
        assert len(stage.store) >= many
        for path in ("/a/2", "/b/1"):
            client = stage.ask(path)
            if path not in left:
                asked += 1
                (await stage.origin.nth(asked)).replies(200, FRESH, body=b"new")
            assert (await client).body == (b"new" if path not in left else b"old" if path == "/a/2" else b"other")
        assert (await counting).matched == matched
        await stage.quiet()
        await stage.until(lambda: not stage.levels.busy)
        for path in ("/a/2", "/b/1"):
            assert (await stage.get(path)).x_cache == "HIT"
        stage.store.check()
        stage.store.close()


async def test_counts_come_in_the_order_of_the_orders(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A feed confirms one after the other; the second of these is known first."""
    monkeypatch.setattr(purger_module, "AT_ONCE", 2)
    entry = Entry("GET", 200, "OK", headers((FRESH,)), (), NOW, NOW, NOW, *4 * [NOW + 60], tags=())
    for number in range(3 * AT_A_TIME):
        stage.store.put(keep(f"{URL}{number}", entry, (b"old",)))
    told: list[str] = []
    for name, names in (("host", {"hosts": ["a.example"]}), ("url", {"urls": [URL]}), ("all", {"all": True})):
        counting = stage.order(**names)
        assert isinstance(counting, asyncio.Future), "not before the one that came before it"
        counting.add_done_callback(lambda met, name=name: told.append(f"{name} {met.result().matched}"))
    await stage.until(lambda: len(told) == 3)
    assert told == [f"host {3 * AT_A_TIME}", "url 0", "all 0"]
    assert stage.purge(urls=[URL]).matched == 0


async def test_a_count_that_is_known_early_waits_for_those_before_it(stage: Stage) -> None:
    """As where a disk has counted for the second order, and memory is still at the first."""
    loop = asyncio.get_running_loop()
    slow, fast = loop.create_future(), loop.create_future()
    first, second = (stage.engine.purger._in_order(each) for each in (slow, fast))
    assert isinstance(first, asyncio.Future)
    assert isinstance(second, asyncio.Future)
    fast.set_result(Met(2, 2))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not second.done()
    slow.set_result(Met(1, 1))
    assert [await first, await second] == [Met(1, 1), Met(2, 2)]
    await asyncio.sleep(0)
    assert stage.engine.purger._in_order(Met(3, 3)) == Met(3, 3)


async def test_whoever_counts_is_told_what_is_known_when_a_walk_takes_too_long(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purger_module, "AT_ONCE", 2)
    monkeypatch.setattr(purger_module, "WALK_SECONDS", 0.0)
    monkeypatch.setattr(MemoryStore, "catch_up", lambda store, most: True)
    entry = Entry("GET", 200, "OK", headers((FRESH,)), (), NOW, NOW, NOW, *4 * [NOW + 60], tags=())
    for number in range(3):
        stage.store.put(keep(f"{URL}{number}", entry, (b"old",)))
    counting = stage.order(all=True)
    assert stage.store.get(f"{URL}1") == ()
    assert isinstance(counting, asyncio.Future)
    assert (await counting).matched == 1


async def test_lost_orders_make_many_stale_at_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purger_module, "AT_ONCE", 2)
    entry = Entry("GET", 200, "OK", headers((FRESH,)), (), NOW, NOW, NOW, *4 * [NOW + 60], tags=())
    for number in range(3 * AT_A_TIME):
        stage.store.put(keep(f"{URL}{number}", entry, (b"old",)))
    assert stage.engine.purger.distrust_all().matched == 3 * AT_A_TIME
    assert all(item.entry.invalidated for number in (0, 7) for item in stage.store.get(f"{URL}{number}"))
    await stage.until(lambda: not stage.levels.busy)
    assert all(item.entry.invalidated for item in stage.store.items())


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
async def test_order_that_meets_many_holds_for_all_of_them_when_it_returns(stage: Stage, soft: bool) -> None:
    """What it has to do to each is done in later turns of the loop."""
    many = 5 * AT_A_TIME
    fields = headers((FRESH, ("Surrogate-Key", "t")))
    for number in range(many):
        entry = Entry("GET", 200, "OK", fields, (), NOW, NOW, NOW, *4 * [NOW + 60], tags=("t",))
        stage.store.put(keep(f"{URL}{number}", entry, (b"old",)))
    assert (await stage.get("/7")).x_cache == "HIT"
    met = stage.purge(soft=soft, tags=["t"])
    assert (met.matched, met.octets) == (many, 3 * many)
    assert len(stage.store) >= many - AT_A_TIME
    clients = [stage.ask(f"/{number}") for number in range(0, many, 7)]
    for number in range(1, len(clients) + 1):
        (await stage.origin.nth(number)).replies(200, FRESH, ("Surrogate-Key", "t"), body=b"new")
    assert {(await client).body for client in clients} == {b"new"}
    await stage.quiet()
    await stage.until(lambda: not stage.levels.busy)
    assert len(stage.store) == (many if soft else len(clients))
    again = stage.purge(tags=["t"])
    assert again.matched == (many if soft else len(clients))


async def test_soft_purge_serves_stale_inside_the_window_and_asks_again(stage: Stage) -> None:
    await stored(stage, ("Cache-Control", "max-age=60, stale-while-revalidate=30"), ("ETag", '"1"'))
    assert stage.purge(soft=True, urls=[URL]).matched == 1
    got = await stage.get()
    assert (got.body, got.x_cache) == (b"old", "STALE")
    refresh = await stage.origin.nth(2)
    refresh.replies(200, FRESH, body=b"new")
    await stage.quiet()
    assert (await stage.get()).body == b"new"


async def test_soft_purge_without_a_window_asks_before_it_serves(stage: Stage) -> None:
    await stored(stage)
    stage.purge(soft=True, urls=[URL])
    got = await after(stage)
    assert (got.body, got.x_cache) == (b"new", "MISS")


async def test_node_without_a_lease_asks_for_everything_and_serves_nothing_unasked() -> None:
    lease = Lease(5)
    stage = Stage(lease=lease)
    lease.pinged(NOW)
    lease.echoed(NOW, 5)
    await stored(stage, FRESH, ("ETag", '"1"'))
    assert (await stage.get()).x_cache == "HIT"
    stage.clock.at = NOW + 5
    waiting = stage.ask()
    asked = await stage.origin.nth(2)
    assert asked.head.headers["if-none-match"] == '"1"'
    asked.replies(304, FRESH, ("ETag", '"1"'), body=b"")
    got = await waiting
    assert (got.status, got.body) == (200, b"old")
    assert "detail=fenced" in got.fields["cache-status"]
    # Validated, and still nobody says that it may be trusted: the next one asks too.
    again = stage.ask()
    (await stage.origin.nth(3)).replies(304, FRESH, ("ETag", '"1"'), body=b"")
    await again
    lease.pinged(stage.clock.at)
    lease.echoed(stage.clock.at, 5)
    assert (await stage.get()).x_cache == "HIT"
    await stage.engine.close()


async def test_fenced_node_whose_origin_is_gone_says_so_and_serves_nothing_old() -> None:
    lease = Lease(5)
    stage = Stage(lease=lease)
    lease.pinged(NOW)
    lease.echoed(NOW, 5)
    await stored(stage, ("Cache-Control", "max-age=60, stale-while-revalidate=600, stale-if-error=600"))
    stage.clock.at = NOW + 6
    waiting = stage.ask()
    (await stage.origin.nth(2)).fails()
    assert (await waiting).status == 502
    await stage.engine.close()


async def test_node_without_a_lease_boards_only_flights_that_took_off_after_the_request_came() -> None:
    """A frozen node comes back with a fetch from before a purge that it has not heard of."""
    lease = Lease(5)
    stage = Stage(lease=lease)
    lease.pinged(NOW)
    lease.echoed(NOW, 5)
    first = stage.ask()
    before = await stage.origin.nth(1)
    stage.clock.at = NOW + 6
    late = [stage.ask() for _ in range(3)]
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(stage.origin.asked) == 1
    before.replies(200, FRESH, body=b"old")
    assert (await first).body == b"old"
    (await stage.origin.nth(2)).replies(200, FRESH, body=b"new")
    assert {(await each).body for each in late} == {b"new"}
    assert len(stage.origin.asked) == 2
    await stage.engine.close()


# --- two tiers ---


def note(journal: str = "journal", number: int = 0, fresh: float = 60) -> list[tuple[str, str]]:
    return [("Seawall-Order", f"{journal} {number}"), ("Seawall-Fresh", str(fresh))]


async def test_answer_of_a_parent_that_is_behind_is_delivered_and_not_stored() -> None:
    """The edge has applied an order that its parent had not when it answered (HAZARDS F09)."""
    stage = Stage(parent_secret="s")
    stage.purge(urls=[URL])
    client = stage.ask()
    (await stage.origin.nth(1)).replies(200, FRESH, *note(number=0), body=b"old")
    assert (await client).body == b"old"
    await stage.quiet()
    assert stage.tally.unstored == [Reason.OVERTAKEN]
    client = stage.ask()
    (await stage.origin.nth(2)).replies(200, FRESH, *note(number=1), body=b"new")
    await client
    await stage.quiet()
    assert (await stage.get()).body == b"new"
    await stage.engine.close()


async def test_answer_of_a_parent_that_is_ahead_is_stored_and_later_purged_by_the_same_order() -> None:
    stage = Stage(parent_secret="s")
    client = stage.ask()
    (await stage.origin.nth(1)).replies(200, FRESH, *note(number=1), body=b"new")
    await client
    await stage.quiet()
    assert (await stage.get()).x_cache == "HIT"
    assert stage.purge(urls=[URL]).matched == 1
    await stage.engine.close()


async def test_stale_answer_of_a_parent_never_becomes_fresh_here() -> None:
    """FEATURES 0.1: the field's most repeated failure. Low Age, stale all the same (soft purge)."""
    stage = Stage(parent_secret="s")
    client = stage.ask()
    (await stage.origin.nth(1)).replies(200, FRESH, ("Age", "1"), *note(fresh=0), body=b"stale")
    assert (await client).body == b"stale"
    await stage.quiet()
    assert stage.tally.unstored == [Reason.PARENT_STALE]
    assert len(stage.store) == 0
    await stage.engine.close()


async def test_nothing_is_fresh_longer_here_than_it_is_at_the_parent() -> None:
    stage = Stage(parent_secret="s")
    client = stage.ask()
    (await stage.origin.nth(1)).replies(200, FRESH, *note(fresh=7))
    got = await client
    assert "seawall-order" not in got.fields
    assert "seawall-fresh" not in got.fields
    await stage.quiet()
    stage.clock.at = NOW + 6
    assert (await stage.get()).x_cache == "HIT"
    stage.clock.at = NOW + 8
    client = stage.ask()
    await stage.origin.nth(2)
    stage.origin.asked[1].replies(200, FRESH, *note())
    assert (await client).x_cache == "MISS"
    await stage.engine.close()


@pytest.mark.parametrize(
    "fields", [[], [("Seawall-Order", "journal x"), ("Seawall-Fresh", "60")], [("Seawall-Order", "journal 0")]]
)
async def test_answer_without_a_readable_note_is_not_stored(fields: list[tuple[str, str]]) -> None:
    stage = Stage(parent_secret="s")
    client = stage.ask()
    (await stage.origin.nth(1)).replies(200, FRESH, *fields)
    assert (await client).status == 200
    await stage.quiet()
    assert len(stage.store) == 0
    await stage.engine.close()


async def test_node_of_ours_is_told_tags_orders_and_freshness_and_a_stranger_is_not() -> None:
    stage = Stage(secret="right")
    await stored(stage, FRESH, ("Surrogate-Key", "a b"))
    stage.purge(tags=["other"])
    peer = await stage.get("/", ("Seawall-Peer", "right"))
    assert peer.fields["surrogate-key"] == "a b"
    assert peer.fields["seawall-order"] == "journal 1"
    assert float(peer.fields["seawall-fresh"]) == 60
    for wrong in ("wrong", ""):
        stranger = await stage.get("/", ("Seawall-Peer", wrong))
        assert not {"surrogate-key", "seawall-order", "seawall-fresh"} & set(stranger.fields)
    await stage.engine.close()


async def test_secret_goes_to_the_parent_and_what_a_client_claims_does_not() -> None:
    stage = Stage(parent_secret="up", secret="down")
    client = stage.ask("/", ("Seawall-Peer", "forged"), ("Seawall-Order", "j 9"))
    asked = await stage.origin.nth(1)
    assert asked.head.headers.getall("seawall-peer") == ["up"]
    assert "seawall-order" not in asked.head.headers
    asked.replies(200, FRESH, *note())
    await client
    await stage.engine.close()


async def test_stale_answer_tells_a_node_of_ours_that_nothing_is_left() -> None:
    stage = Stage(secret="s")
    await stored(stage, ("Cache-Control", "max-age=60, stale-while-revalidate=30"))
    stage.clock.at = NOW + 70
    got = await stage.get("/", ("Seawall-Peer", "s"))
    assert (got.x_cache, float(got.fields["seawall-fresh"])) == ("STALE", 0)
    await stage.engine.close()
