"""Operations of a real server: metrics of several workers, an orderly end with a slow download, and a log without addresses."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.collector import Collector
from tests.e2e.running import DEADLINE_S, tool
from tests.served import Served

pytestmark = pytest.mark.e2e
ADDRESS = "203.0.113.77"
TOKEN, VALUE = "a-token-of-somebody", "a-value-of-a-query"
SIZE = 3_000_000


class Slow:
    """A registry whose blob comes in two halves, the second when it is told to."""

    def __init__(self) -> None:
        self.began, self.go_on = threading.Event(), threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if "blobs" not in self.path:
                    self.send_response(200)
                    self.send_header("Content-Length", "2")
                    self.end_headers()
                    self.wfile.write(b"{}")
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(SIZE))
                self.end_headers()
                self.wfile.write(b"x" * (SIZE // 2))
                outer.began.set()
                outer.go_on.wait(DEADLINE_S)
                with contextlib.suppress(OSError):
                    self.wfile.write(b"x" * (SIZE - SIZE // 2))

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.authority = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def slow() -> Iterator[Slow]:
    upstream = Slow()
    yield upstream
    upstream.close()


def write(folder: Path, backend: str = "127.0.0.1:1", **sections: Any) -> Path:
    config = {
        "gateway": {"trusted-proxies": ["127.0.0.0/8"]},
        "packages": [
            {
                "name": "cli",
                "type": "file",
                "domain": "get.acme.example",
                "incoming-path": "/{version}",
                "outgoing-url": "https://cdn.acme.example/{version}",
            },
            {
                "name": "acme/tool",
                "type": "container",
                "domain": "docker.acme.example",
                "backend": f"{backend}/acme/tool",
                "backend-scheme": "http",
                "strategy": "proxy",
                "allow-private-backends": True,
            },
        ],
        "sinks": [{"type": "jsonl", "path": str(folder / "out.jsonl")}],
        "operations": {"port": 0, "packages": True},
        **sections,
    }
    file = folder / "gateway.yaml"
    file.write_text(yaml.safe_dump(config))
    return file


def wait_for(what: Callable[[], Any], served: Served) -> Any:
    """Wait until something is there, and return it."""
    end = time.monotonic() + DEADLINE_S
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException):
            found = what()
            if found:
                return found
        assert time.monotonic() < end, served.errors
        time.sleep(0.02)


def ask(port: int, path: str, host: str = "get.acme.example", **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"Host": host, "X-Forwarded-For": ADDRESS, **headers})
        answer = connection.getresponse()
        return answer.status, answer.read()


def desks(served: Served) -> list[int]:
    """Return the ports of those that have answered for the node, the last one last."""
    return [int(port) for port in re.findall(r"operations are answered at http://127\.0\.0\.1:(\d+)", served.errors)]


def readiness(served: Served) -> tuple[int, dict[str, Any]]:
    status, body = ask(desks(served)[-1], "/readyz")
    return status, json.loads(body)


def metrics(served: Served) -> dict[tuple[str, ...], float]:
    text = ask(desks(served)[-1], "/metrics")[1].decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value for sample in samples}


def test_several_workers_are_told_as_one_and_no_count_is_lost_with_a_worker(tmp_path: Path) -> None:
    redirects = ("gatewaycore_requests_total", "3xx", "redirect", "cli", "file")
    with Served(write(tmp_path), tmp_path / "data", ["--workers", "2"]) as served:
        wait_for(lambda: desks(served) and readiness(served)[1]["processes"] == 2, served)
        for number in range(40):
            assert ask(served.port, f"/{number % 3}")[0] == 302
        # Each worker leaves word once a second.
        wait_for(lambda: metrics(served).get(redirects) == 40, served)
        for victim in served.workers():
            os.kill(victim, signal.SIGKILL)
            wait_for(lambda: len(set(served.workers()) - {victim}) == 2, served)  # noqa: B023 - called at once
        wait_for(lambda: readiness(served)[1]["processes"] == 2, served)
        assert metrics(served)[redirects] == 40
        assert metrics(served)["gatewaycore_processes",] == 2
        assert len(desks(served)) >= 2
        assert ask(served.port, "/1")[0] == 302
        wait_for(lambda: metrics(served)[redirects] == 41, served)
        assert served.stop() == 0


def test_prometheus_takes_what_is_told(tmp_path: Path) -> None:
    promtool = tool("promtool", "prometheus")
    with Served(write(tmp_path), tmp_path / "data") as served:
        wait_for(lambda: desks(served), served)
        ask(served.port, "/1")
        text = ask(desks(served)[-1], "/metrics")[1]
    checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, timeout=DEADLINE_S, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


class Download(threading.Thread):
    """Fetches the slow blob."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.size = 0
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self.size = len(ask(self.port, "/v2/acme/tool/blobs/sha256:" + "a" * 64, "docker.acme.example")[1])
        except (OSError, http.client.HTTPException) as error:
            self.error = error


