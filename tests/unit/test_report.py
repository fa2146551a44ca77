"""``gatewaycore report``: what it tells, in a terminal, as JSON, as a page and as a picture."""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import pytest
from click.testing import Result
from rich.console import Console

from gatewaycore.cli import report as room
from gatewaycore.errors import ConfigError, GatewayError
from gatewaycore.event import Event
from gatewaycore.service import statistics_of
from gatewaycore.sinks import ClickhouseStorage, LakeStorage
from gatewaycore.stats import Filter, open_statistics
from gatewaycore.stats import policy as counting
from gatewaycore.stats.lake import LakeStore
from gatewaycore.stats.periods import whole_days
from gatewaycore.stats.report import ask, draw_page, draw_picture, to_png
from gatewaycore.stats.report.charts import short, ticks_of
from gatewaycore.stats.report.contents import change, heading_of
from gatewaycore.stats.statistics import Statistics
from gatewaycore.stats.stores import ClickhouseStore
from tests.events import lines_of, make_event
from tests.unit.test_cli import run, write

CONFIG = """\
packages:
  - {name: cli, type: file, domain: get.acme.example, incoming-path: "/{version}", outgoing-url: "https://cdn.acme.example/{version}"}
sinks: [lake]
"""
NASTY = "<script>alert(1)</script>&\x1b[31m"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "gateway.yaml", CONFIG)
    return tmp_path


def day(number: int, hour: int = 12) -> datetime:
    return datetime(2026, 10, number, hour, tzinfo=UTC)


def some() -> list[Event]:
    """Return events of October and of a few days before."""
    events = [make_event(time=day(number % 20 + 1), version=f"1.{number % 3}", country="DE", platform=None) for number in range(60)]
    events += [
        make_event(
            time=day(3), kind="pull", package="acme/app", version="7", company="Acme Ltd", company_domain="acme.example", confidence=0.9
        )
    ]
    events += [make_event(time=day(4), kind="view", package="docs", version=None, page=NASTY, country=None)]
    events += [make_event(time=datetime(2026, 9, 5, tzinfo=UTC), version="0.9") for _ in range(10)]
    return events


def keep(events: list[Event]) -> None:
    sink = LakeStorage("gatewaycore-data/lake").open()
    sink.write(lines_of(events))
    sink.close()


def report(*arguments: object) -> Result:
    result = run("report", "gateway.yaml", *arguments)
    assert result.exit_code == 0, result.output
    return result


def stats() -> Statistics:
    return open_statistics(LakeStorage("gatewaycore-data/lake"), Path("gatewaycore-data/journal"))


# --- a terminal and a pipe -------------------------------------------------------------------------------------------------


def test_what_it_tells_a_pipe(here: Path) -> None:
    keep(some())
    told = report("--period", "2026-10", "--tz", "Europe/Berlin").stdout
    head, span, *_ = told.splitlines()
    assert head == "All packages"
    assert span == f"2026-10-01 to 2026-10-31, Europe/Berlin; counting policy {counting.VERSION}"
    assert re.search(r"Downloads +60 +\+500 % +against 2026-09-01 to 2026-09-30\n", told)
    assert re.search(r"Pulls +1 +new\n", told)
    assert re.search(r"Companies +1 +new\n", told)
    assert re.search(r"[▁▂▃▄▅▆▇█]{20} {11}  by day, from 2026-10-01; most: 4 on 2026-10-03\n", told)
    assert re.search(r"Versions\n  1\.0 +20 +32 % +█{24} +new +\d+ sources\n", told)
    assert re.search(r"Acme Ltd +acme.example +1 +1 +1 +2026-10-03 +2026-10-03 +90 %\n", told)
    # Nothing of which nothing is known, and nothing that a terminal obeys.
    assert "Platforms" not in told
    assert "\x1b" not in told


def test_of_one_package_it_tells_who_moved_on_and_not_which_package_it_is(here: Path) -> None:
    keep(some())
    told = report("--period", "2026-10", "--package", "cli").stdout
    assert told.startswith("cli\n")
    assert "Packages" not in told
    assert re.search(r"Who moved on\n +endpoints +stayed +moved on\n  1\.0 +20 ", told)


def test_what_is_asked_for_is_what_is_told(here: Path) -> None:
    keep(some())
    told = report("--period", "2026-10", "--by", "variables.from", "--by", "companies", "--limit", 1).stdout
    assert re.search(r"\nfrom\n  docs +62 ", told)
    assert "Companies (1)" in told
    assert "Versions" not in told
    assert "and 3 more" in report("--period", "2026-10", "--by", "version", "--only", "country=DE", "--limit", 1).stdout
    only = report("--period", "2026-10", "--measure", "view", "--by", "page", "--only", "package=docs").stdout
    assert re.search(r"Views +1 +new", only)
    assert r"<script>alert(1)</script>&\x1b[31m" in only


