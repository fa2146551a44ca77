"""Api: the API as one ASGI 3 application, under ``/api/v1`` of whatever it is mounted at.

What every request has in common stands here, before any handler: who asks, how often they may, how large a body may be, and that a request
with an idempotency key is answered once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import cache, partial
from secrets import compare_digest
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_to_bytes

import msgspec
from anyio.to_thread import run_sync
from litestar import Litestar, Router
from litestar.di import Provide

from gatewaycore.access import Access, Check, Given, Principal
from gatewaycore.service import Service
from gatewaycore_asgi.console.api import handlers
from gatewaycore_asgi.console.api.bodies import StrictRequest, Whole
from gatewaycore_asgi.console.api.describing import OPENAPI, PREFIX, complete, describe
from gatewaycore_asgi.console.api.limits import Limits, Quota, Slots
from gatewaycore_asgi.console.api.means import BASE, BY, HEAD, SECRET, Means, asker_of, limits_of
from gatewaycore_asgi.console.api.problems import MEDIA, REALM, StatusError, failed, status_of, tell
from gatewaycore_asgi.console.api.uploads import UploadBounds, Uploads
from gatewaycore_asgi.console.api.ways import Ways
from gatewaycore_asgi.console.cookies import read_cookie
from gatewaycore_asgi.console.doors import COOKIE
from gatewaycore_asgi.console.requests import caller_of
from gatewaycore_asgi.types import Message, Receive, Scope, Send

if TYPE_CHECKING:
    from gatewaycore.stats.statistics import Statistics

CSRF: Final = b"x-csrf-token"
_SAFE: Final = ("GET", "HEAD", "OPTIONS")
_FORMS: Final = ("application/json", MEDIA, "application/x-ndjson", "text/csv", "application/vnd.apache.parquet")
_BODY_BYTES: Final = 1024 * 1024
_KEY_LENGTH: Final = 255
_OPENAPI: Final = f"{PREFIX}{OPENAPI}"
_IMPORTS: Final = f"{PREFIX}/imports"
_EXPORTS: Final = f"{PREFIX}/exports"
_HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_ONCE: Final = "This was done for an earlier request with the same idempotency key; its secret was shown once"


class Api:
    """Serves the API of a gateway over ASGI.

    Args:
        service: whose packages and numbers. It is not started here, and not closed.
        access: who may see and do what. Not closed either.
        check: whether definitions can be served; raises a `ConfigError` where they cannot.
        changed: called after a definition was changed, so that this process serves it at once.
        statistics: who answers; without, it is the store that ``gatewaycore report`` asks.
        quota: how many requests a token may make, of each process; without, it is what the configuration says.
        bounds: how much an import may hold; the same.
        slots: how many exports are sent at once; the same.
        clock: any that only goes forward, in seconds.
    """

    def __init__(
        self,
        service: Service,
        access: Access,
        check: Check,
        changed: Callable[[], None] = lambda: None,
        *,
        statistics: Callable[[], Statistics] | None = None,
        quota: Quota | None = None,
        bounds: UploadBounds | None = None,
        slots: Slots | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._access = access
        self._ways = Ways(handlers.HANDLERS, PREFIX)
        settings = limits_of(service)
        self._limits = Limits(quota or Quota(requests=settings.requests, window_s=settings.window_s), clock)
        self._slots = slots or Slots(settings.exports, settings.exports_each)
        bounds = bounds or UploadBounds(most_bytes=settings.import_bytes, kept_bytes=settings.imports_bytes)
        uploads = Uploads(service.data, lambda: service.config, bounds)
        self._means = Means(service, access, check, changed, statistics, uploads)
        self._app = Litestar(
            route_handlers=[_router(lambda: self._means)],
            exception_handlers={Exception: failed},
            request_class=StrictRequest,
            request_max_body_size=_BODY_BYTES,
            openapi_config=None,
            logging_config=None,
            pdb_on_exception=False,
            debug=False,
        )

    def close(self) -> None:
        """Close what was opened here; imports that are going on stop after their block."""
        self._means.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI 3 §HTTP), or take part in the lifespan; refuse a websocket."""
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000, "reason": "no websocket is served here"})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)  # type: ignore[arg-type]  # types of a mapping that is one
            return
        inner, answer = _below(scope), _Answer(send, scope["method"] == "HEAD")
        try:
            await self._admitted(inner, receive, answer)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is answered, and logged where it is not ours
            await _refuse(inner, answer, error)

    async def _admitted(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        """Answer for those who may ask."""
        _check_accept(scope)
        if scope["path"] == _OPENAPI and scope["method"] == "GET":
            await _send(answer, 200, "application/json", await run_sync(self._described, scope[BASE]))
            return
        by = await run_sync(self._authenticate, scope)
        scope[BY] = by
        standing = self._limits.take(by.token_id or by.user.id)
        told = self._limits.headers(standing)
        answer.headers += [(name.lower().encode(), value.encode()) for name, value in told.items()]
        if standing.is_over:
            raise StatusError(429, f"more than {self._limits.quota.requests} requests in {self._limits.quota.window_s} s")
        allowed = _SAFE if scope["path"] == _OPENAPI else self._ways.methods(scope["path"])
        if allowed and scope["method"] == "OPTIONS":
            await answer({"type": "http.response.start", "status": 204, "headers": [(b"allow", ", ".join(allowed).encode())]})
            await answer({"type": "http.response.body"})
            return
        if allowed and scope["method"] not in allowed:
            raise StatusError(405, f"this takes {', '.join(allowed)}", {"Allow": ", ".join(allowed)})
        key = _field(scope, b"idempotency-key")
        if key is not None and scope["method"] == "POST" and scope["path"] != _IMPORTS:
            await self._once(scope, receive, answer, by, key)
        elif scope["path"] == _EXPORTS and not scope[HEAD]:
            # Until the last of it is sent, or the client is gone.
            with self._slots.taken(by.user.id):
                await self._app(scope, receive, answer)  # type: ignore[arg-type]  # as above
        else:
            await self._app(scope, receive, answer)  # type: ignore[arg-type]  # as above

    @staticmethod
    def _described(base: str) -> bytes:
        return msgspec.json.encode({**document(), "servers": [{"url": base or "/"}]})

    # --- who asks --------------------------------------------------------------------------------------------------------

    def _authenticate(self, scope: Scope) -> Principal:
        """Return who asks: by a token, or by the session of a page.

        Raises:
            StatusError: nobody does, or a page of somebody else's has sent it.
        """
        header = _field(scope, b"authorization")
        if header is not None:
            scheme, _, secret = header.partition(" ")
            by = self._access.people.authenticate(secret.strip()) if scheme.lower() == "bearer" and secret.strip() else None
            if by is None:
                raise _unauthorized(' error="invalid_token"', "this token is none, is over, or was taken back")
            return by
        is_secure = caller_of(scope, self._means.service.trusted).is_secure
        cookie = read_cookie(scope["headers"], COOKIE, scope[BASE], is_secure=is_secure)
        session = self._access.people.session(cookie) if cookie else None
        if session is None:
            raise _unauthorized("", "send a token: Authorization: Bearer gwc_…")
        if scope["method"] not in _SAFE and not compare_digest((_field(scope, CSRF) or "").encode(), session.csrf.encode()):
            # A browser sends the cookie with whatever page has told it to; what the page of the session knows, others cannot.
            raise StatusError(403, "X-CSRF-Token is missing, or of another session")
        return session.principal

    # --- once ------------------------------------------------------------------------------------------------------------

    async def _once(self, scope: Scope, receive: Receive, answer: _Answer, by: Principal, key: str) -> None:
        """Answer a request with an idempotency key: from memory, where it was answered before."""
        if not 1 <= len(key) <= _KEY_LENGTH:
            raise StatusError(400, f"an Idempotency-Key has 1 to {_KEY_LENGTH} characters")
        owner, whole = by.token_id or by.user.id, await Whole.read(receive, _BODY_BYTES)
        asked = b"\n".join([scope["method"].encode(), scope["path"].encode(), scope["query_string"], whole.body])
        answers = self._access.answers
        given = await run_sync(answers.begin, owner, key, asked)
        if given is not None:
            await _replay(answer, given)
            return
        is_done = False
        kept = _Kept(answer)
        try:
            await self._app(scope, whole.again(receive), kept)  # type: ignore[arg-type]  # as above
            if 200 <= kept.status < 300:
                secret = tell(409, _ONCE, scope["path"])
                remembered = Given(409, {"content-type": MEDIA}, secret) if SECRET in scope else kept.given()
                await run_sync(answers.end, owner, key, remembered)
                is_done = True
        finally:
            if not is_done:
                # Nothing was done, so it may be tried again.
                await run_sync(partial(answers.forget, owner, key))


class _Answer:
    """Sends an answer with the fields that all of them have; to HEAD, without its body."""

    def __init__(self, send: Send, is_head: bool) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.has_begun = False
        self._send = send
        self._is_head = is_head

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_begun = True
            there = {name.lower() for name, _ in message["headers"]}
            added = [one for one in (*_HEADERS, *self.headers) if one[0] not in there]
            message = {**message, "headers": [*message["headers"], *added]}
        elif self._is_head and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await self._send(message)


class _Kept:
    """Remembers an answer while it is sent."""

    def __init__(self, answer: _Answer) -> None:
        self.status = 0
        self._answer = answer
        self._headers: dict[str, str] = {}
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]}
        else:
            self._body += message.get("body", b"")
        await self._answer(message)

    def given(self) -> Given:
        return Given(self.status, self._headers, self._body)


