"""What is in the index is ours or it is not believed: planted rows, flipped bits, other versions, others' files."""

# ruff: noqa: ASYNC240 (a test may wait for its own files)

from __future__ import annotations

import logging
import os
import pickle
import shutil
import sqlite3
import stat
from collections.abc import AsyncIterator
from importlib.metadata import version
from pathlib import Path

import diskcache  # type: ignore[import-untyped]
import pytest

from seawall.policy.invalidate import invalidated
from seawall.store.codec import Damaged
from seawall.store.disk import DiskLevel, open_disk
from seawall.store.disk.bytesdisk import BytesDisk, is_ours
from seawall.store.level import Forget, How, Names, Reset, Stamp
from tests.store import disk_check
from tests.store.level_contract import NOW, SITE, assert_holds, bodies, forget, item, put


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "cache"


async def opened(directory: Path) -> DiskLevel:
    return await open_disk(directory, size_bytes=1 << 30, whole_bytes=1 << 20)


@pytest.fixture
async def level(directory: Path) -> AsyncIterator[DiskLevel]:
    level = await opened(directory)
    yield level
    await level.close()


def plant(directory: Path, statement: str, *values: object) -> None:
    """As somebody would who can write to the database, or a bit that flips."""
    with sqlite3.connect(directory / "cache.db") as con:
        assert con.execute(statement, values).rowcount
    con.close()


def said(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, object]]:
    return [record.__dict__["fields"] for record in caplog.records if record.getMessage() == event]


def test_the_private_parts_of_diskcache_are_those_of_the_version_we_know() -> None:
    """Index overrides or uses these. Another version: read its core.py first, then change this."""
    assert version("diskcache") == "5.6.3"
    assert isinstance(diskcache.Cache.__dict__["_con"], property)
    assert isinstance(diskcache.Cache.__dict__["_sql"], property)
    names = diskcache.Cache.__init__.__code__.co_names
    assert {"_local", "_timeout", "_disk", "_sql_retry"} <= {*names}
    # Whatever may unpickle is overridden.
    pickling = {
        name
        for name, member in vars(diskcache.Disk).items()
        if hasattr(member, "__code__") and "pickle" in member.__code__.co_names
    }
    assert pickling == {"put", "get", "store", "fetch"}
    assert pickling <= vars(BytesDisk).keys()


class Bomb:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def test_the_bomb_goes_off_where_it_is_unpickled(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Bomb(tmp_path / "boom")))
    assert (tmp_path / "boom").exists()


