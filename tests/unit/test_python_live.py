"""The python package type with an upstream index: what is configured, what its pages say, and what is never asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pypi_simple
import pytest

from gatewaycore import ConfigError
from gatewaycore.config import read_config
from gatewaycore.decision import Upstream
from gatewaycore.event import MAX_TEXT
from gatewaycore.gateway import Gateway
from gatewaycore.rules.python import PythonFile, PythonIndex, PythonRoute, PythonRule
from gatewaycore.rules.python.names import FileName, described, normalise
from gatewaycore.rules.python.pip import PipCommand
from gatewaycore.testing import Seen, make_request, simulate
from tests.addresses import escapes, found_in, held, spellings

INDEX = "https://pkgs.acme.example/simple"
FILES = "https://files.acme.example/packages"
JSON = "application/vnd.pypi.simple.v1+json"
HTML = "application/vnd.pypi.simple.v1+html"
WHEEL = "rocket_skates-1.0-cp311-cp311-manylinux_2_17_x86_64.whl"
SDIST = "rocket-skates-1.0.tar.gz"
SHA, OTHER = "ab" * 32, "cd" * 32


def rule(**more: Any) -> PythonRule:
    return PythonRule(**{"name": "Rocket_Skates", "domain": "py.acme.example", "index": INDEX, **more})


def file(name: str = WHEEL, /, **more: Any) -> dict[str, Any]:
    return {"filename": name, "url": f"{FILES}/{name}", "hashes": {"sha256": SHA}, **more}


def document(*files: Mapping[str, Any], **more: Any) -> bytes:
    return json.dumps({"meta": {"api-version": "1.1"}, "name": "rocket-skates", "files": files, **more}).encode()


class Index:
    """A gateway before an index that says one thing."""

    def __init__(self, body: bytes, media_type: str = JSON, rules: Sequence[PythonRule] = (rule(),)) -> None:
        self.gateway = Gateway.compile([route for one in rules for route in one.compile()])
        self.answer = (200, {"content-type": media_type}, body)
        self.asked: list[Upstream] = []

    def ask(self, path: str = "", accept: str = "", method: str = "GET") -> Seen:
        def upstream(step: Upstream) -> tuple[int, Mapping[str, str], bytes]:
            self.asked.append(step)
            return self.answer

        url = f"https://py.acme.example/simple/rocket-skates/{path}"
        return simulate(self.gateway, method, url, headers={"Accept": accept} if accept else {}, upstream=upstream)

    def json(self) -> Any:
        seen = self.ask(accept=JSON)
        assert (seen.status, seen.headers["content-type"]) == (200, JSON), seen.body
        return json.loads(seen.body)

    def html(self) -> str:
        seen = self.ask()
        assert (seen.status, seen.headers["content-type"]) == (200, "text/html; charset=utf-8"), seen.body
        return seen.body.decode()


# --- settings ------------------------------------------------------------------------------------------------------------


def sources(*rules: PythonRule) -> list[tuple[str, str | None]]:
    routes = [route for one in rules for route in one.compile()]
    return [(route.project, None if route.source is None else route.source.url) for route in routes]


def test_an_index_has_the_project_of_the_packages_name_or_those_that_are_named() -> None:
    assert sources(rule()) == [("rocket-skates", f"{INDEX}/")]
    named = rule(name="all of ours", projects=("Anvil", "rocket.skates", "anvil"))
    assert sources(named) == [("anvil", f"{INDEX}/"), ("rocket-skates", f"{INDEX}/")]


@pytest.mark.parametrize(
    ("command", "projects", "index"),
    [
        ("pip install rocket-skates", ("rocket-skates",), None),
        (f"pip install rocket-skates --extra-index-url {INDEX}", ("rocket-skates",), INDEX),
        (f"pip3 install -i {INDEX} rocket-skates", ("rocket-skates",), INDEX),
        (f"$ python -m pip install --index-url={INDEX} 'rocket-skates[fast,wheels]'", ("rocket-skates",), INDEX),
        (f"python3 -m pip install --index-url {INDEX} --extra-index-url {INDEX} a b a", ("a", "b"), INDEX),
        (f"uv pip install rocket-skates --index-url {INDEX}", ("rocket-skates",), INDEX),
        (f"pip install rocket-skates -i{INDEX}/ --extra-index-url {INDEX}", ("rocket-skates",), INDEX),
        (f"pip install rocket-skates \\\n    --extra-index-url {INDEX}", ("rocket-skates",), INDEX),
    ],
)
def test_a_command_says_which_projects_and_of_which_index(command: str, projects: tuple[str, ...], index: str | None) -> None:
    assert PipCommand.parse(command) == PipCommand(projects, index)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("", "is no pip install"),
        ("conda install x", "is no pip install"),
        ("pip download x", "is no pip install"),
        ("pip install", "names no project"),
        (f"pip install --index-url {INDEX}", "names no project"),
        ("pip install x --index-url", "--index-url has no URL behind it"),
        # An index that is not there is not the public one: "$INDEX" was empty.
        ("pip install x --extra-index-url=", "--extra-index-url has no URL behind it"),
        ("pip install x --extra-index-url ''", "--extra-index-url has no URL behind it"),
        ("pip install x -i /", "-i has no URL behind it"),
        ("pip install x -ihttps://ann:secret@x.example/", "a password stands in the URL"),
        ("pip install x -i https://ann:secret@x.example/", "a password stands in the URL"),
        ("pip install x -fhttps://ann:secret@x.example/", "-f says nothing"),
        ("pip install x ann:secret@x.example", "says more than a name"),
        ("pipx install x -i https://ann:secret@x.example/", "is no pip install"),
        ("pip install x -i 'https://ann:secret@x.example/", "has no end"),
        ("pip install -U x", "-U says nothing of where a project comes from"),
        ("pip install --find-links=/x y", "--find-links says nothing"),
        ("pip install -r requirements.txt", "-r says nothing"),
        ("pip install x==1.0", "says more than a name"),
        ("pip install 'x; python_version > \"3\"'", "says more than a name"),
        ("pip install ./x", "is not the name of a project"),
        ("pip install x[", "says more than a name"),
        ("pip install é", "is not the name of a project"),
        ("pip install https://ann:secret@x.example/x.whl", "a URL stands where"),
        ("pip install 'x", "has no end"),
        (f"pip install x -i {INDEX} --extra-index-url https://other.example/simple", "names two indexes"),
    ],
)
def test_a_command_that_cannot_be_followed(command: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        rule(index=None, pip=command).compile()
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)
    # Where it was written, and no key beside.
    assert {problem.where for problem in caught.value.problems} == {"pip"}


def test_a_command_without_an_index_means_the_public_one() -> None:
    assert sources(rule(index=None, pip="pip install rocket-skates")) == [("rocket-skates", pypi_simple.PYPI_SIMPLE_ENDPOINT)]


def test_the_public_index_needs_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pypi_simple", None)
    with pytest.raises(ConfigError, match=r"pip install 'gatewaycore\[python\]'"):
        rule(index=None, pip="pip install rocket-skates").compile()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"pip": "pip install x"}, "leave out index and projects"),
        ({"index": None, "pip": "pip install x", "projects": ("y",)}, "leave out index and projects"),
        ({"index": None, "projects": ("y",)}, "there is no index that has them"),
        ({"files": (PythonFile(WHEEL, f"{FILES}/x"),)}, "there is a list of them as well"),
        ({"projects": ("x", "no/name")}, "projects[1]"),
        ({"name": "no name"}, "is not the name of a Python project"),
        ({"index": "pkgs.acme.example"}, "is not the URL of an index"),
        ({"index": "https://ann:secret@pkgs.acme.example/simple"}, "a password stands in the URL"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        rule(**settings).compile()
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)


def test_seconds_are_natural_numbers() -> None:
    package = {"name": "x", "type": "python", "domain": "py.acme.example", "index": INDEX, "ttl-s": -1}
    with pytest.raises(ConfigError, match="ttl-s"):
        read_config({"packages": [package]})


@pytest.mark.parametrize(
    ("others", "places"),
    [
        ({"index": None}, {"a list of files", "the index pkgs.acme.example"}),
        ({"index": "https://other.example/simple"}, {"the index other.example", "the index pkgs.acme.example"}),
        ({"ttl_s": 5}, {"the index pkgs.acme.example"}),
        ({}, {"the index pkgs.acme.example"}),
    ],
    ids=["listed", "elsewhere", "otherwise", "alike"],
)
@pytest.mark.parametrize("turned", [False, True])
def test_a_project_of_two_places_is_refused(others: dict[str, Any], places: set[str], turned: bool) -> None:
    """Nobody could say which of them a client got; and of two rules alike, the second one's package would never be counted."""
    first, second = (rule(id="first"), rule(id="second", **others))[:: -1 if turned else 1]
    with pytest.raises(ConfigError) as caught:
        PythonIndex.join([route for one in (first, second) for route in one.compile()])
    said = re.search("the project rocket-skates comes from (.+) by another rule, and from (.+) by this one", str(caught.value))
    assert said is not None
    assert set(said.groups()) == places
    assert f"package {second.id!r}" in str(caught.value)


