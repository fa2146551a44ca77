"""Salts: short-lived, shared by a node's processes, and gone for good afterwards."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gatewaycore import salts as room
from gatewaycore.salts import Rotation, Salts


def ns(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp()) * 1_000_000_000  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("rotation", "now", "until", "name"),
    [
        ("month", (2026, 11, 22, 8), (2026, 12, 1), "2026-11-01"),
        ("month", (2026, 12, 31, 23, 59, 59), (2027, 1, 1), "2026-12-01"),
        ("month", (2027, 1, 1), (2027, 2, 1), "2027-01-01"),
        ("month", (2028, 2, 29, 12), (2028, 3, 1), "2028-02-01"),
        ("month", (2026, 1, 31), (2026, 2, 1), "2026-01-01"),
        ("day", (2026, 11, 22, 8), (2026, 11, 23), "2026-11-22"),
        ("day", (2026, 12, 31, 23), (2027, 1, 1), "2026-12-31"),
        ("day", (2028, 2, 28, 1), (2028, 2, 29), "2028-02-28"),
    ],
)
def test_a_key_is_over_with_its_month_or_day(
    tmp_path: Path, rotation: Rotation, now: tuple[int, ...], until: tuple[int, ...], name: str
) -> None:
    salts = Salts(tmp_path / "salts", rotation)
    salts.rotate(ns(*now))
    assert salts.until_ns == ns(*until)
    assert len(salts.key) == 32
    (kept,) = (tmp_path / "salts").iterdir()
    assert (kept.name, kept.read_bytes()) == (f"{name}.salt", salts.key)
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_key_stays_until_it_is_over(tmp_path: Path) -> None:
    salts = Salts(tmp_path)
    salts.rotate(ns(2026, 11, 22))
    first = salts.key
    salts.rotate(ns(2026, 12, 1) - 1)
    assert salts.key == first
    salts.rotate(ns(2026, 12, 1))
    assert salts.key != first
    assert [path.name for path in tmp_path.iterdir()] == ["2026-12-01.salt"]


def test_an_old_key_is_overwritten_before_it_is_removed(tmp_path: Path) -> None:
    salts = Salts(tmp_path)
    salts.rotate(ns(2026, 11, 22))
    # Another name of the same file: what a copy of the directory entry would still lead to.
    os.link(tmp_path / "2026-11-01.salt", tmp_path / "elsewhere")
    salts.rotate(ns(2026, 12, 22))
    assert (tmp_path / "elsewhere").read_bytes() == bytes(32)
    assert not (tmp_path / "2026-11-01.salt").exists()


def test_keys_of_days_do_not_outlive_a_change_to_months(tmp_path: Path) -> None:
    Salts(tmp_path, "day").rotate(ns(2026, 11, 21))
    Salts(tmp_path, "month").rotate(ns(2026, 11, 22))
    assert [path.name for path in tmp_path.iterdir()] == ["2026-11-01.salt"]
    Salts(tmp_path, "day").rotate(ns(2026, 11, 23))
    assert [path.name for path in tmp_path.iterdir()] == ["2026-11-23.salt"]


def test_a_process_with_a_slow_clock_leaves_newer_keys_alone(tmp_path: Path) -> None:
    Salts(tmp_path).rotate(ns(2026, 12, 1))
    Salts(tmp_path).rotate(ns(2026, 11, 30))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2026-11-01.salt", "2026-12-01.salt"]


def test_a_clock_that_was_years_ahead_keeps_no_key_for_years(tmp_path: Path) -> None:
    """A machine without a battery begins anywhere, and its clock is set a minute later."""
    salts = Salts(tmp_path, "day")
    salts.rotate(ns(2035, 1, 1))
    ahead = salts.key
    salts.rotate(ns(2026, 11, 22, 8))
    assert (salts.key != ahead, salts.until_ns) == (True, ns(2026, 11, 23))
    assert [path.name for path in tmp_path.iterdir()] == ["2026-11-22.salt"]


def test_a_clock_that_is_set_back_by_minutes_keeps_its_key(tmp_path: Path) -> None:
    salts = Salts(tmp_path)
    salts.rotate(ns(2026, 12, 1))
    first = salts.key
    salts.rotate(ns(2026, 11, 30, 23, 50))
    assert salts.key == first
    assert [path.name for path in tmp_path.iterdir()] == ["2026-12-01.salt"]


def test_a_nodes_processes_share_a_key(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from gatewaycore.salts import Salts
salts = Salts(Path(sys.argv[1]))
salts.rotate(int(sys.argv[2]))
print(salts.key.hex())
"""
    asked = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(ns(2026, 11, 22))], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    keys = {process.communicate(timeout=60)[0] for process in asked}
    assert len(keys) == 1
    assert keys == {(tmp_path / "2026-11-01.salt").read_bytes().hex() + "\n"}


