"""The state: images that were pulled, and how far the counting has come; both or neither."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gatewaycore import state as room
from gatewaycore.errors import GatewayError
from gatewaycore.event import Event
from gatewaycore.state import PulledPackage, State
from tests.pulling import DOMAIN, IMAGE, START_MS, Clock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.sqlite3"


@pytest.fixture
def state(path: Path) -> Iterator[State]:
    made = State(path)
    yield made
    made.close()


def pull(at: int = 1, **columns: Any) -> Event:
    return Clock().add("pull", at, version="T", **columns)


def moment(ms: int) -> datetime:
    return datetime.fromtimestamp((START_MS + ms - 1) / 1000, UTC)


def test_nothing_is_made_before_something_is_kept(state: State, path: Path) -> None:
    assert (state.packages(), state.progress("x")) == ([], None)
    state.close()
    assert not path.exists()


def test_pulls_are_counted_for_each_image(state: State, path: Path) -> None:
    state.save("x", b"one", [pull(5), pull(2, rule="other"), pull(3, package="acme/a")])
    state.save("x", b"two", [pull(9, domain="a.example")])
    assert state.packages() == [
        PulledPackage("a.example", IMAGE, "container", f"{DOMAIN}/{IMAGE}", moment(9), moment(9), 1),
        PulledPackage(DOMAIN, "acme/a", "container", f"{DOMAIN}/{IMAGE}", moment(3), moment(3), 1),
        PulledPackage(DOMAIN, IMAGE, "container", "other", moment(2), moment(5), 2),
    ]
    assert (state.progress("x"), state.progress("y")) == (b"two", None)
    assert path.stat().st_mode & 0o777 == 0o600


def test_another_run_continues(state: State, path: Path) -> None:
    state.save("x", b"one", [pull()])
    state.close()
    again = State(path)
    assert again.progress("x") == b"one"
    again.save("x", b"two", [pull(7)])
    assert [one.pulls for one in again.packages()] == [2]
    again.close()
    again.close()


def test_it_is_both_or_neither(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    state.save("x", b"one", [pull()])
    with pytest.raises(sqlite3.IntegrityError):
        state.save("x", b"two", [pull(2), pull(3, package="new"), pull(4, package=None)])
    assert state.progress("x") == b"one"
    assert [(one.name, one.pulls) for one in state.packages()] == [(IMAGE, 1)]
    # Neither is a name counted that was not kept.
    monkeypatch.setattr(room, "MOST_PACKAGES", 2)
    state.save("x", b"three", [pull(5, package="new")])
    assert len(state.packages()) == 2


def test_a_transaction_that_is_over_already(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(connection: sqlite3.Connection, _: object) -> None:
        # What SQLite does by itself when the disk is full.
        connection.execute("ROLLBACK")
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(state, "_count", full)
    with pytest.raises(sqlite3.OperationalError, match="full"):
        state.save("x", b"one", [pull()])
    monkeypatch.undo()
    state.save("x", b"two", [pull()])
    assert state.progress("x") == b"two"


def test_there_is_an_end_to_names(state: State, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(room, "MOST_PACKAGES", 2)
    state.save("x", b"", [pull(package=str(number)) for number in range(5)])
    state.save("x", b"", [pull(package=str(number)) for number in range(5)])
    assert [(one.name, one.pulls) for one in state.packages()] == [("0", 2), ("1", 2)]
    said = "2 images are known, and no further ones are noted; their pulls are events all the same"
    assert [record.message for record in caplog.records] == [said]
    state.close()
    state.save("x", b"", [pull(package="5")])
    assert len(state.packages()) == 2


@pytest.mark.parametrize("content", [b"no database, and longer than the head of one " * 9, b"SQLite format 3\x00" + b"\xff" * 200])
def test_a_broken_file_is_put_aside(path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    path.write_bytes(content)
    state = State(path)
    with pytest.raises(GatewayError, match=r"state\.sqlite3 cannot be read"):
        state.packages()
    with caplog.at_level(logging.ERROR):
        assert state.progress("x") is None
    state.save("x", b"one", [pull()])
    assert len(state.packages()) == 1
    assert path.with_suffix(".broken").read_bytes() == content
    assert "state.sqlite3 is broken, is put aside" in caplog.text
    state.close()


def test_a_file_that_cannot_be_opened_is_left_alone(path: Path) -> None:
    path.mkdir()
    state = State(path)
    with pytest.raises(IsADirectoryError):
        state.progress("x")
    assert path.is_dir()


def test_a_file_that_is_locked_is_not_broken(state: State, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *arguments, **options: connect(*arguments, **{**options, "timeout": 0}))
    state.save("x", b"one", [])
    other = connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    late = State(path)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        late.save("x", b"two", [])
    other.close()
    late.save("x", b"three", [])
    late.close()
    assert state.progress("x") == b"three"
    # Not even as long as another program holds it for itself.
    fresh = State(path.with_name("fresh.sqlite3"))
    other = connect(path.with_name("fresh.sqlite3"), isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        fresh.progress("x")
    other.close()
    assert fresh.progress("x") is None
    fresh.close()


def test_a_file_without_tables_yet_holds_nothing(state: State, path: Path) -> None:
    path.touch()
    assert state.packages() == []
