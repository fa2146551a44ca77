"""Rules from files, folders and URLs: read, merged, watched, and what happens when they are bad or cannot be reached."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gatewaycore import Service
from gatewaycore.cli.commands import commands
from gatewaycore.config import MadeRule, Reader, read_config
from gatewaycore.errors import ConfigError, GatewayError, MissingExtraError
from gatewaycore.following import Follower, open_access
from gatewaycore.locks import Lock
from gatewaycore.operations.health import SourceHealth
from gatewaycore.rulebook import Rulebook
from gatewaycore.sources import HttpSource
from gatewaycore.sources.copies import FOLDER
from gatewaycore.sources.fetching import FetchError, fetch
from gatewaycore.sources.http import HttpFeed
from gatewaycore.testing import simulate
from gatewaycore.watching import Watcher
from tests.unit.test_access import join

GET = "get.acme.example"
DEADLINE_S = 20.0


def package(name: str, to: str = "cdn") -> str:
    return f"  - {{name: {name}, type: file, domain: {GET}, incoming-path: /{name}, outgoing-url: 'https://{to}.acme.example/{name}'}}\n"


def document(*packages: str) -> str:
    return "packages:\n" + "".join(packages)


def leads(service: Service, name: str) -> str | None:
    location = simulate(service.gateway, "GET", f"https://{GET}/{name}").location
    return location and location.removeprefix("https://").partition(".")[0]


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Site:
    """A server of rules: what each path answers, and what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.asked: list[tuple[str, Mapping[str, str]]] = []
        self.delay_s = 0.0
        self.tag = ""
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                time.sleep(site.delay_s)
                status, body = site.answers.get(self.path, (404, b""))
                tag = site.tag or f'"{hashlib.sha256(body).hexdigest()[:8]}"'
                known = status == 200 and self.headers.get("If-None-Match") == tag
                self.send_response(304 if known else status)
                self.send_header("ETag", tag)
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0" if known else str(len(body)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(b"" if known else body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def put(self, path: str, text: str | bytes, status: int = 200) -> None:
        self.answers[path] = status, text if isinstance(text, bytes) else text.encode()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.close()


