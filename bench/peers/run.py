"""The order of a whole run: round by round, each scenario, each system right after the others.

The machine's speed drifts while a run goes on; what is compared is therefore measured seconds apart, and no system
is always the first. Whatever is started here ends here, by its id, also when the run is broken off.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.peers import openloop
from bench.peers.exchange import ask, fill
from bench.peers.figures import SYSTEMS, Findings, Footprint, Latency, Percentiles, Rates, Reading
from bench.peers.nginx import Nginx
from bench.peers.origin import SMALL_BYTES, Origin
from bench.peers.programs import machine, versions
from bench.peers.scenarios import CONNECTIONS, FOOTPRINT_OBJECTS, HIT, PLAIN, Asks, Fleet, Scenario
from bench.peers.seawall import Seawall
from bench.peers.system import Builder, Setup, System
from bench.peers.trial import Bench, Cores, Numbers, Refused
from bench.peers.varnish import Varnish
from tests.topology.ports import free_ports

BUILDERS: dict[str, Builder] = {"seawall": Seawall, "nginx": Nginx, "varnish": Varnish}
READY_ROUNDS = 5
# So many are stored before memory is looked at for the first time: buffers and imports are not the objects' cost.
_SETTLED = 1000

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is to do."""

    scenarios: Sequence[Scenario]
    rounds: int
    seconds: int
    systems: Sequence[str] = SYSTEMS
    latency_rate: float | None = None  # None: latencies are not measured


Trio = dict[str, System]


class Run:
    """One run under way. Owns the origin, the directory, and whatever fleets are up."""

    def __init__(self, plan: Plan, bench: Bench, directory: Path, say: Say) -> None:
        self._plan = plan
        self._bench = bench
        self._directory = directory
        self._say = say
        self._names = count(1)
        self.footprints: dict[str, list[Footprint]] = {}

    # --- fleets ---

    def _start(self, name: str, fleet: Fleet) -> System:
        port, spare = free_ports(2)
        return BUILDERS[name](
            Setup(
                self._directory / f"{next(self._names)}-{fleet.name}-{name}",
                port,
                spare,
                self._bench.origin.port,
                self._bench.cores.server,
                fleet.storage_bytes,
                fleet.access_log,
                fleet.disk,
            )
        )

    @contextmanager
    def _fleets(self, fleets: Iterable[Fleet]) -> Iterator[dict[str, Trio]]:
        """All of them up and filled, until the block ends."""
        with ExitStack() as stack:
            found: dict[str, Trio] = {}
            for fleet in fleets:
                trio = found[fleet.name] = {}
                for name in self._plan.systems:
                    system = trio[name] = self._start(name, fleet)
                    stack.callback(system.end)
                    system.ready()
                    self._fill(system, fleet)
            yield found

    def _fill(self, system: System, fleet: Fleet) -> None:
        """Stores the fleet's objects; with many of them it sees what they take."""
        if not fleet.objects:
            return
        self._say(f"storing {fleet.objects:,} objects in {system.name}")
        settled = min(_SETTLED, fleet.objects)
        fill(system.port, _paths(0, settled), SMALL_BYTES)
        before = system.memory_bytes()
        fill(system.port, _paths(settled, fleet.objects), SMALL_BYTES)
        if fleet.objects >= FOOTPRINT_OBJECTS:
            head = ask(self._bench.origin.port, "/o/0").head
            self.footprints.setdefault(system.name, []).append(
                Footprint(fleet.objects - settled, SMALL_BYTES, len(head), system.memory_bytes() - before)
            )

    # --- what is measured ---

    def _turns(self) -> Iterator[tuple[int, list[str]]]:
        """Each round, and who goes first, second and third in it."""
        names = list(self._plan.systems)
        for number in range(self._plan.rounds):
            shift = number % len(names)
            yield number + 1, names[shift:] + names[:shift]

    def rates(self, scenarios: Sequence[Scenario], up: dict[str, Trio]) -> list[Rates]:
        found = {each.name: Rates(each.name, each.title, {}) for each in scenarios}
        for number, order in self._turns():
            for scenario in scenarios:
                for name in order:
                    reading = self._bench.measure(up[scenario.fleet.name][name], scenario)
                    found[scenario.name].readings.setdefault(name, []).append(reading)
                    self._say(_line(number, scenario.title, name, reading))
                if scenario.asks is Asks.ALWAYS:
                    reading = self._bench.ceiling(scenario)
                    found[scenario.name].ceiling.append(reading)
                    self._say(_line(number, scenario.title, "origin", reading))
        return list(found.values())

    def latency(self, rate: float, up: Trio) -> Latency:
        found: dict[str, list[Percentiles]] = {}
        for number, order in self._turns():
            for name in order:
                seen = openloop.measure(
                    up[name].port, HIT.path, rate, max(self._plan.seconds, 4), CONNECTIONS, seed=number
                )
                found.setdefault(name, []).append(seen)
                self._say(
                    f"round {number}  {f'{rate:,.0f} a second':<28} {name:<8} "
                    f"p50 {seen.p50:6.0f}  p99 {seen.p99:6.0f}  p99.9 {seen.p999:6.0f} us"
                )
        return Latency(rate, CONNECTIONS, found)

    def ready(self) -> dict[str, list[float]]:
        """Seconds from the start of a process to its first 200, with nothing stored and nothing left from before."""
        found: dict[str, list[float]] = {name: [] for name in self._plan.systems}
        for _ in range(READY_ROUNDS):
            for name in self._plan.systems:
                system = self._start(name, Fleet("ready"))
                try:
                    found[name].append(system.ready())
                finally:
                    system.end()
        for name, seconds in found.items():
            self._say(f"ready    {name:<8} {', '.join(f'{each:.3f}' for each in seconds)} s")
        return found

    def everything(self) -> Findings:
        plan = self._plan
        ready = self.ready()
        stored = [each for each in plan.scenarios if each.fleet.storage_bytes is not None]
        others = [each for each in plan.scenarios if each.fleet.storage_bytes is None]
        latency = None
        rates: list[Rates] = []
        fleets = dict.fromkeys(each.fleet for each in others)
        if plan.latency_rate is not None:
            fleets[PLAIN] = None
        with self._fleets(fleets) as up:
            rates += self.rates(others, up)
            if plan.latency_rate is not None:
                latency = self.latency(plan.latency_rate, up[PLAIN.name])
        with self._fleets(dict.fromkeys(each.fleet for each in stored)) as up:
            rates += self.rates(stored, up)
        return Findings(
            when=datetime.now(UTC).isoformat(timespec="seconds"),
            machine=machine(str(self._bench.cores)),
            versions=versions(),
            seconds=plan.seconds,
            rounds=plan.rounds,
            connections=CONNECTIONS,
            rates=rates,
            ready=ready,
            latency=latency,
            footprints=self.footprints,
        )


