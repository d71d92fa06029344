"""Memory over lower levels: one store, in which nothing older or forgotten ever comes up."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from seawall.http.headers import headers
from seawall.policy.entry import Entry, Part
from seawall.policy.invalidate import invalidated
from seawall.store import behind as behind_module
from seawall.store import levels as module
from seawall.store.level import Forget, How, Names, Put, Reset, Stamp
from seawall.store.levels import NOTHING, Levels
from seawall.store.memory import MemoryStore
from seawall.store.stored import Stored, stored
from tests.store.scripted_level import ScriptedFiled, ScriptedLevel

KEY = "http://a/1"
ROOMY = 1 << 20


def item(version: int = 1, body: bytes = b"body", key: str = KEY, **changes: Any) -> Stored:
    entry = Entry("GET", 200, "OK", headers([("A", "1")]), (), 0, version, 0, 1000, 1000, 1000, 1000)
    return stored(key, replace(entry, **changes), (body,))


class House:
    """A store over scripted levels, with a clock and an order number of its own."""

    def __init__(self, *lower: ScriptedLevel, memory: MemoryStore | None = None, shared_seconds: float = 10.0) -> None:
        self.lower = lower
        self.now = 100.0
        self.stamp = Stamp()
        self.memory = memory if memory is not None else MemoryStore(ROOMY)
        self.overtaken: set[str] = set()
        self.levels = Levels(
            self.memory,
            lower,
            now=lambda: self.now,
            stamp=lambda: self.stamp,
            survived=lambda stamp, one: not (stamp.number < self.stamp.number and one.name in self.overtaken),
            shared_seconds=shared_seconds,
        )

    async def promoted(self, key: str = KEY) -> list[int]:
        """The versions that a request would find now, in memory or beside it."""
        promoted = await self.levels.promote(key)
        items = self.levels.get(key)
        if self.levels.stands(promoted):
            items += promoted.items
        return [int(one.entry.stored_at) for one in items]

    async def quiet(self) -> None:
        assert await self.levels.written(5)

    def in_memory(self, key: str = KEY) -> list[int]:
        return [int(one.entry.stored_at) for one in self.memory.get(key)]


async def until_reached(level: ScriptedLevel, step: str, times: int = 1) -> None:
    for _ in range(10_000):
        if level.reached[step] >= times:
            return
        await asyncio.sleep(0)
    raise AssertionError("the story never got there")


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(behind_module, "PAUSE_SECONDS", 0)


@pytest.fixture
def level() -> ScriptedLevel:
    return ScriptedLevel()


@pytest.fixture
async def house(level: ScriptedLevel) -> AsyncIterator[House]:
    house = House(level)
    yield house
    house.memory.check()
    for step in ("read", "seen", "write", "wrote"):
        level.let_go(step)
    level.mend()
    await house.levels.close(5)
    assert level.closed


def full() -> MemoryStore:
    """A memory that takes nothing in."""
    return MemoryStore(1, "noeviction")


# --- promotion ---


async def test_promotion_is_one_read_for_a_hundred_who_ask(house: House, level: ScriptedLevel) -> None:
    level.holds(item())
    level.hold("read")
    asking = [asyncio.create_task(house.levels.promote(KEY)) for _ in range(100)]
    await until_reached(level, "read")
    level.let_go("read")
    await asyncio.gather(*asking)
    assert (level.reached["read"], house.in_memory()) == (1, [1])


async def test_waiter_who_leaves_does_not_take_the_promotion_along(house: House, level: ScriptedLevel) -> None:
    level.holds(item())
    level.hold("read")
    leaving = asyncio.create_task(house.levels.promote(KEY))
    staying = asyncio.create_task(house.levels.promote(KEY))
    await until_reached(level, "read")
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    level.let_go("read")
    assert (await staying, house.in_memory(), level.reached["read"]) == (NOTHING, [1], 1)


@pytest.mark.parametrize("step", ["read", "seen"])
async def test_purge_while_a_promotion_is_under_way_holds(house: House, level: ScriptedLevel, step: str) -> None:
    level.holds(item())
    level.hold(step)
    asking = asyncio.create_task(house.promoted())
    await until_reached(level, step)
    house.levels.forget(Names(urls=(KEY,)), How.DROP, None)
    level.let_go(step)
    assert (await asking, house.in_memory()) == ([], [])


@pytest.mark.parametrize("what", ["forget", "reset", "put", "refresh", "discard"])
async def test_between_a_promotions_end_and_its_waiters_turn_nothing_old_is_kept(
    level: ScriptedLevel, what: str
) -> None:
    """What memory would not take is in the waiter's hands only, where no purge finds it."""
    house = House(level, memory=MemoryStore(1200, "noeviction"))
    other = item(7, key="http://a/other")
    assert house.memory.put(other)
    level.holds(item(body=bytes(1000)))
    level.hold("seen")
    promoting = asyncio.create_task(house.levels.promote(KEY))
    await until_reached(level, "seen")

    def act(_: object) -> None:
        assert not promoting.done()
        match what:
            case "forget":
                house.levels.forget(Names(tags=("t",)), How.DROP, None)
            case "reset":
                house.levels.reset(Stamp())
            case "put":
                house.levels.put(item(2, body=bytes(1000)))
            case "refresh":
                house.levels.refresh(other, replace(other.entry, stored_at=8))
            case "discard":
                house.levels.discard(item())

    house.levels._promotions[KEY].add_done_callback(act)
    level.let_go("seen")
    promoted = await promoting
    assert [one.entry.stored_at for one in promoted.items] == [1]
    assert not house.levels.stands(promoted)
    await house.levels.close(1)


