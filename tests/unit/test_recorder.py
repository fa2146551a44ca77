"""The recorder: what becomes an event, column by column, and that no address ever does."""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from attrs import asdict, field, fields, frozen

from gatewaycore.decision import Collect, Redirect, Respond
from gatewaycore.enrich import Caller, Column, Enricher, Refreshed
from gatewaycore.errors import Problem
from gatewaycore.event import MAX_TEXT, Event
from gatewaycore.gateway import Gateway, Outcome
from gatewaycore.headers import Headers
from gatewaycore.marks import NEAR_MS, Mark
from gatewaycore.owntraffic import OwnTrafficSettings
from gatewaycore.privacy import REDACTED, endpoint_id, origin_id
from gatewaycore.recorder import Recorder, Sent, decode, encode
from gatewaycore.request import Request
from gatewaycore.rules import CatchAllRule, ContainerRule, EventRule, FileRule, InstallRule, PixelRule
from gatewaycore.salts import Salts

GET = "get.acme.example"
V4, V6 = "203.0.113.7", "2001:db8::7"
WHEN = datetime(2026, 11, 22, 8, 30, 0, 123456, tzinfo=UTC)
GATEWAY = Gateway.compile(
    [
        route
        for rule in (
            FileRule(
                name="cli",
                id="id-1",
                domain=GET,
                incoming_path="/{platform}/{version}",
                outgoing_url="https://cdn.acme.example:8443/{version}",
            ),
            FileRule(name="arch", domain=GET, incoming_path="/a/{arch}/x", outgoing_url="https://cdn.acme.example/{arch}"),
            FileRule(name="all", domain=GET, incoming_path="/all/{+path}", outgoing_url="https://cdn.acme.example/{+path}"),
            EventRule(name="usage", domain=GET, incoming_path="/e/{event}/x"),
            InstallRule(name="hooks", domain=GET),
            PixelRule(name="docs", domain=GET),
            PixelRule(name="many", domain=GET, incoming_path="/b.png", package_variable="p"),
            CatchAllRule(name="old", domain="old.acme.example", redirect_target_domain="acme.example"),
            ContainerRule(name="acme/x", domain="docker.acme.example", backend="ghcr.example/acme/x", strategy="proxy"),
        )
        for route in rule.compile()
    ]
)


@frozen
class Says:
    """An enricher that says one thing of everybody."""

    found: Mapping[str, Column]
    asked: list[Caller] = field(factory=list)

    def columns(self, caller: Caller) -> Mapping[str, Column]:
        self.asked.append(caller)
        return self.found


class Kept:
    """A recorder with a list for a journal."""

    def __init__(self, *enrichers: Enricher) -> None:
        self.lines: list[bytes] = []
        self.salts = Salts(None)
        self.recorder = Recorder(self._append, enrichers, self.salts)

    def _append(self, line: bytes) -> bool:
        self.lines.append(line)
        return True

    @property
    def events(self) -> list[Event]:
        return [decode(line) for line in self.lines]

    def record(self, outcome: Outcome, **sent: Any) -> Event:
        """Record as an adapter does."""
        if outcome.settled is not None:
            self.recorder.record_settled(outcome, outcome.settled)
        else:
            self.recorder.record(outcome, Sent(**{"status": getattr(outcome.decision, "status", 200), **sent}))
        return self.events[-1]


def ask(
    path: str, method: str = "GET", host: str = GET, query: str = "", address: str = V4, headers: Any = (), gateway: Gateway = GATEWAY
) -> Outcome:
    return gateway.decide(Request(method, host, path, query, Headers(headers), address, "https", WHEN))


@pytest.fixture
def kept() -> Kept:
    return Kept()


def settled(path: str, **more: Any) -> Outcome:
    """Ask until the answer is kept."""
    outcomes = [ask(path, **more) for _ in range(3)]
    assert outcomes[-1].settled is not None
    return outcomes[-1]


# --- columns -------------------------------------------------------------------------------------------------------------


SAYS: dict[str, Column] = {
    "client": "pip", "client_version": "24", "client_runtime": "CPython/3.11", "os": "linux", "device": "server", "agent": "ci",
    "agent_reason": "build-system",
    "arch": "x86_64", "country": "AT", "region": "AT-9", "city": "Wien", "company": "Acme",
    "company_domain": "acme.example", "connection": "business",
    "cloud": "hetzner", "confidence": 0.5,
}  # fmt: skip