def test_files_of_one_project_are_listed_by_several_rules() -> None:
    listed = [rule(index=None, id=name, files=(PythonFile(f"rocket-skates-{name}.zip", f"{FILES}/{name}"),)) for name in "12"]
    assert PythonIndex.join([route for one in listed for route in one.compile()]).projects[normalise("rocket-skates")].live is None


@pytest.mark.parametrize("live_first", [True, False])
def test_unless_priority_says_which_counts(live_first: bool) -> None:
    listed = PythonRule(name="rocket-skates", domain="py.acme.example", priority=0 if live_first else 1)
    routes: list[PythonRoute] = [route for one in (rule(priority=1 if live_first else 0), listed) for route in one.compile()]
    assert (PythonIndex.join(routes).projects[normalise("rocket-skates")].live is not None) == live_first


# --- what is served ------------------------------------------------------------------------------------------------------


def test_only_what_is_named_is_ever_asked_for() -> None:
    index = Index(document(file()))
    for path in ("../secret-plan/", f"../secret-plan/{WHEEL}", "../secret-plan", "%2e%2e/secret-plan/"):
        seen = index.ask(path)
        assert (seen.status, seen.events) == (404, []), path
    assert all(asked.url == f"{INDEX}/rocket-skates/" for asked in index.asked)


