"""Leases in Redis: keys that only their owner lets go of and that run out by themselves, so a process that dies holds
up nobody for longer than it asked for. Without Redis everybody is told to go on alone.
"""

from __future__ import annotations

import asyncio
import secrets

from seawall.flight.lease import Lease
from seawall.store.level import LevelDown
from seawall.store.redisclient import Call, RedisClient
from seawall.store.redislayout import RedisLayout, bucket_of

# Between two looks whether a lease is still held. The first comes soon, for an origin that is near; the pause then
# doubles, because many wait for one that is slow. A subscription would save them the looks and cost a connection
# for each server and a second way to lose a message.
PAUSE_LEAST_SECONDS = 0.005
PAUSE_MOST_SECONDS = 0.05
# Nobody meant to hold a lease for longer; a mistake in a caller would else be there until somebody deletes it.
LEASE_MOST_SECONDS = 3600.0
TOKEN_BYTES = 16

# Only who holds it lets it go: between a look and a DEL of ours it may run out and be another's.
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class RedisLeases:
    """Leases in the Redis of a level: its client, so its time limits and its breaker (RedisLevel.client, .layout)."""

    def __init__(self, client: RedisClient, layout: RedisLayout) -> None:
        self._client = client
        self._layout = layout

    async def take(self, key: str, seconds: float) -> Lease | None:
        token = secrets.token_hex(TOKEN_BYTES)
        life_ms = max(1, int(1000 * min(seconds, LEASE_MOST_SECONDS)))
        try:
            taken = await self._ask(key, "SET", self._layout.lease(key), token, "NX", "PX", life_ms)
        except LevelDown:
            return Lease(key, token, shared=False)
        return Lease(key, token, shared=True) if taken else await self._mine(key, token)

    async def release(self, lease: Lease) -> None:
        # Also where it is not shared: perhaps only the answer was lost.
        try:
            await self._ask(lease.key, "EVAL", _RELEASE, 1, self._layout.lease(lease.key), lease.token)
        except LevelDown:
            return  # it runs out

    async def wait(self, key: str, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        pause = PAUSE_LEAST_SECONDS
        while (left := until - loop.time()) > 0:
            await asyncio.sleep(min(pause, left))
            pause = min(2 * pause, PAUSE_MOST_SECONDS)
            try:
                held = await self._ask(key, "EXISTS", self._layout.lease(key))
            except LevelDown:
                return
            if not held:
                return

    async def _mine(self, key: str, token: str) -> Lease | None:
        """A SET that broke off with its connection is sent again, and then finds its own token."""
        try:
            holder = await self._ask(key, "GET", self._layout.lease(key))
        except LevelDown:
            return Lease(key, token, shared=False)
        return Lease(key, token, shared=True) if holder == token.encode() else None

    async def _ask(self, key: str, *command: str | bytes | int) -> object:
        call = Call(self._layout.tags[bucket_of(key)], command)
        [reply] = await self._client.run([call])
        return reply
