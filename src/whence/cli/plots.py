"""Plots as SVG, written by hand: bars with standard errors, and lines over days."""

from collections.abc import Mapping, Sequence
from html import escape

WIDTH = 720
LABEL_WIDTH = 150
ROW_HEIGHT = 26
LINES_HEIGHT = 220
MARGIN = 34
COLOURS = ("#0b6e99", "#d9730d", "#448361", "#9065b0", "#c14c8a", "#9f6b53", "#787774", "#d44c47")
"""Told apart by people who see few colours, too; the ninth variant begins again."""

_HEAD = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">'
)


def bars(title: str, values: Mapping[str, tuple[float, float]]) -> str:
    """One bar for each name: its value and standard error."""
    height = MARGIN + ROW_HEIGHT * len(values)
    top = max((value + error for value, error in values.values()), default=0.0) or 1.0
    scale = (WIDTH - LABEL_WIDTH - 110) / top
    parts = [_HEAD.format(width=WIDTH, height=height), _text(0, 16, title, bold=True)]
    for row, (name, (value, error)) in enumerate(values.items()):
        y = MARGIN + row * ROW_HEIGHT
        end = LABEL_WIDTH + value * scale
        parts += [
            _text(0, y + 13, name),
            f'<rect x="{LABEL_WIDTH}" y="{y}" width="{value * scale:.1f}" height="18" fill="{_colour(row)}"/>',
            _line([(end - error * scale, y + 9), (end + error * scale, y + 9)], "#222"),
            _text(end + error * scale + 6, y + 13, f"{value:.2f} ± {error:.2f}"),
        ]
    return "".join([*parts, "</svg>"])


def lines(title: str, days: Sequence[str], values: Mapping[str, Mapping[str, float]]) -> str:
    """One line for each name over the days; a day without a value is left out."""
    top = max((value for series in values.values() for value in series.values()), default=0.0) or 1.0
    left, right, bottom = 40, WIDTH - 10, LINES_HEIGHT - MARGIN
    step = (right - left) / max(len(days) - 1, 1)
    parts = [_HEAD.format(width=WIDTH, height=LINES_HEIGHT + 18), _text(0, 16, title, bold=True)]
    for share in (0.0, 0.5, 1.0):
        y = bottom - share * (bottom - MARGIN)
        parts += [_line([(left, y), (right, y)], "#ddd"), _text(0, y + 4, f"{share * top:.1f}")]
    for place, (name, series) in enumerate(values.items()):
        points = [
            (left + at * step, bottom - series[day] / top * (bottom - MARGIN))
            for at, day in enumerate(days)
            if day in series
        ]
        parts += [
            _line(points, _colour(place), width=2),
            f'<text x="{left + place * 110}" y="{LINES_HEIGHT + 12}" fill="{_colour(place)}">{escape(name)}</text>',
        ]
    if days:
        parts += [_text(left, bottom + 16, days[0]), _text(right - 70, bottom + 16, days[-1])]
    return "".join([*parts, "</svg>"])


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]


def _text(x: float, y: float, text: str, *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{weight}>{escape(text)}</text>'


def _line(points: Sequence[tuple[float, float]], colour: str, width: int = 1) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>'
