"""A node whose disk is full: its clients notice nothing, purges work, and it stores again when there is room."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.test_disk_trouble import mount
from tests.topology.city import City, city, edge, own_word, until

MIB = 1 << 20
DISK_BYTES = 24 * MIB
STORE = {"memory": {"size": "2MiB"}, "disk": {"size": "1GiB"}}
SIZE = 300 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """What the node has for its data, where this process may mount one."""
    place = tmp_path / "state" / "seawall"
    place.mkdir(parents=True)
    try:
        mount("-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place))
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("only root may mount a disk that is small enough to fill")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path) -> Path:
    """Somebody else takes all that is left."""
    theirs = place / "theirs"
    with theirs.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            pass
    assert os.statvfs(place).f_bavail == 0
    return theirs


async def asked(town: City, *paths: str) -> None:
    """Each is answered, and whole."""
    for got, path in zip(await asyncio.gather(*(town.get("edge-1", path) for path in paths)), paths, strict=True):
        assert (got.status, got.body) == (200, town.stub.body(path, SIZE)), path


async def test_a_full_disk_costs_hits_only_and_a_purge_on_it_holds(tmp_path: Path, small_disk: Path) -> None:
    async with city(tmp_path, {"edge-1": edge()}, store=STORE) as town:
        town.stub.script("/o/*", [f"size={SIZE}&max-age=600&header=Surrogate-Key: t"])
        paths = [f"/o/{number}" for number in range(120)]  # more than the disk takes, and less than it was told to
        for first in range(0, 120, 10):
            await asked(town, *paths[first : first + 10])
        theirs = fill(small_disk)
        await asked(town, *paths[:20], *(f"/o/new-{number}" for number in range(20)))
        before = town.asked("/o/0")
        for number in range(3):
            # So long that it does not fit in what a file has left of its last page.
            names = ["t", *(f"{number}-{each}-{40 * chr(120)}" for each in range(250))]
            said = await town.purge("edge-1", tags=names)
            assert (said.status, said.state, said.document["id"]) == (200, "complete", number + 1)
        await asked(town, paths[0])
        assert town.asked("/o/0") == before + 1, "purged, wherever it lay"
        await town.kill("edge-1")
        await town.start("edge-1")
        await town.ready("edge-1")
        for path in paths[1::7]:
            assert own_word(await town.get("edge-1", path)) == "MISS", "purged on the disk too"

        theirs.unlink()
        held = await entries(town)
        number = 0

        async def stored() -> bool:
            nonlocal number
            number += 1
            await asked(town, *(f"/o/again-{number}-{each}" for each in range(5)))
            return await entries(town) >= held + 10

        await until(stored, lambda: "it stores again")


async def entries(town: City) -> int:
    return int((await town.ask("edge-1", "/v1/stats")).document["store"]["disk"]["entries"])
