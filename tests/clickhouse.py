"""ClickHouse for tests: chdb, which is ClickHouse as a library, behind as much of its HTTP interface as clients need."""

from __future__ import annotations

import gzip
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

# Of the interface, and not settings of a query.
_OURS = {
    "query",
    "query_id",
    "session_id",
    "database",
    "compress",
    "client_protocol_version",
    "wait_end_of_query",
    "enable_http_compression",
}


class Clickhouse:
    """A server.

    Args:
        folder: for its tables.

    Attributes:
        refuse: what it says to the next inserts instead of taking them; to take one, "".
        inserts: how many there were over HTTP.
    """

    def __init__(self, folder: Path) -> None:
        from chdb.session import Session

        self._session = Session(str(folder))
        self._lock = threading.Lock()
        self._databases = 0
        self.port = 0
        self.refuse: list[str] = []
        self.inserts = 0

    def create(self) -> str:
        """Make a database, and return the URL of it."""
        self._databases += 1
        self.ask(f"CREATE DATABASE db{self._databases}")
        return f"http://gw:hunter2@127.0.0.1:{self.port}/db{self._databases}"

    def ask(self, question: str, database: str = "default", **settings: str) -> bytes:
        """Return an answer, in tab-separated values unless the question says how."""
        with self._lock:
            self._session.query(f"USE {database}")
            for name, value in settings.items():
                self._session.query(f"SET {name} = '{value}'")
            try:
                found: bytes = self._session.query(question, "TabSeparated").bytes()
            finally:
                if settings:
                    self._session.query("SET insert_deduplication_token = ''")
            return found

    def answer(self, target: str, body: bytes) -> tuple[int, bytes]:
        """Return status and body of an answer over HTTP."""
        asked = dict(parse_qsl(urlsplit(target).query))
        question = (asked["query"] + "\n" if "query" in asked else "") + body.decode()
        if "INSERT" in question:
            self.inserts += 1
            refusal = self.refuse.pop(0) if self.refuse else ""
            if refusal:
                return 500, refusal.encode()
        settings = {name: value for name, value in asked.items() if name not in _OURS}
        try:
            return 200, self.ask(question, asked.get("database", "default"), **settings)
        except RuntimeError as error:
            return 500, str(error).encode()

    def close(self) -> None:
        """Close it."""
        self._session.close()


@contextmanager
def serve_clickhouse(folder: Path) -> Iterator[Clickhouse]:
    """Serve it on loopback."""
    store = Clickhouse(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self._chunks() if "chunked" in self.headers.get("transfer-encoding", "") else self._plain()
            coding = self.headers.get("content-encoding")
            body = gzip.decompress(body) if coding == "gzip" else zlib.decompress(body) if coding == "deflate" else body
            status, found = store.answer(self.path, body)
            self.send_response(status)
            self.send_header("content-length", str(len(found)))
            self.end_headers()
            self.wfile.write(found)

        def do_GET(self) -> None:
            self.do_POST()

        def _plain(self) -> bytes:
            return self.rfile.read(int(self.headers.get("content-length", "0")))

        def _chunks(self) -> bytes:
            found = b""
            while size := int(self.rfile.readline(), 16):
                found += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return found

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    store.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        store.close()