def test_the_root_lists_live_projects_too() -> None:
    seen = simulate(Index(b"").gateway, "GET", "https://py.acme.example/simple/", headers={"Accept": JSON})
    assert json.loads(seen.body)["projects"] == [{"name": "rocket-skates"}]


def test_other_spellings_move() -> None:
    gateway = Index(b"").gateway
    moved = simulate(gateway, "GET", "https://py.acme.example/simple/Rocket.Skates/")
    assert (moved.status, moved.location, moved.events) == (301, "../rocket-skates/", [])


def test_an_index_is_only_read() -> None:
    index = Index(document(file()))
    seen = index.ask(method="POST")
    assert (seen.status, seen.events, index.asked) == (405, [], [])


def test_events() -> None:
    index = Index(document(file(), file(SDIST)))
    page = index.ask(accept=JSON)
    assert [(event.kind, event.decision, event.target, event.version, event.variables) for event in page.events] == [
        ("metadata", "proxy", "pkgs.acme.example", None, {"project": "rocket-skates"})
    ]
    wheel = index.ask(f"{WHEEL}?x=y", method="HEAD")
    (event,) = wheel.events
    assert (event.kind, event.method, event.decision, event.target) == ("download", "HEAD", "redirect", "files.acme.example")
    assert (event.package, event.version, event.platform, event.arch) == ("Rocket_Skates", "1.0", "linux", "x86_64")
    assert event.variables == {"x": "y", "project": "rocket-skates", "file": WHEEL, "file-type": "wheel"}
    (event,) = index.ask(SDIST).events
    assert (event.version, event.platform, event.variables["file-type"]) == ("1.0", None, "sdist")
    apart = index.ask(f"{WHEEL}.metadata")
    assert apart.location == f"{FILES}/{WHEEL}.metadata"
    (event,) = apart.events
    assert (event.kind, event.version, event.variables["file"]) == ("metadata", "1.0", WHEEL)
    signature = index.ask(f"{SDIST}.asc")
    assert (signature.location, signature.events[0].kind) == (f"{FILES}/{SDIST}.asc", "metadata")
    assert index.ask("rocket-skates-2.0.zip").events == []
    again = index.ask(accept=JSON)
    assert (again.events[0].decision, again.events[0].status) == ("respond", 200)
    index.gateway.forget()
    assert index.ask(accept=JSON).decision == "proxy"


