"""Operations: what is counted, whether a node is ready, and what is traced; in both adapters, and over several processes."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import weakref
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from attrs import evolve
from prometheus_client.parser import text_string_to_metric_families

from gatewaycore.config import read_config
from gatewaycore.errors import ConfigError
from gatewaycore.locks import is_locked
from gatewaycore.operations import OperationsSettings, health
from gatewaycore.operations import desk as desks
from gatewaycore.operations.around import Around
from gatewaycore.operations.desk import Desk
from gatewaycore.operations.exposing import LOOKED_AT, PREFIX
from gatewaycore.operations.health import Health, SourceHealth, is_writable, lags
from gatewaycore.operations.meters import BUCKETS_S, METERS, MOST_SERIES, Ledger, Meters, _begin_anew, histograms
from gatewaycore.service import Service
from tests.collector import Collector, Taken
from tests.served import environment
from tests.worlds import CLIENT_IP, MANIFEST, WORLDS, Asked, Upstream, World, packages, plain

GET = Asked("GET", "https://get.acme.example/linux/1.2?secret=of-a-query")
TOKEN = "a-token-of-somebody"


@pytest.fixture(params=["asgi", "wsgi"])
def world(request: pytest.FixtureRequest) -> World:
    return WORLDS[request.param]


def opened(data: Path, backend: str = "127.0.0.1:1", *, source: Path | None = None, **sections: Any) -> Service:
    config = {"sinks": [], **packages(backend), "operations": {"port": 0, "packages": True}, **sections}
    if source is not None:
        source.write_text(json.dumps(config))
        return Service.from_file(source, data)
    return Service.open(read_config(config), data)


def fetch(port: int | None, path: str, accept: str = "") -> tuple[int, str]:
    asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Accept": accept} if accept else {})
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def desk_of(service: Service) -> Desk:
    assert service.desk is not None
    return service.desk


def told(service: Service) -> dict[tuple[str, ...], float]:
    """Return all that is told, by name and labels' values, as a scraper reads it."""
    found = {}
    for family in text_string_to_metric_families(desk_of(service).answer("/metrics").body.decode()):
        for sample in family.samples:
            found[sample.name.removeprefix(PREFIX), *(value for _, value in sorted(sample.labels.items()))] = sample.value
    return found


def ready(service: Service) -> tuple[int, dict[str, Any]]:
    answer = desk_of(service).answer("/readyz")
    return answer.status, json.loads(answer.body)


# --- what is counted -----------------------------------------------------------------------------------------------------


def test_requests_are_counted_by_what_was_decided(world: World, tmp_path: Path) -> None:
    service = opened(tmp_path)
    for _ in range(3):
        assert world.ask(service, GET).status == 302
    world.ask(service, Asked("POST", "https://in.acme.example/v1", body=b'{"n": 1}'))
    world.ask(service, Asked("GET", "https://get.acme.example/nothing"))
    counted = told(service)
    # Labels in the order of their names: code, decision, package, type.
    assert counted["requests_total", "3xx", "redirect", "cli", "file"] == 3
    assert counted["requests_total", "2xx", "respond", "usage", "event"] == 1
    assert counted["requests_total", "4xx", "respond", "", "none"] == 1
    assert counted["request_seconds_count", "redirect"] == 3
    assert counted["request_seconds_count", "respond"] == 2
    assert counted["request_seconds_bucket", "redirect", "+Inf"] == 3
    assert 0 < counted["request_seconds_sum", "redirect"] < 60
    assert counted["journal_appended_total",] == 4


def test_packages_are_told_apart_only_where_that_is_wanted(world: World, tmp_path: Path) -> None:
    service = opened(tmp_path, operations={"port": 0})
    world.ask(service, GET)
    assert told(service)["requests_total", "3xx", "redirect", "", "file"] == 1


def test_of_those_who_opted_out_it_is_counted_that_they_were_there(world: World, tmp_path: Path) -> None:
    service = opened(tmp_path)
    for _ in range(3):
        world.ask(service, Asked(GET.method, GET.url, (("Sec-GPC", "1"),)))
    counted = told(service)
    assert counted["requests_opted_out_total",] == 3
    assert not any(key[0] == "requests_total" for key in counted)
    assert counted["request_seconds_count", "redirect"] == 0


