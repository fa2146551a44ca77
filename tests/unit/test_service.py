"""The service: everything put together, reloaded, and taken apart; and the types of other distributions."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

import gatewaycore
from gatewaycore.badges import FixedNumbers, Period
from gatewaycore.config import read_config
from gatewaycore.decision import Redirect, Respond
from gatewaycore.errors import ConfigError, GatewayError
from gatewaycore.locks import Lock
from gatewaycore.recorder import Sent, decode
from gatewaycore.request import Request
from gatewaycore.segments import is_closed, segments
from gatewaycore.service import Service, load, rosters
from gatewaycore.sinks.lake import open_lake, place
from gatewaycore.stats.rollups import Rollups
from gatewaycore.testing import simulate
from tests.networks import replace, write_database
from tests.worlds import WORLDS, Asked

GET = "get.acme.example"
CONFIG: Mapping[str, Any] = {
    "packages": [
        {"name": "cli", "type": "file", "domain": GET, "incoming-path": "/{version}", "outgoing-url": "https://cdn.acme.example/{version}"}
    ]
}


def config(data: Path, **sections: Any) -> dict[str, Any]:
    return {**CONFIG, "gateway": {"data-dir": str(data)}, "sinks": [], **sections}


def ask(service: Service, path: str = "/1") -> Redirect | Respond:
    outcome = service.gateway.decide(Request("GET", GET, path, client_ip="203.0.113.7", received_at=datetime.now(UTC)))
    assert isinstance(outcome.decision, Redirect | Respond)
    service.recorder.record(outcome, Sent(outcome.decision.status))
    return outcome.decision


def events(data: Path) -> list[str | None]:
    return [decode(line).version for segment in segments(data / "journal") for line in segment.read_bytes().splitlines()]


# --- load ----------------------------------------------------------------------------------------------------------------


def test_load_takes_a_mapping_or_a_path(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(yaml.safe_dump(dict(CONFIG)))
    for source in (CONFIG, path, str(path)):
        gateway = load(source)
        assert gateway.decide(Request("GET", GET, "/1")).decision == Redirect("https://cdn.acme.example/1", 302)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gateway.yaml"]
    assert gatewaycore.load is load


def test_load_adds_the_built_in_hosts_when_asked() -> None:
    pixel = Request("GET", "static.scarf.sh", "/a.png", "x-pxid=p")
    assert load(CONFIG).decide(pixel).decision.status == 404  # type: ignore[union-attr]
    assert load(CONFIG, scarf_hosts=True).decide(pixel).decision.status == 200  # type: ignore[union-attr]


def test_load_says_what_is_wrong() -> None:
    with pytest.raises(ConfigError, match="unknown type 'fil'"):
        load({"packages": [{"name": "x", "type": "fil", "domain": GET}]})


# --- a service -----------------------------------------------------------------------------------------------------------


def test_what_is_answered_is_in_the_journal_and_in_the_sink(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with Service.open(read_config(config(tmp_path / "data", sinks=[{"type": "jsonl", "path": str(out)}]))) as service:
        service.start()
        assert ask(service) == Redirect("https://cdn.acme.example/1", 302)
        assert events(tmp_path / "data") == ["1"]
    assert [decode(line).version for line in out.read_bytes().splitlines()] == ["1"]
    assert all(is_closed(segment) for segment in segments(tmp_path / "data" / "journal"))
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["cursors", "journal", "salts"]


def test_without_a_word_about_sinks_there_is_a_lake_beside_the_journal(tmp_path: Path) -> None:
    made = read_config({**CONFIG, "gateway": {"data-dir": str(tmp_path)}})
    with Service.open(made) as service:
        ask(service)
    assert events(tmp_path) == ["1"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cursors", "journal", "lake", "salts"]
    assert [path.name for path in (tmp_path / "cursors").glob("*.json")] == ["lake.json"]
    with open_lake(str(tmp_path / "lake")) as connection:
        assert connection.sql("SELECT version FROM events").fetchall() == [("1",)]


@pytest.mark.parametrize("lacks", ["the extra", "a path that it can have"])
def test_no_lake_is_no_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacks: str) -> None:
    data = tmp_path / "100%"
    if lacks == "the extra":
        monkeypatch.setattr(place, "find_spec", lambda name: None)
        data = tmp_path / "data"
    with Service.open(read_config({**CONFIG, "gateway": {"data-dir": str(data)}})) as service:
        assert service.shipper is None
        ask(service)
    assert events(data) == ["1"]


def test_with_an_empty_list_of_sinks_there_is_a_journal(tmp_path: Path) -> None:
    with Service.open(read_config(config(tmp_path))) as service:
        assert service.shipper is None
        ask(service)
    assert events(tmp_path) == ["1"]


def test_a_data_dir_may_be_given_and_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    service = Service.open(read_config(config(tmp_path / "unused")), "data")
    assert service.journal.directory == tmp_path / "data" / "journal"
    assert not (tmp_path / "unused").exists()
    service.close()


def test_closing_twice_and_starting_again(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    service = Service.open(read_config(config(tmp_path / "data", sinks=[{"type": "jsonl", "path": str(out)}])))
    service.start()
    service.start()
    service.close()
    service.close()


def test_trusted_proxies_are_the_configurations(tmp_path: Path) -> None:
    service = Service.open(read_config(config(tmp_path, gateway={"data-dir": str(tmp_path), "trusted-proxies": ["10.0.0.0/8"]})))
    assert service.trusted.trusts("10.1.1.1")
    service.close()


@pytest.mark.parametrize("taken", [".", "journal", "salts", "cursors"])
def test_a_data_dir_that_cannot_be_used_is_a_problem_of_the_configuration(tmp_path: Path, taken: str) -> None:
    data = tmp_path / "data"
    (data / taken).parent.mkdir(parents=True, exist_ok=True)
    (data / taken).resolve().touch()
    with pytest.raises(ConfigError, match=r"gateway\.data-dir: .*data cannot be used"):
        Service.open(read_config(config(data, sinks=[{"type": "jsonl", "path": str(tmp_path / "out")}])))


def test_a_file_in_the_journal_is_no_file_for_a_sink(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"sinks: jsonl: path: .*lies in the journal"):
        Service.open(read_config(config(tmp_path, sinks=[{"type": "jsonl", "path": str(tmp_path / "journal" / "a-1-2.jsonl")}])))
    assert not (tmp_path / "journal").exists()


def test_a_sink_that_cannot_be_opened_closes_those_before_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    sinks = [{"type": "jsonl", "path": str(tmp_path / "out")}, {"type": "jsonl", "path": str(tmp_path / "file" / "out")}]
    # An open file that is left behind would be a warning, and so an error.
    with pytest.raises(ConfigError, match="cannot be opened"):
        Service.open(read_config(config(tmp_path / "data", sinks=sinks)))


# --- pulls ---------------------------------------------------------------------------------------------------------------


DOCKER = "docker.acme.example"
IMAGES: Mapping[str, Any] = {
    "sinks": [],
    "packages": [{"name": "acme/x", "type": "container", "domain": DOCKER, "backend": "ghcr.example/acme/x", "strategy": "redirect"}],
    "collections": [{"domain": DOCKER, "pattern": "acme/*", "backend": "ghcr.example", "strategy": "redirect"}],
}


def pulled(service: Service, image: str, tag: str) -> None:
    """Record what containerd asks for."""
    for method, reference in (("HEAD", tag), ("GET", f"sha256:{'a' * 64}")):
        request = Request(method, DOCKER, f"/v2/{image}/manifests/{reference}", client_ip="203.0.113.7")
        outcome = service.gateway.decide(request)
        assert isinstance(outcome.decision, Redirect)
        service.recorder.record(outcome, Sent(outcome.decision.status))


def later(seconds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns() + seconds * 1_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: now)


def kinds(data: Path) -> list[tuple[str, str | None, str | None]]:
    lines = [line for segment in segments(data / "journal") for line in segment.read_bytes().splitlines()]
    return [(event.kind, event.package, event.version) for event in map(decode, lines) if event.kind == "pull"]


def test_pulls_are_counted_without_any_sink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = read_config({**IMAGES, "gateway": {"data-dir": str(tmp_path)}})
    # Two processes of one node; the second finds the lock taken.
    with Service.open(config) as one, Service.open(config) as other:
        for service in (one, other):
            pulled(service, "acme/x", "1.0")
        pulled(one, "acme/new", "2.0")
        assert one.packages() == []
        later(60, monkeypatch)
    assert sorted(kinds(tmp_path)) == [("pull", "acme/new", "2.0"), ("pull", "acme/x", "1.0"), ("pull", "acme/x", "1.0")]
    found = [(one.domain, one.name, one.rule, one.pulls) for one in one.packages()]
    assert found == [(DOCKER, "acme/new", f"{DOCKER}/acme/*", 1), (DOCKER, "acme/x", f"{DOCKER}/acme/x", 2)]
    assert all(is_closed(segment) for segment in segments(tmp_path / "journal"))


def test_what_is_open_is_counted_by_the_next_run_and_reaches_the_sinks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out.jsonl"
    config = read_config({**IMAGES, "sinks": [{"type": "jsonl", "path": str(out)}]})
    with Service.open(config, tmp_path / "data") as service:
        pulled(service, "acme/x", "1.0")
    assert kinds(tmp_path / "data") == []
    later(60, monkeypatch)
    with Service.open(config, tmp_path / "data"):
        pass
    assert kinds(tmp_path / "data") == [("pull", "acme/x", "1.0")]
    assert [decode(line).kind for line in out.read_bytes().splitlines()] == ["manifest", "manifest", "pull"]
    assert b"203.0.113.7" not in (tmp_path / "data" / "state.sqlite3").read_bytes()


def test_without_images_nothing_counts(tmp_path: Path) -> None:
    with Service.open(read_config(config(tmp_path / "data", sinks=[{"type": "jsonl", "path": str(tmp_path / "out")}]))) as service:
        assert service.counter is None
        assert service.packages() == []
    assert not (tmp_path / "data" / "state.sqlite3").exists()


# --- reload --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Service, Path]]:
    path = tmp_path / "gateway.yaml"
    path.write_text(yaml.safe_dump(config(tmp_path / "data")))
    with Service.from_file(path) as service:
        yield service, path


def test_a_reload_swaps_the_rules(served: tuple[Service, Path]) -> None:
    service, path = served
    ask(service)
    changed = yaml.safe_load(path.read_text())
    changed["packages"][0]["outgoing-url"] = "https://new.acme.example/{version}"
    changed["gateway"]["trusted-proxies"] = ["10.0.0.1"]
    path.write_text(yaml.safe_dump(changed))
    assert service.reload()
    assert ask(service) == Redirect("https://new.acme.example/1", 302)
    assert service.trusted.trusts("10.0.0.1")


def test_a_reload_changes_whose_traffic_is_own(served: tuple[Service, Path], tmp_path: Path) -> None:
    service, path = served
    recorder = service.recorder
    assert service.reload()
    # What is known of callers stays known as long as nothing has changed.
    assert service.recorder is recorder
    ask(service, "/1")
    changed = yaml.safe_load(path.read_text())
    changed["gateway"]["own-traffic"] = {"networks": ["203.0.113.0/24"]}
    path.write_text(yaml.safe_dump(changed))
    assert service.reload()
    ask(service, "/2")
    del changed["gateway"]["own-traffic"]
    path.write_text(yaml.safe_dump(changed))
    assert service.reload()
    ask(service, "/3")
    assert events(tmp_path / "data") == ["1", "3"]


PAGES = {
    "python": ("index", "/simple/skates/", b'{"meta":{"api-version":"1.0"},"name":"skates","files":[]}'),
    "npm": ("registry", "/npm/skates", b'{"name":"skates","versions":{}}'),
}


@pytest.mark.parametrize("kind", PAGES)
def test_pages_at_hand_outlive_a_reload(kind: str, served: tuple[Service, Path]) -> None:
    service, path = served
    key, where, body = PAGES[kind]
    media_type = "application/vnd.pypi.simple.v1+json" if kind == "python" else "application/json"
    package = {"name": "skates", "type": kind, "domain": "pkgs.acme.example", key: "https://up.acme.example/x"}

    def status(answer: int) -> int:
        upstream = (answer, {"content-type": media_type}, body)
        return simulate(service.gateway, "GET", f"https://pkgs.acme.example{where}", upstream=lambda _: upstream).status

    def reload(*more: dict[str, Any], **settings: Any) -> None:
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "packages": [{**package, **settings}, *more]}))
        assert service.reload()

    reload()
    assert status(500) == 502
    # What was wrong may be what was mended.
    reload()
    assert (status(200), status(500)) == (200, 200)
    reload({**package, "name": "boots"}, **{"ttl-s": 0, "stale-s": 900})
    assert status(500) == 200
    # What other settings let in is not what these would.
    reload(**{"allow-private-backends": True})
    assert status(500) == 502


def test_own_traffic_is_left_out_from_the_start(tmp_path: Path) -> None:
    own = {"data-dir": str(tmp_path), "own-traffic": {"networks": ["203.0.113.7"]}}
    with Service.open(read_config(config(tmp_path, gateway=own))) as service:
        assert ask(service).status == 302
    assert events(tmp_path) == []


def test_a_database_that_is_replaced_is_asked_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(gatewaycore.service, "_HOUSE_S", 0.01)
    path = write_database(tmp_path / "geo.mmdb", {"203.0.113.0/24": {"country": "AT", "name": "Acme"}})
    enrich = [{"type": "geo", "database": str(path)}, {"type": "company", "databases": [str(path)]}]
    data = tmp_path / "data"

    def found() -> tuple[str | None, str | None]:
        ask(service)
        (segment,) = segments(data / "journal")
        event = decode(segment.read_bytes().splitlines()[-1])
        return event.country, event.company

    def until(wanted: tuple[str, str]) -> bool:
        deadline = time.monotonic() + 20
        while found() != wanted and time.monotonic() < deadline:
            time.sleep(0.01)
        return found() == wanted

    with Service.open(read_config(config(data, enrich=enrich))) as service:
        assert found() == ("AT", "Acme")
        write_database(path, {"203.0.113.0/24": {"country": "CH", "name": "Bevtec"}})
        assert until(("CH", "Bevtec"))
        replace(path, b"no database")
        deadline = time.monotonic() + 20
        while caplog.text.count("is not a MaxMind DB file") < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert found() == ("CH", "Bevtec")
        write_database(path, {"203.0.113.0/24": {"country": "DE", "name": "Cutter"}})
        assert until(("DE", "Cutter"))
    # Once for each of the two that it is a file of, however often it was looked at.
    assert caplog.text.count("the old one is asked on") == 2


@pytest.mark.parametrize("text", ["packages: [", "packages: 1", "", "packages:\n - {name: x, type: file, domain: d.example}\n", "\x00"])
def test_a_bad_file_keeps_the_old_rules_and_says_why(served: tuple[Service, Path], text: str, caplog: pytest.LogCaptureFixture) -> None:
    service, path = served
    before = service.gateway
    path.write_text(text)
    with caplog.at_level(logging.ERROR):
        assert not service.reload()
    assert service.gateway is before
    assert ask(service) == Redirect("https://cdn.acme.example/1", 302)
    assert "gateway.yaml" in caplog.text


def test_a_file_that_is_gone_keeps_the_old_rules(served: tuple[Service, Path]) -> None:
    service, path = served
    path.unlink()
    assert not service.reload()
    assert ask(service).status == 302


def test_without_a_file_there_is_nothing_to_read_again(tmp_path: Path) -> None:
    with Service.open(read_config(config(tmp_path))) as service:
        assert not service.reload()


# --- types of other distributions ----------------------------------------------------------------------------------------


PLUGIN = '''
from attrs import frozen
from gatewaycore import Respond
from gatewaycore.rules import FileRule

@frozen(kw_only=True)
class TeapotRule(FileRule):
    """Short and stout."""

@frozen
class Memory:
    """A storage."""
    size: int = 1
    def open(self): return self
    def write(self, lines): pass
    def close(self): pass

@frozen
class Moon:
    """An enrichment."""
    def open(self): return self
    def columns(self, caller): return {"country": "moon"}

@frozen
class Nothing:
    """No type of anything."""

class Plain:
    def compile(self): return []

broken = {}["nothing"] if False else None
'''


class Site:
    """A folder on sys.path where distributions can be put."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(self, distribution: str, entry_points: str, module: str = "", code: str = "") -> None:
        info = self.root / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(entry_points)
        if module:
            (self.root / f"{module}.py").write_text(code)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    root = tmp_path / "site"
    root.mkdir()
    monkeypatch.syspath_prepend(str(root))
    before = set(sys.modules)
    yield Site(root)
    for name in set(sys.modules) - before:
        if name.startswith("acme_"):
            del sys.modules[name]