@pytest.mark.parametrize("where", ["row", "file", "key"])
async def test_a_planted_pickle_is_a_miss_and_never_run(
    level: DiskLevel, directory: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    caplog.set_level(logging.INFO, "seawall")
    await put(level, item("/a?secret=1"), item("/b", b"b" * 100_000), item("/c"))
    bomb = pickle.dumps(Bomb(tmp_path / "boom"))
    path = "/a?secret=1"
    if where == "row":
        plant(directory, "UPDATE Cache SET mode = 4, value = ? WHERE key = ?", bomb, SITE + path)
    elif where == "key":
        plant(directory, "UPDATE Cache SET raw = 0, key = ? WHERE key = ?", bomb, SITE + path)
    else:
        path = "/b"
        plant(directory, "UPDATE Cache SET mode = 4 WHERE key = ?", SITE + path)
        [name] = disk_check.body_files(directory)
        (directory / name).write_bytes(bomb)
    assert await bodies(level, path) == set()
    await level.settled()
    assert not (tmp_path / "boom").exists()
    assert (level.usage().damaged, level.usage().entries) == (1, 2)
    [event] = said(caplog, "disk.damaged")
    assert event["url"] == SITE + path.partition("?")[0], "a query may be somebody's secret"
    assert await bodies(level, path) == set()
    assert level.usage().damaged == 1, "it was not dropped"
    assert await bodies(level, "/c") == {b"body"}
    disk_check.check(directory)


async def test_diskcache_s_own_door_leads_to_no_pickle(level: DiskLevel, directory: Path, tmp_path: Path) -> None:
    await put(level, item("/a"))
    plant(directory, "UPDATE Cache SET mode = 4, value = ?", pickle.dumps(Bomb(tmp_path / "boom")))
    index = await level.opened()
    with pytest.raises(Damaged):
        index.get(SITE + "/a")
    with pytest.raises(Damaged):
        index.disk.get(pickle.dumps(Bomb(tmp_path / "boom")), False)
    with pytest.raises(TypeError):
        index.set(SITE + "/b", Bomb(tmp_path / "boom"))
    with pytest.raises(TypeError):
        index.set(Bomb(tmp_path / "boom"), b"")
    assert not (tmp_path / "boom").exists()
    index.close()


@pytest.mark.parametrize("name", ["../victim", "victim", "/etc/passwd", "ab/../../../victim", "", "ab/" + "0" * 30])
async def test_a_row_names_no_file_but_ours(level: DiskLevel, directory: Path, name: str) -> None:
    victim = directory.parent / "victim"
    victim.write_bytes(b"b" * 100_000)
    (directory / "victim").write_bytes(b"b" * 100_000)
    await put(level, item("/b", b"b" * 100_000))
    assert not is_ours(name)
    plant(directory, "UPDATE Cache SET filename = ?", name)
    assert await bodies(level, "/b") == set()
    await forget(level, Names(all=True))
    await level.settled()
    assert victim.exists()
    assert (directory / "victim").exists()


async def test_a_setting_that_is_not_ours_has_no_effect(directory: Path) -> None:
    level = await opened(directory)
    await put(level, item("/a"))
    await level.close()
    plant(directory, "INSERT INTO Settings VALUES ('sqlite_synchronous_', 0), ('disk_evil', 1), ('_disk', 2)")
    plant(directory, "UPDATE Settings SET value = 'lowered' WHERE key IN ('cull_limit', 'sqlite_journal_mode')")
    level = await opened(directory)
    await assert_holds(level, item("/a"))
    await level.close()
    with sqlite3.connect(directory / "cache.db") as con:
        settings = dict(con.execute("SELECT key, value FROM Settings"))
    con.close()
    assert not {"sqlite_synchronous_", "disk_evil", "_disk"} & settings.keys()
    assert (settings["cull_limit"], settings["sqlite_journal_mode"]) == (0, "wal")


# --- rights ---


async def test_nobody_else_can_read_it(directory: Path) -> None:
    before = os.umask(0)
    try:
        level = await opened(directory)
        await put(level, item("/a"), item("/b", b"b" * 100_000))
        spool = level.spool()
        assert spool is not None
        await spool.write(b"x")
        disk_check.assert_private(directory)
        await level.close()
    finally:
        os.umask(before)
    disk_check.assert_private(directory)


async def test_an_empty_directory_that_was_made_for_it_is_closed_to_others(directory: Path) -> None:
    directory.mkdir(mode=0o755)
    await (await opened(directory)).close()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


async def test_a_directory_that_others_use_keeps_its_rights(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    directory.mkdir()
    directory.chmod(0o1777)
    (directory / "theirs").touch()
    await (await opened(directory)).close()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o1777
    assert said(caplog, "disk.exposed")


@pytest.mark.parametrize(("size_bytes", "whole_bytes"), [(0, 0), (-1, 0), (1, -1)])
async def test_a_size_that_is_none_is_a_mistake_of_the_caller(
    directory: Path, size_bytes: int, whole_bytes: int
) -> None:
    with pytest.raises(ValueError):
        await open_disk(directory, size_bytes=size_bytes, whole_bytes=whole_bytes)


# --- an index that is not ours any more ---


def _garbage(file: Path) -> None:
    file.write_bytes(b"garbage " * 1000)


def _directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _link(file: Path) -> None:
    file.rename(file.with_name("elsewhere"))
    file.symlink_to("elsewhere")


def _of_tomorrow(file: Path) -> None:
    with sqlite3.connect(file) as con:
        con.execute("PRAGMA user_version = 99")
    con.close()


def _of_others(file: Path) -> None:
    file.unlink()
    with sqlite3.connect(file) as con:
        con.execute("CREATE TABLE theirs (a)")
    con.close()


def _orders_flipped(file: Path) -> None:
    plant(file.parent, "UPDATE meta SET number = number + 64")


def _orders_gone(file: Path) -> None:
    plant(file.parent, "DELETE FROM meta")


def _counter_gone(file: Path) -> None:
    plant(file.parent, "DELETE FROM Settings WHERE key = 'size'")


def _table_gone(file: Path) -> None:
    with sqlite3.connect(file) as con:
        con.execute("DROP TABLE meta")
    con.close()


SPOILERS = [_garbage, _directory, _link, _of_tomorrow, _of_others, _orders_flipped, _orders_gone]


@pytest.mark.parametrize("spoil", SPOILERS)
async def test_an_index_that_is_none_is_put_aside_and_begun_anew(
    directory: Path, caplog: pytest.LogCaptureFixture, spoil: object
) -> None:
    level = await opened(directory)
    await put(level, item("/a"), item("/b", b"b" * 100_000))
    await level.close()
    assert callable(spoil)
    spoil(directory / "cache.db")
    level = await opened(directory)
    assert said(caplog, "disk.begun_anew")
    assert await bodies(level, "/a") == set()
    await put(level, item("/c"))
    await level.settled()
    assert level.usage().damaged == 1
    assert (directory / "cache.db.spoiled").exists()
    disk_check.check(directory)  # the body without a row is swept
    await level.close()
    level = await opened(directory)
    assert await bodies(level, "/c") == {b"body"}
    await level.close()


async def test_only_one_spoiled_index_is_kept(directory: Path) -> None:
    for garbage in (b"first", b"second"):
        level = await opened(directory)
        await level.close()
        (directory / "cache.db").write_bytes(garbage * 1000)
    await (await opened(directory)).close()
    assert (directory / "cache.db.spoiled").read_bytes() == b"second" * 1000
    assert {file.name for file in directory.iterdir()} == {"cache.db", "cache.db.spoiled", "lock", "spool"}


@pytest.mark.parametrize("spoil", [_orders_flipped, _orders_gone, _counter_gone, _table_gone])
async def test_an_index_spoiled_at_work_is_replaced_at_work(
    level: DiskLevel, directory: Path, caplog: pytest.LogCaptureFixture, spoil: object
) -> None:
    await level.write([Forget(Names(), How.DROP, NOW, Stamp("j", 1))])
    await put(level, item("/a"), stamp=Stamp("j", 1))
    assert callable(spoil)
    spoil(directory / "cache.db")
    await level.settled()
    assert await put(level, item("/c"), stamp=Stamp("j", 1)) == [None], "an empty one has survived all orders"
    assert (await level.read(SITE + "/a")).items == ()
    assert (await level.read(SITE + "/c")).stamp == Stamp("j", 1)
    assert said(caplog, "disk.lost")
    assert level.usage().damaged == 1
    assert level.usage().failures == 0
    await level.settled()
    disk_check.check(directory)


async def test_a_directory_that_is_removed_at_work_is_made_anew(level: DiskLevel, directory: Path) -> None:
    await put(level, item("/a"), item("/b", b"b" * 100_000))
    shutil.rmtree(directory)
    assert await put(level, item("/c"), item("/d", b"d" * 100_000)) == [None, None]
    await assert_holds(level, item("/c"), item("/d", b"d" * 100_000))
    assert (await level.read(SITE + "/a")).items == ()
    await level.settled()
    disk_check.check(directory)


async def test_a_corner_that_is_removed_at_work_is_made_anew(level: DiskLevel, directory: Path) -> None:
    shutil.rmtree(directory / "spool")
    assert await put(level, item("/d", b"d" * 100_000)) == [None]
    spool = level.spool()
    assert spool is not None
    await spool.write(b"x" * 100_000)
    await assert_holds(level, item("/d", b"d" * 100_000))


# --- bits that flip in it ---


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE objects SET epoch = epoch + 1",
        "UPDATE objects SET epoch = 2, epoch_guard = -2",
        "UPDATE objects SET stale_at = NULL",
        "UPDATE objects SET stale_at = stale_at + 1000",
        "UPDATE objects SET stale_guard = NULL",
        "UPDATE objects SET head = substr(head, 1, 20)",
        "UPDATE objects SET head = 'text'",
        "UPDATE objects SET body_bytes = 5",
        "UPDATE Cache SET value = 'text'",
        "UPDATE Cache SET value = NULL",
        "UPDATE Cache SET value = x'626f6479ff'",
        "UPDATE Cache SET value = x'426f6479'",
        "UPDATE Cache SET mode = 2",
        "UPDATE Cache SET mode = 3",
        "UPDATE Cache SET key = 'another'",
        "UPDATE Cache SET key = CAST(x'ff' AS TEXT)",
        "UPDATE Cache SET raw = 0",
        "DELETE FROM Cache",
        "DELETE FROM tags WHERE tag = 'a'",
        "UPDATE tags SET tag = 'A' WHERE tag = 'a'",
        "UPDATE tags SET id = 77 WHERE tag = 'a'",
        "INSERT INTO tags VALUES ('c', 1)",
    ],
)
async def test_what_does_not_agree_with_the_head_is_a_miss(level: DiskLevel, directory: Path, statement: str) -> None:
    await put(level, item("/a", tags=("a", "b")))
    await forget(level, Names(tags=("a",)), How.STALE, at=NOW + 5)
    with sqlite3.connect(directory / "cache.db") as con:
        con.execute(statement)
    con.close()
    assert (await level.read(SITE + "/a")).items == ()
    assert level.usage().damaged == 1
    await level.settled()
    await put(level, item("/a", tags=("a", "b")))
    await assert_holds(level, item("/a", tags=("a", "b")))


