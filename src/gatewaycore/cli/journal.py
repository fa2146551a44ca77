"""``gatewaycore journal``: what lies on disk between the requests and the sinks."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from gatewaycore.cli.loading import load_config
from gatewaycore.cli.output import console, count, show_columns, words, write_json
from gatewaycore.config import Config
from gatewaycore.counting import saved_offsets
from gatewaycore.keeping import storages
from gatewaycore.service import STATE, serves_images
from gatewaycore.shipper import cursor
from gatewaycore.sinks import set_aside
from gatewaycore.state import State
from gatewaycore.survey import Reader, Survey, survey

_COUNTER = "counter of pulls"


@click.group()
def journal() -> None:
    """Look at the journal of a gateway."""


@journal.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Where everything is kept, whatever FILE says.")
@click.option("--exact", is_flag=True, help="Count the events, which reads all of them.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def stat(file: Path, data_dir: Path | None, exact: bool, as_json: bool) -> None:
    """Tell what the journal of FILE's gateway holds, and how far its readers are behind.

    Nothing is changed, and a server may run meanwhile.
    """
    config = load_config(file, data_dir)
    data = data_dir or Path(config.gateway.data_dir)
    sinks = [name for name, _ in storages(config, data.absolute())]
    seen = survey(data / "journal", dict(_readers(config, data, sinks)), exact)
    aside = {f"sink {name}": set_aside.count_lines(set_aside.file_in(data / set_aside.SET_ASIDE, name)) for name in sinks}
    if as_json:
        write_json(_plain(seen, aside))
    else:
        _print(data / "journal", seen, aside)


def _readers(config: Config, data: Path, sinks: list[str]) -> Iterator[tuple[str, Mapping[str, int]]]:
    if serves_images(config) or config.console is not None:
        yield _COUNTER, saved_offsets(State(data / STATE), data / "journal")
    for name in sinks:
        try:
            yield f"sink {name}", cursor.read_numbers(cursor.file_in(data / "cursors", name))
        except ValueError:
            # As the shipper does: it begins anew.
            yield f"sink {name}", {}


def _plain(seen: Survey, aside: Mapping[str, int]) -> dict[str, Any]:
    return {
        "segments": seen.segments,
        "open-segments": seen.open_segments,
        "bytes": seen.bytes,
        "events": seen.events,
        "exact": seen.is_exact,
        "oldest": _iso(seen.oldest_ms),
        "newest": _iso(seen.newest_ms),
        "torn": seen.torn,
        "lost": seen.lost,
        "readers": [
            {
                "name": one.name,
                "segments-behind": one.segments,
                "bytes-behind": one.bytes,
                "seconds-behind": _seconds(one),
                "set-aside": aside.get(one.name, 0),
            }
            for one in seen.readers
        ],
    }


def _seconds(one: Reader) -> float | None:
    """Return how long ago the first line was recorded that was not read; 0 when all were, None when it does not say."""
    if not one.segments:
        return 0
    return None if one.since_ms is None else max(0.0, round(time.time() - one.since_ms / 1000, 1))


def _iso(ms: int | None) -> str | None:
    return None if ms is None else _moment(ms).isoformat(timespec="milliseconds")


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _print(folder: Path, seen: Survey, aside: Mapping[str, int]) -> None:
    out = console()
    out.print(Text.assemble(("Journal", "bold"), words(f"  {folder}", "dim")), soft_wrap=True)
    lines = list(_lines(seen))
    if lines:
        show_columns(out, [(Text(f"  {name}", "dim"), value) for name, value in lines])
    else:
        out.print(Text("  empty", "dim"))
    out.print(Text("Readers", "bold"))
    if seen.readers:
        show_columns(out, [_row(one, aside.get(one.name, 0)) for one in seen.readers])
    else:
        out.print(Text("  none", "dim"))


def _lines(seen: Survey) -> Iterator[tuple[str, Text]]:
    if seen.segments:
        yield "segments", Text(f"{seen.segments:,}, {seen.open_segments:,} of them open")
        yield "size", Text(size(seen.bytes))
        yield "events", Text(f"{'' if seen.is_exact else 'about '}{seen.events:,}")
    if seen.oldest_ms is not None and seen.newest_ms is not None:
        first, last = _moment(seen.oldest_ms), _moment(seen.newest_ms)
        yield "recorded", Text(f"{first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC")
    if seen.torn:
        yield "torn", Text(count(seen.torn, "line"), "yellow")
    if seen.lost:
        yield "lost", Text(count(seen.lost, "event"), "bold red")


def _row(one: Reader, aside: int) -> list[Text]:
    if one.segments:
        seconds = _seconds(one)
        said = f"{count(one.segments, 'segment')}, {size(one.bytes)}" + ("" if seconds is None else f", {_duration(seconds)}")
        state = Text(f"{said} behind", "yellow")
    else:
        state = Text("up to date", "green")
    return [words(f"  {one.name}", "bold"), state, Text(f"{count(aside, 'line')} set aside" if aside else "", "bold red")]


def size(number: int) -> str:
    """Return "812 bytes", "1.2 MiB"."""
    if number < 1024:
        return count(number, "byte")
    amount, unit = number / 1024, "KiB"
    for larger in ("MiB", "GiB", "TiB"):
        if amount >= 1024:
            amount, unit = amount / 1024, larger
    return f"{amount:,.1f} {unit}"


def _duration(seconds: float) -> str:
    for length, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:.0f} s"
