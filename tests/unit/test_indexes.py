"""Indexes: pages of an upstream, fetched, kept, shown in the form that is wanted, and done without where it fails."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import define, field

from gatewaycore.decision import Failure, Proxy, Read, Redirect, Respond, Step, Upstream
from gatewaycore.headers import Headers
from gatewaycore.request import Request
from gatewaycore.rules.indexes import Fetched, Form, Forms, Live, PageError, Shelf, Source, Written

BASE = "https://pkgs.acme.example/list"
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Plain:
    """A dialect for tests: a page is one URL of a file a line; shown as text, as the gateway's URLs, or as how many there are."""

    forms = Forms(Form("text/plain"), Form("text/uri-list"), Form("application/x-count"))
    files_form = 0

    def path(self, project: str) -> str:
        return f"{project}.txt"

    def accept(self, form: int) -> str:
        return self.forms.all[form].content_type

    def write(self, page: Fetched, form: int) -> Written:
        if page.media_type != "text/plain":
            raise PageError(f"is no text ({page.charset})")
        files = {}
        for line in page.body.decode().split():
            url = page.locate(line)
            if url is not None:
                files[url.rpartition("/")[2]] = url
        names = [name.encode() for name in files]
        if form == 2:
            return Written((str(len(names)).encode(),), files)
        if form == 0:
            return Written((b"\n".join(names),), files)
        # The gateway's own address stands before each.
        return Written((b"", *(b"/" + name + b"\n" for name in names)), files)

    def refuse(self, status: int, message: str, lines: tuple[tuple[str, str], ...] = ()) -> Respond:
        return Respond(status, Headers(lines), message.encode())


@define
class Index:
    """An upstream that answers what a test says, and what the gateway has made of it.

    Attributes:
        answer: what it says: status, headers and body; or why there is no answer.
        asked: every request that it got.
    """

    answer: tuple[int, Mapping[str, str], bytes] | Failure = (200, {"content-type": "text/plain"}, b"a-1.txt b-2.txt")
    source: Source = field(factory=lambda: Source.parse(BASE))
    asked: list[Upstream] = field(factory=list)
    now: datetime = START
    live: Live = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.live = Live(self.source, Plain(), Shelf())

    def request(self, **fields: str) -> Request:
        headers = Headers([(name.replace("_", "-"), value) for name, value in fields.items()])
        return Request("GET", "pkgs.example", "/", "", headers, received_at=self.now)

    def pass_(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def page(self, project: str = "skates", **fields: str) -> Respond:
        answer = self.perform(self.live.page(self.request(**fields), project))
        assert isinstance(answer, Respond)
        return answer

    def file(self, name: str, project: str = "skates", suffix: str = "") -> Respond | Redirect:
        return self.perform(self.live.file(self.request(), project, name, 302, suffix))

    def perform(self, decision: Any) -> Respond | Redirect:
        if not isinstance(decision, Proxy):
            assert isinstance(decision, Respond | Redirect)
            return decision
        conversation = decision.open()
        step: Step = conversation.start()
        while isinstance(step, Upstream):
            self.asked.append(step)
            assert step.shared
            if isinstance(self.answer, str):
                step = conversation.fail(self.answer)
            else:
                status, headers, body = self.answer
                step = conversation.receive(status, Headers(dict(headers)))
                if isinstance(step, Read):
                    step = step.receive(body if len(body) <= step.limit else None)
        assert isinstance(step, Respond | Redirect)
        return step

    def says(self, body: bytes = b"", status: int = 200, **headers: str) -> None:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answer = (status, {"content-type": "text/plain", **fields}, body)


@pytest.fixture
def index() -> Index:
    return Index()


# --- keeping -------------------------------------------------------------------------------------------------------------


def test_a_page_is_fetched_once_and_then_at_hand(index: Index) -> None:
    first, second = index.page(), index.page()
    assert first.body == second.body == b"a-1.txt\nb-2.txt"
    assert [(asked.method, asked.url) for asked in index.asked] == [("GET", f"{BASE}/skates.txt")]
    assert (first.kept, second.kept) == (False, True)
    assert first.headers["cache-status"] == "gatewaycore; fwd=miss; stored; ttl=60"
    assert second.headers["cache-status"] == "gatewaycore; hit; ttl=60"


def test_forms_are_kept_apart(index: Index) -> None:
    bodies = {index.page(accept=kind).body for kind in ("text/plain", "application/x-count", "text/plain", "application/x-count")}
    assert bodies == {b"a-1.txt\nb-2.txt", b"2"}
    assert len(index.asked) == 2


def test_nothing_of_a_client_reaches_the_upstream(index: Index) -> None:
    index.page(authorization="Basic eDp5", cookie="a=b", user_agent="pip/26.3", x_forwarded_for="203.0.113.7", accept="text/plain")
    (asked,) = index.asked
    assert set(asked.headers) == {"accept", "accept-encoding", "user-agent"}
    assert asked.headers["user-agent"].startswith("gatewaycore/")


def test_a_page_that_has_had_its_time_is_asked_about(index: Index) -> None:
    index.says(b"a-1.txt", etag='"1"')
    before = index.page()
    index.pass_(60)
    index.says(status=304)
    after = index.page()
    assert after.body == before.body
    assert index.asked[1].headers["if-none-match"] == '"1"'
    assert after.headers["cache-status"] == "gatewaycore; fwd=stale; fwd-status=304; ttl=60"
    index.pass_(59)
    assert index.page().headers["age"] == "59"
    assert len(index.asked) == 2


def test_an_outage_shows_the_page_at_hand_and_says_so(index: Index) -> None:
    index.page()
    index.pass_(100)
    index.answer = "connect"
    shown = index.page()
    assert (shown.status, shown.body) == (200, b"a-1.txt\nb-2.txt")
    assert shown.headers["cache-status"] == "gatewaycore; hit; detail=stale-if-error; ttl=-40"
    assert (shown.headers["age"], shown.headers["warning"]) == ("100", '110 gatewaycore "Response is Stale"')
    assert "the page at hand is shown" in shown.note


def test_without_a_page_at_hand_an_outage_is_told(index: Index) -> None:
    index.answer = "timeout"
    answer = index.page()
    assert (answer.status, answer.body) == (504, b"the index behind this gateway did not answer in time")


# --- files ---------------------------------------------------------------------------------------------------------------


def test_a_file_is_where_its_page_says(index: Index) -> None:
    assert index.file("a-1.txt") == Redirect(f"{BASE}/a-1.txt", 302)
    assert index.file("b-2.txt", suffix=".sig") == Redirect(f"{BASE}/b-2.txt.sig", 302)
    assert len(index.asked) == 1


def test_what_no_page_lists_is_nowhere(index: Index) -> None:
    answer = index.file("c-3.txt")
    assert isinstance(answer, Respond)
    assert answer.status == 404


# --- links ---------------------------------------------------------------------------------------------------------------


def test_a_page_may_be_packed(index: Index) -> None:
    index.says(gzip.compress(b"a-1.txt"), content_encoding="gzip")
    assert index.page().body == b"a-1.txt"


def test_the_gateways_own_address_stands_where_a_dialect_wants_it(index: Index) -> None:
    assert index.page(accept="text/uri-list").body == b"https://pkgs.example/a-1.txt\nhttps://pkgs.example/b-2.txt\n"
