"""Problems: whatever goes wrong, as ``application/problem+json`` (RFC 9457): what, where, and what to write instead."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
from attrs import field, frozen
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from gatewaycore.errors import AccessError, ConfigError, GatewayError, Problem, RequestError, TooSoonError

_log = logging.getLogger("gatewaycore.console")

MEDIA: Final = "application/problem+json"
REALM: Final = 'Bearer realm="gatewaycore"'
"""What ``WWW-Authenticate`` says beside 401 (RFC 6750 §3)."""

_WRITTEN: Final[Mapping[str, str]] = {
    "data": "body",
    "form": "format",
    "preset": "from",
    "pairs": "map",
    "by_dimension": "by",
    "if_match": "If-Match",
}
"""What a client calls those arguments of handlers that Python has other names for."""

CODES: Final[Mapping[int, str]] = {
    400: "The request cannot be read.",
    401: "There is no token, or it is none, is over, or was taken back.",
    403: "Your role, or your token, is not for this.",
    404: "It is not there, or you may not see it.",
    405: "This cannot be done here; `Allow` says what can.",
    406: "It cannot be told in a form that the client accepts.",
    409: "It cannot be done as things are.",
    412: "Somebody else has changed it: read it again.",
    413: "The body is too large.",
    415: "The body is in a form that is not read here.",
    422: "What is asked for cannot be used; `errors` says all that is wrong.",
    428: "`If-Match` is missing.",
    429: "Too many requests; `Retry-After` says when the next may come.",
    500: "Something went wrong here; it is in the server's log.",
    503: "The store does not answer; the gateway itself goes on.",
}
"""Each status that is a problem, and what it means."""


@frozen(kw_only=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        where: the place: a key, or a parameter.
        what: what is wrong with it.
        hint: what to write instead; may be empty.
    """

    where: str
    what: str
    hint: str = ""


@frozen(kw_only=True)
class Told:
    """A problem, as RFC 9457 has it.

    Attributes:
        type: always "about:blank": `status` says which it is.
        title: of the status.
        status: of the answer.
        detail: what is wrong, in words.
        instance: the path that was asked for.
        errors: all that is wrong, where that is known.
    """

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    instance: str
    errors: list[Fault] = field(factory=list)


class StatusError(GatewayError):
    """A request that is answered with a status of its own.

    Args:
        status: of HTTP.
        detail: in words.
        headers: beside it.
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.headers = dict(headers or {})
        super().__init__(detail)


def tell(status: int, detail: str, instance: str, errors: Sequence[Problem] = ()) -> bytes:
    """Return the body of a problem."""
    faults = [Fault(where=one.where, what=one.what, hint=one.hint) for one in errors]
    return msgspec.json.encode(Told(title=HTTPStatus(status).phrase, status=status, detail=detail, instance=instance, errors=faults))


def status_of(error: Exception) -> tuple[int, str, Sequence[Problem], Mapping[str, str]]:
    """Return what is answered for an exception: status, words, all that is wrong, and fields."""
    if isinstance(error, StatusError):
        return error.status, str(error), (), error.headers
    if isinstance(error, ValidationException):
        return 422, "the request cannot be used", _problems(error.extra), {}
    if isinstance(error, HTTPException):
        allowed = {name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"}
        return error.status_code, CODES.get(error.status_code, error.detail), (), allowed
    if isinstance(error, ConfigError):
        return 422, "what was sent cannot be used", error.problems, {}
    if isinstance(error, TooSoonError):
        return error.status, str(error), (), {"Retry-After": str(error.wait_s)}
    if isinstance(error, AccessError | RequestError):
        return error.status, str(error), (), {}
    if isinstance(error, GatewayError):
        return 503, str(error), (), {}
    # No value of the request is in a log line, and an exception's text may hold one: so it is where it was raised, and its type.
    where = traceback.extract_tb(error.__traceback__)[-1]
    _log.error("an answer of the API failed: %s at %s:%d", type(error).__name__, where.filename, where.lineno or 0)
    return 500, CODES[500], (), {}


def failed(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer for what was raised in a handler."""
    status, detail, errors, headers = status_of(error)
    body = tell(status, detail, request.scope["path"], errors)
    return Response(body, status_code=status, media_type=MEDIA, headers=dict(headers))


def _problems(extra: Any) -> list[Problem]:
    """Return what the framework has found wrong, in our words."""
    found = [one for one in extra if isinstance(one, Mapping)] if isinstance(extra, list) else []
    keys = [str(one.get("key") or "body") for one in found]
    return [Problem(_WRITTEN.get(key, key), str(one.get("message", "cannot be used"))) for key, one in zip(keys, found, strict=True)]
