"""Keeping: where the events of a gateway are kept, and what reads them there: exports, statistics, badges. Nothing is opened here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gatewaycore.badge_numbers import StoreNumbers
from gatewaycore.badges import Numbers
from gatewaycore.config import Config
from gatewaycore.errors import ConfigError, Problem
from gatewaycore.exporting import JournalSource, LakeSource, Source, StoreSource
from gatewaycore.sinks import ClickhouseStorage, LakeStorage, PostgresStorage, Storage
from gatewaycore.sinks.lake import is_installed, is_usable
from gatewaycore.stats import Source as Askable
from gatewaycore.stats import open_statistics

if TYPE_CHECKING:
    from gatewaycore.stats.statistics import Statistics

NUMBERS = "numbers"
"""Where, under the data-dir, the numbers of badges are kept, and what is read out of a lake for them."""


def storages(config: Config, data: Path) -> Iterator[tuple[str, Storage]]:
    """Iterate over the sinks with their names: those of `config`; a lake in the data-dir where it speaks of none and the extra is there."""
    if config.sinks is not None:
        yield from ((config.sink_name(position), storage) for position, storage in enumerate(config.sinks))
    elif is_installed() and is_usable(str(data)):
        yield "lake", LakeStorage(str(data / "lake"))


def event_source(config: Config, data: Path, seen: Callable[[bytes], int]) -> Source:
    """Return where events are read from: the first lake that is kept and the journal under `data`; else another sink that can be asked,
    which has what has left the journal; else the journal alone.

    Args:
        config: of the gateway.
        data: the data-dir.
        seen: tells what was read before, where no engine does; see `JournalSource`.
    """
    kept = _first(_askable(config, data))
    if isinstance(kept, PostgresStorage | ClickhouseStorage):
        return StoreSource(kept)
    if kept is not None or is_installed():
        return LakeSource(kept, data / "journal")
    return JournalSource(data / "journal", seen)


def statistics_of(config: Config, data: Path, sink: str | None = None, rollups: Path | None = None) -> Statistics:
    """Return what answers questions about the events of a gateway: its lake, else another sink that can be asked, else the journal.

    Args:
        config: of the gateway.
        data: the data-dir.
        sink: the name of the sink to ask, as `journal stat` tells it.
        rollups: a file for what is read out of a lake; see `open_statistics`.

    Raises:
        ConfigError: an extra is not installed, or the sink is none that can be asked.
    """
    kept = _askable(config, data)
    if sink is not None and sink not in kept:
        names = ", ".join(kept) or "a sink lake, postgres or clickhouse"
        raise ConfigError([Problem("--sink", f"{sink[:80]!r} is no sink that can be asked", names)])
    return open_statistics(kept[sink] if sink else _first(kept), data / "journal", rollups)


def numbers_of(config: Config, data: Path, ttl_s: float) -> Numbers:
    """Return what counts for badges, of the store that `statistics_of` asks. Nothing is opened before the first question.

    Args:
        config: of the gateway.
        data: the data-dir.
        ttl_s: how old a number may be.
    """
    source, folder = _first(_askable(config, data)), data / NUMBERS
    rollups = folder / "rollups.duckdb" if isinstance(source, LakeStorage) else None
    return StoreNumbers(partial(open_statistics, source, data / "journal", rollups), folder, ttl_s)


def _askable(config: Config, data: Path) -> dict[str, Askable]:
    return {name: storage for name, storage in storages(config, data) if isinstance(storage, Askable)}


def _first(kept: Mapping[str, Askable]) -> Askable | None:
    # A lake has what was recorded a moment ago as well.
    return next(iter(sorted(kept.values(), key=lambda one: not isinstance(one, LakeStorage))), None)