def test_what_no_rule_was_asked_for_is_counted(world: World, tmp_path: Path) -> None:
    service = opened(tmp_path)
    world.ask(service, Asked("GET", "https://no!host/"))
    world.ask(service, Asked("POST", "https://in.acme.example/v1", body=b"x" * 101))
    assert told(service)["requests_refused_total", "4xx"] == 2


def test_no_word_of_a_request_is_a_label(world: World, tmp_path: Path) -> None:
    service = opened(tmp_path)
    for number in range(20):
        host = "get.acme.example" if number % 2 else f"h{number}.example"
        hostile = (("User-Agent", f"agent-{number}"), ("Authorization", f"Bearer {TOKEN}"))
        world.ask(service, Asked("PATCH", f"https://{host}/p{number}/v{number}?q={number}", hostile))
    answer = desk_of(service).answer("/metrics").body.decode()
    assert len([line for line in answer.splitlines() if line.startswith("gatewaycore_requests_total")]) == 2
    for word in (CLIENT_IP, TOKEN, "h2.example", "agent-1", "/p1", "PATCH", "of-a-query"):
        assert word not in answer


def test_upstreams_are_counted(world: World, tmp_path: Path) -> None:
    with Upstream(plain(200, [("Content-Length", "2")], b"{}")) as upstream:
        service = opened(tmp_path / "up", upstream.authority)
        world.ask(service, Asked("GET", MANIFEST))
    counted = told(service)
    assert counted["upstream_requests_total", "answered"] == counted["upstream_seconds_count",] >= 1
    assert counted["requests_total", "2xx", "proxy", "acme/tool", "container"] == 1
    service = opened(tmp_path / "down")
    world.ask(service, Asked("GET", MANIFEST))
    assert told(service)["upstream_requests_total", "connect"] >= 1


def test_answers_that_break_off_are_counted(world: World, tmp_path: Path) -> None:
    def cut_short(_: object, write: Any) -> None:
        write(b"HTTP/1.1 200 OK\r\ncontent-length: 300000\r\n\r\n" + b"x" * 200_000)

    with Upstream(cut_short) as upstream:
        service = opened(tmp_path, upstream.authority)
        with pytest.raises(Exception):  # noqa: B017 - each adapter has its own way to break off
            world.ask(service, Asked("GET", MANIFEST))
    assert told(service)["upstream_broken_total",] == 1


def test_own_traffic_is_counted_and_not_recorded(world: World, tmp_path: Path) -> None:
    service = opened(tmp_path, gateway={"own-traffic": {"networks": [f"{CLIENT_IP}/32"]}})
    assert world.ask(service, GET).events == []
    assert told(service)["requests_total", "3xx", "redirect", "cli", "file"] == 1
    assert service.recorder.leaving_out(None).failed == 0


def test_what_an_event_would_be_is_told_as_ever(tmp_path: Path) -> None:
    from gatewaycore.recorder import Sent
    from gatewaycore.request import Request

    service = opened(tmp_path, traces={"endpoint": "http://127.0.0.1:1/v1/traces", "share": 0})
    outcome = service.gateway.decide(Request("GET", "get.acme.example", "/linux/1.2", received_at=datetime.now(UTC)))
    (event,) = service.recorder.events(outcome, Sent(302))
    assert event.package == "cli"
    service.keep_house(time.time_ns())
    service.recorder.refused(400)
    service.recorder.broken()
    assert told(service)["upstream_broken_total",] == 1
    # A clock that was set back, and a client that was gone.
    early = service.gateway.decide(Request("GET", "get.acme.example", "/", received_at=datetime.now(UTC) + timedelta(days=2)))
    service.recorder.record(early, Sent(0))
    service.recorder.record(early, Sent(999))
    counted = told(service)
    assert counted["requests_total", "gone", "respond", "", "none"] == counted["requests_total", "other", "respond", "", "none"] == 1
    assert counted["request_seconds_bucket", "respond", "0.0001"] == 2


def test_every_meter_is_told(tmp_path: Path) -> None:
    with opened(tmp_path, sinks=[{"type": "jsonl", "path": str(tmp_path / "out.jsonl")}]) as service:
        answer = desk_of(service).answer("/metrics").body.decode()
    families = {family.name for family in text_string_to_metric_families(answer)}
    assert families == {PREFIX + name for name in (*METERS, *LOOKED_AT)}


