"""Signing in and out: a token in a form becomes a session in a cookie that no script can read."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from litestar import Response
from litestar.datastructures import Cookie
from litestar.exceptions import PermissionDeniedException, TooManyRequestsException
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from gatewaycore.access import SESSION_S, Access
from gatewaycore_asgi.console.cookies import make_cookie, read_cookie
from gatewaycore_asgi.console.doors import BEFORE, COOKIE, Asking, Throttle, session_of
from gatewaycore_asgi.console.forms import Form, showing, taking
from gatewaycore_asgi.console.requests import base_of, caller_in, last, local

if TYPE_CHECKING:
    from gatewaycore_asgi.console.app import Console

Answer = Response[Any]
_BEFORE_S: Final = 3600


class Signing:
    """The pages for signing in and out.

    Args:
        console: whose.
        access: knows tokens.
    """

    def __init__(self, console: Console, access: Access) -> None:
        self._console = console
        self._access = access
        self._throttle = Throttle()

    def handlers(self) -> Sequence[HTTPRouteHandler]:
        """Return what answers."""
        form = showing("/sign-in", lambda request: self._form(request, last(request, "next")))
        return [form, taking("/sign-in", self._sign_in), taking("/sign-out", self._sign_out)]

    def _form(self, request: Asking, to: str, wrong: str = "", status: int = 200) -> Answer:
        mark = self._mark(request) or secrets.token_urlsafe(24)
        context = {"next": local(to), "mark": mark, "wrong": wrong, "is_empty": self._access.people.is_empty()}
        answer = self._console.pages.show(request, "sign-in.html", "/sign-in", "Sign in", context, status)
        answer.set_cookie(self._cookie(request, BEFORE, mark, _BEFORE_S))
        return answer

    def _sign_in(self, request: Asking, form: Form) -> Answer:
        mark = self._mark(request)
        if not mark or not hmac.compare_digest(form.one("csrf").encode(), mark.encode()):
            raise PermissionDeniedException
        begun = self._access.people.sign_in(form.one("token").strip())
        if begun is None:
            wait_s = self._throttle.note(caller_in(request).address)
            if wait_s:
                raise TooManyRequestsException(headers={"retry-after": str(wait_s)})
            return self._form(request, form.one("next"), "This is no token, or it is over, or it was revoked.", 403)
        answer: Answer = Redirect(f"{base_of(request)}{local(form.one('next'))}", status_code=303)
        # What was there before is gone: nobody goes on with a session that somebody else has put there.
        answer.set_cookie(self._cookie(request, COOKIE, begun[1], SESSION_S))
        answer.set_cookie(self._cookie(request, BEFORE, "", 0))
        return answer

    def _sign_out(self, request: Asking, form: Form) -> Answer:
        self._console.doors.visit(request).check(form)
        self._access.people.sign_out(session_of(request) or "")
        answer: Answer = Redirect(f"{base_of(request)}/sign-in", status_code=303)
        answer.set_cookie(self._cookie(request, COOKIE, "", 0))
        return answer

    def _mark(self, request: Asking) -> str:
        return read_cookie(request.scope["headers"], BEFORE, base_of(request), is_secure=caller_in(request).is_secure) or ""

    def _cookie(self, request: Asking, name: str, value: str, age_s: int) -> Cookie:
        return make_cookie(name, value, base_of(request), age_s, is_secure=_is_secure(request))


def _is_secure(request: Asking) -> bool:
    # A browser says so itself, also where TLS ends at a proxy that is not trusted to.
    return caller_in(request).is_secure or request.headers.get("origin", "").startswith("https://")
