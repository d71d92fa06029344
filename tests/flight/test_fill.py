"""A body that is streamed while it arrives, one story a test."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.flight.fill import Fill, FillReader, Unread
from seawall.http.body import BodyBroken


async def drain(reader: FillReader) -> bytes:
    got = b""
    while piece := await reader.read():
        got += piece
    return got


async def test_reader_that_joins_late_has_it_from_the_first_octet() -> None:
    fill = Fill(6)
    fill.write(b"abc")
    early = fill.reader()
    assert await early.read() == b"abc"
    late = fill.reader()
    fill.write(b"def")
    fill.finish()
    assert (await drain(early), await drain(late)) == (b"def", b"abcdef")
    assert fill.whole() == (b"abc", b"def")


async def test_slow_reader_costs_the_others_nothing() -> None:
    fill = Fill(None, window_bytes=4)
    slow, quick = fill.reader(), fill.reader()
    for _ in range(10):
        fill.write(b"xxxx")
        await fill.room()
    fill.finish()
    assert len(await drain(quick)) == 40
    assert len(await drain(slow)) == 40


async def test_waiting_reader_gets_each_piece_as_it_comes() -> None:
    fill = Fill(None)
    reader = fill.reader()
    reading = asyncio.create_task(reader.read())
    await asyncio.sleep(0)
    assert not reading.done()
    fill.write(b"now")
    assert await reading == b"now"


async def test_broken_body_gives_what_came_and_then_breaks() -> None:
    fill = Fill(10)
    reader = fill.reader()
    fill.write(b"abc")
    fill.fail("the origin hung up")
    assert await reader.read() == b"abc"
    with pytest.raises(BodyBroken, match="the origin hung up"):
        await reader.read()
    assert fill.whole() is None
    late = fill.reader()
    assert await late.read() == b"abc"
    with pytest.raises(BodyBroken):
        await late.read()


async def test_cancelled_reader_takes_only_its_own_wait() -> None:
    fill = Fill(None)
    leaving, staying = fill.reader(), fill.reader()
    left = asyncio.create_task(leaving.read())
    stays = asyncio.create_task(staying.read())
    await asyncio.sleep(0)
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    leaving.close()
    fill.write(b"abc")
    assert await stays == b"abc"


async def test_passing_body_waits_for_its_slowest_reader_and_holds_a_window() -> None:
    fill = Fill(None, window_bytes=8)
    reader = fill.reader()
    fill.forget()
    for _ in range(3):
        fill.write(b"xxxx")
    waiting = asyncio.create_task(fill.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    await reader.read()
    await waiting
    for _ in range(2):
        await reader.read()
    assert fill._pieces == []
    assert not fill.joinable
    assert fill.whole() is None


async def test_passing_body_that_nobody_reads_stops_its_writer() -> None:
    fill = Fill(None, window_bytes=4)
    reader = fill.reader()
    fill.forget()
    fill.write(b"xxxxxxxx")
    waiting = asyncio.create_task(fill.room())
    await asyncio.sleep(0)
    reader.close()
    with pytest.raises(Unread):
        await waiting


async def test_cancelled_writer_leaves_the_fill_usable() -> None:
    fill = Fill(None, window_bytes=1)
    reader = fill.reader()
    fill.forget()
    fill.write(b"xx")
    writer = asyncio.create_task(fill.room())
    await asyncio.sleep(0)
    writer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writer
    fill.fail("the writer left")
    assert await reader.read() == b"xx"
    with pytest.raises(BodyBroken):
        await reader.read()


@given(
    pieces=st.lists(st.binary(min_size=1, max_size=5), max_size=8),
    first=st.integers(0, 40),
    span=st.integers(0, 40),
)
def test_reader_of_a_range_gets_exactly_its_octets(pieces: list[bytes], first: int, span: int) -> None:
    async def story() -> None:
        fill = Fill(sum(map(len, pieces)))
        reader = fill.reader(first, first + span)
        for piece in pieces:
            fill.write(piece)
        fill.finish()
        assert await drain(reader) == b"".join(pieces)[first : first + span]

    asyncio.run(story())


async def test_seeded_fill_starts_with_what_was_there() -> None:
    fill = Fill(6, (b"abc",))
    reader = fill.reader()
    fill.write(b"def")
    fill.finish()
    assert await drain(reader) == b"abcdef"
    assert fill.bytes_in == 6
    assert repr(fill) == "<Fill done keeping 6/6 bytes 1 readers>"
