"""What a registry says when it says no: error bodies that container clients read (OCI distribution-spec v1.1 §Error Codes)."""

from __future__ import annotations

import json

from gatewaycore.decision import Respond
from gatewaycore.headers import Headers

API_VERSION = ("docker-distribution-api-version", "registry/2.0")
"""Old docker clients take a host without this field for no registry at all."""

_LINES = (("content-type", "application/json"), ("x-content-type-options", "nosniff"), API_VERSION)


def refuse(status: int, code: str, message: str, lines: tuple[tuple[str, str], ...] = (), **detail: str) -> Respond:
    """Return an answer with an error body.

    Args:
        status: the HTTP status.
        code: one of the specification's error codes.
        message: for people. Text of the request belongs into `detail`, and only after it has passed a grammar.
        lines: further response headers.
        detail: the error's own `detail` object.
    """
    body = {"errors": [{"code": code, "message": message, "detail": detail}]}
    return Respond(status, Headers([*_LINES, *lines]), json.dumps(body).encode())


READ_ONLY = refuse(405, "UNSUPPORTED", "images are pulled through this gateway, never pushed", (("allow", "GET, HEAD"),))
NO_CATALOG = refuse(404, "UNSUPPORTED", "this gateway does not list its images")
NO_UPLOAD = refuse(404, "BLOB_UPLOAD_UNKNOWN", "images are pulled through this gateway, never pushed")
BAD_NAME = refuse(400, "NAME_INVALID", "not a repository name: lower-case letters and digits, with single . _ or - inside, joined by /")
BAD_REFERENCE = refuse(400, "MANIFEST_INVALID", "neither a tag nor a digest")
BAD_DIGEST = refuse(400, "DIGEST_INVALID", "not a digest: sha256: and 64 lower-case hexadecimal digits")
UNREACHABLE = refuse(502, "UNAVAILABLE", "the registry behind this gateway could not be reached")
TOO_LATE = refuse(504, "UNAVAILABLE", "the registry behind this gateway did not answer in time")
NONSENSE = refuse(502, "UNAVAILABLE", "the registry behind this gateway gave an answer that cannot be passed on")


def unknown(name: str) -> Respond:
    """Return the answer for an image that no rule serves; `name` has passed the grammar."""
    return refuse(404, "NAME_UNKNOWN", "this gateway serves no image of this name", name=name)