def test_scrapers_get_the_form_that_they_take(tmp_path: Path) -> None:
    with opened(tmp_path) as service:
        port = desk_of(service).port
        assert fetch(port, "/metrics", "application/openmetrics-text; version=1.0.0")[1].endswith("# EOF\n")
        assert "# EOF" not in fetch(port, "/metrics")[1]


# --- over several processes ----------------------------------------------------------------------------------------------


COUNT_AND_END = """
import os, signal, sys
from pathlib import Path
from gatewaycore.operations.meters import Meters

meters = Meters(Path(sys.argv[1]), "other")
for _ in range(5):
    meters.count("reloads", "done")
meters.put(7, "routes")
meters.put(1, "draining")
meters.observe(meters.histogram("request_seconds", "proxy"), 2_000_000)
meters.save()
if sys.argv[2] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
meters.close()
"""


@pytest.mark.parametrize("how", ["killed", "closed"])
def test_counts_of_processes_that_have_ended_stay(tmp_path: Path, how: str) -> None:
    meters = Meters(tmp_path, "node")
    meters.count("reloads", "done")
    meters.put(3, "routes")
    ledger = Ledger(meters)
    tmp_path.joinpath("torn.counts").write_bytes(b"{")
    for round_ in range(1, 4):
        subprocess.run([sys.executable, "-c", COUNT_AND_END, str(tmp_path), how], env=environment(), timeout=60, check=False)
        for _ in range(2):
            counted = ledger.read()
            assert counted.counters["reloads", "done"] == 1 + 5 * round_
            # What held for a process ends with it.
            assert counted.gauge("routes") == 3
            assert counted.gauge("draining") == 0
            (timed,) = histograms(counted, "request_seconds")
            assert timed.labels == ("proxy",)
            assert timed.sum_ns == 2_000_000 * round_
            assert timed.buckets[BUCKETS_S.index(0.0025)] == sum(timed.buckets) == round_
    # Two files are left of them all.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["past.sum"]


def test_a_crash_between_the_sum_and_the_removal_counts_nothing_twice(tmp_path: Path) -> None:
    ended = Meters(tmp_path, "ended")
    ended.count("reloads", "done")
    ended.close()
    del ended
    (left,) = tmp_path.glob("*.counts")
    kept = left.read_bytes()
    ledger = Ledger(Meters(tmp_path, "node"))
    assert ledger.read().counters["reloads", "done"] == 1
    left.write_bytes(kept)
    assert ledger.read().counters["reloads", "done"] == 1
    assert ledger.read().counters["reloads", "done"] == 1


def test_what_another_version_counted_is_passed_over(tmp_path: Path) -> None:
    ended = Meters(tmp_path, "ended")
    ended.close()
    del ended
    (left,) = tmp_path.glob("*.counts")
    left.write_text('{"counts": [[["gone"], 1], [["reloads"], 1], [["reloads", "done"], 4], [[], 3]]}')
    assert Ledger(Meters(tmp_path, "node")).read().counters == {("reloads", "done"): 4, ("overflow",): 0}


def test_a_forked_child_counts_from_nothing(tmp_path: Path) -> None:
    meters = Meters(tmp_path, "node")
    slot = meters.slot("reloads", "done")
    meters.add(slot)
    meters.save()
    pid = os.fork()
    if pid == 0:
        try:
            # Places that were noted before stay what they are.
            meters.add(slot, 10)
            meters.close()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert Ledger(meters).read().counters["reloads", "done"] == 11


def test_series_are_bounded(tmp_path: Path) -> None:
    meters = Meters(tmp_path, "node")
    for number in range(MOST_SERIES + 5):
        meters.count("requests", "redirect", "file", "3xx", f"package-{number}")
    assert meters.histogram("request_seconds", "late") == -1
    meters.observe(-1, 5)
    meters.add_timed(0, -1, 5)
    counts = meters.counts()
    assert len(counts) == MOST_SERIES
    assert counts["overflow",] == 7


def test_a_disk_that_takes_nothing_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tmp_path.joinpath("metrics").write_text("no folder")
    meters = Meters(tmp_path / "metrics", "node")
    for _ in range(3):
        meters.save()
    assert [record.getMessage() for record in caplog.records if "what is counted" in record.getMessage()] == [
        "what is counted cannot be kept, and is not told by other processes: File exists"
    ]


