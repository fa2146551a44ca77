"""``gatewaycore report``: what was fetched, by whom, and how much that changed; for a terminal, a program, a browser or a slide."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click
from rich.console import Console
from rich.text import Text

from gatewaycore.cli.loading import load_config
from gatewaycore.cli.output import console, show_columns, words, write_json
from gatewaycore.enrich.agent import Agent
from gatewaycore.keeping import statistics_of
from gatewaycore.stats import COMPARISONS, Comparison, Filter, against, plain, read_dimension, read_only, read_period, zone_of
from gatewaycore.stats.periods import UNITS, WEEK_STARTS, Unit
from gatewaycore.stats.policy import AGENTS, MEASURES, USES
from gatewaycore.stats.questions import Breakdown, Companies, Retention, Series
from gatewaycore.stats.report import Report, ask, draw_page, draw_picture, to_png
from gatewaycore.stats.report.contents import NOT_KNOWN, change, figures_of, heading_of, span_of, start_of

if TYPE_CHECKING:
    from gatewaycore.stats.statistics import Statistics

_SPARKS = " ▁▂▃▄▅▆▇█"
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_BAR, _NAME, _SPARK = 24, 44, 96


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--package", "packages", multiple=True, help="Of this package; may be repeated.")
@click.option("--period", default="30d", help="today, yesterday, 30d, week, last-week, month, last-month, year, 2026-11, A..B, all.")
@click.option(
    "--compare", type=click.Choice(COMPARISONS), default="before", help="With the period before, the same days a year before, or nothing."
)
@click.option("--by", multiple=True, help="A column, or variables.NAME; may be repeated. The usual ones without.")
@click.option("--tz", default="UTC", help="Whose days they are: Europe/Berlin.")
@click.option("--unit", type=click.Choice(UNITS), help="Into what the period is cut; by its length without.")
@click.option("--week-start", type=click.Choice(list(WEEK_STARTS)), default="monday", help="The first day of the week.")
@click.option("--measure", "measures", type=click.Choice(MEASURES), multiple=True, help="What counts; may be repeated.")
@click.option("--agent", "agents", type=click.Choice(get_args(Agent)), multiple=True, help="Who counts; may be repeated.")
@click.option("--only", multiple=True, metavar="NAME=VALUE", help="With this value of a column or a variable: country=DE.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=10, help="How many values of each.")
@click.option("--sink", help="The sink to ask, where there are several: lake, postgres, clickhouse.")
@click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Where everything is kept, whatever FILE says.")
@click.option("--html", "html_file", type=click.Path(path_type=Path, dir_okay=False), help="Write one HTML file.")
@click.option("--png", "png_file", type=click.Path(path_type=Path, dir_okay=False), help="Write a picture.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def report(
    file: Path,
    period: str,
    compare: Comparison,
    by: tuple[str, ...],
    tz: str,
    unit: Unit | None,
    week_start: str,
    limit: int,
    sink: str | None,
    data_dir: Path | None,
    html_file: Path | None,
    png_file: Path | None,
    as_json: bool,
    **choices: tuple[str, ...],
) -> None:
    """Tell what was fetched from the gateway of FILE: how much, of what, by whom, and how that compares with the period before, or with
    the same one a year before.

    A server may run meanwhile. What counts, the counting policy says, whose version each report carries.
    """
    settings = load_config(file, data_dir)
    asked, dimensions = _filter(**choices), [read_dimension(name) for name in by]
    data = (data_dir or Path(settings.gateway.data_dir)).absolute()
    zone, now = zone_of(tz), datetime.now(UTC)
    with closing(statistics_of(settings, data, sink)) as stats:
        when = read_period(period, now, zone, _first_event(stats, asked) if period == "all" else None)
        found = ask(stats, against(when, compare), asked, dimensions, unit=unit, week_start=WEEK_STARTS[week_start], limit=limit)
    if html_file is not None:
        html_file.write_text(draw_page(found, now), encoding="utf-8")
    if png_file is not None:
        png_file.write_bytes(to_png(draw_picture(found)))
    if as_json:
        write_json(plain(found))
    elif html_file is None and png_file is None:
        _show(console(), found)


def _filter(packages: tuple[str, ...], measures: tuple[Any, ...], agents: tuple[str, ...], only: tuple[str, ...]) -> Filter:
    return Filter(packages=packages, measures=measures or USES, agents=agents or AGENTS, only=read_only(only))


def _first_event(stats: Statistics, asked: Filter) -> datetime | None:
    return stats.first_event(asked.packages)


# --- a terminal ------------------------------------------------------------------------------------------------------------


def _show(out: Console, found: Report) -> None:
    totals = found.totals
    out.print(words(found.title, "bold"), soft_wrap=True)
    out.print(words(f"{span_of(totals.period)}; counting policy {totals.policy}", "dim"), soft_wrap=True)
    out.print()
    if found.is_empty:
        out.print(words(found.empty), soft_wrap=True)
        return
    show_columns(out, list(_figures(found)))
    out.print()
    out.print(_sparkline(found.series), soft_wrap=True)
    for answer in found.breakdowns:
        _section(out, heading_of(answer.by), list(_shares(answer)))
    if found.companies is not None:
        _section(out, f"Companies ({found.companies.number:,})", list(_companies(found.companies)))
    if found.retention is not None:
        _section(out, "Who moved on", list(_retention(found.retention)))


def _section(out: Console, heading: str, rows: list[list[Text]]) -> None:
    out.print()
    out.print(words(heading, "bold"), soft_wrap=True)
    show_columns(out, rows)


def _figures(found: Report) -> Iterator[list[Text]]:
    rows = [(label, f"{now:,}", change(now, before)) for label, now, before in figures_of(found.totals)]
    width = max(len(number) for _, number, _ in rows)
    before = found.totals.period.before
    for place, (label, number, told) in enumerate(rows):
        against = f"against {span_of(before).rpartition(',')[0]}" if before is not None and not place else ""
        yield [Text(f"  {label}"), Text(number.rjust(width), "bold"), _change(told), Text(against, "dim")]


def _change(told: str) -> Text:
    return Text(told.rjust(7), "green" if told.startswith(("+", "x", "new")) else "red" if told.startswith("-") else "dim")


def _sparkline(series: Series) -> Text:
    """Return one sign for each piece of a period, the highest for the greatest number; of very many pieces, the last ones."""
    points = series.points[-_SPARK:]
    counts = [point.figures.count for point in points]
    most = max([*counts, 1])
    signs = "".join(_SPARKS[0 if not count else max(1, round(count / most * 8))] for count in counts)
    peak = max(points, key=lambda point: point.figures.count)
    told = f"  by {series.unit}, from {start_of(points[0].start, series.unit)}; most: {most:,} on {start_of(peak.start, series.unit)}"
    return Text.assemble("  ", (signs, "cyan"), (told, "dim"))


def _shares(answer: Breakdown) -> Iterator[list[Text]]:
    width = len(f"{answer.shares[0].count:,}") if answer.shares else 1
    most = max([share.count for share in answer.shares] or [1])
    for share in answer.shares:
        part = share.count / answer.total
        yield [
            _name(share.value),
            Text(f"{share.count:,}".rjust(width), "bold"),
            Text(f"{100 * part:3.0f} %", "dim"),
            Text(_bar(share.count / most), "cyan"),
            _change(change(share.count, share.before)),
            Text(f"{share.sources:,} sources", "dim"),
        ]
    if answer.values > len(answer.shares):
        yield [Text(f"  and {answer.values - len(answer.shares):,} more", "dim"), *[Text("")] * 5]


def _name(value: str | None) -> Text:
    if value is None:
        return Text(f"  {NOT_KNOWN}", "dim")
    return words(f"  {value if len(value) <= _NAME else value[: _NAME - 1] + '…'}")


def _bar(part: float) -> str:
    eighths = max(1, round(part * _BAR * 8))
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(_BAR)


def _companies(answer: Companies) -> Iterator[list[Text]]:
    heads = ("count", "sources", "packages")
    numbers = [(f"{one.count:,}", f"{one.sources:,}", f"{one.packages:,}") for one in answer.companies]
    widths = [max(map(len, column)) for column in zip(heads, *numbers, strict=True)]
    yield _heads("  ", "", *(head.rjust(width) for head, width in zip(heads, widths, strict=True)), "first", "last", "sure")
    for one, row in zip(answer.companies, numbers, strict=True):
        domain = words(one.key if one.key != one.name else "", "dim")
        days = [Text(f"{seen:%Y-%m-%d}", "dim") for seen in (one.first_seen, one.last_seen)]
        sure = Text("" if one.confidence is None else f"{100 * one.confidence:3.0f} %", "dim")
        yield [_name(one.name), domain, *(Text(cell.rjust(width)) for cell, width in zip(row, widths, strict=True)), *days, sure]


def _retention(answer: Retention) -> Iterator[list[Text]]:
    yield _heads("  ", "endpoints", "", "stayed", "moved on")
    for one in answer.versions:
        cells = (f"{one.endpoints:,}".rjust(9), _bar(one.stayed / one.endpoints), f"{one.stayed:,}".rjust(6), f"{one.moved_on:,}".rjust(8))
        yield [_name(one.version), *(Text(cell, "cyan" if "█" in cell else "") for cell in cells)]


def _heads(*names: str) -> list[Text]:
    return [Text(name, "dim") for name in names]
