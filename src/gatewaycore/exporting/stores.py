"""Events out of a database that has them all: a sink `postgres` or `clickhouse`. What is not shipped yet, it does not have yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
from attrs import frozen

from gatewaycore.event import COLUMNS
from gatewaycore.exporting.columns import PACKAGE, PIXEL
from gatewaycore.exporting.selection import Selection
from gatewaycore.sinks import ClickhouseStorage, PostgresStorage
from gatewaycore.stats import check_installed

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, FromClause

    from gatewaycore.stats.stores import Store

_ROWS = 20_000
_PIXEL_TYPE = "pixel"
_CHOICES = ("package", "kind", "country", "agent")
_encode = msgspec.json.Encoder().encode


@frozen
class StoreSource:
    """The table of a sink. A connection is made for each question.

    Attributes:
        storage: the settings of the sink.
    """

    storage: PostgresStorage | ClickhouseStorage

    def rows(self, columns: Mapping[str, str], selection: Selection) -> Iterator[Sequence[Any]]:
        """Iterate over rows, the oldest first.

        Raises:
            GatewayError: the database is not there, or does not answer.
        """
        with closing(self._store()) as store:
            after: tuple[datetime, str] | None = None
            while found := self._page(store, selection, after):
                yield from (_told(row, columns) for row in found)
                after = found[-1]["time"], str(found[-1]["id"])

    def latest(self, columns: Mapping[str, str], selection: Selection, limit: int, before: str | None = None) -> list[Sequence[Any]]:
        """Return the last rows, the newest first.

        Raises:
            GatewayError: the database is not there, or does not answer.
        """
        import sqlalchemy as sa

        table = self._table()
        id_ = _id(table)
        conditions = [*self._conditions(table, selection), *([id_ < before] if before is not None else [])]
        query = sa.select(*table.c).where(*conditions).order_by(id_.desc()).limit(limit)
        with closing(self._store()) as store:
            return [_told(dict(zip(COLUMNS, row, strict=True)), columns) for row in store.ask(lambda _: query)]

    def _page(self, store: Store, selection: Selection, after: tuple[datetime, str] | None) -> list[dict[str, Any]]:
        import sqlalchemy as sa

        table = self._table()
        id_ = _id(table)
        conditions = list(self._conditions(table, selection))
        if after is not None:
            at = self._moment(after[0])
            # The first of them is what an index, or the order on disk, is of use for.
            conditions += [table.c.time >= at, sa.or_(table.c.time > at, id_ > after[1])]
        query = sa.select(*table.c).where(*conditions).order_by(table.c.time, id_).limit(_ROWS)
        return [dict(zip(COLUMNS, row, strict=True)) for row in store.ask(lambda _: query)]

    def _store(self) -> Store:
        check_installed()
        from gatewaycore.stats.stores import ClickhouseStore, PostgresStore

        return PostgresStore(self.storage) if isinstance(self.storage, PostgresStorage) else ClickhouseStore(self.storage)

    def _table(self) -> FromClause:
        check_installed()
        import sqlalchemy as sa

        from gatewaycore.stats.stores import events_once

        columns = [sa.column(name) if name in ("id", "time", "variables") else sa.column(name, sa.Text()) for name in COLUMNS]
        if isinstance(self.storage, PostgresStorage):
            return sa.table(self.storage.table, *columns, schema=self.storage.schema)
        return events_once(self.storage, columns)

    def _moment(self, at: datetime) -> Any:
        import sqlalchemy as sa

        # Neither driver is left to guess a zone.
        text = sa.literal(f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}" if at.tzinfo else f"{at:%Y-%m-%d %H:%M:%S.%f}", sa.Text())
        if isinstance(self.storage, PostgresStorage):
            return sa.cast(text.concat("+00"), sa.TIMESTAMP(timezone=True))
        return sa.func.toDateTime64(text, sa.literal_column("6"), sa.literal_column("'UTC'"))

    def _conditions(self, table: FromClause, selection: Selection) -> Iterator[ColumnElement[bool]]:
        import sqlalchemy as sa

        from gatewaycore.stats.dialects import Variable

        if selection.since is not None:
            yield table.c.time >= self._moment(selection.since)
        if selection.until is not None:
            yield table.c.time < self._moment(selection.until)
        for name in _CHOICES:
            wanted = [value.replace("\0", "") for value in getattr(selection, name)]
            if wanted:
                yield table.c[name].in_(wanted)
        for name, value in selection.where:
            yield Variable(table.c.variables, sa.literal(name.replace("\0", ""), sa.Text())) == value.replace("\0", "")


def _id(table: FromClause) -> Any:
    import sqlalchemy as sa

    from gatewaycore.stats.dialects import Bytewise

    return Bytewise(sa.cast(table.c.id, sa.Text()))


def _told(row: Mapping[str, Any], columns: Mapping[str, str]) -> list[Any]:
    """Return an event's values as exports have them. Where nothing is known, one of the databases has an empty text."""
    is_pixel = row["package_type"] == _PIXEL_TYPE
    found: list[Any] = []
    for column in columns.values():
        value = row["package" if column in (PACKAGE, PIXEL) else column]
        if column == "id":
            value = str(value)
        elif column == "time":
            value = f"{value.astimezone(UTC) if value.tzinfo else value:%Y-%m-%dT%H:%M:%S.%f}Z"
        elif column == "variables":
            value = msgspec.Raw(_encode(value)) if value else None
        elif column in (PACKAGE, PIXEL) and (column == PIXEL) != is_pixel:
            value = None
        found.append(None if value == "" else value)
    return found
