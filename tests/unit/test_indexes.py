"""Indexes: pages of an upstream, fetched, kept, shown in the form that is wanted, and done without where it fails."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import define, evolve, field

from gatewaycore.decision import Failure, Proxy, Read, Redirect, Respond, Step, Upstream
from gatewaycore.errors import ConfigError
from gatewaycore.gateway import Gateway
from gatewaycore.headers import Headers
from gatewaycore.request import Request
from gatewaycore.route import Match
from gatewaycore.rules.indexes import Asked, Fetched, Form, Forms, Live, PageError, ProjectRoute, Shelf, Source, Written, index_pattern
from gatewaycore.rules.indexes.live import file_href, is_file_name
from gatewaycore.testing import Seen, simulate

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


# --- asking again, and doing without -------------------------------------------------------------------------------------


def test_without_an_entity_tag_the_date_is_asked_about(index: Index) -> None:
    index.says(b"a-1.txt", last_modified="Fri, 02 Jan 2026 03:04:05 GMT")
    index.page()
    index.pass_(61)
    index.says(b"b-2.txt")
    after = index.page()
    assert index.asked[1].headers["if-modified-since"] == "Fri, 02 Jan 2026 03:04:05 GMT"
    assert after.body == b"b-2.txt"
    assert after.headers["cache-status"] == "gatewaycore; fwd=stale; fwd-status=200; stored; ttl=60"
    index.pass_(61)
    index.page()
    assert set(index.asked[2].headers) == {"accept", "accept-encoding", "user-agent"}


def test_a_client_that_has_the_page_is_told_so(index: Index) -> None:
    tag = index.page().headers["etag"]
    answer = index.page(if_none_match=f'"x", W/{tag}')
    assert (answer.status, answer.body, answer.headers["etag"], answer.headers["vary"]) == (304, b"", tag, "Accept")
    assert "content-type" not in answer.headers
    assert index.page(accept="application/x-count", if_none_match=tag).status == 200


def test_an_upstream_that_failed_rests(index: Index) -> None:
    index.page()
    index.pass_(60)
    index.answer = "protocol"
    first, second = index.page(), index.page()
    assert (len(index.asked), first.kept, second.kept) == (2, True, True)
    assert second.headers["warning"].startswith("110")
    # Of all who ask one tells the operator.
    assert (bool(first.note), bool(second.note)) == (True, False)
    index.pass_(10)
    index.says(b"c-3.txt")
    after = index.page()
    assert (after.body, len(index.asked)) == (b"c-3.txt", 3)
    assert "warning" not in after.headers


@pytest.mark.parametrize(("reason", "status"), [("connect", 502), ("timeout", 504), ("protocol", 502), ("address", 502)])
def test_so_does_one_that_never_gave_anything(index: Index, reason: Failure, status: int) -> None:
    index.answer = reason
    first, second = index.page(), index.page()
    assert (first.status, second.status, len(index.asked)) == (status, status, 1)
    assert (bool(first.note), bool(second.note)) == (True, False)
    index.says(b"a-1.txt")
    index.pass_(10)
    assert index.page().status == 200


@pytest.mark.parametrize(("ttl_s", "stale_s"), [(0, 10**15), (10**15, 10**15), (10**15, 0)])
def test_for_ever_is_any_number_of_nines(ttl_s: int, stale_s: int) -> None:
    index = Index(source=Source.parse(BASE, ttl_s=ttl_s, stale_s=stale_s))
    index.page()
    index.pass_(365 * 86_400)
    index.answer = "connect"
    assert (index.page().status, index.page().body) == (200, b"a-1.txt\nb-2.txt")


def test_an_old_page_is_shown_no_more(index: Index) -> None:
    index.page()
    index.pass_(60 + 86_400)
    index.answer = "connect"
    assert index.page().status == 502


@pytest.mark.parametrize("status", [404, 410])
def test_what_is_no_more_is_not_shown_on(index: Index, status: int) -> None:
    index.page()
    index.pass_(60)
    index.says(status=status)
    assert [index.page().status for _ in range(2)] == [404, 404]
    assert len(index.asked) == 2
    index.pass_(30)
    index.says(b"a-1.txt")
    assert index.page().status == 200


@pytest.mark.parametrize("asked_as", [0, 1, 2])
def test_what_is_no_more_is_so_in_every_form(index: Index, asked_as: int) -> None:
    forms = [form.content_type for form in Plain.forms.all]
    for accept in forms:
        index.page(accept=accept)
    index.page("boots")
    index.pass_(60)
    index.says(status=404)
    assert index.page(accept=forms[asked_as]).status == 404
    index.answer = "connect"
    assert index.file("a-1.txt").status in (404, 502)
    assert {index.page(accept=accept).status for accept in forms} <= {404, 502}
    # Of others nothing was said.
    assert index.page("boots").status == 200


@pytest.mark.parametrize(("retry_after", "told"), [("7", "7"), ("soon", None), ("999999", None), (None, None)])
@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_upstream_says_when_to_come_back(index: Index, status: int, retry_after: str | None, told: str | None) -> None:
    index.answer = (status, {} if retry_after is None else {"retry-after": retry_after}, b"")
    answer = index.page()
    assert (answer.status, answer.headers.get("retry-after")) == (503, told)


def test_pages_are_bounded_in_memory() -> None:
    index = Index()
    index.live = Live(index.source, Plain(), Shelf(6_000))
    for project in ("a", "b", "c", "a"):
        index.says(b"x" * 700 + b".txt")
        index.page(project)
    assert len(index.asked) == 4
    index.page("a")
    assert len(index.asked) == 4


def test_what_is_larger_than_the_shelf_is_shown_all_the_same() -> None:
    index = Index()
    index.live = Live(index.source, Plain(), Shelf(100))
    assert [index.page().status for _ in range(2)] == [200, 200]
    assert len(index.asked) == 2


def test_a_shelf_forgets(index: Index) -> None:
    index.page()
    index.live.shelf.clear()
    index.page()
    assert len(index.asked) == 2


# --- being led ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("location", "permitted"),
    [
        ("/list/other.txt", True),
        ("https://PKGS.acme.example:443/x", True),
        ("https://mirror.acme.example/x", True),
        ("https://mirror.acme.example:8443/x", False),
        ("https://cache.acme.example:8443/x#part", True),
        ("https://cache.acme.example/x", False),
        ("http://mirror.acme.example/x", False),
        ("http://pkgs.acme.example/x", False),
        ("https://evil.example/x", False),
        ("https://pkgs.acme.example@evil.example/x", False),
        ("https://pkgs.acme.example:99999/x", False),
        ("ftp://pkgs.acme.example/x", False),
    ],
)
def test_redirects_are_followed_where_they_may_lead(location: str, permitted: bool) -> None:
    index = Index(source=Source.parse(BASE, hosts=("mirror.acme.example", "cache.acme.example:8443")))
    index.says(status=302, location=location)
    answer = index.page()
    assert answer.status == 502
    assert len(index.asked) == (5 if permitted else 1)
    assert (b"without end" if permitted else b"not known to lead") in answer.body
    assert all("#" not in asked.url for asked in index.asked)


def test_an_index_without_tls_may_lead_to_its_hosts_without() -> None:
    source = Source.parse("http://pkgs.acme.example/list", hosts=("mirror.acme.example",))
    assert source.permits("http://mirror.acme.example/x")
    assert source.permits("https://pkgs.acme.example/list/x")
    assert not source.permits("https://pkgs.acme.example:8443/list/x")
    assert (source.name, source.url) == ("pkgs.acme.example", "http://pkgs.acme.example/list/")


def test_a_redirect_to_nowhere(index: Index) -> None:
    index.says(status=302)
    assert index.page().status == 502


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pkgs.acme.example",
        "https://",
        "https://a b/",
        "https://a.example/?x",
        "https://a.example/#x",
        "https://ü.example/",
        "https://[/",
    ],
)
def test_what_is_no_index(text: str) -> None:
    with pytest.raises(ConfigError, match="is not the URL of an index"):
        Source.parse(text)


def test_credentials_are_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        Source.parse("https://ann:secret@pkgs.acme.example/simple")
    assert "secret" not in str(caught.value)


# --- files, again --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "url"),
    [
        ("a.txt", f"{BASE}/a.txt"),
        ("../a.txt#sha256=ab", "https://pkgs.acme.example/a.txt"),
        ("//files.example/a.txt", "https://files.example/a.txt"),
        ("https://files.example:8443/a%20b.txt?x=1", "https://files.example:8443/a%20b.txt?x=1"),
        ("https://files.example/é", "https://files.example/%C3%A9"),
        ("https://files.example/a\\b", "https://files.example/a%5Cb"),
        (" https://files.example/a ", "https://files.example/a"),
        ("https://files.example:65535/a", "https://files.example:65535/a"),
        ("https://files.example:65536/a", None),
        ("https://files.example:99999/a", None),
        ("https://files.example:0/a", None),
        ("http://files.example/a", None),
        ("HTTP://files.example/a b", None),
        ("http:a", None),
        ("//files.example/a b", "https://files.example/a%20b"),
        *((f"https://{host}/a", None) for host in ("127.0.0.1", "127.1", "0x7f.1", "0X7F.1", "0177.1", "2130706433", "0x7f000001")),
        *((f"https://{host}:8443/a", None) for host in ("127.1", "0x7f.1", "2130706433")),
        ("https://files.LOCALHOST/a", None),
        ("https://localhost/a", None),
        ("https://files.localhost./a", None),
        ("https://[::1]/a", None),
        ("https://169.254.169.254/a", None),
        ("https://ann@files.example/a", None),
        ("javascript:alert(1)", None),
        ("https://[/a", None),
        ("https:///a", None),
    ],
)
def test_where_a_link_leads(link: str, url: str | None) -> None:
    assert Fetched("x", f"{BASE}/x.txt", "text/plain", None, b"").locate(link) == url


@pytest.mark.parametrize("link", ["http://files.example/a", "HTTP://files.example/a", "https://files.example/a"])
def test_a_page_that_came_over_http_may_lead_to_either(link: str) -> None:
    assert Fetched("x", "http://pkgs.acme.example/x.txt", "text/plain", None, b"").locate(link) == link


def test_links_inside_of_a_network_where_that_is_permitted() -> None:
    page = Fetched("x", f"{BASE}/x.txt", "text/plain", None, b"", private=True)
    assert page.locate("https://127.0.0.1:8080/a") == "https://127.0.0.1:8080/a"
    assert page.locate("https://localhost/a") == "https://localhost/a"
    assert page.locate("https://files.LOCALHOST/a") == "https://files.LOCALHOST/a"
    assert page.locate("https://169.254.169.254/a") is None
    # Whoever has something there can write its address as everybody does.
    assert page.locate("https://127.1/a") is None
    assert page.locate("http://127.0.0.1/a") is None


def test_what_stands_beside_a_file_stands_beside_its_path(index: Index) -> None:
    index.says(b"https://files.example/a-1.txt?key=b")
    found = index.perform(index.live.file(index.request(), "skates", "a-1.txt?key=b", 307, ".sig"))
    assert found == Redirect("https://files.example/a-1.txt.sig?key=b", 307)


def test_a_new_file_is_looked_for_anew_though_not_at_once(index: Index) -> None:
    """Another node may have shown its page already."""
    index.page()
    index.says(b"a-1.txt b-2.txt c-3.txt")
    assert index.file("c-3.txt").status == 404
    index.pass_(15)
    assert index.file("c-3.txt") == Redirect(f"{BASE}/c-3.txt", 302)
    assert len(index.asked) == 2


def test_a_file_of_any_form_at_hand_is_known(index: Index) -> None:
    index.page(accept="application/x-count")
    assert index.file("a-1.txt").status == 302
    assert len(index.asked) == 1


def test_files_in_an_outage(index: Index) -> None:
    index.page()
    index.pass_(60)
    index.answer = "connect"
    first, second = index.file("a-1.txt"), index.file("a-1.txt")
    assert (first.status, second.status) == (302, 302)
    # Of all who ask, for files or for pages, one tells the operator.
    assert first.note == "the index pkgs.acme.example gives no answer (connect), asked for 'skates'; the page at hand is followed"
    assert (second.note, index.page().note) == ("", "")
    assert (index.file("c-3.txt").status, len(index.asked)) == (404, 2)
    index.live.shelf.clear()
    assert [index.file("a-1.txt").status for _ in range(2)] == [502, 502]
    assert len(index.asked) == 3


def test_a_file_that_was_not_there_when_its_page_was_read_is_no_event(index: Index) -> None:
    answer = index.file("c-3.txt")
    assert isinstance(answer, Respond)
    assert (answer.status, answer.kept) == (404, True)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "a\nb", "x" * 513])
def test_names_that_no_file_has(name: str) -> None:
    assert not is_file_name(name)


@pytest.mark.parametrize(
    ("name", "href"), [("a-1+x~y!z.whl", "a-1+x~y!z.whl"), ("a b.zip", "a%20b.zip"), ("c:x", "c%3Ax"), ("ü", "%C3%BC")]
)
def test_names_as_links(name: str, href: str) -> None:
    assert is_file_name(name)
    assert file_href(name) == href


# --- packages of pages ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", ["", "; charset=latin-1", '; x=y; Charset="latin-1"', "; charset="])
def test_what_a_page_says_of_its_text(index: Index, parameters: str) -> None:
    index.answer = (200, {"content-type": f"Text/HTML{parameters}"}, b"x")
    wanted = b"latin-1" if "latin" in parameters else b"None"
    assert index.page().body == b"the index behind this gateway sent a page that is no text (" + wanted + b")"


def test_a_page_that_is_too_large(index: Index) -> None:
    index.live.source = evolve(index.source, page_bytes=10)
    index.says(b"x" * 11)
    assert index.page().body == b"the index behind this gateway sent a page of more than 10 bytes"
    index.live.shelf.clear()
    index.says(gzip.compress(b"x" * 11), content_encoding="gzip")
    # It is as long as it says only when it is unfolded.
    assert b"more than 10 bytes" in index.page().body


def test_a_page_packed_in_several_pieces_is_whole(index: Index) -> None:
    """RFC 1952 §2.2: a file is a row of members."""
    links = [f"a-{number}.txt {'b.txt ' * number}" for number in range(300)]
    packed = b"".join(gzip.compress(link.encode()) for link in links) + gzip.compress(b"")
    assert len(packed) < 65_536
    index.says(packed, content_encoding="gzip")
    assert index.page().body.count(b"a-") == 300


def test_so_is_one_of_large_pieces(index: Index) -> None:
    noise = [b" ".join(b"%d.txt" % (number * 7919 % 10**9 + start) for number in range(40_000)) for start in (10**9, 2 * 10**9)]
    packed = b"".join(gzip.compress(piece + b" ") for piece in noise)
    assert len(packed) > 2 * 65_536
    index.says(packed, content_encoding="gzip")
    assert index.page(accept="application/x-count").body == b"80000"


PACKED = gzip.compress(b"a-1.txt")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (PACKED + b"rubbish", b"is no gzip"),
        (PACKED + b"\0" * 512, b"is no gzip"),
        (PACKED + PACKED[:-1], b"ends too soon"),
        (PACKED + b"\x1f", b"ends too soon"),
        (b"", b"ends too soon"),
        (PACKED + gzip.compress(b"b" * 994), b"unfolds to more than 1000 bytes"),
        (gzip.compress(b"") * 4097, b"in more pieces than any index makes"),
    ],
    ids=["rubbish", "padding", "cut", "begun", "nothing", "too much", "without end"],
)
def test_what_stands_behind_a_packed_page(index: Index, body: bytes, said: bytes) -> None:
    index.live.source = evolve(index.source, page_bytes=200_000 if len(body) > 1000 else 1000)
    index.says(body, content_encoding="gzip")
    answer = index.page()
    assert answer.status == 502
    assert said in answer.body


def test_a_packed_page_may_be_as_large_as_any(index: Index) -> None:
    index.live.source = evolve(index.source, page_bytes=1000)
    index.says(PACKED + gzip.compress(b" " * 993), content_encoding="gzip")
    assert index.page().body == b"a-1.txt"


def test_identity_is_no_coding(index: Index) -> None:
    index.says(b"a-1.txt", content_encoding="Identity")
    assert index.page().body == b"a-1.txt"


def test_the_same_page_under_two_addresses_has_two_tags(index: Index) -> None:
    here = index.page(accept="text/uri-list")
    there = index.perform(index.live.page(evolve(index.request(accept="text/uri-list"), port=8443), "skates"))
    assert isinstance(there, Respond)
    assert there.body.startswith(b"https://pkgs.example:8443/a-1.txt\n")
    assert here.headers["etag"] != there.headers["etag"]
    assert len(index.asked) == 1


# --- parts of pages ------------------------------------------------------------------------------------------------------


@define(eq=False)
class Line:
    """What of a page begins with a text, and which pages it was looked for in. Two are equal that want the same."""

    wanted: bytes
    looked: list[bytes] = field(factory=list)

    def __call__(self, page: bytes) -> bytes | None:
        self.looked.append(page)
        return next((line for line in page.split() if line.startswith(self.wanted)), None)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Line) and self.wanted == other.wanted

    def __hash__(self) -> int:
        return hash(self.wanted)


def of_page(index: Index, wanted: Line, **more: Any) -> Respond:
    answer = index.perform(index.live.page(evolve(index.request(), **more), "skates", wanted))
    assert isinstance(answer, Respond)
    return answer


def test_a_part_is_looked_for_once_as_long_as_the_page_is_the_same(index: Index) -> None:
    first, second, other = Line(b"b"), Line(b"b"), Line(b"a")
    assert [of_page(index, line).body for line in (first, second, other)] == [b"b-2.txt", b"b-2.txt", b"a-1.txt"]
    assert [len(line.looked) for line in (first, second, other)] == [1, 0, 1]
    index.pass_(60)
    index.says(b"b-3.txt")
    assert (of_page(index, second).body, second.looked) == (b"b-3.txt", [b"b-3.txt"])
    index.live.shelf.clear()
    of_page(index, first)
    assert len(first.looked) == 2


def test_what_no_page_has_is_not_remembered(index: Index) -> None:
    """Anybody makes up names."""
    line = Line(b"c")
    assert [of_page(index, line).status for _ in range(2)] == [404, 404]
    assert len(line.looked) == 2


class Linked(Plain):
    """Shows links with the gateway's own address alone."""

    forms = Forms(Form("text/uri-list"))

    def write(self, page: Fetched, form: int) -> Written:
        return super().write(page, 1)


