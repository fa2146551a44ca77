"""Paths of the OCI distribution API (v1.1 §Endpoints): what a request under ``/v2`` asks for.

Everything that leaves this room has passed the grammar of names, tags and digests, so that whoever builds a URL of it cannot
be made to build another one.
"""

from __future__ import annotations

from typing import TypeAlias
from urllib.parse import unquote

from attrs import frozen

from gatewaycore.decision import Respond
from gatewaycore.rules.container.answers import BAD_DIGEST, BAD_NAME, BAD_REFERENCE, NO_CATALOG, NO_UPLOAD
from gatewaycore.rules.container.names import is_digest, is_repository, is_tag

PREFIX = "/v2"


@frozen
class Ping:
    """``/v2/``: whether this is a registry, and what it wants to see (end-1)."""

    def at(self, _: str = "") -> str:
        """Return the path at the backend."""
        return "/v2/"


@frozen
class Tokens:
    """``/v2/token``: where the gateway's own tokens come from; no name of an image is that short."""


@frozen
class Manifest:
    """``/v2/<name>/manifests/<reference>`` (end-3); the reference is a tag or a digest."""

    name: str
    reference: str

    def at(self, name: str) -> str:
        """Return the path at a backend where the image is called `name`."""
        return f"/v2/{name}/manifests/{self.reference}"


@frozen
class Blob:
    """``/v2/<name>/blobs/<digest>`` (end-2)."""

    name: str
    digest: str

    def at(self, name: str) -> str:
        """Return the path at a backend where the image is called `name`."""
        return f"/v2/{name}/blobs/{self.digest}"


@frozen
class Tags:
    """``/v2/<name>/tags/list`` (end-8)."""

    name: str

    def at(self, name: str) -> str:
        """Return the path at a backend where the image is called `name`."""
        return f"/v2/{name}/tags/list"


@frozen
class Referrers:
    """``/v2/<name>/referrers/<digest>`` (end-12)."""

    name: str
    digest: str

    def at(self, name: str) -> str:
        """Return the path at a backend where the image is called `name`."""
        return f"/v2/{name}/referrers/{self.digest}"


ImageCall: TypeAlias = Manifest | Blob | Tags | Referrers


GRANT_PATH = "/v2/token"


def parse(path: str) -> Ping | Tokens | ImageCall | Respond | None:
    """Return what `path` asks for: a call, the answer where it is refused whatever the rules, or None where it is no endpoint.

    A name may itself hold "manifests" or "blobs", so paths are read from their end.

    Args:
        path: as on the wire; escapes are seen through once, each segment for itself, so that "%2F" separates nothing.
    """
    if path in (PREFIX, "/v2/"):
        return Ping()
    if path == GRANT_PATH:
        return Tokens()
    if not path.startswith("/v2/"):
        return None
    segments = path[len("/v2/") :].split("/")
    if "%" in path:
        segments = [unquote(segment) for segment in segments]
    if segments == ["_catalog"]:
        return NO_CATALOG
    return _call(segments)


def _call(segments: list[str]) -> ImageCall | Respond | None:
    if len(segments) < 3:
        return None
    verb, last = segments[-2:]
    if verb == "uploads" and segments[-3] == "blobs" and len(segments) > 3:
        return NO_UPLOAD
    name = "/".join(segments[:-2])
    # A "/" that came out of an escape is not the path's own.
    whole = name.count("/") == len(segments) - 3 and is_repository(name)
    if verb == "manifests":
        if not whole:
            return BAD_NAME
        return Manifest(name, last) if is_tag(last) or is_digest(last) else BAD_REFERENCE
    if verb == "blobs":
        if not whole:
            return BAD_NAME
        if last == "uploads":
            return NO_UPLOAD
        return Blob(name, last) if is_digest(last) else BAD_DIGEST
    if verb == "referrers":
        if not whole:
            return BAD_NAME
        return Referrers(name, last) if is_digest(last) else BAD_DIGEST
    if verb == "tags" and last == "list":
        return Tags(name) if whole else BAD_NAME
    return None
