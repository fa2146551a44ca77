"""Signing in and out: a token in a form becomes a session in a cookie that no script can read."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from litestar import Response
from litestar.datastructures import Cookie
from litestar.exceptions import PermissionDeniedException
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from gatewaycore.access import SESSION_S, Access
from gatewaycore_asgi.console.doors import BEFORE, COOKIE, Asking, Throttle, origin_of
from gatewaycore_asgi.console.forms import Form, showing, taking
from gatewaycore_asgi.console.requests import base_of, last, local

if TYPE_CHECKING:
    from gatewaycore_asgi.console.app import Console

Answer = Response[Any]
_BEFORE_S: Final = 3600
_LAX: Final[Literal["lax"]] = "lax"


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
        mark = request.cookies.get(BEFORE) or secrets.token_urlsafe(24)
        context = {"next": local(to), "mark": mark, "wrong": wrong, "is_empty": self._access.people.is_empty()}
        answer = self._console.pages.show(request, "sign-in.html", "/sign-in", "Sign in", context, status)
        answer.set_cookie(self._cookie(request, BEFORE, mark, _BEFORE_S))
        return answer

    def _sign_in(self, request: Asking, form: Form) -> Answer:
        mark = request.cookies.get(BEFORE, "")
        if not mark or not hmac.compare_digest(form.one("csrf").encode(), mark.encode()):
            raise PermissionDeniedException
        address, _ = origin_of(request, self._console.service.trusted)
        self._throttle.check(address)
        begun = self._access.people.sign_in(form.one("token").strip())
        if begun is None:
            self._throttle.note(address)
            return self._form(request, form.one("next"), "This is no token, or it is over, or it was revoked.", 403)
        answer: Answer = Redirect(f"{base_of(request)}{local(form.one('next'))}", status_code=303)
        # What was there before is gone: nobody goes on with a session that somebody else has put there.
        answer.set_cookie(self._cookie(request, COOKIE, begun[1], SESSION_S))
        answer.set_cookie(self._cookie(request, BEFORE, "", 0))
        return answer

    def _sign_out(self, request: Asking, form: Form) -> Answer:
        self._console.doors.visit(request).check(form)
        self._access.people.sign_out(request.cookies[COOKIE])
        answer: Answer = Redirect(f"{base_of(request)}/sign-in", status_code=303)
        answer.set_cookie(self._cookie(request, COOKIE, "", 0))
        return answer

    def _cookie(self, request: Asking, name: str, value: str, age_s: int) -> Cookie:
        _, is_secure = origin_of(request, self._console.service.trusted)
        # A browser says so itself, also where TLS ends at a proxy that is not trusted to.
        is_secure = is_secure or request.headers.get("origin", "").startswith("https://")
        return Cookie(key=name, value=value, path=f"{base_of(request)}/", max_age=age_s, httponly=True, samesite=_LAX, secure=is_secure)
