"""examples/cluster: its files are what their readers take, and the whole goes on while parts of it are gone."""

from __future__ import annotations

import http.client
import importlib.util
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from tests.databases import _BINARIES
from tests.e2e.running import DEADLINE_S, missing, tool
from tests.served import environment

pytestmark = pytest.mark.e2e
CLUSTER = Path(__file__).parents[2] / "examples" / "cluster"


def test_compose_takes_its_file() -> None:
    command = [tool("docker-compose", "docker-compose"), "-f", str(CLUSTER / "docker-compose.yaml"), "config", "--services"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == {"caddy", "gateway-1", "gateway-2", "consumer", "postgres", "nats"}


def test_kubernetes_takes_its_manifest() -> None:
    import kubernetes_validate

    found = list(yaml.safe_load_all((CLUSTER / "kubernetes.yaml").read_text()))
    for one in found:
        kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)
    assert [one["kind"] for one in found] == ["Secret", "StatefulSet", "Service", "PodDisruptionBudget", "Deployment"]


def run_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cluster_run", CLUSTER / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ask(url: str, number: int) -> int:
    host, _, port = url.removeprefix("http://").partition(":")
    with closing(http.client.HTTPConnection(host, int(port), timeout=DEADLINE_S)) as connection:
        connection.request("GET", f"/linux/{number}/rocket-skates.tgz", headers={"Host": "get.acme.example"})
        answer = connection.getresponse()
        answer.read()
        return answer.status


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="cluster-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def test_the_cluster_goes_on_while_parts_of_it_are_gone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import psycopg

    tool("caddy", "caddy")
    tool("nats-server", "nats-server")
    if not _BINARIES:
        missing("needs PostgreSQL: apt-get install --no-install-recommends postgresql-15")
    # PostgreSQL runs as another user, to whom pytest's folders are closed.
    folder.chmod(0o755)
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
    network = f"127.{200 + os.getpid() // 250 % 50}.{1 + os.getpid() % 250}"
    asked = 0

    def some() -> None:
        nonlocal asked
        for _ in range(20):
            asked += 1
            assert ask(cluster.url, asked) == 302

    with run_script().Cluster(folder, network) as cluster:
        some()
        # One that ends in good order, and one that does not; both come back to what they had.
        cluster.end("gateway-1")
        some()
        cluster.start_gateway("gateway-1")
        run_script()._wait_for(f"http://{cluster.gateways['gateway-1']}:9464/readyz")
        cluster.end("gateway-2", signal.SIGKILL)
        some()
        cluster.start_gateway("gateway-2")
        cluster.end("postgres", signal.SIGQUIT)
        some()
        cluster.start_postgres()
        some()
        versions: list[int] = []
        end = time.monotonic() + DEADLINE_S
        while len(versions) < asked and time.monotonic() < end:
            time.sleep(0.2)
            try:
                with psycopg.connect(cluster.database, autocommit=True) as connection:
                    versions = [int(row[0]) for row in connection.execute("SELECT version FROM events ORDER BY version::int")]
            except psycopg.Error:
                # It is not there again yet, or nothing was stored.
                continue
        assert versions == list(range(1, asked + 1))
