"""The findings on a terminal: one table of rates and ratios, one of everything else, one of what was promised."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from rich.console import Console
from rich.table import Table

from bench.peers import figures
from bench.peers.figures import (
    SYSTEMS,
    TITLES,
    Findings,
    Rates,
    ceiling,
    cpu,
    disturbed,
    lost_lines,
    rates,
    ratio,
    starved,
)
from bench.peers.targets import verdicts

# Beside a rate that the server did not limit.
STARVED = "°"
# Beside a rate while something else ran on the server's core.
DISTURBED = "!"


def show(findings: Findings, console: Console) -> None:
    console.print(_rates(findings))
    console.print(
        f"Median of {findings.rounds} rounds of {findings.seconds:g} s (least..most), and CPU a request of all the "
        f"system's processes. {STARVED} The server had time left: generator or origin was the limit; compare the CPU. "
        "origin: asked directly, without a cache."
    )
    if count := disturbances(findings):
        console.print(
            f"{DISTURBED} Something else ran on the server's core in {count} measurements: repeat them.",
            style="red",
        )
    console.print(_others(findings))
    console.print(_promises(findings))


def disturbances(findings: Findings) -> int:
    """Measurements in which the server did not have its core to itself."""
    readings = (each for found in findings.rates for of in found.readings.values() for each in of)
    return sum(each.foreign > figures.DISTURBED for each in readings)


def names(findings: Findings) -> list[str]:
    """The systems that took part, Seawall first."""
    return [name for name in SYSTEMS if name in findings.ready]


def _rates(findings: Findings) -> Table:
    present = names(findings)
    table = Table(title="Requests a second", title_justify="left", show_lines=True)
    table.add_column("scenario", min_width=12)
    for title in (*(TITLES[name] for name in present), *(f"x {TITLES[name]}" for name in present[1:]), "origin"):
        table.add_column(title, justify="right", no_wrap=True)
    for found in findings.rates:
        table.add_row(
            found.title,
            *(_cell(found, name) for name in present),
            *(_ratio(found, name) for name in present[1:]),
            f"{reached:,.0f}" if (reached := ceiling(found)) is not None else "",
        )
    return table


def _cell(found: Rates, name: str) -> str:
    seen = rates(found, name)
    spread = f"{seen.least / 1000:.1f}..{seen.most / 1000:.1f} k"
    return f"[bold]{seen.median:,.0f}{mark(found, name)}[/]\n[dim]{spread}[/]\n{cpu(found, name).median:.1f} µs"


def mark(found: Rates, name: str) -> str:
    """What has to stand beside a rate, so that nobody reads more from it than it says."""
    return (STARVED if starved(found, name) else "") + (DISTURBED if disturbed(found, name) else "")


def _ratio(found: Rates, peer: str) -> str:
    seen = ratio(found, peer)
    if seen is None:
        return ""
    return f"[{'green' if seen >= 1 else 'yellow'}]{seen:.2f}[/]"


def others(findings: Findings) -> Iterator[list[str]]:
    """What is not a rate: a label, then a text for each system that took part."""
    present = names(findings)
    yield ["ready, empty cache", *(_spread(findings.ready[name], "{:.3f}", " s") for name in present)]
    if latency := findings.latency:
        for label, field in (("p50", "p50"), ("p99", "p99"), ("p99.9", "p999"), ("generator late, p99", "late_p99")):
            cells = []
            for name in present:
                values = [getattr(each, field) for each in latency.rounds[name]]
                cells.append(_spread(values, "{:.0f}", " µs"))
            yield [f"{label} at {latency.rate:,.0f} a second", *cells]
    if findings.footprints:
        cells = [
            _spread([each.overhead_bytes for each in findings.footprints.get(name, [])], "{:,.0f}", " B")
            for name in present
        ]
        yield ["memory an object, above body and head", *cells]
    if any(lost := [_lost(findings, name) for name in present]):
        yield ["requests that the access log lost", *lost]


def _lost(findings: Findings, name: str) -> str:
    shares = [share for found in findings.rates if (share := lost_lines(found, name)) is not None]
    return f"{max(shares):.1%}" if shares else ""


def _spread(values: list[float], form: str, unit: str) -> str:
    """The median, and from where to where where there is more than one."""
    if not values:
        return ""
    middle = form.format(median(values)) + unit
    if len(values) == 1:
        return middle
    return f"{middle} ({form.format(min(values))}..{form.format(max(values))})"


def _others(findings: Findings) -> Table:
    table = Table(title="Beside the rates", title_justify="left")
    table.add_column("")
    for name in names(findings):
        table.add_column(TITLES[name], justify="right")
    for row in others(findings):
        table.add_row(*row)
    return table


def _promises(findings: Findings) -> Table:
    table = Table(title="Asked and seen", title_justify="left")
    for title in ("", "asked", "seen", ""):
        table.add_column(title)
    for each in verdicts(findings):
        table.add_row(each.what, each.asked, each.seen, "[green]kept[/]" if each.kept else "[red]short[/]")
    return table
