"""Numbers of badges: asked of real stores, by one process of a node, and kept while a store is down."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
import pytest

from gatewaycore.badge_numbers import StoreNumbers
from gatewaycore.badges.figures import StillAskingError
from gatewaycore.errors import GatewayError
from gatewaycore.event import Event
from gatewaycore.locks import Lock
from gatewaycore.sinks import ClickhouseStorage, LakeStorage, PostgresStorage
from gatewaycore.stats import Source, StoppedError, open_statistics
from gatewaycore.stats.statistics import Statistics
from tests.clickhouse import Clickhouse
from tests.databases import Postgres
from tests.events import lines_of, make_event

NOW = datetime(2026, 11, 10, 15, 30, tzinfo=UTC)
TTL_S = 300.0


def fetched(package: str, days_ago: int, company: str | None = None, **columns: str) -> Event:
    asked = {"kind": "download", "method": "GET", "agent": "human", **columns}
    time = NOW - timedelta(days=days_ago, hours=1)
    return make_event(time=time, status=302, package=package, company=company, company_domain=None, confidence=0.9, **asked)


EVENTS = [
    fetched("cli", 0, "Acme"),
    fetched("cli", 1, "Acme"),
    fetched("cli", 2, "Zebra"),
    fetched("cli", 20, "Quiet"),
    fetched("cli", 200),
    fetched("cli", 900),
    fetched("docs", 3, kind="view"),
    fetched("docs", 3, agent="bot"),
    fetched("docs", 3, method="HEAD"),
]


@attrs.define
class Clock:
    """A clock that is set."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def go(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@attrs.define
class Asking:
    """Opens statistics of a folder, counts how often, and refuses to when it is told to be down."""

    open: Callable[[], Statistics]
    times: int = 0
    is_down: bool = False

    def __call__(self) -> Statistics:
        self.times += 1
        if self.is_down:
            raise GatewayError("the lake cannot be reached")
        return self.open()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def asking(tmp_path: Path) -> Asking:
    lake = LakeStorage(str(tmp_path / "lake"))
    write(lake, EVENTS)
    return Asking(lambda: open_statistics(lake, tmp_path / "journal", tmp_path / "numbers" / "rollups.duckdb"))


def a_store(kind: str, folder: Path, request: pytest.FixtureRequest) -> Source:
    if kind == "lake":
        return LakeStorage(str(folder / "lake"))
    server: Postgres | Clickhouse = request.getfixturevalue(kind)
    return PostgresStorage(url=server.create()) if isinstance(server, Postgres) else ClickhouseStorage(url=server.create())


def write(storage: Source, events: list[Event]) -> None:
    sink = storage.open()
    sink.write(lines_of(events))
    sink.close()


def a_process(asking: Callable[[], Statistics], folder: Path, clock: Clock) -> StoreNumbers:
    return StoreNumbers(asking, folder / "numbers", TTL_S, clock)


@pytest.mark.parametrize("kind", ["lake", "journal", "postgres", "clickhouse"])
def test_numbers_are_those_of_the_counting_policy(kind: str, tmp_path: Path, clock: Clock, request: pytest.FixtureRequest) -> None:
    source: Source | None = None
    if kind == "journal":
        (tmp_path / "journal").mkdir()
        (tmp_path / "journal" / "n-1-1.jsonl").write_bytes(b"".join(lines_of(EVENTS)))
    else:
        source = a_store(kind, tmp_path, request)
        write(source, EVENTS)
    numbers = a_process(lambda: open_statistics(source, tmp_path / "journal"), tmp_path, clock)
    names = ("cli", "docs", "nobody's")
    assert numbers.downloads(names, "all") == {"cli": 6, "docs": 1}
    assert numbers.downloads(names, "day") == {"cli": 1}
    assert numbers.downloads(["cli"], "week") == {"cli": 2}
    assert numbers.downloads(["cli"], "month") == {"cli": 3}
    assert numbers.downloads(["cli"], "year") == {"cli": 4}
    assert numbers.companies(names, "month") == {"cli": 3, "docs": 0}
    assert numbers.companies(["cli"], "all") == {"cli": 3}
    assert numbers.series(names, "week") == {"cli": [0, 0, 0, 0, 0, 1, 1], "docs": [0, 0, 0, 0, 1, 0, 0]}


def test_one_question_is_for_all_packages(asking: Asking, tmp_path: Path, clock: Clock) -> None:
    numbers = a_process(asking, tmp_path, clock)
    assert numbers.downloads(["cli"], "all") == {"cli": 6}
    assert numbers.downloads(["docs"], "all") == {"docs": 1}
    assert asking.times == 1


