"""``gatewaycore import`` and ``gatewaycore imports``: files of events -> the journal, and what has become of them."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.text import Text

from gatewaycore.cli.loading import load_config, load_served
from gatewaycore.cli.output import console, count, show_columns, words, write_json
from gatewaycore.config import Config
from gatewaycore.errors import GatewayError
from gatewaycore.importing import PRESETS, Import, ImportOptions, ImportSession, Ledger, Watch, read_map
from gatewaycore.importing.reading import Source
from gatewaycore.intake import open_import
from gatewaycore.keeping import storages

_TELL_S = 10.0
_SHOWN_ERRORS = 10
_INTERRUPTED = 130
_WHY: Mapping[str, str] = {
    "opted-out": "left out: opted out",
    "own-traffic": "left out: own traffic",
    "replaced": "left out: a later line has the same $unique_id",
}

config_option = click.option(
    "-c", "--config", type=click.Path(path_type=Path), default="gateway.yaml", help="The configuration of the gateway."
)
data_dir_option = click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Where everything is kept.")


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@config_option
@data_dir_option
@click.option("--package", help="The package of lines that name none: its id or its name.")
@click.option("--from", "preset", type=click.Choice(sorted(PRESETS)), help="The product whose export it is.")
@click.option("--map", "pairs", multiple=True, metavar="NAME=FIELD", help="What a column or a name means; NAME= leaves it out.")
@click.option("--format", "form", type=click.Choice(["ndjson", "csv"]), help="Found out unless told.")
@click.option("--delimiter", help="Between the cells of a CSV. Found out unless told.")
@click.option("--encoding", default="utf-8", help="Of the text.")
@click.option("--dry-run", is_flag=True, help="Tell what would be taken, show the first events, and keep nothing.")
@click.option("--restart", is_flag=True, help="Begin anew, also what was imported before.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def import_(
    ctx: click.Context,
    file: Path,
    config: Path,
    data_dir: Path | None,
    package: str | None,
    preset: str | None,
    pairs: tuple[str, ...],
    form: Any,
    delimiter: str | None,
    encoding: str,
    dry_run: bool,
    restart: bool,
    as_json: bool,
) -> None:
    """Import the events in FILE (NDJSON or CSV, packed with gzip or not; - is standard input) into the journal.

    From there every sink gets them. An import that was interrupted goes on where it was; one that is done is not repeated. Ends with
    status 1 when lines could not be taken, 2 when nothing can be, 130 when it was aborted.
    """
    if delimiter is not None and len(delimiter) != 1:
        raise click.UsageError("--delimiter is one character")
    options = ImportOptions(package=package, renamed=read_map(pairs, preset), form=form, delimiter=delimiter, encoding=encoding.lower())
    settings = load_served(config, data_dir)
    path = None if str(file) == "-" else file
    with _opened(settings, data_dir, package) as session, _stopping() as is_stopped, _progress(path) as show:
        watch = Watch(show, is_stopped)
        if dry_run:
            one, lines = session.try_out(path, options, watch)
            was_done = False
        else:
            began = datetime.now(UTC)
            one, lines = session.run(path, options, watch, restart), []
            was_done = one.status == "done" and one.changed_at < began
    if as_json:
        write_json({**plain(one), "dry-run": dry_run, "events": [msgspec.json.decode(line) for line in lines]})
    else:
        _tell(one, lines, dry_run=dry_run, was_done=was_done)
        _warn_of_retention(settings, session.data, one)
    ctx.exit(_INTERRUPTED if one.status == "aborted" else 1 if one.failed else 0)


@contextmanager
def _opened(settings: Config, data_dir: Path | None, package: str | None) -> Iterator[ImportSession]:
    data = (data_dir or Path(settings.gateway.data_dir)).absolute()
    with open_import(settings, data, package) as session:
        yield session


@contextmanager
def _stopping() -> Iterator[Callable[[], bool]]:
    """Yield what tells whether somebody wants it to end: SIGINT or SIGTERM, the first time; the second one ends it at once."""
    asked: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, _: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    for number in before:
        signal.signal(number, stop)
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _progress(path: Path | None) -> Iterator[Callable[[Import, Source], None]]:
    """Show how far it is: a bar on a terminal, a line now and then elsewhere."""
    out = console(stderr=True)
    if not out.is_terminal:
        yield _Lines(out).show
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    size = path.stat().st_size if path is not None and path.is_file() else None
    columns = (TextColumn("importing"), BarColumn(), DownloadColumn(binary_units=True), TextColumn("{task.fields[told]}"))
    with Progress(*columns, TimeRemainingColumn(), console=out, transient=True) as progress:
        task = progress.add_task("importing", total=size, told="")
        yield lambda one, source: progress.update(task, completed=source.position, told=count(one.imported, "event"))


class _Lines:
    def __init__(self, out: Console) -> None:
        self._out = out
        self._told_at = time.monotonic()

    def show(self, one: Import, source: Source) -> None:
        """Tell how far it is, if it was not told a moment ago."""
        if time.monotonic() >= self._told_at + _TELL_S:
            self._told_at = time.monotonic()
            share = f", {source.position / source.size:.0%} of the file" if source.size else ""
            self._out.print(Text(f"{count(one.imported, 'event')} so far{share}"))


def _tell(one: Import, lines: list[bytes], *, dry_run: bool, was_done: bool) -> None:
    out = console()
    for line in lines:
        click.echo(msgspec.json.format(line.rstrip(b"\n"), indent=2).decode())
    if was_done:
        out.print(words(f"{one.name} was imported {one.changed_at:%Y-%m-%d %H:%M} UTC: --restart does so again", "dim"), soft_wrap=True)
    verb = "would be imported" if dry_run else "imported"
    told = [f"{count(one.imported, 'event')} {verb}"]
    told += [f"{number:,} {_WHY.get(why, why)}" for why, number in sorted(one.left_out.items())]
    told.append(f"{one.failed:,} failed")
    out.print(Text(", ".join(told), "bold red" if one.failed else "bold green"), soft_wrap=True)
    for at, reason in one.errors[:_SHOWN_ERRORS]:
        out.print(Text.assemble((f"  line {at}: ", "bold"), words(reason)), soft_wrap=True)
    if one.failed > _SHOWN_ERRORS:
        more = "" if dry_run else ": gatewaycore imports --json has more of them"
        out.print(Text(f"  and {one.failed - _SHOWN_ERRORS:,} more{more}", "dim"), soft_wrap=True)
    if one.status == "aborted":
        out.print(Text("aborted" if dry_run or one.name == "-" else "aborted: the next run goes on here", "yellow"), soft_wrap=True)


def _warn_of_retention(settings: Config, data: Path, one: Import) -> None:
    """Say so where a sink deletes what is as old as what was imported."""
    for name, storage in storages(settings, data):
        days = getattr(storage, "retention_days", None)
        if days is not None and one.first is not None and one.first < datetime.now(UTC) - timedelta(days=days):
            click.echo(f"sink {name} deletes what is older than {days} days, and the earliest event is of {one.first:%Y-%m-%d}", err=True)


def plain(one: Import) -> dict[str, Any]:
    """Return an import for programs."""
    return {
        "id": one.id,
        "name": one.name,
        "status": one.status,
        "queued-at": one.queued_at.isoformat(timespec="seconds"),
        "changed-at": one.changed_at.isoformat(timespec="seconds"),
        "total": one.total,
        "imported": one.imported,
        "failed": one.failed,
        "left-out": one.left_out,
        "first": one.first and one.first.isoformat(),
        "last": one.last and one.last.isoformat(),
        "errors": [{"line": line, "reason": reason} for line, reason in one.errors],
    }


@click.command()
@config_option
@data_dir_option
@click.option("--abort", "number", metavar="ID", help="Ask whoever runs this import to end it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def imports(config: Path, data_dir: Path | None, number: str | None, as_json: bool) -> None:
    """List the imports there were, the latest first, and what has become of them."""
    settings = load_config(config, data_dir)
    ledger = Ledger((data_dir or Path(settings.gateway.data_dir)).absolute())
    try:
        if number is not None:
            if not ledger.ask_to_abort(number):
                raise GatewayError(f"no import {number} is running")
            click.echo(f"{number} ends within a second or so")
            return
        found = ledger.imports()
    finally:
        ledger.close()
    if as_json:
        write_json({"imports": [plain(one) for one in found]})
    elif found:
        show_columns(console(), [_row(one) for one in found])
    else:
        console().print(Text("none", "dim"))


_STYLES: Mapping[str, str] = {"done": "green", "aborted": "yellow", "running": "cyan", "queued": "cyan"}


def _row(one: Import) -> list[Text]:
    failed = Text(f"{one.failed:,} failed", "bold red" if one.failed else "dim")
    when = Text(f"{one.changed_at:%Y-%m-%d %H:%M} UTC", "dim")
    return [Text(one.id), Text(one.status, _STYLES[one.status]), Text(count(one.imported, "event")), failed, when, words(one.name)]