class House:
    """A gateway.yaml, a folder of teams, and services of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.teams = folder / "teams"
        self.teams.mkdir()
        self.file = folder / "gateway.yaml"
        self._opened: list[Any] = []

    def write(self, *packages: str, sources: str = "", more: str = "") -> None:
        listed = sources or f"[{{type: directory, path: '{self.teams}'}}]"
        self.file.write_text(f"{document(*packages)}sources: {listed}\nsinks: []\n{more}")

    def team(self, name: str, *packages: str) -> Path:
        path = self.teams / name
        beside = self.folder / "new"
        beside.write_text(document(*packages))
        os.replace(beside, path)
        return path

    def open(self) -> Service:
        service = Service.from_file(self.file, self.folder / "data")
        self._opened.append(service)
        return service

    def watch(self, service: Service, **options: Any) -> Watcher:
        watcher = Watcher(service, **options)
        self._opened.append(watcher)
        watcher.start()
        watcher.start()
        return watcher

    def close(self) -> None:
        for one in reversed(self._opened):
            one.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.close()


# --- files and folders ---------------------------------------------------------------------------------------------------


def test_teams_have_a_file_each(house: House) -> None:
    house.write(package("own"))
    house.team("b.yaml", package("b"), package("a", "stolen"), package("own", "stolen"))
    house.team("a.json").write_text(
        '{"packages": [{"name": "a", "type": "file", "domain": "get.acme.example", "incoming-path": "/a", '
        '"outgoing-url": "https://cdn.acme.example/a"}]}'
    )
    house.team("notes.txt", "no rules")
    house.team(".hidden.yaml", package("hidden"))
    (house.teams / "folder.yaml").mkdir()
    service = house.open()
    assert [leads(service, name) for name in ("own", "a", "b", "hidden")] == ["cdn", "cdn", "cdn", None]
    file, teams = service.sources
    assert (file.kind, file.place, file.error, teams.kind, teams.place) == ("file", str(house.file), "", "directory", str(house.teams))
    assert len(teams.version) == len(file.version) == 12
    assert teams.loaded_at is not None
    # Both places of each are named.
    assert [
        (f"{house.teams}/b.yaml:{line}: " in told, f" is at {place}" in told)
        for told, line, place in zip(
            teams.doubled, (3, 4), (f"{house.teams}/a.json:1: packages[0]", f"{house.file}:2: packages[0]"), strict=True
        )
    ] == [(True, True)] * 2


def test_a_bad_team_keeps_what_it_had_and_the_others_go_on(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.write(package("own"))
    house.team("a.yaml", package("a"))
    house.team("b.yaml", package("b"))
    service = house.open()
    before = service.sources[1]
    house.team("a.yaml", package("a", "new").replace("type: file", "type: fil"))
    house.team("b.yaml", package("b", "new"))
    house.team("c.yaml", "x: {")
    house.team("d.yaml", package("d"))
    assert service.reload()
    assert [leads(service, name) for name in "abd"] == ["cdn", "new", "cdn"]
    after = service.sources[1]
    assert f"{house.teams}/a.yaml:2: packages[0].type: unknown type 'fil'" in after.error
    assert f"{house.teams}/c.yaml:" in after.error
    assert after.version != before.version
    assert service.rulebook is not None
    assert (service.rulebook.reloads.taken, service.rulebook.reloads.refused) == (1, 1)
    # Told once, and not with every look.
    assert service.reload()
    assert caplog.text.count("unknown type 'fil'") == 1
    since = service.sources[1].error_at
    assert since == after.error_at
    house.team("a.yaml", package("a", "new"))
    (house.teams / "c.yaml").unlink()
    assert service.reload()
    assert (leads(service, "a"), service.sources[1].error, service.sources[1].error_at) == ("new", "", None)
    assert service.rulebook.reloads.last_at is not None


def test_what_does_not_go_with_the_others_stays_away(house: House) -> None:
    image = "  - {name: acme/%s, type: container, domain: docker.acme.example, strategy: proxy, backend: %s/acme/%s}\n"
    house.write(image % ("a", "ghcr.io", "a"))
    service = house.open()
    house.team("b.yaml", image % ("b", "quay.io", "b"), package("b"))
    house.team("c.yaml", package("c"))
    assert service.reload()
    assert leads(service, "b") is None
    assert f"{house.teams}/b.yaml:2: packages[0].backend: acme/a comes from ghcr.io" in service.sources[1].error
    assert leads(service, "c") == "cdn"


def test_a_bad_file_keeps_everything(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.write(package("own"))
    house.team("a.yaml", package("a"))
    service = house.open()
    house.file.write_text("packages: 3")
    house.team("a.yaml", package("a", "new"))
    assert not service.reload()
    assert (leads(service, "own"), leads(service, "a")) == ("cdn", "cdn")
    assert f"{house.file}:1: packages: expected a list" in service.sources[0].error
    assert "the old one stays" in caplog.text
    house.file.unlink()
    assert not service.reload()
    assert "cannot be read" in service.sources[0].error
    house.write(package("own"))
    assert service.reload()
    assert (leads(service, "a"), service.sources[0].error) == ("new", "")


def test_a_folder_that_has_gone_leaves_its_rules(house: House) -> None:
    house.write(package("own"))
    path = house.team("a.yaml", package("a"))
    service = house.open()
    path.write_bytes(b"\xff")
    assert service.reload()
    assert "not UTF-8 at byte 0" in service.sources[1].error
    path.unlink()
    house.teams.rmdir()
    assert service.rulebook is not None
    assert service.rulebook.signature() is not None
    assert service.reload()
    assert leads(service, "a") == "cdn"
    assert "cannot be read: No such file" in service.sources[1].error
    house.teams.mkdir()
    house.team("b.yaml", package("b"))
    assert service.reload()
    assert (leads(service, "a"), service.sources[1].error) == (None, "")


@pytest.mark.parametrize(
    ("sources", "told"),
    [
        ("[{type: file, path: nowhere.yaml}]", "nowhere.yaml: cannot be read: No such file"),
        ("[{type: directory, path: nowhere}]", "nowhere: cannot be read: No such file"),
        ("[{type: fil}]", "sources[0].type: unknown type 'fil'"),
        ("[{type: http, url: 'ftp://x'}]", "sources[0].url: 'ftp://x' is no URL of https or http"),
        ("[{type: http, url: 'https://me:secret@x'}]", "sources[0].url: it holds a user or a password"),
        ("[{type: http, url: 'http://[::1'}]", "sources[0].url: 'http://[::1' is no URL of https or http"),
        ("[{type: http, url: 'https://x', public-key: eA==}]", "sources[0].public-key: is no Ed25519 key"),
        ("[{type: http, url: 'https://x', public-key: '?'}]", "sources[0].public-key: is no Ed25519 key"),
        ("[{type: http, url: 'https://x', every-s: 0}]", "sources[0].every-s: 0 is too small"),
        ("[{type: http, url: 'https://x', token-env: NOT_SET_AT_ALL}]", "sources[0].token-env: the environment has no NOT_SET_AT_ALL"),
    ],
)
def test_sources_that_cannot_be_used(house: House, sources: str, told: str) -> None:
    house.write(package("own"), sources=sources)
    with pytest.raises(ConfigError) as raised:
        house.open()
    assert told in str(raised.value)
    assert "secret" not in str(raised.value)


def test_badges_may_name_packages_of_sources(house: House) -> None:
    house.team("a.yaml", package("a"))
    house.write(package("own"), more="badges: {domains: [b.acme.example], packages: [a]}\n")
    assert leads(house.open(), "a") == "cdn"


def test_a_manifest_has_no_sources(house: House) -> None:
    house.file.write_text('{"rules": []}')
    assert [one.kind for one in house.open().sources] == ["file"]
    service = Service.open(read_config({"packages": [], "sinks": []}), house.folder / "other")
    house._opened.append(service)
    assert (service.sources, service.reload()) == ((), False)
    watcher = house.watch(service)
    watcher.ask()
    assert watcher._folders() == []


def test_looking_leaves_nothing_behind(house: House, site: Site) -> None:
    path = house.team("a.yaml", package("a"))
    site.put("/rules.yaml", document(package("b")))
    listed = f"{{type: directory, path: '{house.teams}'}}, {{type: http, url: '{site.url}/%s'}}"
    house.write(package("own"), sources=f"[{listed % 'rules.yaml'}]", more=f"gateway: {{data-dir: '{house.folder}/data'}}\n")
    book = Rulebook.peek(house.file, Reader(house.file))
    trial = book.read()
    assert [getattr(one, "name", None) for one in trial.config.packages] == ["own", "a", "b"]
    assert list(book.set_aside(trial)) == []
    house.write(package("own"), sources=f"[{listed % 'none'}]", more=f"gateway: {{data-dir: '{house.folder}/data'}}\n")
    with pytest.raises(ConfigError, match="none is answered 404, and there is no copy of it"):
        Rulebook.peek(house.file, Reader(house.file))
    assert path.exists()
    assert not (house.folder / "data").exists()


# --- watching ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("told", [True, False])
def test_what_changes_is_served(house: House, told: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    if not told:
        monkeypatch.setattr("gatewaycore.watching.find_spec", lambda _: None)
        monkeypatch.setattr("gatewaycore.watching.LOOK_S", 0.05)
    house.write(package("own"))
    service = house.open()
    # What changed between the reading and the watching is found as well.
    house.write(package("own", "early"))
    watcher = house.watch(service)
    until(lambda: leads(service, "own") == "early")
    house.write(package("own", "new"))
    until(lambda: leads(service, "own") == "new")
    house.team("a.yaml", package("a"))
    until(lambda: leads(service, "a") == "cdn")
    house.file.write_text("packages: [")
    until(lambda: service.sources[0].error)
    # In place, and not whole at first.
    house.file.write_text(document(package("own")))
    until(lambda: leads(service, "own") == "cdn" and not service.sources[0].error)
    assert "the rules have been read again" in caplog.text
    watcher.close()
    house.write(package("own", "late"))
    assert watcher.look()
    assert not watcher.look()


def test_who_does_not_watch_can_be_asked(house: House) -> None:
    house.write(package("own"))
    service = house.open()
    watcher = house.watch(service, watches=False)
    house.write(package("own", "new"))
    watcher.ask()
    until(lambda: leads(service, "own") == "new")
    assert len(watcher._threads) == 1


def test_whatever_goes_wrong_the_next_is_taken(house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    house.write(package("own"))
    service = house.open()
    whole, failed = service.reload, threading.Event()

    def broken() -> bool:
        monkeypatch.setattr(service, "reload", whole)
        failed.set()
        raise RuntimeError("secret")

    monkeypatch.setattr(service, "reload", broken)
    watcher = house.watch(service)
    watcher.ask()
    assert failed.wait(DEADLINE_S)
    house.write(package("own", "new"))
    until(lambda: leads(service, "own") == "new")
    assert "the rules could not be read again: RuntimeError" in caplog.text
    assert "secret" not in caplog.text


def test_changes_that_nobody_tells_are_looked_for(house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def none(*_: object, **__: object) -> Iterator[None]:
        raise OSError("no space left on device")
        yield

    monkeypatch.setattr("watchfiles.watch", none)
    monkeypatch.setattr("gatewaycore.watching.LOOK_S", 0.05)
    house.write(package("own"))
    service = house.open()
    house.watch(service)
    house.write(package("own", "new"))
    until(lambda: leads(service, "own") == "new")
    assert "are looked for every second" in caplog.text


def test_what_never_settles_is_read_all_the_same(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatewaycore.watching.SETTLED_S", 0.0)
    house.write(package("own"))
    service = house.open()
    assert service.rulebook is not None
    looks = iter(range(1000))
    monkeypatch.setattr(service.rulebook, "signature", lambda: next(looks))
    watcher = Watcher(service)
    assert watcher.look()
    watcher._stop.set()
    assert watcher._settled() is not None


# --- http ----------------------------------------------------------------------------------------------------------------


def from_site(site: Site, more: str = "") -> str:
    return f"[{{type: http, url: '{site.url}/rules.yaml', every-s: 1{more}}}]"


def test_rules_from_a_url_are_asked_for_again(
    house: House, site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("gatewaycore.sources.http.random.uniform", lambda *_: 0.02)
    site.put("/rules.yaml", document(package("a")))
    house.write(package("own"), sources=from_site(site, ", token: t0ken"))
    service = house.open()
    assert (leads(service, "own"), leads(service, "a")) == ("cdn", "cdn")
    assert site.asked[0][1]["authorization"] == "Bearer t0ken"
    assert "t0ken" not in repr(service.config)
    house.watch(service)
    until(lambda: any("if-none-match" in headers for _, headers in site.asked))
    site.put("/rules.yaml", document(package("a", "new")))
    until(lambda: leads(service, "a") == "new")
    # What is bad is neither served nor asked about again and again, and stays away after a restart too.
    site.put("/rules.yaml", "packages: 3")
    until(lambda: service.sources[1].error)
    assert f"{site.url}/rules.yaml:1: packages: expected a list" in service.sources[1].error
    site.put("/rules.yaml", "", 503)
    until(lambda: service.sources[1].is_stale)
    until(lambda: "rules.yaml is answered 503" in caplog.text)
    site.put("/rules.yaml", document(package("a", "newer")))
    until(lambda: leads(service, "a") == "newer" and not service.sources[1].is_stale)
    until(lambda: "can be fetched again" in caplog.text)
    # The rules are served a moment before it is noted that they are.
    until(lambda: service.sources[1].error == "")


def test_what_a_url_gave_is_refused_until_it_gives_something_good(house: House, site: Site) -> None:
    good = document(package("a"))
    site.put("/rules.yaml", good)
    house.write(package("own"), sources=from_site(site))
    service = house.open()
    assert service.rulebook is not None
    (feed,) = service.rulebook.feeds
    assert isinstance(feed, HttpFeed)
    site.put("/rules.yaml", "packages: 3")
    assert feed.ask()
    for _ in range(2):
        # Whatever else changes: it still has nothing better.
        assert service.reload()
        assert "expected a list" in service.sources[1].error
        assert not feed.ask()
    before = service.rulebook.signature()
    site.put("/rules.yaml", good)
    assert feed.ask()
    assert service.rulebook.signature() != before
    assert service.reload()
    assert service.sources[1].error == ""
    assert not feed.ask()


def test_the_first_words_of_an_error_hold_no_query(house: House, site: Site) -> None:
    url = f"{site.url}/rules.yaml?key=s3cret"
    site.put("/rules.yaml?key=s3cret", document(package("a")))
    house.write(sources=f"[{{type: http, url: '{url}'}}, {{type: directory, path: '{house.teams}'}}, {{type: http, url: '{site.url}/b'}}]")
    site.put("/b", document(package("b")))
    service = house.open()
    assert service.rulebook is not None
    site.put("/rules.yaml?key=s3cret", document(*(package(f"p{number}").replace("type: file", "type: fil") for number in range(3))))
    feed = service.rulebook.feeds[0]
    assert isinstance(feed, HttpFeed)
    assert feed.ask()
    assert service.reload()
    one, two, three = service.health().sources
    assert (one.name, two, three) == ("http", SourceHealth("directory"), SourceHealth("http-2"))
    assert one.error.startswith(f"{site.url}/rules.yaml:2: packages[0].type: unknown type 'fil'")
    assert "s3cret" not in one.error
    assert "\n" not in one.error


def test_without_an_answer_the_copy_is_served_and_stale(house: House, site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.put("/rules.yaml", document(package("a")))
    house.write(package("own"), sources=from_site(site))
    service = house.open()
    version = service.sources[1].version
    house.close()
    house._opened.clear()
    site.put("/rules.yaml", "", 500)
    service = house.open()
    assert leads(service, "a") == "cdn"
    told = service.sources[1]
    assert (told.is_stale, told.version, told.kind) == (True, version, "http")
    assert "rules.yaml is answered 500" in told.error
    assert "which is stale" in caplog.text
    house.close()
    house._opened.clear()
    # Without a copy there is nothing to serve.
    for copy in (house.folder / "data" / FOLDER).glob("*/good*"):
        copy.unlink()
    with pytest.raises(ConfigError, match=r"rules\.yaml is answered 500, and there is no copy of it"):
        house.open()


def test_one_process_asks_and_the_others_follow_its_copy(house: House, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatewaycore.sources.http.random.uniform", lambda *_: 0.02)
    site.put("/rules.yaml", document(package("a")))
    house.write(package("own"), sources=from_site(site))
    first, second = house.open(), house.open()
    asked = len(site.asked)
    assert asked == 1
    watchers = [house.watch(one) for one in (first, second)]
    site.put("/rules.yaml", document(package("a", "new")))
    until(lambda: [leads(one, "a") for one in (first, second)] == ["new", "new"])
    # The other one goes on when the first has gone.
    watchers[0].close()
    first.close()
    site.put("/rules.yaml", document(package("a", "newer")))
    until(lambda: leads(second, "a") == "newer")


def test_who_waits_for_another_process_does_not_wait_forever(house: House, site: Site) -> None:
    source = HttpSource(url=f"{site.url}/rules.yaml", timeout_s=1)
    folder = house.folder / "data" / FOLDER / hashlib.sha256(source.url.encode()).hexdigest()[:16]
    folder.mkdir(parents=True)
    lock = Lock(folder / "lock")
    assert lock.take()
    with pytest.raises(ConfigError, match="another process asks for it"):
        source.open(house.folder / "data")
    lock.let_go()
    (folder / "note.json").write_text("[]")
    (folder / "good.yaml").write_text("packages: []")
    with pytest.raises(FetchError):
        HttpFeed(source, folder).ask()
    feed = HttpFeed(source, folder)
    assert feed.error == "rules.yaml is answered 404"
    (folder / "note.json").write_text("{")
    assert (feed.error, feed.checked_at) == ("", None)
    site.put("/rules.yaml", "packages: []")
    # What it gives is what the copy says already.
    assert not feed.ask()
    assert feed.checked_at is not None
    (folder / "good.yaml").unlink()
    assert feed.signature() is None
    with pytest.raises(ConfigError, match="its copy cannot be read"):
        feed.documents()


def test_checksums_and_signatures_are_demanded(site: Site) -> None:
    key = Ed25519PrivateKey.generate()
    public = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    body = document(package("a")).encode()
    site.put("/r.yaml", body)
    source = HttpSource(url=f"{site.url}/r.yaml?x=1", checksum=True, public_key=public)
    source.check()

    def told() -> str:
        try:
            fetch(source)
        except FetchError as error:
            return str(error)
        return ""

    site.put("/r.yaml?x=1", body)
    assert told() == "r.yaml.sha256 is answered 404"
    for wrong in (b"", b"0" * 64):
        site.put("/r.yaml.sha256?x=1", wrong)
        assert told() == "the checksum is not that of the answer"
    site.put("/r.yaml.sha256?x=1", f"{hashlib.sha256(body).hexdigest().upper()}  r.yaml\n")
    assert told() == "r.yaml.sig is answered 404"
    for wrong in (b"", b"?", base64.b64encode(key.sign(b"other"))):
        site.put("/r.yaml.sig?x=1", wrong)
        assert told() == "the signature is not that of the answer"
    site.put("/r.yaml.sig?x=1", base64.b64encode(key.sign(body)) + b"\n")
    assert told() == ""
    site.put("/r.yaml.sig?x=1", b"x" * 5000)
    assert told() == "r.yaml.sig is larger than 4096 bytes"


def test_answers_are_bounded(site: Site) -> None:
    site.put("/big", "x" * 100)
    with pytest.raises(FetchError, match="big is larger than 99 bytes"):
        fetch(HttpSource(url=f"{site.url}/big", max_bytes=99))
    site.put("/", b"\xff")
    with pytest.raises(FetchError, match="not UTF-8 at byte 0"):
        fetch(HttpSource(url=f"{site.url}/"))
    site.delay_s = 3
    with pytest.raises(FetchError, match="it cannot be fetched: ReadTimeout"):
        fetch(HttpSource(url=f"{site.url}/big", timeout_s=1))


def test_what_has_not_changed_is_not_fetched(site: Site) -> None:
    site.put("/r", "packages: []")
    found = fetch(HttpSource(url=f"{site.url}/r"))
    assert found is not None
    assert fetch(HttpSource(url=f"{site.url}/r"), found.etag) is None
    site.put("/odd", "", 304)
    with pytest.raises(FetchError, match="304"):
        fetch(HttpSource(url=f"{site.url}/odd"))


def test_signatures_need_their_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cryptography.hazmat.primitives.asymmetric.ed25519", None)
    with pytest.raises(MissingExtraError, match=r"gatewaycore\[signatures\]"):
        HttpSource(url="https://x.example", public_key=base64.b64encode(b"k" * 32).decode()).check()


def test_check_tells_of_what_sources_say(house: House) -> None:
    house.write(package("own"))
    house.team("a.yaml", package("own", "stolen"))
    told = CliRunner().invoke(commands, ["check", str(house.file)])
    assert told.exit_code == 0, told.output
    assert "warning: doubled: is left out: get.acme.example/own is at" in told.output
    house.team("a.yaml", package("a").replace("type: file", "type: fil"))
    assert CliRunner().invoke(commands, ["check", str(house.file)]).exit_code == 2


def test_what_is_made_in_the_console_stands_beside_them(house: House) -> None:
    house.write(package("own"), more="console: {domain: console.acme.example}\n")
    service = house.open()
    with contextlib.closing(open_access(service.config, service.data)) as access:
        follower = Follower(service, access)
        follower.look()
        made = {"name": "made", "type": "pixel", "domain": "px.acme.example"}
        boss = join(access, "boss", operator=True)
        access.holdings.create("package", "made", "home", made, follower.check, boss)
        assert follower.look()
        told = service.sources[-1]
        assert (told.kind, told.place, told.error) == ("console", "console.acme.example", "")
        assert told.version
        # The file takes its domain: what was made is left out, and nothing else.
        house.write(package("own", "new"), more="console: {domain: px.acme.example}\n")
        assert service.reload()
        assert service.sources[0].error == ""
        assert [one.rule.name for one in service.left_out] == ["made"]
        assert leads(service, "own") == "new"


def test_what_was_made_gives_way_to_documents(house: House) -> None:
    image = {"name": "acme/a", "type": "container", "domain": "docker.acme.example", "strategy": "proxy", "backend": "ghcr.io/acme/a"}
    house.write(package("own"), more="console: {domain: console.acme.example}\n")
    team = house.team("a.yaml", package("a"))
    service = house.open()
    made = [MadeRule("packages", "acme/a", image), MadeRule("packages", "px", {"name": "px", "type": "pixel", "domain": "px.acme.example"})]
    assert service.take_rules(made)
    assert [one.rule.name for one in service.left_out] == []
    # Known by now, and blamed all the same.
    team.write_text(document(package("a", "new"), f"  - {json.dumps({**image, 'name': 'acme/b', 'backend': 'quay.io/acme/b'})}\n"))
    assert service.reload()
    assert (leads(service, "a"), service.sources[1].error) == ("new", "")
    (left,) = service.left_out
    assert left.rule is made[0]
    assert left.why.startswith("acme/a: backend: ")
    # A document that is bad by itself is as it was, whatever was made.
    team.write_text("packages: 3")
    assert service.take_rules(made)
    assert leads(service, "a") == "new"
    assert "expected a list" in service.sources[1].error
    assert [one.rule for one in service.left_out] == [made[0]]


def test_a_state_database_that_is_away_is_told(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.write(package("own"), more="console: {domain: console.acme.example}\n")
    service = house.open()
    monkeypatch.setattr("gatewaycore.following.LOOK_S", 0.01)
    with contextlib.closing(open_access(service.config, service.data)) as access:
        follower = Follower(service, access)
        follower.start()
        whole = access.holdings.rules_version

        def away() -> int:
            raise GatewayError("it is away")

        monkeypatch.setattr(access.holdings, "rules_version", away)
        until(lambda: "the state database cannot be reached: it is away" in service.sources[-1].error)
        monkeypatch.setattr(access.holdings, "rules_version", whole)
        until(lambda: not service.sources[-1].error)
        follower.close()