async def test_count_ends_no_epoch(level: ScriptedLevel) -> None:
    house = House(level, memory=full())
    level.holds(item())
    promoted = await house.levels.promote(KEY)
    house.levels.forget(Names(all=True), How.COUNT, None)
    assert house.levels.stands(promoted)
    await house.levels.close(1)


async def test_promotion_puts_no_older_version_over_a_newer_one(house: House, level: ScriptedLevel) -> None:
    level.holds(item(1))
    level.hold("seen")
    asking = asyncio.create_task(house.promoted())
    await until_reached(level, "seen")
    house.memory.put(item(2))
    level.let_go("seen")
    assert (await asking, house.in_memory()) == ([2], [2])


@pytest.mark.parametrize(
    ("held", "found"),
    [
        ({"version": 2}, {"version": 1, "part": Part(0, 3, 10, "bytes=0-3")}),
        ({"version": 2, "part": Part(0, 3, 10, "bytes=0-3")}, {"version": 1}),
        ({"version": 1}, {"version": 1}),
    ],
    ids=["part under whole", "older whole under part", "the same"],
)
async def test_promotion_leaves_what_is_as_new(
    house: House, level: ScriptedLevel, held: dict[str, Any], found: dict[str, Any]
) -> None:
    stands = item(**held)
    house.memory.put(stands)
    level.holds(item(**found))
    assert await house.promoted() == [held["version"]]
    assert house.memory.get(KEY) == (stands,)


async def test_variants_and_parts_come_up_together(house: House, level: ScriptedLevel) -> None:
    level.holds(item(1, varied=(("accept", "a"),)))
    level.holds(item(2, varied=(("accept", "b"),)))
    level.holds(item(3, part=Part(0, 3, 10, "bytes=0-3")))
    assert sorted(await house.promoted()) == [1, 2, 3]


async def test_what_memory_would_not_take_is_good_for_one_look(level: ScriptedLevel) -> None:
    house = House(level, memory=full())
    level.holds(item())
    assert await house.promoted() == [1]
    assert house.in_memory() == []
    assert await house.promoted() == [1]
    assert level.reached["read"] == 2
    await house.levels.close(1)


async def test_what_an_order_is_about_does_not_come_up_from_a_level_that_has_not_heard_of_it(
    house: House, level: ScriptedLevel
) -> None:
    level.holds(item())
    house.stamp = Stamp("", 1)
    house.overtaken.add(KEY)
    assert await house.promoted() == []
    level.stamp = house.stamp
    assert await house.promoted() == [1]


@pytest.mark.parametrize("how", ["down", "hangs", "mistaken"])
async def test_level_that_breaks_is_a_miss(house: House, level: ScriptedLevel, monkeypatch: Any, how: str) -> None:
    level.holds(item())
    match how:
        case "down":
            level.break_down("read")
        case "hangs":
            monkeypatch.setattr(module, "READ_SECONDS", 0.01)
            level.hold("read")
        case "mistaken":

            async def mistaken(key: str) -> None:
                raise KeyError("a bug")

            monkeypatch.setattr(level, "read", mistaken)
    assert await house.levels.promote(KEY) == NOTHING


async def test_close_ends_promotions(level: ScriptedLevel) -> None:
    house = House(level)
    level.hold("read")
    asking = asyncio.create_task(house.levels.promote(KEY))
    await until_reached(level, "read")
    await house.levels.close(1)
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert level.closed


