"""The simple API as an upstream speaks it: pages read in either form, and written in the form that a client wants.

PEP 503 (HTML), 592 (yanked), 629 (versions), 658 and 714 (metadata), 691 (JSON), 700 (sizes, times), 740 (provenance), 792 (status). What
PEP 708 says of other indexes is left out: whoever asks here is led to no other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from typing import Any, Final, NotRequired, TypeAlias, TypedDict
from urllib.parse import unquote

from gatewaycore.decision import TEXT, Respond
from gatewaycore.headers import Headers
from gatewaycore.rules.indexes import Fetched, Form, Forms, PageError, Written
from gatewaycore.rules.indexes.documents import decode, encode
from gatewaycore.rules.indexes.live import file_href, is_file_name
from gatewaycore.rules.python.links import tags
from gatewaycore.rules.python.names import NormalName, belongs, normalise

HTML: Final = "application/vnd.pypi.simple.v1+html"
JSON: Final = "application/vnd.pypi.simple.v1+json"

# In order of preference, should the client have none: HTML is what everything from browsers to the oldest installer reads.
FORMS: Final = Forms(
    Form("text/html; charset=utf-8"),
    Form(f"{HTML}; charset=utf-8", ("application/vnd.pypi.simple.latest+html",)),
    Form(JSON, ("application/vnd.pypi.simple.latest+json",)),
)
_JSON_FORM: Final = 2
_ACCEPT_HTML: Final = f"{HTML}, text/html;q=0.9, {JSON};q=0.5"
_ACCEPT_JSON: Final = f"{JSON}, {HTML};q=0.5, text/html;q=0.4"

_Digests: TypeAlias = Mapping[str, str]
File = TypedDict(
    "File",
    {
        "filename": str,
        "url": str,
        "hashes": dict[str, str],
        "requires-python": NotRequired[str | None],
        "core-metadata": NotRequired[bool | dict[str, str] | None],
        "dist-info-metadata": NotRequired[bool | dict[str, str] | None],
        "gpg-sig": NotRequired[bool | None],
        "yanked": NotRequired[bool | str | None],
        "size": NotRequired[int | None],
        "upload-time": NotRequired[str | None],
        "provenance": NotRequired[str | None],
    },
)
"""One file of a page, as PEP 691 writes it."""

Meta = TypedDict("Meta", {"api-version": str, "_last-serial": NotRequired[int | str | None]})
Page = TypedDict(
    "Page",
    {
        "meta": Meta,
        "name": str,
        "files": list[File],
        "versions": NotRequired[list[str]],
        "project-status": NotRequired[dict[str, str | None]],
    },
)
"""A project's page."""

# Those that indexes use. Python knows others, some of which are no text, or take their time.
_CHARSETS: Final = frozenset({"utf-8", "ascii", "us-ascii", "latin-1", "iso-8859-1", "windows-1252"})
_STRONGEST_FIRST: Final = ("sha256", "sha512", "sha384", "blake2b", "blake2s", "sha224", "sha1", "md5")
_DIGEST: Final = re.compile(r"([A-Za-z0-9_]+)=([0-9A-Fa-f]+)")
# Beside them other things may stand in a link's fragment, as "egg=face-1.0": a hash of that name would stop every install.
_FRAGMENT: Final = re.compile(rf"(?:^|&)({'|'.join(_STRONGEST_FIRST)}|sha3_[0-9]+)=([0-9A-Fa-f]+)", re.ASCII | re.IGNORECASE)
_KNOWN_VERSION: Final = re.compile(r"1\.[0-9]{1,3}")


