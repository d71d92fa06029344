"""Stories through the engine with a level below memory, as clients see them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest

from seawall.engine import purger
from seawall.policy.reasons import Reason
from seawall.policy.rules import DEFAULT, Rules
from seawall.purge.forgetter import Met
from seawall.purge.order import Order
from seawall.purge.selection import Selection
from seawall.store import behind
from seawall.store.disk import open_disk
from seawall.store.level import Level, Reset, Stamp, Used
from seawall.store.memory import MemoryStore
from seawall.store.stored import Stored
from tests.engine.scripted import NOW, Body, Stage
from tests.store.scripted_level import ScriptedLevel

FRESH = ("Cache-Control", "max-age=60")
TAG = ("ETag", '"1"')
IN_MEMORY = 1000
LARGE = b"0123456789" * 300
SITE = "http://a.example"


class Deep(Stage):
    """A node with one level below memory, which takes bodies of up to 1000 octets."""

    def __init__(self, level: Level, rules: Rules = DEFAULT, **how: Any) -> None:
        super().__init__(rules, lower=[level], most_in_memory=IN_MEMORY, stamped=True, **how)
        self.level = level

    async def holds_only_below(self, *targets: str) -> None:
        """Everything is written, and memory is as empty as after a restart."""
        await self.quiet()
        assert await self.levels.written(5)
        self.forget_memory()
        for target in targets:
            assert (await self.level.read(SITE + target)).items

    def forget_memory(self) -> None:
        for item in self.store.items():
            self.store.discard(item)

    async def until(self, condition: Callable[[], bool]) -> None:
        """As on every stage, and with time for the threads of a disk."""
        async with asyncio.timeout(20):
            for turn in count():
                if condition():
                    return
                await asyncio.sleep(0 if turn < 1000 else 0.001)

    async def has(self, target: str, *fields: tuple[str, str], body: bytes = b"body", **request: Any) -> None:
        """This was fetched, and now it lies below."""
        asking = asyncio.create_task(self.get(target, *request.get("fields", ())))
        (await self.origin.nth(len(self.origin.asked) + 1)).replies(200, *(fields or (FRESH,)), body=body)
        assert (await asking).body == body
        await self.holds_only_below(target)

    async def order(self, *, soft: bool = False, **names: Any) -> Met:
        """One order, as a node carries it out; how much it met."""
        applied = self.standing.applied
        what = msgspec.convert(names, Selection)
        applied.apply(Order(applied.number + 1, self.clock.at, what, soft))
        met = self.engine.purger.apply(what, soft=soft, number=applied.number)
        return met if isinstance(met, Met) else await met

    async def below(self, target: str) -> tuple[Stored, ...]:
        """What the level itself holds, once everything is written."""
        assert await self.levels.written(5)
        return (await self.level.read(SITE + target)).items

    async def close(self) -> None:
        await self.engine.close()
        await self.levels.close(5)


MakeLevel = Callable[[], Any]


@pytest.fixture(params=["scripted", "disk"])
async def level(request: pytest.FixtureRequest, tmp_path: Path) -> Level:
    if request.param == "disk":
        level: Level = await open_disk(tmp_path / "cache", size_bytes=64 << 20, whole_bytes=IN_MEMORY)
    else:
        level = ScriptedLevel(whole_bytes=IN_MEMORY)
    await level.write([Reset(Stamp("journal"))])
    return level


@pytest.fixture
async def deep(level: Level) -> AsyncIterator[Deep]:
    deep = Deep(level)
    yield deep
    await deep.quiet()
    await deep.close()


@pytest.fixture
async def scripted() -> AsyncIterator[tuple[Deep, ScriptedLevel]]:
    level = ScriptedLevel(whole_bytes=IN_MEMORY)
    level.stamp = Stamp("journal")
    deep = Deep(level)
    yield deep, level
    for step in ("read", "seen", "write", "wrote", "open", "spool.write"):
        level.let_go(step)
    level.mend()
    await deep.quiet()
    await deep.close()


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(behind, "PAUSE_SECONDS", 0)


# --- hits from below ---


@pytest.mark.parametrize("body", [b"small", LARGE, b""], ids=["small", "large", "empty"])
async def test_what_only_the_level_has_is_a_hit(deep: Deep, body: bytes) -> None:
    await deep.has("/", FRESH, body=body)
    deep.clock.at += 30
    got = await deep.get()
    assert (got.status, got.body, got.x_cache, got.fields["age"]) == (200, body, "HIT", "30")
    assert "; hit" in got.fields["cache-status"]
    assert "fwd" not in got.fields["cache-status"]
    assert (await deep.get("/", ("Cache-Control", "only-if-cached"))).body == body
    await deep.holds_only_below("/")
    assert (await deep.get("/", ("Cache-Control", "only-if-cached"))).body == body
    assert len(deep.origin.asked) == 1


async def test_only_if_cached_for_what_no_level_has_is_a_504(deep: Deep) -> None:
    assert (await deep.get("/", ("Cache-Control", "only-if-cached"))).status == 504


async def test_each_variant_is_found_below(deep: Deep) -> None:
    german, english = ("Accept-Language", "de"), ("Accept-Language", "en")
    vary = (FRESH, ("Vary", "Accept-Language"), TAG)
    await deep.has("/", *vary, body=b"Hallo", fields=[german])
    await deep.has("/", *vary, body=b"Hello", fields=[english])
    assert (await deep.get("/", german)).body == b"Hallo"
    # One of them in memory must not hide the other.
    [item] = [item for item in deep.store.items() if b"Hello" in item.body]  # type: ignore[operator]
    deep.store.discard(item)
    got = await deep.get("/", english)
    assert (got.body, got.x_cache) == (b"Hello", "HIT")
    assert len(deep.origin.asked) == 2


@pytest.mark.parametrize("body", [LARGE[:900], LARGE], ids=["in memory", "filed"])
async def test_ranges_and_conditions_are_answered_from_below(deep: Deep, body: bytes) -> None:
    await deep.has("/", FRESH, TAG, body=body)
    part = await deep.get("/", ("Range", "bytes=5-24"))
    assert (part.status, part.body, part.fields["content-range"]) == (206, body[5:25], f"bytes 5-24/{len(body)}")
    last = await deep.get("/", ("Range", "bytes=-7"))
    assert (last.status, last.body) == (206, body[-7:])
    beyond = await deep.get("/", ("Range", "bytes=5000-"))
    assert (beyond.status, beyond.fields["content-range"]) == (416, f"bytes */{len(body)}")
    same = await deep.get("/", ("If-None-Match", '"1"'))
    assert (same.status, same.body) == (304, b"")
    several = await deep.get("/", ("Range", "bytes=0-1,8-9"))
    assert several.status in (200, 206)
    assert len(deep.origin.asked) == 1


@pytest.mark.parametrize("body", [b"small", LARGE], ids=["in memory", "filed"])
async def test_head_is_answered_from_below(deep: Deep, body: bytes) -> None:
    await deep.has("/", FRESH, body=body)
    got = await deep.get(method="HEAD")
    assert (got.status, got.body, got.x_cache, got.fields["content-length"]) == (200, b"", "HIT", str(len(body)))
    assert len(deep.origin.asked) == 1


async def test_what_asks_for_no_octets_opens_no_body(scripted: tuple[Deep, ScriptedLevel]) -> None:
    deep, level = scripted
    await deep.has("/", FRESH, TAG, body=LARGE)
    await deep.get(method="HEAD")
    await deep.get("/", ("If-None-Match", '"1"'))
    await deep.get("/", ("Range", "bytes=5000-"))
    assert level.reached["open"] == 0
    await deep.get("/", ("Range", "bytes=5-9"))
    assert level.reached["open"] == 1


async def test_preconditions_that_only_the_level_can_judge_are_judged_there(deep: Deep) -> None:
    await deep.has("/", FRESH, TAG)
    got = await deep.get("/", ("If-Match", '"1"'))
    assert (got.status, got.x_cache) == (200, "HIT")


async def test_a_hundred_who_ask_cost_one_look(scripted: tuple[Deep, ScriptedLevel]) -> None:
    deep, level = scripted
    await deep.has("/")
    before = level.reached["read"]
    level.hold("read")
    asking = [deep.ask() for _ in range(100)]
    await deep.until(lambda: level.reached["read"] == before + 1)
    level.let_go("read")
    assert {(one.body, one.x_cache) for one in await asyncio.gather(*asking)} == {(b"body", "HIT")}
    assert level.reached["read"] == before + 1


async def test_who_leaves_while_the_level_is_asked_takes_nobody_along(scripted: tuple[Deep, ScriptedLevel]) -> None:
    deep, level = scripted
    await deep.has("/")
    before = level.reached["read"]
    level.hold("read")
    leaving, staying = deep.ask(), deep.ask()
    await deep.until(lambda: level.reached["read"] == before + 1)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    level.let_go("read")
    assert (await staying).x_cache == "HIT"


async def test_what_the_level_found_was_used(scripted: tuple[Deep, ScriptedLevel]) -> None:
    deep, level = scripted
    await deep.has("/")
    await deep.get()
    assert await deep.levels.written(5)
    assert level.done(Used) == 1


async def test_pass_asks_no_level(scripted: tuple[Deep, ScriptedLevel]) -> None:
    deep, level = scripted
    asking = deep.ask(method="POST")
    (await deep.origin.nth(1)).replies(200)
    await asking
    assert level.reached["read"] == 0


async def test_what_memory_has_no_room_for_is_served_from_below_each_time(level: Level) -> None:
    deep = Deep(level, memory=MemoryStore(1, "noeviction"))
    await deep.has("/", FRESH, TAG)
    for _ in range(3):
        got = await deep.get()
        assert (got.body, got.x_cache) == (b"body", "HIT")
        assert len(deep.store) == 0
    assert await deep.engine.holds(deep.request().head)
    await deep.order(urls=[f"{SITE}/"])
    assert (await deep.get("/", ("Cache-Control", "only-if-cached"))).status == 504
    await deep.close()


# --- what is forgotten ---


@pytest.mark.parametrize(
    "names",
    [{"urls": [f"{SITE}/"]}, {"tags": ["t"]}, {"prefixes": [f"{SITE}/"]}, {"hosts": ["a.example"]}, {"all": True}],
)
@pytest.mark.parametrize("body", [b"small", LARGE], ids=["small", "large"])
async def test_purge_of_what_only_the_level_has(deep: Deep, names: dict[str, Any], body: bytes) -> None:
    await deep.has("/", FRESH, ("Cache-Tag", "t"), body=body)
    counted = deep.engine.purger.count(msgspec.convert(names, Selection))
    assert not isinstance(counted, Met)
    assert await counted == Met(1, len(body))
    assert (await deep.get()).x_cache == "HIT"
    await deep.holds_only_below("/")
    assert await deep.order(**names) == Met(1, len(body))
    assert await deep.below("/") == ()
    again = deep.ask()
    (await deep.origin.nth(2)).replies(200, FRESH, body=b"new")
    assert (await again).body == b"new"


async def test_each_object_is_counted_once_over_memory_and_level(deep: Deep) -> None:
    await deep.has("/1", body=b"one")
    await deep.has("/2", body=LARGE)
    await deep.get("/1")
    await deep.get("/2")
    counted = deep.engine.purger.count(Selection(all=True))
    assert not isinstance(counted, Met)
    assert await counted == Met(2, 3 + len(LARGE))
    assert await deep.order(all=True) == Met(2, 3 + len(LARGE))


async def test_purge_while_a_look_is_under_way_holds(scripted: tuple[Deep, ScriptedLevel]) -> None:
    deep, level = scripted
    for step in ("read", "seen"):
        await deep.has("/", FRESH, body=step.encode())
        before = level.reached[step]
        level.hold(step)
        asking = deep.ask()
        await deep.until(lambda: level.reached[step] > before)  # noqa: B023
        await deep.order(urls=[f"{SITE}/"])
        level.let_go(step)
        (await deep.origin.nth(len(deep.origin.asked) + 1)).replies(200, FRESH, body=b"new")
        assert (await asking).body == b"new"
        await deep.order(urls=[f"{SITE}/"])
        await deep.quiet()


@pytest.mark.parametrize("how", ["count", "apply"])
async def test_level_that_hangs_does_not_hold_a_purge_up(
    scripted: tuple[Deep, ScriptedLevel], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    deep, level = scripted
    monkeypatch.setattr(purger, "COUNT_SECONDS", 0.01)
    await deep.has("/")
    await deep.has("/other")
    await deep.get()
    level.hold("write")
    if how == "apply":
        assert await deep.order(all=True) == Met(1, 4)  # what memory met
        assert (await deep.get("/other", ("Cache-Control", "only-if-cached"))).status == 504
    else:
        met = deep.engine.purger.count(Selection(all=True))
        assert not isinstance(met, Met)
        assert await met == Met(1, 4)
    level.let_go("write")
    assert await deep.levels.written(5)
    assert len(level.objects) == (0 if how == "apply" else 2)


async def test_receipts_come_in_the_order_of_the_orders(scripted: tuple[Deep, ScriptedLevel]) -> None:
    deep, level = scripted
    level.break_down("write", 2)
    told: list[int] = []

    async def order(number: int) -> None:
        await deep.order(urls=[f"{SITE}/{number}"])
        told.append(number)

    await asyncio.gather(*(order(number) for number in range(5)))
    assert told == list(range(5))
    assert level.stamp == Stamp("journal", 5)


async def test_unsafe_method_invalidates_what_only_the_level_has(deep: Deep) -> None:
    await deep.has("/", FRESH, TAG)
    posting = deep.ask(method="POST")
    (await deep.origin.nth(2)).replies(200)
    await posting
    for _ in range(2):
        asking = deep.ask()
        origin = await deep.origin.nth(len(deep.origin.asked) + 1)
        assert origin.head.headers["if-none-match"] == '"1"'
        origin.fails()
        assert (await asking).status == 502  # never stale without asking
        await deep.holds_only_below("/")
    asking = deep.ask()
    (await deep.origin.nth(5)).replies(304, FRESH, TAG, body=b"")
    assert (await asking).body == b"body"
    await deep.holds_only_below("/")
    assert (await deep.get()).x_cache == "HIT"


async def test_group_that_an_unsafe_method_invalidates_is_invalidated_below(deep: Deep) -> None:
    await deep.has("/", FRESH, TAG, ("Cache-Groups", '"g"'))
    posting = deep.ask("/other", method="POST")
    (await deep.origin.nth(2)).replies(200, ("Cache-Group-Invalidation", '"g"'))
    await posting
    assert (await deep.get("/", ("Cache-Control", "only-if-cached"))).status == 504


@pytest.mark.parametrize("body", [b"small", LARGE], ids=["small", "large"])
async def test_soft_purge_of_what_only_the_level_has_is_served_while_it_is_refreshed(deep: Deep, body: bytes) -> None:
    await deep.has("/", ("Cache-Control", "max-age=60, stale-while-revalidate=60"), TAG, body=body)
    deep.clock.at += 1
    assert await deep.order(soft=True, urls=[f"{SITE}/"]) == Met(1, len(body))
    got = await deep.get()
    assert (got.body, got.x_cache) == (body, "STALE")
    (await deep.origin.nth(2)).replies(304, FRESH, TAG, body=b"")
    await deep.holds_only_below("/")
    got = await deep.get()
    assert (got.body, got.x_cache) == (body, "HIT")


async def test_304_does_not_revive_what_was_purged_from_the_level_meanwhile(deep: Deep) -> None:
    await deep.has("/", ("Cache-Control", "max-age=1"), TAG, body=b"old")
    deep.clock.at += 5
    asking = deep.ask()
    origin = await deep.origin.nth(2)
    assert origin.head.headers["if-none-match"] == '"1"'
    await deep.order(urls=[f"{SITE}/"])
    origin.replies(304, FRESH, TAG, body=b"")
    (await deep.origin.nth(3)).replies(200, FRESH, body=b"new")
    assert (await asking).body == b"new"
    await deep.holds_only_below("/")
    assert (await deep.get()).body == b"new"


async def test_fetch_that_an_order_overtook_is_not_written_below(deep: Deep) -> None:
    for body in (b"small", LARGE):
        asking = deep.ask()
        arriving = (await deep.origin.nth(len(deep.origin.asked) + 1)).replies(200, FRESH, body=None)
        arriving.write(body)
        await deep.until(lambda: arriving.pulled == 1)  # noqa: B023
        await deep.order(urls=[f"{SITE}/"])
        arriving.end()
        assert (await asking).body == body
        await deep.quiet()
        assert await deep.below("/") == ()


@pytest.mark.parametrize("body", [b"small", LARGE], ids=["small", "large"])
async def test_what_was_distrusted_is_asked_about_and_then_of_use_again(deep: Deep, body: bytes) -> None:
    await deep.has("/", FRESH, TAG, body=body)
    deep.engine.purger.distrust_all()
    assert (await deep.get("/", ("Cache-Control", "only-if-cached"))).status == 504
    await deep.holds_only_below("/")
    asking = deep.ask()
    (await deep.origin.nth(2)).replies(304, FRESH, TAG, body=b"")
    assert (await asking).body == body
    await deep.holds_only_below("/")
    assert (await deep.get()).x_cache == "HIT"
    assert await deep.order(all=True) == Met(1, len(body))


async def test_refresh_is_what_the_level_has_afterwards(deep: Deep) -> None:
    await deep.has("/", ("Cache-Control", "max-age=1"), TAG, body=LARGE)
    deep.clock.at += 5
    asking = deep.ask()
    (await deep.origin.nth(2)).replies(304, FRESH, TAG, ("X-New", "1"), body=b"")
    assert (await asking).body == LARGE
    await deep.holds_only_below("/")
    got = await deep.get()
    assert (got.body, got.x_cache, got.fields["x-new"]) == (LARGE, "HIT", "1")


async def test_stale_from_below_answers_for_an_origin_that_is_down(deep: Deep) -> None:
    await deep.has("/", ("Cache-Control", "max-age=1"), TAG)
    deep.clock.at += 5
    asking = deep.ask()
    (await deep.origin.nth(2)).fails()
    got = await asking
    assert (got.body, got.x_cache) == (b"body", "STALE")


# --- bodies that lie below ---


async def test_body_too_large_for_memory_is_streamed_stored_and_served(deep: Deep) -> None:
    opening = [asyncio.create_task(deep.open()) for _ in range(3)]
    body = (await deep.origin.nth(1)).replies(200, FRESH, TAG, body=None)
    replies = await asyncio.gather(*opening)
    got = [b""] * 3
    for start in range(0, len(LARGE), 500):
        body.write(LARGE[start : start + 500])
        for number, reply in enumerate(replies[:2]):
            assert not isinstance(reply.body, tuple)
            while len(got[number]) < start + 500:
                got[number] += await reply.body.read()
    late = deep.ask()
    await deep.until(lambda: deep.tally.collapses == 3)
    body.end()
    slow = replies[2].body
    assert not isinstance(slow, tuple)
    while piece := await slow.read():
        got[2] += piece
    assert got == [LARGE] * 3
    assert (await late).body == LARGE
    await deep.quiet()
    assert deep.store.used_bytes < 3000
    assert (await deep.get()).x_cache == "HIT"
    await deep.holds_only_below("/")
    got_again = await deep.get()
    assert (got_again.body, got_again.x_cache) == (LARGE, "HIT")
    assert len(deep.origin.asked) == 1
    assert deep.engine._fetcher._filling.held_bytes == 0


async def test_range_of_a_whole_body_that_is_too_large_for_memory(deep: Deep) -> None:
    """The origin ignored the Range, and what this client wants is cut from what is arriving."""
    asking = deep.ask("/", ("Range", "bytes=1500-1509"))
    (await deep.origin.nth(1)).replies(200, FRESH, TAG, body=LARGE)
    got = await asking
    assert (got.status, got.body) == (206, LARGE[1500:1510])
    await deep.holds_only_below("/")
    assert (await deep.get()).body == LARGE


async def test_body_that_breaks_off_is_stored_nowhere(deep: Deep) -> None:
    asking = deep.ask()
    body = (await deep.origin.nth(1)).replies(200, FRESH, body=None)
    body.write(LARGE)
    body.break_off()
    got = await asking
    assert (got.whole, got.body) == (False, LARGE)
    await deep.quiet()
    assert (await deep.below("/"), deep.store.items()) == ((), [])


def remove_bodies(directory: Path) -> None:
    for file in directory.glob("**/*.val"):
        file.unlink()


async def test_body_that_is_gone_is_fetched_and_forgotten_everywhere(deep: Deep, level: Level, tmp_path: Path) -> None:
    await deep.has("/", FRESH, body=LARGE)
    assert (await deep.get()).x_cache == "HIT"  # memory knows of it
    if isinstance(level, ScriptedLevel):
        level.break_down("open", 1)
    else:
        remove_bodies(tmp_path)
    asking = deep.ask()
    (await deep.origin.nth(2)).replies(200, FRESH, body=b"new")
    got = await asking
    assert (got.body, got.x_cache) == (b"new", "MISS")
    await deep.holds_only_below("/")
    got = await deep.get()
    assert (got.body, got.x_cache) == (b"new", "HIT")


async def test_body_that_is_gone_tells_nothing_of_itself_where_the_origin_is_down(
    scripted: tuple[Deep, ScriptedLevel],
) -> None:
    deep, level = scripted
    await deep.has("/", FRESH, body=LARGE)
    level.break_down("open", 1)
    asking = deep.ask()
    (await deep.origin.nth(2)).fails()
    got = await asking
    assert (got.status, "ttl" in got.fields["cache-status"]) == (502, False)


async def test_purge_leaves_a_body_that_is_being_served_to_its_reader(deep: Deep) -> None:
    await deep.has("/", FRESH, body=LARGE)
    reply = await deep.open()
    assert not isinstance(reply.body, tuple)
    got = await reply.body.read()
    await deep.order(all=True)
    while piece := await reply.body.read():
        got += piece
    reply.body.close()
    assert got == LARGE


async def test_without_a_level_a_large_body_passes_and_is_remembered(stage: Stage) -> None:
    stage.engine._fetcher._filling.most_in_memory = IN_MEMORY
    asking = stage.ask()
    (await stage.origin.nth(1)).replies(200, FRESH, body=LARGE)
    assert (await asking).body == LARGE
    await stage.quiet()
    assert stage.store.items() == []
    together = [stage.ask(), stage.ask()]
    for number in (2, 3):  # nobody waits for what will not be kept
        (await stage.origin.nth(number)).replies(200, FRESH, body=LARGE)
    assert [one.body for one in await asyncio.gather(*together)] == [LARGE] * 2


@pytest.mark.parametrize("known", [True, False])
async def test_body_larger_than_the_route_allows_is_delivered_and_not_stored(level: Level, known: bool) -> None:
    deep = Deep(level, Rules(max_object_bytes=2000))
    asking = deep.ask()
    origin = await deep.origin.nth(1)
    body = origin.replies(200, FRESH, body=LARGE if known else None)
    if not known:
        for start in range(0, len(LARGE), 100):
            body.write(LARGE[start : start + 100])
        body.end()
    assert (await asking).body == LARGE
    await deep.quiet()
    assert (await deep.below("/"), deep.store.items(), deep.tally.unstored) == ((), [], [Reason.TOO_LARGE])
    await deep.close()


async def test_parts_and_what_is_asked_for_too_rarely_are_not_spooled(scripted: tuple[Deep, ScriptedLevel]) -> None:
    deep, level = scripted
    asking = deep.ask("/", method="GET")
    await deep.origin.nth(1)
    asking.cancel()
    part = asyncio.create_task(deep.get("/part", ("Range", "bytes=0-2999")))
    origin = await deep.origin.nth(2)
    origin.replies(206, FRESH, TAG, ("Content-Range", "bytes 0-2999/9000"), body=LARGE)
    assert (await part).body == LARGE
    assert level.spools == []
    deep.origin.asked[0].fails()


async def test_what_is_asked_for_too_rarely_is_not_spooled() -> None:
    level = ScriptedLevel(whole_bytes=IN_MEMORY)
    level.stamp = Stamp("journal")
    deep = Deep(level, Rules(min_uses=2))
    for number, spools in ((1, 0), (2, 1)):
        asking = deep.ask()
        (await deep.origin.nth(number)).replies(200, FRESH, body=LARGE)
        assert (await asking).body == LARGE
        await deep.quiet()
        assert len(level.spools) == spools
    await deep.close()


@pytest.mark.parametrize("step", ["spool.write", "spool.finish"])
@pytest.mark.parametrize("known", [True, False])
async def test_spool_that_fails_half_way_is_noticed_by_no_client(
    scripted: tuple[Deep, ScriptedLevel], step: str, known: bool
) -> None:
    deep, level = scripted
    asking = [deep.ask(), deep.ask()]
    body = Body(len(LARGE) if known else None)
    origin = await deep.origin.nth(1)
    body = origin.replies(200, FRESH, body=None)
    body.length = len(LARGE) if known else None
    for number, start in enumerate(range(0, len(LARGE), 100)):
        body.write(LARGE[start : start + 100])
        if number == 15:
            await deep.until(lambda: body.pulled == 16)
            level.break_down(step)
    body.end()
    assert [(one.body, one.whole) for one in await asyncio.gather(*asking)] == [(LARGE, True)] * 2
    await deep.quiet()
    assert (level.objects, deep.store.items(), deep.tally.unstored) == ({}, [], [Reason.NO_ROOM])
    assert level.spools[0].aborted
    level.mend()
    again = deep.ask()
    (await deep.origin.nth(2)).replies(200, FRESH, body=LARGE)
    assert (await again).body == LARGE
    assert (await deep.get()).x_cache == "HIT"


async def test_filed_body_that_the_level_refused_is_fetched_again(scripted: tuple[Deep, ScriptedLevel]) -> None:
    deep, level = scripted
    level.refuses = lambda put: "full"
    asking = deep.ask()
    (await deep.origin.nth(1)).replies(200, FRESH, body=LARGE)
    assert (await asking).body == LARGE
    await deep.quiet()
    assert await deep.levels.written(5)
    assert deep.store.items() == []
    asking = deep.ask()
    (await deep.origin.nth(2)).replies(200, FRESH, body=LARGE)
    assert (await asking).body == LARGE


# --- a level that breaks ---


async def test_level_that_is_down_is_no_error_to_anybody(scripted: tuple[Deep, ScriptedLevel]) -> None:
    deep, level = scripted
    await deep.has("/", FRESH, body=b"below")
    level.goes_down()
    for target, body in (("/", b"small"), ("/large", LARGE)):
        asking = deep.ask(target)
        (await deep.origin.nth(len(deep.origin.asked) + 1)).replies(200, FRESH, body=body)
        got = await asking
        assert (got.status, got.body, got.x_cache) == (200, body, "MISS")
    assert (await deep.get("/")).x_cache == "HIT"  # from memory
    assert (await deep.get("/", ("Cache-Control", "only-if-cached"))).status == 200
    level.mend()
    level.takes_spools = True
    assert await deep.levels.written(5)
    deep.store.drop(f"{SITE}/")
    got = await deep.get("/", ("Cache-Control", "only-if-cached"))
    assert got.body != b"below"  # that was replaced, and the level was told at last


async def test_order_that_the_level_heard_of_only_later_holds_all_the_time(
    scripted: tuple[Deep, ScriptedLevel], monkeypatch: pytest.MonkeyPatch
) -> None:
    deep, level = scripted
    monkeypatch.setattr(purger, "COUNT_SECONDS", 0)
    await deep.has("/", FRESH, body=b"old")
    level.break_down("write")
    await deep.order(urls=[f"{SITE}/"])
    for _ in range(3):
        assert (await deep.get("/", ("Cache-Control", "only-if-cached"))).status == 504
        await asyncio.sleep(0)
    level.mend()
    assert await deep.levels.written(5)
    assert (level.objects, level.stamp) == ({}, Stamp("journal", 1))


async def test_level_from_before_an_order_is_not_believed(scripted: tuple[Deep, ScriptedLevel]) -> None:
    """A directory from a backup, or a Redis that was put back: its stamp says what it has missed."""
    deep, level = scripted
    await deep.has("/", FRESH, body=b"old")
    kept, stamp = dict(level.objects), level.stamp
    await deep.order(urls=[f"{SITE}/"])
    level.objects, level.stamp = kept, stamp
    assert (await deep.get("/", ("Cache-Control", "only-if-cached"))).status == 504
    level.stamp = Stamp("another journal", 50)
    assert (await deep.get("/", ("Cache-Control", "only-if-cached"))).status == 504


# --- a level that others write to ---


async def test_newer_version_of_another_node_is_found_when_memorys_time_is_over() -> None:
    level = ScriptedLevel(shared=True)
    level.stamp = Stamp("journal")
    here, there = Deep(level), Deep(level)
    await here.has("/", ("Cache-Control", "max-age=60"), TAG, body=b"old")
    assert (await here.get()).body == b"old"
    there.clock.at += 5
    asking = there.ask("/", ("Cache-Control", "no-cache"))
    assert (await asking).body == b"old"  # clients do not force us, so:
    there.store.drop(f"{SITE}/")
    level.objects.clear()
    asking = there.ask()
    (await there.origin.nth(1)).replies(200, FRESH, body=b"new")
    await asking
    assert await there.levels.written(5)
    here.clock.at += 9
    assert (await here.get()).body == b"old"
    here.clock.at += 1
    assert (await here.get()).body == b"new"
    level.goes_down()
    here.clock.at += 10
    reads = level.reached["read"]
    assert [(await here.get()).body for _ in range(3)] == [b"new"] * 3
    assert level.reached["read"] == reads + 1
    level.mend()
    assert len(here.origin.asked) == 1
    await here.close()
    await there.close()


async def test_what_another_node_has_validated_is_not_asked_for_again() -> None:
    level = ScriptedLevel(shared=True)
    level.stamp = Stamp("journal")
    here, there = Deep(level), Deep(level)
    await here.has("/", ("Cache-Control", "max-age=5"), TAG)
    await here.get()
    await there.get()
    for node in (here, there):
        node.clock.at = NOW + 6
    asking = there.ask()
    (await there.origin.nth(1)).replies(304, FRESH, TAG, body=b"")
    assert (await asking).body == b"body"
    assert await there.levels.written(5)
    got = await here.get()
    assert (got.body, got.x_cache) == (b"body", "HIT")
    assert len(here.origin.asked) == 1
    await here.close()
    await there.close()


async def test_node_holds_what_only_a_level_has(deep: Deep) -> None:
    await deep.has("/")
    assert await deep.engine.holds(deep.request().head)
    assert not await deep.engine.holds(deep.request("/other").head)
