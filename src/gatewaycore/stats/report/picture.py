"""A report as one picture: the figures, the chart, and the first values of its breakdowns. SVG, and PNG of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gatewaycore.errors import GatewayError
from gatewaycore.stats.questions import Breakdown, Companies, Share
from gatewaycore.stats.report.charts import COLORS, draw_series
from gatewaycore.stats.report.contents import (
    MEASURE_NAMES,
    NOT_KNOWN,
    Report,
    change,
    compared_of,
    figures_of,
    heading_of,
    marked,
    measures_of,
    span_of,
)

_WIDTH, _EDGE, _GAP = 1200, 40, 32
_INNER = _WIDTH - 2 * _EDGE
_CHART = 260
_COLUMN = (_INNER - _GAP) / 2
_ROW, _ROWS, _MOST = 26, 6, 8
_SCALE = 2
# About as wide as a letter is, in parts of its height.
_LETTER = 0.56

_STYLE: Final = """
text { font-family: "Liberation Sans", "Segoe UI", Helvetica, Arial, sans-serif; fill: #1c2430; font-size: 15px; }
.soft { fill: #66707f; font-size: 14px; } .title { font-size: 28px; font-weight: bold; } .head { font-weight: bold; }
.number { font-size: 26px; font-weight: bold; } .up { fill: #2b7a4b; font-size: 14px; } .down { fill: #b3452f; font-size: 14px; }
.axis { fill: #66707f; font-size: 12px; } .grid { stroke: #e3e7ec; }
"""


def draw_picture(report: Report) -> str:
    """Return a report as SVG, with nothing from elsewhere."""
    told = span_of(report.totals.period) + compared_of(report.totals.period)
    parts = [
        f'<text class="title" x="{_EDGE}" y="58">{marked(_cut(report.title, _INNER, 28))}</text>',
        f'<text class="soft" x="{_EDGE}" y="84">{marked(told)}</text>',
    ]
    y = 112.0
    if report.is_empty:
        parts.append(f'<text x="{_EDGE}" y="{y + 20}">{marked(report.empty)}</text>')
        y += 40
    else:
        parts += _tiles(report, y)
        y += 130
        parts += _legend(report, y)
        inside = draw_series(report.series, _INNER, _CHART, report.series.period.goes_on)
        parts.append(f'<g transform="translate({_EDGE} {y + 14})">{inside}</g>')
        y += _CHART + 40
        for left, right in _pairs(report):
            parts += [f'<g transform="translate({_EDGE} {y})">{_breakdown(left)}</g>']
            parts += [f'<g transform="translate({_EDGE + _COLUMN + _GAP} {y})">{_breakdown(right)}</g>'] if right else []
            y += 44 + _ROW * max(min(len(one.shares), _ROWS) for one in (left, right) if one)
    parts.append(f'<text class="soft" x="{_EDGE}" y="{y + 20:.0f}">Counting policy {report.totals.policy}. Made by gatewaycore.</text>')
    height = round(y + 44)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}">'
    return f'{head}<style>{_STYLE}</style><rect width="100%" height="100%" fill="#ffffff"/>{"".join(parts)}</svg>'


def to_png(svg: str) -> bytes:
    """Return an SVG as PNG, twice as large, for screens with many pixels.

    Raises:
        GatewayError: the extra is not installed.
    """
    try:
        import vl_convert
    except ImportError as error:
        raise GatewayError("pictures need gatewaycore[console]: pip install 'gatewaycore[console]'") from error
    found: bytes = vl_convert.svg_to_png(svg, scale=_SCALE)
    return found


def _cut(text: str, width: float, size: float) -> str:
    """Return as much of a text as is about as wide."""
    most = max(1, int(width / (size * _LETTER)))
    return text if len(text) <= most else text[: most - 1] + "…"


def _tiles(report: Report, y: float) -> Iterator[str]:
    found = list(figures_of(report.totals))
    each = (_INNER + 12) / len(found)
    for number, (label, now, before) in enumerate(found):
        x = _EDGE + each * number
        told = change(now, before)
        mood = "up" if told.startswith(("+", "x", "new")) else "down" if told.startswith("-") else "soft"
        yield f'<rect x="{x:.1f}" y="{y}" width="{each - 12:.1f}" height="92" rx="8" fill="#f6f8fa"/>'
        yield f'<text class="soft" x="{x + 14:.1f}" y="{y + 26}">{label}</text>'
        yield f'<text class="number" x="{x + 14:.1f}" y="{y + 56}">{now:,}</text>'
        yield f'<text class="{mood}" x="{x + 14:.1f}" y="{y + 79}">{told}</text>'


def _legend(report: Report, y: float) -> Iterator[str]:
    label = f"By {report.series.unit}"
    yield f'<text class="soft" x="{_EDGE}" y="{y}">{label}</text>'
    x = _EDGE + 70.0
    counts = zip(*(measures_of(point.figures) for point in report.series.points), strict=True)
    for color, name, column in zip(COLORS, MEASURE_NAMES, counts, strict=True):
        if any(column):
            yield f'<rect x="{x}" y="{y - 10}" width="10" height="10" rx="2" fill="{color}"/>'
            yield f'<text class="soft" x="{x + 16}" y="{y}">{name}</text>'
            x += 40 + len(name) * 14 * _LETTER


def _pairs(report: Report) -> Iterator[tuple[Breakdown, Breakdown | None]]:
    companies = [] if report.companies is None else [_shares_of(report.companies)]
    shown = [*report.breakdowns[: _MOST - len(companies)], *companies]
    for number in range(0, len(shown), 2):
        yield shown[number], shown[number + 1] if number + 1 < len(shown) else None


def _shares_of(found: Companies) -> Breakdown:
    """Return companies as any other breakdown; in a picture there is room for their names."""
    shares = tuple(Share(one.name or one.key, one.count, one.sources, None) for one in found.companies)
    total = sum(share.count for share in shares)
    return Breakdown(period=found.period, filter=found.filter, by="company", total=total, values=found.number, shares=shares)


def _breakdown(answer: Breakdown) -> str:
    parts = [f'<text class="head" x="0" y="14">{marked(_cut(heading_of(answer.by), _COLUMN, 16))}</text>']
    most = max([share.count for share in answer.shares] or [1])
    for number, share in enumerate(answer.shares[:_ROWS]):
        y = 26 + _ROW * number
        part = (_COLUMN - 150) * share.count / most
        name = marked(_cut(NOT_KNOWN if share.value is None else share.value, _COLUMN - 170, 15))
        told = change(share.count, share.before)
        parts.append(f'<rect x="0" y="{y}" width="{max(part, 1):.1f}" height="{_ROW - 5}" rx="3" fill="#cfe0f2"/>')
        parts.append(f'<text class="{"soft" if share.value is None else ""}" x="8" y="{y + 16}">{name}</text>')
        parts.append(f'<text x="{_COLUMN - 66:.1f}" y="{y + 16}" text-anchor="end">{share.count:,}</text>')
        parts.append(f'<text class="soft" x="{_COLUMN:.1f}" y="{y + 16}" text-anchor="end">{told}</text>')
    return "".join(parts)
