"""The report: a table on the terminal, the same as Markdown, and a chart of the ratios as SVG."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from html import escape

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.room import Figure, shown

_BAR, _LEFT, _ROW = 320, 470, 26


def machine() -> str:
    """Say what was measured on, and how busy it was."""
    system = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    return f"{system}, {os.cpu_count()} processors, load {os.getloadavg()[1]:.1f}"


def spread(figure: Figure) -> str:
    """Return the extremes of the repetitions."""
    if figure.low is None or figure.high is None:
        return ""
    return f"{shown(figure.low, figure.unit).split(' ')[0]} to {shown(figure.high, figure.unit).split(' ')[0]}"


def verdict(figure: Figure) -> str:
    """Return one word: whether a budget holds."""
    return "" if figure.met is None else "met" if figure.met else "not met"


def table(figures: Sequence[Figure]) -> Table:
    """Return the figures as a table for the terminal."""
    made = Table(title=f"gatewaycore: measured, beside its budgets ({machine()})", title_justify="left")
    for name in ("", "what", "measured", "spread", "budget", ""):
        made.add_column(name, justify="right" if name in ("measured", "spread") else "left", no_wrap=name == "measured")
    colours = {"met": "green", "not met": "bold red"}
    for number, figure in enumerate(figures):
        word = verdict(figure)
        what = Text(figure.what)
        if figure.note:
            what.append(f"\n{figure.note}", "dim")
        begins = not number or figures[number - 1].group != figure.group
        if begins and number:
            made.add_section()
        made.add_row(
            figure.group if begins else "",
            what,
            shown(figure.value, figure.unit),
            spread(figure),
            figure.budget,
            Text(word, colours.get(word, "")),
        )
    return made


def markdown(figures: Sequence[Figure]) -> str:
    """Return the figures as a page."""
    lines = [f"# Measured, beside the budgets\n\n{machine()}. Medians of interleaved repetitions.\n"]
    lines.append("| what | measured | spread | budget | | note |\n|---|---:|---:|---|---|---|")
    for figure in figures:
        cells = (figure.what, shown(figure.value, figure.unit), spread(figure), figure.budget, verdict(figure), figure.note)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def svg(figures: Sequence[Figure]) -> str:
    """Return a bar for each figure that has a median, each group by its own scale."""
    bars = [figure for figure in figures if figure.value is not None and figure.low is not None]
    height = _ROW * len(bars) + 16
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _BAR + 110}" height="{height}" font-family="sans-serif" font-size="12">',
        f'<rect width="100%" height="{height}" fill="#fff"/>',
    ]
    for number, figure in enumerate(bars):
        value = figure.value or 0.0
        most = max(other.value or 0.0 for other in bars if (other.group, other.unit) == (figure.group, figure.unit)) or 1.0
        y = _ROW * number + 8
        colour = {"met": "#2e7d32", "not met": "#c62828"}.get(verdict(figure), "#607d8b")
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(figure.what)}</text>')
        parts.append(f'<rect x="{_LEFT}" y="{y}" width="{max(value, 0.0) / most * _BAR:.1f}" height="{_ROW - 8}" fill="{colour}"/>')
        parts.append(f'<text x="{_LEFT + max(value, 0.0) / most * _BAR + 6:.1f}" y="{y + 14}">{escape(shown(value, figure.unit))}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def show(figures: Sequence[Figure]) -> None:
    """Print the table."""
    Console(width=None if sys.stdout.isatty() else 140).print(table(figures))
