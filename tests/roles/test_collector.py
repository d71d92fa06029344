"""What the collector is told not to look at again must not need it: whatever ends takes its cycles apart."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import AsyncGeneratorType, CoroutineType, FrameType, FunctionType, GeneratorType

import aiohttp
import pytest
from websockets.asyncio.client import connect

from edge.front import hot_path
from seawall.downstream.server import Server
from seawall.engine.invalidation import Invalidator
from seawall.engine.tally import Tally
from seawall.purge.selection import Selection
from seawall.store.disk import open_disk
from seawall.store.level import Level
from tests.downstream.client import connected, until
from tests.edge.house import MIB, House, house
from tests.structure.sources import ROOT

OURS = ("seawall.", "edge.", "roles.")
TIMES = 10

Story = Callable[[House], Awaitable[object]]


@pytest.fixture(params=["memory", "disk"])
async def edge(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[House]:
    """A memory that holds little, with and without a disk below it: misses go different ways."""
    lower: list[Level] = []
    if request.param == "disk":
        lower.append(await open_disk(tmp_path / "cache", size_bytes=64 * MIB, whole_bytes=MIB))
    async with house(store_bytes=MIB, lower=lower) as edge:
        edge.server.front = hot_path(edge.engine.grounds(Tally(edge.counters, None)), edge.server)
        yield edge


@contextmanager
def unreachable() -> Iterator[Counter[str]]:
    """What became garbage in the block and was not freed by its reference counts, of ours, by kind."""
    found: Counter[str] = Counter()
    gc.collect()
    gc.disable()
    kept = gc.get_debug()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found.update(name for each in gc.garbage if (name := kind(each)) is not None)
    finally:
        gc.set_debug(kept)
        gc.garbage.clear()
        gc.enable()


def kind(each: object) -> str | None:
    """The name of what is ours: an instance, or something that runs our code."""
    match each:
        case CoroutineType():
            module, name = module_of(each.cr_code.co_filename), each.__qualname__
        case GeneratorType() | AsyncGeneratorType():
            module, name = module_of(getattr(each, "gi_code", None) or each.ag_code), each.__qualname__
        case FrameType():
            module, name = each.f_globals.get("__name__", ""), each.f_code.co_qualname
        case FunctionType():
            module, name = each.__module__ or "", each.__qualname__
        case _:
            module, name = type(each).__module__, type(each).__qualname__
    return f"{module}:{name}" if module.startswith(OURS) else None


def module_of(code: object) -> str:
    path = getattr(code, "co_filename", code)
    return next((name for name, module in sys.modules.items() if getattr(module, "__file__", None) == path), "")


async def hits(edge: House) -> None:
    for fields in ([], [("If-None-Match", '"1"')], [("Range", "bytes=0-3")], [("Cache-Control", "no-cache")]):
        await edge.get("/make/max-age=600&size=1000&etag=1/hit", *fields)
    await edge.get("/make/max-age=600&size=1000&etag=1/hit", method="HEAD")


async def misses(edge: House) -> None:
    number = next(NUMBERS)
    await asyncio.gather(*(edge.get(f"/make/max-age=600&size=20KiB/{number}") for _ in range(5)))
    await edge.get(f"/make/max-age=600&size=20KiB&framing=chunked/{number}")


async def passes(edge: House) -> None:
    await edge.get("/make/cache-control=no-store&size=1000/pass")
    await edge.get("/echo", method="POST", data=b"x" * 100_000)
    await edge.get("/make/status=204/unsafe", method="DELETE")


async def refreshes(edge: House) -> None:
    path = "/make/cache-control=max-age=10, stale-while-revalidate=60&etag=1/swr"
    await edge.get(path)
    edge.clock.tick(11)
    await edge.get(path)
    await until(lambda: edge.engine.flights == 0)
    edge.clock.tick(100)
    await edge.get(path)


async def large(edge: House) -> None:
    await edge.get(f"/make/max-age=600&size=4MiB/large-{next(NUMBERS) % 3}")


async def promotions(edge: House) -> None:
    """What memory has let go is found on the disk; some of it is purged there."""
    paths = [f"/make/max-age=600&size=100KiB/up-{number}" for number in range(12)]
    for path in (*paths, *paths):
        await edge.get(path)
    met = edge.engine.purger.apply(Selection(urls=(edge.url + paths[0],)), soft=False)
    if isinstance(met, asyncio.Future):
        await met


async def failures(edge: House) -> None:
    for fault in ("close", "garbage", "truncate&at=10", "reset-body&at=10", "truncate-chunked&at=10"):
        with contextlib.suppress(aiohttp.ClientError):
            await edge.get(f"/make/max-age=60&size=100&fault={fault}/broken")


async def leavers(edge: House) -> None:
    """In the middle of a head, of a wait, of a body, of an upload; politely and not."""
    gate = f"g{next(NUMBERS)}"
    edge.stub.script("/slow", [f"cache-control=no-store&gate={gate}"])
    for reset in (True, False):
        async with connected(edge.server) as client:
            await client.send(b"GET /sl")
            if reset:
                client.reset()
        async with connected(edge.server) as client:
            await client.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
            await edge.stub.parked(gate)
            if reset:
                client.reset()
        async with connected(edge.server, 4096) as client:
            await client.send(b"GET /make/size=4MiB/left HTTP/1.1\r\nHost: a\r\n\r\n")
            await client.head()
            if reset:
                client.reset()
        async with connected(edge.server) as client:
            await client.send(b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc")
            await edge.stub.arrived("/up", edge.asked("/up") + 1)
            if reset:
                client.reset()
    edge.stub.open(gate)


async def refused(edge: House) -> None:
    for head in (b"BAD\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 70_000):
        async with connected(edge.server) as client:
            await client.send(head)
            await client.rest()


async def pipelines(edge: House) -> None:
    one = b"GET /make/max-age=600&size=1000/pipe HTTP/1.1\r\nHost: a\r\n\r\n"
    async with connected(edge.server) as client:
        await client.send(one * 20)
        for _ in range(20):
            await client.hear()


async def tunnels(edge: House) -> None:
    async with connect(edge.url.replace("http:", "ws:") + "/ws") as socket:
        await socket.send("hello")
        await socket.recv()


NUMBERS = iter(range(1_000_000))
STORIES: list[Story] = [
    hits, misses, passes, refreshes, large, promotions, failures, leavers, refused, pipelines, tunnels,
]  # fmt: skip


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
async def test_what_ends_leaves_no_cycle_behind(edge: House, story: Story) -> None:
    """Once for what is set up at the first time and stays; then a cycle each time would be found so many times."""
    for _ in range(2):
        await story(edge)
    await settled(edge.server)
    with unreachable() as found:
        for _ in range(TIMES):
            await story(edge)
        await settled(edge.server)
    assert not {name: count for name, count in found.items() if count >= TIMES}, found


async def settled(server: Server) -> None:
    """Every connection but those that the session keeps has ended, and what it left has had its turns."""
    await until(lambda: server.open <= 8)
    for _ in range(5):
        await asyncio.sleep(0)


def test_the_measure_sees_a_cycle_of_ours() -> None:
    with unreachable() as found:
        for _ in range(TIMES):
            one = Invalidator(None, None, None)  # type: ignore[arg-type]
            one.tell = one.invalidate
        del one
    assert found == {"seawall.engine.invalidation:Invalidator": TIMES}


def test_a_worker_is_as_tame_as_a_node_of_one_process() -> None:
    """Asked of a process of its own, because it is for good."""
    program = (
        "import gc, uvloop\n"
        "from roles import worker\n"
        "from roles.collector import NEVER\n"
        "worker.take_post = lambda control: post\n"
        "worker.events.setup = lambda *told: None\n"
        "def run(living):\n"
        "    living.close()\n"
        "    print(gc.get_threshold()[2] == NEVER, gc.get_freeze_count() > 1000)\n"
        "class post:\n"
        "    class topology:\n"
        "        class log: format = level = None\n"
        "    feed = 'x'\n"
        "uvloop.run = run\n"
        "worker.serve(None)\n"
    )
    said = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout == "True True\n", said


FULL_STORE = """
import asyncio, gc
from collections import deque
from roles import collector