def rotated_at_once(folder: Path) -> Sequence[Salts]:
    """Return the salts of several threads that have all taken the key of one period at the same time."""
    every = [Salts(folder) for _ in range(8)]
    began = threading.Barrier(len(every))

    def rotate(salts: Salts) -> None:
        began.wait()
        salts.rotate(ns(2026, 11, 22))

    threads = [threading.Thread(target=rotate, args=(salts,)) for salts in every]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return every


def test_threads_share_a_key(tmp_path: Path) -> None:
    every = rotated_at_once(tmp_path)
    assert len({salts.key for salts in every}) == 1


def test_without_a_folder_a_key_lives_in_memory_only() -> None:
    one, two = Salts(None), Salts(None, "day")
    for salts in (one, two):
        salts.rotate(ns(2026, 11, 22))
    assert len(one.key) == 32
    assert one.key != two.key


@pytest.mark.parametrize("left", [b"", b"short", bytes(33)], ids=len)
def test_a_key_that_was_cut_short_is_made_anew_by_one_for_all(tmp_path: Path, left: bytes, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "2026-11-01.salt"
    file.write_bytes(left)
    every = rotated_at_once(tmp_path)
    assert {salts.key for salts in every} == {file.read_bytes()}
    assert len(every[0].key) == 32
    assert caplog.messages == ["2026-11-01.salt holds no whole key and is made anew: identifiers change within their period"]
    assert (file.stat().st_mode & 0o777, list(tmp_path.iterdir())) == (0o600, [file])


def test_whoever_waited_to_make_a_key_anew_takes_the_one_that_is_there_by_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file, made = tmp_path / "2026-11-01.salt", bytes(range(32))
    file.write_bytes(b"")
    monkeypatch.setattr(fcntl, "flock", lambda *_: file.write_bytes(made))
    salts = Salts(tmp_path)
    salts.rotate(ns(2026, 11, 22))
    assert (salts.key, file.read_bytes(), list(tmp_path.iterdir())) == (made, made, [file])
    assert caplog.messages == []


def test_a_failing_disk_costs_no_key(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    salts = Salts(tmp_path / "salts")
    (tmp_path / "salts").rmdir()
    salts.rotate(ns(2026, 11, 22))
    assert len(salts.key) == 32
    assert salts.until_ns == ns(2026, 12, 1)
    assert "cannot be kept on disk" in caplog.text
    assert salts.key.hex() not in caplog.text


def test_an_old_key_that_cannot_be_destroyed_is_said_and_the_new_one_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    Salts(tmp_path).rotate(ns(2026, 11, 22))

    def fail(_: Any) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    one, two = Salts(tmp_path), Salts(tmp_path)
    for salts in (one, two):
        salts.rotate(ns(2026, 12, 1))
    assert one.key == two.key
    assert "cannot be destroyed" in caplog.text
    monkeypatch.undo()
    Salts(tmp_path).rotate(ns(2026, 12, 2))
    assert [path.name for path in tmp_path.iterdir()] == ["2026-12-01.salt"]


def test_another_process_may_destroy_an_old_key_first(tmp_path: Path) -> None:
    room._destroy(tmp_path / "gone.salt")


def test_an_old_key_is_gone_from_disk_and_memory(tmp_path: Path) -> None:
    for salts in (Salts(tmp_path, "day"), Salts(None, "day")):
        salts.rotate(ns(2026, 11, 22))
        key = salts.key
        salts.rotate(ns(2026, 11, 23))
        # No more is held of it than of a key that nobody but this test has seen.
        alone = os.urandom(32)
        assert sys.getrefcount(key) == sys.getrefcount(alone)
        assert key not in [path.read_bytes() for path in tmp_path.iterdir()]