class SimpleDialect:
    """Reads and writes pages of projects (see `gatewaycore.rules.indexes.Dialect`). Projects are named as PEP 503 normalises them."""

    forms: Final = FORMS
    files_form: Final = _JSON_FORM

    def path(self, project: str) -> str:
        """Return where a project's page is."""
        return f"{project}/"

    def accept(self, form: int) -> str:
        """Ask for the form itself first: what is in it need not be read into another."""
        return _ACCEPT_JSON if form == _JSON_FORM else _ACCEPT_HTML

    def refuse(self, status: int, message: str, lines: tuple[tuple[str, str], ...] = ()) -> Respond:
        """Answer in one line of text, which installers show."""
        return Respond(status, Headers([*TEXT.items(), *lines]), f"{message}\n".encode())

    def write(self, page: Fetched, form: int) -> Written:
        """Write a page with links to files below it."""
        project = NormalName(page.project)
        found = _read(page)
        if normalise(found["name"]) != project:
            raise PageError("is another project's")
        known: dict[str, bool] = {}
        files: dict[str, str] = {}
        shown: list[File] = []
        for file in found["files"]:
            name = file["filename"]
            if name in files or not is_file_name(name) or not belongs(name, project, known):
                continue
            url = page.locate(file["url"])
            if url is None:
                continue
            files[name] = url
            shown.append(_shown(file, name, page))
        if found["files"] and not shown:
            raise PageError("lists no file of the project")
        found["name"], found["files"] = project, shown
        return Written((encode(found) if form == _JSON_FORM else _html(found),), files)


def _shown(file: File, name: str, page: Fetched) -> File:
    """Return a file as it is shown: in JSON without the old name of its metadata (PEP 714), and without what is null."""
    metadata = file.pop("dist-info-metadata", None)
    if file.get("core-metadata") is None and metadata is not None:
        file["core-metadata"] = metadata
    provenance = file.get("provenance")
    if provenance is not None:
        # It is about the file that the upstream has, whichever way that is reached.
        file["provenance"] = page.locate(provenance)
    file["url"] = file_href(name)
    if None in file.values():
        # Not every installer takes null for "not said".
        return {key: value for key, value in file.items() if value is not None}  # type: ignore[return-value]  # of the same keys
    return file


# --- reading ------------------------------------------------------------------------------------------------------


def _read(page: Fetched) -> Page:
    if page.media_type in FORMS.all[_JSON_FORM].names:
        found = decode(page.body, Page)
        _check(found["meta"]["api-version"])
        return found
    if page.media_type in FORMS.all[0].names or page.media_type in FORMS.all[1].names:
        return _read_html(page)
    raise PageError("is neither HTML nor JSON of the simple API")


def _check(version: str) -> None:
    """Refuse what a newer major version says (PEP 629)."""
    if not _KNOWN_VERSION.fullmatch(version):
        raise PageError("is of a version of the simple API that this gateway does not know")


def _read_html(page: Fetched) -> Page:
    files: list[File] = []
    meta: dict[str, str] = {}
    base = page
    for name, attributes in tags(_text(page)):
        if name == "a":
            file = _linked(attributes)
            if file is not None:
                files.append(file)
        elif name == "meta":
            if attributes.get("name", "").startswith("pypi:"):
                meta.setdefault(attributes["name"], attributes.get("content", ""))
        elif base is page and "href" in attributes:
            located = page.locate(attributes["href"])
            base = page if located is None else Fetched(page.project, located, page.media_type, page.charset, b"", page.private)
    if base is not page:
        for file in files:
            file["url"] = base.locate(file["url"]) or ""
    if not files:
        # An empty project looks like this, and so does every page of a host that is something else by now.
        raise PageError("lists no file at all")
    version = meta.get("pypi:repository-version", "1.0")
    _check(version)
    # Not that of the page: from 1.1 on, each file has a size.
    found: Page = {"meta": {"api-version": "1.0"}, "name": page.project, "files": files}
    said = {word: meta.get(f"pypi:project-status{tail}") for word, tail in (("status", ""), ("reason", "-reason"))}
    if said["status"] is not None:
        found["project-status"] = {word: text for word, text in said.items() if text is not None}
    return found


