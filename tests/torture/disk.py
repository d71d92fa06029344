"""The long form: python -m tests.torture.disk --kills 500 --flips 2000 [--seed 1]"""

from __future__ import annotations

import argparse
import asyncio
import logging
import tempfile
from pathlib import Path

from tests.torture.flips import flip_many
from tests.torture.kills import TIGHT, kill_many


async def torture(room: Path, kills: int, flips: int, seed: int) -> None:
    print(await kill_many(room / "kills", kills, seed))
    print(await kill_many(room / "tight", kills // 4, seed, size_bytes=TIGHT))
    print(await flip_many(room / "flips", flips, seed))


def main() -> None:
    parser = argparse.ArgumentParser(description="Kills and damages a disk level until it breaks, or not.")
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--flips", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    logging.getLogger("seawall").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="torture-") as room:
        asyncio.run(torture(Path(room), given.kills, given.flips, given.seed))


if __name__ == "__main__":
    main()