def run(plan: Plan, say: Say) -> Findings:
    """The whole of it. Refused where a measurement is worthless, or the machine too small."""
    cores = Cores.choose()
    _require_memory(plan)
    # The harness sleeps while others are measured; where it works itself, it is the generator.
    os.sched_setaffinity(0, {cores.generator})
    with TemporaryDirectory(prefix="seawall-bench-", dir=_fast_directory(say), ignore_cleanup_errors=True) as name:
        directory = Path(name)
        port, spare = free_ports(2)
        origin = Origin(Setup(directory / "origin", port, spare, port, cores.origin))
        try:
            origin.ready()
            return Run(plan, Bench(cores, origin, Numbers(), plan.seconds), directory, say).everything()
        finally:
            origin.end()


def _paths(first: int, end: int) -> Iterator[str]:
    return (f"/o/{number}" for number in range(first, end))


def _line(number: int, title: str, who: str, reading: Reading) -> str:
    return (
        f"round {number}  {title:<28} {who:<8} {reading.rate:9,.0f}/s  {reading.cpu_us:7.1f} us  "
        f"busy {reading.busy:4.0%}  others {reading.foreign:4.0%}  generator {reading.generator_busy:4.0%}"
    )


def _fast_directory(say: Say) -> str | None:
    """Where nginx's cache and Varnish's log are memory; None for the usual place, which may be a disk."""
    shared = "/dev/shm"
    if os.path.ismount(shared) and os.access(shared, os.W_OK):
        return shared
    say("/dev/shm is not a tmpfs that can be written: nginx and Varnish work on the disk, and may be slower for it")
    return None


def _require_memory(plan: Plan) -> None:
    """Three systems hold all objects at the same time, and nginx a page and an inode for each."""
    wanted = sum(each.fleet.objects for each in plan.scenarios) * len(plan.systems) * 5000 + (1 << 30)
    available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if available < wanted:
        raise Refused(f"{wanted / 2**30:.1f} GiB of free memory are needed, {available / 2**30:.1f} GiB are there")


def elapsed(began: float) -> str:
    minutes, seconds = divmod(int(time.monotonic() - began), 60)
    return f"{minutes} min {seconds} s"
