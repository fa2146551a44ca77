"""Statistics: how events count, questions about them, and answers that every store gives alike.

| room | knows |
|---|---|
| `policy` | what counts, and as what: pure, and versioned |
| `periods` | calendars and time zones |
| `questions` | what is asked and answered |
| `dialects`, `queries` | the questions in SQL, written once |
| `stores`, `lake` | where events are: PostgreSQL, ClickHouse, the lake with the journal's tail |
| `rollups` | what counts of each day of the lake, read once |
| `folds`, `folded` | its weeks, folded to bits; the questions, of these |
| `statistics` | asks them |

The first three need nothing that is not in the base install; `open_statistics` needs the extra ``stats``.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from gatewaycore.errors import MissingExtraError
from gatewaycore.sinks import ClickhouseStorage, LakeStorage, PostgresStorage
from gatewaycore.stats.periods import COMPARISONS, Comparison, Period, against, complete_days, read_period, zone_of
from gatewaycore.stats.questions import Filter, StoppedError, plain, read_dimension, read_only

if TYPE_CHECKING:
    from gatewaycore.stats.statistics import Statistics

Source = LakeStorage | PostgresStorage | ClickhouseStorage
"""Sinks that can be asked."""


def check_installed() -> None:
    """Find out whether the extra `stats` is there.

    Raises:
        ConfigError: it is not.
    """
    if find_spec("sqlalchemy") is None:
        raise MissingExtraError.of("statistics", "stats")


def open_statistics(source: Source | None, journal: Path, rollups: Path | None = None) -> Statistics:
    """Return what answers questions about the events of a store. Nothing is connected to before the first question.

    Args:
        source: the settings of its sink; None asks the journal alone.
        journal: the folder of the journal, of which the lake's answers have what is not shipped yet.
        rollups: a file for what is read out of the lake by `Statistics.refresh`, for those who ask all the time; one process has it.

    Raises:
        ConfigError: an extra is not installed.
    """
    check_installed()
    from gatewaycore.stats.lake import LakeStore
    from gatewaycore.stats.statistics import Statistics
    from gatewaycore.stats.stores import ClickhouseStore, PostgresStore

    if isinstance(source, PostgresStorage):
        return Statistics(PostgresStore(source))
    return Statistics(ClickhouseStore(source) if isinstance(source, ClickhouseStorage) else LakeStore(source, journal, rollups))


__all__ = [
    "COMPARISONS",
    "Comparison",
    "Filter",
    "Period",
    "Source",
    "StoppedError",
    "against",
    "check_installed",
    "complete_days",
    "open_statistics",
    "plain",
    "read_dimension",
    "read_only",
    "read_period",
    "zone_of",
]
