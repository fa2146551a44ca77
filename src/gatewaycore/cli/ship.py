"""``gatewaycore ship``: the shipper by itself, for those who do not want it inside their server."""

from __future__ import annotations

import logging
import signal
import threading
from pathlib import Path

import click

from gatewaycore.cli.output import count
from gatewaycore.errors import GatewayError
from gatewaycore.service import Service


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
    if service.shipper is None:
        service.close()
        raise GatewayError(f"{file}: there is nothing to ship to, and no pull to count: it names no sinks and no images")
    try:
        if not once:
            service.shipper.run(_stop())
            return
        if not service.shipper.acquire():
            raise GatewayError("another process ships already")
        shipped = f"{count(service.shipper.ship(), 'event')} shipped"
        click.echo(shipped if service.counter is None else f"{count(service.counter.shipped, 'pull')} counted, {shipped}", err=True)
    finally:
        service.close()


def _stop() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
