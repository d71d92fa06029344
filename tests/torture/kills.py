"""kill -9, again and again: nothing that write() returned for is lost, and nothing is ever wrong.

A child writes the story and reports each batch; the parent kills it at some moment, opens the directory and reads
everything. What is there is the story up to the last batch reported, or to the one under way, whole.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from seawall.store.disk import open_disk
from seawall.store.level import Level, Put
from seawall.store.stored import stored
from tests.store import disk_check
from tests.store.level_contract import lines_of, octets
from tests.torture import story
from tests.torture.told import Told

# One fork of a process that has imported everything: a kill costs no start of Python.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["tests.torture.kills"])

ROOM = 1 << 30
# So little that each batch makes others leave.
TIGHT = 1_500_000
WHOLE_BYTES = 200_000
LONGEST_SECONDS = 0.02


@dataclass
class Killed:
    """What many kills came to."""

    kills: int = 0
    batches: int = 0
    unreported: int = 0  # batches that were committed, and not yet reported
    left_over: int = 0  # kills that left a file behind, or something on its way in


async def kill_many(directory: Path, kills: int, seed: int, *, size_bytes: int = ROOM) -> Killed:
    """Raises AssertionError at the first thing that is lost or wrong."""
    chance = random.Random(f"{seed}/{size_bytes}")
    done, killed = 0, Killed()
    model = Told()
    for _ in range(kills):
        reported = await asyncio.to_thread(_run_and_kill, directory, seed, done, size_bytes, chance)
        killed.left_over += _leaves_something(directory)
        level = await open_disk(directory, size_bytes=1 << 30, whole_bytes=WHOLE_BYTES)
        try:
            number = (await level.read(story.KEYS[0])).stamp.number
            assert number in (reported, reported + 1), f"{reported} batches were reported, {number} are there"
            for batch in range(done, number):
                model.tell(story.chapter(seed, batch).all())
            await assert_as_told(level, model, exact=size_bytes == ROOM)
            await level.settled()
            assert (level.usage().damaged, level.usage().failures) == (0, 0)
            disk_check.check(directory)
            assert len(list((directory / "spool").iterdir())) == 1, "a dead process still has its corner"
        finally:
            await level.close()
        killed.kills += 1
        killed.unreported += number - reported
        done = number
    killed.batches = done
    return killed


async def assert_as_told(level: Level, model: Told, *, exact: bool) -> None:
    """All that the model has, and nothing else; or no more than that."""
    for key in story.KEYS:
        wanted = model.under(key)
        items = (await level.read(key)).items
        if exact:
            assert {each.name for each in items} == wanted.keys(), key
        for each in items:
            assert each.name in wanted, f"{each.name!r} was replaced or forgotten"
            assert each.entry == wanted[each.name].entry
            assert lines_of(each) == lines_of(wanted[each.name])
            assert await octets(each) == await octets(wanted[each.name])


def _leaves_something(directory: Path) -> bool:
    corners = (directory / "spool").glob("*/*")
    return any(file.name not in ("lock", "ballast") for file in corners)


def _run_and_kill(directory: Path, seed: int, first: int, size_bytes: int, chance: random.Random) -> int:
    """How many batches are reported when the child is dead."""
    ours, theirs = _PROCESSES.Pipe(duplex=False)
    child = _PROCESSES.Process(target=_write_until_killed, args=(directory, seed, first, size_bytes, theirs))
    child.start()
    theirs.close()
    done = first
    # It is killed at any moment: while it opens the level, in a batch, or in the first after some.
    for _ in range(chance.choice((0, 1, 1, 2, 5, 20))):
        done = _next(ours, done)
    time.sleep(chance.random() * LONGEST_SECONDS)
    child.kill()
    child.join()
    while (more := _next(ours, done)) != done:
        done = more
    return done


def _next(reports: Connection, done: int) -> int:
    try:
        reported = reports.recv()
    except EOFError:
        return done
    assert isinstance(reported, int)
    return reported


def _write_until_killed(directory: Path, seed: int, first: int, size_bytes: int, reports: Connection) -> None:
    asyncio.run(_write(directory, seed, first, size_bytes, reports.send))


async def _write(directory: Path, seed: int, first: int, size_bytes: int, report: Callable[[int], None]) -> None:
    level = await open_disk(directory, size_bytes=size_bytes, whole_bytes=WHOLE_BYTES)
    number = first
    while True:
        chapter = story.chapter(seed, number)
        ops = list(chapter.ops)
        if chapter.spooled is not None:
            spool = level.spool()
            assert spool is not None
            body = await octets(chapter.spooled)
            for at in range(0, len(body), 65_536):
                await spool.write(body[at : at + 65_536])
            item = stored(chapter.spooled.key, chapter.spooled.entry, await spool.finish())
            ops.insert(0, Put(item, story.stamp(number)))
        wrote = await level.write(ops)
        assert all(one.refused is None for one in wrote), wrote
        number += 1
        report(number)
