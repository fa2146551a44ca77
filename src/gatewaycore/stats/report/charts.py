"""Bars in SVG, drawn here: a chart of a report needs no library, no script and no font from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from gatewaycore.stats.periods import Unit
from gatewaycore.stats.questions import Series
from gatewaycore.stats.report.contents import MEASURE_NAMES, marked, measures_of, start_of

COLORS: Final = ("#2f6db3", "#d9822b", "#4c9f70", "#8b6bb1", "#8a8f98")
"""Of the measures; told apart by those who do not see red or green, too."""

_LEFT, _BOTTOM, _TOP = 52, 26, 8
_LABEL_PX = 74
_BAR = 0.72


def ticks_of(most: int) -> list[int]:
    """Return at which numbers an axis has its lines: three to five of them, the last at or above the greatest number."""
    step = 1
    while True:
        for times in (1, 2, 5):
            if times * step * 4 >= most:
                return [times * step * number for number in range(-(-most // (times * step)) + 1)]
        step *= 10


def short(number: int) -> str:
    """Return a number as an axis has it: 950, 1.5k, 20k, 3M."""
    for scale, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= scale:
            return f"{number / scale:.1f}".removesuffix(".0") + letter
    return str(number)


def draw_series(series: Series, width: int, height: int, goes_on: bool, before: Sequence[int] | None = None) -> str:
    """Return the inside of an SVG: a bar for each piece of a period, its measures on each other.

    Args:
        series: what to draw.
        width, height: in pixels.
        goes_on: whether the last piece does, and is drawn as such.
        before: the counts of each piece of the period before, as a line; None for none.
    """
    counts = [measures_of(point.figures) for point in series.points]
    was = [] if before is None else before[: len(counts)]
    ticks = ticks_of(max([*(sum(one) for one in counts), *was, 1]))
    top = ticks[-1]
    tall, wide = height - _BOTTOM - _TOP, width - _LEFT
    parts = []
    for tick in ticks:
        y = _TOP + tall - tall * tick / top
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{width}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="axis" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{short(tick)}</text>')
    each = wide / max(1, len(counts))
    for number, (point, heights) in enumerate(zip(series.points, counts, strict=True)):
        fades = ' opacity="0.45"' if goes_on and number == len(counts) - 1 else ""
        told = ", ".join(f"{count:,} {name.lower()}" for count, name in zip(heights, MEASURE_NAMES, strict=True) if count) or "nothing"
        bars = "".join(_bars(heights, _LEFT + each * (number + (1 - _BAR) / 2), each * _BAR, tall / top, tall))
        if bars:
            parts.append(f"<g{fades}><title>{marked(start_of(point.start, series.unit))}: {told}</title>{bars}</g>")
    if len(was) > 1:
        places = " ".join(f"{_LEFT + each * (number + 0.5):.1f},{_TOP + tall - tall * count / top:.1f}" for number, count in enumerate(was))
        parts.append(f'<polyline class="before" fill="none" points="{places}"/>')
    return "".join([*parts, *_labels([point.start for point in series.points], series.unit, each, height)])


def _bars(heights: Sequence[int], x: float, width: float, scale: float, tall: int) -> Iterator[str]:
    y = float(_TOP + tall)
    for color, count in zip(COLORS, heights, strict=True):
        if count:
            high = max(count * scale, 0.5)
            y -= high
            yield f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{high:.1f}" fill="{color}"/>'


def _labels(starts: Sequence[datetime], unit: Unit, each: float, height: int) -> Iterator[str]:
    """Iterate over what stands below the bars, as many as there is room for."""
    form = {"hour": "%H:%M", "month": "%b %Y"}.get(unit, "%d %b")
    every = max(1, round(_LABEL_PX / each + 0.5)) if each else 1
    for number in range(0, len(starts), every):
        x = _LEFT + each * (number + 0.5)
        yield f'<text class="axis" x="{x:.1f}" y="{height - 8}" text-anchor="middle">{starts[number].strftime(form)}</text>'
