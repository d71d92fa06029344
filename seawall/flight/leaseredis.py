"""Leases in Redis: keys that only their owner lets go of, and prolongs as long as it needs them. They run out soon, so
a process that dies or stands still holds up nobody for long. Without Redis everybody is told to go on alone.
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

# What a lease lasts by itself, and how often its holder prolongs it: two of these may come late or get lost. Nearly all
# fetches are over before the first.
ALIVE_SECONDS = 2.0
RENEW_SECONDS = 0.6

# Only who holds it lets it go: between a look and a DEL of ours it may run out and be another's.
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
_RENEW = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0"


class RedisLeases:
    """Leases in the Redis of a level: its client, so its time limits and its breaker (RedisLevel.client, .layout)."""

    def __init__(self, client: RedisClient, layout: RedisLayout) -> None:
        self._client = client
        self._layout = layout
        # By token, of those that are to be prolonged: when that is next; None while it is under way. What kind of a
        # handle it is must not be asked: uvloop's are none of asyncio's.
        self._held: dict[str, asyncio.TimerHandle | None] = {}
        self._prolonging: set[asyncio.Task[None]] = set()

    async def take(self, key: str, seconds: float) -> Lease | None:
        token = secrets.token_hex(TOKEN_BYTES)
        until = asyncio.get_running_loop().time() + min(seconds, LEASE_MOST_SECONDS)
        try:
            taken = await self._ask(key, "SET", self._layout.lease(key), token, "NX", "PX", _life_ms(seconds))
        except LevelDown:
            return Lease(key, token, shared=False)
        lease = Lease(key, token, shared=True) if taken else await self._mine(key, token)
        if lease is not None and lease.shared and seconds > ALIVE_SECONDS:
            self._prolong_later(lease, until)
        return lease

    async def release(self, lease: Lease) -> None:
        timer = self._held.pop(lease.token, None)
        if timer is not None:
            timer.cancel()
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

    def _prolong_later(self, lease: Lease, until: float) -> None:
        loop = asyncio.get_running_loop()

        def prolong() -> None:
            self._held[lease.token] = None
            task = loop.create_task(self._prolong(lease, until))
            self._prolonging.add(task)
            task.add_done_callback(self._prolonging.discard)

        self._held[lease.token] = loop.call_later(RENEW_SECONDS, prolong)

    async def _prolong(self, lease: Lease, until: float) -> None:
        """Says that its holder is still there, and will again: until it is let go of, has run out, or is another's."""
        left = until - asyncio.get_running_loop().time()
        still: object = False
        if left > 0:
            try:
                still = await self._ask(
                    lease.key, "EVAL", _RENEW, 1, self._layout.lease(lease.key), lease.token, _life_ms(left)
                )
            except LevelDown:
                still = True  # perhaps
        if still and lease.token in self._held:
            self._prolong_later(lease, until)
        else:
            self._held.pop(lease.token, None)

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


def _life_ms(seconds: float) -> int:
    return max(1, int(1000 * min(seconds, ALIVE_SECONDS)))
