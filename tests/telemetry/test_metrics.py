"""What was counted is what is scraped, under the names of the contract."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from seawall.policy.reasons import Fwd, Outcome, Reason
from seawall.telemetry.exposition import Scrape
from seawall.telemetry.metrics import (
    Counters,
    Gauges,
    Histogram,
    PortUsage,
    PurgeUsage,
    TierUsage,
    WorkersUsage,
    snapshot,
)

GAUGES = Gauges(
    tiers=lambda: [TierUsage("memory", 1000, 3), TierUsage("disk", 2000, 4)],
    port=lambda: PortUsage(5, 9, {"400": 2}, {"header": 1}),
    flights=lambda: 7,
)


def scraped(counters: Counters, gauges: Gauges = GAUGES) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    content_type, body = Scrape(counters, gauges, "edge-ams")("")
    assert content_type.startswith("text/plain")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def counted() -> Counters:
    counters = Counters()
    counters.requests[Outcome.HIT] += 3
    counters.requests[Outcome.MISS] += 1
    counters.origin_requests[Fwd.URI_MISS] += 1
    counters.upstream_failures[Reason.CONNECT_FAILED] += 2
    counters.not_stored[Reason.NO_STORE] += 4
    counters.evictions["memory", "size"] += 5
    counters.collapsed += 6
    counters.sent_bytes += 10
    counters.aborted += 1
    counters.request_seconds.observe(0.0002)
    counters.request_seconds.observe(100.0)
    return counters


def test_the_metrics_of_the_contract_are_there_under_their_names() -> None:
    found = scraped(counted())
    expected: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {
        ("seawall_requests_total", (("outcome", "HIT"),)): 3,
        ("seawall_requests_total", (("outcome", "PASS"),)): 0,
        ("seawall_request_seconds_count", ()): 2,
        ("seawall_request_seconds_bucket", (("le", "0.0001"),)): 0,
        ("seawall_request_seconds_bucket", (("le", "0.00025"),)): 1,
        ("seawall_request_seconds_bucket", (("le", "30.0"),)): 1,
        ("seawall_request_seconds_bucket", (("le", "+Inf"),)): 2,
        ("seawall_origin_requests_total", (("reason", "uri-miss"),)): 1,
        ("seawall_upstream_failures_total", (("reason", "connect-failed"),)): 2,
        ("seawall_not_stored_total", (("reason", "no-store"),)): 4,
        ("seawall_collapsed_total", ()): 6,
        ("seawall_store_bytes", (("tier", "memory"),)): 1000,
        ("seawall_store_entries", (("tier", "disk"),)): 4,
        ("seawall_evictions_total", (("tier", "memory"), ("why", "size"))): 5,
        ("seawall_connections", ()): 5,
        ("seawall_connections_accepted_total", ()): 9,
        ("seawall_bad_requests_total", (("status", "400"),)): 2,
        ("seawall_client_timeouts_total", (("waiting_for", "header"),)): 1,
        ("seawall_flights", ()): 7,
        ("seawall_sent_bytes_total", ()): 10,
        ("seawall_aborted_total", ()): 1,
    }
    assert {key: found.get(key) for key in expected} == expected
    assert any(name == "seawall_build_info" for name, _ in found)
    assert any(name == "process_resident_memory_bytes" for name, _ in found)


def test_all_words_of_an_enum_are_there_before_they_happen() -> None:
    """A rate() over a series that appears with its first event would miss that event."""
    outcomes = {dict(labels)["outcome"] for name, labels in scraped(Counters()) if name == "seawall_requests_total"}
    assert outcomes == {outcome.value for outcome in Outcome}


def test_no_name_has_unbounded_labels() -> None:
    labels = {label for _, pairs in scraped(counted()) for label, _ in pairs}
    known = {"outcome", "reason", "tier", "why", "status", "waiting_for", "le"}
    assert labels - known <= {"version", "python", "node", "generation"}


def test_a_second_scrape_sees_what_came_since() -> None:
    counters = counted()
    scrape = Scrape(counters, GAUGES, "n")
    before = scrape("")[1]
    counters.collapsed += 1
    assert b"seawall_collapsed_total 6.0" in before
    assert b"seawall_collapsed_total 7.0" in scrape("")[1]


def test_openmetrics_is_spoken_to_those_who_ask() -> None:
    content_type, body = Scrape(counted(), GAUGES, "n")("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


def test_nothing_loads_prometheus_before_the_first_scrape() -> None:
    program = "import sys, seawall.telemetry.exposition; print('prometheus_client' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "False\n"
    )


@given(st.lists(st.floats(0, 1000, allow_nan=False), max_size=50))
def test_a_histogram_counts_at_or_below_each_bound(values: list[float]) -> None:
    histogram = Histogram((0.5, 1.0, 10.0))
    for value in values:
        histogram.observe(value)
    expected = [sum(value <= bound for value in values) for bound in (0.5, 1.0, 10.0)]
    assert histogram.cumulative() == [*expected, len(values)]
    assert histogram.count == len(values)
    assert histogram.sum == pytest.approx(sum(values))


def test_a_quantile_is_a_bound_that_the_share_did_not_exceed() -> None:
    histogram = Histogram((1.0, 2.0, 3.0))
    assert histogram.quantile(0.5) is None
    for value in (0.5, 1.5, 1.6, 9.0):
        histogram.observe(value)
    assert [histogram.quantile(share) for share in (0.0, 0.25, 0.5, 0.75, 1.0)] == [1.0, 1.0, 2.0, 2.0, None]


def test_the_snapshot_says_the_same_and_is_json() -> None:
    stats = snapshot(counted(), GAUGES)
    assert msgspec.json.decode(msgspec.json.encode(stats)) == stats
    assert stats["requests"] == {"HIT": 3, "MISS": 1, "STALE": 0, "PASS": 0, "ERROR": 0}
    assert stats["hit_ratio"] == 0.75
    assert snapshot(Counters(), Gauges())["hit_ratio"] is None


def test_names_follow_the_conventions_of_prometheus() -> None:
    for name, _ in scraped(counted()):
        if name.startswith("seawall_"):
            assert re.fullmatch(r"seawall_[a-z_]+", name)


def test_hub_shows_how_long_purges_take_and_who_lags() -> None:
    usage = PurgeUsage(Histogram(), {"edge-ams": 0, "edge-nyc": 2})
    usage.propagation.observe(0.002)
    gauges = Gauges(purge=lambda: usage)
    _, text = Scrape(Counters(), gauges, "shield-1")("text/plain")
    shown = text.decode()
    assert "seawall_purge_propagation_seconds_count 1.0" in shown
    assert 'seawall_purge_journal_lag{node="edge-nyc"} 2.0' in shown
    assert snapshot(Counters(), gauges)["purge_journal_lag"] == {"edge-ams": 0, "edge-nyc": 2}


def test_node_that_is_no_hub_shows_nothing_of_purges() -> None:
    _, text = Scrape(Counters(), Gauges(), "edge-ams")("text/plain")
    assert b"seawall_purge" not in text


def test_what_the_processes_of_a_node_take_is_added_up() -> None:
    """The CPU of one that has ended stays: a counter that falls looks like a restart."""
    alone = scraped(counted())
    program = [sys.executable, "-c", "print(flush=True), input()"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        worker.stdout.readline()  # it is what it is only when it has begun
        usage = WorkersUsage(1, (), 0, (worker.pid,))
        both = scraped(counted(), replace(GAUGES, workers=lambda: usage))
        for name in ("process_resident_memory_bytes", "process_virtual_memory_bytes", "process_open_fds"):
            assert both[name, ()] > alone[name, ()] + 2, name
        for name in ("process_max_fds", "process_start_time_seconds"):
            assert both[name, ()] == alone[name, ()], name
        worker.communicate(b"\n")
    subprocess.run([sys.executable, "-c", "sum(i for i in range(3_000_000))"], check=True)
    later = scraped(counted(), replace(GAUGES, workers=lambda: WorkersUsage(0, (0,), 1, (worker.pid,))))
    own = os.times()
    ended = own.children_user + own.children_system
    assert ended > 0.05
    assert later["process_cpu_seconds_total", ()] == pytest.approx(own.user + own.system + ended, abs=0.05)
