"""A large body on its way in: readable while it grows, whole or not there, and nothing left over."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from seawall.store.disk import DiskLevel, bodies, open_disk
from seawall.store.disk.spool import COALESCE_BYTES
from seawall.store.level import Forget, How, LevelDown, Names, Put, Spool, Stamp
from seawall.store.stored import Filed, Gone, Stored, stored
from tests.store import disk_check
from tests.store.level_contract import ALONE, NOW, SITE, entry, item, octets, put

BODY = random.Random(2).randbytes(3_000_000)
PIECE = 50_000


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
async def level(directory: Path) -> AsyncIterator[DiskLevel]:
    level = await open_disk(directory, size_bytes=16 << 20, whole_bytes=100_000)
    yield level
    await level.close()


def begun(level: DiskLevel) -> Spool:
    spool = level.spool()
    assert spool is not None
    return spool


async def fill(spool: Spool, body: bytes = BODY) -> None:
    for at in range(0, len(body), PIECE):
        await spool.write(body[at : at + PIECE])


async def spooled(level: DiskLevel, body: bytes = BODY) -> Filed:
    spool = begun(level)
    await fill(spool, body)
    return await spool.finish()


def response(body: Filed) -> Stored:
    return stored(SITE + "/", entry(), body)


def on_its_way(directory: Path) -> set[str]:
    return {file.name for file in directory.glob("spool/*/*")} - {"lock", "ballast"}


async def read_all(spool: Spool, stop: int, most: int = 70_000) -> bytes:
    read = b""
    while len(read) < stop:
        read += await spool.read(len(read), min(most, stop - len(read)))
    return read


@pytest.mark.parametrize("size", [0, 1, 40_000, 262_144, len(BODY)])
async def test_what_was_spooled_and_put_is_found(level: DiskLevel, directory: Path, size: int) -> None:
    body = await spooled(level, BODY[:size])
    assert body.length == size
    assert await put(level, response(body)) == [None]
    assert on_its_way(directory) == set()
    [found] = (await level.read(SITE + "/")).items
    assert await octets(found) == BODY[:size]
    del body
    gc.collect()
    await level.settled()
    disk_check.check(directory)


async def test_what_is_taken_can_be_read_at_once(level: DiskLevel) -> None:
    spool = begun(level)
    for at in range(0, len(BODY), PIECE):
        await spool.write(BODY[at : at + PIECE])
        assert spool.written == at + PIECE
        assert await spool.read(at, PIECE) == BODY[at : at + PIECE]
        assert await spool.read(at + PIECE - 1, 99) == BODY[at + PIECE - 1 : at + PIECE]
    assert await read_all(spool, len(BODY)) == BODY


async def test_what_a_slow_disk_has_not_taken_is_read_from_memory(
    level: DiskLevel, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    write = bodies.Descriptor.write

    def slow(*given: object) -> None:
        go_on.wait(10)
        write(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(bodies.Descriptor, "write", slow)
    spool = begun(level)
    taken = COALESCE_BYTES // PIECE * PIECE
    await fill(spool, BODY[:taken])
    assert await read_all(spool, taken) == BODY[:taken]
    waits = asyncio.ensure_future(spool.write(BODY[taken : taken + PIECE]))
    _, pending = await asyncio.wait([waits], timeout=0.05)
    assert pending, "no bound on what is ahead of the disk"
    go_on.set()
    await waits
    assert await read_all(spool, taken + PIECE) == BODY[: taken + PIECE]


async def test_readers_go_on_after_it_was_put_or_given_up(level: DiskLevel) -> None:
    kept, lost = begun(level), begun(level)
    for spool in (kept, lost):
        await fill(spool)
    await put(level, response(await kept.finish()))
    lost.abort()
    lost.abort()
    await level.settled()
    assert await read_all(kept, len(BODY)) == BODY
    assert await read_all(lost, len(BODY)) == BODY
    with pytest.raises(LevelDown):
        await lost.write(b"x")
    with pytest.raises(LevelDown):
        await lost.finish()


@pytest.mark.parametrize("how", ["aborted", "aborted at once", "aborted when whole", "dropped", "dropped when whole"])
async def test_what_is_not_put_leaves_nothing(level: DiskLevel, directory: Path, how: str) -> None:
    spool: Spool | None = begun(level)
    assert spool is not None
    if how != "aborted at once":
        await fill(spool)
        await level.settled()
    body = await spool.finish() if "whole" in how else None
    if how.startswith("aborted"):
        spool.abort()
    elif body is None:
        assert on_its_way(directory)
    del spool, body
    gc.collect()
    await level.settled()
    assert on_its_way(directory) == set()
    assert level.usage().entries == 0


async def test_a_body_can_be_read_before_it_is_put(level: DiskLevel) -> None:
    body = await spooled(level)
    reader = await body.open(5, len(BODY))
    await put(level, response(body))
    got = b""
    while piece := await reader.read():
        got += piece
    assert got == BODY[5:]
    assert await octets(response(body)) == BODY


async def test_a_body_that_was_refused_can_be_put_again_or_goes(level: DiskLevel, directory: Path) -> None:
    await level.write([Forget(Names(), How.DROP, NOW, Stamp("j", 1))])
    body = await spooled(level)
    assert await put(level, response(body)) == ["overtaken"]
    assert await octets(response(body)) == BODY
    assert await put(level, response(body), stamp=Stamp("j", 1)) == [None]
    other = await spooled(level, BODY[::-1])
    assert await put(level, response(other)) == ["overtaken"]
    del other
    gc.collect()
    await level.settled()
    assert on_its_way(directory) == set()
    disk_check.check(directory)


async def test_a_batch_that_fails_gives_the_body_back(
    level: DiskLevel, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from seawall.store.disk import batch

    body = await spooled(level)

    def fails(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(batch, "choose", fails)
        with pytest.raises(LevelDown):
            await level.write([Put(response(body), ALONE), Forget(Names(), How.DROP, NOW)])
    assert disk_check.body_files(directory) == set()
    assert await octets(response(body)) == BODY
    with pytest.raises(LevelDown):  # not yet tried again
        await put(level, response(body))
    await asyncio.sleep(1.05)
    assert await put(level, response(body)) == [None]
    [found] = (await level.read(SITE + "/")).items
    assert await octets(found) == BODY


async def test_the_one_that_is_put_takes_the_place_of_the_same_body(level: DiskLevel, directory: Path) -> None:
    """Memory holds the new one, and reads it from where that lies."""
    old, new = await spooled(level), await spooled(level)
    await put(level, response(old))
    await put(level, response(new))
    await level.settled()
    assert await octets(response(new)) == BODY
    with pytest.raises(Gone):
        await old.open(0, 1)
    disk_check.check(directory)


async def test_nothing_larger_than_the_level_is_taken_in(level: DiskLevel, directory: Path) -> None:
    spool = begun(level)
    with pytest.raises(LevelDown, match="too large"):
        await fill(spool, BODY * 100)
    assert spool.written <= 16 << 20
    del spool
    gc.collect()
    await level.settled()
    assert on_its_way(directory) == set()
    await put(level, response(await spooled(level)))  # what it had is given back


async def test_all_spools_together_hold_no_more_than_the_level(level: DiskLevel) -> None:
    spools = [begun(level) for _ in range(20)]
    with pytest.raises(LevelDown, match="too large"):
        await asyncio.gather(*(fill(spool, BODY[:1_000_000]) for spool in spools))


async def test_after_close_there_is_no_way_in(level: DiskLevel) -> None:
    spool = begun(level)
    await spool.write(b"x")
    await level.close()
    assert level.spool() is None
    with pytest.raises(LevelDown):
        await spool.finish()
    spool.abort()


async def test_what_a_dead_process_left_is_swept_and_what_a_living_one_has_is_not(directory: Path) -> None:
    dead = directory / "spool" / "dead"
    dead.mkdir(parents=True)
    for name in ("lock", "ballast", "0123"):
        (dead / name).touch()
    new = directory / "spool" / "being-made"
    new.mkdir()
    (directory / "ab").mkdir()
    (directory / "ab" / ("0" * 30 + ".val")).write_bytes(b"of a row that never was")
    first = await open_disk(directory, size_bytes=16 << 20, whole_bytes=0)
    living = begun(first)
    await fill(living)
    second = await open_disk(directory, size_bytes=16 << 20, whole_bytes=0)
    await second.settled()
    assert not dead.exists()
    assert new.exists(), "its process may not have locked it yet"
    body = await living.finish()
    assert await put(first, response(body), item("/a", b"a" * 100_000)) == [None, None]
    [found] = (await second.read(SITE + "/")).items
    assert await octets(found) == BODY
    disk_check.check(directory)
    await first.close()
    await second.close()
    assert {corner.name for corner in (directory / "spool").iterdir()} == {"being-made"}