def test_every_column() -> None:
    kept = Kept(Says(SAYS))
    event = kept.record(ask("/linux/1.2", query="page=here&a=b", headers={"User-Agent": "pip/24"}), body_bytes=5)
    expected = {
        **SAYS,
        "schema": 1, "time": WHEN, "domain": GET, "package": "id-1", "package_type": "file", "rule": f"{GET}/{{platform}}/{{version}}",
        "kind": "download", "method": "GET", "status": 302, "decision": "redirect", "target": "cdn.acme.example", "version": "1.2",
        "platform": "linux", "platform_recognised": True, "page": "here", "user_agent": "pip/24", "bytes": 5,
        "variables": {"platform": "linux", "version": "1.2", "page": "here", "a": "b"},
        "origin_id": origin_id(kept.salts.key, V4, "pip/24", GET), "endpoint_id": endpoint_id(kept.salts.key, V4, GET), "id": event.id,
    }  # fmt: skip
    assert asdict(event) == expected
    assert set(expected) == {column.name for column in fields(Event)}


def test_a_line_is_one_json_object_without_what_is_not_known(kept: Kept) -> None:
    kept.record(ask("/none-such-platform/1", address=""))
    (line,) = kept.lines
    assert line.count(b"\n") == 1
    assert line.endswith(b"}\n")
    found = json.loads(line)
    assert None not in found.values()
    assert list(found)[:2] == ["id", "time"]
    assert found["time"] == "2026-11-22T08:30:00.123456Z"
    assert not {"origin_id", "endpoint_id", "user_agent", "country", "page"} & set(found)
    assert found["agent"] == "unknown"


@pytest.mark.parametrize(
    ("platform", "recognised"), [("linux", True), ("macOS", True), ("AllPlatforms", True), ("plan9", False), ("linux-gnu", False)]
)
def test_a_platform_is_kept_as_sent(kept: Kept, platform: str, recognised: bool) -> None:
    event = kept.record(ask(f"/{platform}/1"))
    assert (event.platform, event.platform_recognised) == (platform, recognised)


@pytest.mark.parametrize(
    ("path", "host", "method", "sent", "expected"),
    [
        ("/linux/1", GET, "GET", {}, ("redirect", "cdn.acme.example", "download")),
        (
            "/linux/1",
            GET,
            "POST",
            {"redirected": Redirect("https://cdn.acme.example/1", 307)},
            ("redirect", "cdn.acme.example", "download"),
        ),
        ("/e/start/x", GET, "GET", {}, ("respond", None, "event")),
        ("/a.png", GET, "GET", {}, ("respond", None, "view")),
        ("/x", "old.acme.example", "GET", {}, ("redirect", "acme.example", "download")),
        (
            "/v2/acme/x/manifests/1",
            "docker.acme.example",
            "GET",
            {"upstream": "https://ghcr.example/v2/"},
            ("proxy", "ghcr.example", "manifest"),
        ),
        ("/v2/acme/x/manifests/1", "docker.acme.example", "GET", {"upstream": "https://[broken/v2/"}, ("proxy", None, "manifest")),
        (
            "/v2/acme/x/manifests/1",
            "docker.acme.example",
            "GET",
            {"status": 404, "upstream": "https://ghcr.example"},
            ("proxy", "ghcr.example", "manifest"),
        ),
    ],
)
def test_decision_target_and_kind(kept: Kept, path: str, host: str, method: str, sent: dict[str, Any], expected: tuple[Any, ...]) -> None:
    event = kept.record(ask(path, method, host), **sent)
    assert (event.decision, event.target, event.kind) == expected


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/", "GET", 404),
        ("/%2e%2e/x", "GET", 400),
        ("/e/start/x", "GET", 401),
        ("/e/start/x", "OPTIONS", 204),
        ("/b.png", "GET", 200),
        ("/linux/1", "POST", 413),
    ],
)
def test_what_was_refused_here_is_no_event(kept: Kept, path: str, method: str, status: int) -> None:
    kept.recorder.record(ask(path, method), Sent(status))
    assert kept.lines == []
    assert kept.recorder.failed == 0