def test_a_file_that_was_taken_for_one_left_behind_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    from gatewaycore.operations import meters as room

    real = fcntl.flock
    taken: list[str] = []

    class Fcntl:
        LOCK_EX = fcntl.LOCK_EX

        @staticmethod
        def flock(fd: int, how: int) -> None:
            if not taken:
                taken.append(os.readlink(f"/proc/self/fd/{fd}"))
                os.unlink(taken[0])
            real(fd, how)

    monkeypatch.setattr(room, "fcntl", Fcntl)
    meters = Meters(tmp_path, "node")
    meters.save()
    (lock,) = tmp_path.glob("*.lock")
    assert str(lock) != taken[0]
    assert is_locked(lock)
    meters.close()
    assert is_locked(lock)
    del meters
    assert not is_locked(lock)


# --- whether a node is ready ---------------------------------------------------------------------------------------------


def test_a_node_that_serves_is_ready(tmp_path: Path) -> None:
    with opened(tmp_path, sinks=[{"type": "jsonl", "path": str(tmp_path / "out.jsonl")}]) as service:
        port = desk_of(service).port
        assert fetch(port, "/healthz") == (200, "ok\n")
        status, text = fetch(port, "/readyz?x=1")
        assert status == 200
        assert json.loads(text)["status"] == "ready"
        assert json.loads(text)["rules"] == {"routes": 4, "reload": "ok"}
        assert json.loads(text)["sinks"] == {"jsonl": "ok"}
        assert fetch(port, "/elsewhere") == (404, "/healthz, /readyz, /metrics\n")
        request = urllib.request.Request(f"http://127.0.0.1:{port}/healthz", method="HEAD")
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.read() == b""
    assert desk_of(service).port is None


def test_a_node_that_drains_is_not_ready(tmp_path: Path) -> None:
    with opened(tmp_path, operations={"port": 0, "drain-s": 7}) as service:
        assert service.drain() == 7
        status, said = ready(service)
        assert (status, said["status"], said["draining"]) == (503, "draining", 1)
        assert told(service)["draining",] == 1
        assert desk_of(service).answer("/healthz").status == 200


def test_a_service_without_operations_drains_too(tmp_path: Path) -> None:
    with Service.open(read_config({"sinks": [], **packages()}), tmp_path) as service:
        assert service.drain() == 0
        assert service.is_draining
        assert service.desk is None


@pytest.mark.parametrize("strict", [False, True])
def test_a_node_that_loses_events_says_so(tmp_path: Path, strict: bool) -> None:
    gateway = {"journal": {"max-bytes": 10}}
    service = opened(tmp_path, gateway=gateway, operations={"port": 0, "strict": strict})
    assert WORLDS["wsgi"].ask(service, GET).status == 302
    status, said = ready(service)
    assert status == (503 if strict else 200)
    assert said["status"] == ("not ready" if strict else "degraded")
    assert said["journal"] == "losing events"
    assert told(service)["journal_lost_total",] == 1


