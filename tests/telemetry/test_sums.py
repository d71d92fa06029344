"""The numbers of several processes as one node's: they travel whole, add up, and outlive their process."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields

import pytest

from seawall.policy.reasons import Fwd, Outcome, Reason
from seawall.telemetry.exposition import Scrape
from seawall.telemetry.metrics import Counters, Gauges, Histogram, PortUsage, TierUsage, snapshot
from seawall.telemetry.sums import Figures, decode, encode, figures, summed

MEMORY = TierUsage("memory", 10, 1)
DISK = TierUsage("disk", 100, 7, 1, 2, {"full": 3}, 4)
PORT = PortUsage(5, 9, {"400": 2}, {"head": 1})


def busy() -> Counters:
    """Counters of which every single one has counted something."""
    counters = Counters(
        upstream_failures=Counter({Reason(next(iter(Reason))): 3}),
        not_stored=Counter({Reason(next(iter(Reason))): 4}),
        evictions=Counter({("disk", "size"): 5}),
    )
    counters.requests[Outcome.HIT] = 7
    counters.origin_requests[Fwd(next(iter(Fwd)))] = 2
    counters.request_seconds.observe(0.02)
    for each in fields(Counters):
        if isinstance(getattr(counters, each.name), int):
            setattr(counters, each.name, 11)
    return counters


def plain(counters: Counters) -> dict[str, object]:
    return {
        each.name: (value.bounds, value.counts, value.sum) if isinstance(value, Histogram) else value
        for each in fields(Counters)
        for value in [getattr(counters, each.name)]
    }


def test_every_counter_travels_and_is_the_same_number_on_the_other_side() -> None:
    sent = Figures(busy(), (MEMORY, DISK), PORT, 6)
    counters = sent.counters
    untouched = [name for name, value in plain(counters).items() if value == plain(Counters())[name]]
    assert not untouched, "busy() says nothing of these"
    got = decode(encode(sent))
    assert plain(got.counters) == plain(counters)
    assert (got.tiers, got.port, got.flights) == (sent.tiers, sent.port, sent.flights)
    assert snapshot(got.counters, got.gauges()) == snapshot(counters, sent.gauges())
    assert b"seawall_requests_total" in Scrape(got.counters, got.gauges(), "x")("")[1]


def test_what_each_has_is_added_and_what_they_share_is_not() -> None:
    one, other = Figures(busy(), (MEMORY, DISK), PORT, 6), Figures(busy(), (MEMORY,), PORT, 1)
    both = summed([one, decode(encode(other))])
    assert both.tiers == (TierUsage("memory", 20, 2), DISK)
    assert summed([one, one]).tiers[1] == TierUsage("disk", 100, 7, 2, 4, {"full": 6}, 8)
    assert both.port == PortUsage(10, 18, {"400": 4}, {"head": 2})
    assert both.flights == 7
    assert both.counters.requests[Outcome.HIT] == 14
    assert both.counters.evictions["disk", "size"] == 10
    assert both.counters.request_seconds.count == 2
    assert both.counters.request_seconds.sum == pytest.approx(0.04)
    assert both.counters.sent_bytes == 22
    assert one.counters.requests[Outcome.HIT] == 7, "the parts stay as they were"


def test_a_process_that_has_ended_leaves_its_counts_and_holds_nothing() -> None:
    left = Figures(busy(), (MEMORY, DISK), PORT, 6).ended()
    assert left.flights == left.port.open == 0
    assert left.port.accepted == 9
    assert left.counters.requests[Outcome.HIT] == 7
    assert left.tiers == (TierUsage("memory", 0, 0), TierUsage("disk", 0, 0, 1, 2, {"full": 3}, 0))


def test_the_levels_are_asked_before_the_counters_are_read() -> None:
    counters = Counters()

    def tiers() -> list[TierUsage]:
        counters.evictions["memory", "size"] = 3
        return [MEMORY]

    seen = decode(encode(figures(counters, Gauges(tiers=tiers))))
    assert seen.counters.evictions["memory", "size"] == 3


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b'{"tiers":[]}'])
def test_what_was_not_encoded_is_not_decoded(body: bytes) -> None:
    with pytest.raises(ValueError):
        decode(body)
