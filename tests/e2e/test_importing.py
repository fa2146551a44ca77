"""Imports with the real command line: killed at any point, again and again, and what the lake has in the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from gatewaycore.segments import sizes
from gatewaycore.sinks.lake import LakeStorage, open_lake
from tests.events import lines_of, make_events
from tests.served import environment

pytestmark = pytest.mark.e2e

CONFIG = """\
packages:
  - {name: usage, type: event, domain: in.acme.example, incoming-path: "/v1/{event}"}
"""
LINES, KILLS = 40_000, 10
SECONDS = 300.0


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.yaml"
    path.write_text(CONFIG)
    return path


def command(config: Path, data: Path, verb: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", "gatewaycore", verb, *map(str, arguments), "--config", str(config), "--data-dir", str(data)]


def done(*arguments: str) -> str:
    result = subprocess.run(arguments, env=environment(), capture_output=True, text=True, timeout=SECONDS)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def ship(config: Path, data: Path) -> None:
    done(sys.executable, "-m", "gatewaycore", "ship", str(config), "--once", "--data-dir", str(data))


def written(data: Path) -> int:
    return sum(size for _, size in sizes(data / "journal")) if (data / "journal").exists() else 0


def write_lines(path: Path) -> None:
    began = datetime(2024, 5, 6, tzinfo=UTC)
    with path.open("w") as file:
        for number in range(LINES):
            # Every tenth keeps the same as some before it, and a few are told again under one id.
            moment = (began + timedelta(seconds=number % 10 and number)).isoformat()
            one = {"$time": moment, "$remote_address": f"203.0.113.{number % 250}", "n": number % 10 and number}
            if number % 1000 == 999:
                one |= {"$unique_id": f"u{number // 5000}", "n": number}
            file.write(json.dumps(one) + "\n")


def held(lake: Path) -> list[tuple[str, str]]:
    with open_lake(str(lake)) as connection:
        return connection.sql("SELECT id, variables['n'] FROM events ORDER BY id").fetchall()


def test_an_import_that_is_killed_ten_times_ends_as_one_that_was_not(config: Path, tmp_path: Path) -> None:
    file = tmp_path / "events.ndjson"
    write_lines(file)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    told = done(*command(config, whole, "import", file, "--package", "usage"))
    assert told == "39,968 events imported, 32 left out: a later line has the same $unique_id, 0 failed\n"
    chance, kills = Random(7), 0
    importing = command(config, killed, "import", file, "--package", "usage")
    for _ in range(KILLS):
        # What has come up to where it is killed differs each time: from nothing at all to some thousand lines.
        until = written(killed) + chance.choice([0, 1, chance.randrange(100_000), chance.randrange(2_000_000)])
        process = subprocess.Popen(importing, env=environment(), stdout=subprocess.DEVNULL)
        while process.poll() is None:
            if written(killed) >= until:
                process.send_signal(signal.SIGKILL)
                process.wait(SECONDS)
                kills += 1
                break
            os.sched_yield()
        if chance.random() < 0.3:
            ship(config, killed)
    assert kills == KILLS
    done(*importing)
    for data in (whole, killed):
        ship(config, data)
    rows = held(whole / "lake")
    assert len(rows) == 39_968
    assert held(killed / "lake") == rows
    imports = json.loads(done(*command(config, killed, "imports", "--json")))["imports"]
    assert [(one["status"], one["total"], one["imported"]) for one in imports] == [("done", 40_000, 39_968)]


# In a process between: what this one holds is counted with its own children.
_MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def peak_mib(*arguments: str) -> int:
    """Return the most memory that a command has held, in MiB."""
    return int(done(sys.executable, "-c", _MEASURE, *arguments)) // 1024


def test_what_is_exported_and_imported_is_not_held(config: Path, tmp_path: Path) -> None:
    """Three hundred thousand events, which take several hundred MiB as text."""
    data, other = tmp_path / "data", tmp_path / "other"
    sink = LakeStorage(str(data / "lake")).open()
    for _ in range(6):
        sink.write(lines_of(make_events(50_000)))
    sink.close()
    none = peak_mib(*command(config, data, "export", "--until", "2000-01-01", "-o", tmp_path / "none.csv"))
    for name in ("e.csv", "e.ndjson.gz"):
        file = tmp_path / name
        # The engine reads the table's files by large pieces; the rest is a few thousand rows.
        assert peak_mib(*command(config, data, "export", "-o", file)) < none + 250
        assert peak_mib(*command(config, other, "import", file)) < 250
    ship(config, other)
    with open_lake(str(other / "lake")) as connection:
        assert connection.sql("SELECT count(*), count(DISTINCT id) FROM events").fetchall() == [(300_000, 300_000)]
