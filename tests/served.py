"""A gateway in a process of its own, on loopback, as its users run it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import gatewaycore

SOURCES = Path(gatewaycore.__file__).parent.parent
START_S = 30.0


def environment() -> dict[str, str]:
    """Return an environment in which this very gatewaycore is found, installed or not."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(SOURCES), os.environ.get("PYTHONPATH", "")]), "PYTHONWARNINGS": "error"}


class Served:
    """``gatewaycore serve`` in a process group of its own, from its banner on.

    Args:
        config: the gateway.yaml.
        data_dir: where it keeps everything.
        options: further options; ``--port 0`` unless they name one.
    """

    def __init__(self, config: Path, data_dir: Path, options: Sequence[str] = ()) -> None:
        command = [sys.executable, "-m", "gatewaycore", "serve", str(config), "--data-dir", str(data_dir), "--port", "0", *options]
        self.data_dir = data_dir
        self.lines: list[str] = []
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment(), start_new_session=True)
        self._banner = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._banner.wait(START_S) or self.url is None:
            self.kill()
            raise AssertionError(f"it did not start: {self.errors}")

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if line.lstrip().startswith("journal") or '"message": "serving"' in line:
                self._banner.set()
        self._banner.set()

    @property
    def errors(self) -> str:
        """What was written on standard error so far."""
        return "".join(self.lines)

    @property
    def url(self) -> str | None:
        """Where it is served."""
        found = re.search(r"https?://\S+?:\d+", self.errors)
        return found and found[0]

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(str(self.url).rpartition(":")[2])

    def events(self) -> list[dict[str, Any]]:
        """Return the events in the journal, whole lines only, as a shipper would read them."""
        found = []
        for segment in sorted((self.data_dir / "journal").glob("*.jsonl")):
            whole = segment.read_bytes().rpartition(b"\n")[0]
            found += [json.loads(line) for line in whole.splitlines()]
        return found

    def workers(self) -> list[int]:
        """Return its workers, among its children."""
        parent, found = self.process.pid, []
        for number in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if b"spawn_main" in Path(f"/proc/{number}/cmdline").read_bytes():
                    found.append(int(number))
        return found

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process that was started."""
        self.process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout_s: float = 30.0) -> int:
        """End it in order; return its status."""
        self.send(number)
        status = self.process.wait(timeout_s)
        self._reader.join(5)
        return status

    def kill(self) -> None:
        """Kill it and its workers, all at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        self._reader.join(5)
        if self.process.stderr is not None:
            self.process.stderr.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()