def test_each_event_in_a_body_is_one(kept: Kept) -> None:
    outcome = ask("/e/start/x", "POST")
    assert isinstance(outcome.decision, Collect)
    reception = outcome.decision.receive(b'{"version": "1"}\n{"version": "2"}\n{}')
    kept.record(outcome, entries=reception.entries)
    assert [event.version for event in kept.events] == ["1", "2", None]
    assert len({event.id for event in kept.events}) == 3


def mark(off_ms: int = 0) -> Mark:
    return Mark(time.time_ns() // 1_000_000 + off_ms, b"ten bytes.")


@pytest.mark.parametrize("path", ["/linux/1.2.3", "/e/start/x"])
def test_two_records_of_one_request_are_one_event(path: str) -> None:
    marked = mark()
    found = []
    for _ in range(2):
        # Two nodes: the first has died before it could answer.
        kept, outcome = Kept(), settled(path) if path == "/linux/1.2.3" else ask(path)
        outcome.request.mark = marked
        found.append(kept.record(outcome))
        assert kept.recorder.events(outcome, Sent(found[0].status))[0].id == found[0].id
    assert found[0].id == found[1].id == marked.event_id().decode()
    assert found[0].time == found[1].time == marked.time


def test_each_event_in_the_body_of_a_marked_request_is_one(kept: Kept) -> None:
    outcome = ask("/e/start/x", "POST")
    assert isinstance(outcome.decision, Collect)
    outcome.request.mark = mark()
    reception = outcome.decision.receive(b'{"version": "1"}\n{"version": "2"}\n{}')
    for _ in range(2):
        kept.record(outcome, entries=reception.entries)
    ids = [event.id for event in kept.events]
    assert ids[:3] == ids[3:]
    assert len(set(ids)) == 3


@pytest.mark.parametrize("path", ["/linux/1.2.3", "/e/start/x"])
def test_a_mark_whose_time_cannot_be_is_not_believed(kept: Kept, path: str) -> None:
    outcome = settled(path) if path == "/linux/1.2.3" else ask(path)
    outcome.request.mark = mark(-2 * NEAR_MS)
    one, other = kept.record(outcome), kept.record(outcome)
    assert one.id != other.id
    assert one.time == WHEN


def test_what_the_rule_knows_of_the_architecture_counts() -> None:
    kept = Kept(Says({"arch": "x86_64"}))
    assert kept.record(ask("/linux/1")).arch == "x86_64"
    for _ in range(4):
        # The third time the answer is kept, and encoded.
        assert kept.record(ask("/a/arm64/x")).arch == "arm64"
        assert kept.record(ask("/linux/2")).arch == "x86_64"
    for line in kept.lines:
        names = [name for name, _ in json.loads(line, object_pairs_hook=list)]
        assert names.count("arch") == 1


def test_the_first_enricher_that_knows_wins() -> None:
    first, second = Says({"country": "AT", "city": None}, []), Says({"country": "DE", "city": "Bonn"}, [])
    kept = Kept(first, second)
    event = kept.record(ask("/linux/1"))
    assert (event.country, event.city, event.agent) == ("AT", "Bonn", "unknown")


def test_a_caller_is_looked_up_once_for_many_requests() -> None:
    says = Says({}, [])
    kept = Kept(says)
    for number in range(5):
        kept.record(ask(f"/linux/{number}", headers={"User-Agent": "x"}))
    assert says.asked == [Caller(V4, "x", GET)]
    for more in ({"address": V6}, {"headers": {"User-Agent": "y"}}, {"host": "old.acme.example"}):
        kept.record(ask("/linux/1", **more))
    assert len(says.asked) == 4


# --- opting out ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [{"Sec-GPC": "1"}, {"DNT": "1"}, {"dnt": "1;x"}])
@pytest.mark.parametrize(
    ("path", "method"), [("/linux/1", "GET"), ("/e/x/x", "POST"), ("/a.png", "GET"), ("/package-event/install", "POST"), ("/none/", "GET")]
)
def test_whoever_opted_out_leaves_nothing(headers: dict[str, str], path: str, method: str) -> None:
    says = Says({}, [])
    kept = Kept(says)
    for _ in range(3):
        outcome = ask(path, method, headers=headers)
        if outcome.settled is not None:
            kept.recorder.record_settled(outcome, outcome.settled)
        kept.recorder.record(outcome, Sent(200, 1, "", [{"a": "b"}]))
        assert kept.recorder.events(outcome, Sent(200)) == []
    assert (kept.lines, says.asked, kept.salts.key, kept.recorder.failed) == ([], [], b"", 0)


# --- addresses -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "written"),
    [
        (V4, V4), (V4, f"x-{V4}-y"), (V4, f"::ffff:{V4}"), (V6, V6), (V6, V6.upper()), (V6, "2001:0db8:0:0:0:0:0:7"),
        (f"::ffff:{V4}", V4), ("::ffff:cb00:7107", V4), ("::1", "::1"), ("fe80::1%eth0", "fe80::1"), ("testclient", "testclient"),
    ],
)  # fmt: skip
def test_the_clients_own_address_is_taken_out_wherever_it_stands(address: str, written: str) -> None:
    kept = Kept()
    escaped = written.replace(":", "%3A")
    headers = {"User-Agent": f"x/1 ({written})", "Referer": f"https://x.example/?ip={escaped}&also={written}"}
    for path, method, query in (
        (f"/{escaped}/{escaped}", "GET", f"{escaped}={escaped}&page={escaped}"),
        (f"/all/a/{escaped}", "GET", ""),
        (f"/a/{escaped}/x", "GET", f"version={written}"),
        ("/a.png", "GET", ""),
        ("/b.png", "GET", f"p={escaped}"),
        (f"/package-event/install/{escaped}", "POST", ""),
        (f"/e/{escaped}/x", "POST", ""),
    ):
        for _ in range(3):
            outcome = ask(path, method, query=query, address=address, headers=headers)
            kept.record(
                outcome, status=302, entries=[{written: written, "$version": written, "platform": written}] if method == "POST" else ()
            )
    assert kept.recorder.failed == 0
    assert len(kept.events) == 21
    for event in kept.events:
        text = json.dumps(asdict(event), default=str)
        assert written not in text
        assert address not in text
        assert escaped not in text
        assert REDACTED in text
        assert event.endpoint_id == endpoint_id(kept.salts.key, address, GET)