def test_a_part_is_that_of_the_address_that_was_asked(index: Index) -> None:
    index.live = Live(index.source, Linked(), Shelf())
    line = Line(b"https")
    bodies = [of_page(index, line, port=port).body for port in (None, 8443, None, 8443)]
    assert bodies == [b"https://pkgs.example/a-1.txt", b"https://pkgs.example:8443/a-1.txt"] * 2
    assert len(line.looked) == 2


@pytest.mark.parametrize("where", [{"mount": "/192.0.2.7"}, {"mount": "/2001%253Adb8"}, {"host": "[2001:db8::1]"}])
def test_no_address_is_remembered_with_a_part(index: Index, where: dict[str, str]) -> None:
    line = Line(b"a")
    for _ in range(2):
        of_page(index, line, **where)
    assert len(line.looked) == 2


def test_parts_are_bounded_in_memory(index: Index) -> None:
    index.says(b" ".join(b"%d-%s" % (number, b"x" * 100_000) for number in range(100, 200)))
    lines = [Line(b"%d" % number) for number in range(100, 200)]
    for line in [*lines, lines[-1], lines[0]]:
        of_page(index, line)
    assert (len(lines[-1].looked), len(lines[0].looked)) == (1, 2)


# --- routes --------------------------------------------------------------------------------------------------------------


