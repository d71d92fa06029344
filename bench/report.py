"""Writes what a run of bench.peers found into docs/performance.md, and draws it.

    python -m bench.report [build/bench/peers.json] [--docs docs]

Replaces what stands between the two marks of the page, and nothing else of it. The plots are docs/peers-*.svg; one
that the run has no figures for is removed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import msgspec

from bench import barchart
from bench.barchart import Bar, Group
from bench.peers.__main__ import RESULTS
from bench.peers.figures import SYSTEMS, TITLES, Findings, Rates, ceiling, cpu, load, rates, ratio
from bench.peers.table import disturbances, mark, names, others
from bench.peers.targets import TARGETS, verdicts

BEGIN = "<!-- peers: written by bench/report.py -->"
END = "<!-- end of peers -->"
COLOURS = {"seawall": "#2980b9", "nginx": "#27ae60", "varnish": "#c0392b"}


class NoMarks(Exception):
    """The page has no place for the results. Says which marks are missing."""


def replaced(page: str, text: str) -> str:
    """The page with this text between its marks."""
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise NoMarks(f"the page needs {BEGIN} and, further down, {END}")
    return f"{head}{begin}\n\n{text.strip()}\n\n{end}{tail}"


# --- the text ---


def text(findings: Findings, plots: Sequence[str]) -> str:
    """The section, in Markdown."""
    machine = findings.machine
    versions = ", ".join(f"{name} {each}" for name, each in findings.versions.items())
    lines = [
        f"Measured {findings.when[:10]} on {machine.cpu}, {machine.cores} cores, {machine.memory_gib:g} GiB, "
        f"{machine.system}, Linux {machine.kernel}; {machine.pinned}.",
        f"{versions}.",
        "",
        f"Requests a second with {findings.connections} connections; medians of {findings.rounds} rounds of "
        f"{findings.seconds:g} s, systems in turn, with least and most. µs: CPU of all the system's processes for a "
        "request. °: the server had time left, so that generator or origin was the limit; compare the CPU there.",
        "",
        *_rate_rows(findings),
        "",
        *(f"![{name}]({name})" for name in plots),
        "",
        *_other_rows(findings),
        "",
        "| | asked | seen | |",
        "|---|---|---|---|",
        *(
            f"| {each.what} | {each.asked} | {each.seen} | {'kept' if each.kept else '**short**'} |"
            for each in verdicts(findings)
        ),
    ]
    if count := disturbances(findings):
        lines += ["", f"!: in {count} measurements something else ran on the server's core; they should be repeated."]
    return "\n".join(lines)


def _rate_rows(findings: Findings) -> Iterator[str]:
    present = names(findings)
    titles = [TITLES[name] for name in present]
    yield f"| | {' | '.join([*titles, *(f'× {title}' for title in titles[1:]), 'origin'])} |"
    yield "|---|" + "---:|" * (2 * len(present))
    for found in findings.rates:
        cells = [_cell(found, name) for name in present]
        multiples = [f"{seen:.2f}" if (seen := ratio(found, name)) is not None else "" for name in present[1:]]
        reached = ceiling(found)
        limit = f"{reached:,.0f}" if reached is not None else ""
        yield f"| {found.title} | {' | '.join([*cells, *multiples, limit])} |"


def _cell(found: Rates, name: str) -> str:
    seen = rates(found, name)
    return (
        f"**{seen.median:,.0f}**{mark(found, name)} ({seen.least:,.0f}–{seen.most:,.0f}), "
        f"{cpu(found, name).median:.1f} µs"
    )


def _other_rows(findings: Findings) -> Iterator[str]:
    present = names(findings)
    yield f"| | {' | '.join(TITLES[name] for name in present)} |"
    yield "|---|" + "---:|" * len(present)
    for row in others(findings):
        yield f"| {' | '.join(row)} |"


# --- the pictures ---


def plots(findings: Findings) -> dict[str, str | None]:
    """By file name, the SVG; None where there are no figures for it."""
    return {
        "peers-ratios.svg": _ratios(findings),
        "peers-stored.svg": _stored(findings),
        "peers-latency.svg": _latency(findings),
    }


def _ratios(findings: Findings) -> str | None:
    peers = [name for name in names(findings) if name != "seawall"]
    groups = []
    for found in findings.rates:
        target = TARGETS.get(found.name)
        bars = []
        for peer in peers:
            seen = ratio(found, peer)
            if seen is not None:
                goal = (getattr(target, peer) or target.better) if target else None
                bars.append(Bar(TITLES[peer], seen, f"{seen:.2f}", goal))
        if bars:
            groups.append(Group(found.title, bars))
    if not groups:
        return None
    colours = {TITLES[peer]: COLOURS[peer] for peer in peers}
    return barchart.svg("Seawall's rate over that of ... (stroke: what is asked)", groups, colours, rule=1.0)


def _stored(findings: Findings) -> str | None:
    groups = [
        Group(found.title, [_rate_bar(found, name) for name in names(findings)])
        for found in findings.rates
        if found.name.startswith("stored-")
    ]
    return barchart.svg("Hits a second, by what is stored", groups, _legend(findings)) if groups else None


def _rate_bar(found: Rates, name: str) -> Bar:
    seen = rates(found, name).median
    return Bar(TITLES[name], seen, f"{seen:,.0f}")


def _latency(findings: Findings) -> str | None:
    latency = findings.latency
    if latency is None:
        return None
    groups = []
    for label, field in (("p50", "p50"), ("p99", "p99"), ("p99.9", "p999")):
        bars = []
        for name in names(findings):
            seen = median(getattr(each, field) for each in latency.rounds[name])
            bars.append(Bar(TITLES[name], seen, f"{seen:,.0f} µs"))
        groups.append(Group(label, bars))
    title = f"Latency at {latency.rate:,.0f} requests a second (each group on its own scale)"
    return barchart.svg(title, groups, _legend(findings), apart=True)


def _legend(findings: Findings) -> dict[str, str]:
    present = names(findings)
    return {TITLES[name]: COLOURS[name] for name in SYSTEMS if name in present}


def write(findings: Findings, docs: Path) -> list[Path]:
    """The page and its plots; what was written. NoMarks where the page has no place for it, and nothing is written."""
    page = docs / "performance.md"
    drawn = plots(findings)
    there = [name for name, drawing in drawn.items() if drawing is not None]
    new = replaced(page.read_text(encoding="utf-8"), text(findings, there))
    for name, drawing in drawn.items():
        if drawing is None:
            (docs / name).unlink(missing_ok=True)
        else:
            (docs / name).write_text(drawing, encoding="utf-8")
    page.write_text(new, encoding="utf-8")
    return [page, *(docs / name for name in there)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="?", default=RESULTS)
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    options = parser.parse_args()
    try:
        for file in write(load(options.results), options.docs):
            print(f"wrote {file}")
    except FileNotFoundError as error:
        print(f"{error.filename} is not there; make it with: make bench", file=sys.stderr)
        return 1
    except (NoMarks, msgspec.ValidationError) as error:
        print(f"nothing written: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