async def test_what_a_reset_left_behind_is_not_made_fresh_by_a_bit(level: DiskLevel, directory: Path) -> None:
    await put(level, item("/a"))
    await level.write([Reset(Stamp("j", 1))])
    plant(directory, "UPDATE objects SET epoch = epoch + 1")
    assert (await level.read(SITE + "/a")).items == ()
    assert level.usage().damaged == 1


@pytest.mark.parametrize("half", ["Cache", "objects"])
async def test_what_lost_its_other_half_is_swept_and_in_nobody_s_way(directory: Path, half: str) -> None:
    level = await opened(directory)
    await put(level, item("/a", tags=("t",)), item("/b", b"b" * 100_000, tags=("t",)))
    await level.close()
    plant(directory, f"DELETE FROM {half}")
    level = await opened(directory)
    assert await put(level, item("/b")) == [None]  # at once, before the sweep
    await level.settled()
    disk_check.check(directory)
    await assert_holds(level, item("/b"))
    await level.close()


async def test_a_constraint_that_is_not_met_means_that_the_index_rotted(level: DiskLevel, directory: Path) -> None:
    await put(level, item("/a"))
    plant(directory, "CREATE UNIQUE INDEX theirs ON Cache (mode)")
    assert await put(level, item("/b")) == [None], "or the same batch would be tried for ever"
    await assert_holds(level, item("/b"))