def test_rules_that_cannot_be_read_again_show(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    service = opened(tmp_path / "data", source=file)
    good = file.read_text()
    file.write_text("packages: 7")
    assert not service.reload()
    status, said = ready(service)
    assert (status, said["status"], said["rules"]["reload"]) == (200, "degraded", "refused")
    assert told(service)["reloads_total", "refused"] == told(service)["reload_failed",] == 1
    file.write_text(good)
    assert service.reload()
    assert ready(service)[1]["status"] == "ready"
    assert told(service)["reloads_total", "done"] == 1
    assert WORLDS["asgi"].ask(service, GET).status == 302


def test_sources_of_rules_that_are_not_served_show(tmp_path: Path) -> None:
    team, file = tmp_path / "team.yaml", tmp_path / "gateway.yaml"
    team.write_text("packages: []\n")
    service = opened(tmp_path / "data", source=file, sources=[{"type": "file", "path": str(team)}])
    assert ready(service)[1]["sources"] == {"file": {"state": "ok"}}
    team.write_text("packages: 7\n")
    assert service.reload()
    status, said = ready(service)
    # The file itself is served as it is now.
    assert (status, said["status"], said["rules"]["reload"]) == (200, "degraded", "ok")
    assert said["sources"]["file"]["state"] == "refused"
    assert said["sources"]["file"]["error"].startswith(f"{team}:1: packages: expected a list")
    counted = told(service)
    assert (counted["source_failing", "file"], counted["source_stale", "file"]) == (1, 0)
    assert (counted["reloads_total", "refused"], counted["reload_failed",]) == (1, 0)
    team.write_text("packages: []\n")
    assert service.reload()
    assert ready(service)[1]["status"] == "ready"


def test_a_stale_copy_of_rules_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = opened(tmp_path)
    now = service.health()
    monkeypatch.setattr(desk_of(service), "_look", lambda: evolve(now, sources=(SourceHealth("http", is_stale=True, error="no answer"),)))
    _, said = ready(service)
    assert (said["status"], said["sources"]) == ("degraded", {"http": {"state": "stale", "error": "no answer"}})
    counted = told(service)
    assert counted["source_failing", "http"] == counted["source_stale", "http"] == 1


def test_domains_show_by_state(tmp_path: Path) -> None:
    with opened(tmp_path) as service:
        service.tell_domains({"pending": 2, "verified": 5, "failing": 1, "lost": 0}, {"proved": 7, "trouble": 3})
        desk_of(service).tick()
        seen = told(service)
        assert [seen["domains", state] for state in ("pending", "verified", "failing", "lost")] == [2, 5, 1, 0]
        assert (seen["domain_looks_total", "proved"], seen["domain_looks_total", "trouble"]) == (7, 3)
        # Another process looks now: it tells how many there are.
        service.tell_domains(dict.fromkeys(("pending", "verified", "failing", "lost"), 0), {"proved": 7, "trouble": 3})
        desk_of(service).tick()
        assert (told(service)["domains", "verified"], told(service)["domain_looks_total", "proved"]) == (0, 7)


def test_a_sink_that_takes_nothing_shows_with_its_lag(tmp_path: Path) -> None:
    blocked = tmp_path / "out"
    service = opened(tmp_path / "data", sinks=[{"type": "webhook", "url": "http://127.0.0.1:1/", "allow-private": True}])
    service.close()
    del blocked
    WORLDS["wsgi"].ask(service, GET)
    status, said = ready(service)
    assert (status, said["status"], said["sinks"]) == (200, "degraded", {"webhook": "failing"})
    counted = told(service)
    assert counted["sink_failing", "webhook"] == 1
    assert counted["sink_lag_bytes", "webhook"] == counted["journal_bytes",] > 0
    assert counted["journal_lag_seconds",] == counted["sink_lag_seconds", "webhook"] >= 0
    assert counted["journal_segments",] == 1


def test_lag_is_told_whatever_becomes_of_files(tmp_path: Path) -> None:
    journal, cursors = tmp_path / "journal", tmp_path / "cursors"
    assert [lag.bytes for lag in lags(tmp_path, ["a"])] == [0]
    journal.mkdir()
    cursors.mkdir()
    # An import's ids tell when something happened, so its lag is since it came to stand here.
    imported = journal / f"node-1-{time.time_ns() - 90 * 10**9}.import.jsonl"
    imported.write_bytes(b'{"id":"0"}\n')
    (cursors / "b.json").write_text("[")
    (cursors / "c.json").write_text(json.dumps({imported.name: 11}))
    first, broken, done = lags(tmp_path, ["a", "b", "c"])
    assert (first.bytes, broken.bytes, done.bytes) == (11, 11, 0)
    assert 89 < first.seconds < 600
    assert done.seconds == 0


def test_no_room_on_a_disk_is_seen(tmp_path: Path) -> None:
    assert is_writable(tmp_path)
    assert not is_writable(tmp_path / "nothing")


def test_one_process_answers_and_another_takes_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desks, "_TICK_S", 0.02)
    settings, look = OperationsSettings(port=0, metrics=False), lambda: Health(1)
    first, second = (Desk(settings, tmp_path, [], Meters(tmp_path / "metrics", name), look) for name in ("a", "b"))
    first.start()
    first.start()
    second.start()
    assert [one.port is None for one in (first, second)] == [False, True]
    assert json.loads(first.answer("/readyz").body)["processes"] == 2
    assert first.answer("/metrics").status == 404
    first.close()
    end = time.monotonic() + 30
    while second.port is None and time.monotonic() < end:
        time.sleep(0.01)
    assert json.loads(second.answer("/readyz").body)["processes"] == 1
    second.close()


def test_a_port_that_is_taken_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        desk = Desk(OperationsSettings(port=port, metrics=False), tmp_path, [], Meters(tmp_path / "metrics", "a"), lambda: Health(1))
        desk.tick()
        desk.tick()
    assert len([record for record in caplog.records if "cannot be answered" in record.getMessage()]) == 1
    desk.tick()
    assert desk.port == port
    desk.close()