collector.ROUND_SECONDS = collector.IDLE_ROUND_SECONDS = 0.0
HELD = 100_000

async def live(how):
    collector.tame()
    held = deque(([] for _ in range(HELD)), maxlen=HELD)  # for each that comes another one goes
    gc.collect()
    gc.freeze()
    largest = 0
    with how():
        for _ in range(HELD // 100):
            held.extend([] for _ in range(100))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            largest = max(largest, len(gc.get_objects(0)) + len(gc.get_objects(1)))
    young = len(gc.get_objects(0))
    for _ in range(5):
        held.extend([] for _ in range(100))
        await asyncio.sleep(0)
    print(largest, len(gc.get_objects(0)) - young)
"""


def told_of_a_full_store(how: str) -> list[int]:
    """How many containers the young generations came to hold; how many more after rounds had ended."""
    program = FULL_STORE + f"\nfrom contextlib import nullcontext\nasyncio.run(live({how}))\n"
    said = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return [int(each) for each in said.stdout.split()]


def test_a_full_store_that_takes_in_as_much_as_it_lets_go_does_not_make_the_young_generations_grow() -> None:
    """CPython counts what is made less what is freed: left alone, it would look at all of it one day, in one step."""
    alone, _ = told_of_a_full_store("nullcontext")
    assert alone > 90_000
    largest, after = told_of_a_full_store("collector.rounds")
    assert largest < 50_000
    assert after >= 500, "rounds go on after their block"
