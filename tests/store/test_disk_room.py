"""A level stays within its size: the oldest leave, but not before those that memory does not serve."""

# ruff: noqa: ASYNC240 (a test may wait for its own files)

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from seawall.policy.entry import Part
from seawall.store.disk import DiskLevel, culling, open_disk, room
from seawall.store.disk.room import Culled, Victim
from seawall.store.level import Names, Used
from seawall.store.stored import Stored
from tests.store import disk_check
from tests.store.level_contract import SITE, forget, held, item, put

SIZE = 4_000_000
BODY = 100_000


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def objects(count: int, first: int = 0, body_bytes: int = BODY) -> list[Stored]:
    return [item(f"/{number}", bytes([number % 256]) * body_bytes) for number in range(first, first + count)]


async def put_each(level: DiskLevel, items: Sequence[Stored]) -> None:
    """One after another, so that each is used later than the one before."""
    for each in items:
        assert await put(level, each) == [None]
        await level.settled()


async def test_the_oldest_leave_until_there_is_room_again(directory: Path) -> None:
    level = await open_disk(directory, size_bytes=SIZE, whole_bytes=SIZE)
    items = objects(60)
    await put_each(level, items)
    usage = level.usage()
    assert SIZE * 0.85 < usage.bytes <= SIZE
    assert usage.evicted == 60 - usage.entries
    assert await held(level, items) == {each.name for each in items[usage.evicted :]}
    disk_check.check(directory)
    await level.close()


async def test_what_was_used_leaves_last(directory: Path) -> None:
    level = await open_disk(directory, size_bytes=SIZE, whole_bytes=SIZE)
    items = objects(60)
    await put_each(level, items[:30])
    await level.write([Used((items[0].name, items[3].name))])
    await put_each(level, items[30:])
    left = await held(level, items)
    assert items[0].name in left
    assert items[3].name in left
    assert items[1].name not in left
    await level.close()


async def test_what_memory_serves_leaves_last(directory: Path) -> None:
    asked: list[str] = []

    def alive(names: Sequence[str]) -> Sequence[str]:
        asked.extend(names)
        return [name for name in names if name == f"{SITE}/0"]

    level = await open_disk(directory, size_bytes=SIZE, whole_bytes=SIZE, alive=alive)
    items = objects(60)
    await put_each(level, items)
    left = await held(level, items)
    assert items[0].name in left
    assert items[1].name not in left
    assert items[1].name in asked
    await level.close()


async def test_a_memory_that_serves_everything_cannot_stop_the_cull(directory: Path) -> None:
    asked: list[int] = []

    def alive(names: Sequence[str]) -> Sequence[str]:
        asked.append(len(names))
        return names

    level = await open_disk(directory, size_bytes=SIZE, whole_bytes=SIZE, alive=alive)
    await put_each(level, objects(60))
    assert level.usage().bytes <= SIZE
    assert asked
    await level.close()


