"""A node whose disk is filled by others, and taken away under its hands (woes.py). Only root may mount it.

python -m tests.torture.diskwoes --woes 50 [--seed 1]
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from seawall.store import behind
from seawall.store.disk import open_disk
from seawall.store.disk.trouble import Patience
from tests.torture.woes import PAUSE_SECONDS, Suffered, Truth, Woe, node_over, suffer

DISK_BYTES = 8 << 20


class NoMount(Exception):
    """This process may not."""


@contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    """A file system of its own. Raises NoMount."""
    place.mkdir()
    try:
        _run("mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place))
    except (OSError, subprocess.CalledProcessError) as error:
        raise NoMount from error
    try:
        yield place
    finally:
        _run("umount", "-l", str(place))


async def suffer_disk(room: Path, woes: int, seed: int) -> Suffered:
    """Raises AssertionError at the first thing that is wrong, and NoMount."""
    truth, seen = Truth(), Suffered()
    with small_disk(room / "disk") as place:
        level = await open_disk(place / "cache", size_bytes=1 << 30, whole_bytes=1 << 20)
        node = node_over(level, truth, seen)
        theirs = place / "theirs"
        these: dict[str, Woe] = {
            "full": (partial(_fill, theirs), partial(theirs.unlink, missing_ok=True)),
            "nearly full": (partial(_fill, theirs, 20_000), partial(theirs.unlink, missing_ok=True)),
            "gone": (partial(shutil.rmtree, place / "cache", ignore_errors=True), lambda: None),
        }
        try:
            await suffer([node], truth, seen, these, woes, random.Random(seed))
        finally:
            await node.levels.close(5.0)
    return seen


def _fill(theirs: Path, spare_bytes: int = 0) -> None:
    with theirs.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            pass
        file.truncate(max(0, file.tell() - spare_bytes))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Gives a node a disk that is in trouble until it breaks, or not.")
    parser.add_argument("--woes", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    logging.getLogger("seawall").setLevel(logging.CRITICAL)
    behind.PAUSE_SECONDS = Patience.PAUSE_SECONDS = PAUSE_SECONDS
    with tempfile.TemporaryDirectory(prefix="woes-") as room:
        try:
            print("disk:", asyncio.run(suffer_disk(Path(room), given.woes, given.seed)))
        except NoMount:
            print("disk: left out, only root may mount one that is small enough to fill")


if __name__ == "__main__":
    main()
