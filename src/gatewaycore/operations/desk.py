"""Desk: liveness, readiness and metrics of a node, answered by one of its processes on a port of its own.

The others count and leave word; whoever has the lock answers, and when it ends another takes its place within a second.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any, ClassVar, Final

from attrs import frozen

from gatewaycore._version import __version__
from gatewaycore.locks import Lock
from gatewaycore.operations.exposing import Seen, open_exposition
from gatewaycore.operations.health import Health, SourceHealth, is_writable, lags
from gatewaycore.operations.meters import Counted, Ledger, Meters
from gatewaycore.operations.settings import OperationsSettings
from gatewaycore.segments import sizes

_log = logging.getLogger("gatewaycore.operations")
METRICS: Final = "metrics"
"""Where, under the data-dir, processes leave word of what they count."""

_TICK_S = 1.0
_TIMEOUT_S = 10
_TEXT = "text/plain; charset=utf-8"
_JSON = "application/json"


@frozen
class Answer:
    """What is answered."""

    status: int
    content_type: str
    body: bytes


class Desk:
    """Counts for one process, and answers for the node where it is this one's turn.

    Args:
        settings: where.
        data: the data-dir.
        sinks: their names.
        meters: of this process.
        look: says how this process is.

    Raises:
        MissingExtraError: metrics are wanted, and the library is not installed.
    """

    def __init__(self, settings: OperationsSettings, data: Path, sinks: Sequence[str], meters: Meters, look: Callable[[], Health]) -> None:
        self.meters = meters
        self._settings = settings
        self._data = data
        self._sinks = tuple(sinks)
        self._look = look
        self._ledger = Ledger(meters)
        self._expose = open_exposition(self._see) if settings.metrics else None
        self._lock = Lock(data / METRICS / "lock")
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None
        self._stop, self._due = threading.Event(), threading.Event()
        self._is_told = False

    @property
    def port(self) -> int | None:
        """Where this process answers for the node; None where another does, or none."""
        return None if self._server is None else self._server.server_port

    def start(self) -> None:
        """Begin, in a thread. What there is to say of this process is there when this returns."""
        if self._thread is None:
            self._stop.clear()
            self.tick()
            self._thread = threading.Thread(target=self._run, name="gatewaycore-operations", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._due.wait(_TICK_S)
            self._due.clear()
            self.tick()

    def wake(self) -> None:
        """Let the others know now what has changed."""
        self._due.set()

    def tick(self) -> None:
        """Leave word of how this process is, and answer for the node if nobody does."""
        self._note(self._look())
        self.meters.save()
        if self._server is None and not self._stop.is_set():
            self._try()

    def _note(self, now: Health) -> None:
        put = self.meters.put
        put(1, "processes")
        put(now.routes, "routes")
        put(int(now.is_draining), "draining")
        put(int(now.is_reload_failed), "reload_failed")
        put(int(now.is_losing), "journal_failing")
        put(now.appended, "journal_appended")
        put(now.lost, "journal_lost")
        put(now.failures, "recorder_failures")
        for sink in self._sinks:
            put(now.shipped.get(sink, 0), "sink_lines", sink)
            put(now.set_aside.get(sink, 0), "sink_set_aside", sink)
            put(int(sink in now.failing), "sink_failing", sink)
        for source in now.sources:
            put(int(bool(source.error)), "source_failing", source.name)
            put(int(source.is_stale), "source_stale", source.name)
        for state, count in now.domains.items():
            put(count, "domains", state)
        for verdict, count in now.looked.items():
            put(count, "domain_looks", verdict)

    def _try(self) -> None:
        try:
            if not self._lock.is_ours and not self._lock.take():
                return
            self._server = _listen(self._settings.host, self._settings.port, self.answer)
        except OSError as error:
            # Another program has the port, or the disk is full: told once, and tried again.
            if not self._is_told:
                where = f"{self._settings.host} port {self._settings.port}"
                _log.error("operations cannot be answered on %s, and it is tried again: %s", where, error.strerror or type(error).__name__)
            self._is_told = True
            self._lock.let_go()
            return
        self._is_told = False
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        _log.info("operations are answered at http://%s:%d", host, self._server.server_port)
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="gatewaycore-desk", daemon=True).start()

    def answer(self, path: str, accept: str = "") -> Answer:
        """Answer a request, of which nothing else is asked.

        Args:
            path: without a query.
            accept: which forms it takes.
        """
        if path == "/healthz":
            # Whoever gets this far lives. What is wrong elsewhere is not mended by ending the process.
            return Answer(200, _TEXT, b"ok\n")
        if path == "/readyz":
            return self._readiness()
        if path == "/metrics" and self._expose is not None:
            kind, body = self._expose(accept)
            return Answer(200, kind, body)
        return Answer(404, _TEXT, b"/healthz, /readyz" + (b", /metrics" if self._expose is not None else b"") + b"\n")

    def _readiness(self) -> Answer:
        now = self._look()
        self._note(now)
        try:
            counted = self._ledger.read()
        except OSError:
            counted = Counted({}, [self.meters.counts()])
        processes, draining = counted.gauge("processes"), counted.gauge("draining")
        keeps = not counted.gauge("journal_failing") and is_writable(self._data / "journal")
        failing = sorted(sink for sink in self._sinks if counted.gauge("sink_failing", sink))
        reloads = not counted.gauge("reload_failed")
        sources = {source.name: _source(source, counted) for source in now.sources}
        is_draining = draining >= processes
        is_ready = now.routes > 0 and not is_draining and (keeps or not self._settings.strict)
        well = keeps and reloads and not failing and all(source["state"] == "ok" for source in sources.values())
        said: dict[str, Any] = {
            "status": "draining" if is_draining else "not ready" if not is_ready else "ready" if well else "degraded",
            "version": __version__,
            "processes": processes,
            "draining": draining,
            "rules": {"routes": now.routes, "reload": "ok" if reloads else "refused"},
            "sources": sources,
            "journal": "ok" if keeps else "losing events",
            "sinks": {sink: "failing" if sink in failing else "ok" for sink in self._sinks},
        }
        return Answer(200 if is_ready else 503, _JSON, json.dumps(said).encode() + b"\n")

    def _see(self) -> Seen:
        self._note(self._look())
        segments = dict(sizes(self._data / "journal"))
        return Seen(self._ledger.read(), tuple(lags(self._data, self._sinks)), sum(segments.values()), len(segments))

    def close(self) -> None:
        """Leave word for the last time, and answer no more."""
        self._stop.set()
        self._due.set()
        if self._thread is not None:
            self._thread.join(timeout=10)
            self._thread = None
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        self._note(self._look())
        self.meters.close()
        self._lock.let_go()


def _source(source: SourceHealth, counted: Counted) -> dict[str, str]:
    """Return how it stands with a source in all processes, and in the words of this one."""
    stale, failing = counted.gauge("source_stale", source.name), counted.gauge("source_failing", source.name)
    told = {"state": "stale" if stale else "refused" if failing else "ok"}
    return {**told, "error": source.error} if source.error else told


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD, and logs nothing: a log of it would hold addresses."""

    server_version, sys_version = "gatewaycore", ""
    protocol_version = "HTTP/1.1"
    timeout = _TIMEOUT_S
    answering: ClassVar[Callable[[str, str], Answer]]

    def do_GET(self) -> None:
        """Answer."""
        answer = type(self).answering(self.path.partition("?")[0], self.headers.get("accept") or "")
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    do_HEAD = do_GET  # noqa: N815 - the library's name

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self) -> None:
        """Listen; the library would also ask for this machine's name, of servers that may be slow."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that hang up."""


class _Server6(_Server):
    address_family = socket.AF_INET6


def _listen(host: str, port: int, answer: Callable[[str, str], Answer]) -> ThreadingHTTPServer:
    handler = type("Handler", (_Handler,), {"answering": staticmethod(answer)})
    return (_Server6 if ":" in host else _Server)((host, port), handler)
