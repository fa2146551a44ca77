"""Draining: a server that ends in good order.

On SIGTERM it says that it will not be there for long, and goes on until those who send it requests have noticed; then it takes no more,
and ends when all answers have. A second signal ends it at once.

A worker's parent says what it has to do. Service managers tell every process of a service to end, the workers too, and the parent passes
on what it was told: a worker that hears of it twice has not been told to hurry.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from uvicorn import Config, Server

_CLOSE: Final = (b"connection", b"close")
_LOOK_S: Final = 0.1
_LAST_S: Final = 1.0
AT_ONCE: Final = signal.SIGQUIT
"""What a parent sends to a worker that is to end at once."""

SOON: Final = signal.SIGUSR1
"""What a parent that was interrupted sends to a worker: it is to end without waiting for those who send it requests."""


class DrainingServer(Server):
    """One process that serves.

    Args:
        config: what is served. Its application has a `drain`, which says for how long requests are still taken.
        is_worker: whether a parent passes signals on: what a terminal sends to all of them is then the parent's.
    """

    def __init__(self, config: Config, *, is_worker: bool = False) -> None:
        super().__init__(config)
        self._is_worker = is_worker
        self._drains_until: float | None = None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Listen to signals; a worker also to its parent's word that it is to end at once."""
        with super().capture_signals():
            if self._is_worker:
                for number in (AT_ONCE, SOON):
                    signal.signal(number, self.handle_exit)
            yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end; end at once, when it has begun already, or when a worker's parent says so."""
        if self._is_worker and (sig == signal.SIGINT or (sig == signal.SIGTERM and self._drains_until is not None)):
            return
        if sig == AT_ONCE or self._drains_until is not None:
            self.should_exit = self.force_exit = True
            return
        self._captured_signals.append(signal.SIGTERM if sig == SOON else sig)
        drain = getattr(getattr(self.config, "loaded_app", None), "drain", None)
        # Whoever sits before it need not be waited for.
        wait_s = 0 if drain is None else drain()
        self._drains_until = time.monotonic() + (wait_s if sig == signal.SIGTERM else 0)
        self.should_exit = time.monotonic() >= self._drains_until

    async def on_tick(self, counter: int) -> bool:
        """Tell whether to end now."""
        is_over = await super().on_tick(counter)
        if self._drains_until is None:
            return is_over
        if _CLOSE not in self.server_state.default_headers:
            # A connection that is kept would bring requests to the end.
            self.server_state.default_headers = [*self.server_state.default_headers, _CLOSE]
        return is_over or time.monotonic() >= self._drains_until

    async def _wait_tasks_to_complete(self) -> None:
        waiting = asyncio.ensure_future(super()._wait_tasks_to_complete())
        while not waiting.done():
            await asyncio.wait([waiting], timeout=_LOOK_S)
            if self.force_exit:
                # Whoever is in the middle of an answer sees that its end is missing.
                for connection in self.server_state.connections:
                    connection.transport.abort()
        await waiting
        if self.force_exit and self.server_state.tasks:
            # They have seen it by now, and record how far they came.
            await asyncio.wait(list(self.server_state.tasks), timeout=_LAST_S)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more requests, and end when all answers have; at once, where that is wanted."""
        await super().shutdown(sockets)
        if self.force_exit:
            # Neither sinks nor threads are waited for: what was answered is in the journal.
            logging.shutdown()
            os._exit(0)
