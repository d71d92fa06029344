"""Two nodes over one Redis that is killed, stopped, flushed, filled with garbage and put back to an older copy of
itself (woes.py).

    python -m tests.torture.rediswoes --woes 100 [--seed 1]
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from seawall.store import behind
from seawall.store.redislevel import open_redis
from tests.redis_servers import RedisProcess, redis_servers
from tests.torture.woes import PAUSE_SECONDS, Suffered, Truth, node_over, suffer


async def suffer_redis(room: Path, woes: int, seed: int) -> Suffered:
    """Raises AssertionError at the first thing that is wrong."""
    truth, seen = Truth(), Suffered()
    with redis_servers(room) as servers:
        redis = servers.server("--appendonly", "yes", "--appendfsync", "always", "--save", "")
        levels = [await open_redis(redis.url, secret=b"theirs", now=time.time) for _ in range(2)]
        nodes = [node_over(level, truth, seen) for level in levels]
        theirs = {name: (partial(begin, redis), partial(end, redis)) for name, (begin, end) in WOES.items()}
        try:
            await suffer(nodes, truth, seen, theirs, woes, random.Random(seed))
        finally:
            redis.kill()
            for node in nodes:
                await node.levels.close(0.0)
    return seen


# --- woes: how each begins, and what ends it ---


def _nothing(redis: RedisProcess) -> None:
    """It goes on by itself."""


def _garbage(redis: RedisProcess) -> None:
    with redis.client() as client:
        for number, key in enumerate(list(client.scan_iter())):
            if number % 3 == 0:
                client.delete(key)
                client.set(key, b"\x80\x04garbage")
            elif number % 3 == 1 and client.type(key) == b"hash":
                for name in client.hkeys(key):
                    client.hset(key, name, b"\x00" * 100)


def _copied(redis: RedisProcess) -> None:
    """A copy of its data as they are now, for _put_back."""
    shutil.rmtree(redis.directory / "copy", ignore_errors=True)
    shutil.copytree(redis.directory / "appendonlydir", redis.directory / "copy")


def _put_back(redis: RedisProcess) -> None:
    """Everything that was ordered since is unknown to it."""
    redis.kill()
    shutil.rmtree(redis.directory / "appendonlydir")
    shutil.copytree(redis.directory / "copy", redis.directory / "appendonlydir")
    redis.start()


WOES: dict[str, tuple[Callable[[RedisProcess], object], Callable[[RedisProcess], object]]] = {
    "kills": (RedisProcess.kill, RedisProcess.start),
    "stops": (RedisProcess.stop, RedisProcess.go_on),
    "flushes": (lambda redis: redis.ask("FLUSHALL"), _nothing),
    "garbage": (_garbage, _nothing),
    "old copies": (_copied, _put_back),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Gives two nodes a Redis that is in trouble until they break, or not.")
    parser.add_argument("--woes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if shutil.which("redis-server") is None:
        print("redis: left out, there is no redis-server here")
        return
    logging.getLogger("seawall").setLevel(logging.ERROR)
    behind.PAUSE_SECONDS = PAUSE_SECONDS
    with tempfile.TemporaryDirectory(prefix="woes-") as room:
        print("redis:", asyncio.run(suffer_redis(Path(room), given.woes, given.seed)))


if __name__ == "__main__":
    main()
