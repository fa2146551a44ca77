"""What is answered when something goes wrong: a page that says what, and what to do; nothing of how."""

from __future__ import annotations

import logging
import traceback
from functools import cache
from typing import Any
from urllib.parse import quote

from jinja2 import Environment
from litestar import Request, Response
from litestar.exceptions import HTTPException, NotAuthorizedException
from litestar.response import Redirect
from litestar.status_codes import HTTP_404_NOT_FOUND, HTTP_500_INTERNAL_SERVER_ERROR, HTTP_503_SERVICE_UNAVAILABLE

from gatewaycore.errors import GatewayError
from gatewaycore_asgi.console.api.problems import StatusError
from gatewaycore_asgi.console.assets import style_name
from gatewaycore_asgi.console.rendering import environment, theme_of

_log = logging.getLogger("gatewaycore.console")

_WORDS = {
    400: ("This request cannot be understood", "Go back, and try again."),
    401: ("Sign in", "This page is for those who have signed in."),
    403: ("This may not be done", "Your role does not allow it, or the form is too old: go back, load the page again, and try once more."),
    404: ("There is no such page", "It is not there, or not for you. A package is here as soon as the configuration has it."),
    405: ("This cannot be done here", "Go back, and try again."),
    429: ("Too much at once", "Wait a moment, and try again."),
    503: ("The numbers are not here", "The store does not answer. The gateway itself goes on. Try again in a minute."),
}
_OTHER = ("Something went wrong", "It is in the server's log. Try again in a minute.")


@cache
def _environment() -> Environment:
    return environment()


def error_page(request: Request[Any, Any, Any], status: int, detail: str = "") -> Response[str]:
    """Return the page of an error.

    Args:
        request: that it answers.
        status: of HTTP.
        detail: what else there is to know.
    """
    heading, advice = _WORDS.get(status, _OTHER)
    base = request.scope.get("state", {}).get("base", "")
    context = {"heading": heading, "advice": advice, "detail": detail, "base": base, "theme": theme_of(request)}
    text = _environment().get_template("error.html").render(context, style=f"{base}/static/{style_name()}")
    return Response(text, status_code=status, media_type="text/html", headers={"cache-control": "no-store"})


def failed(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Answer for what was raised."""
    if isinstance(error, NotAuthorizedException):
        back = f"{request.scope['path']}?{request.scope['query_string'].decode('latin-1')}".rstrip("?") if request.method == "GET" else "/"
        base = request.scope.get("state", {}).get("base", "")
        return Redirect(f"{base}/sign-in?next={quote(back, safe='')}", status_code=303)
    if isinstance(error, HTTPException):
        answer = error_page(request, error.status_code)
        answer.headers.update(error.headers or {})
        return answer
    if isinstance(error, StatusError):
        answer = error_page(request, error.status, str(error))
        answer.headers.update(error.headers)
        return answer
    if isinstance(error, GatewayError):
        return error_page(request, HTTP_503_SERVICE_UNAVAILABLE, str(error))
    # No value of the request is in a log line, and an exception's text may hold one: so it is where it was raised, and its type.
    where = traceback.extract_tb(error.__traceback__)[-1]
    _log.error("a page of the console failed: %s at %s:%d", type(error).__name__, where.filename, where.lineno or 0)
    return error_page(request, HTTP_500_INTERNAL_SERVER_ERROR)


def not_found(request: Request[Any, Any, Any]) -> Response[str]:
    """Answer for what is not there, or not for whoever asks: the two are told apart by nobody."""
    return error_page(request, HTTP_404_NOT_FOUND)
