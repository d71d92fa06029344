"""Hits whose bodies the kernel sends from where they lie: over real sockets, on both loops, at every pace."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop

from seawall.downstream import sendfile
from seawall.downstream.sendfile import WAITING_BYTES, file_way
from seawall.store.arena import Extent, open_arena
from tests.downstream.client import Client, connected, get, until
from tests.edge.twins import Twins, request, twins

SIZES = {"/64k": 64 << 10, "/128k": 128 << 10, "/odd": 100_001, "/1m": 1 << 20, "/4m": 4 << 20}
BODIES = {target: os.urandom(size) for target, size in SIZES.items()} | {"/small": b"0123456789"}

Story = Callable[[Twins], Awaitable[object]]


@pytest.fixture(params=["asyncio", "uvloop"])
def live(request: pytest.FixtureRequest) -> Callable[[Story], None]:
    """Runs a story on a server of its own that holds BODIES, on the loop of a node and on the standard library's."""

    async def stage(story: Story) -> None:
        both = twins()
        server = both.hot.server
        await server.start("127.0.0.1", 0)
        for target, body in BODIES.items():
            both.keep(target, ("ETag", '"v1"'), body=(body,), host="a")
        assert all(isinstance(held(both, target), Extent) for target in SIZES)
        try:
            await story(both)
            await server.drain(1)
        finally:
            await server.drain(0)

    def run(story: Story) -> None:
        factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(stage(story))

    return run


def held(both: Twins, target: str) -> object:
    (item,) = both.hot.store.get(f"http://a{target}")
    return item.held


