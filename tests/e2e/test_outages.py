"""Two gateways behind Caddy under a steady load: killed, and without their database. Whatever was answered is in the lake, once."""

from __future__ import annotations

import itertools
import re
import signal
import socket
import socketserver
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from gatewaycore.recorder import decode
from gatewaycore.segments import read_lines, segments
from gatewaycore.sinks.lake import open_lake
from tests.databases import _BINARIES, Postgres
from tests.e2e.report import Table
from tests.e2e.running import DEADLINE_S, Programs, missing, tool
from tests.e2e.steady import Steady
from tests.e2e.test_cluster import CLUSTER, network, run_script
from tests.served import environment

pytestmark = pytest.mark.e2e

RATE = 150
DOWN_S = 30.0
CONSOLE = "console.acme.example"
MADE = {
    "type": "file",
    "name": "made",
    "domain": "made.acme.example",
    "incoming-path": "/{version}",
    "outgoing-url": "https://cdn.acme.example/{version}",
}
WAYS = [("get.acme.example", "/linux/{name}/rocket-skates.tgz"), ("made.acme.example", "/{name}")]


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="outages-", ignore_cleanup_errors=True) as name:
        # PostgreSQL runs as another user.
        Path(name).chmod(0o755)
        yield Path(name)


def wait_until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_S
    while not what():
        assert time.monotonic() < end
        time.sleep(0.1)


def get(url: str, host: str) -> int:
    """Return the status of an answer, and follow nothing."""
    return httpx.get(url, headers={"Host": host}, trust_env=False, timeout=DEADLINE_S).status_code


def ready(host: str) -> dict[str, Any]:
    """Return what a gateway says of itself; nothing while it says nothing."""
    try:
        answer = httpx.get(f"http://{host}:9464/readyz", trust_env=False, timeout=DEADLINE_S)
    except httpx.HTTPError:
        return {}
    return dict(answer.json()) if answer.status_code == 200 else {}


def console_state(host: str) -> str:
    return str(ready(host).get("sources", {}).get("console", {}).get("state", ""))


def appended(host: str) -> float:
    """Return how many events a gateway has recorded."""
    text = httpx.get(f"http://{host}:9464/metrics", trust_env=False, timeout=DEADLINE_S).text
    return float(re.findall(r"^gatewaycore_journal_appended_total ([0-9.e+]+)", text, re.MULTILINE)[0])


class Trial:
    """What is done to the cluster, step by step.

    Args:
        cluster: of examples/cluster.
    """

    def __init__(self, cluster: Any) -> None:
        self.cluster = cluster
        self._headers = {"Host": CONSOLE, "Authorization": f"Bearer {cluster.token('ada')}"}
        self.killed = 0

    def make(self, definition: dict[str, str]) -> None:
        """Make a package in the console, through Caddy, and wait until both gateways serve it."""
        body = {"organisation": "home", "definition": definition}
        answer = httpx.post(f"{self.cluster.url}/api/v1/packages", headers=self._headers, json=body, trust_env=False, timeout=DEADLINE_S)
        assert answer.status_code == 201, answer.text
        for host in self.cluster.gateways.values():
            wait_until(lambda host=host: get(f"http://{host}:8080/x", definition["domain"]) == 302)  # type: ignore[misc]

    def prove(self, domain: str) -> None:
        """Let a domain be an organisation's."""
        command = ["domains", "add", str(self.cluster.folder / "gateway-1.yaml"), domain, "--organisation", "home", "--vouch"]
        subprocess.run(self.cluster._command("gateway-1", *command), env={**environment(), **self.cluster._env}, check=True)
        for host in self.cluster.gateways.values():
            wait_until(lambda host=host: self.is_known(host, domain))  # type: ignore[misc]

    def is_known(self, host: str, domain: str) -> bool:
        """Tell whether a gateway would let Caddy have a certificate for a domain."""
        return get(f"http://{host}:8080/_gatewaycore/ask?domain={domain}", "gateway") == 200

    def kill(self, name: str) -> None:
        """Kill a gateway under load, and start it again; the other one serves meanwhile."""
        self.cluster.end(name, signal.SIGKILL)
        self.killed += 1
        self.cluster.start_gateway(name)
        host = self.cluster.gateways[name]
        wait_until(lambda: bool(ready(host)))
        # Until Caddy has seen it, too, there would be nobody when the other one is killed.
        before = appended(host)
        wait_until(lambda: appended(host) > before)


