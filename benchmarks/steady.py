"""A steady load: so many requests a second over connections that stay open, each sent when it is due, whatever became of those before it.

Run as a program, in a process of its own, so that it neither waits for the server's interpreter nor is waited for.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

CONNECTIONS = 50
PATIENCE_S = 240.0


class _Connection(asyncio.Protocol):
    """One connection, and the request that is on its way."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.answered: asyncio.Future[bytes] | None = None
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, found, body = self._got.partition(b"\r\n\r\n")
        if found and len(body) >= _length(head) and self.answered is not None:
            self._got = b""
            if not self.answered.done():
                self.answered.set_result(head)

    def connection_lost(self, error: Exception | None) -> None:
        if self.answered is not None and not self.answered.done():
            self.answered.set_exception(error or ConnectionError("closed"))


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0


def _location(head: bytes) -> str:
    for line in head.split(b"\r\n"):
        if line[:9].lower() == b"location:":
            return line[9:].strip().decode()
    return head.split(b"\r\n")[0].decode()


async def run(port: int, rate: int, seconds: float, targets: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Send requests, and return what became of them: how many, those that failed, waits in ms, and when each target's answer changed."""
    loop = asyncio.get_running_loop()
    free: asyncio.Queue[_Connection] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        _, protocol = await loop.create_connection(_Connection, "127.0.0.1", port)
        free.put_nowait(protocol)
    waits: list[float] = []
    late: list[tuple[float, float]] = []
    failed: list[str] = []
    seen: dict[str, list[tuple[float, str]]] = {}
    begin = time.time()
    ends = loop.time() + seconds

    async def ask(number: int, due: float) -> None:
        host, path = targets[number % len(targets)]
        connection = await free.get()
        connection.answered = loop.create_future()
        assert connection.transport is not None
        connection.transport.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: curl/8.4.0\r\n\r\n".encode())
        try:
            head = await connection.answered
        except OSError as error:
            failed.append(type(error).__name__)
            return
        free.put_nowait(connection)
        wait = (loop.time() - due) * 1000
        waits.append(wait)
        if wait > 20:
            late.append((round(time.time() - wait / 1000, 3), round(wait, 1)))
        answers = seen.setdefault(f"{host}{path}", [])
        location = _location(head)
        if not answers or answers[-1][1] != location:
            answers.append((time.time(), location))
        if not head.startswith((b"HTTP/1.1 3", b"HTTP/1.1 2")):
            failed.append(head.split(b"\r\n")[0].decode())

    tasks = []
    due, number = loop.time(), 0
    gc.disable()
    while due < ends:
        await asyncio.sleep(max(due - loop.time(), 0))
        tasks.append(asyncio.ensure_future(ask(number, max(due, loop.time() - 0.002))))
        number, due = number + 1, due + 1 / rate
    await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE_S)
    waits.sort()
    quantiles = {f"p{share}": round(waits[min(int(len(waits) * share / 100), len(waits) - 1)], 2) for share in (50, 90, 99, 99.9)}
    return {
        "begin": begin,
        "sent": number,
        "failed": failed,
        **quantiles,
        "longest": round(waits[-1], 2),
        "over_50": sum(wait > 50 for wait in waits),
        "late": late[:200],
        "seen": seen,
    }


if __name__ == "__main__":
    wanted = [(one.partition("/")[0], f"/{one.partition('/')[2]}") for one in sys.argv[4:]]
    sys.stdout.write(json.dumps(asyncio.run(run(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), wanted))))
