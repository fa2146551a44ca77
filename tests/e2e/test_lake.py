"""The lake in an object store, and read by another engine: what was asked for is there once, whatever the store did meanwhile."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from attrs import frozen

from gatewaycore.config import read_config
from gatewaycore.errors import SinkError
from gatewaycore.service import Service
from gatewaycore.sinks.lake import LakeSink, LakeStorage, open_lake
from gatewaycore.synthetic import Scene
from tests.agreement import ask, difference, fill
from tests.contracts.storage import make_lines
from tests.e2e.flaky_store import BUCKET
from tests.e2e.report import Table
from tests.e2e.running import Programs
from tests.served import Served

pytestmark = pytest.mark.e2e


@frozen
class Store:
    """A store that answers in full, until it is told to fail."""

    url: str

    def fail(self, every: int) -> int:
        """Let every so-manieth request fail, none for 0; return how many have failed."""
        return int(httpx.get(f"{self.url}/-/every/{every}", timeout=60).text)


@pytest.fixture
def store(programs: Programs) -> Store:
    program = programs.start("store", [sys.executable, "-m", "tests.e2e.flaky_store"], PYTHONPATH=str(Path(__file__).parents[2]))
    port = program.listen(r"http://127\.0\.0\.1:(\d+)", "127.0.0.1")
    return Store(f"http://127.0.0.1:{port}")


def options(store: Store, **more: str) -> dict[str, str]:
    return {
        "aws-endpoint-url": store.url,
        "aws-allow-http": "true",
        "aws-region": "us-east-1",
        "aws-access-key-id": "key",
        "aws-secret-access-key": "secret",
        **more,
    }


def held(store: Store, url: str) -> list[str]:
    with open_lake(url, options(store)) as connection:
        return [row[0] for row in connection.sql("SELECT id FROM events ORDER BY id").fetchall()]


# What is tried again by the store's own client, and what is left to the shipper.
@pytest.mark.parametrize(("retries", "every"), [("10", 3), ("0", 29)])
def test_a_store_that_fails_now_and_then_holds_each_event_once(store: Store, retries: str, every: int, table: Table) -> None:
    lines, url = make_lines(60), f"s3://{BUCKET}/lake-{retries}"
    sinks = [LakeStorage(url, options(store, **{"max-retries": retries}), compact_after=4).open() for _ in range(2)]
    store.fail(every)
    refused = 0
    for number in range(0, 60, 10):
        for sink in sinks:
            # As the shipper does: the same lines, until they are safe. Two nodes ship them here, which none does.
            for _ in range(200):
                try:
                    sink.write(lines[number : number + 10])
                    break
                except SinkError:
                    refused += 1
            else:
                pytest.fail("was never safe")
    failed = store.fail(0)
    for sink in sinks:
        sink.close()
    there = held(store, url)
    table.figures.append(
        f"lake in a store that fails every {every}. request ({failed} failed): {len(lines)} events acknowledged, {len(there)} stored, "
        f"{len(set(there))} of them distinct"
    )
    assert there == sorted(json.loads(line)["id"] for line in lines)
    assert failed
    assert refused or retries != "0"


def test_two_nodes_write_one_table_at_a_time(store: Store) -> None:
    url = f"s3://{BUCKET}/shared"
    parts = [make_lines(40) for _ in range(3)]
    refused: list[str] = []

    def write(lines: list[bytes]) -> None:
        sink = LakeStorage(url, options(store)).open()
        for number in range(0, 40, 8):
            for _ in range(50):
                try:
                    sink.write(lines[number : number + 8])
                    break
                except SinkError as error:
                    refused.append(str(error))
        sink.close()

    threads = [threading.Thread(target=write, args=(lines,)) for lines in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert held(store, url) == sorted(json.loads(line)["id"] for lines in parts for line in lines), refused[-3:]


def test_a_gateway_ships_to_the_store_that_its_configuration_names(store: Store, tmp_path: Path) -> None:
    secret = {key: value for key, value in options(store).items() if "secret" not in key}
    sink = {"type": "lake", "path": f"s3://{BUCKET}/named", "storage-options": {**secret, "aws-secret-access-key-env": "LAKE_SECRET"}}
    written = {
        "gateway": {"data-dir": str(tmp_path)},
        "packages": [{"name": "px", "type": "pixel", "domain": "px.example"}],
        "sinks": [sink],
    }
    with Service.open(read_config(written, environ={"LAKE_SECRET": "secret"})) as service:
        for line in make_lines(7):
            service.journal.append(line)
    assert len(held(store, f"s3://{BUCKET}/named")) == 7


def test_what_is_asked_for_is_in_the_lake_soon(tmp_path: Path, table: Table) -> None:
    """The time is told, and held by the settings: a second until the shipper looks, five for more to come."""
    config = tmp_path / "gateway.yaml"
    config.write_text("packages:\n  - {name: px, type: pixel, domain: px.example, incoming-path: /a.png}\n")
    data = tmp_path / "data"
    with Served(config, data) as served:
        waited = []
        for count in (1, 2, 3):
            assert httpx.get(f"http://127.0.0.1:{served.port}/a.png", headers={"Host": "px.example"}).status_code == 200
            waited.append(_seconds_until(data / "lake", count))
        assert served.stop() == 0
    table.figures.append(f"from the answer to its event in the lake: {', '.join(f'{seconds:.1f}' for seconds in waited)} s")
    assert LakeSink.linger_s + 1 < 15


def _seconds_until(lake: Path, count: int) -> float:
    begin = time.monotonic()
    while True:
        with open_lake(str(lake)) as connection:
            if connection.sql("SELECT count(*) FROM events").fetchall() == [(count,)]:
                return time.monotonic() - begin
        assert time.monotonic() < begin + 120
        time.sleep(0.2)


def test_two_engines_give_the_same_ten_answers(tmp_path: Path) -> None:
    """Over ten million events: `nox -s agreement`."""
    scene = Scene(200_000, days=40, callers=5_000)
    assert fill(tmp_path, scene) == 200_000
    # Every day has been sorted, or was written once.
    answers = list(ask(tmp_path / "lake"))
    assert [answer.difference for answer in answers] == [""] * 10
    assert all(answer.rows > 1 for answer in answers)


def test_an_answer_that_differs_is_told() -> None:
    assert difference([("a", 1), ("b", 2)], [["a", 1], ["b", 3]]) == "row 1: ('b', 2) and ('b', 3)"
    assert difference([("a", 1)], [["a", 1], ["b", 3]]) == "1 and 2 rows"


def test_clickhouse_reads_the_same_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import chdb

    # It reads files below the folder that it runs in, and no others.
    monkeypatch.chdir(tmp_path)
    lines = make_lines(1000)
    sink = LakeStorage(str(tmp_path / "lake")).open()
    for number in range(0, 1000, 250):
        sink.write(lines[number : number + 250])
    sink.close()
    query = "count(), count(DISTINCT id), sum(status), max(variables['n']), toString(min(day))"
    said = chdb.query(f"SELECT {query} FROM deltaLakeLocal('{tmp_path}/lake')", "JSONCompact")
    (row,) = json.loads(str(said))["data"]
    with open_lake(str(tmp_path / "lake")) as connection:
        asked = "count(*), count(DISTINCT id), sum(status), max(variables['n']), min(day)::VARCHAR"
        (ours,) = connection.sql(f"SELECT {asked} FROM events").fetchall()
    assert [str(one) for one in row] == [str(one) for one in ours]
    assert ours[0] == 1000
