"""The Redis level: what several nodes share. Breaks as a miss and a counter, and can be lost at any time.

Everything is done by scripts, each in one step on one of 64 buckets (redislayout.py, redisscripts.py). Each bucket
knows for itself up to which order it has forgotten, so an order is carried out when all of them have it; whoever
comes second finds it done.

A bucket that has missed an order (Redis was down, or is back from an older snapshot) gives up all that it holds when
the next one comes: which objects the missed ones were about, nobody can tell it. Until then it says how far it is.

With a secret, nobody who can write to Redis without knowing it can make us serve what no node has stored (HAZARDS
T69). They can still put back what a node stored earlier, or claim orders that were not carried out: a Redis whose
neighbours are not trusted is one to have for oneself.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from seawall.store import redisscripts as scripts
from seawall.store.codec import Damaged, Unwritable, decode, encode
from seawall.store.level import Forget, Found, How, LevelDown, LevelUsage, Op, Put, Reset, Spool, Stamp, Used, Wrote
from seawall.store.redisclient import Call, RedisClient
from seawall.store.redislayout import (
    BUCKETS,
    EVERYTHING,
    Range,
    RedisLayout,
    bucket_of,
    facts,
    octets,
    ranges,
    superseded_parts,
)
from seawall.store.redisserver import Reply
from seawall.store.stored import Stored

MAX_OBJECT_BYTES = 4 << 20
# However long it may be served, a value is there this long at least, so that clocks may differ, and at most.
TTL_LEAST_SECONDS = 60.0
TTL_MOST_SECONDS = 30 * 86400.0
# A key is read whole, so what it holds must arrive in 50 ms: two large variants (gzip, br), or many small ones.
MOST_OBJECTS_OF_A_KEY = 64
# One round trip, under the same 50 ms: what is sent; and what Redis does, in lookups and objects that it forgets.
# Each is 2 to 10 us of its only thread, and a put beside 64 variants 300.
TRIP_BYTES = 1 << 20
TRIP_CALLS = 64
TRIP_RANGES = 4000
TRIP_OBJECTS = 1024
# What an order for everything left behind is swept away at once for so long; after that, by each put a little.
BURY_SECONDS = 1.0
# Checksums of less are done before another thread would have begun.
HEAVY_BYTES = 256 << 10

_T = TypeVar("_T")
_Named = tuple[bytes, bytes]  # an object's name and value, as Redis has them


async def open_redis(
    url: str,
    *,
    namespace: str = "seawall",
    rank: int = 0,
    secret: bytes | None = None,
    max_object_bytes: int = MAX_OBJECT_BYTES,
    now: Callable[[], float],
) -> RedisLevel:
    """The level in the Redis that this URL means (redisurl.py). Connects when it is first used.

    Nodes of one `namespace` and `rank` share what they store; others may use the same Redis. `now`: seconds since the
    epoch. Raises ValueError where the URL or the namespace is none.
    """
    layout = RedisLayout(namespace, rank)
    return RedisLevel(RedisClient(url, scripts.ALL), layout, secret, max_object_bytes, now)


class RedisLevel:
    """See seawall.store.level.Level. Owner of its client, and of a thread for large checksums."""

    def __init__(
        self,
        client: RedisClient,
        layout: RedisLayout,
        secret: bytes | None,
        max_object_bytes: int,
        now: Callable[[], float],
    ) -> None:
        # A lease asks the same servers, and knows as soon as we do that one is down.
        self.client = client
        self.layout = layout
        self._secret = secret
        self._max_object_bytes = max_object_bytes
        self._now = now
        self._heavy = ThreadPoolExecutor(1, "redis-codec")
        self._entries: Counter[int] = Counter()  # by bucket, as it was last told
        self._put_objects = 0
        self._put_octets = 0
        self._damaged = 0
        self._failures = 0

    def __repr__(self) -> str:
        return f"<RedisLevel {self.layout.tags[0]}.. failures={self._failures} damaged={self._damaged}>"

    @property
    def tier(self) -> str:
        return "redis"

    @property
    def shared(self) -> bool:
        return True

    async def read(self, key: str) -> Found:
        """One round trip; another one where something damaged was found."""
        bucket = bucket_of(key)
        keys = (self.layout.index(bucket), self.layout.object(key))
        [reply] = await self._run([scripts.READ.call(self.layout.tags[bucket], keys, 2 * MOST_OBJECTS_OF_A_KEY)])
        match reply:
            case [bytes() as journal, bytes() as done, *values]:
                pairs, number = _pairs(values), _number(done)
            case []:
                return Found((), Stamp())
            case _:
                pairs, number = None, None
        if pairs is None or number is None:
            raise self._odd(reply)
        heavy = sum(len(value) for _, value in pairs) >= HEAVY_BYTES
        items, damaged = await self._in_thread(heavy, lambda: self._decoded(key, pairs))
        if damaged:
            await self._discard(key, damaged)
        return Found(tuple(items), Stamp(_text(journal), number))

    async def write(self, ops: Sequence[Op]) -> list[Wrote]:
        """Puts go together, 1 MiB a round trip; an order asks all buckets, in as many as its matches need."""
        wrote = [Wrote()] * len(ops)
        puts: list[tuple[int, Call]] = []
        for place, op in enumerate(ops):
            match op:
                case Put():
                    prepared = await self._put(op)
                    if isinstance(prepared, Call):
                        puts.append((place, prepared))
                    else:
                        wrote[place] = Wrote(refused=prepared)
                case Forget():
                    await self._carry_out(puts, wrote)
                    wrote[place] = Wrote(met=await self._forget(op))
                case Reset():
                    await self._carry_out(puts, wrote)
                    await self._reset(op.stamp)
                case Used():
                    pass  # it was read, which Redis has noticed
        await self._carry_out(puts, wrote)
        return wrote

    def spool(self) -> Spool | None:
        """None: a value in Redis is in memory, and large bodies are not for it."""
        return None

    def usage(self) -> LevelUsage:
        """An estimate: the objects that each bucket named when this process last wrote to it, expired ones among
        them, times the mean size of what this process has put. Redis itself is asked by its own exporter."""
        entries = self._entries.total()
        mean = self._put_octets / self._put_objects if self._put_objects else 0
        return LevelUsage(int(entries * mean), entries, damaged=self._damaged, failures=self._failures)

    async def close(self) -> None:
        await self.client.close()
        self._heavy.shutdown(wait=False)

    # --- reading ---

    def _decoded(
        self, key: str, pairs: Iterable[tuple[bytes, bytes]]
    ) -> tuple[list[Stored], list[tuple[bytes, bytes]]]:
        items: list[Stored] = []
        damaged: list[tuple[bytes, bytes]] = []
        for name, value in pairs:
            try:
                item = decode(value, key=key, secret=self._secret)
                if octets(item.name) != name:
                    raise Damaged("another object's value")
                items.append(item)
            except Damaged:
                damaged.append((name, value))
        return items, damaged

    async def _discard(self, key: str, damaged: Sequence[_Named]) -> None:
        """They are counted and dropped. Where that fails, the next reader will."""
        self._damaged += len(damaged)
        bucket = bucket_of(key)
        keys = (self.layout.index(bucket), self.layout.object(key))
        calls = [
            scripts.DISCARD.call(self.layout.tags[bucket], keys, self.layout.objects(bucket), name, _sha1(value))
            for name, value in damaged
        ]
        try:
            await self.client.run(calls)
        except LevelDown:
            self._failures += 1

    # --- keeping ---

    async def _put(self, op: Put) -> Call | str:
        """The call that does it, or why it is refused."""
        item = op.item
        if not item.in_memory or item.body_bytes > self._max_object_bytes:
            return "too-large"
        try:
            value = await self._in_thread(item.body_bytes >= HEAVY_BYTES, lambda: encode(item, self._secret))
        except Unwritable:
            return "unwritable"
        self._put_objects += 1
        self._put_octets += len(value)
        bucket = bucket_of(item.key)
        return scripts.PUT.call(
            self.layout.tags[bucket],
            (self.layout.index(bucket), self.layout.object(item.key), self.layout.dead(bucket)),
            self.layout.objects(bucket),
            octets(op.stamp.journal),
            op.stamp.number,
            octets(item.name),
            superseded_parts(item),
            value,
            facts(item),
            self._ttl_ms(item),
            2 * self._max_object_bytes,
            MOST_OBJECTS_OF_A_KEY,
            random.getrandbits(31),
        )

    def _ttl_ms(self, item: Stored) -> int:
        """Until nothing can be done with it any more. Validating with it is worth the least time."""
        entry = item.entry
        useful = max(entry.fresh_until, entry.swr_until, entry.sie_until, entry.unreachable_until) - self._now()
        return int(1000 * min(max(useful, TTL_LEAST_SECONDS), TTL_MOST_SECONDS))

    async def _carry_out(self, puts: list[tuple[int, Call]], wrote: list[Wrote]) -> None:
        """Does the puts that were collected, and forgets them."""
        collected = tuple(puts)
        puts.clear()
        replies = await self._trips([call for _, call in collected])
        for (place, call), reply in zip(collected, replies, strict=True):
            match reply:
                case [b"ok", int() as entries]:
                    self._entries[self.layout.tags.index(call.tag)] = entries
                case [bytes() as refused]:
                    wrote[place] = Wrote(refused=refused.decode())
                case _:
                    raise self._odd(reply)

    # --- forgetting ---

    async def _forget(self, op: Forget) -> dict[str, int]:
        """Names and octets of what was met."""
        selected = ranges(op.names)
        if op.how is How.COUNT:
            return await self._count([[EVERYTHING]] * BUCKETS if op.names.all else selected)
        met: dict[str, int] = {}
        left = [bucket for bucket in range(BUCKETS) if op.after or op.names.all or selected[bucket]]
        renewed: list[int] = []
        while left:
            most = max(TRIP_OBJECTS // len(left), 16)
            calls = [self._forget_call(op, bucket, selected[bucket], most) for bucket in left]
            again: list[int] = []
            for bucket, reply in zip(left, await self._trips(calls), strict=True):
                match reply:
                    case [int() as state, int() as entries, *pairs] if _note(met, pairs):
                        self._entries[bucket] = entries
                        if state:
                            (again if state == 1 else renewed).append(bucket)
                    case _:
                        raise self._odd(reply)
            left = again
        await self._bury(renewed, met)
        return met

    def _forget_call(self, op: Forget, bucket: int, selected: Sequence[Range], most: int) -> Call:
        after = op.after
        return scripts.FORGET.call(
            self.layout.tags[bucket],
            (self.layout.index(bucket), self.layout.dead(bucket)),
            self.layout.objects(bucket),
            octets(after.journal) if after else b"",
            after.number if after else -1,
            most,
            int(op.names.all),
            *(end for one in selected for end in one),
        )

    async def _bury(self, buckets: list[int], met: dict[str, int]) -> None:
        """Sweeps away what cannot be read any more, for a while. LevelDown is no matter: it is forgotten."""
        loop = asyncio.get_running_loop()
        until = loop.time() + BURY_SECONDS
        while buckets and loop.time() < until:
            most = max(TRIP_OBJECTS // len(buckets), 16)
            calls = [
                scripts.BURY.call(
                    self.layout.tags[bucket],
                    (self.layout.index(bucket), self.layout.dead(bucket)),
                    self.layout.objects(bucket),
                    most,
                )
                for bucket in buckets
            ]
            again: list[int] = []
            for bucket, reply in zip(buckets, await self._trips(calls), strict=True):
                match reply:
                    case [int() as more, *pairs] if _note(met, pairs):
                        if more:
                            again.append(bucket)
                    case _:
                        raise self._odd(reply)
            buckets = again

    async def _count(self, selected: list[list[Range]]) -> dict[str, int]:
        met: dict[str, int] = {}
        left = [bucket for bucket in range(BUCKETS) if selected[bucket]]
        while left:
            most = max(TRIP_OBJECTS // len(left), 16)
            calls = [
                scripts.COUNT.call(
                    self.layout.tags[bucket],
                    (self.layout.index(bucket),),
                    self.layout.objects(bucket),
                    most,
                    *(end for one in selected[bucket] for end in one),
                )
                for bucket in left
            ]
            again: list[int] = []
            for bucket, reply in zip(left, await self._trips(calls), strict=True):
                match reply:
                    case [int() as at, bytes() as last, *pairs] if _note(met, pairs):
                        if at:
                            (_, end), *rest = selected[bucket][at - 1 :]
                            selected[bucket] = [(b"(" + last, end), *rest]
                            again.append(bucket)
                    case _:
                        raise self._odd(reply)
            left = again
        return met

    async def _reset(self, stamp: Stamp) -> None:
        calls = [
            scripts.RESET.call(
                self.layout.tags[bucket],
                (self.layout.index(bucket), self.layout.dead(bucket)),
                octets(stamp.journal),
                stamp.number,
            )
            for bucket in range(BUCKETS)
        ]
        for bucket, reply in enumerate(await self._trips(calls)):
            if reply:
                self._entries[bucket] = 0

    # --- asking ---

    async def _run(self, calls: Sequence[Call]) -> list[Reply]:
        try:
            return await self.client.run(calls)
        except LevelDown:
            self._failures += 1
            raise

    async def _trips(self, calls: Sequence[Call]) -> list[Reply]:
        """Many calls in their order, in as few round trips as their 50 ms allow. Raises the first LevelDown when all
        have had their chance: an order reaches every server that can be reached."""
        replies: list[Reply] = []
        down: LevelDown | None = None
        for trip in _trips(calls):
            try:
                replies += await self._run(trip)
            except LevelDown as error:
                down = error
        if down is not None:
            raise down
        return replies

    def _odd(self, reply: Reply) -> LevelDown:
        self._failures += 1
        return LevelDown(f"redis: not an answer of our scripts: {type(reply).__name__}")

    async def _in_thread(self, heavy: bool, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._heavy, work) if heavy else work()


def _trips(calls: Iterable[Call]) -> Iterable[list[Call]]:
    """In order, each as much as one round trip takes, and one call at least."""
    trip: list[Call] = []
    size = words = 0
    for call in calls:
        more = sum(len(word) for word in call.command if isinstance(word, str | bytes))
        if trip and (
            len(trip) >= TRIP_CALLS or size + more > TRIP_BYTES or words + len(call.command) > 2 * TRIP_RANGES
        ):
            yield trip
            trip, size, words = [], 0, 0
        trip.append(call)
        size += more
        words += len(call.command)
    if trip:
        yield trip


def _note(met: dict[str, int], values: Sequence[object]) -> bool:
    """Adds names and octets. Whether they are such."""
    pairs = _pairs(values)
    if pairs is None:
        return False
    for name, body in pairs:
        octets_of_body = _number(body)
        if octets_of_body is None:
            return False
        met[_text(name)] = octets_of_body
    return True


def _pairs(values: Sequence[object]) -> list[_Named] | None:
    """What a script lists two by two; None where that is no such list."""
    if len(values) % 2 or not all(isinstance(value, bytes) for value in values):
        return None
    listed = [value for value in values if isinstance(value, bytes)]
    return list(zip(listed[::2], listed[1::2], strict=True))


def _number(digits: bytes) -> int | None:
    """What a script writes as a number. Beyond what Lua and a stamp can hold it is none."""
    return int(digits) if digits.isdigit() and len(digits) <= 16 else None


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _sha1(value: bytes) -> str:
    """As Redis's sha1hex has it."""
    return hashlib.sha1(value, usedforsecurity=False).hexdigest()
