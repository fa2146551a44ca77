"""Live: what running requests notice when the backend of one rule of many is edited in the file, served as operators serve it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import rules
from benchmarks.room import ROOT, Effort, Figure

GROUP = "live"
RATE = 500
_LIMIT_MS = 50.0
_LIMIT_S = 2.0
_START_S = 300.0


def run(effort: Effort) -> Iterator[Figure]:
    """Yield the figures."""
    count = 10_000 if effort == "quick" else 100_000
    with tempfile.TemporaryDirectory(prefix="gatewaycore-bench-") as folder:
        file = Path(folder) / "gateway.yaml"
        rules.write_yaml(file, count)
        text = file.read_text() + "sinks: []\n"
        file.write_text(text)
        command = [sys.executable, "-m", "gatewaycore", "serve", str(file), "--data-dir", f"{folder}/data", "--port", "0"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) as server:
            try:
                yield from _edited(port_of(server), file, text, count)
            finally:
                server.terminate()


def port_of(server: subprocess.Popen[str]) -> int:
    """Return where a server listens, when it does."""
    assert server.stderr is not None
    for line in server.stderr:
        if line.split()[:1] == ["url"]:
            return int(line.split()[1].rpartition(":")[2])
    raise RuntimeError("it did not start")


def _edited(port: int, file: Path, text: str, count: int) -> Iterator[Figure]:
    targets = [_target(count // 2), *(_target(number * 7919 % count, patch) for number in range(1, 40) for patch in range(5))]
    # Answered when the rules are there.
    _steady(port, 1, targets[:1]).communicate(timeout=_START_S)
    load = _steady(port, 12, targets)
    time.sleep(4)
    beside = file.with_suffix(".new")
    beside.write_text(text.replace(f"cdn.acme.com/tool-{count // 2}/", f"new.acme.com/tool-{count // 2}/"))
    edited = time.time()
    os.replace(beside, file)
    told = json.loads(load.communicate(timeout=120)[0])
    changed = [at for at, location in told["seen"][targets[0]] if "new.acme.com" in location]
    late = max((wait for at, wait in told["late"] if at < edited), default=0.0)
    what = f"one rule of {count:,} edited under {RATE} requests/s"
    taken = changed[0] - edited if changed else None
    yield Figure(GROUP, f"{what}: served after", taken, "s", budget="at most 2 s", met=taken is not None and taken <= _LIMIT_S)
    met = told["longest"] <= _LIMIT_MS
    note = f"{told['p50']} ms in the middle, {told['p99.9']} ms of 99.9 %; before the edit at most {late or 'under 20'} ms"
    yield Figure(GROUP, f"{what}: longest wait", told["longest"], "ms", budget="at most 50 ms", met=met, note=note)
    failed = len(told["failed"])
    yield Figure(GROUP, f"{what}: requests that failed", failed, budget="0", met=not failed, note=f"of {told['sent']:,}")


def _steady(port: int, seconds: int, targets: list[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.steady", str(port), str(RATE), str(seconds), *targets]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def _target(number: int, patch: int = 0) -> str:
    return f"get{number % 1000}.acme.com/tool-{number}/1.{patch}.0/tool-{number}-linux.tgz"
