"""Indexes as both adapters serve them, over real sockets: many clients at once, and upstreams that lie."""

from __future__ import annotations

import gzip
import json
import threading
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gatewaycore.rules.indexes import live
from gatewaycore.rules.indexes.conversation import Sought
from gatewaycore.rules.indexes.source import PAGE_BYTES
from gatewaycore.service import Service
from tests.adapters import ADAPTERS, Adapter
from tests.worlds import Answered, Asked, Received, Script, Upstream, Write, journal, open_service, plain

JSON = "application/vnd.pypi.simple.v1+json"
FILE = "rocket_skates-1.0-py3-none-any.whl"
URL = "https://py.acme.example/simple/rocket-skates/"
DATA = {"meta": {"api-version": "1.1"}, "name": "rocket-skates", "files": [{"filename": FILE, "url": f"/f/{FILE}", "hashes": {}}]}
PAGE = json.dumps(DATA).encode()
HTML = f'<a href="/f/{FILE}">{FILE}</a>'.encode()


def asking(accept: str, url: str = URL) -> Asked:
    return Asked("GET", url, (("Accept", accept),))


AS_JSON, AS_HTML = asking(JSON), asking("text/html")


@pytest.fixture(params=ADAPTERS.values(), ids=list(ADAPTERS))
def adapter(request: pytest.FixtureRequest) -> Adapter:
    made: Adapter = request.param
    return made


def speaking(received: Received, write: Write) -> None:
    """Answer as an index does that speaks both."""
    if received.headers["accept"].startswith(JSON):
        plain(200, [("Content-Type", JSON), ("ETag", '"j"')], PAGE)(received, write)
    else:
        plain(200, [("Content-Type", "text/html"), ("ETag", '"h"')], HTML)(received, write)


class Serving:
    """Services before an upstream, closed with the test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.opened: list[Service] = []

    def before(self, authority: str, **more: Any) -> Service:
        package = {
            "name": "rocket-skates",
            "type": "python",
            "domain": "py.acme.example",
            "index": f"http://{authority}/simple",
            "allow-private-backends": True,
            **more,
        }
        service = open_service({"packages": [package]}, self._folder / str(len(self.opened)))
        self.opened.append(service)
        return service


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    made = Serving(tmp_path)
    yield made
    for service in made.opened:
        service.close()


# --- many at once --------------------------------------------------------------------------------------------------------


def mixed(asked: list[Asked], seen: list[Answered]) -> int:
    """Return how many answers are in another form than the one that was asked for, by type or by what they hold."""
    wrong = 0
    for one, answer in zip(asked, seen, strict=True):
        assert answer.status == 200
        assert answer.body is not None
        wants_json = one is AS_JSON
        is_json = answer.body.startswith(b"{")
        wrong += is_json != wants_json or (answer.headers["content-type"] == JSON) != wants_json
    return wrong


def ask_200(service: Service, adapter: Adapter) -> tuple[int, list[Answered]]:
    asked = [AS_JSON, AS_HTML] * 100
    seen = adapter.ask(service, asked, at_once=True)
    return mixed(asked, seen), seen


def test_html_and_json_never_mix(serving: Serving, adapter: Adapter) -> None:
    with Upstream(speaking) as upstream:
        service = serving.before(upstream.authority)
        wrong, seen = ask_200(service, adapter)
        assert wrong == 0
        again, _ = ask_200(service, adapter)
        assert again == 0
    assert len({answer.headers["etag"] for answer in seen}) == 2
    # One request for each of the two: whoever came meanwhile has waited for it.
    assert Counter(received.headers["accept"].partition(",")[0] for received in upstream.received) == {
        JSON: 1,
        "application/vnd.pypi.simple.v1+html": 1,
    }
    assert len(journal(service)) == 400


def test_they_would_without_the_form_in_the_key(serving: Serving, adapter: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail."""
    monkeypatch.setattr(Sought, "key", property(lambda sought: (sought.url, 0)))
    with Upstream(speaking) as upstream:
        service = serving.before(upstream.authority)
        ask_200(service, adapter)
        wrong, _ = ask_200(service, adapter)
    assert wrong > 0


