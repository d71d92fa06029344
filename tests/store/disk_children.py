"""What other processes do to a disk level: each function here is a child's whole life (see test_disk_trouble.py)."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import resource
from collections.abc import Callable, Sequence
from pathlib import Path

from seawall.store.disk import DiskLevel, open_disk
from seawall.store.level import Forget, How, LevelDown, Names, Put, Stamp
from seawall.store.stored import Gone, Stored
from tests.store import disk_check
from tests.store.level_contract import NOW, SITE, forget, held, item, octets, put

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["tests.store.disk_children"])


def run_each(*lives: tuple[Callable[..., None], tuple[object, ...]]) -> None:
    """Each in a process of its own, at the same time. Raises AssertionError where one fails; it says why itself."""
    children = [_PROCESSES.Process(target=life, args=given) for life, given in lives]
    for child in children:
        child.start()
    for child in children:
        child.join(50)
        if child.is_alive():
            child.kill()
            child.join()
    assert [child.exitcode for child in children] == [0] * len(children)


LIMIT_BYTES = 2 << 20


def with_limited_files(directory: Path) -> None:
    """No file may be longer than 2 MiB: what a quota or `ulimit -f` does, in the middle of a write."""
    asyncio.run(_with_limited_files(directory))


async def _with_limited_files(directory: Path) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, hard))
    level = await open_disk(directory, size_bytes=1 << 30, whole_bytes=1 << 30)
    items = [item(f"/{number}", bytes([number]) * 20_000, tags=(f"t{number % 2}",)) for number in range(250)]
    kept = 0
    for each in items:
        try:
            kept += await put(level, each) == [None]
        except LevelDown:
            continue
    assert 10 < kept < len(items), kept
    assert (directory / "cache.db").stat().st_size <= LIMIT_BYTES
    assert await put(level, item("/big", b"b" * (LIMIT_BYTES + 1))) in (["full"], [None])
    spool = level.spool()
    if spool is not None:
        try:
            for _ in range(30):
                await spool.write(b"s" * 100_000)
            raise AssertionError("more was taken than the limit lets through")
        except LevelDown:
            pass
    # Whatever is there is right, and a purge is carried out although nothing more can be stored.
    await _assert_right(level, items)
    for number in range(1, 100):
        try:
            wrote = await forget(level, Names(tags=("t1",)), after=Stamp("j", number))
            break
        except LevelDown:
            await asyncio.sleep(0.1)
    assert wrote.met is not None
    assert not {name for name in await held(level, items) if int(name.rpartition("/")[2]) % 2}
    # And when there is room again, it goes on by itself.
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    await asyncio.sleep(1.1)
    assert await put(level, item("/big", b"b" * (LIMIT_BYTES + 1)), stamp=level.stamp) == [None]
    await level.settled()
    await level.close()
    disk_check.check(directory)


async def _assert_right(level: DiskLevel, items: Sequence[Stored]) -> None:
    for each in items:
        for one in (await level.read(each.key)).items:
            assert await octets(one) == await octets(each)


def among_others(directory: Path, number: int, orders: int) -> None:
    """Writes, reads, forgets and culls in a directory where others do the same."""
    asyncio.run(_among_others(directory, number, orders))


async def _among_others(directory: Path, number: int, orders: int) -> None:
    chance = random.Random(number)
    level = await open_disk(directory, size_bytes=3_000_000, whole_bytes=150_000)
    done = 0
    for at in range(orders):
        # Each carries out all orders, as each node's worker does; who is second finds it done.
        order = Forget(Names(tags=(f"o{at}",)), How.DROP, NOW, Stamp("j", at + 1))
        puts = [_mixed(chance, at) for _ in range(chance.randrange(4))]
        try:
            wrote = await level.write([*(Put(each, Stamp("j", at) if at else Stamp()) for each in puts), order])
            done += sum(one.refused is None for one in wrote)
        except LevelDown as error:
            raise AssertionError(f"{number}: {error}") from error
        found = await level.read(f"{SITE}/{chance.randrange(30)}")
        assert found.stamp.number > at
        for each in found.items:
            assert f"o{at}" not in each.entry.tags, "it was to be forgotten"
            try:
                body = await octets(each)
            except Gone:
                continue  # another one has replaced it since
            assert body == body[:1] * each.body_bytes, "octets of two bodies"
            assert each.entry.headers["X-Body"] == f"{body[0]} {len(body)}"
    assert done > orders / 4
    await level.settled()
    assert (level.usage().failures, level.usage().damaged) == (0, 0)
    await level.close()


def _mixed(chance: random.Random, order: int) -> Stored:
    octet, size = chance.randrange(256), chance.choice((1, 100, 20_000, 50_000, 200_000))
    tags = (f"o{order + chance.randrange(3)}",)
    return item(f"/{chance.randrange(30)}", bytes([octet]) * size, ("X-Body", f"{octet} {size}"), tags=tags)
