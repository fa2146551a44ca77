"""A steady load: so many requests a second, whatever becomes of them, each with a name of its own, written down when it was answered."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

# Whoever has waited so long has given up.
PATIENCE_S = 20.0


class Steady:
    """Clients with connections that are kept, which ask at set times until the block is left.

    Args:
        host, port: whom.
        rate: requests a second, of all clients together.
        ways: the domains and paths to ask for, one after another; ``{name}`` is the request's own.
        clients: how many; so many answers may be late without one request being asked later.

    Attributes:
        answered: names of requests that were answered with 302.
        failed: names of the others, and what became of them.
        slowest_ms: the longest that an answer has taken.
    """

    def __init__(self, host: str, port: int, rate: int, ways: Sequence[tuple[str, str]], clients: int = 64) -> None:
        self._place = host, port
        self._rate = rate
        self._ways = ways
        self._clients = clients
        self._numbers = itertools.count()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._is_over = False
        self.answered: list[str] = []
        self.failed: dict[str, str] = {}
        self.slowest_ms = 0.0

    @property
    def sent(self) -> int:
        """How many requests were made."""
        return len(self.answered) + len(self.failed)

    @property
    def availability(self) -> float:
        """The share of those that were answered."""
        return len(self.answered) / self.sent

    async def _run(self) -> None:
        begun = time.monotonic()
        await asyncio.gather(*(self._client(begun) for _ in range(self._clients)))

    async def _client(self, begun: float) -> None:
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        for number in self._numbers:
            await asyncio.sleep(max(0.0, begun + number / self._rate - time.monotonic()))
            if self._is_over:
                break
            name, asked = f"r{number}", time.monotonic()
            try:
                async with asyncio.timeout(PATIENCE_S):
                    if connection is None:
                        connection = await asyncio.open_connection(*self._place)
                    status = await self._ask(connection, number, name)
            except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
                status = type(error).__name__
            self.slowest_ms = max(self.slowest_ms, (time.monotonic() - asked) * 1000)
            if status == "302":
                self.answered.append(name)
                continue
            self.failed[name] = status
            if connection is not None and not status.isdigit():
                connection[1].close()
                connection = None
        if connection is not None:
            connection[1].close()

    async def _ask(self, connection: tuple[asyncio.StreamReader, asyncio.StreamWriter], number: int, name: str) -> str:
        reader, writer = connection
        host, path = self._ways[number % len(self._ways)]
        writer.write(f"GET {path.format(name=name)} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: steady/1\r\n\r\n".encode())
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").lower().split("\r\n")
        length = next((int(line.partition(":")[2]) for line in lines if line.startswith("content-length:")), 0)
        await reader.readexactly(length)
        return lines[0].split()[1]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._is_over = True
        self._thread.join(PATIENCE_S + 10)
