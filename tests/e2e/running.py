"""Programs on loopback: looked for, started, waited for and ended by the test that wants them.

Servers take a free port by themselves and say which; nobody guesses one that another program may have taken meanwhile.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml
from attrs import frozen

import gatewaycore
from gatewaycore.counting import LATENESS_MS
from gatewaycore.event import Event
from gatewaycore.pulls import QUIET_MS
from gatewaycore.recorder import decode
from gatewaycore.segments import read_lines, segments
from tests.e2e import apps

DEADLINE_S = 90.0
"""For everything that is waited for: far beyond what a busy machine needs."""

_REPOSITORY = Path(__file__).parents[2]
_IMPORTED_FROM = Path(gatewaycore.__file__).parents[1]
_PAUSE_S = 0.02


def missing(what: str) -> NoReturn:
    """Skip the test, or fail where nothing may be skipped.

    Args:
        what: is missing, and how to install it.
    """
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


def freeze(pid: int) -> None:
    """Let a program do nothing more, until it gets SIGCONT. Its threads stop one after another: without a look, one may still answer."""
    os.kill(pid, signal.SIGSTOP)
    end = time.monotonic() + DEADLINE_S
    while not all(stat.read_text().rpartition(")")[2].split()[0] in "TZ" for stat in Path(f"/proc/{pid}/task").glob("*/stat")):
        assert time.monotonic() < end, f"{pid} does not stop"
        time.sleep(_PAUSE_S)


def tool(name: str, package: str) -> str:
    """Return the path of a program of a Debian package."""
    path = shutil.which(name)
    return path or missing(f"needs {name}: apt-get install --no-install-recommends {package}")


def module(name: str, package: str | None = None) -> list[str]:
    """Return the command of a program that is a Python module."""
    if importlib.util.find_spec(name) is None:
        missing(f"needs {name}: pip install {package or name}")
    return [sys.executable, "-m", name]


def root() -> None:
    """Skip what only root may do."""
    if os.geteuid() != 0:
        missing("needs root, which unpacks and mounts images")


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return an environment without anything of this machine's: no proxies, and no configuration of any client."""
    home.mkdir(parents=True, exist_ok=True)
    python_path = os.pathsep.join(map(str, (_IMPORTED_FROM, _REPOSITORY)))
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PYTHONPATH": python_path,
        "PYTHONUNBUFFERED": "1",
        **more,
    }


@frozen
class Finished:
    """A program that has ended.

    Attributes:
        status: its exit status.
        output: its standard output.
        said: its standard error, as text.
    """

    status: int
    output: bytes
    said: str

    @property
    def text(self) -> str:
        """The standard output, as text."""
        return self.output.decode()


class Client:
    """Runs clients, each with an environment of this test's own.

    Args:
        home: their home directory.
    """

    def __init__(self, home: Path, **more: str) -> None:
        self.home = home
        self.env = environment(home, **more)

    def run(self, *command: str) -> Finished:
        """Run a client, which succeeds."""
        finished = self.attempt(*command)
        assert finished.status == 0, f"{' '.join(command)}: status {finished.status}\n{finished.said}\n{finished.output[-2000:]!r}"
        return finished

    def attempt(self, *command: str) -> Finished:
        """Run a client, whatever becomes of it."""
        nothing = subprocess.DEVNULL
        done = subprocess.run(command, env=self.env, cwd=self.home, stdin=nothing, capture_output=True, timeout=DEADLINE_S, check=False)
        return Finished(done.returncode, done.stdout, done.stderr.decode(errors="replace"))


class Program:
    """A server in a process of its own.

    Args:
        command: what to run; it stays in the foreground.
        log: where all of its output goes.
        env: its environment.
    """

    def __init__(self, command: Sequence[str], log: Path, env: Mapping[str, str]) -> None:
        self.log = log
        with log.open("ab") as sink:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, env=env, cwd=log.parent, start_new_session=True
            )

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def said(self) -> str:
        """Return its output so far."""
        return self.log.read_text(errors="replace")

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait until its output holds `pattern`."""
        end = time.monotonic() + DEADLINE_S
        while True:
            over = self._process.poll() is not None or time.monotonic() > end
            found = re.search(pattern, self.said())
            if found:
                return found
            assert not over, f"{self.log.name} holds no {pattern!r} (status {self._process.returncode}):\n{self.said()}"
            time.sleep(_PAUSE_S)

    def listen(self, pattern: str, host: str = "127.0.0.1") -> int:
        """Wait until it has told its port, the pattern's group, and answers there; return the port."""
        port = int(self.wait_for(pattern)[1])
        end = time.monotonic() + DEADLINE_S
        while True:
            with suppress(OSError), socket.create_connection((host, port), timeout=DEADLINE_S):
                return port
            assert time.monotonic() < end, f"nobody listens on port {port}:\n{self.said()}"
            time.sleep(_PAUSE_S)

    def stop(self) -> int:
        """End it, as an operator would, with its children; return its exit status. Safe to call twice."""
        self._process.terminate()
        try:
            return self._process.wait(timeout=DEADLINE_S)
        finally:
            # Workers whose parent is gone would outlive the test.
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(timeout=DEADLINE_S)