def test_it_listens_on_ipv6(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    settings = OperationsSettings(host="::1", port=0, metrics=False)
    desk = Desk(settings, tmp_path, [], Meters(tmp_path / "metrics", "a"), lambda: Health(0))
    desk.tick()
    assert f"http://[::1]:{desk.port}" in caplog.text
    with urllib.request.urlopen(f"http://[::1]:{desk.port}/healthz", timeout=10) as answer:
        assert answer.status == 200
    assert json.loads(desk.answer("/readyz").body)["status"] == "not ready"
    desk.close()


def test_a_client_that_hangs_up_disturbs_nobody(tmp_path: Path) -> None:
    with opened(tmp_path) as service:
        port = desk_of(service).port
        assert port is not None
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        assert fetch(port, "/healthz")[0] == 200


def test_readiness_is_told_when_files_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise OSError("broken")

    service = opened(tmp_path)
    monkeypatch.setattr(Ledger, "read", fail)
    assert ready(service)[0] == 200


# --- traces --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


def traced(tmp_path: Path, collector: Collector, backend: str = "127.0.0.1:1", **more: Any) -> Service:
    return opened(tmp_path, backend, traces={"endpoint": collector.url, "share": 1, **more})


def by_name(spans: list[Taken]) -> Mapping[str, Taken]:
    return {span.name: span for span in spans}


def test_a_redirect_is_traced(world: World, tmp_path: Path, collector: Collector) -> None:
    service = traced(tmp_path, collector, headers={"x-key": "of the collector"})
    for _ in range(3):
        world.ask(service, Asked(GET.method, GET.url, (("Authorization", f"Bearer {TOKEN}"),)))
    assert len(collector.spans) == 6
    spans = by_name(collector.spans)
    request, decide = spans["request"], spans["decide"]
    assert request.said == {
        "http.request.method": "GET",
        "http.response.status_code": 302,
        "http.route": "get.acme.example/{platform}/{version}",
        "server.address": "get.acme.example",
        "gatewaycore.decision": "redirect",
        "gatewaycore.type": "file",
        "gatewaycore.package": "cli",
    }
    assert (decide.trace, decide.parent) == (request.trace, request.id)
    assert request.parent == ""
    assert request.began_ns <= decide.began_ns <= decide.ended_ns <= request.ended_ns
    assert request.resource["service.name"] == "gatewaycore"
    assert collector.headers[0]["x-key"] == "of the collector"


def test_nothing_of_a_client_is_in_a_trace(world: World, tmp_path: Path, collector: Collector) -> None:
    with Upstream(plain(200, [("Content-Length", "2")], b"{}")) as upstream:
        service = traced(tmp_path, collector, upstream.authority)
        said = (("Authorization", f"Bearer {TOKEN}"), ("User-Agent", "agent-of-somebody"), ("X-Forwarded-For", CLIENT_IP))
        world.ask(service, Asked("GET", f"{MANIFEST}?secret=of-a-query", said))
        world.ask(service, Asked("GET", GET.url, said))
        # The validator of the other one lets no such method pass.
        world.ask(service, Asked("STRANGE" if world is WORLDS["asgi"] else "TRACE", "https://get.acme.example/linux/9.9.9", said))
    sent = b"".join(collector.raw)
    assert sent
    for word in (CLIENT_IP, TOKEN, "of-a-query", "agent-of-somebody", "9.9.9", "STRANGE", "traceparent"):
        assert word.encode() not in sent
    assert ("_OTHER" if world is WORLDS["asgi"] else "TRACE") in {span.said.get("http.request.method") for span in collector.spans}


def test_upstreams_are_spans_of_their_request(world: World, tmp_path: Path, collector: Collector) -> None:
    with Upstream(plain(200, [("Content-Length", "2")], b"{}")) as upstream:
        world.ask(traced(tmp_path / "up", collector, upstream.authority), Asked("GET", MANIFEST))
    spans = by_name(collector.spans)
    asked = spans["upstream"]
    assert asked.said == {"http.request.method": "GET", "server.address": "127.0.0.1", "http.response.status_code": 200}
    assert asked.parent == spans["request"].id
    assert spans["request"].said["gatewaycore.decision"] == "proxy"
    assert not spans["request"].failed
    collector.spans.clear()
    with Upstream(lambda _, __: None) as upstream:
        world.ask(traced(tmp_path / "down", collector, upstream.authority), Asked("GET", MANIFEST))
    spans = by_name(collector.spans)
    assert spans["upstream"].failed
    assert spans["upstream"].said["error.type"] in {"protocol", "connect"}
    assert spans["request"].failed
    assert spans["request"].said["http.response.status_code"] == 502


def test_those_who_opted_out_are_not_traced(world: World, tmp_path: Path, collector: Collector) -> None:
    world.ask(traced(tmp_path, collector), Asked(GET.method, GET.url, (("DNT", "1"),)))
    assert collector.spans == []


PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("traceparent", "share", "said", "wanted"),
    [
        (False, 0, PARENT, None),
        (False, 1, PARENT, ""),
        (True, 0, PARENT, "b7ad6b7169203331"),
        (True, 1, PARENT.removesuffix("1") + "0", None),
        (True, 1, "00-nonsense", ""),
        (True, 1, None, ""),
    ],
)
def test_a_traceparent_counts_where_that_is_said(
    tmp_path: Path, collector: Collector, traceparent: bool, share: float, said: str | None, wanted: str | None
) -> None:
    headers = () if said is None else (("traceparent", said),)
    WORLDS["asgi"].ask(traced(tmp_path, collector, traceparent=traceparent, share=share), Asked(GET.method, GET.url, headers))
    spans = by_name(collector.spans)
    assert (spans["request"].parent if spans else None) == wanted
    if wanted:
        assert spans["request"].trace == PARENT.split("-")[1]