@cache
def document() -> Mapping[str, Any]:
    """Return the OpenAPI document, but for the mount."""

    def nothing() -> Any:
        """Handlers are described, and not called."""

    described = Litestar(route_handlers=[_router(nothing)], openapi_config=describe(), logging_config=None)
    return complete(described.openapi_schema.to_schema())


def _router(means: Callable[[], Means]) -> Router:
    # All of them at once: a handler that is registered beside another one of its path later on is called in two threads, one in the other.
    provided = {"means": Provide(means, sync_to_thread=False), "by": Provide(asker_of, sync_to_thread=False)}
    return Router(path=PREFIX, route_handlers=list(handlers.HANDLERS), dependencies=provided)


def _below(scope: Scope) -> dict[str, Any]:
    """Return the scope below the mount, whether the framework keeps its prefix in ``path`` or not; HEAD as GET.

    A "/" inside a segment is "%2F" on the wire, and cannot be told from one between two segments once a server has decoded it: so segments
    are taken from what came over the wire, where the server tells, and become "~1". Where a proxy before it has decoded them, "~1" does.
    """
    root = scope.get("root_path", "").rstrip("/")
    raw = scope.get("raw_path")
    if raw is None:
        path = scope["path"]
    else:
        segments = [unquote_to_bytes(one).decode("utf-8", "replace") for one in raw.partition(b"?")[0].split(b"/")]
        path = "/".join(one.replace("/", "~1") for one in segments)
    below = path[len(root) :] or "/" if root and (path == root or path.startswith(f"{root}/")) else path
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    added = {BASE: root, HEAD: scope["method"] == "HEAD"}
    return {**scope, "path": below, "raw_path": below.encode(), "root_path": "", "method": method, **added}