async def test_a_cull_goes_down_to_what_it_says_in_bounded_steps(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    spared: list[int] = []

    async def watched(*given: object) -> None:
        bytes_held, size_bytes, alive, oldest, drop = given

        async def counted(victims: list[object], kept: list[object]) -> object:
            steps.append(len(victims))
            spared.append(len(kept))
            return await drop(victims, kept)  # type: ignore[operator]

        await culling.cull(bytes_held, size_bytes, alive, oldest, counted)  # type: ignore[arg-type]

    monkeypatch.setattr("seawall.store.disk.disklevel.cull", watched)
    level = await open_disk(directory, size_bytes=SIZE, whole_bytes=SIZE)
    # Many small ones, all in one batch: far over the size at once.
    await put(level, *objects(3000, body_bytes=3000))
    assert level.usage().bytes > 2 * SIZE
    await level.settled()
    assert level.usage().bytes <= SIZE * culling.LEAVE
    assert level.usage().bytes > SIZE * 0.9
    assert max(steps) <= 200
    assert len(steps) > 5
    await level.close()


async def test_what_is_used_between_the_choice_and_the_cull_stays(directory: Path) -> None:
    level = await open_disk(directory, size_bytes=SIZE, whole_bytes=SIZE)
    items = objects(2)
    await put_each(level, items)
    index = await level.opened()
    victims = room.oldest(index, SIZE)
    assert [victim.name for victim in victims] == [each.name for each in items]
    await level.write([Used((items[0].name,))])
    culled = room.drop(index, victims, (), 0.0)
    assert (culled.dropped, culled.entries) == (1, 1)
    for file in culled.files:
        index.files.remove(file)
    index.close()
    assert await held(level, items) == {items[0].name}
    await level.close()
    disk_check.check(directory)


async def test_a_cull_that_meets_only_what_was_used_meanwhile_gives_up() -> None:
    async def oldest(_: int) -> list[Victim]:
        return [Victim(1, "a", 0.0, 100)]

    async def used_meanwhile(_victims: object, _spared: object) -> Culled:
        return Culled(0, 1, 1000, [])

    async with asyncio.timeout(5):
        await culling.cull(1000, 500, None, oldest, used_meanwhile)


async def test_what_is_larger_than_the_level_is_refused_and_changes_nothing(directory: Path) -> None:
    level = await open_disk(directory, size_bytes=SIZE, whole_bytes=SIZE)
    await put(level, item("/a", b"old"))
    assert await put(level, item("/a", b"x" * (SIZE + 1)), item("/b")) == ["too-large", None]
    assert await held(level, [item("/a"), item("/b")]) == {f"{SITE}/a", f"{SITE}/b"}
    await level.close()


@pytest.mark.parametrize("body_bytes", [0, 1000, 20_000, 50_000])
@pytest.mark.parametrize("tags", [(), ("t1", "t2", "a-somewhat-longer-tag")])
async def test_what_is_counted_is_what_the_disk_holds(directory: Path, body_bytes: int, tags: tuple[str, ...]) -> None:
    level = await open_disk(directory, size_bytes=1 << 40, whole_bytes=0)
    for first in range(0, 1200, 300):
        items = [item(f"/a/path/{number}", b"x" * body_bytes, tags=tags) for number in range(first, first + 300)]
        await put(level, *items)
    counted = level.usage().bytes
    await level.close()
    files = [file.stat() for file in directory.rglob("*") if file.is_file()]
    truly = sum(max(status.st_blocks * 512, status.st_size) for status in files)
    assert truly * 0.75 < counted < truly * 1.6


async def test_room_in_the_database_is_given_back_to_the_disk(directory: Path) -> None:
    level = await open_disk(directory, size_bytes=40_000_000, whole_bytes=SIZE)
    await put(level, *objects(1500, body_bytes=20_000))
    await level.close()
    before = (directory / "cache.db").stat().st_size
    assert before > 25_000_000
    # Smaller from now on.
    level = await open_disk(directory, size_bytes=2_000_000, whole_bytes=SIZE)
    await put(level, item("/a"))
    await level.settled()
    assert level.usage().bytes <= 2_000_000
    await level.close()
    assert (directory / "cache.db").stat().st_size < before / 2


async def test_a_row_without_its_time_leaves_first_and_does_not_stop_the_cull(directory: Path) -> None:
    level = await open_disk(directory, size_bytes=SIZE, whole_bytes=SIZE)
    items = objects(60)
    await put_each(level, items[:30])
    with sqlite3.connect(directory / "cache.db") as con:
        con.execute("UPDATE objects SET used_at = 'yesterday' WHERE id % 2")
    con.close()
    await put_each(level, items[30:])
    assert level.usage().bytes <= SIZE
    await level.close()


async def test_of_too_many_variants_of_a_key_the_newest_stay(directory: Path) -> None:
    level = await open_disk(directory, size_bytes=1 << 30, whole_bytes=SIZE)
    items = [item("/", b"%d" % number, varied=(("cookie", str(number)),)) for number in range(100)]
    others = [item("/other"), item("/", part=Part(0, 1, 9, ""))]
    await put_each(level, [*others, *items])
    assert await held(level, items) == {each.name for each in items[-64:]}
    assert await held(level, others[:1]) == {others[0].name}
    assert level.usage().entries == 65
    disk_check.check(directory)
    await level.close()


async def test_forgetting_makes_room(directory: Path) -> None:
    level = await open_disk(directory, size_bytes=SIZE, whole_bytes=SIZE)
    await put(level, *objects(20))
    await forget(level, Names(all=True))
    assert (level.usage().bytes, level.usage().entries) == (0, 0)
    await level.settled()
    assert disk_check.body_files(directory) == set()
    await level.close()