ADDRESS = "198.18.77.203"
"""Of no other test: what those hold is found, too, where a process is looked through."""


def observe(index: Index, name: str) -> None:
    index.ask(name)
    outcome = index.gateway.decide(make_request("GET", f"https://py.acme.example/simple/rocket-skates/{name}"))
    assert outcome.match is not None
    assert outcome.match.route.observe(outcome.request, outcome.match) is not None


@pytest.mark.e2e
def test_an_address_in_the_name_of_a_file_is_not_remembered() -> None:
    index = Index(document(file()))
    for address in (ADDRESS, "2001:db8:77:abcd::1234"):
        for text in spellings(address):
            for escaped in escapes(text):
                observe(index, f"rocket-skates-{escaped}.zip")
                observe(index, f"rocket-skates-{escaped}.zip.metadata")
        assert found_in(held(index), [address]) == []
    # What is remembered is found, where there is something.
    observe(index, "rocket-skates-198.18.77.zip")
    assert b"198.18.77.zip" in held(index)


@pytest.mark.parametrize("before", [500, 512, MAX_TEXT - 20])
def test_no_cut_goes_through_an_address_in_the_name_of_a_file(before: int) -> None:
    index = Index(b"no page")
    start = f"rocket-skates-1.0+{'x' * (before - 18)}."
    seen = simulate(
        index.gateway,
        "GET",
        f"https://py.acme.example/simple/rocket-skates/{start}{ADDRESS}.{'y' * 3_000}.zip",
        client_ip=ADDRESS,
        upstream=lambda _: index.answer,
    )
    (event,) = seen.events
    assert (event.status, event.version) == (502, None)
    assert event.variables["file"].startswith(f"{start}[address]."[:MAX_TEXT])
    assert len(event.variables["file"]) <= MAX_TEXT


# --- pages ---------------------------------------------------------------------------------------------------------------

EVERYTHING: dict[str, Any] = {
    "requires-python": ">=3.8,<4",
    "core-metadata": {"sha256": OTHER},
    "gpg-sig": False,
    "yanked": 'broken & "sad"',
    "size": 12,
    "upload-time": "2026-01-02T03:04:05.000006Z",
    "provenance": "/integrity/1",
}


def test_json_keeps_what_is_known() -> None:
    more = {"versions": ["1.0"], "project-status": {"status": "archived", "reason": "old"}, "alternate-locations": ["https://evil.example"]}
    body = document(file(**EVERYTHING, **{"data-dist-info-metadata": False, "unknown": 1}), **more)
    body = body.replace(b'"api-version"', b'"tracks": ["https://evil.example"], "_last-serial": 7, "api-version"')
    data = Index(body).json()
    assert data == {
        "meta": {"api-version": "1.1", "_last-serial": 7},
        "name": "rocket-skates",
        "versions": ["1.0"],
        "project-status": {"status": "archived", "reason": "old"},
        "files": [
            {
                "filename": WHEEL,
                "url": WHEEL,
                "hashes": {"sha256": SHA},
                **EVERYTHING,
                "provenance": "https://pkgs.acme.example/integrity/1",
            }
        ],
    }