async def test_a_counter_that_flipped_is_counted_again(directory: Path) -> None:
    level = await opened(directory)
    await put(level, item("/a"), item("/b"))
    true = level.usage()
    await level.close()
    plant(directory, "UPDATE Settings SET value = value + 1000000000000 WHERE key IN ('size', 'count')")
    level = await opened(directory)
    await level.settled()
    await put(level, item("/b"))
    await level.settled()
    assert level.usage() == true
    await assert_holds(level, item("/a"), item("/b"))
    await level.close()


# --- orders over restarts ---


async def test_what_is_written_is_there_after_a_restart(directory: Path) -> None:
    items = (item("/a", tags=("t",)), item("/b", b"b" * 100_000), item("/c", b"c" * 3_000_000))
    level = await opened(directory)
    await put(level, *items)
    await level.write([Forget(Names(tags=("u",)), How.DROP, NOW, Stamp("j", 5, 2))])
    before = level.usage()
    await level.close()
    level = await opened(directory)
    assert level.stamp == Stamp("j", 5, 2)
    assert level.usage() == before
    for each in items[1:]:
        # The order is of another generation than they were put in: orders were lost in between.
        [found] = (await level.read(each.key)).items
        assert found.entry == invalidated(each.entry)
    await level.close()


@pytest.mark.parametrize("stamp", [Stamp("j", 5, 1), Stamp("j", 5, 3), Stamp("j", 4, 2), Stamp("k", 5, 2), Stamp()])
async def test_what_another_generation_puts_is_refused(level: DiskLevel, stamp: Stamp) -> None:
    await level.write([Reset(Stamp("j", 5, 2))])
    assert await put(level, item(), stamp=stamp) == ["overtaken"]
    assert await put(level, item(), stamp=Stamp("j", 5, 2)) == [None]
    assert await put(level, item(), stamp=Stamp("j", 6, 2)) == [None]


async def test_a_reset_holds_whatever_number_the_generation_has(level: DiskLevel, directory: Path) -> None:
    """A process that lost its memory may count from the beginning."""
    await level.write([Reset(Stamp("j", 5, 7))])
    await put(level, item("/a"), stamp=Stamp("j", 5, 7))
    await level.write([Reset(Stamp("k", 0, 1))])
    await put(level, item("/b"), stamp=Stamp("k", 0, 1))
    await level.write([Reset(Stamp("k", 0, 7))])
    for path in ("/a", "/b"):
        [found] = (await level.read(SITE + path)).items
        assert found.entry.invalidated