@pytest.mark.parametrize(("address", "other"), [(V4, "198.51.100.9"), (V6, "2001:db8::8"), ("2001:DB8::7", V4)])
def test_anothers_address_in_the_same_kept_answer_is_no_address_of_the_client(address: str, other: str) -> None:
    kept = Kept()
    path = f"/linux/{address.replace(':', '%3A')}"
    versions = [kept.record(settled(path, address=caller)).version for caller in (other, address, other, address, other)]
    assert versions == [address, REDACTED, address, REDACTED, address]


# --- kept answers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("/linux/1.2", {}),
        ("/linux/1.2", {"method": "HEAD", "query": "a=b"}),
        ("/linux/1.2", {"address": ""}),
        ("/linux/1.2", {"address": V6}),
        (f"/linux/{V4}", {}),
        ("/linux/1.2.3.4", {}),
        ("/linux/::1", {"address": V6}),
        ("/a/arm64/x", {}),
        ("/x?", {"host": "old.acme.example", "headers": {"User-Agent": "ü/1"}}),
    ],
)
def test_a_kept_answer_is_recorded_as_any_other(path: str, more: dict[str, Any]) -> None:
    kept = Kept(Says({"arch": "x86_64", "country": "AT"}))
    outcome = settled(path, **more)
    assert outcome.settled is not None
    for _ in range(2):
        kept.recorder.record_settled(outcome, outcome.settled)
    kept.recorder.record(outcome, Sent(302))
    told = [{**asdict(event), "id": None} for event in kept.events]
    told += [{**asdict(event), "id": None} for event in kept.recorder.events(outcome, Sent(302))]
    assert len(told) == 4
    assert all(event == told[0] for event in told)


def test_a_kept_answer_that_is_no_event_stays_none() -> None:
    class Silent:
        """A steady route that sees nothing."""

        steady, label, domain, priority, package = True, "silent", GET, 0, None
        pattern = FileRule(name="x", domain=GET, incoming_path="/silent").compile()[0].pattern

        def decide(self, request: Request, match: Any) -> Redirect:
            return Redirect("https://cdn.acme.example/", 302)

        def observe(self, request: Request, match: Any, entry: Any = None) -> None:
            return None

    gateway = Gateway.compile([Silent()])
    kept = Kept()
    outcome = settled("/silent", gateway=gateway)
    assert outcome.settled is not None
    kept.recorder.record_settled(outcome, outcome.settled)
    kept.recorder.record(outcome, Sent(302))
    assert (kept.lines, kept.recorder.failed) == ([], 0)