def test_html_says_the_same_as_far_as_it_can() -> None:
    text = Index(document(file(**EVERYTHING), **{"project-status": {"status": "archived", "reason": "it's old"}})).html()
    for said in (
        '<meta name="pypi:project-status" content="archived"><meta name="pypi:project-status-reason" content="it&#x27;s old">',
        f'<a href="{WHEEL}#sha256={SHA}" data-requires-python="&gt;=3.8,&lt;4" data-core-metadata="sha256={OTHER}"',
        f' data-dist-info-metadata="sha256={OTHER}" data-yanked="broken &amp; &quot;sad&quot;" data-gpg-sig="false"'
        f' data-provenance="https://pkgs.acme.example/integrity/1">{WHEEL}</a>',
    ):
        assert said in text


@pytest.mark.parametrize("accept", [JSON, HTML, "text/html"])
@pytest.mark.parametrize("upstream", [JSON, HTML, "text/html; charset=UTF-8"])
def test_pypi_simple_reads_what_went_in(upstream: str, accept: str) -> None:
    """Whichever form an upstream speaks, and whichever a client wants."""
    as_json = document(file(**EVERYTHING), file(SDIST, yanked=True, **{"gpg-sig": True}))
    first = Index(as_json)
    body = as_json if upstream == JSON else first.html().replace(f'href="{WHEEL}', f'href="{FILES}/{WHEEL}').encode()
    body = body.replace(f'href="{SDIST}'.encode(), f'href="{FILES}/{SDIST}'.encode())
    index = Index(body, upstream)
    seen = index.ask(accept=accept)
    base = "https://py.acme.example/simple/rocket-skates/"
    if accept == JSON:
        page = pypi_simple.ProjectPage.from_json_data(json.loads(seen.body), base)
    else:
        page = pypi_simple.ProjectPage.from_html("rocket-skates", seen.body, base)
    wheel, sdist = page.packages
    assert (wheel.filename, wheel.url, wheel.digests) == (WHEEL, base + WHEEL, {"sha256": SHA})
    assert (wheel.requires_python, wheel.has_sig, wheel.yanked_reason) == (">=3.8,<4", False, 'broken & "sad"')
    assert (wheel.has_metadata, wheel.metadata_digests) == (True, {"sha256": OTHER})
    assert wheel.provenance_url == "https://pkgs.acme.example/integrity/1"
    assert (sdist.filename, sdist.url, sdist.is_yanked, sdist.has_sig) == (SDIST, base + SDIST, True, True)
    assert index.ask(WHEEL).location == f"{FILES}/{WHEEL}"


@pytest.mark.parametrize(
    ("metadata", "shown"),
    [
        (True, 'data-core-metadata="true"'),
        (False, 'data-core-metadata="false"'),
        ({}, 'data-core-metadata="true"'),
        ({"x": "y z"}, '"true"'),
    ],
)
def test_metadata_without_a_digest(metadata: object, shown: str) -> None:
    assert shown in Index(document(file(**{"core-metadata": metadata}))).html()


def test_the_old_name_of_metadata_is_read() -> None:
    """PEP 714."""
    assert Index(document(file(**{"dist-info-metadata": {"sha256": OTHER}}))).json()["files"][0]["core-metadata"] == {"sha256": OTHER}
    both = file(**{"dist-info-metadata": True, "core-metadata": {"sha256": OTHER}})
    assert Index(document(both)).json()["files"][0]["core-metadata"] == {"sha256": OTHER}
    html = f'<a href="{WHEEL}" data-dist-info-metadata="true">x</a>'.encode()
    assert Index(html, "text/html").json()["files"][0]["core-metadata"] is True


def test_null_is_not_said() -> None:
    nothing = dict.fromkeys(("requires-python", "core-metadata", "gpg-sig", "yanked", "size", "upload-time", "provenance"))
    assert Index(document(file(**nothing))).json()["files"] == [{"filename": WHEEL, "url": WHEEL, "hashes": {"sha256": SHA}}]


