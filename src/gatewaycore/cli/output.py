"""How the command line writes: colours for people, plain lines for pipes, JSON for programs."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gatewaycore.errors import ConfigError, GatewayError, Problem

# A pipe has no width: nothing is folded there, so that a line can be found by what stands in it.
_ENDLESS = 10_000

# What a terminal would obey instead of showing it, and what cannot be written as UTF-8.
_UNSHOWN = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def console(*, stderr: bool = False) -> Console:
    """Return a console on standard output or standard error, as they are now."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else _ENDLESS, highlight=False, markup=False, emoji=False)


def words(text: str, style: str = "") -> Text:
    """Return text from a file or a command line, made harmless: a terminal obeys none of it."""
    return Text(_UNSHOWN.sub(lambda found: ascii(found[0])[1:-1], text), style)


def complain(out: Console, error: GatewayError) -> None:
    """Print what is wrong; of a configuration, every problem."""
    if isinstance(error, ConfigError):
        show_problems(out, error.problems)
    else:
        out.print(words(str(error)), soft_wrap=True)


def show_problems(out: Console, problems: Iterable[Problem], style: str = "bold red", word: str = "error") -> None:
    """Print problems, each with its place first, where editors and people look for it."""
    for problem in problems:
        first, *others = problem.what.split("\n")
        head = Text.assemble(words(problem.where, "bold"), ": ", (word, style), ": ")
        if out.is_terminal and len(head) + len(first) > out.width:
            out.print(head, soft_wrap=True)
            show_indented(out, words(first), 4)
        else:
            out.print(Text.assemble(head, words(first)), soft_wrap=True)
        for other in others:
            out.print(words(f"    {other.removeprefix('    ')}", "dim"), soft_wrap=True)
        if problem.hint:
            show_indented(out, words(problem.hint, "green"), 4)


def show_indented(out: Console, text: Text, by: int = 2) -> None:
    """Print text under what it belongs to: folded to the terminal, as it is into a pipe."""
    if out.is_terminal:
        out.print(Padding(text, (0, 0, 0, by)))
        return
    for line in text.split("\n"):
        out.print(Text.assemble(" " * by, line), soft_wrap=True)


def show_columns(out: Console, rows: Sequence[Sequence[Text]]) -> None:
    """Print rows of as many cells each: folded to the terminal, one line each into a pipe."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    if out.is_terminal:
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
        for row in rows:
            table.add_row(*row)
        for column in table.columns:
            column.overflow = "fold"
        if sum(widths[:-1]) < out.width * 3 // 4:
            # What is said last is prose, and folds well; names and paths do not.
            for column in table.columns[:-1]:
                column.no_wrap = True
        out.print(table)
        return
    for row in rows:
        cells = [cell.plain.ljust(width) for cell, width in zip(row, widths, strict=True)]
        out.print(Text("  ".join(cells).rstrip()), soft_wrap=True)


def write_json(value: Any) -> None:
    """Print one JSON value, for programs."""
    click.echo(json.dumps(value, indent=2, default=str))


def count(number: int, noun: str) -> str:
    """Return "1 rule", "2 rules"."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"
