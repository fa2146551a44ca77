"""``gatewaycore consume``: from a stream of NATS to the other sinks of a configuration."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import click

from gatewaycore.cli.loading import load_config
from gatewaycore.cli.output import count
from gatewaycore.cli.ship import stop_event
from gatewaycore.consuming import Consuming
from gatewaycore.errors import GatewayError
from gatewaycore.keeping import storages
from gatewaycore.sinks import NatsStorage, Storage


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--from", "source", help="The sink to take from, where FILE has several of NATS.")
@click.option("--to", "targets", multiple=True, help="A sink to take to; may be repeated. All others of FILE unless it is there.")
@click.option("--durable", default="gatewaycore", show_default=True, help="Who says the same shares the work.")
@click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Where lines are set aside, whatever FILE says.")
def consume(file: Path, source: str | None, targets: tuple[str, ...], durable: str, data_dir: Path | None) -> None:
    """Take events from the stream of FILE's sink of NATS to its other sinks, until stopped.

    Any number of processes may do so, on any machines: each event goes to one of them, and for each sink once. A message is acknowledged
    when the sink has its events.
    """
    # To standard error: the sink jsonl may write events to standard output.
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    config = load_config(file, data_dir)
    data = Path(config.gateway.data_dir if data_dir is None else data_dir).absolute()
    named = dict(storages(config, data))
    streams = {name: storage for name, storage in named.items() if isinstance(storage, NatsStorage)}
    stream = _source(file, streams, source)
    with ExitStack() as opened:
        sinks = {}
        for name in _targets(file, named, stream, targets):
            sinks[name] = named[name].open()
            opened.callback(sinks[name].close)
        consuming = Consuming(streams[stream], sinks, data, durable)
        # From here on they are closed by those who write to them.
        opened.pop_all()
    stop = stop_event()
    click.echo(f"from {stream} to {', '.join(sinks)}", err=True)
    consuming.run(stop)
    told = [f"{count(consuming.taken, 'event')} taken"]
    if consuming.set_aside:
        told.append(f"{count(consuming.set_aside, 'line')} set aside")
    click.echo(", ".join(told), err=True)


def _source(file: Path, streams: Iterable[str], wanted: str | None) -> str:
    found = list(streams)
    if not found:
        raise GatewayError(f"{file}: names no sink of the type nats to take from")
    if wanted is None and len(found) == 1:
        return found[0]
    if wanted in found:
        return wanted
    what = f"there is no {wanted!r}" if wanted is not None else "there are several sinks of the type nats"
    raise GatewayError(f"{file}: {what}: write --from {' or --from '.join(found)}")


def _targets(file: Path, named: Mapping[str, Storage], source: str, wanted: Sequence[str]) -> list[str]:
    others = [name for name in named if name != source]
    for name in wanted:
        if name not in others:
            raise GatewayError(f"{file}: there is no sink {name!r} to take to: write {' or '.join(others) or 'one into the file'}")
    found = list(wanted) or [name for name in others if not isinstance(named[name], NatsStorage)]
    if not found:
        raise GatewayError(f"{file}: names no sink beside {source} to take to")
    return found