class Paths:
    """``/list/PROJECT`` and ``/list/PROJECT/FILE``; ``/list`` itself is a greeting."""

    def read(self, path: str) -> Asked | Respond | None:
        project, _, file = path.removeprefix("/list").removeprefix("/").partition("/")
        if not project:
            return Respond(200, body=b"hello")
        if project == "elsewhere":
            return None
        return Asked(project, file or None, version="1", platform="linux", arch="arm64", variables={"v": "w"})


LIST = index_pattern("list", ("/list",), Plain(), Paths())


def part(project: str = "skates", package: str = "p", domain: str = "pkgs.example", **more: Any) -> ProjectRoute:
    return ProjectRoute(f"x/{project}", domain, package, LIST, project, Source.parse(BASE), **more)


def ask(gateway: Gateway, path: str, method: str = "GET") -> Seen:
    answer = (200, {"content-type": "text/plain"}, b"a-1.txt")
    return simulate(gateway, method, f"https://pkgs.example{path}", upstream=lambda _: answer)


def test_a_route_serves_the_projects_of_a_domain() -> None:
    gateway = Gateway.compile([part(), part("boots", "q", status=307)])
    page, file = ask(gateway, "/list/skates"), ask(gateway, "/list/boots/a-1.txt?x=y")
    assert (page.status, page.body, page.rule) == (200, b"a-1.txt", "pkgs.example/list")
    (event,) = page.events
    assert (event.package, event.package_type, event.kind, event.version, event.rule) == ("p", "list", "metadata", None, "x/skates")
    assert event.variables == {"project": "skates", "v": "w"}
    assert (file.status, file.location) == (307, f"{BASE}/a-1.txt?x=y")
    (event,) = file.events
    assert (event.package, event.kind, event.version, event.platform, event.arch) == ("q", "download", "1", "linux", "arm64")
    assert event.variables == {"x": "y", "project": "boots", "v": "w", "file": "a-1.txt"}


