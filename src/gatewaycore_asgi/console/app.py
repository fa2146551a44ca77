"""Console: the dashboard, one ASGI 3 application, to be served by itself or mounted beside others, under any prefix."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from litestar import Litestar

from gatewaycore.access import Access, Kind
from gatewaycore.errors import ConflictError, GatewayError
from gatewaycore.keeping import statistics_of
from gatewaycore.service import Service
from gatewaycore_asgi.console.api import PREFIX, Api, Slots, limits_of
from gatewaycore_asgi.console.catalogue import Catalogue
from gatewaycore_asgi.console.doors import Doors
from gatewaycore_asgi.console.failing import failed
from gatewaycore_asgi.console.making import Made, Making
from gatewaycore_asgi.console.managing import Managing
from gatewaycore_asgi.console.pages import Pages
from gatewaycore_asgi.console.requests import Caller, caller_of
from gatewaycore_asgi.console.signing import Signing
from gatewaycore_asgi.console.viewing import Anybody, Viewer
from gatewaycore_asgi.types import Message, Receive, Scope, Send

if TYPE_CHECKING:
    from gatewaycore.stats.statistics import Statistics

_log = logging.getLogger("gatewaycore.console")
_REFRESH_S = 60.0
FOLDER: Final = "console"
"""Where, under the data-dir, it is kept what is read out of a lake for the console."""

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS: Final = tuple(
    (name.encode(), value.encode())
    for name, value in (
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
        ("x-robots-tag", "noindex"),
    )
)


class Console:
    """Serves the dashboard of a gateway over ASGI.

    Args:
        service: whose numbers. It is not started here, and not closed.
        access: who may see and do what. Closed by its owner.
        viewer: instead of it, who looks, whoever it is: for a console that nobody else can reach.
        made: lets the gateway serve what is made here; without, nothing is made.
        statistics: who answers; without, it is the store that ``gatewaycore report`` asks. Closed with this.
        now: tells the time.
    """

    def __init__(
        self,
        service: Service,
        access: Access | None = None,
        *,
        viewer: Viewer | None = None,
        made: Made | None = None,
        statistics: Statistics | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.service = service
        self.now = now
        self.catalogue = Catalogue(service)
        if (access is None) == (viewer is None):
            raise ValueError("a console has to be told who may look: by an Access, or as Anybody()")
        self.access = access
        self.made = made
        self.doors = Doors(access, viewer or Anybody(), self.catalogue.packages)
        limits = limits_of(service)
        self.slots = Slots(limits.exports, limits.exports_each)
        self.pages = Pages(self)
        self._statistics = statistics
        self._is_ours = statistics is None
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        rooms = (
            []
            if access is None
            else [*Signing(self, access).handlers(), *Managing(self, access).handlers(), *Making(self, access).handlers()]
        )
        self.api = (
            None if access is None else Api(service, access, self._check, self._changed, statistics=self.statistics, slots=self.slots)
        )
        self._app = Litestar(
            route_handlers=[*self.pages.handlers(), *rooms],
            openapi_config=None,
            logging_config=None,
            exception_handlers={Exception: failed},
            on_shutdown=[self.close],
            pdb_on_exception=False,
            debug=False,
        )

    def _check(self, definitions: list[tuple[Kind, Mapping[str, Any]]]) -> None:
        if self.made is None:
            raise ConflictError("nothing is made here: this gateway serves what its file says")
        self.made.check(definitions)

    def _changed(self) -> None:
        if self.made is not None:
            self.made.look()

    def statistics(self) -> Statistics:
        """Return who answers; opened with the first question.

        Raises:
            ConfigError: an extra is not installed.
        """
        with self._lock:
            if self._statistics is None:
                folder = self.service.data / FOLDER
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._statistics = statistics_of(self.service.config, self.service.data, rollups=folder / "rollups.duckdb")
                self._stop.clear()
                self._thread = threading.Thread(target=self._refresh, args=(self._statistics,), name="gatewaycore-console", daemon=True)
                self._thread.start()
            return self._statistics

    def _refresh(self, statistics: Statistics) -> None:
        """Read into rollups what is new in the lake, once a minute: questions are answered from there."""
        while True:
            try:
                statistics.refresh()
            except GatewayError as error:
                if self._stop.is_set():
                    return
                # Pages say so by themselves.
                _log.warning("what is new cannot be read: %s", error)
            if self._stop.wait(_REFRESH_S):
                return

    def close(self) -> None:
        """Close the connections to the store."""
        if self.api is not None:
            self.api.close()
        self._stop.set()
        with self._lock:
            thread, self._thread = self._thread, None
            statistics, self._statistics = self._statistics, None
        if thread is not None and statistics is not None:
            # It may be in the middle of a long reading.
            statistics.stop()
            thread.join(timeout=10)
        if statistics is not None:
            statistics.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI 3 §HTTP), or take part in the lifespan; refuse a websocket."""
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000, "reason": "no websocket is served here"})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)  # type: ignore[arg-type]  # types of a mapping that is one
            return
        inner = _inner(scope, caller_of(scope, self.service.trusted))
        if self.api is not None and f"{inner['path']}/".startswith(f"{PREFIX}/"):
            await self.api(scope, receive, send)
            return
        is_head = scope["method"] == "HEAD"

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {name.lower() for name, _ in message["headers"]}
                message = {**message, "headers": [*message["headers"], *(one for one in _HEADERS if one[0] not in there)]}
            elif is_head and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self._app(inner, receive, answer)  # type: ignore[arg-type]


def _inner(scope: Scope, caller: Caller) -> Any:
    """Return the scope as the pages want it: below the mount, whether the framework keeps its prefix in ``path`` or not; HEAD as GET."""
    root, path = scope.get("root_path", "").rstrip("/"), scope["path"]
    below = path[len(root) :] or "/" if root and (path == root or path.startswith(f"{root}/")) else path
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    state = {**(scope.get("state") or {}), "base": root, "caller": caller, "is_head": scope["method"] == "HEAD"}
    return {**scope, "path": below, "raw_path": quote(below).encode(), "root_path": "", "method": method, "state": state}
