"""examples/cluster: its files are what their readers take, and the whole goes on while parts of it are gone."""

from __future__ import annotations

import http.client
import importlib.util
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from gatewaycore.config import read_config
from tests.databases import _BINARIES
from tests.e2e.running import DEADLINE_S, missing, tool
from tests.served import environment

pytestmark = pytest.mark.e2e
CLUSTER = Path(__file__).parents[2] / "examples" / "cluster"


def compose() -> dict[str, Any]:
    """Return what docker-compose makes of its file."""
    command = [tool("docker-compose", "docker-compose"), "-f", str(CLUSTER / "docker-compose.yaml"), "config"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = yaml.safe_load(done.stdout)
    return found


def manifests() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((CLUSTER / "kubernetes.yaml").read_text()))


def wanted(environment: Mapping[str, str]) -> None:
    """See that both configurations can be used with this environment, and with no less."""
    for name in ("gateway.yaml", "consumer.yaml"):
        read_config(CLUSTER / name, environ=environment)
    text = "".join((CLUSTER / name).read_text() for name in ("gateway.yaml", "consumer.yaml"))
    assert set(re.findall(r"-env: (\w+)", text)) <= set(environment)


def test_compose_takes_its_file() -> None:
    services = compose()["services"]
    assert set(services) == {"caddy", "gateway-1", "gateway-2", "consumer", "postgres", "nats"}
    for name in ("gateway-1", "gateway-2", "consumer"):
        wanted(services[name]["environment"])
    assert services["gateway-1"]["environment"] == services["gateway-2"]["environment"]
    # Each has a disk of its own.
    assert len({str(services[name]["volumes"]) for name in ("gateway-1", "gateway-2", "consumer", "postgres", "nats")}) == 5
    for name, service in services.items():
        for volume in service.get("volumes", ()):
            source = volume["source"] if isinstance(volume, dict) else volume.partition(":")[0]
            assert not source.startswith(("/", ".")) or Path(source).exists(), f"{name}: {source}"


def test_kubernetes_takes_its_manifest() -> None:
    import kubernetes_validate

    found = manifests()
    for one in found:
        kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)
    named = [f"{one['kind']} {one['metadata']['name']}" for one in found]
    assert len(set(named)) == len(named)
    assert {"StatefulSet gatewaycore", "Deployment caddy", "StatefulSet postgres", "StatefulSet nats"} < set(named)


def test_the_parts_of_the_manifest_find_each_other() -> None:
    """What a schema does not know: names that lead nowhere, an environment that is not whole, a Caddyfile that is another one."""
    by_name = {f"{one['kind']} {one['metadata']['name']}": one for one in manifests()}
    secret = by_name["Secret gatewaycore"]["stringData"]
    wanted(secret)
    assert by_name["ConfigMap caddy"]["data"]["Caddyfile"] == (CLUSTER / "Caddyfile").read_text()
    pods = {one["metadata"]["name"]: one["spec"]["template"] for key, one in by_name.items() if key.startswith(("Stateful", "Deployment"))}
    for name, pod in pods.items():
        assert by_name_of(by_name, name)["spec"]["selector"]["matchLabels"] == pod["metadata"]["labels"]
        claims = by_name_of(by_name, name)["spec"].get("volumeClaimTemplates", ())
        volumes = {one["name"] for one in pod["spec"].get("volumes", ())} | {one["metadata"]["name"] for one in claims}
        for container in pod["spec"]["containers"]:
            assert {one["name"] for one in container.get("volumeMounts", ())} == volumes
            for source in container.get("envFrom", ()):
                assert f"Secret {source['secretRef']['name']}" in by_name
    for key, service in by_name.items():
        if key.startswith("Service "):
            (pod,) = (one for one in pods.values() if service["spec"]["selector"].items() <= one["metadata"]["labels"].items())
            ports = {port["name"] for container in pod["spec"]["containers"] for port in container["ports"]}
            assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    # The hosts that the URLs name, and the nodes that Caddy asks.
    hosts = {urlsplit(secret[name]).hostname for name in ("DATABASE_URL", "NATS_URL")}
    assert {f"Service {host}" for host in hosts} <= set(by_name)
    gateways = by_name["StatefulSet gatewaycore"]["spec"]
    nodes = " ".join(f"gatewaycore-{number}.{gateways['serviceName']}:8080" for number in range(gateways["replicas"]))
    assert {"name": "GATEWAYS", "value": nodes} in pods["caddy"]["spec"]["containers"][0]["env"]
    assert f"Service {gateways['serviceName']}" in by_name


def by_name_of(found: Mapping[str, dict[str, Any]], name: str) -> dict[str, Any]:
    return found.get(f"StatefulSet {name}") or found[f"Deployment {name}"]


def test_the_image_has_what_the_configurations_need() -> None:
    extras = re.search(r"gatewaycore\[([a-z,]+)\]", (CLUSTER / "Dockerfile").read_text())
    assert extras is not None
    assert extras[1] in (CLUSTER / "run.py").read_text()
    assert set(extras[1].split(",")) == {"server", "metrics", "console", "postgres", "nats", "lake"}
    assert re.findall(r"^COPY (.*) /etc/gatewaycore/$", (CLUSTER / "Dockerfile").read_text(), re.MULTILINE) == [
        "gateway.yaml consumer.yaml"
    ]


def run_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cluster_run", CLUSTER / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def network() -> str:
    """Return three numbers of addresses that no other test of this machine has."""
    return f"127.{200 + os.getpid() // 250 % 50}.{1 + os.getpid() % 250}"


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
    asked = 0

    def some() -> None:
        nonlocal asked
        for _ in range(20):
            asked += 1
            assert ask(cluster.url, asked) == 302

    with run_script().Cluster(folder, network()) as cluster:
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