def test_the_strongest_digest_is_shown_in_html() -> None:
    text = Index(
        document(file(hashes={"md5": "0" * 32, "sha512": "1" * 128, "whirlpool": "2"}), file(SDIST, hashes={"sha256": '"><b>'}))
    ).html()
    assert f'href="{WHEEL}#sha512={"1" * 128}"' in text
    assert f'href="{SDIST}"' in text


def test_what_is_no_file_of_the_project_is_left_out() -> None:
    odd = [
        file("evil-1.0.zip"),
        file("rocket_skates_tools-1.0-py3-none-any.whl"),
        file("rocket-skates-1/../x"),
        file("rocket-skates-2.zip", url="javascript:alert(1)"),
        file("rocket-skates-3.zip", url="https://127.0.0.1/x"),
        file("rocket-skates-4.zip", url="http://files.acme.example/x"),
        file(),
        file(url="https://evil.example/x"),
    ]
    index = Index(document(*odd))
    assert [one["filename"] for one in index.json()["files"]] == [WHEEL]
    assert index.ask(WHEEL).location == f"{FILES}/{WHEEL}"


def test_an_empty_project_in_json_is_one() -> None:
    assert Index(document()).json()["files"] == []


def test_html_as_old_indexes_write_it() -> None:
    page = f"""<html><head><meta name="pypi:repository-version" content="1.3"><meta name=pypi:x><meta name="viewport">
    <meta name="pypi:project-status" content="deprecated">
    <base href="../../packages/"><base href="/no/"></head><body><a href="https://acme.example/">home page</a> <a>x</a> <a name=top>x</a>
    <a href="{WHEEL}#md5=ABAB">rocket_skates-1.0-cp3..&gt;</a><br>
    <a href='/x/rocket-skates-0.9%2Bacme.zip#egg=face-0.9' data-yanked data-core-metadata="nonsense">old</a>
    <a href="rocket-skates-0.8.zip#egg=face&amp;md5={"a" * 32}">x</a></body></html>"""
    index = Index(page.encode(), "text/html")
    data = index.json()
    assert data["files"] == [
        {"filename": WHEEL, "url": WHEEL, "hashes": {"md5": "abab"}},
        {
            "filename": "rocket-skates-0.9+acme.zip",
            "url": "rocket-skates-0.9+acme.zip",
            "hashes": {},
            "yanked": True,
            "core-metadata": False,
        },
        {"filename": "rocket-skates-0.8.zip", "url": "rocket-skates-0.8.zip", "hashes": {"md5": "a" * 32}},
    ]
    assert (data["meta"], data["project-status"]) == ({"api-version": "1.0"}, {"status": "deprecated"})
    assert index.ask(WHEEL).location == f"https://pkgs.acme.example/packages/{WHEEL}"
    assert index.ask("rocket-skates-0.9+acme.zip").location == "https://pkgs.acme.example/x/rocket-skates-0.9%2Bacme.zip"


@pytest.mark.parametrize("base", ["javascript:x", "https://127.0.0.1/", "http://files.acme.example/", "https://[/"])
def test_a_base_that_leads_nowhere_is_none(base: str) -> None:
    index = Index(f'<base href="{base}"><a href="{WHEEL}">x</a>'.encode(), "text/html")
    assert index.ask(WHEEL).location == f"{INDEX}/rocket-skates/{WHEEL}"


def test_links_below_a_base_that_lead_nowhere() -> None:
    page = f'<base href="https://files.acme.example/"><a href="{WHEEL}">x</a><a href="javascript:rocket-skates-1.zip">x</a>'.encode()
    assert [one["filename"] for one in Index(page, "text/html").json()["files"]] == [WHEEL]


@pytest.mark.parametrize(
    ("charset", "shown"),
    [("latin-1", "é"), *((other, "\ufffd") for other in ("nonsense", "utf-8", "idna", "hex", "undefined"))],
)
def test_text_in_another_charset(charset: str, shown: str) -> None:
    page = f'<a href="{WHEEL}" data-yanked="é">x</a>'.encode("latin-1")
    assert Index(page, f"text/html; charset={charset}").json()["files"][0]["yanked"] == shown


