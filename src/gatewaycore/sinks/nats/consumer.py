"""Consuming: from the stream to another sink. A message is acknowledged when the sink has its events, and not before.

Whoever works on messages says so every few seconds. So those of a consumer that is killed come to another one soon, and a sink may take as
long as it likes.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from gatewaycore.errors import SinkError
from gatewaycore.sinks.nats.session import Session

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.js import JetStreamContext

    from gatewaycore.sinks import Sink
    from gatewaycore.sinks.nats import NatsStorage

_log = logging.getLogger("gatewaycore.sinks")
_FETCH = 64
_FETCH_S = 1.0
# As the shipper has them, for sinks that do not say what they want.
_BATCH_BYTES = 4 * 1024 * 1024
_LINGER_S = 0.0
_MOST_MESSAGES = 1024
# All consumers of one name together: several with full hands must not leave another one with none.
_MOST_PENDING = 16 * _MOST_MESSAGES
# Whoever has not been heard of for as long is dead, and his messages go to another one.
_ACK_S = 15.0
_ALIVE_S = 4.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0


def consume(settings: NatsStorage, sink: Sink, stop: threading.Event, *, durable: str = "gatewaycore") -> int:
    """Take events from the stream to another sink until `stop` is set; messages are acknowledged when the sink has them.

    Args:
        settings: where the stream is.
        sink: keeps them, in batches as large as it wants them; it is not closed. A batch may come twice.
        stop: ends it, after the batch that is under way.
        durable: names the consumer. Several with one name share the work.

    Returns:
        The number of events that the sink has taken.

    Raises:
        ConfigError: nats-py is not installed, or the URL is none.
    """
    settings.check()
    session = Session(settings)
    consumer, count, pause_s = _Consumer(session, sink, durable), 0, 0.0
    try:
        while not stop.is_set():
            try:
                count += consumer.move(stop, min(max(2 * pause_s, _FIRST_PAUSE_S), _LONGEST_PAUSE_S))
                pause_s = 0.0
            except SinkError as error:
                pause_s = min(max(2 * pause_s, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
                # Whatever has not been acknowledged comes again.
                _log.warning("consuming is tried again in %.0f s: %s", pause_s, error)
                stop.wait(pause_s)
    finally:
        session.close()
    return count


class _Consumer:
    """A durable consumer, subscribed to once in each connection.

    Args:
        session: to the servers.
        sink: takes what comes; its `batch_bytes` and `linger_s` hold, where it has them.
        durable: the name.
    """

    def __init__(self, session: Session, sink: Sink, durable: str) -> None:
        self._session = session
        self._sink = sink
        self._durable = durable
        self._batch_bytes: int = getattr(sink, "batch_bytes", _BATCH_BYTES)
        self._linger_s: float = getattr(sink, "linger_s", _LINGER_S)
        self._context: JetStreamContext | None = None
        self._subscription: JetStreamContext.PullSubscription | None = None

    def move(self, stop: threading.Event, pause_s: float) -> int:
        """Take one batch to the sink, and return how much it was.

        Args:
            stop: nothing more is waited for when it is set.
            pause_s: when the messages come again that the sink does not take.

        Raises:
            SinkError: the sink takes nothing now, or no server is there.
        """
        messages = self._session.run(self._fetch)
        if not messages:
            return 0
        with self._session.meanwhile(_stay_alive(messages)):
            self._gather(messages, stop)
            lines = [line for message in messages for line in message.data.splitlines(keepends=True)]
            try:
                self._sink.write(lines)
            except Exception as error:
                self._session.run(lambda _: _each(message.nak(pause_s) for message in messages))
                if isinstance(error, SinkError):
                    raise
                # Its words may quote a line.
                raise SinkError(type(error).__name__) from None
            self._session.run(lambda _: _each(message.ack() for message in messages))
        return len(lines)

    def _gather(self, messages: list[Msg], stop: threading.Event) -> None:
        """Wait for more messages, until there is as much as the sink wants, or it has lingered."""
        until = time.monotonic() + self._linger_s
        while (
            sum(len(message.data) for message in messages) < self._batch_bytes
            and len(messages) < _MOST_MESSAGES
            and time.monotonic() < until
            and not stop.is_set()
        ):
            messages += self._session.run(self._fetch)

    async def _fetch(self, context: JetStreamContext) -> list[Msg]:
        from nats.js.api import ConsumerConfig

        if self._subscription is None or context is not self._context:
            config = ConsumerConfig(ack_wait=_ACK_S, max_ack_pending=_MOST_PENDING)
            settings = self._session.settings
            self._subscription = await context.pull_subscribe(settings.subject, self._durable, stream=settings.stream, config=config)
            self._context = context
        try:
            return await self._subscription.fetch(_FETCH, timeout=_FETCH_S)
        except TimeoutError:
            # The client's own, or Python's: nothing was there.
            return []


async def _stay_alive(messages: Sequence[Msg]) -> None:
    while True:
        await asyncio.sleep(_ALIVE_S)
        await _each(message.in_progress() for message in messages)


async def _each(calls: Iterable[Coroutine[Any, Any, None]]) -> None:
    for call in calls:
        await call
