"""Deadlines of PostgreSQL connections: a server that hangs keeps none of its own timeouts, so ours cut the connection."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psycopg


@contextlib.contextmanager
def cut_after(connection: psycopg.Connection, seconds: float) -> Iterator[None]:
    """Cut the connection when what is within takes longer: whoever waits for its server is told at once."""
    # A copy of the descriptor: it stays this connection's own, even when the number has become another's.
    with socket.socket(fileno=os.dup(connection.fileno())) as connected:
        timer = threading.Timer(seconds, _cut, [connected])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


def _cut(connected: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)
