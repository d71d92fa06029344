"""A feed over a long way: later, whole, in order."""

import asyncio

import pytest

from seawall.purge.distant import Distance, DistantConnection
from seawall.purge.line import Frame

WAY = 0.05


class Wire:
    """The near end of a connection, in memory."""

    def __init__(self) -> None:
        self.sent: list[tuple[float, bytes]] = []
        self.incoming: asyncio.Queue[Frame | None] = asyncio.Queue()
        self.closed = False
        self.broken = False
        self.all_sent = asyncio.Event()
        self.refused = asyncio.Event()

    async def receive(self) -> Frame | None:
        return await self.incoming.get()

    async def send(self, frame: Frame) -> None:
        if self.broken:
            self.refused.set()
            raise ConnectionError("gone")
        self.sent.append((asyncio.get_running_loop().time(), frame.data))
        if len(self.sent) == 10:
            self.all_sent.set()

    async def close(self) -> None:
        self.closed = True


def later(nbytes: int, now: float, after: float) -> float:
    return max(now + WAY, after)


async def test_frames_that_leave_together_arrive_together_one_way_later_and_in_order() -> None:
    wire = Wire()
    far = DistantConnection(wire, Distance(later, later))
    began = asyncio.get_running_loop().time()
    for number in range(10):
        await far.send(Frame(b"%d" % number))
    wire.incoming.put_nowait(Frame(b"a"))
    wire.incoming.put_nowait(Frame(b"b"))
    assert [(await far.receive()), (await far.receive())] == [Frame(b"a"), Frame(b"b")]
    received = asyncio.get_running_loop().time() - began
    async with asyncio.timeout(5):
        await wire.all_sent.wait()
    assert [data for _, data in wire.sent] == [b"%d" % number for number in range(10)]
    assert all(at - began >= WAY - 0.001 for at, _ in wire.sent)
    # One way, not ten: frames overlap. The bound is half of what one after the other would take.
    assert received < 5 * WAY
    assert wire.sent[-1][0] - wire.sent[0][0] < 5 * WAY
    await far.close()
    assert wire.closed


async def test_end_of_the_connection_arrives_too() -> None:
    wire = Wire()
    far = DistantConnection(wire, Distance(later, later))
    wire.incoming.put_nowait(None)
    assert await far.receive() is None
    await far.close()


async def test_connection_that_broke_is_told_to_whoever_sends_next() -> None:
    wire = Wire()
    wire.broken = True
    far = DistantConnection(wire, Distance(later, later))
    await far.send(Frame(b"lost"))
    async with asyncio.timeout(5):
        await wire.refused.wait()
    await asyncio.sleep(0)
    with pytest.raises(ConnectionError):
        await far.send(Frame(b"next"))
    await far.close()