def test_on_a_terminal_it_has_colours(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(some())
    monkeypatch.setattr(room, "console", lambda: Console(force_terminal=True, width=100, highlight=False, markup=False, emoji=False))
    assert "\x1b[1m" in report("--period", "2026-10").stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "There are no events yet."),
        (("--package", "cli"), "There are no events of cli yet."),
        (("--period", "all"), "There are no events yet."),
    ],
)
def test_before_the_first_event_it_is_friendly(here: Path, arguments: tuple[str, ...], told: str) -> None:
    assert told in report(*arguments).stdout


def test_where_the_period_is_empty_it_says_what_to_try(here: Path) -> None:
    keep(some())
    assert "the first event is of 2026-09-05" in report("--period", "2025").stdout
    assert "--period all" in report("--period", "2026-10-30").stdout
    assert re.search(r"Downloads +70\n", report("--period", "all").stdout)


def test_what_was_recorded_a_moment_ago_is_in_it(here: Path) -> None:
    keep(some())
    folder = here / "gatewaycore-data/journal"
    folder.mkdir()
    (folder / "n-1-1.jsonl").write_bytes(b"".join(lines_of([make_event(time=day(31), version="2.0")])))
    assert re.search(r"  2\.0 +1 ", report("--period", "2026-10", "--by", "version").stdout)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--period", "soon"), "'soon' is no period"),
        (("--by", "colour"), "'colour' is nothing to tell events by"),
        (("--tz", "Mars"), "'Mars' is no time zone"),
        (("--only", "country"), "'country' is no pair"),
        (("--sink", "postgres"), "'postgres' is no sink that can be asked"),
    ],
)
def test_what_cannot_be_asked_is_said(here: Path, arguments: tuple[str, ...], problem: str) -> None:
    result = run("report", "gateway.yaml", *arguments)
    assert result.exit_code == 2
    assert problem in result.stderr


# --- files -----------------------------------------------------------------------------------------------------------------


def test_json_has_everything_that_makes_a_number_comparable(here: Path) -> None:
    keep(some())
    told: dict[str, Any] = json.loads(report("--period", "2026-10", "--json").stdout)
    totals = told["totals"]
    assert (totals["policy"], totals["now"]["downloads"], totals["before"]["downloads"]) == (counting.VERSION, 60, 10)
    assert totals["period"]["until"] == "2026-11-01T00:00:00+00:00"
    assert totals["filter"]["agents"] == list(counting.AGENTS)
    assert len(told["series"]["points"]) == 31
    assert told["companies"]["companies"][0]["last_seen"] == "2026-10-03T12:00:00+00:00"


def test_pieces_of_a_period_have_every_number(here: Path) -> None:
    keep(some())
    told = json.loads(report("--period", "2026-10", "--unit", "month", "--json").stdout)
    (piece,) = told["series"]["points"]
    assert piece["figures"] == told["totals"]["now"]
    assert piece["figures"]["companies"]