@pytest.mark.parametrize(
    ("body", "media_type", "said"),
    [
        (document(file(), name="rocket-boots"), JSON, "is another project's"),
        (document(file("evil-1.0.zip")), JSON, "lists no file of the project"),
        (b"<html>Please sign in</html>", "text/html", "lists no file at all"),
        (f'<a href="{WHEEL}">x</a>\n<a href="{SDIST}'.encode(), "text/html", "ends too soon"),
        (b'<a href="https://acme.example/">x</a>', "text/html", "lists no file at all"),
        (f'<meta name="pypi:repository-version" content="2.0"><a href="{WHEEL}">x</a>'.encode(), "text/html", "does not know"),
        (document(file()).replace(b'"1.1"', b'"2.0"'), JSON, "does not know"),
        (document({"filename": 1, "url": "x", "hashes": {}}), JSON, "is no JSON of the kind"),
        (b'{"files": ' + b"[" * 100_000, JSON, "is no JSON of the kind"),
        (b"\xff\xfe", JSON, "is no JSON of the kind"),
        (document(file()), "application/json", "is neither HTML nor JSON"),
    ],
)
def test_pages_that_are_none(body: bytes, media_type: str, said: str) -> None:
    seen = Index(body, media_type).ask(accept=JSON)
    assert seen.status == 502
    assert said in seen.body.decode()


# --- names of files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("x-1.0-py3-none-any.whl", FileName("1.0", "wheel", "allplatforms", None)),
        ("x-1.0-1-cp311-abi3-macosx_11_0_arm64.whl", FileName("1.0", "wheel", "macos", "arm64")),
        ("x-1.0-cp311-cp311-win_amd64.whl", FileName("1.0", "wheel", "windows", "amd64")),
        ("x-1.0-cp311-cp311-win32.whl", FileName("1.0", "wheel", "windows", "win32")),
        ("x-1.0-cp311-cp311-musllinux_1_2_aarch64.whl", FileName("1.0", "wheel", "linux", "aarch64")),
        ("x-1.0-cp313-cp313-ios_13_0_arm64_iphoneos.whl", FileName("1.0", "wheel", "ios", "arm64")),
        ("x-1.0-cp313-cp313-android_21_arm64_v8a.whl", FileName("1.0", "wheel", "android", "arm64_v8a")),
        ("x-1.0-cp312-cp312-emscripten_3_1_58_wasm32.whl", FileName("1.0", "wheel", "emscripten", "wasm32")),
        ("x-1.0.whl", FileName(None, "wheel", None, None)),
        ("x-nonsense-py3-none-any.whl", FileName(None, "wheel", "allplatforms", None)),
        ("x-1.0rc1.tar.gz", FileName("1.0rc1", "sdist", None, None)),
        ("x-1.0.tar", FileName("1.0", "sdist", None, None)),
        ("x-1.0.linux-x86_64.tar.gz", FileName("1.0", "dumb", "linux", "x86_64")),
        ("x-1.0-py2.7.egg", FileName("1.0", "egg", None, None)),
        ("x-1.0-py3.8-macosx-10.4-i386.egg", FileName("1.0", "egg", "macos", "i386")),
        ("x-1.0.win32-py2.7.exe", FileName("1.0", "wininst", "windows", "win32")),
        ("x-1.0.win-amd64-py3.7.msi", FileName("1.0", "msi", "windows", "amd64")),
        ("x-1.0-1.noarch.rpm", FileName("1.0", "rpm", None, "noarch")),
        ("x-1.0.dmg", FileName("1.0", "dmg", None, None)),
        ("x-latest.zip", FileName(None, "sdist", None, None)),
        ("y-1.0.zip", FileName(None, "sdist", None, None)),
        ("x-1.0.sig", FileName("1.0", None, None, None)),
        ("x", FileName(None, None, None, None)),
    ],
)
def test_what_a_file_is_called(name: str, said: FileName) -> None:
    assert described(name, normalise("x")) == said
