"""Servers and clients for one test or one file of tests; where one fails, what its servers said stands in the report."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.e2e.container_clients import CLIENTS
from tests.e2e.origin import Origin
from tests.e2e.pulling import ContainerClient, Room
from tests.e2e.registries import ANN, BOB, Lab, Registry
from tests.e2e.report import Grid, Table
from tests.e2e.running import Client, Programs

_SHOWN = 4000


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    """Servers that end with the test."""
    started = Programs(tmp_path)
    yield started
    started.stop()


@pytest.fixture(scope="module")
def shared_programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    """Servers that end with the last test of the file."""
    started = Programs(tmp_path_factory.mktemp("shared"))
    yield started
    started.stop()


@pytest.fixture(scope="module")
def short_folder() -> Iterator[Path]:
    """A folder whose name is short enough for sockets, and for podman."""
    with TemporaryDirectory(prefix="gc-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def lab(shared_programs: Programs) -> Iterator[Lab]:
    """Certificates and images for registries on loopback."""
    with Lab(shared_programs, shared_programs.folder / "lab") as started:
        yield started


@pytest.fixture(scope="module")
def registries(lab: Lab) -> dict[str, Registry]:
    """One that asks nobody for anything; one whose token server is its own; and one whose is elsewhere, and knows no forms."""
    return {
        "open": lab.registry("open", "127.0.0.2"),
        "own": lab.registry("own", "127.0.0.3", account=ANN, cdn_host="127.0.0.4"),
        "foreign": lab.registry("foreign", "127.0.0.5", account=BOB, realm_host="127.0.0.6", takes_forms=False, cdn_host="127.0.0.7"),
    }


@pytest.fixture(scope="module")
def room(shared_programs: Programs, short_folder: Path, lab: Lab) -> Room:
    """Where container clients work."""
    return Room(short_folder, shared_programs, lab.certificates)


@pytest.fixture(scope="module")
def clients(room: Room) -> Iterator[dict[str, ContainerClient]]:
    """Every container client, its daemon started once."""
    started: dict[str, ContainerClient] = {}
    try:
        for name, make in CLIENTS.items():
            started[name] = make(room)
        yield started
    finally:
        for one in started.values():
            one.close()


@pytest.fixture
def client(tmp_path: Path) -> Client:
    """Runs clients in a folder of the test's own, their home."""
    return Client(tmp_path / "client")


@pytest.fixture
def origin() -> Iterator[Origin]:
    """A file server that is still empty."""
    with Origin() as server:
        yield server


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the logs of the servers to the report of a failed test."""
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        for value in item.funcargs.values():
            if isinstance(value, Programs):
                report.sections += [(str(program.log), program.said()[-_SHOWN:]) for program in value.started]
    return report


_TABLE = pytest.StashKey[Table]()
_GRID = pytest.StashKey[Grid]()


@pytest.fixture(scope="session")
def table(pytestconfig: pytest.Config) -> Table:
    """The table of clients and the figures, which are printed at the end."""
    return pytestconfig.stash.setdefault(_TABLE, Table())


@pytest.fixture(scope="session")
def grid(pytestconfig: pytest.Config) -> Grid:
    """What package managers were seen to do, printed at the end."""
    return pytestconfig.stash.setdefault(_GRID, Grid())


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Let a process of several tell the one that prints what its tests have filled in."""
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        table, grid = session.config.stash.get(_TABLE, Table()), session.config.stash.get(_GRID, Grid())
        output["seen"] = (table.cells, table.figures, grid.cells)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take what a process has told."""
    cells, figures, grid_cells = getattr(node, "workeroutput", {}).get("seen", ({}, (), {}))
    table = node.config.stash.setdefault(_TABLE, Table())
    grid = node.config.stash.setdefault(_GRID, Grid())
    table.figures += figures
    for row, columns in cells.items():
        for column, good in columns.items():
            table.note(row, column, good)
    for row, columns in grid_cells.items():
        for column, seen in columns.items():
            grid.note(row, column, seen)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what tests have filled in."""
    table = config.stash.get(_TABLE, Table())
    grid = config.stash.get(_GRID, Grid())
    installs = [*grid.lines(), "", "each cell: installed, and what the gateway answered when it was asked for the same page again"]
    for title, lines in (
        ("container clients through the gateway", table.lines()),
        ("package managers through the gateway", installs if grid.cells else []),
        ("figures", table.figures),
    ):
        if lines:
            terminalreporter.section(title)
            for line in lines:
                terminalreporter.line(line)
