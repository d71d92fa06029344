"""The counters as Prometheus reads them: a collector that looks at the numbers when it is scraped.

The only module that knows prometheus_client. Import it when the first scrape comes (`exposition` does): it costs
50 ms that a node needs to be ready.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from seawall.telemetry.metrics import Counters, Gauges, Histogram, WorkersUsage
from seawall.telemetry.version import own_version

Word = TypeVar("Word", bound=str)  # the members of an enum, mostly


class NodeCollector(Collector):
    """A node's counters and gauges under the names of the contract. Every label is an enum's word or a tier."""

    def __init__(self, counters: Counters, gauges: Gauges, node: str) -> None:
        self._counters = counters
        self._gauges = gauges
        self._node = node

    def collect(self) -> Iterator[Metric]:
        yield from self._traffic()
        yield from self._origin()
        yield from self._store()
        yield from self._port()
        yield from self._purge()
        yield from self._workers()
        yield from self._itself()

    def _traffic(self) -> Iterator[Metric]:
        counters = self._counters
        yield _counts("seawall_requests", "Requests answered, by outcome.", "outcome", counters.requests)
        yield _histogram(
            "seawall_request_seconds",
            "Seconds from a request's arrival to the last octet of its reply.",
            counters.request_seconds,
        )
        yield _count("seawall_collapsed", "Requests that waited for another's fetch.", counters.collapsed)
        yield _count("seawall_sent_bytes", "Octets of bodies sent to clients.", counters.sent_bytes)
        yield _count("seawall_aborted", "Replies that their client did not get whole.", counters.aborted)

    def _origin(self) -> Iterator[Metric]:
        counters = self._counters
        yield _counts(
            "seawall_origin_requests",
            "Requests sent to the origin, by the reason why (RFC 9211 2.2).",
            "reason",
            counters.origin_requests,
        )
        yield _counts(
            "seawall_upstream_failures",
            "Requests to the origin without a usable answer.",
            "reason",
            counters.upstream_failures,
        )
        yield GaugeMetricFamily("seawall_flights", "Fetches under way.", value=self._gauges.flights())

    def _store(self) -> Iterator[Metric]:
        held_bytes = GaugeMetricFamily(
            "seawall_store_bytes", "What the store holds, overhead included.", labels=["tier"]
        )
        entries = GaugeMetricFamily("seawall_store_entries", "Responses in the store.", labels=["tier"])
        damaged = CounterMetricFamily(
            "seawall_store_damaged", "Stored responses that were not what had been stored: misses.", labels=["tier"]
        )
        failures = CounterMetricFamily(
            "seawall_store_failures", "Times that a level of the store could not be asked.", labels=["tier"]
        )
        lost = CounterMetricFamily(
            "seawall_store_lost", "Responses that a level was to have and has not.", labels=["tier", "why"]
        )
        waiting = GaugeMetricFamily(
            "seawall_store_waiting", "Operations still to be carried out on a level.", labels=["tier"]
        )
        for usage in self._gauges.tiers():
            held_bytes.add_metric([usage.tier], usage.bytes)
            entries.add_metric([usage.tier], usage.entries)
            if usage.tier != "memory":
                damaged.add_metric([usage.tier], usage.damaged)
                failures.add_metric([usage.tier], usage.failures)
                waiting.add_metric([usage.tier], usage.waiting)
                for why, count in usage.lost.items():
                    lost.add_metric([usage.tier, why], count)
        yield from (held_bytes, entries, damaged, failures, lost, waiting)
        evictions = CounterMetricFamily(
            "seawall_evictions", "Responses that had to leave the store.", labels=["tier", "why"]
        )
        for (tier, why), count in self._counters.evictions.items():
            evictions.add_metric([tier, why], count)
        yield evictions
        yield _counts(
            "seawall_not_stored",
            "Responses that might have been stored and were not.",
            "reason",
            self._counters.not_stored,
        )

    def _port(self) -> Iterator[Metric]:
        port = self._gauges.port()
        yield GaugeMetricFamily("seawall_connections", "Clients connected now.", value=port.open)
        yield _count("seawall_connections_accepted", "Clients that ever connected.", port.accepted)
        yield _counts("seawall_bad_requests", "Requests refused by the parser.", "status", port.bad_requests)
        yield _counts("seawall_client_timeouts", "Connections ended by a time-out.", "waiting_for", port.timeouts)

    def _purge(self) -> Iterator[Metric]:
        usage = self._gauges.purge()
        if usage is None:
            return
        yield _histogram(
            "seawall_purge_propagation_seconds",
            "Seconds from a purge order on the disk to its application, one observation for each process.",
            usage.propagation,
        )
        lag = GaugeMetricFamily(
            "seawall_purge_journal_lag", "Purge orders that a node has still to apply.", labels=["node"]
        )
        for node, orders in usage.lag.items():
            lag.add_metric([node], orders)
        yield lag

    def _workers(self) -> Iterator[Metric]:
        usage = self._gauges.workers()
        if usage is None:
            return
        workers = GaugeMetricFamily("seawall_workers", "Processes that share this node's port.", labels=["state"])
        workers.add_metric(["answering"], usage.answering)
        workers.add_metric(["silent"], len(usage.silent))
        yield workers
        yield _count("seawall_workers_replaced", "Processes of this node that ended unasked.", usage.replaced)

    def _itself(self) -> Iterator[Metric]:
        counters = self._counters
        lost = {"slow": counters.access_log_dropped, "failed": counters.access_log_lost}
        yield _counts("seawall_access_log_dropped", "Lines that were never written.", "why", lost)
        yield _count("seawall_access_log_errors", "Writes to the access log that failed.", counters.access_log_errors)
        yield InfoMetricFamily(
            "seawall_build",
            "What runs here.",
            value={"version": own_version(), "python": platform.python_version(), "node": self._node},
        )


class ProcessesCollector(Collector):
    """What the processes of a node take, under the names that every dashboard knows. Of a node that has several it is
    the sum, with the time of those that have ended; its start and its limit are those of the process that keeps it."""

    SUMMED = frozenset(
        {"process_virtual_memory_bytes", "process_resident_memory_bytes", "process_cpu_seconds", "process_open_fds"}
    )

    def __init__(self, workers: Callable[[], WorkersUsage | None]) -> None:
        self._workers = workers
        self._pid: int | str = "self"
        self._one = ProcessCollector(pid=lambda: self._pid, registry=None)

    def collect(self) -> Iterator[Metric]:
        usage = self._workers()
        families = {family.name: family for family in self._of("self")}
        if usage is not None:
            for family in (each for pid in usage.pids for each in self._of(pid)):
                if family.name in self.SUMMED and family.name in families:
                    _add(families[family.name], family.samples[0].value)
            if "process_cpu_seconds" in families:
                ended = os.times()  # a counter that falls looks like a restart
                _add(families["process_cpu_seconds"], ended.children_user + ended.children_system)
        yield from families.values()

    def _of(self, pid: int | str) -> Iterable[Metric]:
        self._pid = pid
        return self._one.collect()


def _add(family: Metric, value: float) -> None:
    (sample,) = family.samples
    family.samples = [sample._replace(value=sample.value + value)]


class Exposition:
    """Everything that one node shows on /metrics: its own, its processes', and the garbage collector's of the one that
    answers."""

    def __init__(self, counters: Counters, gauges: Gauges, node: str) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(NodeCollector(counters, gauges, node))
        self._registry.register(ProcessesCollector(gauges.workers))
        GCCollector(registry=self._registry)

    def render(self, accept: str) -> tuple[str, bytes]:
        """Content-Type and body, in the format that the scraper prefers."""
        encoder, content_type = choose_encoder(accept)
        return content_type, bytes(encoder(self._registry))


def _count(name: str, help_text: str, value: int) -> Metric:
    return CounterMetricFamily(name, help_text, value=value)


def _counts(name: str, help_text: str, label: str, values: Mapping[Word, int]) -> Metric:
    family = CounterMetricFamily(name, help_text, labels=[label])
    for key, count in values.items():
        family.add_metric([str(key)], count)
    return family


def _histogram(name: str, help_text: str, histogram: Histogram) -> Metric:
    bounds: Iterable[str] = (*map(floatToGoString, histogram.bounds), "+Inf")
    buckets = list(zip(bounds, histogram.cumulative(), strict=True))
    return HistogramMetricFamily(name, help_text, buckets=buckets, sum_value=histogram.sum)