def _field(scope: Mapping[str, Any], name: bytes) -> str | None:
    return next((value.decode("latin-1") for one, value in scope["headers"] if one == name), None)


def _unauthorized(more: str, detail: str) -> StatusError:
    return StatusError(401, detail, {"WWW-Authenticate": f"{REALM}{',' if more else ''}{more}"})


def _check_accept(scope: Mapping[str, Any]) -> None:
    """Refuse a client that takes none of the forms that are told here (RFC 9110 §12.5.1)."""
    accepted = _field(scope, b"accept")
    if accepted is None or not accepted.strip():
        return
    for one in accepted.split(","):
        media, *parameters = (part.strip().lower() for part in one.split(";"))
        if any(part.replace(" ", "") in ("q=0", "q=0.0", "q=0.00", "q=0.000") for part in parameters):
            continue
        kind = media.partition("/")[0]
        if media == "*/*" or any(media == form or (media.endswith("/*") and form.startswith(f"{kind}/")) for form in _FORMS):
            return
    raise StatusError(406, f"answers are {', '.join(_FORMS)}")


async def _replay(answer: _Answer, given: Given) -> None:
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in given.headers.items()]
    started: Message = {"type": "http.response.start", "status": given.status, "headers": [*headers, (b"idempotent-replayed", b"true")]}
    await answer(started)
    await answer({"type": "http.response.body", "body": given.body})


async def _refuse(scope: Mapping[str, Any], answer: _Answer, error: Exception) -> None:
    status, detail, errors, headers = status_of(error)
    if answer.has_begun:
        # Half an answer is out: the connection is broken off, so that nobody takes it for a whole one.
        raise error
    await _send(answer, status, MEDIA, tell(status, detail, scope["path"], errors), headers)


async def _send(answer: _Answer, status: int, media: str, body: bytes, headers: Mapping[str, str] | None = None) -> None:
    lines = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
    fields = [(b"content-type", media.encode()), (b"content-length", str(len(body)).encode()), *lines]
    await answer({"type": "http.response.start", "status": status, "headers": fields})
    await answer({"type": "http.response.body", "body": body})