@pytest.mark.parametrize(
    ("workers", "all_of_them"),
    [(1, False), (2, False), pytest.param(2, True, id="as service managers do, which tell the workers as well")],
)
def test_an_orderly_end(tmp_path: Path, slow: Slow, workers: int, all_of_them: bool) -> None:
    config = write(tmp_path, slow.authority, operations={"port": 0, "drain-s": 2, "grace-s": 60})
    with Served(config, tmp_path / "data", ["--workers", str(workers)]) as served:
        wait_for(lambda: desks(served) and readiness(served)[1]["processes"] == workers, served)
        download = Download(served.port)
        assert slow.began.wait(DEADLINE_S)
        told = [served.process.pid, *(served.workers() if all_of_them else [])]
        for pid in told:
            os.kill(pid, signal.SIGTERM)
        wait_for(lambda: readiness(served)[0] == 503, served)
        assert readiness(served)[1]["status"] == "draining"
        # Whoever balances the load has not noticed yet.
        assert ask(served.port, "/late")[0] == 302
        slow.go_on.set()
        assert served.process.wait(DEADLINE_S) == 0
        download.join(DEADLINE_S)
        assert (download.size, download.error) == (SIZE, None)
        shipped = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
        assert {event.get("version") for event in shipped} >= {"late"}
        assert [event["bytes"] for event in shipped if event["kind"] == "blob"] == [SIZE]


@pytest.mark.parametrize("workers", [1, 2])
def test_who_sits_before_it_need_not_be_waited_for(tmp_path: Path, slow: Slow, workers: int) -> None:
    config = write(tmp_path, slow.authority, operations={"port": 0, "drain-s": 600, "grace-s": 60})
    with Served(config, tmp_path / "data", ["--workers", str(workers)]) as served:
        wait_for(lambda: desks(served) and readiness(served)[1]["processes"] == workers, served)
        assert ask(served.port, "/soon")[0] == 302
        served.send(signal.SIGINT)
        served.process.wait(DEADLINE_S)
        assert {event.get("version") for event in served.events()} >= {"soon"}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_second_signal_ends_at_once(tmp_path: Path, slow: Slow, workers: int) -> None:
    config = write(tmp_path, slow.authority, operations={"port": 0, "drain-s": 600, "grace-s": 600})
    with Served(config, tmp_path / "data", ["--workers", str(workers)]) as served:
        wait_for(lambda: desks(served) and readiness(served)[1]["processes"] == workers, served)
        download = Download(served.port)
        assert slow.began.wait(DEADLINE_S)
        served.send(signal.SIGTERM)
        wait_for(lambda: readiness(served)[0] == 503, served)
        served.send(signal.SIGTERM)
        assert served.process.wait(DEADLINE_S) == 0, served.errors
        download.join(DEADLINE_S)
        assert isinstance(download.error, http.client.HTTPException | OSError)
        # What was answered is in the journal all the same.
        assert [event["kind"] for event in served.events() if event["kind"] == "blob"] == ["blob"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_log_holds_anything_of_a_client(tmp_path: Path, form: str) -> None:
    with Collector() as collector:
        traces = {"endpoint": collector.url, "share": 1}
        options = ["--log-format", form, "--log-level", "debug"]
        with Served(write(tmp_path, traces=traces), tmp_path / "data", options) as served:
            wait_for(lambda: desks(served), served)
            query, bearer = f"?token={VALUE}", f"Bearer {TOKEN}"
            assert ask(served.port, f"/1{query}", Authorization=bearer)[0] == 302
            assert ask(served.port, f"/v2/acme/tool/manifests/1{query}", "docker.acme.example", Authorization=bearer)[0] == 502
            assert ask(served.port, f"/no/such/path{query}", Authorization=bearer)[0] == 404
            assert ask(served.port, f"/1{query}", "no!host")[0] == 400
            served.send(signal.SIGHUP)
            wait_for(lambda: "have been read again" in served.errors, served)
            metrics(served)
            assert served.stop() == 0
        said = served.errors
        for word in (ADDRESS, TOKEN, VALUE):
            assert word not in said
            assert all(word.encode() not in body for body in collector.raw)
        assert "an upstream gave no answer" in said
        assert {span.name for span in collector.spans} == {"request", "decide", "upstream"}
    if form == "json":
        lines = [json.loads(line) for line in said.splitlines()]
        assert all({"time", "level", "logger", "message", "process"} <= line.keys() for line in lines)
        assert [line["url"] for line in lines if line["message"] == "serving"] == [served.url]


GRAFANA = Path(__file__).parents[2] / "examples" / "grafana"


def test_prometheus_takes_the_alerts_and_every_query_of_the_dashboard(tmp_path: Path) -> None:
    """Each query is made a rule of its own, with what Grafana puts in for its variables: so Prometheus itself reads it."""
    promtool = tool("promtool", "prometheus")
    puts = {"$__rate_interval": "5m", "$__range": "6h", "$job": ".*"}
    rules: list[dict[str, str]] = []
    for panel in json.loads((GRAFANA / "gatewaycore.json").read_text())["panels"]:
        for target in panel["targets"]:
            text = target["expr"]
            for name, value in puts.items():
                text = text.replace(name, value)
            rules.append({"record": f"panel:{len(rules)}", "expr": text})
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    for one in (file, GRAFANA / "alerts.yaml"):
        checked = subprocess.run([promtool, "check", "rules", str(one)], capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr
