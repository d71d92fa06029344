"""A node's store, level by level, from its part of the topology. Reads the tree so that nothing below has to."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from seawall.config import schema
from seawall.config.place import rank
from seawall.config.places import data_directory
from seawall.engine.standing import Standing
from seawall.purge.applied import Mark
from seawall.store.level import Level, Stamp
from seawall.store.levels import Levels
from seawall.store.memory import MemoryStore
from seawall.store.stored import Stored

if TYPE_CHECKING:
    from seawall.flight.lease import Leases
    from seawall.store.disk import DiskLevel

DISK = "cache"
LEASES = "leases"


def most_in_memory(store: schema.Store) -> int:
    """The largest body that memory takes, in bytes."""
    return min(store.memory.max_object_size, store.memory.size)


def most_stored(store: schema.Store) -> int:
    """The largest body that some level of this store takes, in bytes."""
    on_disk = 0 if store.disk is None else min(store.disk.max_object_size, store.disk.size)
    return max(most_in_memory(store), on_disk)


@dataclass(frozen=True, slots=True)
class Lower:
    """The levels below memory, upper first; the orders that the node's own ones have kept through a restart; and how
    it is agreed with other processes who fetches what they would all look for there."""

    levels: list[Level]
    kept: Stamp
    leases: Leases | None
    disk: DiskLevel | None


async def open_lower(
    topology: schema.Topology, name: str, memory: MemoryStore, secret: str | None, now: Callable[[], float]
) -> Lower:
    """What the file gives this node. A level that cannot be opened is down, and comes back."""
    node = topology.nodes[name]
    store = topology.store_of(node)
    lower: list[Level] = []
    kept = Stamp()
    leases: Leases | None = None
    disk: DiskLevel | None = None
    if store.disk is not None:
        # Imported here, like Redis: a node that has memory only needs neither.
        from seawall.store.disk import open_disk

        disk = await open_disk(
            data_directory(node.data, name, os.environ) / DISK,
            size_bytes=store.disk.size,
            whole_bytes=most_in_memory(store),
            alive=memory.served,
        )
        kept = disk.stamp
        lower.append(disk)
    if store.redis is not None:
        from seawall.flight.leaseredis import RedisLeases
        from seawall.store.redislevel import open_redis

        redis = await open_redis(
            store.redis.url,
            namespace=store.redis.namespace,
            rank=rank(topology, name),
            secret=None if secret is None else secret.encode(),
            max_object_bytes=store.redis.max_object_size,
            now=now,
        )
        leases = RedisLeases(redis.client, redis.layout)
        lower.append(redis)
    if leases is None and lower and node.workers > 1:
        from seawall.flight.filelease import FileLeases

        with suppress(OSError):  # everybody goes alone then, to a level that is down too
            leases = FileLeases(data_directory(node.data, name, os.environ) / LEASES)
    return Lower(lower, kept, leases, disk)


def levels_of(
    store: schema.Store,
    memory: MemoryStore,
    lower: Sequence[Level],
    standing: Standing,
    now: Callable[[], float],
    shared_disk: DiskLevel | None = None,
) -> Levels:
    """Memory over these, held against the orders of this node. `shared_disk`: other workers write to it too."""
    applied = standing.applied

    def stamp() -> Stamp:
        generation = applied.generation
        if shared_disk is not None:
            # One that lost orders has said so to the disk that all of them share. What the others store is none the
            # worse for it, but must not look older than that.
            generation = max(generation, shared_disk.stamp.generation)
        return Stamp(applied.journal, applied.number, generation)

    def survived(stamp: Stamp, item: Stored) -> bool:
        if stamp.journal != applied.journal:
            # Of a journal that is not followed any more: good for nothing but to be asked about.
            return item.entry.invalidated
        return not applied.overtakes(Mark(applied.generation, stamp.number), item.key, item.entry.tags)

    return Levels(
        memory,
        lower,
        now=now,
        stamp=stamp,
        survived=survived,
        trusted=lambda: not standing.fenced(),
        shared_seconds=math.inf if store.redis is None else store.redis.memory_ttl,
        several=shared_disk is not None,
    )
