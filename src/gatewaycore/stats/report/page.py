"""A report as one HTML file: no script, no request to anybody; light or dark as its reader has it, and fit to be printed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from gatewaycore.stats.questions import Breakdown, Companies, Retention
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

_WIDTH, _HEIGHT = 960, 260

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #66707f; --line: #e3e7ec; --back: #ffffff; --card: #f6f8fa; --bar: #cfe0f2;
  --up: #2b7a4b; --down: #b3452f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #98a2b1; --line: #2c3440; --back: #12161c; --card: #1a2029;
  --bar: #25415f; --up: #6cc493; --down: #e08a74; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); font: 15px/1.45 system-ui, "Segoe UI", "Liberation Sans", sans-serif; }
main { max-width: 1040px; margin: 0 auto; padding: 32px 24px 48px; }
h1 { font-size: 26px; margin: 0 0 2px; overflow-wrap: anywhere; }
h2 { font-size: 15px; margin: 0 0 8px; }
p.soft, footer { color: var(--soft); margin: 0 0 24px; }
ul.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); gap: 12px; list-style: none; margin: 0 0 28px;
  padding: 0; }
ul.tiles li { background: var(--card); border-radius: 8px; padding: 12px 14px; }
ul.tiles b { display: block; font-size: 24px; line-height: 1.25; font-variant-numeric: tabular-nums; }
ul.tiles span { color: var(--soft); font-size: 13px; }
.up { color: var(--up) !important; } .down { color: var(--down) !important; }
figure { margin: 0 0 28px; } figure svg { display: block; width: 100%; height: auto; }
figcaption { color: var(--soft); font-size: 13px; margin-bottom: 6px; }
figcaption i { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin: 0 5px 0 14px; }
.grid { stroke: var(--line); } .axis { fill: var(--soft); font-size: 12px; }
div.columns { columns: 2 420px; column-gap: 32px; }
section { break-inside: avoid; margin: 0 0 28px; }
section.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { color: var(--soft); font-weight: normal; font-size: 13px; text-align: right; padding: 2px 0 2px 12px; white-space: nowrap; }
td { border-top: 1px solid var(--line); padding: 4px 0 4px 12px; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; white-space: normal; overflow-wrap: anywhere; min-width: 110px; }
th.text, td.text { text-align: left; }
td.share { background: linear-gradient(var(--bar), var(--bar)) no-repeat 0 50% / var(--part) 78%; padding-left: 6px; min-width: 150px; }
td.none { color: var(--soft); }
footer { border-top: 1px solid var(--line); padding-top: 12px; font-size: 13px; margin: 0; }
"""


def draw_page(report: Report, made_at: datetime) -> str:
    """Return a report as HTML.

    Args:
        report: what to tell.
        made_at: for its last line.
    """
    totals = report.totals
    title = marked(report.title)
    parts = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta name="generator" content="gatewaycore"><title>{title}</title><style>{_STYLE}</style></head><body><main>',
        f'<h1>{title}</h1><p class="soft">{marked(span_of(totals.period) + compared_of(totals.period))}</p>',
    ]
    if report.is_empty:
        parts.append(f"<p>{marked(report.empty)}</p>")
    else:
        parts += [_tiles(report), _chart(report), '<div class="columns">', *map(_breakdown, report.breakdowns), "</div>"]
        parts += [_companies(report.companies)] if report.companies else []
        parts += [_retention(report.retention)] if report.retention else []
    made = f"{made_at.astimezone(totals.period.zone):%Y-%m-%d %H:%M}"
    parts.append(f"<footer>Counting policy {totals.policy}. Made by gatewaycore, {made}.</footer></main></body></html>\n")
    return "".join(parts)


def _mood(text: str) -> str:
    return "up" if text.startswith(("+", "x", "new")) else "down" if text.startswith("-") else ""


def _tiles(report: Report) -> str:
    found = []
    for label, now, before in figures_of(report.totals):
        told = change(now, before)
        found.append(f'<li><span>{label}</span><b>{now:,}</b><span class="{_mood(told)}">{told or "&nbsp;"}</span></li>')
    return f'<ul class="tiles">{"".join(found)}</ul>'


def _chart(report: Report) -> str:
    series = report.series
    used = [any(column) for column in zip(*(measures_of(point.figures) for point in series.points), strict=True)]
    names = [
        f'<i style="background:{color}"></i>{name}' for color, name, is_used in zip(COLORS, MEASURE_NAMES, used, strict=True) if is_used
    ]
    inside = draw_series(series, _WIDTH, _HEIGHT, series.period.goes_on)
    svg = f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="By {series.unit}">{inside}</svg>'
    return f"<figure><figcaption>By {series.unit}{''.join(names)}</figcaption>{svg}</figure>"


def _value(text: str | None) -> str:
    return f"<td>{marked(text)}</td>" if text is not None else f'<td class="none">{NOT_KNOWN}</td>'


def _breakdown(answer: Breakdown) -> str:
    rows = []
    for share in answer.shares:
        told = change(share.count, share.before)
        part = 100 * share.count / max(1, answer.total)
        rows.append(
            f'<tr>{_value(share.value)}<td class="share" style="--part:{part:.1f}%">{share.count:,}</td><td>{part:.0f} %</td>'
            f'<td class="{_mood(told)}">{told}</td><td>{share.sources:,}</td></tr>'
        )
    more = answer.values - len(answer.shares)
    rows += [f'<tr><td class="none" colspan="5">and {more:,} more</td></tr>'] if more > 0 else []
    head = "<tr><th></th><th>Count</th><th></th><th>Change</th><th>Sources</th></tr>"
    return f"<section><h2>{marked(heading_of(answer.by))}</h2><table>{head}{''.join(rows)}</table></section>"


def _companies(answer: Companies) -> str:
    rows = "".join(_company_rows(answer))
    heads = ("Count", "Sources", "Packages", "First", "Last", "Sure")
    head = f'<tr><th>Company</th><th class="text">Domain</th>{"".join(f"<th>{name}</th>" for name in heads)}</tr>'
    return f'<section class="wide"><h2>Companies: {answer.number:,}</h2><table>{head}{rows}</table></section>'


def _company_rows(answer: Companies) -> Iterator[str]:
    for one in answer.companies:
        domain = one.key if one.key != one.name else ""
        sure = "" if one.confidence is None else f"{100 * one.confidence:.0f} %"
        numbers = "".join(f"<td>{number:,}</td>" for number in (one.count, one.sources, one.packages))
        days = "".join(f"<td>{seen:%Y-%m-%d}</td>" for seen in (one.first_seen, one.last_seen))
        yield f'<tr>{_value(one.name)}<td class="text">{marked(domain)}</td>{numbers}{days}<td>{sure}</td></tr>'


def _retention(answer: Retention) -> str:
    rows = "".join(
        f'<tr>{_value(one.version)}<td>{one.endpoints:,}</td><td class="share" style="--part:{100 * one.stayed / one.endpoints:.1f}%">'
        f"{one.stayed:,}</td><td>{one.moved_on:,}</td></tr>"
        for one in answer.versions
    )
    head = "<tr><th></th><th>Endpoints</th><th>Stayed</th><th>Moved on</th></tr>"
    return f"<section><h2>Who moved on</h2><table>{head}{rows}</table></section>"