# --- what goes wrong -----------------------------------------------------------------------------------------------------


class Raises:
    """An enricher that breaks its promise."""

    def columns(self, caller: Caller) -> Mapping[str, Column]:
        raise RuntimeError(f"cannot look up {caller.address}")


def test_an_enricher_that_raises_is_counted_and_costs_its_columns_only(caplog: pytest.LogCaptureFixture) -> None:
    kept = Kept(Raises(), Says({"country": "AT"}))
    kept.recorder.record(ask("/linux/1"), Sent(302))
    outcome = settled("/linux/1")
    assert outcome.settled is not None
    kept.recorder.record_settled(outcome, outcome.settled)
    # Asked once for its caller, and not again.
    assert ([event.country for event in kept.events], kept.recorder.failed) == (["AT", "AT"], 1)
    assert "RuntimeError" in caplog.text
    # What an error says may quote what must not be kept.
    assert V4 not in caplog.text


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("company", "Acme", "Acme"), ("company", "x" * 5000, "x" * 256), ("company", "", None), ("company", 5, None),
        ("company", ["x"], None),
        ("company", f"Acme {V4} Ltd", f"Acme {REDACTED} Ltd"), ("region", "a\ud800b", "a?b"), ("company", V4, REDACTED),
        ("connection", "business", "business"), ("connection", "carrier pigeon", None), ("agent_reason", "browser", "browser"),
        ("confidence", 0.5, 0.5), ("confidence", 1, 1.0), ("confidence", 1.5, None), ("confidence", float("nan"), None),
        ("confidence", "1", None),
    ],
)  # fmt: skip
def test_what_an_enricher_says_fits_into_an_event(column: str, value: Any, expected: Any) -> None:
    kept = Kept(Says({column: value, "client_ip": V4, "id": "x"}))
    assert getattr(kept.record(ask("/linux/1")), column) == expected
    assert b"client_ip" not in kept.lines[0]
    assert kept.recorder.failed == 0


def test_an_agent_that_there_is_not_is_unknown() -> None:
    assert Kept(Says({"agent": "martian"})).record(ask("/linux/1")).agent == "unknown"


class Replaced:
    """An enricher whose file is replaced now and then."""

    def __init__(self, *found: Refreshed | Exception) -> None:
        self.found = list(found)
        self.country = "AT"

    def columns(self, caller: Caller) -> Mapping[str, Column]:
        return {"country": self.country}

    def refresh(self) -> Refreshed:
        found = self.found.pop(0)
        if isinstance(found, Exception):
            raise found
        return found


def test_what_was_looked_up_is_forgotten_when_a_file_was_replaced() -> None:
    first, second = Replaced(Refreshed(), Refreshed(swapped=True)), Replaced(Refreshed(), Refreshed())
    kept = Kept(Says({}), first, second)
    assert kept.record(ask("/linux/1")).country == "AT"
    first.country = "CH"
    kept.recorder.keep_house(time.time_ns())
    assert kept.record(ask("/linux/1")).country == "AT"
    kept.recorder.keep_house(time.time_ns())
    for _ in range(3):
        assert kept.record(ask("/linux/1")).country == "CH"
    # Every one was asked, whatever the others said.
    assert (first.found, second.found) == ([], [])


def test_a_file_that_cannot_be_used_is_told_and_whoever_fails_to_look_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    problem = Problem("/srv/x.mmdb", "is damaged", "download it again")
    damaged = Problem("/srv/y.mmdb", "is damaged: 2 look-ups have failed", "download it again")
    kept = Kept(Replaced(RuntimeError("secret"), Refreshed()), Replaced(Refreshed(problems=(problem,), damaged=(damaged,)), Refreshed()))
    kept.recorder.keep_house(time.time_ns())
    assert "Replaced cannot look at its files: RuntimeError" in caplog.text
    assert "the old one is asked on: /srv/x.mmdb: is damaged (download it again)" in caplog.text
    assert "stay empty where it cannot be read: /srv/y.mmdb: is damaged: 2 look-ups have failed (download it again)" in caplog.text
    assert "secret" not in caplog.text
    caplog.clear()
    kept.recorder.keep_house(time.time_ns())
    assert caplog.text == ""