def test_a_request_that_no_rule_is_for_is_traced(world: World, tmp_path: Path, collector: Collector) -> None:
    world.ask(traced(tmp_path, collector), Asked("GET", "https://elsewhere.example/x"))
    assert by_name(collector.spans)["request"].said == {
        "http.request.method": "GET",
        "http.response.status_code": 404,
        "gatewaycore.decision": "respond",
        "gatewaycore.type": "none",
    }


def test_traces_go_on_after_own_traffic_has_changed(tmp_path: Path, collector: Collector) -> None:
    service = traced(tmp_path, collector)
    service.recorder = service.recorder.leaving_out(None)
    WORLDS["wsgi"].ask(service, GET)
    assert len(collector.spans) == 2
    assert told(service)["requests_total", "3xx", "redirect", "cli", "file"] == 1
    # Ended once.
    from gatewaycore.recorder import Sent

    assert service.tracer is not None
    outcome = service.tracer.decide(service.gateway, _request())
    for _ in range(2):
        service.recorder.record(outcome, Sent(302))
    service.watch(outcome, _upstream(), time.time_ns(), "timeout")
    service.tracer.close()
    assert len(collector.spans) == 4


def _request() -> Any:
    from gatewaycore.request import Request

    return Request("GET", "get.acme.example", "/linux/1.2")


def _upstream() -> Any:
    from gatewaycore.decision import Upstream as Step
    from gatewaycore.headers import Headers

    return Step("GET", "https://up.example/", Headers())


# --- what may be written -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sections", "wrong"),
    [
        ({"operations": {"port": 70000}}, "70000 is no port"),
        ({"operations": {"drain-s": -1}}, "too small"),
        ({"operations": {"prot": 1}}, "unknown key"),
        ({"traces": {"endpoint": "http://c.example"}}, "no URL with a path"),
        ({"traces": {"endpoint": "http://[c"}}, "no URL with a path"),
        ({"traces": {"endpoint": "http://u:p@c.example/v1/traces"}}, "no URL with a path"),
        ({"traces": {"endpoint": "http://c.example/v1/traces", "share": 1.5}}, "1.5 is no share"),
        ({"traces": {}}, "is missing"),
        ({"traces": 1}, "expected a mapping"),
    ],
)
def test_what_cannot_be_meant_is_refused(sections: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ConfigError, match=wrong):
        read_config({**packages(), **sections})


def test_headers_of_the_collector_may_stand_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLLECTOR_KEY", "secret")
    config = read_config({**packages(), "traces": {"endpoint": "http://c.example/v1/traces", "headers": {"x-key-env": "COLLECTOR_KEY"}}})
    assert config.traces is not None
    assert config.traces.headers == {"x-key": "secret"}
    assert "secret" not in repr(config)


