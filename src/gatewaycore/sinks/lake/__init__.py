"""Sink `lake`: a Delta Lake table, partitioned by day, in a folder or in an object store.

Lines are read by DuckDB and committed by delta-rs, which meet over the Arrow C stream: no row becomes a Python object. Neither is imported
before the first batch. What any engine that knows Delta reads, and `open_lake` too, is all that has been written until then.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attrs import field, frozen

from gatewaycore.errors import ConfigError, Problem
from gatewaycore.sinks.lake.house import House, Rules
from gatewaycore.sinks.lake.place import Place, is_installed, is_usable, place_of
from gatewaycore.sinks.lake.reading import open_lake
from gatewaycore.sinks.lake.sink import LakeSink


@frozen
class LakeStorage:
    """Settings of the sink `lake`.

    Attributes:
        path: a folder, or a URL of an object store: ``s3://``, ``gs://``, ``abfss://``.
        storage_options: for the object store, as delta-rs names them.
        compact_after: so many small files of a day are joined.
        retention_days: days that are as old are deleted; None keeps all.
        vacuum_hours: files that the table no longer refers to are deleted when they are as old.
    """

    path: str = "gatewaycore-data/lake"
    storage_options: Mapping[str, str] = field(factory=dict, repr=False)
    compact_after: int = 16
    retention_days: int | None = None
    vacuum_hours: int = 24

    def open(self) -> LakeSink:
        """Make the sink. Nothing is imported, made or connected to before its first batch.

        Raises:
            ConfigError: the extra is not installed, or a setting cannot be.
        """
        place = self._place()
        return LakeSink(place, House(Rules(self.compact_after, self.retention_days, self.vacuum_hours)))

    def check(self) -> None:
        """Find out whether the settings can be used.

        Raises:
            ConfigError: as `open`; or the path is a file's.
        """
        place = self._place()
        if place.is_local and Path(place.uri).exists() and not Path(place.uri).is_dir():
            raise ConfigError([Problem("sinks: lake: path", f"{self.path!r} is no folder", "a folder, or s3://, gs:// or abfss://")])

    def _place(self) -> Place:
        least = {
            "compact-after": (self.compact_after, 2),
            "retention-days": (self.retention_days, 1),
            "vacuum-hours": (self.vacuum_hours, 1),
        }
        problems = [
            Problem(f"sinks: lake: {key}", f"{value} is too small", f"a whole number from {most}")
            for key, (value, most) in least.items()
            if value is not None and value < most
        ]
        if problems:
            raise ConfigError(problems)
        return place_of(self.path, self.storage_options)


__all__ = ["LakeSink", "LakeStorage", "is_installed", "is_usable", "open_lake"]
