"""What a registry says when it says no: error bodies that container clients read (OCI distribution-spec v1.1 §Error Codes)."""

from __future__ import annotations

import json

from gatewaycore.decision import Respond
from gatewaycore.headers import Headers

API_VERSION = ("docker-distribution-api-version", "registry/2.0")
"""Old docker clients take a host without this field for no registry at all."""

JSON = (("content-type", "application/json"), ("x-content-type-options", "nosniff"))
"""Of every body that is written here: text of somebody else's in it is nothing that a browser runs."""

_LINES = (*JSON, API_VERSION)


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
READ_ONLY_TOKENS = refuse(405, "UNSUPPORTED", "tokens are asked for with GET or POST", (("allow", "GET, POST"),))
BAD_GRANT = refuse(400, "UNSUPPORTED", "neither a password grant nor a refresh token")
TOO_LARGE = refuse(413, "UNSUPPORTED", "the form is larger than any that asks for a token")
PONG = Respond(200, Headers(_LINES), b"{}")
"""A registry is here (OCI distribution-spec v1.1 §Determining Support)."""

UNREACHABLE = refuse(502, "UNAVAILABLE", "the registry behind this gateway could not be reached")
TOO_LATE = refuse(504, "UNAVAILABLE", "the registry behind this gateway did not answer in time")
NONSENSE = refuse(502, "UNAVAILABLE", "the registry behind this gateway gave an answer that cannot be passed on")
ASTRAY = refuse(502, "UNAVAILABLE", "the registry behind this gateway leads to an address that nobody is sent to")
CIRCLE = refuse(502, "UNAVAILABLE", "the registry behind this gateway redirects without end")
FOREIGN = refuse(502, "UNAVAILABLE", "the registry behind this gateway names a token server that is not known to be its own")
FORBIDDEN = refuse(502, "UNAVAILABLE", "the registry behind this gateway has no address that this gateway connects to")
REFUSED = refuse(502, "UNAVAILABLE", "the registry behind this gateway refuses what the gateway shows it")

FAILURES = {"connect": UNREACHABLE, "timeout": TOO_LATE, "protocol": NONSENSE, "address": FORBIDDEN}
"""Answers for a backend that gave none, by the reason (`gatewaycore.decision.Failure`)."""


def busy(status: int, retry_after: str | None) -> Respond:
    """Return the answer where every registry that has an image is busy or down for now (RFC 9110 §10.2.3).

    Args:
        status: 429 or 503.
        retry_after: when to come back, as one of them said, or None.
    """
    code, message = (
        ("TOOMANYREQUESTS", "the registry behind this gateway has been asked too often")
        if status == 429
        else ("UNAVAILABLE", "the registry behind this gateway is not available now")
    )
    sound = retry_after is not None and len(retry_after) < 64 and retry_after.isascii() and retry_after.isprintable()
    return refuse(status, code, message, (("retry-after", retry_after),) if sound and retry_after is not None else ())


def challenge(realm: str, service: str, repository: str | None = None, error: str | None = None) -> Respond:
    """Return the gateway's own challenge (RFC 6750 §3, distribution's token specification).

    Args:
        realm: where tokens come from.
        service: how the gateway calls itself there.
        repository: what is to be pulled, as the client calls it; None for the ping. Some clients ask for nothing without it.
        error: "invalid_token" or "insufficient_scope" where a token was shown that does not do.
    """
    text = f'Bearer realm="{realm}",service="{service}"'
    if repository is not None:
        text += f',scope="repository:{repository}:pull"'
    if error is not None:
        text += f',error="{error}"'
    return refuse(401, "UNAUTHORIZED", "a token is needed", (("www-authenticate", text),))


def denied(message: str) -> Respond:
    """Return the answer of the token endpoint for those who get no token."""
    return refuse(401, "DENIED", message, (("cache-control", "no-store"),))


def token(body: bytes) -> Respond:
    """Return a token (RFC 6749 §5.1)."""
    return Respond(200, Headers([*_LINES, ("cache-control", "no-store")]), body)


def unknown(name: str) -> Respond:
    """Return the answer for an image that no rule serves; `name` has passed the grammar."""
    return refuse(404, "NAME_UNKNOWN", "this gateway serves no image of this name", name=name)