@pytest.mark.parametrize(("extra", "module"), [("metrics", "prometheus_client"), ("otel", "opentelemetry.sdk.trace")])
def test_an_extra_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra: str, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    sections: dict[str, Any] = {"operations": {"port": 0}} if extra == "metrics" else {"traces": {"endpoint": "http://c.example/v1/traces"}}
    with pytest.raises(ConfigError, match=rf"gatewaycore\[{extra}\]"):
        Service.open(read_config({"sinks": [], **packages(), **sections}), tmp_path)


def test_meters_are_safe_from_threads(tmp_path: Path) -> None:
    meters = Meters(tmp_path, "node")
    slot, timed = meters.slot("reloads", "done"), meters.histogram("request_seconds", "proxy")

    def work() -> None:
        for _ in range(2_000):
            meters.add_timed(slot, timed, 1_000_000)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert meters.counts()["reloads", "done"] == 8_000


# --- what is shown of it -------------------------------------------------------------------------------------------------


GRAFANA = Path(__file__).parents[2] / "examples" / "grafana"


def queries() -> Iterator[str]:
    dashboard = json.loads((GRAFANA / "gatewaycore.json").read_text())
    yield from (target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    yield from (variable["query"] for variable in dashboard["templating"]["list"] if variable["type"] == "query")
    yield from (rule["expr"] for group in yaml.safe_load((GRAFANA / "alerts.yaml").read_text())["groups"] for rule in group["rules"])


def series() -> dict[str, set[str]]:
    """Return the names under which Prometheus keeps what is told, with their labels, and those that it adds itself."""
    found = {"up": {"job", "instance"}}
    for name, meter in {**METERS, **LOOKED_AT}.items():
        endings = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}[meter.kind]
        for ending in endings:
            found[PREFIX + name + ending] = {*meter.labels, "job", "instance", *(["le"] if ending == "_bucket" else [])}
    return found


@pytest.mark.parametrize("query", sorted(set(queries())))
def test_every_query_asks_for_what_there_is(query: str) -> None:
    there = series()
    asked = re.findall(r"gatewaycore_\w+|^up\b", query)
    assert asked
    assert set(asked) <= there.keys()
    named = {name.strip() for group in re.findall(r"by \(([^)]*)\)", query) for name in group.split(",")}
    named |= set(re.findall(r"(\w+)\s*(?:=~|!=|=)\s*\"", query))
    for name in asked:
        assert named <= there[name], f"{name} has no {named - there[name]}"


def test_the_dashboard_shows_everything() -> None:
    shown = {re.sub(r"_(total|bucket|sum|count)$", "", name) for query in queries() for name in re.findall(r"gatewaycore_(\w+)", query)}
    assert shown == {*METERS, *LOOKED_AT}
    panels = json.loads((GRAFANA / "gatewaycore.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["title"] and panel["targets"] for panel in panels)


# --- what happens between two steps --------------------------------------------------------------------------------------


def test_a_child_begins_anew_whatever_its_parent_has_counted(tmp_path: Path) -> None:
    meters = Meters(tmp_path, "node")
    meters.count("reloads", "done")
    meters.save()
    parent = meters._path
    # As after a fork; but here the two are one process, whose lock it is.
    _begin_anew(weakref.ref(meters))
    assert meters.counts()["reloads", "done"] == 0
    meters.count("reloads", "done")
    meters.save()
    assert meters._path != parent
    gone = weakref.ref(meters)
    del meters
    _begin_anew(gone)


def test_a_place_that_another_thread_has_made_is_taken(tmp_path: Path) -> None:
    meters = Meters(tmp_path, "node")
    assert meters._place(("reloads", "done"), 1) == meters._place(("reloads", "done"), 1) == meters.slot("reloads", "done")


def test_segments_that_are_removed_meanwhile_are_passed_over(tmp_path: Path) -> None:
    gone = tmp_path / "node-1-2.jsonl"
    assert health._size(gone) == health._recorded_ms(gone, 0) == 0


def test_around_does_what_is_inside(tmp_path: Path) -> None:
    from gatewaycore.recorder import Sent

    service = Service.open(read_config({"sinks": [], **packages()}), tmp_path)
    around = Around(service.recorder)
    for _ in range(3):
        outcome = service.gateway.decide(_request())
        if outcome.settled is None:
            assert around.record(outcome, Sent(302))
        else:
            assert around.record_settled(outcome, outcome.settled)
    assert len([line for segment in (tmp_path / "journal").glob("*.jsonl") for line in segment.read_bytes().splitlines()]) == 3
