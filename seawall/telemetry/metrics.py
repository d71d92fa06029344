"""What a node counts: plain numbers in slotted objects, so that counting costs what adding costs.

The owner is the node's one thread; a scrape reads while nothing else runs. Nothing is ever reset. How the numbers
are shown is `prometheus`'s and `snapshot`'s business.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate

from seawall.policy.reasons import Fwd, Outcome, Reason

# Seconds. A hit takes tens of microseconds and an origin seconds, so the steps are the 1-2.5-5 of Prometheus's own
# default over six decades: 17 series a node.
REQUEST_BOUNDS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)


class Histogram:
    """How many observations fell at or below each bound; 0.2 us each, a tenth of prometheus_client's."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...] = REQUEST_BOUNDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)  # the last one: above every bound
        self.sum = 0.0

    def __repr__(self) -> str:
        return f"<Histogram count={self.count} sum={self.sum:.6f}>"

    def observe(self, value: float, times: int = 1) -> None:
        """Counts one observation, or as many that are alike."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.sum += value * times

    @property
    def count(self) -> int:
        """All observations."""
        return sum(self.counts)

    def cumulative(self) -> list[int]:
        """How many were at or below each bound, and last all of them."""
        return list(accumulate(self.counts))

    def quantile(self, share: float) -> float | None:
        """The bound that this share of observations did not exceed; None without any, or above the last bound."""
        wanted = share * self.count
        for bound, below in zip(self.bounds, self.cumulative(), strict=False):
            if below and below >= wanted:
                return bound
        return None


@dataclass(slots=True)
class Counters:
    """Everything a node has counted since it started."""

    requests: dict[Outcome, int] = field(default_factory=lambda: dict.fromkeys(Outcome, 0))
    request_seconds: Histogram = field(default_factory=Histogram)
    origin_requests: dict[Fwd, int] = field(default_factory=lambda: dict.fromkeys(Fwd, 0))
    upstream_failures: Counter[Reason] = field(default_factory=Counter)
    not_stored: Counter[Reason] = field(default_factory=Counter)
    evictions: Counter[tuple[str, str]] = field(default_factory=Counter)  # (tier, why)
    collapsed: int = 0
    sent_bytes: int = 0
    aborted: int = 0  # replies that their client did not get whole
    access_log_dropped: int = 0  # lines, because writing was slow
    access_log_lost: int = 0  # lines, with a write that failed; the writer's thread counts these two
    access_log_errors: int = 0


@dataclass(frozen=True, slots=True)
class TierUsage:
    """What a level of the store holds at this moment."""

    tier: str
    bytes: int
    entries: int
    damaged: int = 0  # objects whose checksum did not agree: misses
    failures: int = 0  # times that the level could not be asked
    lost: Mapping[str, int] = field(default_factory=dict)  # objects that it was to have and has not, by reason
    waiting: int = 0  # operations that are still to be carried out there


@dataclass(frozen=True, slots=True)
class PortUsage:
    """What the data port holds and has seen."""

    open: int
    accepted: int
    bad_requests: dict[str, int]  # status of the refusal
    timeouts: dict[str, int]  # what was waited for


@dataclass(frozen=True, slots=True)
class PurgeUsage:
    """What the hub of the purges knows: seconds from order to application, and orders that each node still lacks."""

    propagation: Histogram
    lag: dict[str, int]


@dataclass(frozen=True, slots=True)
class WorkersUsage:
    """The processes of a node that has several: those whose numbers are here as they are now, and the other ones."""

    answering: int
    silent: tuple[int, ...]  # which ones; what they counted is here as it was when they were heard last
    replaced: int  # how many ended that nobody had asked to
    pids: tuple[int, ...] = ()  # of those that run


NO_PORT = PortUsage(0, 0, {}, {})


@dataclass(frozen=True, slots=True)
class Gauges:
    """Where to look for what is not counted but simply is; asked at each scrape."""

    tiers: Callable[[], Iterable[TierUsage]] = tuple
    port: Callable[[], PortUsage] = lambda: NO_PORT
    flights: Callable[[], int] = int
    purge: Callable[[], PurgeUsage | None] = lambda: None
    workers: Callable[[], WorkersUsage | None] = lambda: None  # None: one process


def _level(usage: TierUsage) -> dict[str, JSON]:
    said: dict[str, JSON] = {"bytes": usage.bytes, "entries": usage.entries}
    if usage.tier != "memory":
        said |= {
            "damaged": usage.damaged,
            "failures": usage.failures,
            "lost": dict(usage.lost),
            "waiting": usage.waiting,
        }
    return said


JSON = dict[str, "JSON"] | list["JSON"] | str | int | float | bool | None


def snapshot(counters: Counters, gauges: Gauges) -> dict[str, JSON]:
    """The same numbers for /v1/stats. Counts of reasons that never came up are left out."""
    port = gauges.port()
    answered = sum(counters.requests.values())
    hits = counters.requests[Outcome.HIT] + counters.requests[Outcome.STALE]
    seconds = counters.request_seconds
    purge = gauges.purge()
    workers = gauges.workers()
    several: dict[str, JSON] = {}
    if workers is not None:
        silent: list[JSON] = [*workers.silent]
        several["workers"] = {"answering": workers.answering, "silent": silent, "replaced": workers.replaced}
    return {
        **several,
        "requests": {outcome.value: count for outcome, count in counters.requests.items()},
        "hit_ratio": hits / answered if answered else None,
        "request_seconds": {
            "count": seconds.count,
            "sum": seconds.sum,
            "p50": seconds.quantile(0.5),
            "p99": seconds.quantile(0.99),
        },
        "origin_requests": {fwd.value: count for fwd, count in counters.origin_requests.items()},
        "upstream_failures": {reason.value: count for reason, count in counters.upstream_failures.items()},
        "not_stored": {reason.value: count for reason, count in counters.not_stored.items()},
        "collapsed": counters.collapsed,
        "sent_bytes": counters.sent_bytes,
        "aborted": counters.aborted,
        "flights": gauges.flights(),
        "purge_journal_lag": None if purge is None else dict(purge.lag),
        "store": {usage.tier: _level(usage) for usage in gauges.tiers()},
        "evictions": {f"{tier}:{why}": count for (tier, why), count in counters.evictions.items()},
        "connections": {"open": port.open, "accepted": port.accepted},
        "bad_requests": dict(port.bad_requests),
        "timeouts": dict(port.timeouts),
        "access_log": {
            "dropped": counters.access_log_dropped + counters.access_log_lost,
            "errors": counters.access_log_errors,
        },
    }
