"""Groups of horizontal bars as plain SVG. It reads on a light and on a dark page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

_LEFT, _WIDE, _RIGHT = 190, 420, 110
_TOP, _BOTTOM = 58, 14
_BAR, _BETWEEN = 14, 12
_GREY = "#808080"


@dataclass(frozen=True, slots=True)
class Bar:
    """One value with what is written behind it; `goal` is a stroke across the bar, in the same unit."""

    series: str
    value: float
    text: str
    goal: float | None = None


@dataclass(frozen=True, slots=True)
class Group:
    title: str
    bars: Sequence[Bar]


def svg(
    title: str, groups: Sequence[Group], colours: dict[str, str], *, rule: float | None = None, apart: bool = False
) -> str:
    """The document, with a legend of the series. `rule` is a line from top to bottom at that value.

    `apart`: each group has a scale of its own, from 0 to its longest bar.
    """
    height = _TOP + sum(_high(group) for group in groups) + _BOTTOM
    width = _LEFT + _WIDE + _RIGHT
    longest = [max((max(bar.value, bar.goal or 0) for bar in group.bars), default=0) for group in groups]
    most = max([*longest, rule or 0, 1e-9])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="11" fill="{_GREY}">',
        f"<title>{escape(title)}</title>",
        _text(_LEFT, 18, title, 'font-size="13" font-weight="bold"'),
        *_legend(colours),
    ]
    y = _TOP
    for group, own in zip(groups, longest, strict=True):
        parts += _group(group, colours, y, _WIDE / (max(own, 1e-9) if apart else most))
        y += _high(group)
    if rule is not None and not apart:
        x = _LEFT + rule * _WIDE / most
        parts.append(f'<path d="M{x:.1f} {_TOP - 8}V{y - _BETWEEN + 4}" stroke="{_GREY}" stroke-dasharray="3 3"/>')
    return "\n".join([*parts, "</svg>", ""])


def _high(group: Group) -> int:
    return _BAR * len(group.bars) + _BETWEEN


def _legend(colours: dict[str, str]) -> Iterator[str]:
    x = _LEFT
    for series, colour in colours.items():
        yield f'<rect x="{x}" y="30" width="12" height="10" fill="{colour}"/>'
        yield _text(x + 17, 39, series)
        x += 36 + 7 * len(series)


def _group(group: Group, colours: dict[str, str], y: int, scale: float) -> Iterator[str]:
    middle = y + _BAR * len(group.bars) / 2 + 4
    yield _text(_LEFT - 10, middle, group.title, 'text-anchor="end"')
    for number, bar in enumerate(group.bars):
        top, long = y + number * _BAR, bar.value * scale
        fill = colours[bar.series]
        yield f'<rect x="{_LEFT}" y="{top + 1}" width="{long:.1f}" height="{_BAR - 2}" fill="{fill}"/>'
        yield _text(_LEFT + long + 6, top + _BAR - 3, bar.text)
        if bar.goal is not None:
            x = _LEFT + bar.goal * scale
            yield f'<path d="M{x:.1f} {top}v{_BAR}" stroke="{_GREY}" stroke-width="3"/>'


def _text(x: float, y: float, words: str, how: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {how}>{escape(words)}</text>'
