"""A disk that is full, read-only, slow or shared costs hits; it heals by itself, and a purge is never lost."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from seawall.store.disk import DiskLevel, bodies, disklevel, open_disk
from seawall.store.disk.crew import Crew
from seawall.store.disk.index import Index
from seawall.store.disk.trouble import Patience
from seawall.store.disk.writer import Writer
from seawall.store.level import LevelDown, Names, Stamp
from seawall.store.stored import Gone
from tests.store import disk_check, disk_children
from tests.store.level_contract import SITE, assert_holds, forget, held, item, octets, put


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
async def level(directory: Path) -> AsyncIterator[DiskLevel]:
    level = await open_disk(directory, size_bytes=1 << 30, whole_bytes=1 << 20)
    yield level
    await level.close()


MOUNTED_BYTES = 6 << 20


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 6 MiB of our own, where this process may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    try:
        mount("-t", "tmpfs", "-o", f"size={MOUNTED_BYTES}", "tmpfs", str(place))
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("only root may mount a disk that is small enough to fill")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


async def after_the_pause() -> None:
    await asyncio.sleep(Patience.PAUSE_SECONDS + 0.05)


async def until_up(level: DiskLevel, *items: object) -> None:
    """Tries as the engine does, until it takes these in."""
    for _ in range(50):
        try:
            if set(await put(level, *items, stamp=level.stamp)) == {None}:  # type: ignore[arg-type]
                return
        except LevelDown:
            pass
        await asyncio.sleep(0.1)
    raise AssertionError("it does not come back")


# --- full ---


@pytest.mark.parametrize("body_bytes", [20_000, 100_000])
async def test_a_disk_smaller_than_the_level_evicts_and_goes_on(small_disk: Path, body_bytes: int) -> None:
    level = await open_disk(small_disk / "cache", size_bytes=1 << 30, whole_bytes=1 << 20)
    items = [item(f"/{number}", bytes([number]) * body_bytes) for number in range(240)]
    kept = full = down = 0
    for each in items:
        try:
            [refused] = await put(level, each)
        except LevelDown:
            down += 1
        else:
            kept += refused is None
            full += refused == "full"
        if full and not kept % 7:
            await asyncio.sleep(0.01)
    assert kept
    assert full
    assert not down, "a full disk is a reason to refuse, not to be down"
    await after_the_pause()
    await until_up(level, item("/last"))
    assert level.usage().evicted
    for each in items:
        for one in (await level.read(each.key)).items:
            assert await octets(one) == await octets(each)
    await level.settled()
    await level.close()
    disk_check.check(small_disk / "cache")


async def test_a_purge_is_carried_out_on_a_disk_that_others_filled(small_disk: Path) -> None:
    level = await open_disk(small_disk / "cache", size_bytes=1 << 30, whole_bytes=1 << 20)
    items = [item(f"/{number}", b"x" * 30_000, tags=("t",)) for number in range(30)]
    await put(level, *items)
    with (small_disk / "theirs").open("wb", buffering=0) as theirs:
        try:
            while theirs.write(b"x" * 4096):
                pass
        except OSError:
            pass
    assert os.statvfs(small_disk).f_bavail == 0
    wrote = await forget(level, Names(tags=("t",)), after=Stamp("j", 1))
    assert wrote.met is not None
    assert level.stamp == Stamp("j", 1)
    assert await held(level, items) == set()
    (small_disk / "theirs").unlink()
    await after_the_pause()
    await until_up(level, item("/new", b"n" * 1_000_000))
    await level.settled()
    await level.close()
    disk_check.check(small_disk / "cache")


async def test_a_spool_on_a_full_disk_breaks_and_leaves_nothing(small_disk: Path) -> None:
    level = await open_disk(small_disk / "cache", size_bytes=1 << 30, whole_bytes=1 << 20)
    spool = level.spool()
    assert spool is not None
    with pytest.raises(LevelDown):
        await _fill(spool, 200, b"s" * 100_000)
    read = await spool.read(0, 100_000)
    assert read == b"s" * 100_000, "what was taken can be read"
    assert level.spool() is None, "not again at once"
    del spool
    await level.settled()
    await after_the_pause()
    assert level.spool() is not None
    assert not {file.name for file in (small_disk / "cache").glob("spool/*/*")} - {"lock", "ballast"}
    await level.close()


async def _fill(spool: object, times: int, piece: bytes) -> None:
    for _ in range(times):
        await spool.write(piece)  # type: ignore[attr-defined]


def test_where_files_may_not_grow_it_stores_less_and_forgets_all_the_same(directory: Path) -> None:
    disk_children.run_each((disk_children.with_limited_files, (directory,)))


# --- read-only, unreadable, gone ---


async def test_a_read_only_disk_is_down_and_comes_back(small_disk: Path) -> None:
    level = await open_disk(small_disk / "cache", size_bytes=1 << 30, whole_bytes=1 << 20)
    await put(level, item("/a"), item("/b", b"b" * 100_000))
    await level.close()
    mount("-o", "remount,ro", str(small_disk))
    level = await open_disk(small_disk / "cache", size_bytes=1 << 30, whole_bytes=1 << 20)
    assert level.spool() is None
    for _ in range(3):
        with pytest.raises(LevelDown):
            await level.read(SITE + "/a")
        with pytest.raises(LevelDown):
            await put(level, item("/c"))
    assert level.usage().failures == 6
    mount("-o", "remount,rw", str(small_disk))
    await after_the_pause()
    await assert_holds(level, item("/a"), item("/b", b"b" * 100_000))
    await put(level, item("/c"))
    assert level.spool() is not None
    await level.close()


async def test_who_has_nothing_to_read_lets_go_of_files_that_somebody_removed(
    level: DiskLevel, directory: Path
) -> None:
    """They take room until then: on a small disk so much that nothing could ever be written again."""
    await put(level, item("/a"))
    await level._readers.drain(5.0)
    together = threading.Barrier(2)  # one read in each of the two threads

    def look(index: Index) -> None:
        with index.reading() as con:
            con.execute("SELECT 1")
        together.wait(5.0)

    index = await level.opened()
    await asyncio.gather(*(level._readers.run(lambda: look(level._held.take(index)), 5.0) for _ in range(2)))
    shutil.rmtree(directory)
    assert removed_but_open(directory)
    await put(level, item("/b"))
    async with asyncio.timeout(10):
        while removed_but_open(directory):  # noqa: ASYNC110 (the kernel tells nobody)
            await asyncio.sleep(0.001)
    await assert_holds(level, item("/b"))


def removed_but_open(directory: Path) -> list[str]:
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            target = str(link.readlink())
            if target.startswith(str(directory)) and target.endswith("(deleted)"):
                found.append(target)
    return found


async def test_a_level_that_fails_is_tried_once_in_a_second(level: DiskLevel, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[float] = []

    def fails(*_: object) -> None:
        tries.append(time.monotonic())
        raise OSError(5, "Input/output error")

    await put(level, item("/a"))
    with monkeypatch.context() as patched:
        patched.setattr(Index, "writing", fails)
        for _ in range(5):
            with pytest.raises(LevelDown):
                await put(level, item("/b"))
        assert len(tries) == 1
        await assert_holds(level, item("/a"))  # reading is another matter
        await after_the_pause()
        for _ in range(5):
            with pytest.raises(LevelDown):
                await put(level, item("/b"))
        assert len(tries) == 2
    assert level.spool() is None
    await after_the_pause()
    assert await put(level, item("/b")) == [None]
    assert level.usage().failures == 10
    assert level.spool() is not None


@pytest.mark.parametrize("what", ["file", "dangling link", "in a file"])
async def test_a_directory_that_cannot_be_is_a_level_that_is_down(tmp_path: Path, what: str) -> None:
    place = tmp_path / "place"
    if what == "dangling link":
        place.symlink_to(tmp_path / "nothing")
    else:
        place.touch()
    directory = place / "below" if what == "in a file" else place
    level = await open_disk(directory, size_bytes=1 << 20, whole_bytes=0)
    with pytest.raises(LevelDown):
        await level.read(SITE + "/")
    assert level.stamp == Stamp()
    assert level.usage().entries == 0
    place.unlink()
    await after_the_pause()
    assert await put(level, item()) == [None]
    await level.close()
    await level.close()
    with pytest.raises(LevelDown, match="closed"):
        await level.read(SITE + "/")


async def test_a_block_that_cannot_be_read_is_a_damaged_body(level: DiskLevel, monkeypatch: pytest.MonkeyPatch) -> None:
    await put(level, item("/a", b"a" * 100_000), item("/b"))

    def fails(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(bodies.Descriptor, "read", fails)
        assert (await level.read(SITE + "/a")).items == ()
    await level.settled()
    assert (level.usage().damaged, level.usage().failures) == (1, 0)
    await assert_holds(level, item("/b"))


async def test_a_process_without_descriptors_drops_nothing(level: DiskLevel, monkeypatch: pytest.MonkeyPatch) -> None:
    await put(level, item("/a", b"a" * 100_000))

    def fails(*_: object) -> None:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(bodies.BodyFile, "open", fails)
        with pytest.raises(LevelDown):
            await level.read(SITE + "/a")
    await after_the_pause()
    await assert_holds(level, item("/a", b"a" * 100_000))
    assert level.usage().damaged == 0


# --- slow ---


async def test_nobody_waits_for_a_disk_that_hangs(level: DiskLevel, monkeypatch: pytest.MonkeyPatch) -> None:
    await put(level, item("/a", b"a" * 2_000_000))
    [found] = (await level.read(SITE + "/a")).items
    assert not isinstance(found.body, tuple)
    go_on = threading.Event()
    with monkeypatch.context() as patched:
        patched.setattr(disklevel, "READ_SECONDS", 0.05)
        patched.setattr(disklevel, "WRITE_SECONDS", 0.05)
        patched.setattr(disklevel, "CLOSE_SECONDS", 0.1)
        patched.setattr(bodies, "READ_SECONDS", 0.05)
        patched.setattr(disklevel, "look", lambda *_: go_on.wait(10))
        patched.setattr(Writer, "write", lambda *_: go_on.wait(10))
        for _ in range(2):
            with pytest.raises(LevelDown):
                await level.read(SITE + "/a")
            await after_the_pause()
        with pytest.raises(LevelDown):
            await put(level, item("/b"))
        with pytest.raises(Gone):  # both readers hang
            await found.body.open(0, 1)
        began = time.monotonic()
        await level.close()
        assert time.monotonic() - began < 5
    go_on.set()


async def test_a_crowd_at_a_slow_disk_is_sent_away() -> None:
    go_on = threading.Event()
    crew = Crew("slow", 1, leave=lambda: None)
    waiting = [asyncio.ensure_future(crew.run(lambda: go_on.wait(10), 10)) for _ in range(512)]
    await asyncio.sleep(0)
    with pytest.raises(LevelDown, match="too many"):
        await crew.run(lambda: None, 10)
    go_on.set()
    await asyncio.gather(*waiting)
    assert await crew.run(lambda: 1, 10) == 1
    assert await crew.close(5)


async def test_what_nobody_waits_for_any_more_is_not_begun() -> None:
    go_on, begun = threading.Event(), []
    crew = Crew("slow", 1, leave=lambda: None)
    first = asyncio.ensure_future(crew.run(lambda: go_on.wait(10), 10))
    left = asyncio.ensure_future(crew.run(lambda: begun.append("left"), 10))
    await asyncio.sleep(0)
    left.cancel()
    go_on.set()
    await first
    await crew.run(lambda: begun.append("stayed"), 10)
    assert begun == ["stayed"]
    assert await crew.close(5)


async def test_a_cancelled_write_is_done_or_not_and_the_next_one_comes_after_it(level: DiskLevel) -> None:
    for number in range(20):
        write = asyncio.ensure_future(put(level, item("/a", b"%d" % number)))
        await asyncio.sleep(0 if number % 2 else 0.001)
        write.cancel()
        await asyncio.gather(write, return_exceptions=True)
        assert await put(level, item("/a", b"last")) == [None]
        await assert_holds(level, item("/a", b"last"))


async def test_the_event_loop_does_not_wait_for_the_disk(level: DiskLevel, directory: Path) -> None:
    """Somebody else holds the write lock: whatever would wait for it must wait in a thread."""
    con = sqlite3.connect(directory / "cache.db", isolation_level=None)
    con.execute("BEGIN IMMEDIATE")
    write = asyncio.ensure_future(put(level, item("/a")))
    turns = 0
    began = time.monotonic()
    while time.monotonic() - began < 0.2:
        await asyncio.sleep(0.001)
        turns += 1
    assert turns > 20
    assert (await level.read(SITE + "/a")).items == (), "a reader waits for no writer"
    assert not write.done()
    con.execute("ROLLBACK")
    con.close()
    assert await write == [None]


# --- shared ---


def test_processes_that_share_a_directory_keep_each_others_promises(directory: Path) -> None:
    disk_children.run_each(*((disk_children.among_others, (directory, number, 120)) for number in range(2)))
    assert len(list((directory / "spool").iterdir())) == 0
    disk_check.check(directory)


async def test_a_process_that_comes_second_sees_what_the_first_wrote(level: DiskLevel, directory: Path) -> None:
    second = await open_disk(directory, size_bytes=1 << 30, whole_bytes=0)
    await put(level, item("/a", tags=("t",)), item("/b", b"b" * 100_000))
    await assert_holds(second, item("/a", tags=("t",)), item("/b", b"b" * 100_000))
    await forget(second, Names(tags=("t",)), after=Stamp("j", 1))
    assert (await level.read(SITE + "/a")).items == ()
    assert (await level.read(SITE + "/a")).stamp == Stamp("j", 1)
    assert await put(level, item("/a")) == ["overtaken"]
    assert (await forget(level, Names(tags=("t",)), after=Stamp("j", 1))).met == {}
    await second.close()
    await assert_holds(level, item("/b", b"b" * 100_000))


async def test_two_processes_get_over_an_index_that_one_of_them_put_aside(level: DiskLevel, directory: Path) -> None:
    second = await open_disk(directory, size_bytes=1 << 30, whole_bytes=0)
    await put(level, item("/a"))
    with sqlite3.connect(directory / "cache.db") as con:
        con.execute("DELETE FROM meta")
    con.close()
    assert await put(level, item("/b", b"b" * 100_000)) == [None]  # the first puts it aside
    assert await put(second, item("/c", b"c" * 100_000)) == [None]  # the second goes with it
    for each in (level, second):
        await assert_holds(each, item("/b", b"b" * 100_000), item("/c", b"c" * 100_000))
    await second.close()
    await level.settled()
    disk_check.check(directory)