def test_processes_of_a_node_tell_each_other(asking: Asking, tmp_path: Path, clock: Clock) -> None:
    one, other = a_process(asking, tmp_path, clock), a_process(asking, tmp_path, clock)
    assert one.downloads(["cli"], "all") == {"cli": 6}
    clock.go(TTL_S / 2 - 1)
    assert other.downloads(["cli"], "all") == {"cli": 6}
    assert asking.times == 1


def test_a_number_is_asked_for_again(asking: Asking, tmp_path: Path, clock: Clock) -> None:
    numbers = a_process(asking, tmp_path, clock)
    assert numbers.downloads(["cli"], "all") == {"cli": 6}
    write(LakeStorage(str(tmp_path / "lake")), [fetched("cli", 0)])
    assert numbers.downloads(["cli"], "all") == {"cli": 6}
    clock.go(TTL_S)
    assert numbers.downloads(["cli"], "all") == {"cli": 7}


def test_a_clock_that_is_set_back_keeps_no_number(asking: Asking, tmp_path: Path, clock: Clock) -> None:
    numbers = a_process(asking, tmp_path, clock)
    numbers.downloads(["cli"], "all")
    clock.go(-1)
    numbers.downloads(["cli"], "all")
    assert asking.times == 2


def test_while_another_process_asks_the_old_numbers_stay(asking: Asking, tmp_path: Path, clock: Clock) -> None:
    numbers = a_process(asking, tmp_path, clock)
    assert numbers.downloads(["cli"], "all") == {"cli": 6}
    clock.go(TTL_S)
    asks = Lock(tmp_path / "numbers" / "lock")
    assert asks.take()
    with pytest.raises(StillAskingError, match="another process") as known:
        numbers.downloads(["cli"], "all")
    assert known.value.old == {"cli": 6, "docs": 1}
    with pytest.raises(StillAskingError, match="another process") as unknown:
        numbers.downloads(["cli"], "week")
    assert unknown.value.old is None
    assert asking.times == 1
    asks.let_go()
    assert numbers.downloads(["cli"], "week") == {"cli": 2}


def test_while_the_store_is_down_the_old_numbers_stay(
    asking: Asking, tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    a_process(asking, tmp_path, clock).downloads(["cli"], "all")
    asking.is_down = True
    # As after a restart.
    numbers = a_process(asking, tmp_path, clock)
    for _ in range(3):
        clock.go(TTL_S)
        assert numbers.downloads(["cli"], "all") == {"cli": 6}
    assert caplog.messages == ["the numbers of badges cannot be asked for, and the old ones stay: the lake cannot be reached"]
    asking.is_down = False
    assert numbers.downloads(["cli"], "all") == {"cli": 6}
    asking.is_down = True
    clock.go(TTL_S)
    numbers.downloads(["cli"], "all")
    assert len(caplog.messages) == 2


def test_who_was_stopped_asks_no_more(asking: Asking, tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    numbers = a_process(asking, tmp_path, clock)
    assert numbers.downloads(["cli"], "all") == {"cli": 6}
    numbers.stop()
    clock.go(TTL_S)
    with pytest.raises(StoppedError):
        numbers.downloads(["cli"], "all")
    assert not caplog.records


def test_a_store_that_was_never_there_gives_no_zero(asking: Asking, tmp_path: Path, clock: Clock) -> None:
    asking.is_down = True
    numbers = a_process(asking, tmp_path, clock)
    with pytest.raises(GatewayError, match="the lake cannot be reached"):
        numbers.downloads(["cli"], "all")
    asking.is_down = False
    assert numbers.downloads(["cli"], "all") == {"cli": 6}


@pytest.mark.parametrize("text", ["", "[]", '{"at_s": 1}', '{"at_s":1794324600,"policy":0,"figures":{"cli":1}}'])
def test_a_file_that_cannot_be_used_is_written_anew(text: str, asking: Asking, tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "numbers").mkdir()
    (tmp_path / "numbers" / "downloads-all.json").write_text(text)
    assert a_process(asking, tmp_path, clock).downloads(["cli"], "all") == {"cli": 6}
    assert a_process(asking, tmp_path, clock).downloads(["cli"], "all") == {"cli": 6}
    assert asking.times == 1


def test_a_folder_that_cannot_be_used_says_so(asking: Asking, tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "numbers").write_text("in the way")
    with pytest.raises(GatewayError, match=r"numbers cannot be used: "):
        a_process(asking, tmp_path, clock).downloads(["cli"], "all")


def test_what_is_kept_is_for_its_owner_only(asking: Asking, tmp_path: Path, clock: Clock) -> None:
    a_process(asking, tmp_path, clock).downloads(["cli"], "all")
    folder = tmp_path / "numbers"
    assert folder.stat().st_mode & 0o077 == 0
    assert {path.name for path in folder.iterdir()} >= {"lock", "downloads-all.json", "rollups.duckdb"}
