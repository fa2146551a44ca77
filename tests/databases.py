"""A PostgreSQL of the test's own, from Debian's binaries: in a folder and behind a socket of its own, reachable from nowhere else."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gatewaycore.event import COLUMNS, Event
from tests.e2e.running import DEADLINE_S, environment, freeze, missing

_BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


class Postgres:
    """A server, started and stopped as an operator would.

    Args:
        safe: whether it waits for its disk; without, tests are faster, and what a killed server has acknowledged is there all the same.
    """

    def __init__(self, *, safe: bool = False) -> None:
        if not _BINARIES:
            missing("needs PostgreSQL: apt-get install --no-install-recommends postgresql-15")
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))
        # It does not run as root, and pytest's own folders are closed to everybody else.
        self._as = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self._as:
            shutil.chown(self.folder, "postgres")
        self._run("initdb", "--auth=trust", "--username=gw", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
        settings = f"listen_addresses = ''\nunix_socket_directories = '{self.folder}'\nfsync = {'on' if safe else 'off'}\n"
        with (self.folder / "data" / "postgresql.conf").open("a") as file:
            file.write(settings)
        self._databases = 0
        self.start()

    def _run(self, name: str, *options: str) -> None:
        command = [*self._as, str(_BINARIES[-1] / name), "--pgdata", str(self.folder / "data"), *options]
        env = environment(self.folder / "home")
        done = subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        """Start it, and wait until it answers."""
        # Its output goes to a file: a server that inherits a pipe keeps whoever reads from it waiting.
        self._run("pg_ctl", "start", "--wait", "--silent", "--log", str(self.folder / "data" / "log"))

    def stop(self, mode: str = "immediate") -> None:
        """Stop it as a crash would: connections are cut, and nothing is written down. With "fast", everything is."""
        self._run("pg_ctl", "stop", f"--mode={mode}", "--wait", "--silent")

    def hang(self) -> None:
        """Let it and its children do nothing more, and keep all connections open."""
        self._each(freeze)

    def go_on(self) -> None:
        """Let them go on."""
        self._each(lambda pid: os.kill(pid, signal.SIGCONT))

    def _each(self, do: Callable[[int], None]) -> None:
        pid = int((self.folder / "data" / "postmaster.pid").read_text().splitlines()[0])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for one in (pid, *map(int, children)):
            # Some end meanwhile, or when they are let go on.
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                do(one)

    def create(self, options: str = "") -> str:
        """Make a database, and return its connection string."""
        self._databases += 1
        name = f"db{self._databases}"
        self.ask(self.url("postgres"), f"CREATE DATABASE {name} {options}")
        return self.url(name)

    def url(self, database: str) -> str:
        """Return the connection string of a database."""
        return f"postgresql://gw@/{database}?host={self.folder}"

    def ask(self, url: str, question: str) -> Sequence[tuple[Any, ...]]:
        """Return the rows of an answer."""
        import psycopg

        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(question.encode())
            return cursor.fetchall() if cursor.description else []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.go_on()
        self.stop()
        shutil.rmtree(self.folder)


def stored(server: Postgres, url: str, table: str = "events") -> list[Event]:
    """Return the events that a table holds."""
    columns = ", ".join(f'"{name}"' for name in COLUMNS)
    rows = server.ask(url, f"SELECT {columns} FROM {table} ORDER BY id")
    return [Event(**{**dict(zip(COLUMNS, row, strict=True)), "id": str(row[0])}) for row in rows]