def in_lake(path: Path) -> dict[str, int]:
    """Return how often each request is in the lake, by name."""
    if not (path / "_delta_log").exists():
        return {}
    with open_lake(str(path)) as connection:
        return dict(connection.sql("SELECT version, count(*) FROM events WHERE version LIKE 'r%' GROUP BY 1").fetchall())


def in_table(url: str) -> dict[str, int]:
    with psycopg.connect(url, autocommit=True) as connection:
        return dict(connection.execute("SELECT version, count(*) FROM events WHERE version LIKE 'r%' GROUP BY 1").fetchall())


def recorded_twice(folders: list[Path]) -> int:
    """Return how many events are in both journals: Caddy asked the other gateway when the first had recorded, and not answered."""
    lines = [line for folder in folders for segment in segments(folder) for line in read_lines(segment, limit_bytes=1 << 30)[0]]
    return len(lines) - len({decode(line).id for line in lines})


def test_gateways_that_are_killed_without_their_database_lose_and_double_nothing(
    folder: Path, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    for program in ("caddy", "nats-server"):
        tool(program, program)
    if not _BINARIES:
        missing("needs PostgreSQL: apt-get install --no-install-recommends postgresql-15")
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
    with run_script().Cluster(folder, network()) as cluster:
        trial, (one, other) = Trial(cluster), cluster.gateways
        trial.make(MADE)
        trial.prove("get.labs.example")
        with Steady(f"{network()}.1", 8000, RATE, WAYS) as load:
            trial.kill(one)
            cluster.end("postgres", signal.SIGQUIT)
            down = time.monotonic()
            wait_until(lambda: console_state(cluster.gateways[other]) == "stale")
            # Gateways that are started while the database is down serve what they served before, and say so.
            trial.kill(other)
            trial.kill(one)
            for host in cluster.gateways.values():
                assert ready(host)["status"] == "degraded"
                assert console_state(host) == "stale"
                assert get(f"http://{host}:8080/x", "made.acme.example") == 302
                assert trial.is_known(host, "get.labs.example")
                assert not trial.is_known(host, "get.zebra.example")
                assert get(f"http://{host}:8080/", CONSOLE) == 503
            time.sleep(max(0.0, down + DOWN_S - time.monotonic()))
            cluster.start_postgres()
            down = time.monotonic() - down
            for host in cluster.gateways.values():
                wait_until(lambda host=host: console_state(host) == "ok")  # type: ignore[misc]
            # And everything is followed again, with the token that was there before.
            trial.make({**MADE, "name": "later", "domain": "later.acme.example"})
            trial.kill(other)
        wait_until(lambda: in_lake(cluster.lake).keys() >= set(load.answered))
        wait_until(lambda: in_table(cluster.database).keys() >= set(load.answered))
        lake, rows = in_lake(cluster.lake), in_table(cluster.database)
        twice = recorded_twice([folder / name / "journal" for name in cluster.gateways])
    doubled = sum(count - 1 for count in lake.values())
    told = (
        f"gateways killed {trial.killed} times, PostgreSQL down for {down:.0f} s, {RATE} requests/s: {load.sent:,} sent, "
        f"{len(load.answered):,} answered, {len(load.failed)} failed, availability {load.availability:.4%}, "
        f"slowest answer {load.slowest_ms:,.0f} ms; in the lake {sum(lake.values()):,}, doubles {doubled}, "
        f"missing {len(set(load.answered) - set(lake))}; recorded by both gateways {twice}"
    )
    table.figures.append(told)
    assert {name: lake.get(name) for name in load.answered if lake.get(name) != 1} == {}
    assert {name: rows.get(name) for name in load.answered if rows.get(name) != 1} == {}
    # Nor is anything there twice that was not answered, or that nobody asked for.
    assert doubled == 0
    assert set(lake) <= {*load.answered, *load.failed}
    assert load.availability >= 0.999


class Swallower(socketserver.ThreadingTCPServer):
    """Passes requests on to a gateway, and its answers to nobody: to Caddy it is a gateway that dies just before it answers."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, host: str, port: int) -> None:
        self.gateway = host, port
        self.swallowed = 0
        super().__init__((host, 0), Swallowing)


class Swallowing(socketserver.BaseRequestHandler):
    server: Swallower

    def handle(self) -> None:
        asked = b""
        while not asked.endswith(b"\r\n\r\n"):
            piece = self.request.recv(65536)
            if not piece:
                return
            asked += piece
        with closing(socket.create_connection(self.server.gateway, DEADLINE_S)) as gateway:
            gateway.sendall(asked)
            if gateway.recv(65536).startswith(b"HTTP/1.1 302"):
                self.server.swallowed += 1


def test_what_caddy_asks_of_two_gateways_is_one_event(programs: Programs, postgres: Postgres, table: Table) -> None:
    """Caddy sends the second gateway what it has sent the first: both record it, and it is in each store once."""
    database = postgres.create()
    hosts, lake = [f"{network()}.{number}" for number in (31, 32)], str(programs.folder / "lake")
    package = {
        "name": "cli",
        "type": "file",
        "domain": "get.acme.example",
        "incoming-path": "/{version}",
        "outgoing-url": "https://cdn.acme.example/{version}",
    }
    gateways = [
        programs.serve(
            {
                "gateway": {"trusted-proxies": ["127.0.0.0/8"], "request-id-header": "X-Request-Id"},
                "packages": [package],
                "sinks": [{"type": "lake", "path": lake}, {"type": "postgres", "url-env": "EVENTS_URL"}],
                "operations": {"host": host, "port": 9464},
            },
            name=f"gateway-{host.rpartition('.')[2]}",
            host=host,
            env={"EVENTS_URL": database},
        )
        for host in hosts
    ]
    with Swallower(hosts[0], gateways[0].port) as dying:
        threading.Thread(target=dying.serve_forever, daemon=True).start()
        home = {"XDG_DATA_HOME": str(programs.folder / "caddy"), "XDG_CONFIG_HOME": str(programs.folder / "caddy")}
        where = f"{hosts[0]}:{dying.server_address[1]} {hosts[1]}:{gateways[1].port}"
        caddy = [tool("caddy", "caddy"), "run", "--config", str(CLUSTER / "Caddyfile"), "--adapter", "caddyfile"]
        programs.start("caddy", caddy, LISTEN="8000", GATEWAYS=where, **home)
        url, names = f"http://{network()}.33:8000", (f"r{number}" for number in itertools.count())
        answered: list[str] = []
        wait_until(lambda: run_script()._status_of(url) == 404)
        while dying.swallowed < 5:
            answered.append(next(names))
            # A client's own word for it counts for nothing.
            headers = {"Host": "get.acme.example", "X-Request-Id": "1795163577286-0b1a4d0e-6f51-4c1e-9d0a-3f6f0a6f8f11"}
            assert httpx.get(f"{url}/{answered[-1]}", headers=headers, trust_env=False, timeout=DEADLINE_S).status_code == 302
            time.sleep(0.3)
        dying.shutdown()
    found = [{event.version: event.id for event in gateway.events()} for gateway in gateways]
    both = found[0].keys() & found[1].keys()
    assert len(both) >= 5
    assert {name: found[0][name] for name in both} == {name: found[1][name] for name in both}
    assert len({*found[0].values(), *found[1].values()}) == len(answered)
    wait_until(lambda: in_lake(Path(lake)).keys() >= set(answered))
    # Both have shipped what they have.
    assert [gateway.program.stop() for gateway in gateways] == [0, 0]
    assert in_lake(Path(lake)) == in_table(database) == dict.fromkeys(answered, 1)
    table.figures.append(f"requests that two gateways have recorded: {len(both)}, each in the lake and in PostgreSQL once")
