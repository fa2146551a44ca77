"""Whatever an index sends: its links are those that a browser would find, and names of files say what other libraries read in them."""

from __future__ import annotations

import json
import string
from contextlib import suppress
from html import escape
from urllib.parse import quote

import pypi_simple
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version
from pypi_simple.html_stream import parse_links_stream

from gatewaycore.errors import ConfigError
from gatewaycore.rules.indexes import Fetched, PageError
from gatewaycore.rules.python.links import tags
from gatewaycore.rules.python.names import NormalName, described, normalise
from gatewaycore.rules.python.pip import PipCommand
from gatewaycore.rules.python.simple import SimpleDialect

_PIECES = ("<a", "<A ", "href", "=", '"', "'", ">", "/>", " ", "\n", "<!--", "-->", "</a>", "<base href=", "x", "&gt;", "&", "<script>")
_MORE = ("</script>", '<a href="x-1.zip">', "<p>", "<", "#sha256=ab", "data-yanked", "http://[", "//", "é", "\x00")
piece = st.sampled_from(_PIECES + _MORE)
soup = st.lists(piece, max_size=30).map("".join)


@given(soup | st.text(max_size=60))
def test_every_text_has_links_or_none_or_ends_too_soon(text: str) -> None:
    found = []
    with suppress(PageError):
        for name, attributes in tags(text):
            assert name in ("a", "base", "meta")
            assert all(isinstance(value, str) for value in attributes.values())
            found.append((name, attributes))
        # What is whole stays so, whatever stands behind it.
        assert list(tags(f"{text} <a href=last>")) == [*found, ("a", {"href": "last"})]


value = st.text(st.characters(min_codepoint=32, max_codepoint=0x24FF, exclude_characters="\x7f"), max_size=12)
links = st.lists(st.tuples(value, value, st.booleans()), max_size=5)


@given(links)
def test_links_are_those_of_another_parser(wanted: list[tuple[str, str, bool]]) -> None:
    page = "<html><body>\n"
    for href, requires, yanked in wanted:
        more = ' data-yanked=""' if yanked else ""
        page += f'<a href="{escape(href)}" data-requires-python="{escape(requires)}"{more}>text</a><br/>\n'
    page += "</body></html>"
    ours = [dict(attributes) for name, attributes in tags(page)]
    assert ours == [link.attrs for link in parse_links_stream([page])]


@given(
    soup.map(str.encode) | st.binary(max_size=60),
    st.sampled_from(["text/html", "application/vnd.pypi.simple.v1+json", "", "x"]),
    st.sampled_from([0, 1, 2]),
)
def test_every_page_is_written_or_refused(body: bytes, media_type: str, form: int) -> None:
    page = Fetched("x", "https://pkgs.acme.example/simple/x/", media_type, None, body)
    try:
        written = SimpleDialect().write(page, form)
    except PageError:
        return
    for name, url in written.files.items():
        assert "/" not in name
        assert url.startswith(("http://", "https://"))
        assert url.isascii()
        assert url.isprintable()


texts = st.text(max_size=12) | st.sampled_from(['"><script>', "'", "&lt;", "-->", "</title>", "\ud800"])


@given(texts, texts, texts, texts)
def test_no_text_of_an_upstream_breaks_out_of_a_page(name: str, requires: str, yanked: str, reason: str) -> None:
    files = [
        {
            "filename": f"x-1{name}",
            "url": "https://files.example/1",
            "hashes": {"sha256": yanked},
            "requires-python": requires,
            "yanked": yanked,
        },
        {"filename": "x-2.zip", "url": "https://files.example/2", "hashes": {"sha256": "ab"}, "core-metadata": {requires: name}},
    ]
    data = {"meta": {"api-version": "1.0"}, "name": "x", "files": files, "project-status": {"status": reason, "reason": name}}
    page = Fetched("x", "https://pkgs.example/simple/x/", "application/vnd.pypi.simple.v1+json", None, json.dumps(data).encode())
    with suppress(PageError):
        as_json = json.loads(SimpleDialect().write(page, 2).pieces[0])
        assert {file["url"] for file in as_json["files"]} <= {"x-2.zip", quote(f"x-1{name}", safe="+!~")}
        written = SimpleDialect().write(page, 0)
        found = [attributes for tag, attributes in tags(written.pieces[0].decode()) if tag == "a"]
        assert len(found) == len(written.files)
        assert {key for attributes in found for key in attributes} <= {
            *("href", "data-requires-python", "data-yanked", "data-core-metadata", "data-dist-info-metadata")
        }
        assert written.pieces[0].count(b"<script") == 0


words = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=5)
projects = st.lists(words, min_size=1, max_size=3)
versions = st.from_regex(r"(?:[1-9]!)?[0-9]{1,2}(?:\.[0-9]{1,2}){0,3}(?:(?:a|b|rc)[0-9])?(?:\.post[0-9])?(?:\.dev[0-9])?", fullmatch=True)
tags_of_wheels = st.sampled_from(
    ["py3-none-any", "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64", "cp39-abi3-macosx_11_0_arm64", "py2.py3-none-win_amd64"]
)


@given(projects, versions, tags_of_wheels)
def test_wheels_say_what_packaging_reads(words: list[str], version: str, tag: str) -> None:
    name = f"{'_'.join(words)}-{version}-{tag}.whl"
    said = described(name, normalise("-".join(words)))
    try:
        project, read, _, _ = parse_wheel_filename(name)
    except InvalidWheelFilename:
        return
    assert project == canonicalize_name("-".join(words))
    assert (said.version, said.file_type) == (str(read), "wheel")


old = st.sampled_from(
    [
        *(
            "{}-{}.tar.gz",
            "{}-{}.zip",
            "{}-{}.tar.bz2",
            "{}-{}-py2.7.egg",
            "{}-{}-py3.8-linux-x86_64.egg",
            "{}-{}.win32.exe",
            "{}-{}.win-amd64-py3.7.exe",
        ),
        *("{}-{}.win32-py2.7.msi", "{}-{}-1.noarch.rpm", "{}-{}.linux-x86_64.tar.gz", "{}-{}.macosx-10.4-i386.tar.gz"),
    ]
)


@given(projects, versions, old)
def test_older_files_say_what_pypi_simple_reads(words: list[str], version: str, form: str) -> None:
    project = "_".join(words)
    name = form.format(project, version)
    said = described(name, normalise(project))
    _, read, kind = pypi_simple.parse_filename(name, project)
    assert said.file_type == kind
    assert said.version == str(Version(read))


@given(st.text(max_size=80), st.text(max_size=10))
def test_every_name_of_a_file_is_read(name: str, project: str) -> None:
    said = described(name, NormalName(normalise(project)))
    assert said.file_type in (None, "wheel", "sdist", "dumb", "egg", "wininst", "msi", "rpm", "deb", "dmg")


@given(
    st.lists(
        st.sampled_from(["pip", "install", "-i", "--index-url", "x", "x[a]", "x==1", "=", "-U", "'", '"', "$", "https://a.example/s", "\\"])
        | st.text(max_size=5),
        max_size=8,
    ).map(" ".join)
)
def test_every_command_is_understood_or_refused(text: str) -> None:
    with suppress(ConfigError):
        assert PipCommand.parse(text).projects
