"""A row of line charts as plain SVG. It reads on a light and on a dark page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

_WIDE, _HIGH, _GAP, _TOP, _LEFT, _BOTTOM = 250, 210, 46, 34, 44, 78
_GREY = "#808080"


@dataclass(frozen=True, slots=True)
class Line:
    """One value in per cent for each place of the axis; `dots` are another's values for the same, or None."""

    title: str
    colour: str
    values: Sequence[float]
    dots: Sequence[float] | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    title: str
    lines: Sequence[Line]


def svg(charts: Sequence[Chart], places: Sequence[str], axis: str, note: str) -> str:
    """The document. `places` are the marks of the horizontal axis, evenly spaced; the legend is the first chart's."""
    width = _LEFT + len(charts) * (_WIDE + _GAP)
    height = _TOP + _HIGH + _BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="11" fill="{_GREY}">'
    ]
    for number, chart in enumerate(charts):
        parts += _panel(chart, places, axis, _LEFT + number * (_WIDE + _GAP))
    parts += _legend(charts[0].lines, note, height - 14)
    return "\n".join([*parts, "</svg>", ""])


def _panel(chart: Chart, places: Sequence[str], axis: str, left: int) -> Iterator[str]:
    middle = left + _WIDE / 2
    yield _text(middle, _TOP - 14, chart.title, 'text-anchor="middle" font-size="13" font-weight="bold"')
    for per_cent in range(0, 101, 20):
        y = _y(per_cent)
        yield f'<path d="M{left} {y:.1f}h{_WIDE}" stroke="{_GREY}" stroke-opacity="0.3"/>'
        yield _text(left - 6, y + 4, f"{per_cent}", 'text-anchor="end"')
    for number, place in enumerate(places):
        yield _text(_x(number, places, left), _TOP + _HIGH + 16, place, 'text-anchor="middle"')
    yield _text(middle, _TOP + _HIGH + 34, axis, 'text-anchor="middle"')
    for line in chart.lines:
        points = " ".join(f"{_x(n, places, left):.1f},{_y(value):.1f}" for n, value in enumerate(line.values))
        yield f'<polyline points="{points}" fill="none" stroke="{line.colour}" stroke-width="2"/>'
        for n, value in enumerate(line.dots or ()):
            centre = f'cx="{_x(n, places, left):.1f}" cy="{_y(value):.1f}"'
            yield f'<circle {centre} r="3.5" fill="none" stroke="{line.colour}" stroke-width="1.5"/>'


def _legend(lines: Sequence[Line], note: str, y: int) -> Iterator[str]:
    x = _LEFT
    for line in lines:
        yield f'<path d="M{x} {y - 4}h22" stroke="{line.colour}" stroke-width="2"/>'
        yield _text(x + 28, y, line.title)
        x += 50 + 7 * len(line.title)
    yield _text(x, y, note)


def _text(x: float, y: float, words: str, how: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {how}>{escape(words)}</text>'


def _x(number: int, places: Sequence[str], left: int) -> float:
    return left + _WIDE * (number + 0.5) / len(places)


def _y(per_cent: float) -> float:
    return _TOP + _HIGH * (1 - per_cent / 100)
