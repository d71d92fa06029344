"""Findings made up for the tests."""

from __future__ import annotations

from collections.abc import Sequence

from bench.peers.figures import Findings, Footprint, Latency, Machine, Percentiles, Rates, Reading


def reading(rate: float, *, busy: float = 1.0, foreign: float = 0.0, logged: int | None = None) -> Reading:
    return Reading(
        rate=rate,
        cpu_us=1e6 * busy / rate,
        busy=busy,
        generator_busy=0.5,
        origin_asked=0,
        requests=1000,
        foreign=foreign,
        logged=logged,
    )


def rates(name: str, seawall: Sequence[float], nginx: Sequence[float] = (), varnish: Sequence[float] = ()) -> Rates:
    given = {"seawall": seawall, "nginx": nginx, "varnish": varnish}
    return Rates(name, f"the {name}", {who: [reading(each) for each in of] for who, of in given.items() if of})


def percentiles(p50: float, p99: float) -> Percentiles:
    return Percentiles(p50, p99, 2 * p99, 1000, 5.0)


def findings(
    *found: Rates, latency: Latency | None = None, ready: float = 0.5, overhead: int | None = None
) -> Findings:
    footprints = {} if overhead is None else {"seawall": [Footprint(10, 1024, 200, 10 * (1224 + overhead))]}
    return Findings(
        when="2026-01-02T03:04:05+00:00",
        machine=Machine("a processor", 2, 8.0, "6.1", "Debian", "server on core 0"),
        versions={"seawall": "0.1", "nginx": "1.22.1"},
        seconds=2,
        rounds=3,
        connections=64,
        rates=list(found),
        ready={"seawall": [ready], "nginx": [0.01], "varnish": [0.4]},
        latency=latency,
        footprints=footprints,
    )
