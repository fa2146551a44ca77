"""The demo: a year that could have been, served as any gateway is."""

from __future__ import annotations

import http.client
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import yaml

from gatewaycore.config import read_config
from gatewaycore.event import Event
from gatewaycore.lint import lint
from gatewaycore.recorder import decode, encode
from gatewaycore.synthetic import Year
from gatewaycore.synthetic.acme import CONFIG, OFFERS
from tests.served import environment

UNTIL = datetime(2026, 11, 26, 11, tzinfo=UTC)
WAIT_S = 60.0


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    return [line for day in Year(12_000, UNTIL).days_of_lines() for line in day]


@pytest.fixture(scope="module")
def events(lines: list[bytes]) -> list[Event]:
    return [decode(line) for line in lines]


def test_the_year_is_one_of_a_recorder_and_ends_now(lines: list[bytes], events: list[Event]) -> None:
    assert len(lines) == 12_000
    assert [msgspec.json.decode(line) for line in lines] == [msgspec.json.decode(encode(event)) for event in events]
    assert len({event.id for event in events}) == 12_000
    assert [event.time for event in events] == sorted(event.time for event in events)
    assert events[0].time.date() in (UNTIL.date() - timedelta(days=days) for days in (364, 363))
    assert UNTIL - timedelta(hours=3) < events[-1].time < UNTIL
    assert lines == [line for day in Year(12_000, UNTIL).days_of_lines() for line in day]


def test_everything_has_its_rule_and_is_asked_for(events: list[Event]) -> None:
    config = read_config(yaml.safe_load(CONFIG.format(data_dir="x", port=1)))
    router = config.compile().router
    assert not list(lint(router))
    assert {event.package for event in events} == {offer.package for offer in OFFERS}
    assert {event.domain for event in events} <= set(router.domains)
    assert {event.package_type for event in events} == {
        "container", "file", "python", "npm", "pixel", "event", "install", "catch-all"
    }  # fmt: skip


def test_versions_are_taken_up_and_given_up(events: list[Event]) -> None:
    of_the_cli = [event for event in events if event.package == "rocket-skates-cli"]
    firsts = {event.version: event.time.date() for event in reversed(of_the_cli)}
    assert firsts["1.1.0"] < firsts["1.3.0"] < firsts["2.1.0"]
    by_quarter = [
        Counter(event.version for event in of_the_cli if (event.time.date() - events[0].time.date()).days // 92 == n) for n in (0, 3)
    ]
    assert by_quarter[0]["1.1.0"] > by_quarter[0]["1.4.0"] == 0
    assert by_quarter[1]["1.1.0"] < by_quarter[1]["2.1.0"]


def test_callers_have_habits(events: list[Event]) -> None:
    by_weekday = Counter(event.time.weekday() for event in events)
    assert by_weekday[6] < by_weekday[1] / 2
    halves = Counter(event.time.date() < date(2026, 5, 28) for event in events)
    assert halves[True] < halves[False]
    for column in ("company", "cloud", "country", "city", "client_version", "os", "agent", "platform", "arch", "page", "confidence"):
        assert len({getattr(event, column) for event in events}) > 2, column
    assert {event.agent for event in events} == {"human", "ci", "unknown", "mirror", "bot", "scanner"}
    # Whoever comes back in a month is known by it, and not in the next.
    of_month = [{event.origin_id for event in events if event.time.month == month} for month in (3, 4)]
    assert not of_month[0] & of_month[1]
    assert len(of_month[0]) < sum(event.time.month == 3 for event in events)


# --- the command -----------------------------------------------------------------------------------------------------------


@contextmanager
def running(*options: object, temporary: Path | None = None) -> Iterator[tuple[subprocess.Popen[str], str, int]]:
    """Start it; give the process, what it said until then, and its port."""
    command = [sys.executable, "-m", "gatewaycore", "demo", "--events", "1500", "--port", "0", *map(str, options)]
    env = environment() | ({"TMPDIR": str(temporary)} if temporary else {})
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env)
    try:
        assert process.stderr is not None
        told = ""
        for line in process.stderr:
            told += line
            if "Ctrl-C" in line:
                break
        found = re.search(r"localhost:(\d+)", told)
        assert found, told
        yield process, told, int(found[1])
    finally:
        process.kill()
        process.wait(10)
        assert process.stderr is not None
        process.stderr.close()


def get(port: int, host: str, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path, headers={"Host": host})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def wait_for(is_so: Callable[[], bool]) -> bool:
    until = time.monotonic() + WAIT_S
    while not is_so() and time.monotonic() < until:
        time.sleep(0.05)
    return is_so()


def test_it_is_served_and_kept_where_it_is_told_to(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    with running("--data-dir", folder) as (process, told, port):
        assert "a year, 1,500 events, in " in told
        assert str(folder / "gateway.yaml") in told
        assert get(port, "get.acme.localhost", "/install.sh")[0] == 302
        assert re.search(r"sign in +gwc_\S{43}\n", told)
        assert get(port, "console.acme.localhost", "/sign-in")[0] == 200
        found = re.search(r"badge +http://badges\.acme\.localhost:\d+(\S+)\n", told)
        assert found, told
        badge = found[1]
        # The Python package has the same name.
        assert "package-type=container" in badge
        counted = re.compile(r'aria-label="downloads: \d+"')
        assert wait_for(lambda: bool(counted.search(get(port, "badges.acme.localhost", badge)[1])))
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT_S) == 0
    with running("--data-dir", folder) as (process, told, _):
        assert "the year that is there" in told
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == 0


def test_a_temporary_folder_goes_with_it(tmp_path: Path) -> None:
    with running(temporary=tmp_path) as (process, _, port):
        assert len(list(tmp_path.glob("gatewaycore-demo-*"))) == 1
        # From its first answer on, an interruption is how it ends.
        assert get(port, "get.acme.localhost", "/install.sh")[0] == 302
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT_S) == 0
    assert not list(tmp_path.glob("gatewaycore-demo-*"))


def test_a_folder_of_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    command = [sys.executable, "-m", "gatewaycore", "demo", "--port", "0", "--data-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=WAIT_S)
    assert done.returncode == 2
    assert "has something else in it" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
