"""A hundred thousand rules, a load that goes on, and a backend that is edited in the file: as the operators of a gateway do it.

How long requests wait is printed, and held against the limit by `python -m benchmarks --only live`, on a machine that does nothing else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from benchmarks import rules

from tests.served import Served

pytestmark = pytest.mark.e2e
COUNT = 100_000
EDITED = 50_000
RATE = 100
START_S = 240.0


def target(number: int, patch: int = 0) -> str:
    return f"get{number % 1000}.acme.com/tool-{number}/1.{patch}.0/tool-{number}-linux.tgz"


def ask(*command: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=START_S).stdout)
    return told


@pytest.mark.parametrize("workers", [1, 2])
def test_an_edited_backend_is_served_and_no_request_fails(tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.served.START_S", START_S)
    file, beside = tmp_path / "gateway.yaml", tmp_path / "new.yaml"
    rules.write_yaml(file, COUNT)
    text = file.read_text() + "sinks: []\n"
    file.write_text(text)
    # One target is asked for whose answer changes, and others whose answers do not.
    targets = [target(EDITED), *(target(number * 7919 % COUNT, patch) for number in range(1, 20) for patch in range(3))]
    with Served(file, tmp_path / "data", ["--workers", str(workers)]) as served:
        command = [sys.executable, "-m", "benchmarks.steady", str(served.port), str(RATE)]
        # The first request is answered when the rules are there.
        assert ask(*command, "1", target(EDITED))["failed"] == []
        load = subprocess.Popen([*command, "20", *targets], stdout=subprocess.PIPE, text=True)
        time.sleep(2)
        beside.write_text(text.replace(f"cdn.acme.com/tool-{EDITED}/", f"new.acme.com/tool-{EDITED}/"))
        edited = time.time()
        os.replace(beside, file)
        told = json.loads(load.communicate(timeout=120)[0])
        seen, _ = told.pop("seen"), told.pop("late")
        assert told["failed"] == []
        changes = seen.pop(targets[0])
        hosts = [location.removeprefix("https://").partition("/")[0] for _, location in changes]
        # Whichever worker answers: with several, there is a moment in which some answer the old way.
        assert (hosts[0], hosts[-1]) == ("cdn.acme.com", "new.acme.com")
        assert all(location.startswith("https://cdn.acme.com/") for answers in seen.values() for _, location in answers)
        sys.stdout.write(f"{workers} workers: served {changes[-1][0] - edited:.2f} s after the edit; waits in ms: {told}\n")
        assert served.errors.count("read again: 100000 routes") == workers

        # A version that cannot be used changes nothing, and is told with its place.
        file.write_text(text.replace('type: "file"', 'type: "fil"', 1))
        deadline = time.monotonic() + 60
        while served.errors.count("unknown type 'fil'") < workers:
            assert time.monotonic() < deadline, served.errors
            time.sleep(0.05)
        assert "gateway.yaml:3: packages[0].type: unknown type 'fil'" in served.errors
        last = ask(*command, "1", target(EDITED))
        assert last["failed"] == []
        assert {location for _, location in last["seen"][target(EDITED)]} == {f"https://new.acme.com/tool-{EDITED}/1.0.0/linux.tgz"}