@pytest.fixture
def sent_by_kernel(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What sendfile() took, call by call."""
    took: list[int] = []

    def counted(out: int, source: int, offset: int, count: int) -> int:
        sent = os.sendfile(out, source, offset, count)
        took.append(sent)
        return sent

    class Counting:
        sendfile = staticmethod(counted)

    monkeypatch.setattr(sendfile, "os", Counting)
    return took


def test_bodies_arrive_whole_and_the_kernel_sent_them(live: Any, sent_by_kernel: list[int]) -> None:
    async def story(both: Twins) -> None:
        async with connected(both.hot.server) as client:
            for target in (*BODIES, *BODIES):
                got = await client.ask(request(target, host="a"))
                assert (got.status, got.fields["x-cache"]) == (200, "HIT")
                assert got.body == BODIES[target], target
        assert both.answered == 2 * len(BODIES)
        counters = both.hot.counters
        assert counters.sent_bytes == 2 * sum(map(len, BODIES.values()))
        assert counters.aborted == 0

    live(story)
    assert sum(sent_by_kernel) > sum(SIZES.values())


def test_pipelined_replies_keep_their_order(live: Any, sent_by_kernel: list[int]) -> None:
    async def story(both: Twins) -> None:
        async with connected(both.hot.server) as client:
            targets = ["/small", "/small", "/128k", "/small", "/1m", "/128k", "/odd", "/small", "/4m", "/small"] * 2
            await client.send(b"".join(request(target, host="a") for target in targets))
            for target in targets:
                assert (await client.hear()).body == BODIES[target], target

    live(story)
    assert sent_by_kernel


def test_what_waits_in_the_transport_goes_out_before_a_body_from_its_file(live: Any) -> None:
    async def story(both: Twins) -> None:
        both.keep("/60k", body=(BODIES["/64k"][:60_000],), host="a")
        server = both.hot.server
        async with connected(server, receive_bytes=4096) as client:
            await client.send(request("/60k", host="a"))
            (connection,) = server._connections
            asked = 1
            while not connection._transport.get_write_buffer_size():
                await client.send(request("/60k", host="a"))
                asked += 1
                await until(lambda: both.answered == asked)  # noqa: B023 (awaited here)
            assert not connection.full
            await client.send(request("/128k", host="a"))
            await until(lambda: both.answered == asked + 1)
            for _ in range(asked):
                assert (await client.hear()).body == BODIES["/64k"][:60_000]
            assert (await client.hear()).body == BODIES["/128k"]

    live(story)


def test_a_slow_client_gets_all_of_it_and_costs_us_one_piece(live: Any, sent_by_kernel: list[int]) -> None:
    async def story(both: Twins) -> None:
        server = both.hot.server
        async with connected(server, receive_bytes=4096) as client:
            await client.send(request("/4m", host="a"))
            (connection,) = server._connections
            await until(lambda: connection.full)
            assert 0 < connection._transport.get_write_buffer_size() <= WAITING_BYTES
            got = b""
            _, fields, _ = await client.head()
            while len(got) < int(fields["content-length"]):
                got += await client.reader.read(200_000)
                assert connection._transport.get_write_buffer_size() <= WAITING_BYTES
            assert got == BODIES["/4m"]
            # And the connection goes on.
            assert (await client.ask(request("/small", host="a"))).body == BODIES["/small"]
        assert both.hot.counters.sent_bytes == len(BODIES["/4m"]) + len(BODIES["/small"])
        assert both.hot.counters.aborted == 0

    live(story)
    assert len(sent_by_kernel) > 1


def test_a_body_that_is_purged_under_way_arrives_as_it_was(live: Any) -> None:
    async def story(both: Twins) -> None:
        server, store = both.hot.server, both.hot.store
        async with connected(server, receive_bytes=4096) as client:
            await client.send(request("/4m", host="a"))
            (connection,) = server._connections
            await until(lambda: connection.full)
            store.drop("http://a/4m")
            for _ in range(3):
                both.keep("/other", body=(b"\xff" * (4 << 20),), host="a")  # would be seen if pages were used again
            assert (await client.hear()).body == BODIES["/4m"]
        arena = store._arena
        assert arena is not None
        both.kept.clear()
        await until(lambda: arena.used_bytes < 10 << 20)  # and its pages are given back

    live(story)


@pytest.mark.parametrize("resets", [False, True])
def test_clients_that_leave_are_counted_as_far_as_they_got_and_nothing_of_them_stays(live: Any, resets: bool) -> None:
    async def story(both: Twins) -> None:
        server, counters = both.hot.server, both.hot.counters
        descriptors = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            async with connected(server, receive_bytes=4096) as client:
                await client.send(request("/4m", host="a"))
                await until(lambda: any(connection.full for connection in server._connections))
                if resets:
                    client.reset()
            await until(lambda: server.open == 0)
        assert counters.aborted == 5
        assert 0 < counters.sent_bytes < 5 * SIZES["/4m"]
        both.hot.store.close()
        gc.collect()
        await until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors)

    live(story)


def test_a_connection_that_breaks_while_the_kernel_sends_ends(live: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        @staticmethod
        def sendfile(*_: int) -> int:
            raise BrokenPipeError

    async def story(both: Twins) -> None:
        async with connected(both.hot.server) as client:
            monkeypatch.setattr(sendfile, "os", Broken)
            await client.send(request("/1m", host="a"))
            assert BODIES["/1m"] not in await whatever_comes(client)
        await until(lambda: both.hot.server.open == 0)
        assert both.hot.counters.aborted == 1

    live(story)


async def whatever_comes(client: Client) -> bytes:
    try:
        return await client.rest()
    except ConnectionResetError:
        return b""


def test_a_file_that_is_shorter_than_its_body_ends_the_connection_and_says_so_to_the_client(
    live: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot be. Were it so, the client must not take what it has for the whole (HAZARDS T22)."""

    async def story(both: Twins) -> None:
        extent = held(both, "/1m")
        assert isinstance(extent, Extent)
        os.ftruncate(extent.fd, extent.offset + 500_000)
        async with connected(both.hot.server) as client:
            await client.send(request("/1m", host="a"))
            assert len(await whatever_comes(client)) < 600_000
        await until(lambda: both.hot.server.open == 0)

    live(story)


ENGINES: list[tuple[str, list[str], str, Callable[[bytes], bytes]]] = [
    ("HEAD", [], "/1m", lambda body: b""),
    ("GET", ["If-None-Match: \"v1\""], "/1m", lambda body: b""),
    ("GET", ["Range: bytes=70000-70009"], "/1m", lambda body: body[70_000:70_010]),
    ("GET", ["Range: bytes=-5"], "/odd", lambda body: body[-5:]),
    ("GET", ["Range: bytes=1-2,-3"], "/1m", lambda body: body),
    ("GET", ["Cookie: a=b", "X-Unusual: " + "x" * 3000], "/4m", lambda body: body),
]  # fmt: skip


@pytest.mark.parametrize(("method", "lines", "target", "wanted"), ENGINES)
async def test_whatever_asks_for_it_gets_the_same_from_front_and_engine(
    method: str, lines: list[str], target: str, wanted: Callable[[bytes], bytes]
) -> None:
    both = twins()
    for side in both.sides:
        await side.server.start("127.0.0.1", 0)
    for name, body in BODIES.items():
        both.keep(name, ("ETag", '"v1"'), body=(body,), host="a")
    got = []
    for side in both.sides:
        async with connected(side.server) as client:
            got.append(await client.ask(get(target, *lines, method=method), method))
            got.append(await client.ask(get(target, *lines, method=method), method))
        await side.server.drain(0)
    assert {each.raw_head for each in got} == {got[0].raw_head}
    assert {each.body for each in got} == {got[0].body}
    if got[0].fields.get("content-type", "").startswith("multipart/"):
        body = BODIES[target]
        assert body[1:3] in got[0].body
        assert body[-3:] in got[0].body
    else:
        assert got[0].body == wanted(BODIES[target])


class Told(asyncio.Transport):
    """A transport that says what it is told to."""

    def __init__(self, waiting_bytes: int = 0, *, closing: bool = False, **extra: object) -> None:
        super().__init__(extra)
        self.waiting_bytes = waiting_bytes
        self.closing = closing

    def get_write_buffer_size(self) -> int:
        return self.waiting_bytes

    def is_closing(self) -> bool:
        return self.closing


@pytest.mark.parametrize(("waiting_bytes", "closing", "goes"), [(0, False, True), (1, False, False), (0, True, False)])
def test_nothing_overtakes_what_the_transport_still_has(waiting_bytes: int, closing: bool, goes: bool) -> None:
    arena = open_arena()
    assert arena is not None
    body = arena.hold([b"body"])
    assert body is not None
    ours, far = socket.socketpair()
    with ours, far:
        way = file_way(Told(waiting_bytes, closing=closing, socket=ours))
        assert way is not None
        assert way.send(b"head", body, 1) == ((b"", 4) if goes else (b"head", 1))
        way.close()
        far.setblocking(False)
        if goes:
            got = far.recv(100)
            assert got + (far.recv(100) if len(got) < 7 else b"") == b"headody"
        else:
            with pytest.raises(BlockingIOError):
                far.recv(100)


def test_over_tls_and_without_a_socket_there_is_no_such_way() -> None:
    with socket.socket() as some:
        assert file_way(Told(sslcontext=ssl.create_default_context(), socket=some)) is None
        assert file_way(Told()) is None
        way = file_way(Told(socket=some))
        assert way is not None
        way.close()
        assert some.fileno() >= 0
