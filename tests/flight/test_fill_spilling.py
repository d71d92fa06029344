"""A body that is too large for memory: read from the first octet on by everyone, while it goes into a spool."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from seawall.flight.fill import Fill, FillReader, Unread
from seawall.http.body import BodyBroken
from seawall.store.level import LevelDown
from tests.store.scripted_level import ScriptedLevel


async def drain(reader: FillReader) -> bytes:
    got = b""
    while piece := await reader.read():
        got += piece
    return got


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("the story never got there")


def spilling(level: ScriptedLevel, *pieces: bytes, length: int | None = None, window_bytes: int = 1 << 20) -> Fill:
    """A fill with these pieces in memory, and a spool that has none of them yet."""
    fill = Fill(length, window_bytes=window_bytes)
    for piece in pieces:
        fill.write(piece)
    spool = level.spool()
    assert spool is not None
    fill.spill(spool)
    return fill


def in_memory(fill: Fill) -> int:
    return sum(map(len, fill._pieces))


@pytest.fixture
def level() -> ScriptedLevel:
    return ScriptedLevel()


async def test_readers_who_join_before_while_and_after_have_every_octet(level: ScriptedLevel) -> None:
    fill = Fill(None)
    before = fill.reader()
    fill.write(b"abc")
    first = await before.read()
    waiting = fill.reader()
    spool = level.spool()
    assert spool is not None
    fill.spill(spool)
    while_ = fill.reader()
    await fill.spilled()
    fill.write(b"def")
    await fill.spilled()
    after = fill.reader()
    fill.finish()
    assert fill.joinable
    late = fill.reader()
    assert first + await drain(before) == b"abcdef"
    assert [await drain(reader) for reader in (waiting, while_, after, late)] == [b"abcdef"] * 4
    assert in_memory(fill) == 0


async def test_what_lies_in_the_spool_is_not_in_memory_however_slow_a_reader_is(level: ScriptedLevel) -> None:
    fill = spilling(level)
    slow = fill.reader()
    for _ in range(100):
        fill.write(b"x" * 100)
        await fill.spilled()
        await fill.room()
        assert in_memory(fill) == 0
    fill.finish()
    assert await drain(slow) == b"x" * 10_000


async def test_what_the_spool_cannot_give_back_yet_is_read_from_memory(level: ScriptedLevel) -> None:
    level.spool_lag = 2
    fill = spilling(level, b"abc", b"def", b"ghi")
    reader = fill.reader()
    await fill.spilled()
    assert in_memory(fill) == 6
    assert await reader.read() == b"abc"
    assert level.reached["spool.read"] == 1
    assert await reader.read() == b"def"
    assert level.reached["spool.read"] == 1
    fill.write(b"jkl")
    await fill.spilled()
    assert await reader.read() == b"ghi"
    fill.finish()
    assert await drain(reader) == b"jkl"
    assert await drain(fill.reader()) == b"abcdefghijkl"
    assert fill.whole() is None  # what is left in memory is not all of it


async def test_each_piece_is_given_to_the_spool_once_and_in_order(level: ScriptedLevel) -> None:
    level.spool_lag = 1
    fill = spilling(level, b"a", b"b")
    for piece in (b"c", b"d", b"e"):
        await fill.spilled()
        fill.write(piece)
    await fill.spilled()
    assert level.spools[0].taken == [b"a", b"b", b"c", b"d", b"e"]


async def test_client_who_waits_has_a_piece_before_the_disk_has_it(level: ScriptedLevel) -> None:
    fill = spilling(level)
    level.hold("spool.write")
    reading = asyncio.create_task(fill.reader().read())
    await asyncio.sleep(0)
    fill.write(b"now")
    writing = asyncio.create_task(fill.spilled())
    assert await reading == b"now"
    assert not writing.done()
    level.let_go("spool.write")
    await writing


async def test_narrowed_reader_jumps_in_the_spool_and_reads_no_more_than_its_range(level: ScriptedLevel) -> None:
    fill = spilling(level, *(b"%03d" % number for number in range(100)), length=300)
    await fill.spilled()
    seat = fill.reader()
    seat.narrow(149, 156)  # ...049 050 051...
    assert seat.length == 7
    asked: list[tuple[int, int]] = []
    spool = level.spools[0]
    read = spool.read

    async def watched(at: int, most: int) -> bytes:
        asked.append((at, most))
        return await read(at, most)

    spool.read = watched  # type: ignore[method-assign]
    assert await drain(seat) == b"9050051"
    assert asked == [(149, 7)]


async def test_range_that_begins_in_the_spool_ends_in_memory(level: ScriptedLevel) -> None:
    level.spool_lag = 1
    fill = spilling(level, b"abc", b"def", length=9)
    reader = fill.reader(1, 8)
    await fill.spilled()
    fill.write(b"ghi")
    assert await drain(reader) == b"bcdefgh"
    behind = fill.reader(7, 9)
    assert await drain(behind) == b"hi"


@pytest.mark.parametrize("written", [0, 1, 2])
async def test_spool_that_cannot_be_written_costs_no_client_an_octet(level: ScriptedLevel, written: int) -> None:
    fill = spilling(level, window_bytes=3)
    slow, quick = fill.reader(), fill.reader()
    got = b""
    for number in range(3):
        if number == written:
            level.break_down("spool.write")
        fill.write(b"%03d" % number)
        got += await quick.read()
        if number >= written:
            with pytest.raises(LevelDown):
                await fill.spilled()
            break
        await fill.spilled()
    fill.forget()
    assert not fill.joinable
    fill.write(b"end")
    room = asyncio.create_task(fill.room())
    fill.finish()
    assert got + await drain(quick) == b"".join(b"%03d" % number for number in range(written + 1)) + b"end"
    assert await drain(slow) == got + b"end"
    slow.close()
    quick.close()
    await asyncio.wait([room])
    assert fill.whole() is None


async def test_passing_on_from_a_spool_holds_the_writer_at_the_window_and_lets_it_go(level: ScriptedLevel) -> None:
    fill = spilling(level, b"o" * 50, window_bytes=6)
    slow, quick = fill.reader(), fill.reader()
    await fill.spilled()
    fill.forget()
    await fill.room()  # what lies in the spool takes no memory
    for piece in (b"aaa", b"bbb", b"ccc"):
        fill.write(piece)
    room = asyncio.create_task(fill.room())
    assert await quick.read() + await quick.read() == b"o" * 50 + b"aaa"
    await asyncio.sleep(0)
    assert not room.done()
    assert await slow.read() == b"o" * 50
    await asyncio.sleep(0)
    assert not room.done()
    assert await slow.read() == b"aaa"
    await room
    assert in_memory(fill) == 6
    slow.close()
    quick.close()
    with pytest.raises(Unread):
        await fill.room()


async def test_spool_that_cannot_be_read_breaks_only_who_is_behind(level: ScriptedLevel) -> None:
    fill = spilling(level, b"abc")
    quick, slow = fill.reader(), fill.reader()
    assert await quick.read() == b"abc"
    await fill.spilled()
    level.break_down("spool.read")
    with pytest.raises(BodyBroken):
        await slow.read()
    fill.write(b"def")
    fill.finish()
    assert await drain(quick) == b"def"


async def test_spool_that_lost_what_was_written_breaks_and_does_not_spin(
    level: ScriptedLevel, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill = spilling(level, b"abc")
    await fill.spilled()

    async def nothing(at: int, most: int) -> bytes:
        return b""

    monkeypatch.setattr(level.spools[0], "read", nothing)
    with pytest.raises(BodyBroken):
        await fill.reader().read()


async def test_broken_body_gives_what_came_also_from_the_spool(level: ScriptedLevel) -> None:
    fill = spilling(level, b"abc", b"def")
    reader = fill.reader()
    await fill.spilled()
    fill.fail("the origin hung up")
    assert await reader.read() == b"abcdef"
    with pytest.raises(BodyBroken, match="the origin hung up"):
        await reader.read()


async def test_cancelled_read_of_the_spool_can_be_made_again(level: ScriptedLevel) -> None:
    fill = spilling(level, b"abc")
    await fill.spilled()
    fill.finish()
    reader = fill.reader()
    level.hold("spool.read")
    reading = asyncio.create_task(reader.read())
    await until(lambda: level.reached["spool.read"] == 1)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    level.let_go("spool.read")
    assert await drain(reader) == b"abc"


async def test_piece_without_octets_in_a_seed_puts_nobody_off_the_way(level: ScriptedLevel) -> None:
    fill = Fill(None, (b"", b"abc", b""))
    early, skipping = fill.reader(), fill.reader(3)
    assert await early.read() == b"abc"
    spool = level.spool()
    assert spool is not None
    fill.spill(spool)
    await fill.spilled()
    waiting = asyncio.create_task(early.read())
    await asyncio.sleep(0)
    fill.write(b"def")
    assert await waiting == b"def"
    await fill.spilled()
    fill.finish()
    assert (await drain(early), await drain(skipping)) == (b"", b"def")


READERS = st.lists(
    st.tuples(
        st.integers(0, 12),  # joins after so many pieces
        st.integers(0, 4),  # turns of the loop before each read
        st.one_of(st.none(), st.tuples(st.integers(0, 30), st.integers(1, 30))),  # first, and how many
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=300, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=12),
    spill_at=st.integers(0, 8),
    lag=st.integers(0, 3),
    breaks_at=st.one_of(st.none(), st.integers(1, 14)),
    window=st.integers(1, 12),
    readers=READERS,
)
def test_everyone_has_what_was_sent_whatever_the_pace(
    sizes: list[int],
    spill_at: int,
    lag: int,
    breaks_at: int | None,
    window: int,
    readers: list[tuple[int, int, tuple[int, int] | None]],
) -> None:
    asyncio.run(_at_any_pace(sizes, spill_at, lag, breaks_at, window, readers))


async def _at_any_pace(
    sizes: list[int],
    spill_at: int,
    lag: int,
    breaks_at: int | None,
    window: int,
    readers: list[tuple[int, int, tuple[int, int] | None]],
) -> None:
    level = ScriptedLevel()
    level.spool_lag = lag
    body = bytes(number % 251 for number in range(sum(sizes)))
    fill = Fill(len(body), window_bytes=window)
    reading: list[asyncio.Task[None]] = []

    async def read(reader: FillReader, pace: int, wanted: tuple[int, int]) -> None:
        got = b""
        while True:
            for _ in range(pace):
                await asyncio.sleep(0)
            piece = await reader.read()
            if not piece:
                break
            got += piece
        reader.close()
        assert got == body[wanted[0] : wanted[1]]

    def join(after: int) -> None:
        for joins, pace, part in readers:
            if joins == after and fill.joinable:
                first, stop = (0, len(body)) if part is None else (part[0], min(sum(part), len(body)))
                if first >= stop:
                    continue
                reader = fill.reader()
                if part is not None:
                    reader.narrow(first, stop)
                reading.append(asyncio.create_task(read(reader, pace, (first, stop))))

    spooled = False
    written = 0
    join(0)
    for number, size in enumerate(sizes):
        if number == spill_at and fill.joinable:
            spool = level.spool()
            assert spool is not None
            fill.spill(spool)
            spooled = True
        fill.write(body[written : written + size])
        written += size
        if spooled and fill.joinable:
            if breaks_at is not None and level.reached["spool.write"] + 1 >= breaks_at:
                level.break_down("spool.write")
            try:
                await fill.spilled()
            except LevelDown:
                fill.forget()
                level.spools[0].abort()
            else:
                assert len(fill._pieces) <= lag
        join(number + 1)
        try:
            await fill.room()
        except Unread:
            return
        if not fill.joinable:
            assert in_memory(fill) <= window + (lag + 1) * 9 + 9
        await asyncio.sleep(0)
    fill.finish()
    await asyncio.gather(*reading)
    event("spilled" if spooled else "in memory")
    event("gave up" if not fill.joinable else "kept")
    if fill.joinable:
        assert await drain(fill.reader()) == body