def test_a_restarted_node_answers_for_a_file_without_having_shown_its_page(serving: Serving, adapter: Adapter) -> None:
    """And many clients at once make it ask for the page once."""
    with Upstream(speaking) as upstream:
        service = serving.before(upstream.authority)
        seen = adapter.ask(service, [asking("*/*", URL + FILE)] * 50, at_once=True)
        assert {(answer.status, answer.location) for answer in seen} == {(302, f"http://{upstream.authority}/f/{FILE}")}
        assert len(upstream.received) == 1
    events = journal(service)
    assert len(events) == 50
    about = {(event["kind"], event["decision"], event["version"], event["target"], event["status"]) for event in events}
    assert about == {("download", "redirect", "1.0", "127.0.0.1", 302)}


# --- upstreams that lie --------------------------------------------------------------------------------------------------


def endless(chunk: bytes, head: bytes = b"") -> Script:
    """Answer with a page that has no end, or would have five gigabytes: as long as somebody reads it."""

    def script(received: Received, write: Write) -> None:
        write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n" + head + b"\r\n")
        try:
            for _ in range(5_000_000_000 // len(chunk)):
                write(chunk)
        except OSError:
            return

    return script


def lying(**answers: Script) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("script", answers.values(), ids=list(answers))


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (plain(200, [("Content-Type", JSON)], PAGE.replace(b"rocket-skates", b"rocket-boots")), b"is another project's"),
        (plain(200, [("Content-Type", "text/html")], b'<a href="/f/other-1.0.zip">other-1.0.zip</a>'), b"lists no file of the project"),
        (plain(200, [("Content-Type", "text/html")], HTML + b"<a href='/f/rocket_ska"), b"ends too soon"),
        (plain(200, [("Content-Type", "text/html")], b"\x00\xff<<<>>><a><a href>"), b"lists no file at all"),
        (plain(200, [("Content-Type", JSON)], PAGE[:-5]), b"is no JSON"),
        (plain(200, [("Content-Type", JSON)], b'{"meta":{"api-version":"2.0"},"name":"rocket-skates","files":[]}'), b"does not know"),
        (plain(200, [("Content-Type", "text/plain")], PAGE), b"is neither HTML nor JSON"),
        (plain(200, [], PAGE), b"is neither HTML nor JSON"),
        (plain(200, [("Content-Type", JSON), ("Content-Encoding", "br")], PAGE), b"a coding that was not asked for"),
        (plain(200, [("Content-Type", JSON), ("Content-Encoding", "gzip")], PAGE), b"is no gzip"),
        (plain(200, [("Content-Type", JSON), ("Content-Encoding", "gzip")], gzip.compress(PAGE)[:-9]), b"ends too soon"),
        (plain(302, [("Location", "http://127.0.0.9/simple/rocket-skates/")], b""), b"where it is not known to lead"),
        (plain(302, [("Location", "ftp://pkgs.example/")], b""), b"where it is not known to lead"),
        (plain(302, [("Location", "/simple/rocket-skates/")], b""), b"redirects without end"),
        (plain(500, [], b"oh"), b"does not give this page"),
        (plain(401, [], b"who?"), b"does not give this page"),
        (plain(304, [], b""), b"does not give this page"),
    ],
    ids=[
        *(
            "another project",
            "another's files",
            "cut html",
            "no html",
            "cut json",
            "future version",
            "text",
            "no type",
            "coding",
            "no gzip",
        ),
        *("cut gzip", "elsewhere", "another scheme", "circle", "broken", "locked", "304"),
    ],
)
def test_a_page_that_is_none(script: Script, said: bytes, serving: Serving, adapter: Adapter) -> None:
    with Upstream(script) as upstream:
        (seen,) = adapter.ask(serving.before(upstream.authority), [AS_JSON])
        assert len(upstream.received) <= 5
    assert (seen.status, seen.headers["content-type"]) == (502, "text/plain; charset=utf-8")
    assert seen.body is not None
    assert said in seen.body


@lying(
    endless=endless(b"<a href='/x'>" * 5000),
    announced=endless(b"<a href='/x'>" * 5000, b"Content-Length: 5000000000\r\n"),
    unfolding=plain(
        200, [("Content-Type", JSON), ("Content-Encoding", "gzip")], gzip.compress(PAGE[:-1] + b" " * (PAGE_BYTES * 2) + b"}", 9)
    ),
)
def test_a_page_of_five_gigabytes_costs_bounded_memory(script: Script, serving: Serving, adapter: Adapter) -> None:
    with Upstream(script) as upstream:
        service = serving.before(upstream.authority)
        tracemalloc.start()
        try:
            (seen,) = adapter.ask(service, [AS_JSON])
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert seen.status == 502
    assert seen.body is not None
    assert f"more than {PAGE_BYTES} bytes".encode() in seen.body
    assert peak < 4 * PAGE_BYTES