def _text(page: Fetched) -> str:
    charset = (page.charset or "").lower()
    return page.body.decode(charset if charset in _CHARSETS else "utf-8", "replace")


def _linked(attributes: Mapping[str, str]) -> File | None:
    url, _, fragment = attributes.get("href", "").strip().partition("#")
    # What installers take for the file's name; the link's text is cut short by some servers.
    path = url.partition("?")[0]
    name = path.rpartition("/")[2]
    if not name:
        return None
    hashed = _FRAGMENT.search(fragment)
    file: File = {"filename": unquote(name), "url": url, "hashes": {hashed[1].lower(): hashed[2].lower()} if hashed else {}}
    requires = attributes.get("data-requires-python")
    if requires is not None:
        file["requires-python"] = requires
    if "data-gpg-sig" in attributes:
        file["gpg-sig"] = attributes["data-gpg-sig"].lower() == "true"
    if "data-yanked" in attributes:
        file["yanked"] = attributes["data-yanked"] or True
    metadata = attributes.get("data-core-metadata", attributes.get("data-dist-info-metadata"))
    if metadata is not None:
        digest = _DIGEST.fullmatch(metadata)
        file["core-metadata"] = {digest[1].lower(): digest[2].lower()} if digest else metadata.lower() == "true"
    if "data-provenance" in attributes:
        file["provenance"] = attributes["data-provenance"]
    return file


# --- writing ------------------------------------------------------------------------------------------------------


def _html(page: Page) -> bytes:
    head = '<meta charset="utf-8"><meta name="pypi:repository-version" content="1.0">'
    status = page.get("project-status", {})
    for name, key in (("status", "project-status"), ("reason", "project-status-reason")):
        word = status.get(name)
        if word is not None:
            head += f'<meta name="pypi:{key}" content="{escape(word)}">'
    title = f"Links for {escape(page['name'])}"
    links = "\n".join([_link(file) for file in page["files"]])
    text = (
        f"<!DOCTYPE html>\n<html>\n  <head>{head}<title>{title}</title></head>\n"
        f"  <body>\n    <h1>{title}</h1>\n{links}\n  </body>\n</html>\n"
    )
    return text.encode("utf-8", "replace")


def _link(file: File) -> str:
    written = f'<a href="{file["url"]}{digest_fragment(file["hashes"])}"'
    requires = file.get("requires-python")
    if requires is not None:
        written += f' data-requires-python="{escape(requires)}"'
    metadata = file.get("core-metadata")
    if metadata is not None:
        said = _digests(metadata) if isinstance(metadata, dict) else "true" if metadata else "false"
        # Under both names (PEP 714): installers know the one or the other.
        written += f' data-core-metadata="{said}" data-dist-info-metadata="{said}"'
    yanked = file.get("yanked")
    if yanked:
        written += f' data-yanked="{"" if yanked is True else escape(yanked)}"'
    signed = file.get("gpg-sig")
    if signed is not None:
        written += f' data-gpg-sig="{"true" if signed else "false"}"'
    provenance = file.get("provenance")
    if provenance:
        written += f' data-provenance="{escape(provenance)}"'
    return f"    {written}>{escape(file['filename'])}</a><br>"


def digest_fragment(hashes: _Digests) -> str:
    """Return the fragment for a link, ``#sha256=…`` (PEP 503): one digest, the strongest that every installer knows; or ""."""
    for name in _STRONGEST_FIRST:
        digest = hashes.get(name)
        if digest is not None and digest.isalnum() and digest.isascii():
            return f"#{name}={digest}"
    return ""


def _digests(metadata: _Digests) -> str:
    fragment = digest_fragment(metadata)
    return fragment[1:] if fragment else "true"


def root_data(projects: list[str]) -> dict[str, Any]:
    """Return the list of projects (PEP 691 §Project List)."""
    return {"meta": {"api-version": "1.1"}, "projects": [{"name": name} for name in projects]}
