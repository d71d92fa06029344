"""Made-up traces for judging eviction, the same in every run: who is asked for, and how large everybody is."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, count, islice
from random import Random

NAMES = 20_000
REQUESTS = 300_000
# Between the 0.6 and 1.1 that are reported for web objects.
SKEW = 0.9
# What a scan asks for once and never again: so many, after so many requests of the ordinary kind.
SCAN, BETWEEN_SCANS = 5_000, 10_000


@dataclass(frozen=True, slots=True)
class Trace:
    """Names in the order in which they are asked for. `footprint_bytes` is what cache sizes are a share of."""

    title: str
    names: list[int]
    footprint_bytes: int


def size_of(name: int) -> int:
    """The size of an object: log-normal about 5 KB, from 300 bytes to 64 KB, and always the same for a name."""
    return _SIZES[name % len(_SIZES)]


def traces() -> list[Trace]:
    """The three of them: skewed, skewed and scanned through, and round and round."""
    ordinary = _zipf()
    footprint = sum(map(size_of, range(NAMES)))
    loop = [number % (NAMES // 2) for number in range(REQUESTS // 2)]
    return [
        Trace("Zipf", ordinary, footprint),
        Trace("Zipf with scans", _scanned(ordinary), footprint),
        Trace("Loop", loop, sum(map(size_of, range(NAMES // 2)))),
    ]


def _zipf() -> list[int]:
    weights = list(accumulate((rank + 1) ** -SKEW for rank in range(NAMES)))
    return Random(1).choices(range(NAMES), cum_weights=weights, k=REQUESTS)


def _scanned(ordinary: list[int]) -> list[int]:
    once, found = count(NAMES), []
    for start in range(0, len(ordinary), BETWEEN_SCANS):
        found += ordinary[start : start + BETWEEN_SCANS]
        found += islice(once, SCAN)
    return found


def _sizes() -> list[int]:
    chance = Random(2)
    return [int(min(64_000, max(300, chance.lognormvariate(8.5, 1.2)))) for _ in range(NAMES)]


_SIZES = _sizes()
