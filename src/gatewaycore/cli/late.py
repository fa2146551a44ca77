"""Late: the console of a service, and all that belongs to it, which is there as soon as its state database is.

A database that is down keeps nobody from serving. What was last served of what is made in the console is served meanwhile, and the database
is tried again until it answers.
"""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from gatewaycore.errors import GatewayError
from gatewaycore.following import LOOK_S, Follower, open_access, serve_spare, spare_of
from gatewaycore.service import Service
from gatewaycore.verifying import Looks, Verifier

# Here, and not when the database has come: half a second of importing would make requests wait.
from gatewaycore_asgi.console import Console

if TYPE_CHECKING:
    from gatewaycore_asgi.types import Receive, Scope, Send

_log = logging.getLogger("gatewaycore.serve")
_DOWN: Final = b"the console is not there now: its database cannot be reached\n"
_HEADERS: Final = [
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"content-length", str(len(_DOWN)).encode()),
    (b"cache-control", b"no-store"),
    (b"retry-after", b"5"),
]


class LateConsole:
    """Serves the console of a service over ASGI, and answers 503 as long as there is none.

    Args:
        service: with a section `console`.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._spare = spare_of(service.config, service.data)
        self._names: frozenset[str] = frozenset()
        self._console: Console | None = None
        self._follower: Follower | None = None
        self._ends = ExitStack()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def names(self) -> frozenset[str]:
        """Domains that organisations hold, as far as it is known."""
        return self._names if self._follower is None else self._follower.names

    def start(self) -> None:
        """Open the state database; where that cannot be, serve what was served before, and try again in a thread."""
        try:
            self._open()
        except GatewayError as error:
            _log.error("the console is not served, and what was made in it as it was before, until its database is there: %s", error)
            self._names = serve_spare(self._service, self._spare, str(error))
            self._thread = threading.Thread(target=self._run, name="gatewaycore-console-late", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_S):
            try:
                self._open()
            except Exception as error:  # noqa: BLE001 - tried again; our own words were told, and another's type is
                if not isinstance(error, GatewayError):
                    _log.error("the console cannot be opened: %s", type(error).__name__)
                continue
            _log.warning("the console is there: its database can be reached")
            return

    def _open(self) -> None:
        service = self._service
        with ExitStack() as ends:
            access = open_access(service.config, service.data)
            ends.callback(access.close)
            follower = Follower(service, access, self._spare)
            verifier = Verifier(Looks(access, lambda: service.config), access, service.data, service.tell_domains)
            console = Console(service, access, made=follower)
            for close in (console.close, follower.close, verifier.close):
                ends.callback(close)
            self._ends = ends.pop_all()
        # Whoever reads of the node that all is well finds the console there.
        self._console = console
        follower.start()
        self._follower = follower
        verifier.start()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if self._console is not None:
            await self._console(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 503, "headers": _HEADERS})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else _DOWN})

    def close(self) -> None:
        """Close everything, and try no more."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=10)
            self._thread = None
        self._ends.close()