@frozen(eq=False)
class Gateway:
    """A gateway that is being served.

    Attributes:
        program: the server.
        port: where it listens on 127.0.0.1.
        data_dir: what it keeps.
        scheme: "http" or "https".
        host: the domain that the packages have.
    """

    program: Program
    port: int
    data_dir: Path
    scheme: str = "http"
    host: str = "localhost"

    @property
    def authority(self) -> str:
        """Its host and port."""
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """Its origin, under the domain that the tests' packages have."""
        return f"{self.scheme}://{self.authority}"

    def events(self) -> list[Event]:
        """Return what its journal holds of requests; whatever a client has had answered is there."""
        return [event for event in self._journal() if event.kind != "pull"]

    def pulls(self, count: int) -> list[Event]:
        """Wait for so many pulls, and for as long again as one takes to be counted: there should be no more. Return those there are."""
        end = time.monotonic() + DEADLINE_S
        while len(self._pulls()) < count and time.monotonic() < end:
            time.sleep(_PAUSE_S)
        time.sleep((QUIET_MS + LATENESS_MS) / 1000 + 2)
        return self._pulls()

    def _pulls(self) -> list[Event]:
        return [event for event in self._journal() if event.kind == "pull"]

    def _journal(self) -> list[Event]:
        lines = [line for segment in segments(self.data_dir / "journal") for line in read_lines(segment, limit_bytes=1 << 30)[0]]
        return sorted(map(decode, lines), key=lambda event: event.id)


class Programs:
    """The servers of one test, or of the tests of one file.

    Args:
        folder: for their logs and data.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[Program] = []
        self._env = environment(folder / "home")

    def start(self, name: str, command: Sequence[str], **env: str) -> Program:
        """Start a server; its log is called `name`."""
        program = Program(command, self.folder / f"{name}.log", {**self._env, **env})
        self.started.append(program)
        return program

    def configure(self, config: Mapping[str, Any], name: str = "gateway") -> Path:
        """Write a gateway.yaml. Its data-dir is the folder `name`, and there are no sinks unless `config` has some."""
        file = self.folder / f"{name}.yaml"
        settings = {"data-dir": str(self.folder / name), **config.get("gateway", {})}
        file.write_text(yaml.safe_dump({"sinks": [], **config, "gateway": settings}))
        return file

    def serve(
        self, config: Mapping[str, Any], *options: str, name: str = "gateway", host: str = "localhost", env: Mapping[str, str] | None = None
    ) -> Gateway:
        """Serve a gateway with this configuration, and these options of ``gatewaycore serve``, on a host of this machine."""
        file = self.configure(config, name)
        address = "127.0.0.1" if host == "localhost" else host
        command = [*module("gatewaycore"), "serve", str(file), "--host", address, "--port", "0", *options]
        program = self.start(name, command, **(env or {}))
        scheme = "https" if "--tls-cert" in options else "http"
        port = program.listen(rf"{scheme}://{re.escape(address)}:(\d+)", address)
        return Gateway(program, port, self.folder / name, scheme, host)

    def serve_below_a_mount(self, config: Mapping[str, Any]) -> Gateway:
        """Serve a site with a gateway of this configuration below `apps.PREFIX`."""
        module("starlette")
        command = [*module("uvicorn"), "--factory", "tests.e2e.apps:mounted", "--host", "127.0.0.1", "--port", "0", "--no-access-log"]
        site = self.start("site", command, **{apps.CONFIG: str(self.configure(config))})
        return Gateway(site, site.listen(r"http://127\.0\.0\.1:(\d+)"), self.folder / "gateway")

    def stop(self) -> None:
        """End all of them, the last first."""
        while self.started:
            self.started.pop().stop()
