"""What Seawall must reach beside its peers, and whether it did: a pure reading of the findings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from bench.peers.figures import Findings, Rates, rates, ratio

READY_SECONDS = 0.7
OVERHEAD_BYTES = 1024
GROWTH = 0.7  # hits of many objects over hits of a thousand
P50, P99 = 1.5, 2.0  # latencies over nginx's


@dataclass(frozen=True, slots=True)
class Target:
    """At least these multiples of the peers' rates; `better` is of the faster of the two."""

    nginx: float | None = None
    varnish: float | None = None
    better: float | None = None

    @property
    def multiples(self) -> dict[str, float]:
        """What is asked for, by name, in the order of the columns."""
        asked = {"nginx": self.nginx, "varnish": self.varnish, "better": self.better}
        return {name: multiple for name, multiple in asked.items() if multiple is not None}


TARGETS = {
    "hit-1024": Target(nginx=1.1, varnish=1.5),
    "hit-16384": Target(better=0.9),
    "hit-131072": Target(better=0.9),
    "hit-1048576": Target(better=0.9),
    "not-modified": Target(nginx=1.0),
    "zipf": Target(nginx=1.0),
    "browser": Target(nginx=1.0),
    "miss": Target(nginx=0.7, varnish=1.0),
    "pass": Target(nginx=0.5, varnish=1.0),
    "stored-100k": Target(nginx=1.0),
}
_WORDS = {"nginx": "nginx", "varnish": "Varnish", "better": "the better"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One promise: what it is about, what was asked, what was seen, and whether that is enough."""

    scenario: str
    what: str
    asked: str
    seen: str
    kept: bool


def seen_multiple(found: Rates, of: str) -> float | None:
    """Seawall's rate over that of a peer, or of the better one; None where it was not measured."""
    if of != "better":
        return ratio(found, of)
    both = [each for each in (ratio(found, "nginx"), ratio(found, "varnish")) if each is not None]
    return min(both, default=None)


def verdicts(findings: Findings) -> list[Verdict]:
    """All that can be told from this run, in the order of the table."""
    return [*_rates(findings), *_growth(findings), *_latency(findings), *_ready(findings), *_memory(findings)]


def _rates(findings: Findings) -> Iterator[Verdict]:
    for found in findings.rates:
        target = TARGETS.get(found.name)
        for of, asked in target.multiples.items() if target else ():
            seen = seen_multiple(found, of)
            if seen is not None:
                yield Verdict(found.name, found.title, f">= {asked:g} x {_WORDS[of]}", f"{seen:.2f}", seen >= asked)


def _growth(findings: Findings) -> Iterator[Verdict]:
    few = findings.scenario("stored-1k")
    if few is None or "seawall" not in few.readings:
        return
    for name in ("stored-100k", "stored-1m"):
        many = findings.scenario(name)
        if many is not None and "seawall" in many.readings:
            seen = rates(many, "seawall").median / rates(few, "seawall").median
            yield Verdict(name, many.title, f">= {GROWTH:g} x 1,000 stored", f"{seen:.2f}", seen >= GROWTH)


def _latency(findings: Findings) -> Iterator[Verdict]:
    latency = findings.latency
    if latency is None or not {"seawall", "nginx"} <= latency.rounds.keys():
        return
    mine, peer = latency.rounds["seawall"], latency.rounds["nginx"]
    pairs = (
        ("p50", P50, median(each.p50 for each in mine) / median(each.p50 for each in peer)),
        ("p99", P99, median(each.p99 for each in mine) / median(each.p99 for each in peer)),
    )
    for name, asked, seen in pairs:
        what = f"{name} at {latency.rate:,.0f} a second"
        yield Verdict("latency", what, f"<= {asked:g} x nginx", f"{seen:.2f}", seen <= asked)


def _ready(findings: Findings) -> Iterator[Verdict]:
    if seconds := findings.ready.get("seawall"):
        seen = median(seconds)
        yield Verdict("ready", "ready, empty cache", f"<= {READY_SECONDS:g} s", f"{seen:.2f} s", seen <= READY_SECONDS)


def _memory(findings: Findings) -> Iterator[Verdict]:
    if found := findings.footprints.get("seawall"):
        seen = median(each.overhead_bytes for each in found)
        asked = f"<= {OVERHEAD_BYTES:,} B"
        what = "memory above body and head"
        yield Verdict("memory", what, asked, f"{seen:,.0f} B", seen <= OVERHEAD_BYTES)
