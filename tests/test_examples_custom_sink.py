"""The example of a sink in a distribution of its own: it keeps the contract, and joins through its entry point."""

from __future__ import annotations

import importlib.util
import shutil
import sqlite3
import sys
import time
import tomllib
from contextlib import closing
from pathlib import Path
from types import ModuleType

import httpx
import pytest

from gatewaycore.errors import ConfigError, SinkError
from gatewaycore.sinks import Storage
from tests.contracts.storage import StorageContract, make_lines
from tests.served import START_S, Served

FOLDER = Path(__file__).parent.parent / "examples" / "custom_sink"
NAME = "acme_sqlite_sink"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location(NAME, FOLDER / f"{NAME}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def held(path: Path) -> list[bytes]:
    with closing(sqlite3.connect(path)) as database:
        return [event.encode() for (event,) in database.execute("SELECT event FROM events ORDER BY id")]


class TestSqlite(StorageContract):
    exactly_once = True

    def make(self, folder: Path) -> Storage:
        made: Storage = load().SqliteStorage(path=str(folder / "events.sqlite3"))
        return made

    def read(self, folder: Path) -> list[bytes]:
        return held(folder / "events.sqlite3")


def test_a_file_that_cannot_be_opened_or_is_gone(tmp_path: Path) -> None:
    module = load()
    with pytest.raises(ConfigError, match="cannot be opened"):
        module.SqliteStorage(path=str(tmp_path)).open()
    with pytest.raises(ConfigError, match="is in no folder"):
        module.SqliteStorage(path=str(tmp_path / "none" / "events.sqlite3")).check()
    sink = module.SqliteStorage(path=str(tmp_path / "events.sqlite3")).open()
    (tmp_path / "events.sqlite3").unlink()
    with pytest.raises(SinkError, match="no such table"):
        sink.write(make_lines(1))


def install(folder: Path) -> None:
    """Put the module and its metadata where an installer would."""
    project = tomllib.loads((FOLDER / "pyproject.toml").read_text())["project"]
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = project["entry-points"]
    lines = [line for group, names in points.items() for line in (f"[{group}]", *(f"{name} = {value}" for name, value in names.items()))]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    shutil.copy(FOLDER / f"{NAME}.py", folder)


def test_once_it_is_installed_its_type_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "site")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    with Served(FOLDER / "gateway.yaml", tmp_path / "data") as served:
        answer = httpx.get(f"{served.url}/cli/1.0", headers={"host": "get.acme.example"}, trust_env=False)
        assert answer.headers["location"] == "https://cdn.acme.example/cli-1.0.tgz"
        end = time.monotonic() + START_S
        while not held(tmp_path / "events.sqlite3") and time.monotonic() < end:
            time.sleep(0.05)
    (line,) = held(tmp_path / "events.sqlite3")
    assert b'"version":"1.0"' in line
    assert NAME not in sys.modules