def test_a_page_needs_nobody_else_and_says_nothing_that_a_browser_obeys(here: Path) -> None:
    keep(some())
    assert report("--period", "2026-10", "--html", "report.html").stdout == ""
    page = (here / "report.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert not re.search(r"(src|href)=|url\(|@import|https?:", page)
    assert "Counting policy 1." in page
    assert "Compared with 2026-09-01 to 2026-09-30, UTC." in page
    ElementTree.fromstring(re.search(r"<svg.*?</svg>", page, re.DOTALL)[0])  # type: ignore[index]
    report("--period", "2026-10", "--package", "cli", "--limit", 1, "--html", "cli.html")
    one = (here / "cli.html").read_text()
    assert "Who moved on" in one
    assert "and 2 more" in one
    report("--period", "2025", "--html", "empty.html")
    assert "the first event is of 2026-09-05" in (here / "empty.html").read_text()


def test_a_picture(here: Path) -> None:
    keep(some())
    report("--period", "2026-10", "--png", "report.png")
    assert (here / "report.png").read_bytes().startswith(b"\x89PNG\r\n")
    period = whole_days(date(2026, 10, 1), date(2026, 10, 31), ZoneInfo("UTC"), "test")
    with_companies = draw_picture(ask(stats(), period, Filter()))
    assert "Acme Ltd" in "".join(ElementTree.fromstring(with_companies).itertext())
    assert "Compared with" in with_companies
    assert "Acme" not in draw_picture(ask(stats(), period, Filter(packages=("cli",))))
    empty = draw_picture(ask(stats(), whole_days(date(2026, 1, 1), date(2026, 1, 1), ZoneInfo("UTC"), "x"), Filter()))
    assert "Nothing counts" in "".join(ElementTree.fromstring(empty).itertext())


def test_a_picture_without_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(GatewayError, match=r"pictures need gatewaycore\[console\]"):
        to_png("<svg/>")


def test_a_day_that_goes_on_is_drawn_as_such(here: Path) -> None:
    now = datetime.now(UTC)
    keep([make_event(time=now - timedelta(minutes=1)), make_event(time=now - timedelta(days=1))])
    told = report("--json").stdout
    assert json.loads(told)["totals"]["now"]["downloads"] == 2
    report("--html", "report.html")
    assert 'opacity="0.45"' in (here / "report.html").read_text() or now.hour == now.minute == 0


# --- numbers in words ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "before", "told"),
    [
        (5, None, ""),
        (0, 0, ""),
        (5, 0, "new"),
        (5, 5, "±0 %"),
        (112, 100, "+12 %"),
        (0, 5, "-100 %"),
        (1004, 1000, "+0.4 %"),
        (996, 1000, "-0.4 %"),
        (5000, 10, "x500"),
    ],
)
def test_a_change_in_words(now: int, before: int | None, told: str) -> None:
    assert change(now, before) == told


@pytest.mark.parametrize(
    ("most", "ticks"), [(1, [0, 1]), (4, [0, 1, 2, 3, 4]), (7, [0, 2, 4, 6, 8]), (81, [0, 50, 100]), (1338, [0, 500, 1000, 1500])]
)
def test_the_lines_of_an_axis(most: int, ticks: list[int]) -> None:
    assert ticks_of(most) == ticks


def test_numbers_of_an_axis_are_short() -> None:
    assert [short(number) for number in (0, 950, 1000, 1500, 20_000, 3_000_000, 10**9)] == ["0", "950", "1k", "1.5k", "20k", "3M", "1G"]


def test_headings() -> None:
    assert [heading_of(name) for name in ("version", "country", "client_version", "variables.plan", "agent")] == [
        "Versions", "Countries", "Client versions", "plan", "Who",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("first", "last", "unit"),
    [("2026-10-01", "2026-10-02", "hour"), ("2026-01-01", "2026-10-02", "week"), ("2024-01-01", "2026-10-02", "month")],
)
def test_pages_of_long_and_short_periods(here: Path, first: str, last: str, unit: str) -> None:
    keep(some())
    period = whole_days(date.fromisoformat(first), date.fromisoformat(last), ZoneInfo("UTC"), "test")
    page = draw_page(ask(stats(), period, Filter()), day(31))
    assert f"By {unit}" in page


# --- which store is asked --------------------------------------------------------------------------------------------------


def settings(here: Path, sinks: str) -> Any:
    from gatewaycore.config import read_config

    return read_config(write(here / "other.yaml", CONFIG.replace("sinks: [lake]\n", sinks)))


def test_the_lake_is_asked_before_other_sinks(here: Path) -> None:
    config = settings(here, "sinks:\n  - {type: clickhouse, url: 'http://127.0.0.1:1/db'}\n  - lake\n")
    assert isinstance(statistics_of(config, here)._store, LakeStore)
    assert isinstance(statistics_of(config, here, "clickhouse")._store, ClickhouseStore)


def test_the_journal_is_asked_where_no_sink_can_be(here: Path) -> None:
    (here / "journal").mkdir()
    (here / "journal" / "n-1-1.jsonl").write_bytes(b"".join(lines_of(some())))
    found = statistics_of(settings(here, "sinks: [jsonl]\n"), here)
    period = whole_days(date(2026, 10, 1), date(2026, 10, 31), ZoneInfo("UTC"), "test")
    assert found.totals(period).now.downloads == 60
    found.close()


def test_the_extra_that_is_missing_is_named(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatewaycore.stats.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"gatewaycore\[stats\]"):
        open_statistics(None, here)
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "clickhouse_connect.cc_sqlalchemy.dialect", None)
    with pytest.raises(ConfigError, match=r"gatewaycore\[clickhouse\]"):
        open_statistics(ClickhouseStorage(url="http://127.0.0.1:1/db"), here)
