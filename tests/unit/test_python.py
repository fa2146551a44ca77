"""The python package type: pages of the simple index, and files that are somewhere else."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

import pytest

from gatewaycore.decision import Redirect, Respond
from gatewaycore.errors import ConfigError
from gatewaycore.event import Observation
from gatewaycore.headers import Headers
from gatewaycore.request import Request
from gatewaycore.route import ApiRoute, Route
from gatewaycore.rules.python import PythonFile, PythonIndex, PythonRule
from gatewaycore.rules.python.names import normalise, version_of
from gatewaycore.rules.python.pages import choose

FILES = "https://files.index.example/packages"
SHA = "ab" * 32
JSON = "application/vnd.pypi.simple.v1+json"
HTML = "application/vnd.pypi.simple.v1+html"

SKATES = PythonRule(
    name="Rocket_Skates",
    domain="py.acme.com",
    id="pkg-1",
    files=(
        PythonFile(
            "rocket_skates-1.10-py3-none-any.whl", f"{FILES}/a/rocket_skates-1.10-py3-none-any.whl#sha256={SHA}", requires_python=">=3.8,<4"
        ),
        PythonFile(
            "rocket-skates-1.9.tar.gz", f"{FILES}/b/rocket-skates-1.9.tar.gz?token=1", "1.9.tar.gz", {"md5": "C" * 32}, gpg_sig=True
        ),
        PythonFile("rocket-skates-1.9.1.zip", f"{FILES}/c/x.zip", yanked="broken & <sad>"),
        PythonFile("rocket-skates-old.exe", f"{FILES}/d/rocket-skates-old.exe", yanked=True, gpg_sig=False, size=12),
    ),
)


def index(*rules: PythonRule) -> PythonIndex:
    return PythonIndex.join([route for rule in rules for route in rule.compile()])


ONE = index(SKATES)


def ask(path: str, *, method: str = "GET", query: str = "", at: PythonIndex = ONE, **fields: str) -> tuple[Any, Observation | None]:
    request = Request(method, "py.acme.com", path, query, Headers([(name.replace("_", "-"), value) for name, value in fields.items()]))
    match = at.match(request)
    assert match is not None
    assert match.route is at
    return at.decide(request, match), at.observe(request, match)


def page(path: str, **options: Any) -> Respond:
    decision, _ = ask(path, **options)
    assert isinstance(decision, Respond)
    assert decision.status == 200
    return decision


def links(text: str) -> dict[str, dict[str, str | None]]:
    found: dict[str, dict[str, str | None]] = {}

    class Links(HTMLParser):
        attributes: dict[str, str | None] | None = None

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag == "a":
                self.attributes = dict(attrs)

        def handle_data(self, data: str) -> None:
            if self.attributes is not None:
                found[data] = self.attributes
                self.attributes = None

    Links().feed(text)
    return found


# --- pages -------------------------------------------------------------------------------------------------------------------------------


def test_the_root_lists_the_projects_and_links_relatively() -> None:
    decision = page("/simple/", at=index(SKATES, PythonRule(name="Anvil", domain="py.acme.com")))
    assert links(decision.body.decode()) == {"anvil": {"href": "anvil/"}, "rocket-skates": {"href": "rocket-skates/"}}
    data = json.loads(page("/simple/", accept=JSON).body)
    assert data == {"meta": {"api-version": "1.1"}, "projects": [{"name": "rocket-skates"}]}


def test_a_project_page_lists_its_files_by_version() -> None:
    found = links(page("/simple/rocket-skates/").body.decode())
    assert list(found) == [
        "rocket-skates-old.exe",
        "rocket-skates-1.9.tar.gz",
        "rocket-skates-1.9.1.zip",
        "rocket_skates-1.10-py3-none-any.whl",
    ]
    assert found["rocket_skates-1.10-py3-none-any.whl"] == {
        "href": f"rocket_skates-1.10-py3-none-any.whl#sha256={SHA}",
        "data-requires-python": ">=3.8,<4",
    }
    assert found["rocket-skates-1.9.tar.gz"] == {"href": f"rocket-skates-1.9.tar.gz#md5={'c' * 32}", "data-gpg-sig": "true"}
    assert found["rocket-skates-1.9.1.zip"] == {"href": "rocket-skates-1.9.1.zip", "data-yanked": "broken & <sad>"}
    assert found["rocket-skates-old.exe"] == {"href": "rocket-skates-old.exe", "data-gpg-sig": "false", "data-yanked": ""}


def test_the_json_page_says_the_same() -> None:
    data = json.loads(page("/simple/rocket-skates/", accept=JSON).body)
    assert data["meta"] == {"api-version": "1.1"}
    assert data["name"] == "rocket-skates"
    assert data["versions"] == ["1.9", "1.9.1", "1.10"]
    old, tar, zipped, wheel = data["files"]
    assert old == {
        "filename": "rocket-skates-old.exe",
        "url": "rocket-skates-old.exe",
        "hashes": {},
        "gpg-sig": False,
        "yanked": True,
        "size": 12,
    }
    assert tar["hashes"] == {"md5": "c" * 32}
    assert zipped["yanked"] == "broken & <sad>"
    assert wheel == {
        "filename": "rocket_skates-1.10-py3-none-any.whl",
        "url": "rocket_skates-1.10-py3-none-any.whl",
        "hashes": {"sha256": SHA},
        "requires-python": ">=3.8,<4",
    }


def test_names_that_urls_cannot_hold_are_escaped_in_links() -> None:
    odd = 'a:b?c#d%e"<f>.whl'
    one = index(PythonRule(name="x", domain="py.acme.com", files=(PythonFile(odd, f"{FILES}/x"),)))
    assert links(page("/simple/x/", at=one).body.decode()) == {odd: {"href": "a%3Ab%3Fc%23d%25e%22%3Cf%3E.whl"}}
    decision, _ = ask("/simple/x/a%3Ab%3Fc%23d%25e%22%3Cf%3E.whl", at=one)
    assert decision == Redirect(f"{FILES}/x", 302)


def test_an_empty_reason_is_no_withdrawal() -> None:
    one = index(PythonRule(name="x", domain="py.acme.com", files=(PythonFile("x-1.zip", f"{FILES}/x", yanked=""),)))
    assert links(page("/simple/x/", at=one).body.decode()) == {"x-1.zip": {"href": "x-1.zip"}}
    assert "yanked" not in json.loads(page("/simple/x/", at=one, accept=JSON).body)["files"][0]


def test_free_text_with_a_lone_surrogate_spoils_nothing() -> None:
    one = index(PythonRule(name="x", domain="py.acme.com", files=(PythonFile("x-1.zip", f"{FILES}/x", yanked="\ud800"),)))
    assert "x-1.zip" in links(page("/simple/x/", at=one).body.decode())
    assert json.loads(page("/simple/x/", at=one, accept=JSON).body)["files"][0]["yanked"] == "\ud800"


# --- addresses ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/simple", "simple/"),
        ("/simple/rocket-skates", "rocket-skates/"),
        ("/simple/Rocket.Skates", "rocket-skates/"),
        ("/simple/Rocket.Skates/", "../rocket-skates/"),
        ("/simple/rocket%2Dskates/", "../rocket-skates/"),
        ("/simple/rocket__skates/", "../rocket-skates/"),
    ],
)
def test_other_spellings_move_to_the_normalised_address(path: str, location: str) -> None:
    decision, observation = ask(path)
    assert (decision.status, decision.headers.get("location")) == (301, location)
    assert observation is None
    decision, _ = ask(path, query="format=json&x= <")
    assert decision.headers.get("location") == f"{location}?format=json&x=%20%3C"


@pytest.mark.parametrize(
    "path",
    [
        "/simple/numpy/",
        "/simple/numpy",
        "/simple//",
        "/simple//rocket-skates/",
        "/simple/rocket-skates//",
        "/simple/rocket-skates/rocket-skates-1.9.tar.gz/",
        "/simple/rocket-skates/rocket-skates-2.tar.gz",
        "/simple/rocket-skates/rocket_skates-1.10-py3-none-any.whl.metadata",
        "/simple/rocket-skates/..",
        "/simple/../rocket-skates/",
        "/simple/%72ocket%FF/",
        "/simple/%00/",
        "/simple/roc\u212aet-skates/",
        "/simple/roc%E2%84%AAet-skates/",
    ],
)
def test_what_is_not_there_is_404_and_no_event(path: str) -> None:
    decision, observation = ask(path)
    assert (decision.status, observation) == (404, None)


@pytest.mark.parametrize("path", ["/", "/simples/", "/simplex", "/Simple/", "/v2/"])
def test_other_paths_are_left_to_other_rules(path: str) -> None:
    assert ONE.match(Request("GET", "py.acme.com", path)) is None


@pytest.mark.parametrize("path", ["/simple/", "/simple/rocket-skates/rocket-skates-1.9.tar.gz", "/simple/none/"])
def test_an_index_is_only_read(path: str) -> None:
    decision, observation = ask(path, method="POST")
    assert (decision.status, decision.headers.get("allow"), observation) == (405, "GET, HEAD", None)


# --- files -------------------------------------------------------------------------------------------------------------------------------


def test_a_file_is_redirected_exactly_where_the_rule_says() -> None:
    decision, observation = ask("/simple/rocket-skates/rocket_skates-1.10-py3-none-any.whl", method="HEAD")
    assert decision == Redirect(f"{FILES}/a/rocket_skates-1.10-py3-none-any.whl#sha256={SHA}", 302)
    assert observation is not None
    assert (observation.package, observation.package_type, observation.kind, observation.version) == ("pkg-1", "python", "download", "1.10")
    assert observation.variables == {"file": "rocket_skates-1.10-py3-none-any.whl", "file-type": "wheel"}
    assert (observation.platform, observation.arch) == ("allplatforms", None)
    assert observation.rule == ONE.label == "py.acme.com/simple"


def test_a_file_is_found_under_any_spelling_of_its_project_and_name() -> None:
    for path in ("/simple/Rocket_Skates/rocket-skates-1.9.tar.gz", "/simple/rocket-skates/rocket%2dskates-1%2E9.tar.gz"):
        decision, observation = ask(path)
        assert decision.location == f"{FILES}/b/rocket-skates-1.9.tar.gz?token=1"
        assert observation is not None
        assert observation.version == "1.9.tar.gz"


def test_the_query_is_carried_before_the_fragment_and_the_urls_own_wins() -> None:
    decision, observation = ask("/simple/rocket-skates/rocket_skates-1.10-py3-none-any.whl", query='campaign=x"y')
    assert decision.location == f"{FILES}/a/rocket_skates-1.10-py3-none-any.whl?campaign=x%22y#sha256={SHA}"
    assert observation is not None
    assert observation.variables == {
        "campaign": 'x"y',
        "file": "rocket_skates-1.10-py3-none-any.whl",
        "file-type": "wheel",
    }
    decision, _ = ask("/simple/rocket-skates/rocket-skates-1.9.tar.gz", query="token=2&a=b")
    assert decision.location == f"{FILES}/b/rocket-skates-1.9.tar.gz?token=1&a=b"


def test_the_query_cannot_rename_the_file() -> None:
    _, observation = ask("/simple/rocket-skates/rocket-skates-1.9.1.zip", query="file=other")
    assert observation is not None
    assert observation.variables["file"] == "rocket-skates-1.9.1.zip"


def test_urls_stay_as_written_but_become_ascii() -> None:
    files = (PythonFile("x-1.zip", f'{FILES}/x-1.zip#sha256={SHA}"'), PythonFile("x-2.zip", f"{FILES}/ü x.zip"))
    one = index(PythonRule(name="x", domain="py.acme.com", files=files, redirect_status=307))
    assert ask("/simple/x/x-1.zip", at=one)[0] == Redirect(f'{FILES}/x-1.zip#sha256={SHA}"', 307)
    assert ask("/simple/x/x-2.zip", at=one)[0].location == f"{FILES}/%C3%BC%20x.zip"
    # What follows the digest makes it none: no link may promise a hash that no file has.
    assert links(page("/simple/x/", at=one).body.decode())["x-1.zip"] == {"href": "x-1.zip"}


def test_pages_are_metadata_events() -> None:
    _, root = ask("/simple/")
    _, project = ask("/simple/rocket-skates/", method="HEAD")
    assert root is not None
    assert project is not None
    assert (root.package, root.kind, root.version) == (None, "metadata", None)
    assert (project.package, project.kind, project.package_type) == ("pkg-1", "metadata", "python")


# --- several rules -----------------------------------------------------------------------------------------------------------------------


def test_rules_of_one_project_share_a_page_and_keep_their_names() -> None:
    one = index(
        PythonRule(name="x", domain="py.acme.com", id="first", files=(PythonFile("x-1.zip", f"{FILES}/1"),)),
        PythonRule(name="X", domain="py.acme.com", files=(PythonFile("x-2.zip", f"{FILES}/2"), PythonFile("x-1.zip", f"{FILES}/1"))),
    )
    assert list(links(page("/simple/x/", at=one).body.decode())) == ["x-1.zip", "x-2.zip"]
    packages = [observation.package for _, observation in (ask(f"/simple/x/x-{n}.zip", at=one) for n in (1, 2)) if observation]
    assert packages == ["first", "X"]


def test_priority_settles_whose_file_it_is_and_a_tie_is_an_error() -> None:
    low = PythonRule(name="x", domain="py.acme.com", files=(PythonFile("x-1.zip", f"{FILES}/low"),))
    high = PythonRule(name="x", domain="py.acme.com", files=(PythonFile("x-1.zip", f"{FILES}/high"),), priority=1)
    one = index(low, high)
    assert ask("/simple/x/x-1.zip", at=one)[0].location == f"{FILES}/high"
    assert one.priority == 1
    with pytest.raises(ConfigError, match=r"'x-1\.zip' is listed by another rule"):
        index(low, PythonRule(name="x", domain="py.acme.com", files=(PythonFile("x-1.zip", f"{FILES}/other"),)))


def test_an_empty_index_lists_nothing() -> None:
    assert links(page("/simple/", at=PythonIndex.join([])).body.decode()) == {}


def test_routes_keep_the_protocols() -> None:
    (route,) = SKATES.compile()
    assert isinstance(route, Route)
    assert isinstance(ONE, ApiRoute)
    assert route.label == "py.acme.com/simple/rocket-skates"
    assert route.pattern == ONE.pattern
    assert ONE.package is None
    # A part of an index answers for nothing on its own.
    request = Request("GET", "py.acme.com", "/simple/")
    match = ONE.match(request)
    assert match is not None
    assert route.decide(request, match) == ask("/simple/none/")[0]
    assert route.observe(request, match) is None


# --- negotiation and caching -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", 0),
        ("*/*", 0),
        ("text/html", 0),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", 0),
        (f"{JSON}, {HTML}; q=0.1, text/html; q=0.01", 2),
        (f"{JSON}, {HTML};q=0.2, text/html;q=0.01", 2),
        (f"{JSON}, */*;q=0.1", 2),
        (f"{JSON}, */*", 2),
        ("application/vnd.pypi.simple.latest+json", 2),
        ("application/vnd.pypi.simple.latest+html", 1),
        (f"{HTML}, {JSON};q=0.5", 1),
        (f"{JSON}, text/html", 0),
        (f"{JSON};q=0.5, text/html;q=0.5", 0),
        ("application/*", 1),
        (f"application/*, {HTML};q=0", 2),
        ("*/*, text/html;q=0", 1),
        ("text/*;q=0.3, */*;q=0.1", 0),
        ("TEXT/HTML;Q=0.1, " + JSON.upper() + " ;q=0.9", 2),
        # Nothing suits, or nothing makes sense: HTML all the same.
        ("application/json", 0),
        (f"{JSON};q=0", 0),
        ("image/png, nonsense;;q=;,,", 0),
        # A weight that is none counts as none (1).
        (f"{JSON};q=nan, text/html;q=0.9", 2),
        (f"{JSON};level=1;q=0.2, text/html;q=0.3", 0),
    ],
)
def test_the_client_chooses_the_form(accept: str, form: int) -> None:
    assert choose(accept) == form
    types = ("text/html; charset=utf-8", f"{HTML}; charset=utf-8", JSON)
    assert page("/simple/", accept=accept).headers.get("content-type") == types[form]


def test_accept_may_come_in_several_lines_and_be_long() -> None:
    request = Request(
        "GET", "py.acme.com", "/simple/", "", Headers([("accept", "text/html;q=0.1"), ("accept", JSON), ("accept", "x/y," * 500)])
    )
    match = ONE.match(request)
    assert match is not None
    decision = ONE.decide(request, match)
    assert isinstance(decision, Respond)
    assert decision.headers.get("content-type") == JSON


def test_pages_may_be_cached_and_say_what_they_depend_on() -> None:
    headers = page("/simple/").headers
    assert headers.get("vary") == "Accept"
    assert headers.get("cache-control") == "public, max-age=600"
    assert headers.get("x-content-type-options") == "nosniff"


def test_every_form_has_its_own_strong_tag() -> None:
    tags = [page("/simple/rocket-skates/", accept=accept).headers.get("etag") for accept in ("text/html", HTML, JSON)]
    assert len(set(tags)) == 3
    assert all(tag and tag.startswith('"') for tag in tags)
    assert page("/simple/rocket-skates/", at=index(SKATES)).headers.get("etag") == tags[0]


def test_a_page_that_the_client_holds_is_304() -> None:
    tag = page("/simple/").headers.get("etag") or ""
    for held in (tag, f"W/{tag}", f'"a", {tag}', f'"a,b" ,W/{tag}', "*", " * "):
        decision, observation = ask("/simple/", if_none_match=held)
        assert (decision.status, decision.body) == (304, b"")
        assert decision.headers.get("etag") == tag
        assert decision.headers.get("vary") == "Accept"
        assert decision.headers.get("cache-control")
        assert decision.headers.get("content-type") is None
        assert observation is not None
    for held in ('"other"', tag.strip('"'), '"', "", "W/"):
        assert ask("/simple/", if_none_match=held)[0].status == 200
    assert ask("/simple/", if_none_match=tag, accept=JSON)[0].status == 200


# --- names and versions ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file_name", "version"),
    [
        ("numpy-1.22.1-cp310-cp310-manylinux_2_17_x86_64.whl", "1.22.1"),
        ("numpy-1.22.1rc1-1-cp310-cp310-win32.whl", "1.22.1rc1"),
        ("numpy-1.0+local.5-py3-none-any.whl", "1.0+local.5"),
        ("numpy-none.whl", None),
        ("numpy-x-py3-none-any.whl", None),
        ("numpy-1.8.0.tar.gz", "1.8.0"),
        ("NumPy-1.8.0.zip", "1.8.0"),
        ("numpy-1.8.0-beta.tar.bz2", "1.8.0b0"),
        ("numpy-1.6.1.win32-py3.1.exe", "1.6.1"),
        ("numpy-1.0.1.dev3460.win32-py2.4.exe", "1.0.1.dev3460"),
        ("numpy-1.5.1.win32-py2.5-nosse.exe", "1.5.1"),
        ("numpy-1.3.0-py2.7-linux-x86_64.egg", "1.3.0"),
        ("numpy-latest.zip", None),
        ("scipy-1.0.zip", None),
        ("numpy.zip", None),
        ("-1.0.zip", None),
    ],
)
def test_versions_are_read_out_of_file_names(file_name: str, version: str | None) -> None:
    found = version_of(file_name, normalise("numpy"))
    assert (found and str(found)) == version


def test_a_project_with_dashes_is_no_riddle() -> None:
    assert str(version_of("my-project_2-1.0-beta.tar.gz", normalise("My.Project-2"))) == "1.0b0"


# --- configuration -----------------------------------------------------------------------------------------------------------------------


def test_every_problem_is_said_at_once_and_where() -> None:
    rule = PythonRule(
        name="-numpy",
        domain="not a host",
        redirect_status=200,
        files=(
            PythonFile("a-1.zip", f"{FILES}/1"),
            PythonFile("a-1.zip", f"{FILES}/1"),
            PythonFile("a-1.zip", f"{FILES}/2"),
            PythonFile("a-2.zip", f"{FILES}/3", hashes={"md5": "zz", "crc": "00"}, size=-1),
        ),
    )
    with pytest.raises(ConfigError) as caught:
        rule.compile()
    places = [problem.where for problem in caught.value.problems]
    name = "package '-numpy'"
    assert places == [name, f"{name}: domain", f"{name}: redirect-status", f"{name}: files[2]", *[f"{name}: files[3]"] * 3]
    assert all(problem.hint for problem in caught.value.problems)


@pytest.mark.parametrize("name", ["", "a/b", "a b", "a<b", "_a", "a.", "\u212a", "numpy\n", "é"])
def test_names_that_name_no_project_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="not the name of a Python project"):
        PythonRule(name=name, domain="*").compile()


@pytest.mark.parametrize("file_name", ["", ".", "..", "a/b.whl", "a\n.whl", "a\x7f", "\ud800.whl"])
def test_names_that_name_no_file_are_refused(file_name: str) -> None:
    with pytest.raises(ConfigError, match="file-name"):
        PythonRule(name="a", domain="*", files=(PythonFile(file_name, f"{FILES}/a"),)).compile()


@pytest.mark.parametrize(
    "url",
    ["", "/a.whl", "//files.index.example/a", "ftp://files.index.example/a", "https://", "https:///a", "javascript:x", "https://a:b/c"],
)
def test_urls_that_lead_nowhere_are_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"files\[0\]: url"):
        PythonRule(name="a", domain="*", files=(PythonFile("a.whl", url),)).compile()


@pytest.mark.parametrize(
    ("domain", "normal"),
    [("*", "*"), ("*.Acme.com", "*.acme.com"), ("PY.acme.com.", "py.acme.com"), ("bücher.example", "xn--bcher-kva.example")],
)
def test_domains_are_normalised(domain: str, normal: str) -> None:
    (route,) = PythonRule(name="a", domain=domain).compile()
    assert route.domain == normal
