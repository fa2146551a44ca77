"""``gatewaycore export``: events out of the lake and the journal."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, get_args

import click

from gatewaycore.cli.import_ import config_option, data_dir_option
from gatewaycore.cli.loading import load_config
from gatewaycore.cli.output import count
from gatewaycore.enrich.agent import Agent
from gatewaycore.errors import GatewayError
from gatewaycore.event import KINDS
from gatewaycore.exporting import LakeSource, Output, Selection, Source, read_columns, read_moment, read_where, write_csv, write_ndjson
from gatewaycore.importing.counters import Counters
from gatewaycore.keeping import event_source

_FORMS = ("csv", "ndjson", "parquet")
_ENDINGS = {".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".parquet": "parquet"}


@click.command()
@config_option
@data_dir_option
@click.option("-o", "--output", type=click.Path(path_type=Path, allow_dash=True), default="-", help="A file; - is standard output.")
@click.option("--format", "form", type=click.Choice(_FORMS), help="By the name of the file, else ndjson.")
@click.option("--columns", default="all", help="all, scarf, or names with commas between them.")
@click.option("--since", help="A day or a time, in UTC.")
@click.option("--until", help="The first day or time that is too late.")
@click.option("--package", multiple=True, help="Of this package; may be repeated, as those below.")
@click.option("--kind", type=click.Choice(KINDS), multiple=True, help="Of this kind.")
@click.option("--country", multiple=True, help="From this country: DE.")
@click.option("--agent", type=click.Choice(get_args(Agent)), multiple=True, help="Of these clients.")
@click.option("--where", "pairs", multiple=True, metavar="NAME=VALUE", help="With this value of a variable.")
def export(
    config: Path,
    data_dir: Path | None,
    output: Path,
    form: str | None,
    columns: str,
    since: str | None,
    until: str | None,
    pairs: tuple[str, ...],
    **choices: Any,
) -> None:
    """Export events from the lake, and from the journal what is not there yet, each once.

    The output is read again by gatewaycore import, if it is CSV or NDJSON with all columns. A server may run meanwhile.
    """
    settings = load_config(config, data_dir)
    selection = Selection(since=read_moment("--since", since), until=read_moment("--until", until), where=read_where(pairs), **choices)
    chosen = read_columns(columns)
    path = None if str(output) == "-" else output
    form = form or _form_of(path)
    data = (data_dir or Path(settings.gateway.data_dir)).absolute()
    with closing(Counters.temporary()) as counters:
        number = _write(event_source(settings, data, counters.count), path, form, chosen, selection)
    click.echo(f"{count(number, 'event')} exported", err=True)


def _form_of(path: Path | None) -> str:
    if path is None:
        return "ndjson"
    return _ENDINGS.get(path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix, "ndjson")


def _write(source: Source, path: Path | None, form: str, columns: Mapping[str, str], selection: Selection) -> int:
    stdout = sys.stdout.buffer
    if form != "parquet":
        with Output(path, stdout) as out:
            rows = source.rows(columns, selection)
            return write_csv(out.file, columns, rows) if form == "csv" else write_ndjson(out.file, columns, rows)
    if not isinstance(source, LakeSource):
        raise GatewayError("parquet needs a lake, or no sink and gatewaycore[lake]: pip install 'gatewaycore[lake]'")
    if path is None or path.suffix == ".gz":
        raise GatewayError("parquet needs a file, and is packed already: --output events.parquet")
    with Output(path, stdout) as out:
        return source.write_parquet(out.draft, columns, selection)