def test_without_other_distributions_the_rosters_are_our_own() -> None:
    assert set(rosters().rules) >= set(gatewaycore.config.Rosters().rules)
    # One object, for what reads configurations is made once for each.
    assert rosters() is rosters()


def test_types_of_other_distributions_join(site: Site, tmp_path: Path) -> None:
    points = {"rules": "teapot = acme_one:TeapotRule", "sinks": "memory = acme_one:Memory", "enrichments": "moon = acme_one:Moon"}
    site.add("acme-one", "".join(f"[gatewaycore.{group}]\n{point}\n" for group, point in points.items()), "acme_one", PLUGIN)
    path = tmp_path / "gateway.yaml"
    package = {**CONFIG["packages"][0], "type": "teapot"}
    path.write_text(yaml.safe_dump({"packages": [package], "sinks": [{"type": "memory", "size": 3}], "enrich": ["moon"]}))
    with Service.from_file(path, tmp_path / "data") as service:
        assert ask(service) == Redirect("https://cdn.acme.example/1", 302)
        assert service.shipper is not None
        (segment,) = segments(tmp_path / "data" / "journal")
        assert decode(segment.read_bytes()).country == "moon"
        assert service.reload()
    assert load({"packages": [package]}).decide(Request("GET", GET, "/1")).decision == Redirect("https://cdn.acme.example/1", 302)
    # Not on import, and by nobody else.
    with pytest.raises(ConfigError, match="unknown type 'teapot'"):
        read_config({"packages": [package]})


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ("[gatewaycore.rules]\nfile = acme_bad:TeapotRule\n", "gatewaycore.rules: file: acme-bad adds a type whose tag is taken"),
        ("[gatewaycore.sinks]\njsonl = acme_bad:Memory\n", "gatewaycore.sinks: jsonl: acme-bad adds a type whose tag is taken"),
        ("[gatewaycore.enrichments]\ngeo = acme_bad:Moon\n", "gatewaycore.enrichments: geo: acme-bad adds a type whose tag is taken"),
        ("[gatewaycore.rules]\nx = acme_none:Rule\n", "acme-bad adds a type that cannot be loaded: ModuleNotFoundError"),
        ("[gatewaycore.rules]\nx = acme_bad:None_such\n", "acme-bad adds a type that cannot be loaded: AttributeError"),
        ("[gatewaycore.rules]\nx = acme_bad:Memory\n", "acme-bad adds acme_bad:Memory, which is no attrs class with compile()"),
        ("[gatewaycore.rules]\nx = acme_bad:Plain\n", "no attrs class"),
        ("[gatewaycore.sinks]\nx = acme_bad:Nothing\n", "no attrs class with open()"),
        ("[gatewaycore.sinks]\nx = acme_bad:broken\n", "no attrs class"),
        ("[gatewaycore.sinks]\nx = acme_bad\n", "no attrs class"),
    ],
)
def test_a_type_that_cannot_join_is_told_with_its_distribution(site: Site, points: str, message: str) -> None:
    site.add("acme-bad", points, "acme_bad", PLUGIN)
    with pytest.raises(ConfigError) as told:
        load(CONFIG)
    assert message in str(told.value)
    assert "mend or uninstall acme-bad" in str(told.value)


