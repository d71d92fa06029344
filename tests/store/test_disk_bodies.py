"""Bodies too large for memory: any part of them, each octet proven before it is handed out."""

from __future__ import annotations

import asyncio
import os
import random
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from seawall.http.body import BodyBroken, BodyReader
from seawall.store.codec import BLOCK_BYTES
from seawall.store.disk import DiskLevel, open_disk
from seawall.store.disk.bodies import BodyFile, Descriptor
from seawall.store.level import Names
from seawall.store.stored import Filed, Gone
from tests.store import disk_check
from tests.store.level_contract import SITE, bodies, forget, item, octets, put

BODY = random.Random(1).randbytes(3 * BLOCK_BYTES + 1000)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
async def level(directory: Path) -> AsyncIterator[DiskLevel]:
    level = await open_disk(directory, size_bytes=1 << 30, whole_bytes=BLOCK_BYTES)
    yield level
    await level.close()


async def filed(level: DiskLevel, path: str = "/") -> Filed:
    [found] = (await level.read(SITE + path)).items
    assert not isinstance(found.body, tuple)
    return found.body


def only_file(directory: Path) -> Path:
    [name] = disk_check.body_files(directory)
    return directory / name


async def rest(reader: BodyReader) -> bytes:
    pieces = []
    while piece := await reader.read():
        pieces.append(piece)
    return b"".join(pieces)


def flip(file: Path, at: int) -> None:
    changed = bytearray(file.read_bytes())
    changed[at] ^= 1
    file.write_bytes(changed)


async def test_a_body_up_to_the_limit_is_read_into_memory_and_a_larger_one_is_not(level: DiskLevel) -> None:
    await put(level, item("/a", BODY[:BLOCK_BYTES]), item("/b", BODY[: BLOCK_BYTES + 1]))
    [small] = (await level.read(SITE + "/a")).items
    assert small.body == (BODY[:BLOCK_BYTES],)
    large = await filed(level, "/b")
    assert large.length == BLOCK_BYTES + 1
    assert await bodies(level, "/b") == {BODY[: BLOCK_BYTES + 1]}


async def test_a_file_begins_with_the_first_octet_and_ends_with_the_last(level: DiskLevel, directory: Path) -> None:
    await put(level, item(body=BODY))
    assert only_file(directory).read_bytes() == BODY


@pytest.mark.parametrize(
    ("first", "stop"),
    [
        (0, len(BODY)),
        (0, 0),
        (0, 1),
        (len(BODY), len(BODY)),
        (len(BODY) - 1, len(BODY)),
        (BLOCK_BYTES - 1, BLOCK_BYTES + 1),
        (BLOCK_BYTES, 2 * BLOCK_BYTES),
        (5, 3 * BLOCK_BYTES + 5),
        (100, 200),
    ],
)
async def test_any_part_can_be_read(level: DiskLevel, first: int, stop: int) -> None:
    await put(level, item(body=BODY))
    reader = await (await filed(level)).open(first, stop)
    assert reader.length == stop - first
    assert await rest(reader) == BODY[first:stop]
    assert await reader.read() == b""
    reader.close()
    reader.close()


@pytest.mark.parametrize(("first", "stop"), [(-1, 5), (5, 4), (0, len(BODY) + 1)])
async def test_a_part_that_is_none_is_a_mistake_of_the_caller(level: DiskLevel, first: int, stop: int) -> None:
    await put(level, item(body=BODY))
    with pytest.raises(ValueError):
        await (await filed(level)).open(first, stop)


@pytest.mark.parametrize("how", ["forgotten", "replaced", "unlinked", "closed"])
async def test_who_has_begun_to_read_reads_to_the_end(level: DiskLevel, directory: Path, how: str) -> None:
    await put(level, item(body=BODY))
    body = await filed(level)
    reader = await body.open(0, len(BODY))
    first = await reader.read()
    if how == "forgotten":
        await forget(level, Names(all=True))
    elif how == "replaced":
        await put(level, item(body=BODY[::-1]))
    else:
        only_file(directory).unlink()
    await level.settled()
    if how == "closed":
        await level.close()
        with pytest.raises(BodyBroken):
            await rest(reader)
        return
    assert first + await rest(reader) == BODY
    with pytest.raises(Gone):
        await body.open(0, 1)


async def test_a_reader_that_is_closed_early_lets_its_file_go(level: DiskLevel) -> None:
    await put(level, item(body=BODY))
    body = await filed(level)
    before = len(os.listdir("/proc/self/fd"))
    readers = [await body.open(0, len(BODY)) for _ in range(20)]
    assert len(os.listdir("/proc/self/fd")) == before + 20
    for reader in readers:
        reader.close()
        with pytest.raises(BodyBroken):
            await rest(reader)
    await level.settled()
    assert len(os.listdir("/proc/self/fd")) == before


async def test_a_body_damaged_in_its_first_block_is_gone_before_an_octet_is_out(
    level: DiskLevel, directory: Path
) -> None:
    await put(level, item(body=BODY))
    body = await filed(level)
    flip(only_file(directory), BLOCK_BYTES + 5)
    with pytest.raises(Gone):
        await body.open(BLOCK_BYTES, BLOCK_BYTES + 1)
    await level.settled()
    assert level.usage().damaged == 1
    assert level.usage().entries == 0, "it was not dropped"
    assert (await level.read(SITE + "/")).items == ()
    disk_check.check(directory)