def test_nobody_there(serving: Serving, adapter: Adapter) -> None:
    with Upstream(lambda received, write: None) as upstream:
        (seen,) = adapter.ask(serving.before(upstream.authority), [AS_JSON])
    assert (seen.status, seen.body) == (502, b"the index behind this gateway gave an answer that cannot be read\n")


def test_an_upstream_inside_of_a_network_is_not_asked(serving: Serving, adapter: Adapter) -> None:
    with Upstream(speaking) as upstream:
        (seen,) = adapter.ask(serving.before(upstream.authority, **{"allow-private-backends": False}), [AS_JSON])
        assert upstream.received == []
    assert (seen.status, seen.body) == (502, b"the index behind this gateway has no address that this gateway connects to\n")


def test_many_who_wait_for_a_page_that_is_none(serving: Serving, adapter: Adapter, caplog: pytest.LogCaptureFixture) -> None:
    """It is read once, and the operator told once."""
    with Upstream(plain(200, [("Content-Type", JSON)], PAGE[:-5])) as upstream:
        seen = adapter.ask(serving.before(upstream.authority), [AS_JSON] * 50, at_once=True)
        assert len(upstream.received) == 1
    assert {(answer.status, answer.body) for answer in seen} == {
        (502, b"the index behind this gateway sent a page that is no JSON of the kind that it says it is\n")
    }
    assert len([record for record in caplog.records if "asked for 'rocket-skates'" in record.getMessage()]) == 1


def test_an_outage_in_front_of_many(serving: Serving, adapter: Adapter) -> None:
    """Everybody gets the page at hand, and the upstream that is down is asked once."""
    down = threading.Event()

    def script(received: Received, write: Write) -> None:
        (plain(500, [], b"") if down.is_set() else speaking)(received, write)

    with Upstream(script) as upstream:
        service = serving.before(upstream.authority, **{"ttl-s": 0})
        adapter.ask(service, [AS_JSON])
        down.set()
        seen = adapter.ask(service, [AS_JSON] * 50, at_once=True)
        assert len(upstream.received) == 2
    assert {answer.status for answer in seen} == {200}
    assert all(answer.headers["warning"].startswith("110 ") for answer in seen)


def test_a_head_that_takes_its_time(serving: Serving, adapter: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of its lines comes soon enough, and there is no end of them: the page at hand is shown meanwhile."""
    monkeypatch.setattr(live, "IMPATIENT_S", 0.5)
    dripping, answered, ended = threading.Event(), threading.Event(), threading.Event()

    def drip(write: Write) -> None:
        with suppress(OSError):
            write(b"HTTP/1.1 200 OK\r\n")
            for _ in range(300):
                write(b"X-More: yes\r\n")
                if answered.wait(0.1):
                    return
            ended.set()

    def script(received: Received, write: Write) -> None:
        if dripping.is_set():
            drip(write)
        else:
            speaking(received, write)

    with Upstream(script) as upstream:
        service = serving.before(upstream.authority, **{"ttl-s": 0})
        (before,) = adapter.ask(service, [AS_JSON])
        dripping.set()
        seen = adapter.ask(service, [AS_JSON] * 5, at_once=True)
        answered.set()
    assert {(answer.status, answer.body) for answer in seen} == {(200, before.body)}
    assert all(answer.headers["warning"].startswith("110 ") for answer in seen)
    assert not ended.is_set()


def test_an_outage_met_by_who_wants_a_file(serving: Serving, adapter: Adapter, caplog: pytest.LogCaptureFixture) -> None:
    """Everybody is led to it, and the operator is told once."""
    down = threading.Event()

    def script(received: Received, write: Write) -> None:
        (plain(500, [], b"") if down.is_set() else speaking)(received, write)

    with Upstream(script) as upstream:
        service = serving.before(upstream.authority, **{"ttl-s": 0})
        adapter.ask(service, [AS_JSON])
        down.set()
        seen = adapter.ask(service, [asking("*/*", URL + FILE)] * 50, at_once=True)
        assert len(upstream.received) == 2
        adapter.ask(service, [AS_JSON])
    assert {answer.status for answer in seen} == {302}
    told = [record.getMessage() for record in caplog.records if "asked for 'rocket-skates'" in record.getMessage()]
    assert told == [f"the index {upstream.authority} answers 500, asked for 'rocket-skates'; the page at hand is followed"]