def test_a_route_answers_for_what_is_no_project() -> None:
    gateway = Gateway.compile([part()])
    unknown = ask(gateway, "/list/boots")
    assert (unknown.status, unknown.body, unknown.events) == (404, b"this index has no such project", [])
    posted = ask(gateway, "/list/skates", "POST")
    assert (posted.status, posted.headers["allow"], posted.events) == (405, "GET, HEAD", [])
    assert (ask(gateway, "/list").body, ask(gateway, "/list").events) == (b"hello", [])
    assert ask(gateway, "/list/elsewhere").rule is None
    gateway.forget()


def test_one_project_of_two_rules() -> None:
    with pytest.raises(ConfigError, match="the project skates is another rule's already"):
        Gateway.compile([part(), part(package="q")])
    gateway = Gateway.compile([part(), part(package="q", priority=1)])
    assert ask(gateway, "/list/skates").events[0].package == "q"


def test_a_part_by_itself_is_nothing() -> None:
    request = Request("GET", "pkgs.example", "/list/skates")
    alone = part()
    match = Match(alone, {})
    assert (alone.decide(request, match), alone.observe(request, match)) == (Respond(404), None)


def test_a_gateway_goes_on_with_the_pages_of_the_one_before() -> None:
    before, after, other = (Gateway.compile([part(domain=domain)]) for domain in ("pkgs.example", "pkgs.example", "x.example"))
    ask(before, "/list/skates")
    after.inherit(before)
    other.inherit(before)

    def status(gateway: Gateway, host: str) -> int:
        return simulate(gateway, "GET", f"https://{host}/list/skates", upstream=lambda _: (500, {}, b"")).status

    assert (status(after, "pkgs.example"), status(other, "x.example")) == (200, 502)
