"""Whatever is asked and whatever is configured: the index answers, and its pages say what was configured and nothing more."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from gatewaycore.decision import Redirect, Respond
from gatewaycore.headers import Headers
from gatewaycore.request import Request
from gatewaycore.rules.python import PythonFile, PythonIndex, PythonRule
from gatewaycore.rules.python.pages import choose

FILES = "https://files.index.example"
JSON = "application/vnd.pypi.simple.v1+json"
NAMES = ("numpy-1.0.zip", 'a"b<c>&d.whl', "ü-1.0.tar.gz", "100%.zip")
INDEX = PythonIndex.join(
    PythonRule(name="numpy", domain="*", files=tuple(PythonFile(name, f"{FILES}/{number}") for number, name in enumerate(NAMES))).compile()
)

piece = st.sampled_from(
    ["/", "//", "simple", "numpy", "NumPy", "%", "%2F", "%2e%2e", "..", "numpy-1.0.zip", "%00", "%FF", "?", "#", "\\", "\r\n"]
)
paths = st.lists(piece | st.text(max_size=5), max_size=8).map("".join)
queries = st.text(max_size=30) | st.lists(st.sampled_from(["a=1", "&", "=", "%", "%zz", "#", "é"]), max_size=8).map("".join)
latin = st.text(st.characters(max_codepoint=255), max_size=40)


@given(paths, queries, st.sampled_from(["GET", "HEAD", "POST", "OPTIONS"]), latin, latin)
def test_every_request_is_answered_and_nothing_of_it_is_said_back(path: str, query: str, method: str, accept: str, held: str) -> None:
    for prefix in ("/simple", "/simple/", "/simple/numpy/", "/"):
        request = Request(method, "py.acme.com", prefix + path, query, Headers([("accept", accept), ("if-none-match", held)]))
        match = INDEX.match(request)
        if match is None:
            continue
        decision = INDEX.decide(request, match)
        observation = INDEX.observe(request, match)
        if isinstance(decision, Redirect):
            location, names = decision.location, {observation.variables["file"] if observation else None}
            assert names <= set(NAMES)
            assert urlsplit(location).netloc == "files.index.example"
        else:
            assert isinstance(decision, Respond)
            location = decision.headers.get("location") or ""
            assert location.partition("?")[0] in ("", "simple/", "numpy/", "../numpy/")
            assert (observation is not None) == (decision.status in (200, 304))
        assert location.isascii()
        assert location.isprintable()


@given(
    st.text(max_size=200) | st.lists(st.sampled_from(["*/*", "text/html", JSON, ";", "q=", "0.1", ",", "q=2"]), max_size=20).map("".join)
)
def test_every_accept_chooses_a_form(accept: str) -> None:
    assert choose(accept) in (0, 1, 2)


class Page(HTMLParser):
    """What a browser makes of a page: its elements, and the links with their texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[tuple[dict[str, str | None], str]] = []
        self._open: tuple[dict[str, str | None], list[str]] | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "a":
            self._open = (dict(attrs), [])

    def handle_data(self, data: str) -> None:
        if self._open:
            self._open[1].append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self._open:
            self.links.append((self._open[0], "".join(self._open[1])))
            self._open = None


markup = st.sampled_from(["<", ">", '"', "'", "&", "&lt;", "&#60;", "</a>", "<script>", "-->", "]]>", 'x" onclick="y', "javascript:"])
free_text = st.lists(markup | st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=8), min_size=1, max_size=6).map("".join)
file_names = free_text.map(lambda text: text.replace("/", "|")).filter(lambda name: name not in ("", ".", ".."))


@given(st.dictionaries(file_names, st.tuples(free_text, free_text), min_size=1, max_size=5))
def test_no_text_breaks_out_of_a_page(listed: dict[str, tuple[str, str]]) -> None:
    files = tuple(PythonFile(name, f"{FILES}/x", requires_python=python, yanked=why) for name, (python, why) in listed.items())
    index = PythonIndex.join(PythonRule(name="numpy", domain="*", files=files).compile())
    seen = {}
    for accept in ("text/html", JSON):
        request = Request("GET", "py.acme.com", "/simple/numpy/", "", Headers([("accept", accept)]))
        match = index.match(request)
        assert match is not None
        decision = index.decide(request, match)
        assert isinstance(decision, Respond)
        seen[accept] = decision.body.decode()
    page = Page(seen["text/html"])
    assert page.tags == ["html", "head", "meta", "meta", "title", "body", "h1", *["a", "br"] * len(listed)]
    for attributes, text in page.links:
        href = attributes["href"]
        assert href is not None
        # A link is one segment, relative, whatever its name: no scheme, no authority, no fragment.
        assert urlsplit(href)[:2] == ("", "")
        assert unquote(href) == text
        assert not set(href) & set(':/?#"<>')
        assert (attributes["data-requires-python"], attributes.get("data-yanked", "")) == listed[text]
        found = index.match(Request("GET", "py.acme.com", f"/simple/numpy/{href}"))
        assert found is not None
        assert found.variables == {"file": text}
    assert {text for _, text in page.links} == set(listed)
    assert {file["filename"]: (file["requires-python"], file.get("yanked", "")) for file in json.loads(seen[JSON])["files"]} == listed
