"""Renaming: what a registry says of an image, in the name that the client knows.

Where the gateway calls an image otherwise than its backend does, nothing that passes may name the backend's repository: a client would ask
for it here, and its name may be nobody's business.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from attrs import frozen

from gatewaycore.rules.leading import origin

ERROR_BYTES = 64 * 1024
TAGS_BYTES = 8 * 1024 * 1024
"""More than a hundred thousand tags."""

PASSED = frozenset(
    b"accept-ranges age cache-control content-length content-range content-type docker-content-digest "
    b"docker-distribution-api-version etag expires last-modified link oci-filters-applied oci-subject ratelimit-limit "
    b"ratelimit-remaining ratelimit-reset retry-after vary warning".split()
)
"""Header fields that never name a repository, or are rewritten: of a renamed image, these are passed on."""

_TARGET = re.compile(r"<([^>]*)>")
_LINK = re.compile(r"<([^>]*)>([^<]*)")
_REL = re.compile(r'(?i);\s*rel\s*=\s*"?([A-Za-z][A-Za-z0-9 .-]{0,63})')
_CODE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_BY_STATUS = {401: "UNAUTHORIZED", 403: "DENIED", 404: "MANIFEST_UNKNOWN", 429: "TOOMANYREQUESTS"}
_MOST_ERRORS = 16


@frozen
class Renaming:
    """One image's two names.

    Attributes:
        origin: of the backend: "https://ghcr.io".
        there: its name at the backend.
        here: its name as the client knows it.
    """

    origin: str
    there: str
    here: str

    @property
    def changes(self) -> bool:
        """Whether the two differ."""
        return self.there != self.here

    def link(self, value: str, url: str) -> str | None:
        """Return a ``Link`` field as it is here (RFC 8288 §3), or None where it leads to what is not here.

        What leads to this image at the backend leads to the same place here; what already does is left as it is. Of a renamed image only
        the target and what it is to this one are passed on.

        Args:
            value: one line.
            url: of the answer that it was in; relative targets stand on it.
        """
        if not self.changes:
            return _TARGET.sub(lambda found: f"<{self._relocate(found[1], url)}>", value)
        links = [(self._relocate(found[1], url), _REL.search(found[2])) for found in _LINK.finditer(value)]
        if not links or any(target is None for target, _ in links):
            return None
        return ", ".join(f"<{target}>" + ("" if rel is None else f'; rel="{rel[1]}"') for target, rel in links)

    def _relocate(self, target: str, url: str) -> str | None:
        absolute = target.lower().startswith(("http://", "https://"))
        if not self.changes and not absolute:
            return target
        try:
            parts = urlsplit(urljoin(url, target))
        except ValueError:
            return None if self.changes else target
        here = parts.path.removeprefix(f"/v2/{self.there}/")
        # A tag has no "/": a repository's whole name in the query is no tag's.
        named = self.changes and "/" in self.there and self.there in unquote(parts.query)
        if origin(parts.scheme, parts.netloc) == self.origin and here != parts.path and not named:
            path = f"/v2/{self.here}/{here}"
            return f"{path}?{parts.query}" if parts.query else path
        return None if self.changes else target

    def tags(self, body: bytes) -> bytes | None:
        """Return a list of tags under the name that the client knows, or None where the body is none (OCI distribution-spec §end-8)."""
        said = _json(body)
        if not isinstance(said, dict) or not isinstance(said.get("tags"), list | None):
            return None
        return json.dumps({"name": self.here, "tags": said.get("tags")}).encode()

    def errors(self, status: int, body: bytes | None) -> bytes:
        """Return an error body (OCI distribution-spec §Error Codes): its codes, and what of its messages names nothing of the backend's.

        Args:
            status: of the answer.
            body: as the backend sent it; None where it was longer than anybody reads.
        """
        said = _json(body or b"")
        entries = said.get("errors") if isinstance(said, dict) else None
        errors = [self._error(entry) for entry in entries[:_MOST_ERRORS] if isinstance(entry, dict)] if isinstance(entries, list) else []
        return json.dumps({"errors": errors or [{"code": _BY_STATUS.get(status, "UNKNOWN"), "message": "", "detail": {}}]}).encode()

    def _error(self, entry: dict[str, Any]) -> dict[str, Any]:
        code, message = entry.get("code"), entry.get("message")
        known = isinstance(code, str) and _CODE.fullmatch(code)
        # A detail is whatever the backend likes, most often the repository.
        return {"code": code if known else "UNKNOWN", "message": self._message(message) if isinstance(message, str) else "", "detail": {}}

    def _message(self, text: str) -> str:
        text = text[:1024].replace(self.there, self.here)
        # Its last part alone may be a word of the language; its owner's name is left out with the rest.
        owner = self.there.rpartition("/")[0]
        host = urlsplit(self.origin).netloc
        return "" if (owner and owner in text and owner not in self.here) or host in text else text


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
