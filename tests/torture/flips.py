"""Bits that flip, files that are cut, pages and bodies that change places: a miss at worst, never a wrong octet.

And never something that was purged: what an order is about is found by the very index that is being damaged.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from seawall.store.disk import DiskLevel, open_disk
from seawall.store.level import Forget, How, LevelDown, Names, Stamp
from seawall.store.stored import Gone
from tests.store import disk_check
from tests.store.level_contract import lines_of, octets
from tests.torture import story
from tests.torture.kills import WHOLE_BYTES
from tests.torture.told import Told

BATCHES = 12
PAGE_BYTES = 4096


@dataclass
class Flipped:
    """What many damages came to."""

    damages: int = 0
    harmless: int = 0  # everything was still there
    missed: int = 0  # something was not there, and counted
    unnoticed: int = 0  # something was not there, and the index did not know of it
    begun_anew: int = 0
    kinds: dict[str, int] = field(default_factory=dict)


async def flip_many(room: Path, flips: int, seed: int) -> Flipped:
    """Raises AssertionError at the first thing that is wrong."""
    pristine = room / "pristine"
    models = await _write_pristine(pristine, room / "writing", seed)
    flipped = Flipped()
    for number in range(flips):
        chance = random.Random(f"{seed}/{number}")
        directory = room / "damaged"
        shutil.copytree(pristine, directory)
        kind = _damage(directory, chance)
        flipped.kinds[kind] = flipped.kinds.get(kind, 0) + 1
        try:
            await _read_all(directory, models, chance, kind, flipped)
        except AssertionError as error:
            raise AssertionError(f"flip {number} of seed {seed}, {kind}: {error}") from error
        flipped.damages += 1
        shutil.rmtree(directory)
    return flipped


async def _write_pristine(pristine: Path, directory: Path, seed: int) -> list[Told]:
    """Copied while the level is open, so that part of it is in the log of the database."""
    level = await open_disk(directory, size_bytes=1 << 30, whole_bytes=WHOLE_BYTES)
    await level.settled()
    for number in range(BATCHES):
        chapter = story.chapter(seed, number)
        wrote = await level.write(chapter.all())
        assert all(one.refused is None for one in wrote)
    await level.settled()
    shutil.copytree(directory, pristine, ignore=shutil.ignore_patterns("*-shm", "spool"))
    await level.close()
    shutil.rmtree(directory)
    return [story.told(seed, number) for number in range(BATCHES + 1)]


async def _read_all(directory: Path, models: list[Told], chance: random.Random, kind: str, flipped: Flipped) -> None:
    level = await open_disk(directory, size_bytes=1 << 30, whole_bytes=WHOLE_BYTES)
    try:
        missing = await _missing(level, models)
        usage = level.usage()
        anew = (directory / "cache.db.spoiled").exists()
        flipped.begun_anew += anew
        if not missing:
            flipped.harmless += 1
        elif usage.damaged or usage.failures:
            flipped.missed += 1
        else:
            assert not kind.startswith("body"), "a damaged body, and nothing was counted"
            flipped.unnoticed += 1
        await _purge(level, chance)
    finally:
        await level.close()


async def _missing(level: DiskLevel, models: list[Told]) -> int:
    missing = 0
    for key in story.KEYS:
        try:
            found = await level.read(key)
        except LevelDown:
            missing += len(models[-1].under(key))
            continue
        # A log that was cut takes the level back in time, all of it, and it says so.
        wanted = models[found.stamp.number].under(key)
        items = found.items
        missing += len(models[-1].under(key)) - len(items)
        for each in items:
            assert each.name in wanted, "it was never put, or was forgotten"
            assert each.entry == wanted[each.name].entry
            assert lines_of(each) == lines_of(wanted[each.name])
            try:
                assert await octets(each) == await octets(wanted[each.name])
            except Gone:
                missing += 1
            except Exception as error:
                assert type(error).__name__ == "BodyBroken", repr(error)  # noqa: PT017 (BodyBroken, and nothing else)
                missing += 1
    return missing


async def _purge(level: DiskLevel, chance: random.Random) -> None:
    """A purge is kept, whatever the index was made to believe; or the level says that it has not carried it out."""
    tag, url = f"t{chance.randrange(12)}", chance.choice(story.KEYS)
    after = Stamp(level.stamp.journal or story.JOURNAL, level.stamp.number + 1)
    try:
        await level.write([Forget(Names(tags=(tag,), urls=(url,)), How.DROP, story.NOW, after)])
    except LevelDown:
        return
    for key in story.KEYS:
        try:
            items = (await level.read(key)).items
        except LevelDown:
            continue
        assert key != url or not items, "it was purged by its URL"
        assert not any(tag in each.entry.tags for each in items), "it was purged by its tag"


def _damage(directory: Path, chance: random.Random) -> str:
    bodies = sorted(directory / name for name in disk_check.body_files(directory))
    index = [directory / "cache.db", directory / "cache.db-wal"]
    assert len(bodies) > 1
    assert all(file.stat().st_size for file in index)
    damages: list[tuple[str, Callable[[], None]]] = [
        ("body flip", lambda: _flip(chance.choice(bodies), chance)),
        ("body cut", lambda: _cut(chance.choice(bodies), chance)),
        ("body longer", lambda: _append(chance.choice(bodies))),
        ("body gone", lambda: chance.choice(bodies).unlink()),
        ("bodies swapped", lambda: _swap(*chance.sample(bodies, 2))),
        ("index flip", lambda: _flip(index[0], chance)),
        ("index flips", lambda: _flip(index[0], chance, times=20)),
        ("index cut", lambda: _cut(index[0], chance)),
        ("index page", lambda: _copy_page(index[0], chance)),
        ("index head", lambda: _flip(index[0], chance, 100)),
        ("index log flip", lambda: _flip(index[1], chance)),
        ("index log cut", lambda: _cut(index[1], chance)),
        ("index row", lambda: _flip_row(index[0], chance)),
    ]
    kind, damage = chance.choice(damages)
    damage()
    return kind


def _flip(file: Path, chance: random.Random, within: int | None = None, times: int = 1) -> None:
    octets = bytearray(file.read_bytes())
    for _ in range(times):
        octets[chance.randrange(within or len(octets))] ^= 1 << chance.randrange(8)
    file.write_bytes(octets)


def _flip_row(file: Path, chance: random.Random) -> None:
    """Where it hurts: in the text of a key, a tag or a head, not in the free room of a page."""
    octets = bytearray(file.read_bytes())
    words = [b"http://site", b"SWh", b"t1", b"t5", b"t9", b"torture", b"count", b".val", b"size"]
    word = chance.choice([word for word in words if word in octets] or [b""])
    places = [at for at in range(len(octets)) if octets.startswith(word, at)]
    octets[chance.choice(places) + chance.randrange(len(word) + 4)] ^= 1 << chance.randrange(8)
    file.write_bytes(octets)


def _cut(file: Path, chance: random.Random) -> None:
    octets = file.read_bytes()
    file.write_bytes(octets[: chance.randrange(len(octets))])


def _append(file: Path) -> None:
    with file.open("ab") as end:
        end.write(b"\0")


def _swap(one: Path, other: Path) -> None:
    octets = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(octets)


def _copy_page(file: Path, chance: random.Random) -> None:
    octets = bytearray(file.read_bytes())
    pages = len(octets) // PAGE_BYTES
    source, target = chance.randrange(pages) * PAGE_BYTES, chance.randrange(pages) * PAGE_BYTES
    octets[target : target + PAGE_BYTES] = octets[source : source + PAGE_BYTES]
    file.write_bytes(octets)