# --- storing ---


async def test_what_is_stored_goes_to_all_levels_and_outlives_memory(house: House, level: ScriptedLevel) -> None:
    assert house.levels.put(item())
    house.memory.drop(KEY)
    assert await house.promoted() == [1]
    await house.quiet()
    house.memory.drop(KEY)
    assert await house.promoted() == [1]


async def test_what_memory_would_not_take_replaces_what_it_holds(level: ScriptedLevel) -> None:
    house = House(level, memory=MemoryStore(1200, "noeviction"))
    assert house.levels.put(item(1))
    assert house.levels.put(item(2, body=bytes(2000)))
    assert (house.in_memory(), await house.promoted()) == ([], [2])
    await house.levels.close(1)


async def test_put_without_lower_levels_says_whether_memory_took_it() -> None:
    assert House().levels.put(item())
    assert not House(memory=full()).levels.put(item())


async def test_refresh_is_what_is_read_from_below(house: House, level: ScriptedLevel) -> None:
    old = item(1)
    house.levels.put(old)
    await house.quiet()
    level.hold("write")
    new = house.levels.refresh(house.levels.get(KEY)[0], replace(old.entry, stored_at=2))
    assert new is not None
    house.memory.drop(KEY)
    assert await house.promoted() == [2]
    level.let_go("write")
    await house.quiet()
    house.memory.drop(KEY)
    assert await house.promoted() == [2]


async def test_refresh_that_memory_has_no_room_for_is_not_lost_below(level: ScriptedLevel) -> None:
    house = House(level, memory=MemoryStore(item().cost_bytes, "noeviction"))
    house.levels.put(item(1))
    await house.quiet()
    [old] = house.levels.get(KEY)
    longer = replace(old.entry, stored_at=2, headers=headers([("A", "x" * 500)]))
    assert house.levels.refresh(old, longer) is None
    assert (house.in_memory(), await house.promoted()) == ([], [2])
    await house.quiet()
    assert await house.promoted() == [2]
    await house.levels.close(1)


async def test_refresh_does_not_revive_what_has_left(house: House, level: ScriptedLevel) -> None:
    house.levels.put(item(1))
    [old] = house.levels.get(KEY)
    house.memory.drop(KEY)
    house.levels.forget(Names(urls=(KEY,)), How.DROP, None)
    assert house.levels.refresh(old, replace(old.entry, stored_at=2)) is None
    await house.quiet()
    assert (await house.promoted(), level.objects) == ([], {})


async def test_refresh_that_varies_on_something_else_leaves_nothing_under_its_former_name(
    house: House, level: ScriptedLevel
) -> None:
    house.levels.put(item(1))
    [old] = house.levels.get(KEY)
    new = house.levels.refresh(old, replace(old.entry, stored_at=2, varied=(("accept", "a"),)))
    assert new is not None
    for _ in range(2):
        house.memory.drop(KEY)
        assert await house.promoted() == [2]
        await house.quiet()
    assert list(level.objects) == [new.name]


async def test_discard_is_for_this_one_on_every_level(house: House, level: ScriptedLevel) -> None:
    old = item(1)
    house.levels.put(old)
    house.levels.discard(old)
    assert (house.in_memory(), await house.promoted()) == ([], [])
    house.levels.put(item(2))
    house.levels.discard(old)  # by whom found it gone, when it was replaced already
    await house.quiet()
    assert (house.in_memory(), list(level.objects)) == ([2], [KEY])


async def test_put_that_an_order_overtook_is_put_again_if_memory_still_has_it(
    house: House, level: ScriptedLevel
) -> None:
    level.stamp = Stamp("", 1)
    level.hold("write")
    kept, gone = item(1), item(1, key="http://a/2")
    house.levels.put(kept)
    house.levels.put(gone)
    house.stamp = Stamp("", 1)
    house.memory.drop("http://a/2")
    level.let_go("write")
    await house.quiet()
    assert list(level.objects) == [KEY]
    assert house.levels.held()[1].lost == {"overtaken": 1}


async def test_body_that_was_to_lie_below_and_does_not_is_not_served(house: House, level: ScriptedLevel) -> None:
    level.refuses = lambda put: "full"
    filed, plain = stored(KEY, item().entry, ScriptedFiled(level, b"large")), item(key="http://a/2")
    house.levels.put(filed)
    house.levels.put(plain)
    await house.quiet()
    assert (house.in_memory(), house.in_memory("http://a/2")) == ([], [1])


