"""What several processes of one node have counted, as one: figures that travel, add up, and never go back.

A process that has ended leaves what it counted behind (`ended`), or every counter of the node would fall at each
crash, which a monitor takes for a restart and adds the whole again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace

import msgspec

from seawall.policy.reasons import Fwd, Outcome, Reason
from seawall.telemetry.metrics import NO_PORT, Counters, Gauges, Histogram, PortUsage, TierUsage

# The level that each process has for itself; what the others hold, all processes of a node hold together.
OWN_TIER = "memory"

# What the keys of a count are, where they are words of an enum; any others are tuples of words.
_WORDS: Mapping[str, type[Outcome] | type[Fwd] | type[Reason]] = {
    "requests": Outcome,
    "origin_requests": Fwd,
    "upstream_failures": Reason,
    "not_stored": Reason,
}


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything that one process, or several together, showed at one moment."""

    counters: Counters
    tiers: tuple[TierUsage, ...] = ()
    port: PortUsage = NO_PORT
    flights: int = 0

    def ended(self) -> Figures:
        """What is left of it when the process is gone: what was counted, and nothing that merely was."""
        tiers = tuple(replace(tier, bytes=0, entries=0, waiting=0) for tier in self.tiers)
        return Figures(self.counters, tiers, replace(self.port, open=0))

    def gauges(self) -> Gauges:
        """As a scrape looks at them."""
        return Gauges(tiers=lambda: self.tiers, port=lambda: self.port, flights=lambda: self.flights)


def figures(counters: Counters, gauges: Gauges) -> Figures:
    """Those of this process, now."""
    tiers = tuple(gauges.tiers())  # first: asking the levels brings the counters of evictions up to date
    return Figures(counters, tiers, gauges.port(), gauges.flights())


def summed(parts: Iterable[Figures]) -> Figures:
    """All together, in a new object."""
    total = Figures(Counters())
    for part in parts:
        _count(total.counters, part.counters)
        tiers = _tiers((*total.tiers, *part.tiers))
        total = Figures(total.counters, tiers, _port(total.port, part.port), total.flights + part.flights)
    return total


def _count(into: Counters, more: Counters) -> None:
    for each in fields(Counters):
        ours, theirs = getattr(into, each.name), getattr(more, each.name)
        if isinstance(ours, Histogram):
            ours.counts = [a + b for a, b in zip(ours.counts, theirs.counts, strict=True)]
            ours.sum += theirs.sum
        elif isinstance(ours, dict):
            for key, count in theirs.items():
                ours[key] = ours.get(key, 0) + count
        else:
            setattr(into, each.name, ours + theirs)


def _tiers(tiers: Iterable[TierUsage]) -> tuple[TierUsage, ...]:
    found: dict[str, TierUsage] = {}
    for tier in tiers:
        other = found.get(tier.tier)
        if other is None:
            found[tier.tier] = tier
            continue
        own = tier.tier == OWN_TIER
        found[tier.tier] = TierUsage(
            tier.tier,
            other.bytes + tier.bytes if own else max(other.bytes, tier.bytes),
            other.entries + tier.entries if own else max(other.entries, tier.entries),
            other.damaged + tier.damaged,
            other.failures + tier.failures,
            _added(other.lost, tier.lost),
            other.waiting + tier.waiting,
        )
    return tuple(found.values())


def _port(one: PortUsage, other: PortUsage) -> PortUsage:
    return PortUsage(
        one.open + other.open,
        one.accepted + other.accepted,
        _added(one.bad_requests, other.bad_requests),
        _added(one.timeouts, other.timeouts),
    )


def _added(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in (*one, *(key for key in other if key not in one))}


# --- from one process to another ---


class _Counted(msgspec.Struct):
    bounds: tuple[float, ...]
    counts: list[int]
    sum: float


class _Message(msgspec.Struct):
    tiers: tuple[TierUsage, ...]
    port: PortUsage
    flights: int
    numbers: dict[str, int]
    histograms: dict[str, _Counted]
    counts: dict[str, list[tuple[tuple[str, ...], int]]]


def encode(said: Figures) -> bytes:
    """As JSON; `decode` understands it, in a process of the same version."""
    message = _Message(said.tiers, said.port, said.flights, {}, {}, {})
    for each in fields(Counters):
        value = getattr(said.counters, each.name)
        if isinstance(value, Histogram):
            message.histograms[each.name] = _Counted(value.bounds, value.counts, value.sum)
        elif isinstance(value, dict):
            keyed = [((key,) if isinstance(key, str) else key, count) for key, count in value.items()]
            message.counts[each.name] = keyed
        else:
            message.numbers[each.name] = value
    return msgspec.json.encode(message)


def decode(body: bytes) -> Figures:
    """What was encoded. Raises ValueError for what was not."""
    message = msgspec.json.decode(body, type=_Message)
    counters = Counters()
    for name, number in message.numbers.items():
        setattr(counters, name, number)
    for name, counted in message.histograms.items():
        histogram = Histogram(counted.bounds)
        histogram.counts, histogram.sum = counted.counts, counted.sum
        setattr(counters, name, histogram)
    for name, keyed in message.counts.items():
        word = _WORDS.get(name)
        setattr(counters, name, Counter({key if word is None else word(key[0]): count for key, count in keyed}))
    return Figures(counters, message.tiers, message.port, message.flights)
