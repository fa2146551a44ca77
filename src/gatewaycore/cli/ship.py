"""``gatewaycore ship``: the shipper by itself, for those who do not want it inside their server."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from gatewaycore.cli.output import console, count
from gatewaycore.errors import GatewayError
from gatewaycore.service import Service
from gatewaycore.shipper import Shipper


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--once", is_flag=True, help="Ship what is there now, and end.")
@click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Where the journal lies, whatever FILE says.")
def ship(file: Path, once: bool, data_dir: Path | None) -> None:
    """Count the pulls in the journal of FILE's gateway, and ship it to its sinks, until stopped.

    Every sink continues where it left off. One process of a machine ships at a time: the others wait for it to end.
    """
    # To standard error: the sink jsonl may write events to standard output.
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    service = Service.from_file(file, data_dir)
    if service.rulebook is not None:
        # Whoever serves is to ask for the rules of a URL, and not whoever has read them once.
        service.rulebook.close()
    if service.shipper is None:
        service.close()
        raise GatewayError(f"{file}: there is nothing to ship to, and no pull to count: it names no sinks and no images")
    try:
        if once:
            _ship_once(service, service.shipper)
        else:
            service.shipper.run(stop_event())
    finally:
        service.close()


def _ship_once(service: Service, shipper: Shipper) -> None:
    if not shipper.acquire():
        raise GatewayError("another process ships already")
    with _progress(shipper) as watch:
        told = [f"{count(shipper.ship(watch=watch), 'event')} shipped"]
    if service.counter is not None:
        told.insert(0, f"{count(service.counter.shipped, 'pull')} counted")
    if shipper.set_aside:
        told.append(f"{count(shipper.set_aside, 'line')} set aside")
    click.echo(", ".join(told), err=True)
    if shipper.failing:
        failing = "; ".join(f"{name} takes nothing now ({error})" for name, error in shipper.failing.items())
        raise GatewayError(f"{failing}: what is left is shipped by the next run")


@contextmanager
def _progress(shipper: Shipper) -> Iterator[Callable[[], None] | None]:
    """Show how far it is, on a terminal; yield what moves it on."""
    out = console(stderr=True)
    if not out.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    total = shipper.unread_bytes()
    with Progress(TextColumn("shipping"), BarColumn(), DownloadColumn(binary_units=True), console=out, transient=True) as progress:
        task = progress.add_task("shipping", total=total)
        yield lambda: progress.update(task, completed=max(0, total - shipper.unread_bytes()))


def stop_event() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
