"""Pages of a simple index, and which of their forms a client gets (PEP 503, 592, 629, 691, 700).

Every form of every page is made when the configuration is loaded; a request chooses among them. All links are relative to the page, so
that an index mounted under a path, or answering under several names, needs no second set.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from hashlib import sha256
from html import escape
from typing import Any, Final

from attrs import define

from gatewaycore.decision import Respond
from gatewaycore.event import Observation
from gatewaycore.headers import Headers, holds
from gatewaycore.rules.python.files import Listed
from gatewaycore.rules.python.simple import FORMS, root_data

choose: Final = FORMS.choose
_CONTENT_TYPES: Final = tuple(form.content_type for form in FORMS.all)


@define(slots=True)
class _Form:
    """One representation of a page (RFC 9110 §3.2): whole, and "you have it already"."""

    tag: str
    whole: Respond
    unchanged: Respond

    @classmethod
    def make(cls, media_type: str, body: bytes) -> _Form:
        # Two forms may be the same bytes under two media types; a strong tag tells even those apart (RFC 9110 §8.8.1).
        digest = sha256(media_type.encode() + b"\n" + body).hexdigest()
        tag = f'"{digest}"'
        # Everything a 304 must repeat (RFC 9110 §15.4.5) is everything that a cache needs.
        kept = [("etag", tag), ("cache-control", "public, max-age=600"), ("vary", "Accept")]
        whole = Headers([("content-type", media_type), ("x-content-type-options", "nosniff"), *kept])
        return cls(tag, Respond(200, whole, body), Respond(304, Headers(kept)))


@define(slots=True)
class Page:
    """A page in all its forms. Nobody mutates it.

    Attributes:
        forms: as `choose` numbers them.
        observation: its part of the event.
    """

    forms: tuple[_Form, ...]
    observation: Observation

    @classmethod
    def make(cls, html: str, data: Any, observation: Observation) -> Page:
        """Make a page of its HTML text and its JSON data."""
        # "replace": a lone surrogate in some free text of the configuration is no reason to refuse the whole index.
        hypertext = html.encode("utf-8", "replace")
        bodies = (hypertext, hypertext, json.dumps(data, separators=(",", ":")).encode())
        return cls(tuple(_Form.make(media_type, body) for media_type, body in zip(_CONTENT_TYPES, bodies, strict=True)), observation)

    def answer(self, headers: Headers) -> Respond:
        """Return the form that the client prefers, or 304 when it holds just that."""
        form = self.forms[FORMS.wanted(headers)]
        return form.unchanged if holds(headers, form.tag) else form.whole


def root_page(projects: Iterable[str], observation: Observation) -> Page:
    """Return the list of `projects`, by their normalised names (PEP 503 §Specification, PEP 691 §Project List)."""
    names = sorted(projects)
    links = [f'    <a href="{escape(name)}/">{escape(name)}</a><br>' for name in names]
    return Page.make(_document("Simple index", links), root_data(names), observation)


def project_page(project: str, files: Iterable[Listed], observation: Observation) -> Page:
    """Return the list of a project's `files`, oldest version first (PEP 503 §Specification, PEP 691 §Project Detail)."""
    ordered = sorted(files, key=_by_version)
    data = {
        # PEP 700 wants every file's size with 1.1. Sizes are left out where the configuration does not know them; installers do not ask.
        "meta": {"api-version": "1.1"},
        "name": project,
        "versions": list(dict.fromkeys(str(listed.version) for listed in ordered if listed.version)),
        "files": [_entry(listed) for listed in ordered],
    }
    return Page.make(_document(f"Links for {project}", [_link(listed) for listed in ordered]), data, observation)


def _by_version(listed: Listed) -> tuple[bool, Any, str]:
    return listed.version is not None, listed.version or 0, listed.file.file_name


def _document(title: str, lines: Sequence[str]) -> str:
    head = f'<meta charset="utf-8"><meta name="pypi:repository-version" content="1.0"><title>{escape(title)}</title>'
    body = "\n".join([f"    <h1>{escape(title)}</h1>", *lines])
    return f"<!DOCTYPE html>\n<html>\n  <head>{head}</head>\n  <body>\n{body}\n  </body>\n</html>\n"


def _link(listed: Listed) -> str:
    file = listed.file
    attributes = [("href", listed.href + listed.digest())]
    if file.requires_python is not None:
        attributes.append(("data-requires-python", file.requires_python))
    if file.gpg_sig is not None:
        attributes.append(("data-gpg-sig", "true" if file.gpg_sig else "false"))
    if file.yanked:
        attributes.append(("data-yanked", "" if file.yanked is True else file.yanked))
    written = "".join(f' {name}="{escape(value)}"' for name, value in attributes)
    return f"    <a{written}>{escape(file.file_name)}</a><br>"


def _entry(listed: Listed) -> dict[str, Any]:
    file = listed.file
    entry: dict[str, Any] = {"filename": file.file_name, "url": listed.href, "hashes": dict(listed.hashes)}
    optional = {"requires-python": file.requires_python, "gpg-sig": file.gpg_sig, "yanked": file.yanked or None, "size": file.size}
    entry.update((key, value) for key, value in optional.items() if value is not None)
    return entry