# --- own traffic ---------------------------------------------------------------------------------------------------------


def test_own_traffic_leaves_nothing() -> None:
    own = OwnTrafficSettings(networks=("203.0.113.0/24",)).compile()
    says = Says({}, [])
    kept = Kept(says)
    recorder = kept.recorder.leaving_out(own)
    outcome = settled("/linux/1")
    assert outcome.settled is not None
    recorder.record(outcome, Sent(302))
    recorder.record_settled(outcome, outcome.settled)
    assert recorder.events(outcome, Sent(302)) == []
    assert (kept.lines, says.asked, kept.salts.key) == ([], [], b"")
    other = settled("/linux/1", address="198.51.100.9")
    assert other.settled is not None
    recorder.record(other, Sent(302))
    recorder.record_settled(other, other.settled)
    assert len(recorder.events(other, Sent(302))) == 1
    assert len(kept.lines) == 2


def test_a_recorder_that_leaves_nothing_out_asks_nothing() -> None:
    kept = Kept()
    kept.recorder._failed = 3
    own = OwnTrafficSettings(user_agents=("x",)).compile()
    for recorder in (kept.recorder.leaving_out(None), kept.recorder.leaving_out(own).leaving_out(None)):
        assert type(recorder) is Recorder
        assert recorder.failed == 3


