"""A state database that is down: what was made in the console is served as it was, and everything is there when it has come back."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from gatewaycore import Service
from gatewaycore.access import Principal
from gatewaycore.cli.late import LateConsole
from gatewaycore.cli.serve import ServeSettings, _check_console
from gatewaycore.config import read_config
from gatewaycore.errors import ConfigError
from gatewaycore.following import Follower, open_access, serve_spare, spare_of
from gatewaycore.spare import SPARE, Made, Spare
from tests.databases import Postgres
from tests.unit.test_access import join
from tests.unit.test_following import MADE, location

FILE = """
packages:
  - {{name: cli, type: file, domain: get.acme.example, incoming-path: "/{{version}}", outgoing-url: "https://cdn.acme.example/{{version}}"}}
console: {{domain: console.acme.example, organisation: acme, state: "{state}"}}
gateway: {{data-dir: {data}}}
operations: {{port: 0, metrics: false}}
"""
NOWHERE = "postgresql://gw@/nowhere?host=/nonexistent"
ON = "https://cdn.acme.example/made/1.2"


def write(folder: Path, state: str) -> Path:
    file = folder / "gateway.yaml"
    file.write_text(FILE.format(state=state, data=folder / "data"))
    return file


def wait_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def server() -> Iterator[Postgres]:
    # One of the test's own: it is stopped.
    with Postgres() as server:
        yield server


async def ask(late: LateConsole, method: str = "GET", path: str = "/sign-in") -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=late), base_url="http://console.acme.example") as client:
        return await client.request(method, path)


def boss_of(service: Service) -> Principal:
    with closing(open_access(service.config, service.data)) as access:
        return join(access, "boss", operator=True)


@pytest.mark.anyio
async def test_a_node_that_is_started_while_the_database_is_down(
    tmp_path: Path, server: Postgres, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatewaycore.following.LOOK_S", 0.05)
    monkeypatch.setattr("gatewaycore.cli.late.LOOK_S", 0.05)
    file = write(tmp_path, server.create())
    with Service.from_file(file) as service, closing(LateConsole(service)) as late:
        late.start()
        assert (await ask(late)).status_code == 200
        boss = boss_of(service)
        with closing(open_access(service.config, service.data)) as access:
            access.holdings.create("package", "made", "acme", MADE, lambda _: None, boss)
            access.domains.create("get.labs.example", "acme", boss)
            access.domains.vouch("get.labs.example", "acme", boss)
        spare = Spare(service.data / SPARE)
        wait_for(lambda: (kept := spare.read()) is not None and kept.names == {"get.labs.example"} and len(kept.definitions) == 1)
        assert (location(service, "made.acme.example"), late.names) == (ON, frozenset({"get.labs.example"}))
        # It goes while the node runs: nothing changes, and the node says so.
        server.stop()
        wait_for(lambda: service.sources[-1].is_stale)
        assert location(service, "made.acme.example") == ON
    with caplog.at_level(logging.WARNING), Service.from_file(file) as service, closing(LateConsole(service)) as late:
        late.start()
        assert "the console is not served" in caplog.text
        assert (location(service, "made.acme.example"), location(service, "get.acme.example")) == (ON, "https://cdn.acme.example/1.2")
        assert late.names == {"get.labs.example"}
        told = service.sources[-1]
        assert (told.kind, told.is_stale) == ("console", True)
        assert "the state database cannot be reached" in told.error
        assert [(one.name, one.is_stale) for one in service.health().sources] == [("console", True)]
        answer = await ask(late)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert (await ask(late, "HEAD")).content == b""
        server.start()
        with closing(open_access(service.config, service.data)) as access:
            new = {**MADE, "outgoing-url": "https://new.acme.example/{version}"}
            access.holdings.change("package", "made", new, lambda _: None, boss)
        wait_for(lambda: "the console is there" in caplog.text)
        wait_for(lambda: location(service, "made.acme.example") == "https://new.acme.example/1.2")
        assert (await ask(late)).status_code == 200
        wait_for(lambda: (service.sources[-1].error, service.sources[-1].is_stale) == ("", False))


def test_what_was_taken_out_meanwhile_is_served_no_more(tmp_path: Path, server: Postgres) -> None:
    """The copy is of a database in which there is nothing now: it is not what counts."""
    file = write(tmp_path, server.create())
    (tmp_path / "data").mkdir()
    Spare(tmp_path / "data" / SPARE).keep(Made(7, [("package", MADE)], frozenset()))
    with Service.from_file(file) as service, closing(open_access(service.config, service.data)) as access:
        serve_spare(service, spare_of(service.config, service.data), "it is down")
        assert location(service, "made.acme.example") == ON
        Follower(service, access, spare_of(service.config, service.data)).look()
        assert location(service, "made.acme.example") is None


def test_a_node_that_never_had_the_database_serves_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatewaycore.cli.late.LOOK_S", 0.01)
    file = write(tmp_path, NOWHERE)
    with Service.from_file(file) as service, closing(LateConsole(service)) as late:
        late.start()
        assert location(service, "get.acme.example") == "https://cdn.acme.example/1.2"
        assert late.names == frozenset()
        assert service.sources[-1].is_stale
        # It goes on trying.
        time.sleep(0.1)
        assert late._thread is not None
        assert late._thread.is_alive()


def test_serve_starts_without_the_database_where_there_is_a_copy(tmp_path: Path) -> None:
    config = read_config(write(tmp_path, NOWHERE))
    settings = ServeSettings(file=tmp_path / "gateway.yaml", host="127.0.0.1", port=0, data_dir=tmp_path / "data")
    with pytest.raises(ConfigError, match="cannot be used"):
        _check_console(config, settings)
    settings.data_dir.mkdir()
    Spare(settings.data_dir / SPARE).keep(Made(0, (), frozenset()))
    assert not _check_console(config, settings)


def test_nothing_is_kept_of_a_database_in_a_file(tmp_path: Path) -> None:
    assert spare_of(read_config(write(tmp_path, "console.sqlite3")), tmp_path) is None
    assert spare_of(read_config({}), tmp_path) is None
    assert spare_of(read_config(write(tmp_path, NOWHERE)), tmp_path) is not None


def test_a_copy_is_its_owners_alone_and_is_written_when_it_changes(tmp_path: Path) -> None:
    spare, path = Spare(tmp_path / SPARE), tmp_path / SPARE
    assert (spare.is_there, spare.read()) == (False, None)
    made = Made(3, [("package", {"name": "ü"})], frozenset({"b.example", "a.example"}))
    spare.keep(made)
    seen = path.stat()
    assert seen.st_mode & 0o777 == 0o600
    spare.keep(made)
    assert path.stat().st_ino == seen.st_ino
    assert spare.read() == made
    spare.keep(Made(4, (), frozenset()))
    assert spare.read() == Made(4, [], frozenset())
    assert os.listdir(tmp_path) == [SPARE]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"version": 1, "definitions": [1], "names": []}', b"\xff"])
def test_a_copy_that_cannot_be_read_is_none(tmp_path: Path, body: bytes) -> None:
    (tmp_path / SPARE).write_bytes(body)
    assert Spare(tmp_path / SPARE).read() is None


def test_a_copy_that_cannot_be_kept_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = write(tmp_path, "console.sqlite3")
    with Service.from_file(file) as service, closing(open_access(service.config, service.data)) as access:
        follower = Follower(service, access, Spare(tmp_path / "gone" / SPARE))
        follower.look()
        assert "cannot be kept for when its database is down: No such file" in caplog.text
