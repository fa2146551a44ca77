"""Charts small enough for a README: one series, in bars or as a line, for light and for dark pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from math import isfinite
from types import MappingProxyType

from gatewaycore.badges.colors import read_color
from gatewaycore.badges.text import PLAIN, clean, escape, number

_FAMILY = "-apple-system,BlinkMacSystemFont,Segoe UI,Helvetica,Arial,sans-serif"
_LIGHT, _DARK = "#0969da", "#4493f8"
_HEAD, _MARGIN, _SIZE = 30, 2, 13
CHART_WIDTH, CHART_HEIGHT = 400, 110
_WIDTHS, _HEIGHTS = (80, 2000), (48, 1000)
_MOST = 2000
_BARS = 120
_WEEK = 7


def chart(
    values: Sequence[float],
    label: str,
    message: str = "",
    *,
    kind: str = "bars",
    color: str | None = None,
    width: int = CHART_WIDTH,
    height: int = CHART_HEIGHT,
) -> str:
    """Draw a series as a small SVG that follows the page's light or dark colours. The same arguments give the same SVG.

    Args:
        values: one for each day, the oldest first; what is no number, or below zero, counts as zero. Where there are more than 120, whole
            weeks are drawn, and days before the first of them are not.
        label: what it is about, above the chart.
        message: what it comes to, at the other end of that line.
        kind: one of `CHARTS`; anything else is "bars".
        color: of the bars or of the line, as a badge takes it.
        width, height: in pixels; what is out of bounds is drawn as large, or as small, as may be.
    """
    days = [float(value) if isfinite(value) and value > 0 else 0.0 for value in values[-_MOST:]]
    shown = _weeks(days) if len(days) > _BARS else days
    label, message = clean(label), clean(message)
    width, height = (min(max(size, least), most) for size, (least, most) in ((width, _WIDTHS), (height, _HEIGHTS)))
    room = width - 2 * _MARGIN
    right = _cut(message, room)
    left = _cut(label, room - _wide(right) - 12)
    drawn = read_color(color)
    mark = blake2b(repr((days, label, message, kind, drawn, width, height)).encode("utf-8", "replace"), digest_size=4).hexdigest()
    draw = CHARTS.get(kind, _bars)
    top = _HEAD + 4
    plot = draw(shown, room, height - top - 4) if any(shown) else ""
    base = height - 4
    parts = (
        _style(mark, drawn),
        f'<g font-family="{_FAMILY}" font-size="{_SIZE}"><text class="l{mark}" x="{_MARGIN}" y="18">{escape(left)}</text>'
        f'<text class="m{mark}" x="{width - _MARGIN}" y="18" text-anchor="end" font-weight="600">{escape(right)}</text></g>',
        f'<path class="b{mark}" d="M{_MARGIN} {base + 0.5}H{width - _MARGIN}"/>',
        f'<g class="s{mark}" transform="translate({_MARGIN} {top})">{plot}</g>' if plot else "",
    )
    said = escape(_said(days, label, message))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img"'
    return f'{head} aria-label="{said}"><title>{said}</title>{"".join(parts)}</svg>'


def _wide(text: str) -> float:
    # Verdana is wider than the fonts that are named here.
    return PLAIN.measure(text) * _SIZE / PLAIN.size


def _cut(text: str, room: float) -> str:
    """Return as much of `text` as there is room for."""
    if _wide(text) <= room:
        return text
    while text and _wide(f"{text}…") > room:
        text = text[:-1].rstrip()
    return f"{text}…" if text else ""


def _weeks(days: Sequence[float]) -> list[float]:
    start = len(days) % _WEEK
    return [sum(days[position : position + _WEEK]) for position in range(start, len(days), _WEEK)]


def _said(days: Sequence[float], label: str, message: str) -> str:
    """Return the chart in words, for those who do not see it."""
    summary = f"{label}: {message}" if label and message else label or message
    if not days:
        return f"{summary}; nothing yet"
    return f"{summary}; {len(days)} days, from {number(min(days))} to {number(max(days))} a day"


def _style(mark: str, color: str | None) -> str:
    def rules(label: str, message: str, base: str, series: str) -> str:
        return (
            f".l{mark}{{fill:{label}}}.m{mark}{{fill:{message}}}.b{mark}{{stroke:{base};fill:none}}"
            f".s{mark}{{fill:{series};stroke:{series}}}"
        )

    light = rules("#59636e", "#1f2328", "#d1d9e0", color or _LIGHT)
    dark = rules("#9198a1", "#f0f6fc", "#3d444d", color or _DARK)
    return f"<style>{light}@media(prefers-color-scheme:dark){{{dark}}}</style>"


def _bars(values: Sequence[float], width: float, height: float) -> str:
    peak = max(values)
    step = width / len(values)
    gap = min(2.0, step / 4)
    out = []
    for position, value in enumerate(values):
        if value:
            # A day on which there was something is to be seen, however high the others are.
            tall = max(1.0, height * value / peak)
            corner = number(min(1.5, (step - gap) / 2))
            out.append(
                f'<rect x="{number(position * step + gap / 2)}" y="{number(height - tall)}" width="{number(step - gap)}" '
                f'height="{number(tall)}" rx="{corner}"/>'
            )
    return f'<g stroke="none">{"".join(out)}</g>'


def _line(values: Sequence[float], width: float, height: float) -> str:
    peak = max(values)
    # The end of the line is a dot, which needs room on its right; a single value is a line all the same.
    values = [*values, *values] if len(values) == 1 else values
    step = (width - 4) / (len(values) - 1)
    points = [(number(position * step), number(2 + (height - 2) * (1 - value / peak))) for position, value in enumerate(values)]
    path = "L".join(f"{x} {y}" for x, y in points)
    (x, y), floor = points[-1], number(height)
    return (
        f'<path stroke="none" fill-opacity=".15" d="M0 {floor}L{path}L{x} {floor}Z"/>'
        f'<path fill="none" stroke-width="1.75" stroke-linejoin="round" stroke-linecap="round" d="M{path}"/>'
        f'<circle stroke="none" cx="{x}" cy="{y}" r="3"/>'
    )


CHARTS: Mapping[str, Callable[[Sequence[float], float, float], str]] = MappingProxyType({"bars": _bars, "line": _line})
"""The kinds of charts, by name."""
