"""One measurement: one system, one scenario, and everything that would make its figures worthless.

A cache that answers with errors, asks the origin for what it should hold, or sends less than the whole body is fast.
So each measurement begins with a look at one answer, and ends with a check that all the others were like it.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from bench.peers.child import core_seconds
from bench.peers.exchange import Heard, ask
from bench.peers.figures import Reading
from bench.peers.origin import Origin
from bench.peers.scenarios import CONNECTIONS, Asks, Scenario
from bench.peers.system import System
from bench.peers.wrk import Figures, Load, Ran, run

# Heads differ by a few digits from one response to the next: Age, ttl in Cache-Status, X-Varnish.
_HEAD_SLACK_BYTES = 40
# What the origin may see beside the requests that were counted: those under way when wrk stopped, the probe.
_SLACK_REQUESTS = 2 * CONNECTIONS
_LOG_SECONDS = 3.0


class Refused(Exception):
    """The measurement is worthless. Says of whom, and why."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Who runs where."""

    server: int
    generator: int
    origin: int

    @classmethod
    def choose(cls) -> Cores:
        """Server and generator never share one; Refused with less than two. The origin has its own where there is."""
        free = sorted(os.sched_getaffinity(0))
        if len(free) < 2:
            raise Refused("two cores are needed: one for the server, one for the generator")
        return cls(free[0], free[1], free[2] if len(free) > 2 else free[1])

    def __str__(self) -> str:
        return f"server on core {self.server}, generator on {self.generator}, origin on {self.origin}"


def checked_probe(scenario: Scenario, heard: Heard) -> Heard:
    """Refused where the answer is not the one that the scenario is about."""
    if heard.status != scenario.status:
        raise Refused(f"{scenario.title}: status {heard.status}, not {scenario.status}")
    if len(heard.body) != scenario.body_bytes:
        raise Refused(f"{scenario.title}: {len(heard.body)} octets of body, not {scenario.body_bytes}")
    return heard


def check(scenario: Scenario, figures: Figures, response_bytes: int, origin_asked: int) -> None:
    """Refused where not every answer was like the one that was looked at, of so many octets on the wire."""
    if figures.requests == 0:
        raise Refused(f"{scenario.title}: no answer at all")
    if figures.status:
        raise Refused(f"{scenario.title}: {figures.status} of {figures.requests} answers were errors")
    if figures.socket_errors:
        raise Refused(
            f"{scenario.title}: {figures.connect} connections failed, {figures.read} reads, {figures.write} writes, "
            f"{figures.timeout} time-outs"
        )
    # Bodies that were under way at the end were counted, their responses were not.
    most = response_bytes + _HEAD_SLACK_BYTES + CONNECTIONS * response_bytes / figures.requests
    least = response_bytes - _HEAD_SLACK_BYTES
    mean = figures.bytes / figures.requests
    if not least <= mean <= most:
        raise Refused(f"{scenario.title}: {mean:.0f} octets a response, not about {response_bytes}")
    if scenario.asks is Asks.NEVER and origin_asked:
        raise Refused(f"{scenario.title}: the origin was asked {origin_asked} times during hits")
    if scenario.asks is Asks.ALWAYS and abs(origin_asked - figures.requests) > _SLACK_REQUESTS:
        raise Refused(f"{scenario.title}: the origin was asked {origin_asked} times for {figures.requests} requests")


class Numbers:
    """Numbers for URLs that nobody asked for yet, and seeds; one for a whole run."""

    # More than one measurement asks for in a minute.
    _APART = 100_000_000

    def __init__(self) -> None:
        self._count = 0

    def arguments(self, scenario: Scenario) -> tuple[str, ...]:
        if scenario.script in (None, "browser"):
            return ()
        self._count += 1
        values = {"seed": self._count, "start": self._count * self._APART}
        return (scenario.path, *(each.format(**values) for each in scenario.arguments))

    def probe_path(self, scenario: Scenario) -> str:
        """A path that the scenario may ask for; a new one where each is asked for once."""
        if scenario.script != "fresh":
            return scenario.probe_path
        self._count += 1
        return f"{scenario.path}{self._count * self._APART}"


@dataclass(frozen=True, slots=True)
class Bench:
    """What all measurements have in common."""

    cores: Cores
    origin: Origin
    numbers: Numbers
    seconds: int

    def load(self, scenario: Scenario, port: int, seconds: int) -> Ran:
        return run(
            Load(
                f"http://127.0.0.1:{port}{scenario.probe_path}",
                seconds,
                CONNECTIONS,
                scenario.threads,
                scenario.fields,
                scenario.script,
                self.numbers.arguments(scenario),
            ),
            self.cores.generator,
        )

    def measure(self, system: System, scenario: Scenario) -> Reading:
        """A look, a warm-up of one second, and the measurement. Refused where it is worth nothing."""
        try:
            # Twice: the first may bring the object, or tell what kind it is.
            for _ in range(2):
                probe = self._probe(scenario, system.port)
            self.load(scenario, system.port, 1)
            return self._measured(system, scenario, probe)
        except Refused as error:
            raise Refused(f"{system.name}: {error}") from None
        finally:
            system.require_alive()

    def _probe(self, scenario: Scenario, port: int) -> Heard:
        return checked_probe(scenario, ask(port, self.numbers.probe_path(scenario), scenario.fields))

    def _measured(self, system: System, scenario: Scenario, probe: Heard) -> Reading:
        log = _Log(system) if system.setup.access_log else None
        asked_before, cpu_before, core_before = self.origin.asked(), system.cpu_seconds(), core_seconds(system.core)
        ran = self.load(scenario, system.port, self.seconds)
        cpu, core = system.cpu_seconds() - cpu_before, core_seconds(system.core) - core_before
        asked = self.origin.asked() - asked_before
        figures = ran.figures
        lasted = figures.microseconds / 1e6
        check(scenario, figures, probe.wire_bytes, asked)
        return Reading(
            rate=figures.rate,
            cpu_us=1e6 * cpu / figures.requests,
            busy=cpu / lasted,
            generator_busy=ran.cpu_seconds / lasted,
            origin_asked=asked,
            requests=figures.requests,
            foreign=max(0.0, (core - cpu) / lasted),
            logged=log.lines(figures.requests) if log else None,
        )

    def ceiling(self, scenario: Scenario) -> Reading:
        """The origin itself asked for the same, from the core that it may share with the generator."""
        probe = self._probe(scenario, self.origin.port)
        return self._measured(self.origin, scenario, probe)


class _Log:
    """What a system appends to its access log during a measurement."""

    def __init__(self, system: System) -> None:
        self._file = system.setup.log_file
        self._from = self._file.stat().st_size if self._file.exists() else 0

    def lines(self, expected: int) -> int:
        """How many came; waits a little for those that are still buffered. Empties the file: all three append."""
        give_up = time.monotonic() + _LOG_SECONDS
        while (found := self._count()) < expected and time.monotonic() < give_up:
            time.sleep(0.2)
        os.truncate(self._file, 0)
        return found

    def _count(self) -> int:
        with self._file.open("rb") as log:
            log.seek(self._from)
            return sum(piece.count(b"\n") for piece in iter(lambda: log.read(1 << 20), b""))
