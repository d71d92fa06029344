from __future__ import annotations

from pathlib import Path

import pytest

from bench.peers import figures
from bench.peers.figures import Footprint, Latency, Rates, Spread
from bench.peers.targets import verdicts
from tests.bench.found import findings, percentiles, rates, reading


def test_a_figure_is_the_median_with_the_least_and_the_most() -> None:
    assert Spread.of([3.0, 1.0, 100.0]) == Spread(3.0, 1.0, 100.0)
    assert Spread.of([1.0, 2.0]) == Spread(1.5, 1.0, 2.0)


def test_a_ratio_is_that_of_the_medians() -> None:
    found = rates("hit", seawall=[90, 100, 500], nginx=[50, 1, 60])
    assert figures.ratio(found, "nginx") == 2.0
    assert figures.ratio(found, "varnish") is None


@pytest.mark.parametrize(
    ("busy", "foreign", "starved", "disturbed"),
    [(0.99, 0.01, False, False), (0.60, 0.01, True, False), (0.60, 0.39, False, True), (0.60, 0.1, True, True)],
)
def test_a_server_that_waited_is_told_from_one_whose_core_others_took(
    busy: float, foreign: float, starved: bool, disturbed: bool
) -> None:
    found = Rates("hit", "hit", {"nginx": [reading(100, busy=busy, foreign=foreign)] * 3})
    assert (figures.starved(found, "nginx"), figures.disturbed(found, "nginx")) == (starved, disturbed)


def test_one_disturbed_round_is_enough() -> None:
    found = Rates("hit", "hit", {"nginx": [reading(100), reading(100, foreign=0.3), reading(100)]})
    assert figures.disturbed(found, "nginx")


def test_an_object_costs_what_was_grown_less_body_and_head() -> None:
    assert Footprint(objects=100, body_bytes=1024, head_bytes=200, grown_bytes=200_000).overhead_bytes == 776


def test_lines_that_a_log_lost_are_seen_and_more_than_asked_for_are_not_less_than_none() -> None:
    log = [reading(100, logged=900), reading(100, logged=1100)]
    found = Rates("logged", "logged", {"nginx": log, "seawall": [reading(100)]})
    assert figures.lost_lines(found, "nginx") == pytest.approx(0.05)
    assert figures.lost_lines(found, "seawall") is None


def test_findings_survive_the_file(tmp_path: Path) -> None:
    latency = Latency(5000, 64, {"nginx": [percentiles(50, 90)]})
    made = findings(rates("hit-1024", [1, 2], [3], [4]), latency=latency, overhead=900)
    file = tmp_path / "deeper" / "peers.json"
    figures.save(made, file)
    assert figures.load(file) == made


# --- what was asked, and whether it was kept ---


def told(*args: Rates, **more: object) -> list[tuple[str, str, bool]]:
    return [(each.asked, each.seen, each.kept) for each in verdicts(findings(*args, **more))]  # type: ignore[arg-type]


READY = ("<= 0.7 s", "0.50 s", True)


def test_a_target_for_both_peers_is_judged_for_each() -> None:
    assert told(rates("hit-1024", [110], [100], [100])) == [
        (">= 1.1 x nginx", "1.10", True),
        (">= 1.5 x Varnish", "1.10", False),
        READY,
    ]


def test_the_better_of_two_is_the_faster_one() -> None:
    assert told(rates("hit-16384", [90], [50], [101])) == [(">= 0.9 x the better", "0.89", False), READY]
    assert told(rates("hit-16384", [90], [100], [50])) == [(">= 0.9 x the better", "0.90", True), READY]


def test_what_was_not_measured_is_not_judged() -> None:
    assert told(rates("hit-1024", [110])) == [READY]
    assert told(rates("hit-logged", [110], [1], [1])) == [READY]


def test_hits_of_many_objects_are_judged_by_those_of_few() -> None:
    few, many = rates("stored-1k", [100], [100]), rates("stored-100k", [69], [50])
    assert told(few, many) == [(">= 1 x nginx", "1.38", True), (">= 0.7 x 1,000 stored", "0.69", False), READY]


def test_latencies_memory_and_readiness_are_judged_where_less_is_better() -> None:
    latency = Latency(5000, 64, {"seawall": [percentiles(75, 250)], "nginx": [percentiles(50, 100)]})
    assert told(latency=latency, ready=0.8, overhead=1100) == [
        ("<= 1.5 x nginx", "1.50", True),
        ("<= 2 x nginx", "2.50", False),
        ("<= 0.7 s", "0.80 s", False),
        ("<= 1,024 B", "1,100 B", False),
    ]
