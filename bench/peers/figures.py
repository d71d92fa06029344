"""What a run found: plain data, and the one place that turns rounds into medians and ratios.

Rates are requests a second, CPU is microseconds a request, latencies are microseconds, times to ready are seconds,
memory is bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import msgspec

SYSTEMS = ("seawall", "nginx", "varnish")
TITLES = {"seawall": "Seawall", "nginx": "nginx", "varnish": "Varnish"}
# Below this share of its core the server was waiting: for the generator, or for the origin.
SATURATED = 0.93
# Above this share of its core that others took, the machine was not quiet. Timers and interrupts take 1 or 2 %.
DISTURBED = 0.05


@dataclass(frozen=True, slots=True)
class Reading:
    """One system, one scenario, one round."""

    rate: float
    cpu_us: float  # of all processes of the system, for a request
    busy: float  # share of the server's core that the system used
    generator_busy: float  # share of the generator's core that wrk used
    origin_asked: int
    requests: int
    foreign: float = 0.0  # share of the server's core that neither the system used nor was idle
    logged: int | None = None  # lines in the access log, where there is one


@dataclass(frozen=True, slots=True)
class Rates:
    """One scenario: so many readings for each system, one a round. `ceiling`: the origin asked without a cache."""

    name: str
    title: str
    readings: dict[str, list[Reading]]
    ceiling: list[Reading] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Percentiles:
    """One round of requests at a fixed rate; counted from when each was due, not from when it could be sent."""

    p50: float
    p99: float
    p999: float
    requests: int
    late_p99: float  # how much later than due the generator itself sent


@dataclass(frozen=True, slots=True)
class Latency:
    rate: float
    connections: int
    rounds: dict[str, list[Percentiles]]


@dataclass(frozen=True, slots=True)
class Footprint:
    """What so many stored objects made a system grow by, wherever it keeps them."""

    objects: int
    body_bytes: int
    head_bytes: int  # as the origin sent it
    grown_bytes: int

    @property
    def overhead_bytes(self) -> float:
        """For each object, above its body and head."""
        return self.grown_bytes / self.objects - self.body_bytes - self.head_bytes


@dataclass(frozen=True, slots=True)
class Machine:
    cpu: str
    cores: int
    memory_gib: float
    kernel: str
    system: str
    pinned: str  # which core does what


@dataclass(frozen=True, slots=True)
class Findings:
    """A whole run, as it stands in build/bench/peers.json."""

    when: str
    machine: Machine
    versions: dict[str, str]
    seconds: float  # of each measurement
    rounds: int
    connections: int
    rates: list[Rates]
    ready: dict[str, list[float]]
    latency: Latency | None = None
    footprints: dict[str, list[Footprint]] = field(default_factory=dict)

    def scenario(self, name: str) -> Rates | None:
        return next((each for each in self.rates if each.name == name), None)


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle of some rounds, and how far they lie apart."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        return cls(median(values), min(values), max(values))


def rates(found: Rates, system: str) -> Spread:
    return Spread.of([each.rate for each in found.readings[system]])


def cpu(found: Rates, system: str) -> Spread:
    return Spread.of([each.cpu_us for each in found.readings[system]])


def starved(found: Rates, system: str) -> bool:
    """Was the server idle at times? Then its rate says what generator or origin can do; its CPU is still its own."""
    return median(each.busy + each.foreign for each in found.readings[system]) < SATURATED


def disturbed(found: Rates, system: str) -> bool:
    """Did something else run on the server's core? Then no figure of it means much."""
    return max(each.foreign for each in found.readings[system]) > DISTURBED


def ratio(found: Rates, peer: str) -> float | None:
    """Seawall's median rate over the peer's; None where one of them was not measured."""
    if not found.readings.get("seawall") or not found.readings.get(peer):
        return None
    return rates(found, "seawall").median / rates(found, peer).median


def cpu_ratio(found: Rates, peer: str) -> float | None:
    """The peer's CPU a request over Seawall's: above 1, Seawall is the cheaper one, as with rates."""
    if not found.readings.get("seawall") or not found.readings.get(peer):
        return None
    mine = cpu(found, "seawall").median
    return cpu(found, peer).median / mine if mine else None


def lost_lines(found: Rates, system: str) -> float | None:
    """The share of requests that its access log does not have; None where it wrote none."""
    pairs = [(each.logged, each.requests) for each in found.readings.get(system, []) if each.logged is not None]
    if not pairs:
        return None
    return sum(max(0, requests - logged) for logged, requests in pairs) / sum(requests for _, requests in pairs)


def ceiling(found: Rates) -> float | None:
    """What the origin itself reached, where it was asked."""
    return median(each.rate for each in found.ceiling) if found.ceiling else None


def save(findings: Findings, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(findings), indent=1) + b"\n")


def load(file: Path) -> Findings:
    """FileNotFoundError where there was no run; msgspec.ValidationError where it is another version's."""
    return msgspec.json.decode(file.read_bytes(), type=Findings)
