"""Ten questions about the same files, asked of DuckDB and of ClickHouse, whose answers must be equal to the last unit.

``python -m tests.agreement [--events N] [--folder FOLDER]`` makes events up, writes them into a journal, ships them into a lake, puts that
in order, and asks; it ends with status 1 when two answers differ. ClickHouse is chdb, which opens the table by its own reader of Delta.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from attrs import frozen
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gatewaycore.journal import Journal, JournalSettings
from gatewaycore.shipper import Shipper
from gatewaycore.sinks.lake import LakeSink, LakeStorage, open_lake
from gatewaycore.synthetic import Scene

_CHUNK = 2000
_SHIPPED_BYTES = 128 * 1024 * 1024


@frozen
class Question:
    """One question, in two languages; `{events}` stands for the table.

    A column that a row lacks may be NULL in one engine and '' in the other: both are asked for it as ''. Answers of floating point are sums
    of quarters, which are exact in whatever order they are made.

    Attributes:
        name: in words.
        duckdb: SQL for `open_lake`.
        clickhouse: SQL for chdb.
    """

    name: str
    duckdb: str
    clickhouse: str


_MONTH, _MONTH_THERE = "strftime(time, '%Y-%m')", "formatDateTime(time, '%Y-%m', 'UTC')"
_FIRST = "strftime(min(time), '%Y-%m-%d %H:%M:%S.%f')"
_FIRST_THERE = "formatDateTime(min(time), '%Y-%m-%d %H:%i:%S.%f', 'UTC')"

QUESTIONS = (
    Question(
        "downloads of a package by day",
        "SELECT day::VARCHAR, count(*) FROM {events} WHERE package = 'acme/tool-0' GROUP BY 1 ORDER BY 1",
        "SELECT toString(day), count() FROM {events} WHERE package = 'acme/tool-0' GROUP BY 1 ORDER BY 1",
    ),
    Question(
        "top versions of a package",
        "SELECT coalesce(version, ''), count(*) AS n FROM {events} WHERE package = 'acme/tool-1' GROUP BY 1 ORDER BY n DESC, 1 LIMIT 20",
        "SELECT ifNull(version, ''), count() AS n FROM {events} WHERE package = 'acme/tool-1' GROUP BY 1 ORDER BY n DESC, 1 LIMIT 20",
    ),
    Question(
        "distinct origins a month, one package",
        f"SELECT {_MONTH}, count(DISTINCT origin_id) FROM {{events}} WHERE package = 'acme/tool-2' GROUP BY 1 ORDER BY 1",
        f"SELECT {_MONTH_THERE}, uniqExact(origin_id) FROM {{events}} WHERE package = 'acme/tool-2' GROUP BY 1 ORDER BY 1",
    ),
    Question(
        "distinct origins and endpoints a month, all",
        f"SELECT {_MONTH}, count(DISTINCT origin_id), count(DISTINCT endpoint_id) FROM {{events}} GROUP BY 1 ORDER BY 1",
        f"SELECT {_MONTH_THERE}, uniqExact(origin_id), uniqExact(endpoint_id) FROM {{events}} GROUP BY 1 ORDER BY 1",
    ),
    Question(
        "companies of each package, and how sure that is",
        "SELECT package, count(DISTINCT company), count(company), sum(confidence) FROM {events} GROUP BY 1 ORDER BY 1",
        "SELECT package, uniqExact(company), count(company), sum(confidence) FROM {events} GROUP BY 1 ORDER BY 1",
    ),
    Question(
        "two variables, with those that lack them",
        "SELECT coalesce(variables['platform'], '') AS a, coalesce(variables['channel'], '') AS b, count(*) FROM {events} "
        "GROUP BY 1, 2 ORDER BY 1, 2",
        "SELECT ifNull(variables['platform'], '') AS a, ifNull(variables['channel'], '') AS b, count() FROM {events} "
        "GROUP BY 1, 2 ORDER BY 1, 2",
    ),
    Question(
        "hours of the day in Auckland",
        "SELECT hour(timezone('Pacific/Auckland', time)), count(*) FROM {events} GROUP BY 1 ORDER BY 1",
        "SELECT toHour(time, 'Pacific/Auckland'), count() FROM {events} GROUP BY 1 ORDER BY 1",
    ),
    Question(
        "countries and agents, by kind",
        "SELECT coalesce(country, ''), agent, kind, count(*) FROM {events} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
        "SELECT ifNull(country, ''), agent, kind, count() FROM {events} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
    ),
    Question(
        "bytes of each domain and status, and since when",
        f"SELECT domain, status, sum(bytes)::VARCHAR, max(bytes), {_FIRST} FROM {{events}} GROUP BY 1, 2 ORDER BY 1, 2",
        f"SELECT domain, status, toString(sum(bytes)), max(bytes), {_FIRST_THERE} FROM {{events}} GROUP BY 1, 2 ORDER BY 1, 2",
    ),
    Question(
        "origins by day: new in their month, and come back",
        "WITH seen AS (SELECT origin_id, min(day) AS first FROM {events} GROUP BY 1) "
        "SELECT day::VARCHAR, count(DISTINCT origin_id) FILTER (day = first), count(DISTINCT origin_id) FILTER (day > first) "
        "FROM {events} JOIN seen USING (origin_id) GROUP BY 1 ORDER BY 1",
        "WITH seen AS (SELECT origin_id, min(day) AS first FROM {events} GROUP BY origin_id) "
        "SELECT toString(day), uniqExactIf(origin_id, day = first), uniqExactIf(origin_id, day > first) "
        "FROM {events} AS e JOIN seen USING (origin_id) GROUP BY 1 ORDER BY 1",
    ),
)


@frozen
class Answer:
    """What both engines say.

    Attributes:
        question: that was asked.
        rows: how many, of DuckDB's answer.
        duckdb_ms, clickhouse_ms: how long each took.
        difference: the first two rows that differ; "" when there are none.
    """

    question: Question
    rows: int
    duckdb_ms: float
    clickhouse_ms: float
    difference: str


def fill(folder: Path, scene: Scene, told: Callable[[str], None] = lambda _: None) -> int:
    """Make the events of a scene, and bring them from a journal into the lake in `folder`, sorted; return how many."""
    journal = Journal(folder / "journal", "made-up", JournalSettings(keep_s=0))
    sink = LakeStorage(str(folder / "lake")).open()
    shipper = Shipper(folder / "journal", folder / "cursors", folder / "set-aside", {"lake": sink}, settings=journal.settings)
    if not shipper.acquire():
        raise RuntimeError("nobody else ships there")
    written = shipped = size = 0
    for lines in scene.days_of_lines():
        for begin in range(0, len(lines), _CHUNK):
            part = lines[begin : begin + _CHUNK]
            if not journal.append_all(part):
                raise RuntimeError("the journal is full")
            size += sum(map(len, part))
        written += len(lines)
        if size >= _SHIPPED_BYTES:
            shipped, size = shipped + shipper.ship(), 0
            told(f"{shipped:,} events shipped")
    journal.close()
    shipped += shipper.ship()
    if shipper.failing or shipped != written:
        raise RuntimeError(f"{shipped} of {written} were shipped: {shipper.failing}")
    told(f"{shipped:,} events shipped; the days are sorted")
    _sort(sink, scene)
    shipper.close()
    return written


def _sort(sink: LakeSink, scene: Scene) -> None:
    sink.tidy(datetime.combine(scene.first, datetime.min.time(), UTC) + timedelta(days=scene.days + 2))


def ask(lake: Path) -> Iterator[Answer]:
    """Ask every question of both."""
    import chdb

    # It reads files below the folder that it runs in, and no others.
    before = Path.cwd()
    os.chdir(lake.parent)
    try:
        with open_lake(str(lake)) as connection:
            for question in QUESTIONS:
                query = question.duckdb.replace("{events}", "events")
                ours, our_ms = _timed(lambda asked=query: connection.sql(asked).fetchall())  # type: ignore[misc]
                query = question.clickhouse.replace("{events}", f"deltaLakeLocal('{lake}')")
                theirs, their_ms = _timed(lambda asked=query: _rows(chdb, asked))  # type: ignore[misc]
                yield Answer(question, len(ours), our_ms, their_ms, difference(ours, theirs))
    finally:
        os.chdir(before)


def _rows(chdb: Any, query: str) -> list[Sequence[Any]]:
    rows: list[Sequence[Any]] = json.loads(str(chdb.query(query, "JSONCompact", options={"output_format_json_quote_64bit_integers": "0"})))[
        "data"
    ]
    return rows


def _timed(answer: Callable[[], Any]) -> tuple[Any, float]:
    begin = time.perf_counter()
    rows = answer()
    return rows, (time.perf_counter() - begin) * 1000


def difference(ours: Sequence[Sequence[Any]], theirs: Sequence[Sequence[Any]]) -> str:
    """Return the first two rows that differ, in words; "" when all are equal."""
    for number, (one, other) in enumerate(zip(ours, theirs, strict=False)):
        if list(one) != list(other):
            return f"row {number}: {tuple(one)} and {tuple(other)}"
    return "" if len(ours) == len(theirs) else f"{len(ours)} and {len(theirs)} rows"


def main(arguments: Sequence[str] | None = None) -> int:
    """Make, ship, ask, and print; 1 when an answer differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.agreement", description="Ask ten questions of DuckDB and of ClickHouse.")
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, help="where journal and lake are made for a while; in the temporary folder without it")
    chosen = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="gatewaycore-", dir=chosen.folder)).absolute()
    out = Console(width=140)
    try:
        begin = time.perf_counter()
        count = fill(folder, Scene(chosen.events), lambda text: out.print(text, highlight=False))
        size = sum(file.stat().st_size for file in folder.rglob("*.parquet"))
        out.print(f"{count:,} events in {time.perf_counter() - begin:,.0f} s; files of {size / count:.1f} bytes an event")
        table = Table("question", "rows", "DuckDB ms", "ClickHouse ms", "equal")
        differ = 0
        for answer in ask(folder / "lake"):
            differ += bool(answer.difference)
            table.add_row(
                answer.question.name,
                f"{answer.rows:,}",
                f"{answer.duckdb_ms:,.0f}",
                f"{answer.clickhouse_ms:,.0f}",
                Text(f"no: {answer.difference}" if answer.difference else "yes"),
            )
        out.print(table)
    finally:
        shutil.rmtree(folder)
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
