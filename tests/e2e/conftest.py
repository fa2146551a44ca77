"""Servers and clients for one test or one file of tests; where one fails, what its servers said stands in the report."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.e2e.origin import Origin
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