def test_a_module_that_raises_is_told_with_its_distribution(site: Site) -> None:
    site.add("acme-bad", "[gatewaycore.rules]\nx = acme_bad:X\n", "acme_bad", "raise RuntimeError('needs a licence')")
    with pytest.raises(ConfigError, match="acme-bad adds a type that cannot be loaded: RuntimeError: needs a licence"):
        load(CONFIG)


def test_everything_that_is_wrong_is_told_at_once(site: Site) -> None:
    site.add("acme-one", "[gatewaycore.rules]\nteapot = acme_one:TeapotRule\nfile = acme_one:TeapotRule\n", "acme_one", PLUGIN)
    site.add("acme-two", "[gatewaycore.rules]\nteapot = acme_one:TeapotRule\n")
    with pytest.raises(ConfigError) as told:
        rosters()
    assert len(told.value.problems) == 2


def test_a_bad_distribution_keeps_the_old_rules(served: tuple[Service, Path], site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.add("acme-bad", "[gatewaycore.rules]\nfile = acme_bad:X\n")
    assert not served[0].reload()
    assert "acme-bad" in caplog.text


def test_an_old_salt_goes_even_where_nobody_asks(tmp_path: Path) -> None:
    salts = tmp_path / "salts"
    salts.mkdir()
    old = salts / "2026-01-01.salt"
    old.write_bytes(b"x" * 32)
    with Service.open(read_config({"packages": []}), tmp_path):
        deadline = time.monotonic() + 10
        while old.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
    assert [path.name for path in salts.glob("*.salt")] == [f"{datetime.now(UTC):%Y-%m}-01.salt"]


# --- badges --------------------------------------------------------------------------------------------------------------


def with_badges(data: Path, *public: str) -> dict[str, Any]:
    return {**config(data), "badges": {"domains": ["b.acme.example"], "packages": list(public)}}


def badge(service: Service) -> str:
    answer = service.gateway.decide(Request("GET", "b.acme.example", "/package/installs-badge/cli")).decision
    assert isinstance(answer, Respond)
    return answer.body.decode().partition("<title>")[2].partition("<")[0]


def wait_for(is_so: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.01)
    return is_so()


@pytest.mark.parametrize("world", ["core", "asgi", "wsgi"])
def test_badges_show_what_is_counted(world: str, tmp_path: Path) -> None:
    numbers = FixedNumbers({("downloads", "cli", "all"): 1234})
    with Service.open(read_config(with_badges(tmp_path, "cli")), tmp_path, numbers) as service:
        assert wait_for(lambda: "1.2k" in badge(service))
        answer = WORLDS[world].ask(service, Asked("GET", "https://b.acme.example/package/installs-badge/cli?label=pulls"))
    assert answer.status == 200
    assert answer.body is not None
    assert b'aria-label="pulls: 1.2k"' in answer.body


def test_badges_say_so_before_anybody_has_counted(tmp_path: Path) -> None:
    service = Service.open(read_config(with_badges(tmp_path, "cli")), tmp_path)
    assert badge(service) == "downloads: not counted yet"
    service.close()


def test_without_badges_nobody_counts(tmp_path: Path) -> None:
    with Service.open(read_config(config(tmp_path)), tmp_path) as service:
        assert service.numbers is None
    assert not (tmp_path / "numbers").exists()


@pytest.mark.parametrize("sinks", [[], [{"type": "lake"}]], ids=["journal", "lake"])
def test_badges_show_what_was_fetched(sinks: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatewaycore.service._HOUSE_S", 0.05)
    sinks = [{**sink, "path": str(tmp_path / "lake")} for sink in sinks]
    settings = {**with_badges(tmp_path, "cli"), "sinks": sinks}
    settings["badges"]["max-age-s"] = 0
    with Service.open(read_config(settings), tmp_path) as service:
        assert wait_for(lambda: badge(service) == "downloads: 0")
        for _ in range(3):
            ask(service)
        assert wait_for(lambda: badge(service) == "downloads: 3")
    assert (tmp_path / "numbers").stat().st_mode & 0o077 == 0
    assert (tmp_path / "numbers" / "rollups.duckdb").exists() == bool(sinks)


def test_a_process_that_waits_for_another_looks_again_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatewaycore.service._SOON_S", 0.01)
    (tmp_path / "numbers").mkdir()
    asks = Lock(tmp_path / "numbers" / "lock")
    assert asks.take()
    with Service.open(read_config(with_badges(tmp_path, "cli")), tmp_path) as service:
        assert badge(service) == "downloads: not counted yet"
        asks.let_go()
        assert wait_for(lambda: badge(service) == "downloads: 0")


def test_a_process_that_waits_for_another_shows_what_is_old_for_no_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatewaycore.service._SOON_S", 0.01)
    settings = with_badges(tmp_path, "cli")
    settings["badges"]["max-age-s"] = 0
    with Service.open(read_config(settings), tmp_path) as service:
        assert wait_for(lambda: len(list((tmp_path / "numbers").glob("*.json"))) == 2)
        ask(service)
    asked_s = int(time.time())
    asks = Lock(tmp_path / "numbers" / "lock")
    assert asks.take()
    with Service.open(read_config(settings), tmp_path) as service:
        assert wait_for(lambda: badge(service) == "downloads: 0")
        # Periods end with a whole second.
        assert wait_for(lambda: int(time.time()) > asked_s)
        asks.let_go()
        assert wait_for(lambda: badge(service) == "downloads: 1")


def test_a_long_question_ends_with_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    begun = threading.Event()

    def for_ever(rollups: Rollups, _: object) -> list[date]:
        begun.set()
        rollups._connection.execute("SELECT count(*) FROM range(1000000) AS a, range(1000000) AS b WHERE a.range * b.range = 7")
        raise AssertionError("it is cut short")

    monkeypatch.setattr(Rollups, "stale", for_ever)
    settings = {**with_badges(tmp_path, "cli"), "sinks": [{"type": "lake", "path": str(tmp_path / "lake")}]}
    with Service.open(read_config(settings), tmp_path) as service:
        assert begun.wait(60)
        (asks,) = [thread for thread in threading.enumerate() if thread.name == "gatewaycore-badges"]
        assert badge(service) == "downloads: not counted yet"
    assert not asks.is_alive()
    assert "numbers of badges" not in caplog.text


def test_an_outage_is_logged_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    asked: list[Period] = []

    class Down(FixedNumbers):
        def downloads(self, packages: Collection[str], period: Period) -> Mapping[str, int]:
            asked.append(period)
            raise GatewayError("the lake cannot be reached")

    monkeypatch.setattr("gatewaycore.service._HOUSE_S", 0.01)
    with Service.open(read_config(with_badges(tmp_path, "cli")), tmp_path, Down()):
        assert wait_for(lambda: len(asked) > 3)
    assert caplog.text.count("the old ones stay: the lake cannot be reached") == 1


def test_a_count_that_fails_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    class Down(FixedNumbers):
        def downloads(self, packages: Collection[str], period: Period) -> Mapping[str, int]:
            if not caplog.records:
                raise OSError("the lake at 203.0.113.7 is down")
            return {"cli": 7}

    monkeypatch.setattr("gatewaycore.service._HOUSE_S", 0.01)
    with Service.open(read_config(with_badges(tmp_path, "cli")), tmp_path, Down()) as service:
        assert badge(service) in ("downloads: not counted yet", "downloads: 7")
        assert wait_for(lambda: badge(service) == "downloads: 7")
    assert "cannot be asked for, and the old ones stay: OSError" in caplog.text
    assert "203.0.113.7" not in caplog.text


def test_a_reload_changes_who_is_public_and_keeps_the_numbers(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(yaml.safe_dump(with_badges(tmp_path / "data", "cli")))
    with Service.from_file(path, numbers=FixedNumbers({("downloads", "cli", "all"): 7})) as service:
        assert wait_for(lambda: badge(service) == "downloads: 7")
        path.write_text(yaml.safe_dump(with_badges(tmp_path / "data")))
        assert service.reload()
        assert badge(service) == "downloads: package not found"
        path.write_text(yaml.safe_dump(with_badges(tmp_path / "data", "*")))
        assert service.reload()
        assert badge(service) == "downloads: 7"