async def test_a_body_damaged_further_on_breaks_off_before_the_damage(level: DiskLevel, directory: Path) -> None:
    await put(level, item(body=BODY))
    reader = await (await filed(level)).open(10, len(BODY))
    flip(only_file(directory), 2 * BLOCK_BYTES)
    assert await reader.read() == BODY[10:BLOCK_BYTES]
    assert await reader.read() == BODY[BLOCK_BYTES : 2 * BLOCK_BYTES]
    with pytest.raises(BodyBroken):
        await reader.read()
    with pytest.raises(BodyBroken):
        await reader.read()
    await level.settled()
    assert (level.usage().damaged, level.usage().entries) == (1, 0)


@pytest.mark.parametrize("size", [40_000, len(BODY)])
@pytest.mark.parametrize("how", ["cut", "longer", "empty", "gone", "directory", "link"])
async def test_a_file_of_another_length_or_kind_is_a_miss(
    level: DiskLevel, directory: Path, size: int, how: str
) -> None:
    await put(level, item(body=BODY[:size]))
    file = only_file(directory)
    if how in ("gone", "directory", "link"):
        file.rename(directory.parent / "elsewhere")
        if how == "directory":
            file.mkdir()
        elif how == "link":
            file.symlink_to(directory.parent / "elsewhere")
    else:
        file.write_bytes({"cut": BODY[: size - 1], "longer": BODY[:size] + b"x", "empty": b""}[how])
    assert (await level.read(SITE + "/")).items == ()
    await level.settled()
    assert (level.usage().damaged, level.usage().entries) == (1, 0)


@pytest.mark.parametrize("size", [40_000, len(BODY)])
async def test_a_body_replaced_between_the_look_and_the_opening_is_no_damage(
    level: DiskLevel, directory: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    await put(level, item(body=b"o" * size))
    opens = BodyFile.open
    looked = threading.Event()
    go_on = threading.Event()

    def late(file: BodyFile) -> Descriptor:
        looked.set()
        go_on.wait(10)
        return opens(file)

    monkeypatch.setattr(BodyFile, "open", late)
    reading = asyncio.ensure_future(bodies(level))
    await asyncio.to_thread(looked.wait, 10)
    await put(level, item(body=b"n" * size))
    await _unlinked(directory)
    go_on.set()
    assert await reading == {b"n" * size}
    assert level.usage().damaged == 0


async def _unlinked(directory: Path) -> None:
    """The older one is: that is done behind the write."""
    while len(disk_check.body_files(directory)) > 1:  # noqa: ASYNC110 (a thread of the level does it, untold)
        await asyncio.sleep(0.001)


async def test_bodies_that_changed_places_are_misses(level: DiskLevel, directory: Path) -> None:
    await put(level, item("/a", BODY[:100_000]), item("/b", BODY[1:100_001]))
    one, other = (directory / name for name in disk_check.body_files(directory))
    one.rename(directory / "between")
    other.rename(one)
    (directory / "between").rename(other)
    assert await bodies(level, "/a") == await bodies(level, "/b") == set()
    assert level.usage().damaged == 2


async def test_a_refresh_leaves_the_body_where_it_is(level: DiskLevel, directory: Path) -> None:
    await put(level, item(body=BODY))
    file = only_file(directory)
    inode = file.stat().st_ino
    [found] = (await level.read(SITE + "/")).items
    await put(level, item("/", BODY, ("ETag", '"2"')))
    assert only_file(directory).stat().st_ino == inode
    assert await octets(found) == BODY, "who found it before reads it still"


async def test_a_body_moves_to_another_name_with_its_response(level: DiskLevel, directory: Path) -> None:
    """A validation may bring another Vary: the same body, and a variant of another name."""
    from dataclasses import replace

    from seawall.store.stored import stored

    await put(level, item(body=BODY))
    [found] = (await level.read(SITE + "/")).items
    moved = stored(found.key, replace(found.entry, varied=(("accept", "x"),)), found.body)
    assert await put(level, moved) == [None]
    await level.settled()
    [again] = (await level.read(SITE + "/")).items
    assert again.name == moved.name
    assert await octets(again) == BODY
    disk_check.check(directory)


async def test_a_body_that_left_cannot_be_put_again(level: DiskLevel, directory: Path) -> None:
    await put(level, item(body=BODY))
    [found] = (await level.read(SITE + "/")).items
    await forget(level, Names(all=True))
    assert await put(level, found) == ["gone"]
    assert (await level.read(SITE + "/")).items == ()
    await level.settled()
    disk_check.check(directory)


async def test_a_body_of_another_level_is_refused(level: DiskLevel, tmp_path: Path) -> None:
    other = await open_disk(tmp_path / "other", size_bytes=1 << 30, whole_bytes=0)
    await put(other, item(body=BODY))
    [found] = (await other.read(SITE + "/")).items
    assert await put(level, found) == ["foreign"]
    await other.close()