async def test_body_that_was_refreshed_before_it_was_written_is_still_served(
    house: House, level: ScriptedLevel
) -> None:
    level.hold("write")
    house.levels.put(stored(KEY, item(1).entry, ScriptedFiled(level, b"large")))
    await until_reached(level, "write")
    [old] = house.levels.get(KEY)
    house.levels.refresh(old, replace(old.entry, stored_at=2))
    level.break_down("write", 1)
    level.let_go("write")
    await house.quiet()
    assert (house.in_memory(), [one.entry.stored_at for one in level.objects.values()]) == ([2], [2])


# --- forgetting ---


async def test_forgets_carry_their_stamp_and_tell_what_they_met(house: House, level: ScriptedLevel) -> None:
    level.holds(item(body=b"12345"))
    met = house.levels.forget(Names(urls=(KEY,)), How.STALE, Stamp("", 4))
    assert met is not None
    assert await met == {KEY: 5}
    assert level.stamp == Stamp("", 4)
    [op] = level.given
    assert isinstance(op, Forget)
    assert op.at == house.now


async def test_levels_that_others_share_do_not_count_as_this_nodes(level: ScriptedLevel) -> None:
    shared = ScriptedLevel(shared=True)
    assert House().levels.forget(Names(all=True), How.DROP, None) is None
    alone = House(shared)
    assert alone.levels.forget(Names(all=True), How.DROP, None) is None
    both = House(level, ScriptedLevel(shared=True))
    level.holds(item())
    both.lower[1].holds(item(key="http://a/2"))
    met = both.levels.forget(Names(all=True), How.COUNT, None)
    assert met is not None
    assert await met == {KEY: 4}
    await both.quiet()
    assert both.lower[1].done(Forget) == 0
    for house in (alone, both):
        await house.levels.close(1)


async def test_reset_reaches_every_level(house: House, level: ScriptedLevel) -> None:
    level.holds(item())
    house.levels.reset(Stamp("", 9, 1))
    promoted = await house.levels.promote(KEY)
    assert promoted == NOTHING
    assert [one.entry.invalidated for one in house.levels.get(KEY)] == [True]
    await house.quiet()
    assert (level.done(Reset), level.stamp) == (1, Stamp("", 9, 1))


# --- with a level that others write to ---


@pytest.fixture
def common() -> ScriptedLevel:
    return ScriptedLevel(shared=True)


async def test_newer_version_of_another_node_replaces_ours_when_its_time_is_over(common: ScriptedLevel) -> None:
    house = House(common)
    house.levels.put(item(1))
    [ours] = house.levels.get(KEY)
    assert ours.look_again_at == 110
    await house.quiet()
    common.holds(item(2))
    house.now = 110
    assert await house.promoted() == [2]
    [theirs] = house.levels.get(KEY)
    assert theirs.look_again_at == 120
    await house.levels.close(1)


@pytest.mark.parametrize("how", ["down", "has none", "has an older one", "has the same"])
async def test_ours_is_good_for_another_while(common: ScriptedLevel, how: str) -> None:
    house = House(common)
    house.levels.put(item(5))
    await house.quiet()
    match how:
        case "down":
            common.goes_down()
        case "has none":
            common.objects.clear()
        case "has an older one":
            common.objects[KEY] = item(4)
    house.now = 110
    assert await house.promoted() == [5]
    [ours] = house.levels.get(KEY)
    assert ours.look_again_at == 120
    house.memory.check()
    common.mend()
    await house.levels.close(1)


async def test_what_came_up_or_was_refreshed_is_looked_for_again_too(common: ScriptedLevel) -> None:
    house = House(common)
    common.holds(item(1))
    await house.promoted()
    [found] = house.levels.get(KEY)
    assert found.look_again_at == 110
    house.now = 105
    fresh = house.levels.refresh(found, replace(found.entry, stored_at=2))
    assert fresh is not None
    assert (fresh.look_again_at, house.levels.get(KEY)) == (115, (fresh,))
    await house.levels.close(1)


async def test_newer_version_that_memory_has_no_room_for_still_replaces_ours(common: ScriptedLevel) -> None:
    house = House(common, memory=MemoryStore(1200, "noeviction"))
    house.levels.put(item(1))
    await house.quiet()
    common.holds(item(2, body=bytes(2000)))
    house.now = 110
    assert (await house.promoted(), house.in_memory()) == ([2], [])
    await house.levels.close(1)


