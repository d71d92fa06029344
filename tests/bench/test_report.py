from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from bench import report
from bench.barchart import Bar, Group, svg
from bench.peers import figures, table
from bench.peers.figures import Findings, Latency, Rates
from tests.bench.found import findings, percentiles, rates, reading

PAGE = f"# Performance\n\nAbove.\n\n{report.BEGIN}\n\nold figures\n\n{report.END}\n\nBelow.\n"


def whole() -> Findings:
    latency = Latency(5000, 64, {name: [percentiles(50, 90)] for name in figures.SYSTEMS})
    return findings(
        rates("hit-1024", [105_000, 100_000, 110_000], [90_000], [50_000]),
        rates("stored-1k", [9000], [8000], [7000]),
        latency=latency,
        overhead=900,
    )


def test_only_what_stands_between_the_marks_is_replaced() -> None:
    page = report.replaced(PAGE, "new figures\n")
    assert page == PAGE.replace("old figures", "new figures")
    assert report.replaced(page, "new figures") == page


@pytest.mark.parametrize("page", ["", f"{report.BEGIN} only", f"{report.END} before {report.BEGIN}"])
def test_a_page_without_both_marks_is_left_alone(page: str) -> None:
    with pytest.raises(report.NoMarks):
        report.replaced(page, "figures")


def test_the_repositorys_page_has_its_marks() -> None:
    page = (Path(__file__).parents[2] / "docs" / "performance.md").read_text()
    assert "figures" in report.replaced(page, "figures")


def test_the_page_says_what_was_found_where_and_with_what(tmp_path: Path) -> None:
    (tmp_path / "performance.md").write_text(PAGE)
    written = report.write(whole(), tmp_path)
    page = (tmp_path / "performance.md").read_text()
    assert page.startswith("# Performance\n\nAbove.")
    assert page.endswith("Below.\n")
    for words in ("a processor", "nginx 1.22.1", "**105,000** (100,000–110,000)", "| 1.17 |", ">= 1.1 x nginx"):
        assert words in page
    plots = re.findall(r"!\[.*?\]\((.*?)\)", page)
    assert {tmp_path / each for each in plots} == set(written) - {tmp_path / "performance.md"}
    assert len(plots) == 3


def test_rows_have_as_many_cells_as_their_heads() -> None:
    rows = [line for line in report.text(whole(), []).splitlines() if line.startswith("|")]
    widths = [row.count("|") for row in rows]
    heads = [number for number, row in enumerate(rows) if row.startswith("|---")]
    for first, last in zip(heads, [*[number - 1 for number in heads[1:]], len(rows)], strict=True):
        assert len(set(widths[first - 1 : last])) == 1


def test_a_plot_without_figures_is_removed(tmp_path: Path) -> None:
    (tmp_path / "performance.md").write_text(PAGE)
    report.write(whole(), tmp_path)
    report.write(findings(rates("hit-1024", [1], [1], [1])), tmp_path)
    assert {each.name for each in tmp_path.glob("*.svg")} == {"peers-ratios.svg"}
    assert "peers-latency" not in (tmp_path / "performance.md").read_text()


def test_plots_are_well_formed_and_name_no_colour_of_the_page() -> None:
    for drawing in report.plots(whole()).values():
        assert drawing is not None
        ElementTree.fromstring(drawing)
        assert "black" not in drawing
        assert "white" not in drawing


def test_bars_are_as_long_as_their_values() -> None:
    group = Group("<hit> & run", [Bar("a", 1.0, "1"), Bar("b", 2.0, "2", goal=0.5)])
    root = ElementTree.fromstring(svg("title", [group], {"a": "#111111", "b": "#222222"}, rule=1.0))
    bars = [each for each in root.iter() if each.tag.endswith("rect") and each.get("width") != "12"]
    short, long = (float(each.attrib["width"]) for each in bars)
    assert long == pytest.approx(2 * short)
    assert any(each.text == "<hit> & run" for each in root.iter())


def test_groups_apart_fill_the_width_each() -> None:
    groups = [Group("p50", [Bar("a", 50, "50")]), Group("p99", [Bar("a", 5000, "5000")])]
    root = ElementTree.fromstring(svg("title", groups, {"a": "#111111"}, apart=True))
    widths = {each.get("width") for each in root.iter() if each.tag.endswith("rect")} - {"12"}
    assert len(widths) == 1


def shown(made: Findings) -> str:
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        table.show(made, console)
        return console.export_text()


def test_the_terminals_table_has_rates_ratios_and_promises() -> None:
    text = shown(whole())
    for words in ("105,000", "1.17", "100.0..110.0 k", "kept", "p99.9 at 5,000 a second", "900 B"):
        assert words in text


def test_figures_of_a_machine_that_was_not_quiet_are_marked_everywhere() -> None:
    noisy = Rates("hit-1024", "hit", {name: [reading(1000, foreign=0.4)] for name in figures.SYSTEMS})
    made = findings(noisy)
    assert "1,000!" in shown(made)
    assert "3 measurements" in shown(made)
    assert "in 3 measurements" in report.text(made, [])


def test_without_results_it_says_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["report", str(tmp_path / "none.json"), "--docs", str(tmp_path)])
    assert report.main() == 1
    assert "make bench" in capsys.readouterr().err