# --- identifiers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rotation", ["day", "month"])
def test_identifiers_differ_between_domains_and_periods(rotation: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[bytes] = []

    def append(line: bytes) -> bool:
        lines.append(line)
        return True

    recorder = Recorder(append, (), Salts(None, rotation))
    days = [datetime(2026, 11, day, hour, tzinfo=UTC) for day, hour in ((21, 1), (21, 23), (22, 1))]
    for when in days:
        monkeypatch.setattr(time, "time_ns", lambda when=when: int(when.timestamp()) * 1_000_000_000)
        for host, path in ((GET, "/linux/1"), ("old.acme.example", "/x")):
            recorder.record(ask(path, host=host), Sent(302))
    for column in ("origin_id", "endpoint_id"):
        found = [getattr(decode(line), column) for line in lines]
        assert found[0] != found[1]
        assert found[:2] == found[2:4]
        assert (found[:2] == found[4:]) is (rotation == "month")
        assert len(set(found)) == (4 if rotation == "day" else 2)


def test_nothing_holds_an_old_key(kept: Kept) -> None:
    """Not the salts, and not what was cached with it."""
    kept.record(ask("/linux/1"))
    key = kept.salts.key
    alone = os.urandom(32)
    assert sys.getrefcount(key) > sys.getrefcount(alone)
    kept.recorder.keep_house(kept.salts.until_ns)
    assert kept.salts.key != key
    gc.collect()
    assert sys.getrefcount(key) == sys.getrefcount(alone)


def test_a_journal_that_loses_a_line_costs_no_answer() -> None:
    recorder = Recorder(lambda _: False, (), Salts(None))
    recorder.record(ask("/linux/1"), Sent(302))
    assert recorder.failed == 0


def test_an_event_that_cannot_be_appended_is_counted_and_costs_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    def full(line: bytes) -> bool:
        raise OSError(28, f"no space for {V4}")

    recorder = Recorder(full, (), Salts(None))
    outcome = settled("/linux/1")
    assert outcome.settled is not None
    recorder.record(outcome, Sent(302))
    recorder.record_settled(outcome, outcome.settled)
    assert recorder.failed == 2
    assert "an event could not be recorded: OSError" in caplog.text
    assert V4 not in caplog.text


def test_a_torn_line_is_no_event() -> None:
    kept = Kept()
    kept.record(ask("/linux/1"))
    with pytest.raises(msgspec.DecodeError):
        decode(kept.lines[0][:-10])


# --- salts ---------------------------------------------------------------------------------------------------------------


def test_identifiers_change_with_the_salt(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [int(WHEN.timestamp()) * 1_000_000_000]
    monkeypatch.setattr(time, "time_ns", lambda: now[0])
    before = [kept.record(settled("/linux/1")) for _ in range(2)]
    now[0] = kept.salts.until_ns
    after = [kept.record(settled("/linux/1")) for _ in range(2)]
    assert len({event.endpoint_id for event in before}) == len({event.endpoint_id for event in after}) == 1
    assert before[0].endpoint_id != after[0].endpoint_id
    assert before[0].origin_id != after[0].origin_id


def test_what_a_slow_thread_made_with_an_old_salt_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [int(WHEN.timestamp()) * 1_000_000_000]
    monkeypatch.setattr(time, "time_ns", lambda: now[0])
    looking, rotated = threading.Event(), threading.Event()

    class Slow:
        """Looks the first caller up for as long as a rotation takes."""

        first = True

        def columns(self, caller: Caller) -> Mapping[str, Column]:
            if self.first:
                self.first = False
                looking.set()
                assert rotated.wait(30)
            return {}

    kept = Kept(Slow())
    slow = threading.Thread(target=kept.record, args=(ask("/linux/1"),))
    slow.start()
    assert looking.wait(30)
    now[0] = kept.salts.until_ns
    kept.record(ask("/linux/1", address=V6))
    rotated.set()
    slow.join()
    assert kept.record(ask("/linux/1")).endpoint_id == endpoint_id(kept.salts.key, V4, GET)


# --- what is odd ---------------------------------------------------------------------------------------------------------


def test_respond_has_no_target(kept: Kept) -> None:
    outcome = ask("/a.png")
    assert isinstance(outcome.decision, Respond)
    assert kept.record(outcome, body_bytes=68).bytes == 68


def test_a_user_agent_without_end_is_cut(kept: Kept) -> None:
    headers = [("user-agent", "x" * 70_000)]
    for outcome in (ask("/linux/agent", headers=headers), settled("/linux/agent", headers=headers)):
        assert kept.record(outcome).user_agent == "x" * 1024


@pytest.mark.parametrize("address", ["198.51.100.7", "2001:db8:7::99"])
@pytest.mark.parametrize("escape", ["", "%", "%252525"])
def test_a_cut_leaves_no_piece_of_an_address(kept: Kept, address: str, escape: str) -> None:
    spelled = "".join(f"{escape}{ord(character):02X}" for character in address) if escape else address
    for before in range(1024 - len(spelled), 1025):
        headers = [("user-agent", "x" * before + spelled + "y" * 600)]
        for outcome in (ask("/linux/1", headers=headers, address=address), settled("/linux/1", headers=headers, address=address)):
            agent = kept.record(outcome).user_agent or ""
            assert ("x" * before + "[address]" + "y" * 1024).startswith(agent)
            assert 1024 - len(spelled) <= len(agent) <= 1024
    for before in range(max(32 - len(spelled), 0), 33):
        method = kept.record(ask("/linux/1", method="x" * before + spelled + "y" * 600, address=address)).method
        assert ("x" * before + "[address]" + "y" * 32).startswith(method)
        assert before < len(method) <= 32 or before == len(method) == 32


@pytest.mark.parametrize("address", ["198.51.100.7", "2001:db8:7::99"])
def test_a_cut_leaves_no_piece_of_an_address_in_what_a_request_says(kept: Kept, address: str) -> None:
    for before in range(MAX_TEXT - len(address), MAX_TEXT + 1):
        long = "x" * before + address + "y" * 3_000
        for outcome in (
            ask(f"/linux/{long}", address=address),
            ask("/linux/1", query=f"version={long}&a={long}", address=address),
            ask("/a.png", headers={"Referer": long}, address=address),
        ):
            kept.record(outcome)
        kept.record(ask("/e/start/x", address=address), entries=[{"$version": long, "$referrer": long, "a": long}])
        texts = [text for event in kept.events[-4:] for text in (event.version, event.page, *event.variables.values())]
        found = [text for text in texts if text and text not in ("1", "linux", "start")]
        assert len(found) >= 7
        for text in found:
            assert long.replace(address, "[address]").startswith(text)
            assert MAX_TEXT - len(address) <= len(text) <= MAX_TEXT


def test_a_method_without_end_is_cut(kept: Kept) -> None:
    assert kept.record(ask("/linux/1", method="X" * 70_000)).method == "X" * 32


@pytest.mark.parametrize("query", ["a=\ud800", "\udfff", "page=\ud800&\ud800=1&version=\udcff"])
def test_text_that_is_no_unicode_is_recorded_all_the_same(kept: Kept, query: str) -> None:
    for path in ("/linux/1", "/a.png", "/e/start/x", "/linux/1"):
        kept.record(ask(path, query=query))
    assert kept.recorder.failed == 0
    assert all("?" in str(event.variables) for event in kept.events)


def test_no_request_writes_a_line_without_end(kept: Kept) -> None:
    long = "x" * 100_000
    query = "&".join(f"{number}{long}={long}" for number in range(200))
    kept.record(ask(f"/linux/{long}", query=query, headers={"User-Agent": long, "Referer": long}))
    kept.record(ask("/a.png", query=query, headers={"Referer": long}))
    kept.record(ask("/e/start/x"), entries=[{f"{number}{long}": long for number in range(200)}])
    assert all(len(line) < 250_000 for line in kept.lines)
    assert kept.events[0].version == "x" * 2_048


# --- the client's own address, escaped -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("address", "escaped"), [(V4, "203%2E0%252E113.7"), (V6, "2001%3Adb8%253A%3A7"), (V6, "%32001:db8:0::7")])
def test_an_escaped_address_is_taken_out_of_every_event_of_its_client_and_of_nobody_elses(kept: Kept, address: str, escaped: str) -> None:
    twice = escaped.replace("%", "%25")
    for _ in range(4):
        # Kept for another client: for its own it is not.
        assert kept.record(settled(f"/linux/{twice}", address="198.51.100.9")).version == escaped
        event = kept.record(ask(f"/linux/{twice}", address=address))
        assert event.version == event.variables["version"] == REDACTED
    page = kept.record(ask("/a.png", address=address, headers={"Referer": f"https://x/?ip={escaped}"})).page
    assert page == f"https://x/?ip={REDACTED}"


@pytest.mark.parametrize("spelled", ["::ffff:cb00:7107", "[0:0:0:0:0:FFFF:cb00:7107]", "%3A%3affff%3Acb00%3A7107"])
def test_an_address_inside_another_one_is_taken_out(kept: Kept, spelled: str) -> None:
    for path in (f"/linux/{spelled}", f"/linux/{spelled}", "/a.png"):
        kept.record(ask(path, query=f"from={spelled}", headers={"User-Agent": f"x/1 ({spelled})"}, address=V4))
    assert REDACTED in str(kept.events[-1].user_agent)
    for event in kept.events:
        assert REDACTED in event.variables["from"]
        assert "7107" not in str(event)


def test_a_method_may_be_an_address_too(kept: Kept) -> None:
    """Its characters are those of a token (RFC 9110 §5.6.2)."""
    assert kept.record(ask("/linux/1", method=V4)).method == REDACTED


def test_more_callers_than_are_remembered(kept: Kept) -> None:
    for number in range(9_000):
        kept.recorder.record(ask("/a.png", address=f"10.0.{number // 250}.{number % 250}"), Sent(200))
    assert 0 < len(kept.recorder._known) <= 8192
    assert len({event.endpoint_id for event in kept.events}) == 9_000


def test_what_holds_the_address_of_a_client_is_not_its_address(kept: Kept) -> None:
    for _ in range(4):
        event = kept.record(settled("/linux/1.2.3.45", query="from=11.2.3.4", address="1.2.3.4"))
        assert (event.version, event.variables["from"]) == ("1.2.3.45", "11.2.3.4")


def test_an_event_is_encoded_as_the_recorder_writes_it() -> None:
    kept = Kept(Says({"country": "GB", "confidence": 0.5}))
    requests = [
        Request("GET", GET, "/linux/1.2.3", "a=%C3%BC", client_ip=V4),
        Request("GET", "docker.acme.example", "/v2/", client_ip=V6),
        Request("HEAD", GET, "/all/x"),
    ]
    for request in requests:
        kept.recorder.record(GATEWAY.decide(request), Sent(200, upstream="https://ghcr.example/v2/"))
    for line in kept.lines:
        event = decode(line)
        assert decode(encode(event)) == event
        # The same columns, none of them empty; the id first, where readers look for it.
        assert json.loads(encode(event)) == json.loads(line)
        assert encode(event)[:43] == line[:43]
        assert encode(event).endswith(b"}\n")
