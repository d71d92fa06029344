"""Each address is asked again and again whether it is well; nothing is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from seawall.upstream.address import Address, Timeouts
from seawall.upstream.group import Group, Member
from seawall.upstream.pool import Pool
from seawall.upstream.prober import Prober, Target
from tests.upstream.doubles import Asked, Chance, Scripted, Time
from tests.upstream.scripted import OK, Peer, Script, always, once, origin, request, until, whole


class Heard:
    """What was reported."""

    def __init__(self) -> None:
        self.results: list[bool] = []
        self.at: list[float] = []

    def __call__(self, ok: bool, now: float) -> None:
        self.results.append(ok)
        self.at.append(now)


def target(port: int, report: object, name: str = "app") -> Target:
    address = Address("http", "127.0.0.1", port)
    pool = Pool(address, Timeouts(connect=1.0), max_connections=1)
    return Target(name, pool, address.authority, "/healthz", report)  # type: ignore[arg-type]


@asynccontextmanager
async def probing(script: Script, interval: float = 0.01, patience: float = 1.0) -> AsyncIterator[tuple[Prober, Heard]]:
    heard = Heard()
    async with origin(script) as it:
        prober = Prober([target(it.port, heard)], interval=interval, timeout=patience)
        prober.start()
        try:
            yield prober, heard
        finally:
            await prober.close()


@pytest.mark.parametrize(
    ("script", "ok", "detail"),
    [
        (always(), True, "status 200"),
        (always(b"HTTP/1.1 204 No Content\r\n\r\n"), True, "status 204"),
        (once(b"HTTP/1.1 200 OK\r\n\r\nuntil the end"), True, "status 200"),
        (always(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"), False, "status 302"),
        (always(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"), False, "status 404"),
        (always(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"), False, "status 503"),
        (once(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), False, "5 bytes missing"),
        (once(b"hello\r\n\r\n"), False, "bad-response"),
        (once(), False, "reset"),
    ],
)
async def test_well_is_who_gives_a_whole_2xx_answer(script: Script, ok: bool, detail: str) -> None:
    async with probing(script) as (prober, heard):
        await until(lambda: len(heard.results) >= 3)
        assert set(heard.results) == {ok}
        assert detail in prober.findings["app"].detail


async def test_an_address_where_nobody_listens_is_not_well() -> None:
    async with origin(always()) as gone:
        port = gone.port
    heard = Heard()
    prober = Prober([target(port, heard)], interval=0.01)
    prober.start()
    await until(lambda: len(heard.results) >= 2)
    assert not any(heard.results)
    assert "connect-failed" in prober.findings["app"].detail
    await prober.close()


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"])
async def test_who_does_not_answer_wholly_in_time_is_not_well(begun: bytes) -> None:
    """A frozen process still accepts connections: the kernel does it."""

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(begun)
        await peer.left()

    async with probing(script, patience=0.02) as (prober, heard):
        await until(lambda: len(heard.results) >= 2)
        assert not any(heard.results)
        assert prober.findings["app"].detail == "no whole answer within 0.02 s"


async def test_the_request_says_what_it_is() -> None:
    heads: list[bytes] = []

    async def script(peer: Peer) -> None:
        while True:
            heads.append(await peer.head())
            await peer.send(OK)

    async with probing(script):
        await until(lambda: bool(heads))
    lines = heads[0].lower().split(b"\r\n")
    assert lines[0] == b"get /healthz http/1.1"
    assert b"user-agent: seawall-probe" in lines
    assert any(line.startswith(b"host: 127.0.0.1:") for line in lines)


async def test_a_catalogue_instead_of_a_health_page_is_not_read_to_its_end() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 99000000\r\n\r\n", b"x" * 200_000)
        await peer.left()

    async with probing(script) as (_, heard):
        await until(lambda: len(heard.results) >= 2)
        assert all(heard.results)


async def test_each_address_has_its_own_pace_and_a_slow_one_delays_nobody() -> None:
    async def frozen(peer: Peer) -> None:
        await peer.left()

    slow, fast = Heard(), Heard()
    async with origin(frozen) as one, origin(always()) as two:
        prober = Prober([target(one.port, slow, "slow"), target(two.port, fast, "fast")], interval=0.01, timeout=5.0)
        prober.start()
        await until(lambda: len(fast.results) >= 3)
        assert slow.results == []
        await prober.close()


@pytest.mark.parametrize("takes", [0.0, 0.04])
@pytest.mark.parametrize(("draw", "factor"), [(0.0, 0.9), (1.0, 1.1)])
async def test_the_interval_is_from_one_probe_to_the_next_with_jitter(draw: float, factor: float, takes: float) -> None:
    loop = asyncio.get_running_loop()
    began: list[float] = []

    def answer(asked: Asked) -> None:
        began.append(loop.time())
        loop.call_later(takes, asked.says)

    scripted = Scripted(answer)
    prober = Prober([Target("app", scripted, "app", "/", Heard())], interval=0.05, random=Chance(draw))
    prober.start()
    await until(lambda: len(began) >= 3)
    await prober.close()
    for one, two in pairwise(began):
        assert 0.05 * factor - 0.003 <= two - one < 0.05 * factor + 0.03


async def test_closing_ends_a_probe_under_way_and_nothing_is_reported_afterwards() -> None:
    heard = Heard()
    scripted = Scripted()
    prober = Prober([Target("app", scripted, "app", "/", heard)], timeout=5.0)
    prober.start()
    asked = await scripted.nth(1)
    await prober.close()
    await prober.close()
    assert asked.answer.cancelled()
    assert scripted.closed == 2
    assert heard.results == []
    prober.start()
    assert not [task for task in asyncio.all_tasks() if "probe" in task.get_name()]


async def test_a_report_that_raises_is_not_swallowed() -> None:
    def wrong(ok: bool, now: float) -> None:
        raise KeyError

    prober = Prober([Target("app", Scripted(lambda asked: asked.says()), "app", "/", wrong)])
    prober.start()
    await until(lambda: all(task.done() for task in prober._tasks))
    with pytest.raises(KeyError):
        await prober.close()


async def test_a_member_goes_out_and_comes_back_by_its_probes() -> None:
    """The whole chain over real sockets: prober, health, group."""
    well = True

    async def script(peer: Peer) -> None:
        while True:
            probe = b"/healthz" in await peer.head()
            await peer.send(OK if well or not probe else b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")

    clock = Time()
    async with origin(script) as it, origin(always()) as other:
        members = [
            Member(name, Pool(Address("http", "127.0.0.1", port), Timeouts()))
            for name, port in (("sick", it.port), ("well", other.port))
        ]
        group = Group(members, now=clock)
        prober = Prober([target(it.port, members[0].probed, "sick")], interval=0.005, now=clock)
        prober.start()
        await until(lambda: "sick" in prober.findings)

        async def asked() -> int:
            before = members[0].asked
            for number in range(20):
                await whole((await group.exchange(request("GET", f"/{number}"), None)).body)
            return members[0].asked - before

        assert await asked() > 0
        well = False
        await until(lambda: members[0].health.down)
        assert await asked() == 0
        well = True
        await until(lambda: not members[0].health.down)
        assert await asked() > 0
        await prober.close()
        await group.close()
