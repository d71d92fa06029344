"""The way down: whatever a level does, nothing comes up from it that was replaced or forgotten."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from seawall.http.headers import headers
from seawall.policy.entry import Entry, Part
from seawall.store import behind as module
from seawall.store.behind import Behind
from seawall.store.level import Forget, Found, How, LevelDown, Names, Op, Put, Reset, Stamp, Wrote
from seawall.store.memory import supersedes
from seawall.store.stored import Stored, stored
from tests.store.scripted_level import ScriptedFiled, ScriptedLevel

FRESH_UNTIL = 1000.0
KEYS = ("http://a/1", "http://a/1\ncookie", "http://b/2")


def item(key: str = KEYS[0], version: int = 1, body: bytes = b"body", **changes: Any) -> Stored:
    entry = Entry("GET", 200, "OK", headers([("A", "1")]), (), 0, version, 0, FRESH_UNTIL, 1000, 1000, 1000)
    return stored(key, replace(entry, **changes), (body,))


@dataclass
class Desk:
    """A level behind its Behind, and what was told of it."""

    level: ScriptedLevel
    behind: Behind
    refused: list[tuple[int, str]] = field(default_factory=list)
    stands: Callable[[Put], Put | None] = lambda put: None
    stamp: Stamp = field(default_factory=Stamp)

    async def read(self, key: str = KEYS[0]) -> list[int]:
        """The versions that are read."""
        found = await self.behind.read(key)
        return [int(each.entry.stored_at) for each in found.items]

    def put(self, one: Stored) -> None:
        self.behind.put(one, self.stamp)

    def forget(
        self, how: How = How.DROP, after: Stamp | None = None, **names: Any
    ) -> asyncio.Future[Mapping[str, int]]:
        return self.behind.forget(Forget(Names(**names), how, 500.0, after))

    async def quiet(self) -> None:
        assert await self.behind.flush(5)

    async def reaches(self, step: str, times: int = 1) -> None:
        await until(lambda: self.level.reached[step] >= times)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("the story never got there")


def make(level: ScriptedLevel, most_bytes: int = 1 << 20) -> Desk:
    desk: Desk

    def refused(one: Stored, why: str) -> None:
        desk.refused.append((int(one.entry.stored_at), why))

    behind = Behind(
        level,
        renewed=lambda put: desk.stands(put),
        refused=refused,
        stamp=lambda: desk.stamp,
        most_bytes=most_bytes,
    )
    desk = Desk(level, behind)
    return desk


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = make(ScriptedLevel())
    yield desk
    for step in ("read", "seen", "write", "wrote"):
        desk.level.let_go(step)
    desk.level.mend()
    await desk.behind.close(5)
    is_clean(desk.behind)


def is_clean(behind: Behind) -> None:
    """Nothing is kept of what is done."""
    assert len(behind) == 0
    assert behind.waiting_bytes == 0
    kept = (behind._puts, behind._awaited, behind._taken, behind._taken_of, behind._wide, behind._reading)
    assert [len(one) for one in kept] == [0] * len(kept)


# --- one order of events a test ---


async def test_level_that_cannot_do_much_at_once_gets_it_done_little_by_little() -> None:
    class Slow(ScriptedLevel):
        async def write(self, ops: Sequence[Op]) -> list[Wrote]:
            if len(ops) > 10:
                await super().write(ops[:10])
                raise LevelDown("no time for more")
            return await super().write(ops)

    desk = make(Slow(shared=True))
    told = [desk.forget(after=Stamp("j", number), urls=(KEYS[0],)) for number in range(1, 100)]
    await desk.quiet()
    assert all(one.done() for one in told)
    assert desk.level.stamp == Stamp("j", 99)
    assert len(desk.level.given) < 500, "most of it once"
    await desk.behind.close(5)


async def test_what_another_node_has_put_since_is_not_hidden_by_what_still_waits() -> None:
    desk = make(ScriptedLevel(shared=True))
    desk.level.hold("write")
    desk.put(item(version=1))
    assert await desk.read() == [1]
    desk.level.holds(item(version=2))
    assert await desk.read() == [2]
    desk.put(item(version=3))
    assert await desk.read() == [3]
    desk.level.let_go("write")
    await desk.behind.close(5)


async def test_what_was_put_is_read_before_and_after_it_is_written(desk: Desk) -> None:
    desk.level.hold("write")
    desk.put(item())
    assert await desk.read() == [1]
    desk.level.let_go("write")
    await desk.quiet()
    assert await desk.read() == [1]
    assert list(desk.level.objects) == [KEYS[0]]


@pytest.mark.parametrize("step", ["write", "wrote"])
async def test_forget_holds_from_the_call_on_wherever_the_level_is(desk: Desk, step: str) -> None:
    desk.level.holds(item())
    desk.level.hold(step)
    met = desk.forget(tags=(), urls=(KEYS[0],))
    assert await desk.read() == []
    await desk.reaches(step)
    assert await desk.read() == []
    desk.level.let_go(step)
    assert await met == {KEYS[0]: 4}
    assert await desk.read() == []


@pytest.mark.parametrize("step", ["read", "seen"])
@pytest.mark.parametrize("carried_out", [True, False])
async def test_read_under_way_does_not_bring_up_what_was_forgotten_meanwhile(
    desk: Desk, step: str, carried_out: bool
) -> None:
    desk.level.holds(item())
    desk.level.hold(step)
    reading = asyncio.create_task(desk.read())
    await desk.reaches(step)
    if not carried_out:
        desk.level.hold("write")
    desk.forget(all=True)
    if carried_out:
        await desk.quiet()
    desk.level.let_go(step)
    assert await reading == []


async def test_read_under_way_does_not_bring_up_what_was_replaced_meanwhile(desk: Desk) -> None:
    desk.level.holds(item(version=1))
    desk.level.hold("seen")
    reading = asyncio.create_task(desk.read())
    await desk.reaches("seen")
    desk.put(item(version=2))
    await desk.quiet()
    desk.level.let_go("seen")
    assert 1 not in await reading


@pytest.mark.parametrize(
    ("how", "fresh_until", "invalidated"),
    [(How.STALE, 500.0, False), (How.INVALIDATE, FRESH_UNTIL, True), (How.COUNT, FRESH_UNTIL, False)],
)
@pytest.mark.parametrize("pending", [True, False])
async def test_what_is_left_is_as_the_forget_leaves_it(
    desk: Desk, how: How, fresh_until: float, invalidated: bool, pending: bool
) -> None:
    desk.level.hold("write")
    if pending:
        desk.put(item())
    else:
        desk.level.holds(item())
    desk.forget(how, urls=(KEYS[0],))
    for _ in range(2):  # waiting, then done
        [found] = (await desk.behind.read(KEYS[0])).items
        assert (found.entry.fresh_until, found.entry.invalidated) == (fresh_until, invalidated)
        desk.level.let_go("write")
        await desk.quiet()


async def test_put_after_a_forget_is_not_forgotten(desk: Desk) -> None:
    desk.level.hold("write")
    desk.put(item(version=1))
    desk.forget(all=True)
    desk.put(item(version=2))
    assert await desk.read() == [2]
    desk.level.let_go("write")
    await desk.quiet()
    assert await desk.read() == [2]


async def test_reset_lets_nothing_up_without_asking(desk: Desk) -> None:
    desk.level.holds(item())
    desk.level.hold("write")
    desk.behind.reset(Stamp("j", 3, 1))
    for _ in range(2):
        [found] = (await desk.behind.read(KEYS[0])).items
        assert found.entry.invalidated
        desk.level.let_go("write")
        await desk.quiet()
    assert desk.level.stamp == Stamp("j", 3, 1)


async def test_forget_is_carried_out_although_puts_in_front_of_it_fail(desk: Desk) -> None:
    """A full disk takes no objects and may well forget some."""
    desk.level.hold("write")
    desk.level.holds(item(KEYS[2]))
    desk.put(item(KEYS[0]))
    await desk.reaches("write")
    desk.put(item(KEYS[1]))
    met = desk.forget(urls=(KEYS[2],), after=Stamp("", 7))
    desk.level.break_down("write", 2)  # whatever holds a Put
    desk.level.let_go("write")
    assert await met == {KEYS[2]: 4}
    await desk.quiet()
    assert desk.level.stamp == Stamp("", 7)
    assert desk.behind.lost == {"down": 2}
    assert desk.refused == [(1, "down"), (1, "down")]
    assert desk.level.objects == {}


async def test_forgets_reach_the_level_in_order_with_their_stamps_through_failures(desk: Desk) -> None:
    desk.level.break_down("write", 3)
    told: list[int] = []
    for number in range(1, 6):
        met = desk.forget(urls=(KEYS[0],), after=Stamp("", number))
        met.add_done_callback(lambda _, number=number: told.append(number))  # type: ignore[misc]
    await desk.quiet()
    forgets = [op.after for op in desk.level.given if isinstance(op, Forget)]
    assert forgets == [Stamp("", number) for number in range(1, 6)]
    await until(lambda: told == [1, 2, 3, 4, 5])


@pytest.mark.parametrize("at", range(4))
async def test_batch_that_tears_is_done_again_without_its_puts(desk: Desk, at: int) -> None:
    desk.level.holds(item(KEYS[2]))
    desk.level.hold("write")
    desk.put(item(KEYS[0]))
    met = desk.forget(urls=(KEYS[2],), after=Stamp("", 1))
    desk.put(item(KEYS[1]))
    desk.forget(tags=("t",), after=Stamp("", 2))
    desk.level.tears_at = at
    desk.level.let_go("write")
    await desk.quiet()
    assert (desk.level.objects, desk.level.stamp) == ({}, Stamp("", 2))
    assert met.done()


async def test_a_levels_own_mistake_loses_no_forget(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.level.holds(item())
    write = desk.level.write
    with monkeypatch.context() as patched:
        called = asyncio.Event()

        async def mistaken(ops: object) -> None:
            called.set()
            raise KeyError("a bug")

        patched.setattr(desk.level, "write", mistaken)
        met = desk.forget(all=True)
        await called.wait()
        assert desk.behind.down or not met.done()
    assert desk.level.write == write
    assert await met == {KEYS[0]: 4}
    assert not desk.behind.down


async def test_a_mistake_in_reading_is_a_level_that_is_down(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    async def mistaken(key: str) -> Found:
        raise KeyError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr(desk.level, "read", mistaken)
        with pytest.raises(LevelDown):
            await desk.read()
    assert desk.behind.down
    assert await desk.read() == []
    assert [desk.behind.down] == [False]


async def test_whole_response_that_was_lost_takes_the_parts_that_it_was_to_replace(desk: Desk) -> None:
    part = item(version=1, part=Part(0, 3, 10, "bytes=0-3"))
    desk.level.holds(part)
    desk.level.refuses = lambda put: "full"
    desk.put(item(version=2))
    assert await desk.read() == [2]
    await until(lambda: desk.behind.lost["full"] == 1)
    assert await desk.read() == []
    await desk.quiet()
    assert await desk.read() == []
    assert desk.level.objects == {}


async def test_whole_response_that_was_discarded_does_not_let_its_older_parts_up(desk: Desk) -> None:
    desk.level.holds(item(version=1, part=Part(0, 3, 10, "bytes=0-3")))
    desk.level.hold("write")
    desk.put(item(version=2))
    desk.forget(exact=(KEYS[0],))
    assert await desk.read() == []


async def test_what_waits_behind_a_batch_that_is_done_holds_for_readers(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_OPS", 1)
    desk.level.holds(item(KEYS[2]))
    desk.level.hold("write")
    desk.forget(tags=("t",))
    desk.forget(urls=(KEYS[2],))
    desk.put(item(KEYS[0]))
    await desk.reaches("write")
    desk.level.let_one_go("write")
    await desk.reaches("write", 2)
    assert (await desk.read(KEYS[2]), await desk.read(KEYS[0])) == ([], [1])


async def test_refused_put_does_not_take_away_the_newer_one_that_waits(desk: Desk) -> None:
    desk.level.refuses = lambda put: "full" if put.item.entry.stored_at == 1 else None
    desk.level.hold("write")
    desk.put(item(version=1))
    await desk.reaches("write")
    desk.put(item(version=2))
    desk.level.let_go("write")
    await desk.quiet()
    assert await desk.read() == [2]
    assert desk.level.done(Forget) == 0
    assert desk.refused == [(1, "full")]


async def test_put_that_was_overtaken_is_put_again_where_it_still_stands(desk: Desk) -> None:
    desk.level.stamp = Stamp("", 5)
    desk.stands = lambda put: Put(put.item, Stamp("", 5))
    desk.put(item())
    await desk.quiet()
    assert (await desk.read(), desk.behind.lost) == ([1], {})


@pytest.mark.parametrize("stands", [True, False])
async def test_put_that_stays_overtaken_is_lost_and_not_tried_for_ever(desk: Desk, stands: bool) -> None:
    desk.level.stamp = Stamp("", 5)
    desk.stands = lambda put: put if stands else None
    desk.put(item())
    await desk.quiet()
    assert (await desk.read(), desk.behind.lost) == ([], {"overtaken": 1})


async def test_newer_put_takes_the_waiting_ones_place_and_bytes(desk: Desk) -> None:
    desk.level.hold("write")
    desk.put(item(KEYS[2]))
    await desk.reaches("write")
    for version in range(1, 100):
        desk.put(item(version=version))
    assert (desk.behind.waiting_bytes, len(desk.behind)) == (4, 2)
    desk.level.let_go("write")
    await desk.quiet()
    assert (await desk.read(), desk.level.done(Put), desk.refused) == ([99], 2, [])


async def test_failing_reads_and_writes_are_told_apart_and_both_heal(desk: Desk) -> None:
    desk.level.break_down("read", 1)
    with pytest.raises(LevelDown):
        await desk.read()
    assert [desk.behind.down] == [True]
    desk.put(item())
    await desk.quiet()
    assert [desk.behind.down] == [True]
    await desk.read()
    assert [desk.behind.down] == [False]  # a read is enough: there may be nothing to write
    desk.level.break_down("write")
    desk.forget(all=True)
    await until(lambda: desk.behind.down)
    await desk.read()
    assert [desk.behind.down] == [True]
    desk.level.mend()
    await desk.quiet()
    assert [desk.behind.down] == [False]


async def test_level_that_failed_on_news_of_use_alone_is_asked_again(desk: Desk) -> None:
    desk.level.break_down("write", 2)
    desk.behind.used(KEYS[0])
    await until(lambda: desk.behind.down)
    await desk.quiet()
    assert not desk.behind.down


async def test_settled_waits_for_what_was_put_and_no_longer(desk: Desk) -> None:
    await desk.behind.settled(KEYS[0])
    desk.level.hold("write")
    desk.put(item())
    waiting = asyncio.create_task(desk.behind.settled(KEYS[0]))
    await desk.reaches("write")
    assert not waiting.done()
    desk.level.break_down("write", 1)
    desk.level.let_go("write")
    await waiting
    assert desk.behind.lost == {"down": 1}


# --- bounds ---


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_OPS", 8)


@pytest.mark.usefixtures("few")
async def test_more_bytes_than_may_wait_are_lost_counted_and_told() -> None:
    desk = make(ScriptedLevel(), most_bytes=10)
    desk.level.holds(item(KEYS[2], version=1))
    desk.level.hold("write")
    desk.put(item(KEYS[0], body=b"123456"))
    desk.put(item(KEYS[2], version=2, body=b"123456"))
    assert (desk.behind.waiting_bytes, desk.behind.lost) == (6, {"queue-full": 1})
    assert desk.refused == [(2, "queue-full")]
    assert await desk.read(KEYS[2]) == []
    desk.level.let_go("write")
    await desk.quiet()
    assert (await desk.read(KEYS[0]), await desk.read(KEYS[2])) == ([1], [])
    await desk.behind.close(1)


async def test_version_for_which_there_was_no_room_takes_the_older_one_that_is_under_way(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.level.hold("wrote")
    desk.put(item(version=1))
    await desk.reaches("wrote")
    monkeypatch.setattr(module, "MOST_OPS", 1)
    desk.behind.used(KEYS[2])
    desk.put(item(version=2))
    assert await desk.read() == []
    desk.level.let_go("wrote")
    await desk.quiet()
    assert (await desk.read(), desk.level.objects, desk.behind.lost) == ([], {}, {"queue-full": 1})


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("local", [True, False])
async def test_too_many_forgets_become_one_of_everything(shared: bool, local: bool) -> None:
    desk = make(ScriptedLevel(shared=shared))
    held = [item(key) for key in KEYS]
    for one in held:
        desk.level.holds(one)
    # Where others write to it too, one of them may have carried out our orders already.
    desk.level.stamp = Stamp("j", 60) if shared and local else Stamp("j", 0)
    desk.level.break_down("write")
    told: list[int] = []
    for number in range(1, 61):
        desk.stamp = Stamp("j", number)
        after = None if local else desk.stamp
        match number:
            case 1:
                met = desk.forget(after=after, exact=(KEYS[0],))
            case 2:
                met = desk.forget(after=after, urls=(KEYS[2],))
            case _:
                met = desk.forget(after=after, urls=(f"http://c/{number}",))
        met.add_done_callback(lambda _, number=number: told.append(number))  # type: ignore[misc]
        await asyncio.sleep(0)
        assert len(desk.behind) <= 2 * 8 + 3
        assert len(desk.behind._wide) + len(desk.behind._taken) <= 2 * 8 + 3

    async def is_forgotten() -> None:
        for key in (KEYS[0], KEYS[2]):
            found = await desk.behind.read(key)
            assert all(one.entry.invalidated for one in found.items)

    await is_forgotten()
    desk.level.mend()
    await desk.quiet()
    await is_forgotten()
    assert local or desk.level.stamp == Stamp("j", 60)
    await until(lambda: told == list(range(1, 61)))
    # And it is of use again.
    desk.put(item(KEYS[0], version=9))
    await desk.quiet()
    assert (await desk.read(KEYS[0]), desk.behind.lost) == ([9], {})
    await desk.behind.close(1)
    is_clean(desk.behind)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("shared", [True, False])
async def test_level_stands_at_the_newest_order_of_those_that_became_one(shared: bool) -> None:
    desk = make(ScriptedLevel(shared=shared))
    desk.level.stamp = Stamp("j", 0)
    desk.level.break_down("write")
    while not desk.level.done(Reset) and len(desk.behind) >= desk.stamp.number:
        desk.stamp = Stamp("j", desk.stamp.number + 1)
        desk.forget(after=desk.stamp, urls=(KEYS[0],))
    desk.level.mend()
    await desk.quiet()
    assert desk.level.stamp == desk.stamp
    await desk.behind.close(1)


@pytest.mark.usefixtures("few")
async def test_resets_do_not_pile_up() -> None:
    desk = make(ScriptedLevel())
    desk.level.hold("write")
    for _ in range(100):
        desk.behind.reset(Stamp())
    assert len(desk.behind) <= 2 * 8 + 1
    desk.level.let_go("write")
    await desk.behind.close(1)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("step", ["write", "wrote"])
async def test_futures_resolve_in_order_also_when_forgets_collapse_behind_a_level_that_hangs(step: str) -> None:
    desk = make(ScriptedLevel())
    desk.level.hold(step)
    told: list[int] = []
    for number in range(40):
        met = desk.forget(urls=(KEYS[0],))
        met.add_done_callback(lambda _, number=number: told.append(number))  # type: ignore[misc]
        await asyncio.sleep(0)
    assert told
    desk.level.let_go(step)
    await desk.quiet()
    await until(lambda: told == list(range(40)))
    await desk.behind.close(1)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("same_name", [True, False])
@pytest.mark.parametrize("hangs", [True, False])
@pytest.mark.parametrize("resets", [True, False])
async def test_nothing_grows_while_a_level_is_down(
    same_name: bool, hangs: bool, resets: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_OPS", 2)
    desk = make(ScriptedLevel(), most_bytes=100)
    if hangs:
        desk.level.hold("write")
    else:
        desk.level.break_down("write")
    desk.level.hold("read")
    slow = asyncio.create_task(desk.read("http://c/"))
    for number in range(500):
        desk.put(item("http://a/0" if same_name else f"http://a/{number}", number, body=bytes(40)))
        desk.behind.used("http://a/0")
        if resets:
            desk.behind.reset(Stamp("", 0))
        await asyncio.sleep(0)
        behind = desk.behind
        logs = len(behind._taken) + len(behind._wide) + sum(map(len, behind._taken_of.values()))
        assert (len(behind) <= 21, logs <= 60, behind.waiting_bytes <= 100) == (True,) * 3
        held = [given for names in behind._puts.values() for given in names.values()]
        assert len(held) <= 6
    desk.level.let_go("read")
    desk.level.let_go("write")
    desk.level.mend()
    await slow
    await desk.quiet()
    is_clean(desk.behind)
    await desk.behind.close(1)


async def test_logs_are_trimmed_when_the_last_reader_that_needs_them_is_done(desk: Desk) -> None:
    desk.level.hold("seen")
    reading = asyncio.create_task(desk.read(KEYS[2]))
    await desk.reaches("seen")
    for version in range(20):
        desk.put(item(version=version))
        desk.forget(tags=(f"t{version}",))
        await desk.quiet()
    assert len(desk.behind._wide) == 20
    desk.level.let_go("seen")
    await reading
    is_clean(desk.behind)


async def test_reader_that_was_cancelled_holds_no_log(desk: Desk) -> None:
    desk.level.hold("read")
    reading = asyncio.create_task(desk.read())
    await desk.reaches("read")
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    desk.put(item())
    desk.forget(all=True)
    await desk.quiet()
    is_clean(desk.behind)


# --- the end ---


async def test_close_writes_what_waits() -> None:
    desk = make(ScriptedLevel())
    desk.put(item())
    met = desk.forget(urls=(KEYS[2],))
    await desk.behind.close(5)
    assert (list(desk.level.objects), desk.level.closed, met.result()) == ([KEYS[0]], True, {})
    assert desk.behind.lost == {}


async def test_what_close_cannot_write_is_counted_told_and_waited_for_by_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    desk = make(ScriptedLevel())
    desk.level.hold("write")
    desk.put(item(KEYS[0]))
    first = desk.forget(urls=(KEYS[2],))
    await desk.reaches("write")
    desk.put(item(KEYS[1]))
    second = desk.forget(urls=(KEYS[2],))
    settled = asyncio.create_task(desk.behind.settled(KEYS[1]))
    flushed = asyncio.create_task(desk.behind.flush(60))
    await asyncio.sleep(0)
    await desk.behind.close(0)
    assert (first.result(), second.result()) == ({}, {})
    await asyncio.gather(settled, flushed)
    assert desk.behind.lost == {"closed": 2}
    assert "level.unwritten" in caplog.messages
    # Whoever is late is answered all the same.
    third = desk.forget(all=True)
    desk.put(item(KEYS[2]))
    desk.behind.used(KEYS[2])
    desk.behind.reset(Stamp())
    assert third.result() == {}
    assert (desk.behind.lost, desk.level.closed) == ({"closed": 3}, True)
    assert len(desk.behind) == 0


async def test_body_that_lies_below_takes_no_room_while_it_waits(desk: Desk) -> None:
    filed = ScriptedFiled(desk.level, bytes(1 << 21))
    desk.level.hold("write")
    desk.put(stored(KEYS[0], item().entry, filed))
    assert (desk.behind.waiting_bytes, desk.refused) == (0, [])


# --- any order of events ---

WHOLE, PARTED, OTHER, EXTENDED, ELSEWHERE = range(5)
THINGS: tuple[tuple[str, dict[str, Any]], ...] = (
    (KEYS[0], {}),
    (KEYS[0], {"part": Part(0, 3, 10, "bytes=0-3")}),
    (KEYS[0], {"varied": (("accept", "b"),)}),
    (KEYS[1], {}),
    (KEYS[2], {}),
)
TAGS = (("t", "u"), ("u",), ("t",), (), ("u",))
NAMES = tuple(item(key, **changes).name for key, changes in THINGS)
SELECTIONS = (
    Names(urls=("http://a/1",)),
    Names(tags=("t",)),
    Names(tags=("u", "v")),
    Names(prefixes=("http://a/",)),
    Names(all=True),
    Names(exact=(NAMES[WHOLE],)),
    Names(exact=(NAMES[PARTED], NAMES[ELSEWHERE])),
)

STEPS = st.one_of(
    st.tuples(st.just("put"), st.integers(0, len(THINGS) - 1)),
    st.tuples(st.just("put"), st.just(WHOLE)),
    st.tuples(st.just("forget"), st.sampled_from(SELECTIONS), st.sampled_from(How), st.booleans()),
    st.tuples(st.just("read"), st.sampled_from(KEYS)),
    st.tuples(st.just("read"), st.just(KEYS[0])),
    st.tuples(st.just("turn"), st.integers(1, 4)),
    st.tuples(st.just("let_one_go"), st.sampled_from(("write", "wrote"))),
    st.tuples(st.just("hold"), st.sampled_from(("read", "seen", "write", "wrote"))),
    st.tuples(st.just("let_go"), st.sampled_from(("read", "seen", "write", "wrote"))),
    st.tuples(st.just("break"), st.sampled_from(("read", "write", "wrote")), st.integers(1, 3)),
    st.tuples(st.just("tear"), st.integers(0, 3)),
    st.tuples(st.just("refuse"), st.sampled_from((None, "full", "too-large"))),
    st.tuples(st.just("reset")),
    st.tuples(st.just("overtaken")),
    st.tuples(st.just("used")),
)


@dataclass
class Stands:
    """What may be served of a name: this version, stale from then on, or only after asking."""

    what: Stored
    stale_at: float | None = None
    invalid: bool = False


class Truth:
    """What a store without levels would hold, and every story about it."""

    def __init__(self, desk: Desk, *, strict: bool) -> None:
        self.desk = desk
        self.strict = strict
        self.version = 0
        self.number = 0
        self.stands: dict[str, Stands] = {}
        self.told: list[int] = []
        self.asked = 0
        self.seen = 0
        self.reads: list[asyncio.Task[None]] = []
        desk.stands = self.renewed

    def renewed(self, put: Put) -> Put | None:
        stands = self.stands.get(put.item.name)
        untouched = stands is not None and stands.what is put.item and stands.stale_at is None and not stands.invalid
        return Put(put.item, self.desk.stamp) if untouched else None

    async def step(self, step: tuple[object, ...]) -> None:
        level, behind = self.desk.level, self.desk.behind
        match step:
            case ("put", int(which)):
                self.put(which)
            case ("forget", Names() as names, How() as how, bool(order)):
                self.forget(names, how, order=order)
            case ("read", str(key)):
                self.reads.append(asyncio.create_task(self.read(key)))
            case ("turn", int(times)):
                for _ in range(times):
                    await asyncio.sleep(0)
            case ("hold", str(what)):
                level.hold(what)
            case ("let_go", str(what)):
                level.let_go(what)
            case ("let_one_go", str(what)):
                level.let_one_go(what)
                for _ in range(4):
                    await asyncio.sleep(0)
            case ("break", str(what), int(times)):
                level.break_down(what, times)
            case ("tear", int(at)):
                level.tears_at = at
            case ("refuse", None):
                level.refuses = lambda put: None
            case ("refuse", str(word)):
                level.refuses = lambda put: word
            case ("reset",):
                self.number += 1
                self.desk.stamp = Stamp("", self.number, self.desk.stamp.generation)
                behind.reset(self.desk.stamp)
                for stands in self.stands.values():
                    stands.invalid = True
            case ("overtaken",):
                # Another process has carried out the order that we are to hear of next, and dropped more than it asks.
                if level.shared:
                    level.objects.clear()
                    level.stamp = replace(level.stamp, number=max(level.stamp.number, self.number + 1))
            case ("used",):
                behind.used(NAMES[WHOLE])

    def put(self, which: int) -> None:
        self.version += 1
        key, changes = THINGS[which]
        one = item(key, self.version, b"%d" % self.version, tags=TAGS[which], **changes)
        gone = [
            name
            for name, stands in self.stands.items()
            if stands.what.key == key and supersedes(one.entry, stands.what.entry)
        ]
        for name in gone:
            del self.stands[name]
        self.stands[one.name] = Stands(one)
        self.desk.put(one)

    def forget(self, names: Names, how: How, *, order: bool) -> None:
        after = None
        if order and how is not How.COUNT:
            self.number += 1
            after = self.desk.stamp = Stamp("", self.number)
        for name, stands in tuple(self.stands.items()):
            if names.selects(name, stands.what.key, stands.what.entry.tags):
                match how:
                    case How.DROP:
                        del self.stands[name]
                    case How.STALE:
                        stands.stale_at = 500.0
                    case How.INVALIDATE:
                        stands.invalid = True
        number = self.asked = self.asked + 1
        met = self.desk.behind.forget(Forget(names, how, 500.0, after))
        met.add_done_callback(lambda _: self.told.append(number))

    async def read(self, key: str) -> None:
        try:
            found = await self.desk.behind.read(key)
        except LevelDown:
            return
        names = [one.name for one in found.items]
        for one in found.items:
            self.check(one)
        if self.strict:
            assert len(set(names)) == len(names)
        self.seen += len(names)

    def check(self, one: Stored) -> None:
        if not self.strict and one.entry.invalidated:
            return
        stands = self.stands.get(one.name)
        assert stands is not None, f"{one!r} was forgotten"
        assert one.entry.stored_at == stands.what.entry.stored_at, f"{one!r} was replaced"
        assert one.body == stands.what.body
        assert one.entry.invalidated or not stands.invalid
        if stands.stale_at is not None:
            assert one.entry.fresh_until <= stands.stale_at

    async def end(self) -> None:
        level, behind = self.desk.level, self.desk.behind
        for step in ("read", "seen", "write", "wrote"):
            level.let_go(step)
        level.mend()
        level.tears_at = None
        level.refuses = lambda put: None
        assert await behind.flush(5)
        await asyncio.gather(*self.reads)
        for key in KEYS:
            await self.read(key)
        await until(lambda: len(self.told) == self.asked)
        assert self.told == sorted(self.told)
        is_clean(behind)
        assert sum(behind.lost.values()) == len(self.desk.refused)
        # It is of use again: whatever was lost, what is put now is there.
        self.number = max(self.number, level.stamp.number)
        self.desk.stamp = Stamp("", self.number)
        for which in (PARTED, OTHER, EXTENDED, ELSEWHERE):
            self.put(which)
            assert await behind.flush(5)
        for which in (PARTED, OTHER, EXTENDED, ELSEWHERE):
            found = await behind.read(THINGS[which][0])
            assert NAMES[which] in [one.name for one in found.items if not one.entry.invalidated]
        await behind.close(1)


@settings(max_examples=400, deadline=None)
@given(st.lists(STEPS, max_size=40), st.booleans(), st.booleans())
def test_nothing_comes_up_that_was_replaced_or_forgotten(
    steps: list[tuple[object, ...]], shared: bool, strict: bool
) -> None:
    asyncio.run(_any_order(steps, shared=shared, strict=strict))


async def _any_order(steps: list[tuple[object, ...]], *, shared: bool, strict: bool) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "BATCH_OPS", 3)
        # Where few may wait, they collapse, and what was to be forgotten may come up to be asked about.
        patched.setattr(module, "MOST_OPS", 1000 if strict else 4)
        desk = make(ScriptedLevel(shared=shared), most_bytes=1000 if strict else 6)
        truth = Truth(desk, strict=strict)
        for step in steps:
            await truth.step(step)
        await truth.end()
        event("something was read" if truth.seen else "nothing was read")
        event("collapsed" if desk.level.done(Reset) > sum(step == ("reset",) for step in steps) else "not collapsed")