async def test_own_level_above_a_shared_one_does_not_hide_what_others_have_renewed(common: ScriptedLevel) -> None:
    own = ScriptedLevel()
    house = House(own, common)
    house.levels.put(item(1))
    await house.quiet()
    common.holds(item(2))
    house.memory.drop(KEY)
    assert await house.promoted() == [2]
    common.holds(item(3))
    house.now = 110
    reads = own.reached["read"]
    assert await house.promoted() == [3]
    assert own.reached["read"] == reads
    await house.quiet()
    assert [one.entry.stored_at for one in own.objects.values()] == [3]
    await house.levels.close(1)


async def test_of_two_levels_the_newer_version_is_served_where_memory_has_no_room(common: ScriptedLevel) -> None:
    own = ScriptedLevel()
    house = House(own, common, memory=full())
    own.holds(item(1))
    common.holds(item(2))
    assert await house.promoted() == [2]
    await house.levels.close(1)


async def test_what_is_found_below_is_written_to_the_levels_above_it_once(common: ScriptedLevel) -> None:
    own = ScriptedLevel()
    house = House(own, common, memory=full())
    common.holds(item(1))
    assert await house.promoted() == [1]
    await house.quiet()
    assert (own.done(Put), common.done(Put)) == (1, 0)
    assert await house.promoted() == [1]
    await house.quiet()
    assert (own.done(Put), common.done(Put)) == (1, 0)
    await house.levels.close(1)


async def test_purge_between_the_reads_of_two_levels_holds_for_the_first(common: ScriptedLevel) -> None:
    own = ScriptedLevel()
    house = House(own, common, memory=full())
    own.holds(item(1))
    common.hold("read")
    asking = asyncio.create_task(house.promoted())
    await until_reached(common, "read")
    house.levels.forget(Names(tags=("t",), urls=(KEY,)), How.DROP, None)
    common.let_go("read")
    assert await asking == []
    await house.levels.close(1)


async def test_a_marked_entry_stays_marked_in_memory_while_below_is_behind(house: House, level: ScriptedLevel) -> None:
    house.levels.put(item(1))
    await house.quiet()
    level.hold("write")
    house.memory.change(KEY, invalidated)
    house.levels.forget(Names(urls=(KEY,)), How.INVALIDATE, None)
    await house.promoted()
    assert [one.entry.invalidated for one in house.levels.get(KEY)] == [True]
    house.memory.drop(KEY)
    await house.promoted()
    assert [one.entry.invalidated for one in house.levels.get(KEY)] == [True]


async def test_spool_is_the_first_levels_that_takes_one_and_is_up(level: ScriptedLevel) -> None:
    second = ScriptedLevel()
    house = House(level, second)
    assert house.levels.spool() is level.spools[0]
    level.takes_spools = False
    assert house.levels.spool() is second.spools[0]
    level.takes_spools = True
    level.break_down("read", 1)
    await house.levels.promote(KEY)
    assert house.levels.spool() is second.spools[1]
    await house.levels.promote(KEY)
    assert house.levels.spool() is level.spools[1]
    await house.levels.close(1)


async def test_level_of_another_journal_is_told_of_ours_once(level: ScriptedLevel) -> None:
    level.stamp = Stamp("older", 40)
    house = House(level)
    for _ in range(3):
        await house.levels.promote(KEY)
    await house.quiet()
    assert (level.done(Reset), level.stamp.journal) == (1, "")
    await house.levels.close(1)


async def test_many_that_an_order_met_leave_a_few_in_each_turn_of_the_loop() -> None:
    house = House()
    for number in range(5 * module.AT_A_TIME):
        house.levels.put(item(key=f"{KEY}{number}"))
    items = house.memory.items()
    held = [len(items)]
    house.levels.overtake(items, None)
    held.append(len(house.memory))
    assert not any(house.levels.get(one.key) for one in items[:2] + items[-2:])
    held.append(len(house.memory))
    while house.levels.busy:
        await asyncio.sleep(0)
        held.append(len(house.memory))
    assert held[-1] == 0
    assert max(more - less for more, less in pairwise(held)) <= module.AT_A_TIME
    house.memory.check()


async def test_order_on_few_is_done_when_it_returns_and_a_closed_store_does_nothing_later() -> None:
    house = House()
    house.levels.put(item())
    house.levels.overtake(house.memory.items(), None)
    assert (len(house.memory), house.levels.busy) == (0, False)
    for number in range(3 * module.AT_A_TIME):
        house.levels.put(item(key=f"{KEY}{number}"))
    house.levels.overtake(house.memory.items(), invalidated)
    await house.levels.close(1)
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(house.memory) == 0
