"""Runs the public test suite for HTTP caches against Seawall, and says whether the score is what we promise.

    python -m tests.conformance.run                      Seawall as `seawall serve` starts it by default
    python -m tests.conformance.run --id cc-resp-no-store    one test, with every message of it
    python -m tests.conformance.run --direct             no cache at all: what the suite gives away
    python -m tests.conformance.run --base http://127.0.0.1:8080 --origin-port 8000    another proxy

The suite comes from npm (`make conformance` installs the pinned version); its origin and its client run on
loopback. Exit codes: 0 as promised, 1 not, 2 wrong usage or something could not be started.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from tests.conformance.child import Child, ChildError, child
from tests.conformance.score import (
    OPTIMAL_GOAL,
    Kind,
    Outcome,
    Result,
    Test,
    Verdict,
    grade,
    judge,
    read_catalogue,
    score,
)

HERE = Path(__file__).resolve().parent
SUITE = HERE / "node_modules" / "http-cache-tests"
EXPECTATIONS = HERE / "expectations.toml"
BASELINE = HERE / "baseline.json"

_START_SECONDS = 30.0
_RUN_SECONDS = 240.0  # a run takes about 15 s; a proxy that answers every test with a time-out is far above that

_LISTENING = re.compile(r"Listening on (http://\S+?)/?$")


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, _leave)  # so that the blocks below end what they started
    node = shutil.which("node")
    if node is None or not (SUITE / "cli.mjs").is_file():
        print(
            "The suite is not installed: it needs Node.js and npm (Debian: apt-get install nodejs npm), "
            "then `make conformance` installs it.",
            file=sys.stderr,
        )
        return 2
    try:
        tests = _catalogue(node)
        if options.id is not None and options.id not in tests:
            print(f"The suite has no test {options.id!r} that reaches a proxy.", file=sys.stderr)
            return 2
        raw = _run(node, options)
    except ChildError as error:
        print(error, file=sys.stderr)
        return 2
    if raw is None:
        return 0  # one test: its dump is the answer
    results = grade(tests, raw)
    ours = options.base is None and not options.direct
    if ours and options.update_baseline:
        _write_baseline(results)
    verdict = judge(results, _superseded(), _baseline()) if ours else None
    if options.json:
        print(json.dumps(_as_json(results, verdict), indent=2))
    else:
        _print(results, verdict)
    return 0 if verdict is None or verdict.good else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="run.py", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--id", metavar="TEST", help="run one test and print every message of it")
    parser.add_argument("--json", action="store_true", help="print the outcome of every test as JSON")
    parser.add_argument("--update-baseline", action="store_true", help="what passes now must pass from now on")
    parser.add_argument("--origin-port", type=int, default=0, help="port of the suite's origin (default: any free one)")
    target = parser.add_mutually_exclusive_group()
    target.add_argument("--base", metavar="URL", help="a proxy that already runs, on the suite's origin")
    target.add_argument("--direct", action="store_true", help="the suite's origin itself: no cache")
    options = parser.parse_args()
    if options.base is not None and not options.origin_port:
        parser.error("--base needs --origin-port: the proxy must know where the suite's origin listens")
    if options.update_baseline and (options.base is not None or options.direct or options.id is not None):
        parser.error("--update-baseline is about a whole run against Seawall")
    return options


def _leave(signum: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + signum)


def _environment(**settings: str) -> dict[str, str]:
    """Ours, without what an npm around us left in it: the suite reads its settings from there."""
    inherited = {name: value for name, value in os.environ.items() if not name.lower().startswith("npm_")}
    return inherited | settings


def _catalogue(node: str) -> dict[str, Test]:
    printed = subprocess.run(  # our own script, on files that npm verified
        [node, str(HERE / "catalogue.mjs"), str(SUITE)], capture_output=True, text=True, timeout=30, check=False
    )
    if printed.returncode != 0:
        raise ChildError(f"The suite's catalogue cannot be read.\n{printed.stderr}")
    return read_catalogue(json.loads(printed.stdout))


def _run(node: str, options: argparse.Namespace) -> Mapping[str, object] | None:
    """What the suite reported; None where it printed one test for a person to read."""
    with (
        tempfile.TemporaryDirectory(prefix="seawall-conformance-") as scratch,
        _origin(node, options.origin_port, Path(scratch)) as (origin, origin_url),
    ):
        if options.direct:
            return _client(node, options, origin_url, origin)
        if options.base is not None:
            return _client(node, options, options.base.rstrip("/"), origin)
        with _seawall(origin_url, Path(scratch)) as (proxy, base):
            report = _client(node, options, base, origin)
            if not proxy.running():
                raise ChildError(f"Seawall did not survive the run. It printed:\n{proxy.printed()}")
            if report is None:
                print(f"==== Seawall\n{proxy.printed()}")
            return report


@contextmanager
def _origin(node: str, port: int, scratch: Path) -> Iterator[tuple[Child, str]]:
    env = _environment(
        npm_config_protocol="http", npm_config_port=str(port), npm_config_pidfile=str(scratch / "origin.pid")
    )
    command = [node, "--require", str(HERE / "loopback.cjs"), "server/server.mjs"]
    with child("The suite's origin", command, SUITE, env) as origin:
        for line in origin.lines(_START_SECONDS):
            if found := _LISTENING.search(line.rstrip()):
                yield origin, found[1]
                return


@contextmanager
def _seawall(origin_url: str, scratch: Path) -> Iterator[tuple[Child, str]]:
    """Seawall in its default configuration; only where it keeps its data is ours to say."""
    command = [
        *(str(Path(sys.executable).with_name("seawall")), "serve", "--origin", origin_url),
        *("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data", str(scratch / "data"), "--json"),
    ]
    with child("Seawall", command, scratch, _environment()) as proxy:
        for line in proxy.lines(_START_SECONDS):
            try:
                event = json.loads(line)
            except ValueError:
                continue  # a log line
            if isinstance(event, dict) and event.get("event") == "ready":
                listen = str(event["listen"])
                yield proxy, listen.rstrip("/") if "://" in listen else f"http://{listen}"
                return


def _client(node: str, options: argparse.Namespace, base: str, origin: Child) -> Mapping[str, object] | None:
    settings = _environment(npm_config_base=base, npm_config_id=options.id or "", npm_package_config_id="")
    with child("The suite's client", [node, "--no-warnings", "cli.mjs"], SUITE, settings) as client:
        printed = client.output(_RUN_SECONDS)
    if not origin.running():
        raise ChildError(f"The suite's origin did not survive the run. It printed:\n{origin.printed()}")
    if options.id is not None:
        print(printed, f"==== Origin\n{origin.printed()}", sep="\n")
        return None
    start = printed.find("{\n")  # before it: what the client logged
    try:
        report: dict[str, object] = json.loads(printed[max(start, 0) :])
    except ValueError as error:
        raise ChildError(f"The suite's client printed no report ({error}):\n{printed[-2000:]}") from error
    return report


def _superseded() -> dict[str, str]:
    with EXPECTATIONS.open("rb") as file:
        return {str(test_id): str(why) for test_id, why in tomllib.load(file)["superseded"].items()}


def _baseline() -> list[str]:
    return list(json.loads(BASELINE.read_text())["passed"]) if BASELINE.is_file() else []


def _write_baseline(results: Mapping[str, Result]) -> None:
    before = set(_baseline())
    now = {test_id for test_id, result in results.items() if result.passed}
    package = json.loads((SUITE / "package.json").read_text())
    content = {"suite": f"{package['name']} {package['version']}", "passed": sorted(now)}
    BASELINE.write_text(json.dumps(content, indent=2) + "\n")
    for sign, ids in (("+", now - before), ("-", before - now)):
        for test_id in sorted(ids):
            print(f"{sign} {test_id}", file=sys.stderr)
    print(f"{BASELINE.name}: {len(now)} tests must pass from now on ({len(before)} before)", file=sys.stderr)


def _as_json(results: Mapping[str, Result], verdict: Verdict | None) -> dict[str, object]:
    report: dict[str, object] = {
        "score": {kind.value: {"passed": passed, "of": of} for kind, (passed, of) in score(results).items()},
        "tests": {
            test_id: {"kind": result.test.kind.value, "outcome": result.outcome.value, "message": result.message}
            for test_id, result in results.items()
        },
    }
    if verdict is not None:
        report["verdict"] = {
            "good": verdict.good,
            "required": verdict.required,
            "regressed": verdict.regressed,
            "stale_exceptions": verdict.stale,
            "unargued_exceptions": verdict.unargued,
            "optimal_rate": round(verdict.optimal_rate, 4),
        }
    return report


def _print(results: Mapping[str, Result], verdict: Verdict | None) -> None:
    superseded = _superseded() if verdict is not None else {}
    for kind in Kind:
        missed = [result for result in results.values() if result.test.kind is kind and not result.passed]
        if missed:
            print(f"\n{kind.value}: not passed")
        for result in missed:
            note = "superseded" if result.test.id in superseded else result.outcome.value
            print(f"  {result.test.id:<50} {note:<11} {result.message}")
    print()
    for kind, (passed, of) in score(results).items():
        print(f"{kind.value:<9} {passed:>4} of {of}")
    untested = sum(result.outcome is Outcome.UNTESTED for result in results.values())
    if untested:
        print(f"untested  {untested:>4}")
    if verdict is not None:
        _print_verdict(verdict, results)


def _print_verdict(verdict: Verdict, results: Mapping[str, Result]) -> None:
    complaints = {
        "required tests fail, and no exception says why that is right": verdict.required,
        "tests passed in the baseline and do not pass now": verdict.regressed,
        "exceptions are none: the test passes, or the suite has no such test": verdict.stale,
        "exceptions cite no RFC": verdict.unargued,
    }
    for what, ids in complaints.items():
        if ids:
            print(f"\n{len(ids)} {what}:")
        for test_id in ids:
            message = results[test_id].message if test_id in results else "unknown to this suite"
            print(f"  {test_id:<50} {message}")
    if verdict.optimal_rate < OPTIMAL_GOAL:
        print(f"\noptimal: {verdict.optimal_rate:.1%} of those not superseded pass; the goal is {OPTIMAL_GOAL:.0%}")
    if not BASELINE.is_file():
        print("\nno baseline yet: --update-baseline writes one")
    print("\nconformance: as promised" if verdict.good else "\nconformance: NOT as promised")


if __name__ == "__main__":
    sys.exit(main())
