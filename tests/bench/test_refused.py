"""What makes a measurement worthless is refused, and a good one is not."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bench.peers.exchange import Heard
from bench.peers.origin import Origin
from bench.peers.scenarios import EVERY, HIT, MISS, NOT_MODIFIED, Scenario
from bench.peers.system import System
from bench.peers.trial import Bench, Cores, Numbers, Refused, check, checked_probe
from bench.peers.wrk import Figures, Ran
from tests.bench.server import response, serving

RESPONSE_BYTES = 1300
GOOD = Figures(10_000, 10_000 * RESPONSE_BYTES, 2_000_000, 0, 0, 0, 0, 0)


@pytest.mark.parametrize("extra", [0, 25, -25])
def test_a_whole_measurement_is_accepted_though_heads_differ_by_some_digits(extra: int) -> None:
    check(HIT, replace_bytes(GOOD, GOOD.requests * (RESPONSE_BYTES + extra)), RESPONSE_BYTES, 0)


def replace_bytes(figures: Figures, octets: int) -> Figures:
    return changed(figures, bytes=octets)


def changed(figures: Figures, **fields: int) -> Figures:
    return Figures(**{name: fields.get(name, getattr(figures, name)) for name in Figures.__struct_fields__})


@pytest.mark.parametrize(
    ("figures", "asked", "says"),
    [
        (changed(GOOD, status=1), 0, "1 of 10000 answers were errors"),
        (changed(GOOD, requests=0, bytes=0), 0, "no answer"),
        (changed(GOOD, connect=1), 0, "connections failed"),
        (changed(GOOD, read=1), 0, "1 reads"),
        (changed(GOOD, timeout=1), 0, "1 time-outs"),
        (replace_bytes(GOOD, 10_000 * 276), 0, "276 octets a response, not about 1300"),
        (replace_bytes(GOOD, 10_000 * 1500), 0, "1500 octets a response"),
        (GOOD, 1, "the origin was asked 1 times during hits"),
    ],
)
def test_hits_that_were_not_all_whole_hits_are_refused(figures: Figures, asked: int, says: str) -> None:
    with pytest.raises(Refused, match=says):
        check(HIT, figures, RESPONSE_BYTES, asked)


@pytest.mark.parametrize("asked", [0, 5000, 20_000])
def test_misses_that_the_origin_did_not_see_one_for_one_are_refused(asked: int) -> None:
    with pytest.raises(Refused, match=f"asked {asked} times for 10000"):
        check(MISS, GOOD, RESPONSE_BYTES, asked)


def test_misses_under_way_at_the_end_are_the_origins_business_too() -> None:
    check(MISS, GOOD, RESPONSE_BYTES, GOOD.requests + 64)


@pytest.mark.parametrize(
    ("scenario", "status", "body", "says"),
    [
        (HIT, 503, b"x" * 1024, "status 503, not 200"),
        (HIT, 200, b"x" * 1023, "1023 octets of body, not 1024"),
        (NOT_MODIFIED, 200, b"x" * 1024, "status 200, not 304"),
    ],
)
def test_a_first_look_at_the_wrong_answer_is_refused(scenario: Scenario, status: int, body: bytes, says: str) -> None:
    with pytest.raises(Refused, match=says):
        checked_probe(scenario, Heard(status, b"", body))


@dataclass(frozen=True)
class Scripted(Bench):
    """A bench whose generator finds what it is told to."""

    finds: Figures = GOOD
    loads: list[str] = field(default_factory=list)

    def load(self, scenario: Scenario, port: int, seconds: int) -> Ran:
        self.loads.append(scenario.name)
        return Ran(self.finds, 1.0)


def bench(finds: Figures) -> Scripted:
    counter = cast(Origin, SimpleNamespace(asked=lambda: 0))
    return Scripted(Cores(0, 0, 0), counter, Numbers(), 1, finds)


def system(port: int) -> System:
    setup = SimpleNamespace(access_log=False, log_file=Path("none"))
    double: Any = SimpleNamespace(
        name="varnish", port=port, core=0, setup=setup, cpu_seconds=lambda: 0.5, require_alive=lambda: None
    )
    return cast(System, double)


ANSWER = response(200, b"x" * 1024)
WHOLE = changed(GOOD, bytes=GOOD.requests * len(ANSWER))


def test_a_measurement_looks_warms_up_and_measures() -> None:
    with serving(lambda path: ANSWER) as port:
        trial = bench(WHOLE)
        seen = trial.measure(system(port), HIT)
    assert trial.loads == [HIT.name, HIT.name]
    assert (seen.rate, seen.requests, seen.logged) == (5000.0, 10_000, None)


def test_a_run_whose_statuses_are_wrong_is_refused_by_the_name_of_the_system() -> None:
    with serving(lambda path: ANSWER) as port, pytest.raises(Refused, match="varnish: hit 1 KiB: 7 of 10000 answers"):
        bench(changed(WHOLE, status=7)).measure(system(port), HIT)


def test_a_system_that_answers_wrongly_is_not_even_asked_by_the_generator() -> None:
    trial = bench(WHOLE)
    with (
        serving(lambda path: response(404, b"x" * 1024)) as port,
        pytest.raises(Refused, match=r"varnish: .*status 404"),
    ):
        trial.measure(system(port), HIT)
    assert trial.loads == []


def test_no_two_measurements_of_misses_ask_for_the_same_urls() -> None:
    numbers = Numbers()
    starts = [numbers.arguments(MISS)[1] for _ in range(3)]
    looks = [numbers.probe_path(MISS) for _ in range(3)]
    assert len({*starts, *(look.removeprefix(MISS.path) for look in looks)}) == 6


def test_scenarios_have_names_of_their_own() -> None:
    assert len({each.name for each in EVERY}) == len(EVERY)


def test_one_core_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {3})
    with pytest.raises(Refused, match="two cores"):
        Cores.choose()


@pytest.mark.parametrize(("free", "chosen"), [({4, 6}, Cores(4, 6, 6)), ({0, 1, 2, 3}, Cores(0, 1, 2))])
def test_server_and_generator_have_a_core_each(monkeypatch: pytest.MonkeyPatch, free: set[int], chosen: Cores) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: free)
    assert Cores.choose() == chosen
