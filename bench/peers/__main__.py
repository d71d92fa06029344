"""Seawall, nginx and Varnish on one core each, asked the same in turn: `python -m bench.peers`, or `make bench`.

    --quick   four scenarios of 2 s: a little over two minutes
    (none)    all of them, 3 rounds of 4 s: about fifteen minutes
    --full    with 1,000,000 stored objects as well; needs 16 GiB of free memory and some ten minutes more

Needs Debian's nginx, varnish and wrk, which it installs when it is root, and two cores. Loopback only. Figures are
those of a quiet machine or they are none: nothing else should run. Exit code 1 where a measurement was worthless: a
wrong status, a body of the wrong length, an origin that was asked during hits.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Collection
from pathlib import Path
from types import FrameType

from rich.console import Console

from bench.peers import figures, scenarios, table
from bench.peers.child import DidNotStart
from bench.peers.exchange import Unexpected
from bench.peers.programs import Missing, install_missing
from bench.peers.run import BUILDERS, Plan, elapsed, run
from bench.peers.trial import Refused
from bench.peers.wrk import WrkFailed

RESULTS = Path("build/bench/peers.json")
LATENCY_RATE = 5000.0


def plan(options: argparse.Namespace) -> Plan:
    """What was asked for. Refused for names that there are not."""
    chosen = scenarios.QUICK if options.quick else scenarios.USUAL + scenarios.STORED
    if options.full:
        chosen = scenarios.EVERY
    if options.only is not None:
        by_name = {each.name: each for each in scenarios.EVERY}
        chosen = tuple(by_name[name] for name in _known(options.only, by_name))
    systems = _known(options.systems, BUILDERS)
    latency = not options.quick and options.only is None
    return Plan(
        chosen,
        options.rounds,
        options.seconds or (2 if options.quick else 4),
        systems,
        options.rate if latency or options.latency else None,
    )


def _known(names: str, there: Collection[str]) -> list[str]:
    chosen = [name for name in names.split(",") if name]
    if unknown := [name for name in chosen if name not in there]:
        raise Refused(f"there is no {', '.join(unknown)}; there are {', '.join(there)}")
    return chosen


def _stop(signum: int, frame: FrameType | None) -> None:
    """Breaks the run off, once: a second Ctrl-C would break off the ending of what was started."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, help="of each measurement; whole ones, as wrk takes no others")
    parser.add_argument("--only", metavar="NAME,...", help=", ".join(each.name for each in scenarios.EVERY))
    parser.add_argument("--systems", metavar="NAME,...", default=",".join(BUILDERS), help=", ".join(BUILDERS))
    parser.add_argument("--latency", action="store_true", help="latencies too, with --quick or --only")
    parser.add_argument("--rate", type=float, default=LATENCY_RATE, help="of the latencies, requests a second")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, _stop)
    # A file or a pipe has no width; 80 columns would cut the table.
    console = Console(width=None if sys.stdout.isatty() else 110)
    progress = Console(stderr=True, highlight=False, soft_wrap=True)
    began = time.monotonic()
    try:
        for package in install_missing():
            progress.print(f"installed {package}")
        findings = run(plan(options), progress.print)
    except (Missing, Refused, Unexpected, DidNotStart, WrkFailed, TimeoutError) as error:
        progress.print(f"no figures: {error}", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        progress.print("broken off; what was started has ended")
        return 130
    figures.save(findings, options.out)
    table.show(findings, console)
    progress.print(f"{elapsed(began)}; written to {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
