"""Pages of a simple index, and which of their forms a client gets (PEP 503, 592, 629, 691, 700).

Every form of every page is made when the configuration is loaded; a request chooses among them. All links are relative to the page, so
that an index mounted under a path, or answering under several names, needs no second set.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import sha256
from html import escape
from typing import Any, Final

from attrs import define

from gatewaycore.decision import Respond
from gatewaycore.event import Observation
from gatewaycore.headers import Headers
from gatewaycore.privacy import seems_to_hold_address
from gatewaycore.rules.python.files import Listed

# In order of preference, should the client have none: HTML is what everything from browsers to the oldest installer reads.
_TYPES: Final = ("text/html; charset=utf-8", "application/vnd.pypi.simple.v1+html; charset=utf-8", "application/vnd.pypi.simple.v1+json")

# Media ranges (RFC 9110 §12.5.1), the types among the above that each takes, and how closely it names them.
_RANGES: Final[dict[str, tuple[int, tuple[int, ...]]]] = {
    "*/*": (0, (0, 1, 2)),
    "text/*": (1, (0,)),
    "application/*": (1, (1, 2)),
    "text/html": (2, (0,)),
    "application/vnd.pypi.simple.v1+html": (2, (1,)),
    "application/vnd.pypi.simple.latest+html": (2, (1,)),
    "application/vnd.pypi.simple.v1+json": (2, (2,)),
    "application/vnd.pypi.simple.latest+json": (2, (2,)),
}
_QUALITY: Final = re.compile(r"0(?:\.[0-9]*)?|1(?:\.0*)?")
_ENTITY_TAG: Final = re.compile(r'"[^"]*"')
_REMEMBERED_BYTES: Final = 512


def choose(accept: str) -> int:
    """Return which of the three forms the ``Accept`` field asks for: 0 HTML, 1 HTML under its PEP 691 name, 2 JSON.

    Where nothing suits, HTML is answered and not 406: PEP 691 allows both, and clients older than it send all kinds of things.
    """
    found: dict[int, tuple[int, float]] = {}
    for item in accept.split(","):
        name, *parameters = item.split(";")
        closeness, types = _RANGES.get(name.strip().lower(), (0, ()))
        quality = _quality(parameters)
        for one in types:
            # The closest range decides (RFC 9110 §12.5.1): "*/*, text/html;q=0" refuses HTML.
            if (closeness, quality) > found.get(one, (-1, 0.0)):
                found[one] = (closeness, quality)
    wanted = [(quality, closeness, -one) for one, (closeness, quality) in found.items() if quality > 0]
    return -max(wanted)[2] if wanted else 0


# Clients of one kind send one Accept each: a handful of keys. Long ones are no client's, and would only fill memory.
_remembered: Final = lru_cache(maxsize=256)(choose)


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            value = value.strip()
            return float(value) if _QUALITY.fullmatch(value) else 1.0
    return 1.0


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
        return cls(tuple(_Form.make(media_type, body) for media_type, body in zip(_TYPES, bodies, strict=True)), observation)

    def answer(self, headers: Headers) -> Respond:
        """Return the form that the client prefers, or 304 when it holds just that."""
        accept = ",".join(headers.get_all("accept"))
        is_usual = len(accept) <= _REMEMBERED_BYTES and not seems_to_hold_address(accept)
        form = self.forms[_remembered(accept) if is_usual else choose(accept)]
        if headers.first(b"if-none-match") is None:
            return form.whole
        held = ",".join(headers.get_all("if-none-match"))
        # Weak comparison, as RFC 9110 §13.1.2 demands here: a "W/" before a tag makes no difference.
        same = held.strip() == "*" or any(tag == form.tag for tag in _ENTITY_TAG.findall(held))
        return form.unchanged if same else form.whole


def root_page(projects: Iterable[str], observation: Observation) -> Page:
    """Return the list of `projects`, by their normalised names (PEP 503 §Specification, PEP 691 §Project List)."""
    names = sorted(projects)
    links = [f'    <a href="{escape(name)}/">{escape(name)}</a><br>' for name in names]
    data = {"meta": {"api-version": "1.1"}, "projects": [{"name": name} for name in names]}
    return Page.make(_document("Simple index", links), data, observation)


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
