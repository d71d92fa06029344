"""What is said on a feed arrives whole and in order, or the line ends."""

from __future__ import annotations

import asyncio

import pytest

from seawall.purge.line import MOST_WAITING, Frame, Line


class Peer:
    """The other end; takes frames only while it is told to."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.takes = asyncio.Event()
        self.asked = asyncio.Event()

    async def send(self, frame: Frame) -> None:
        self.asked.set()
        await self.takes.wait()
        self.taken.append(frame.data)

    async def receive(self) -> Frame | None:
        return None

    async def close(self) -> None:
        pass


async def ended(pump: asyncio.Task[None]) -> None:
    async with asyncio.timeout(1):
        await asyncio.wait([pump])


async def test_what_is_said_comes_in_order_and_the_last_word_too() -> None:
    peer = Peer()
    line = Line(peer)
    pump = asyncio.create_task(line.pump())
    for number in range(100):
        line.say(Frame(b"%d" % number))
    await peer.asked.wait()
    line.say(Frame(b"bye"))
    line.finish()
    peer.takes.set()
    await pump
    assert peer.taken == [*(b"%d" % number for number in range(100)), b"bye"]


async def test_a_line_can_be_ended_while_its_peer_takes_nothing() -> None:
    peer = Peer()
    line = Line(peer)
    pump = asyncio.create_task(line.pump())
    line.say(Frame(b"x"))
    await peer.asked.wait()
    line.end()
    await ended(pump)
    assert pump.cancelled()


@pytest.mark.parametrize("pumping", [True, False])
async def test_a_line_on_which_too_much_waits_ends_and_leaves_no_word_out(pumping: bool) -> None:
    peer = Peer()
    line = Line(peer)
    pump = asyncio.create_task(line.pump())
    if pumping:
        line.say(Frame(b"first"))
        await peer.asked.wait()
    for _ in range(MOST_WAITING + 1):
        line.say(Frame(b"x"))
    line.say(Frame(b"too late"))
    peer.takes.set()
    await ended(pump)
    assert peer.taken == []


async def test_a_line_that_has_ended_says_nothing_more() -> None:
    peer = Peer()
    peer.takes.set()
    line = Line(peer)
    line.end()
    line.say(Frame(b"x"))
    await line.pump()
    assert peer.taken == []
