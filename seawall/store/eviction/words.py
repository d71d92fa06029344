"""The policies by the words of the configuration, which are those of Redis and two algorithms by name."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from random import random
from time import monotonic

from seawall.store.eviction.lfu import LFU
from seawall.store.eviction.lru import LRU
from seawall.store.eviction.noeviction import NoEviction
from seawall.store.eviction.protocol import Eviction
from seawall.store.eviction.s3fifo import S3FIFO
from seawall.store.eviction.tinylfu import TinyLFU
from seawall.store.eviction.volatilelru import VolatileLRU
from seawall.store.eviction.volatilettl import VolatileTTL

WORDS = ("noeviction", "allkeys-lru", "allkeys-lfu", "volatile-lru", "volatile-ttl", "s3fifo", "tinylfu")
DEFAULT = "s3fifo"
# Policies that ask for uses when they need them, and need not be told of each.
ASKING = frozenset({"s3fifo"})


def _minutes() -> int:
    return int(monotonic() / 60)


def build(
    word: str,
    budget_bytes: int,
    *,
    chance: Callable[[], float] = random,
    minutes: Callable[[], int] = _minutes,
    more_uses: Callable[[Hashable], int] = lambda name: 0,
) -> Eviction:
    """The policy of this name, empty. Raises ValueError for any other word.

    `chance` and `minutes` are those of allkeys-lfu; no other policy has either. `more_uses` is called by those that
    are ASKING: how often a name was used since, and not said by touch().
    """
    match word:
        case "noeviction":
            return NoEviction(budget_bytes)
        case "allkeys-lru":
            return LRU(budget_bytes)
        case "allkeys-lfu":
            return LFU(budget_bytes, chance, minutes)
        case "volatile-lru":
            return VolatileLRU(budget_bytes)
        case "volatile-ttl":
            return VolatileTTL(budget_bytes)
        case "s3fifo":
            return S3FIFO(budget_bytes, more_uses)
        case "tinylfu":
            return TinyLFU(budget_bytes)
    raise ValueError(f"{word!r} is no eviction policy: {', '.join(WORDS)}")
