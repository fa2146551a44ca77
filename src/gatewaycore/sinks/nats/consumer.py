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
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gatewaycore.errors import PoisonError, SinkError, words_of
from gatewaycore.pausing import next_pause_s
from gatewaycore.sinks.nats.session import Session
from gatewaycore.sinks.protocols import Sink, wishes
from gatewaycore.sinks.set_aside import Refused, SetAside
from gatewaycore.sinks.sifting import Sieve

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.js import JetStreamContext

    from gatewaycore.sinks.nats import NatsStorage

_log = logging.getLogger("gatewaycore.sinks")
_FETCH = 64
_FETCH_S = 1.0
_MOST_MESSAGES = 1024
# All consumers of one name together: several with full hands must not leave another one with none.
_MOST_PENDING = 16 * _MOST_MESSAGES
# Whoever has not been heard of for as long is dead, and his messages go to another one.
_ACK_S = 15.0
_ALIVE_S = 4.0


def consume(
    settings: NatsStorage, sink: Sink, stop: threading.Event, *, durable: str = "gatewaycore", set_aside: str | Path | None = None
) -> int:
    """Take events from the stream to another sink until `stop` is set; messages are acknowledged when the sink has them.

    Args:
        settings: where the stream is.
        sink: keeps them, in batches as large as it wants them; it is not closed. A batch may come twice.
        stop: ends it, after the batch that is under way.
        durable: names the consumer. Several with one name share the work.
        set_aside: a file for lines that the sink will never take; the first such line makes it. Without one, such a line ends it.

    Returns:
        The number of events that the sink has taken.

    Raises:
        ConfigError: nats-py is not installed, or the URL is none.
        PoisonError: there is a line that the sink will never take, and no `set_aside`. Its batch is not acknowledged: it comes again to
            the next consumer of that name, though the sink has the rest of it.
    """
    keeping = None if set_aside is None else SetAside(Path(set_aside), f"consumer {durable}")
    consumer = Consumer(settings, sink, keeping, durable)
    consumer.run(stop)
    return consumer.taken


class Consumer:
    """Takes events from a stream to one sink, as a durable consumer that is subscribed to once in each connection.

    Args:
        settings: where the stream is.
        sink: takes what comes; its `batch_bytes` and `linger_s` hold, where it has them.
        set_aside: keeps what it never takes; None ends `run` instead.
        durable: the consumer's name.
        name: of the sink, for the log.

    Attributes:
        taken: how many events the sink took since this began.

    Raises:
        ConfigError: nats-py is not installed, or the URL is none.
    """

    def __init__(self, settings: NatsStorage, sink: Sink, set_aside: SetAside | None, durable: str, name: str = "the sink") -> None:
        settings.check()
        self.taken = 0
        self._session = Session(settings)
        self._sieve = Sieve(sink)
        self._set_aside = set_aside
        self._durable = durable
        self._name = name
        self._batch_bytes, self._linger_s = wishes(sink)
        self._context: JetStreamContext | None = None
        self._subscription: JetStreamContext.PullSubscription | None = None

    def run(self, stop: threading.Event) -> None:
        """Take events until `stop` is set, and end with the batch that is under way.

        Raises:
            PoisonError: the sink will never take some line, and nothing keeps it.
        """
        pause_s = 0.0
        try:
            while not stop.is_set():
                longer_s = next_pause_s(pause_s)
                try:
                    self._move(stop, longer_s)
                    pause_s = 0.0
                except PoisonError:
                    raise
                except SinkError as error:
                    pause_s = longer_s
                    # Whatever has not been acknowledged comes again.
                    _log.warning("consuming is tried again in %.0f s: %s", pause_s, error)
                    stop.wait(pause_s)
        finally:
            self._session.close()

    def _move(self, stop: threading.Event, pause_s: float) -> None:
        """Take one batch to the sink.

        Args:
            stop: nothing more is waited for when it is set.
            pause_s: when the messages come again that the sink does not take.

        Raises:
            SinkError: the sink takes nothing now, or no server is there.
            PoisonError: as `run`.
        """
        messages = self._session.run(self._fetch)
        if not messages:
            return
        with self._session.meanwhile(_stay_alive(messages)):
            self._gather(messages, stop)
            lines = [line for message in messages for line in message.data.splitlines(keepends=True)]
            try:
                self._feed(lines)
            except SinkError:
                self._session.run(lambda _: _each(message.nak(pause_s) for message in messages))
                raise
            self._session.run(lambda _: _each(message.ack() for message in messages))

    def _feed(self, lines: list[bytes]) -> None:
        unkept: list[Refused] = []
        try:
            self.taken += self._sieve.feed(lines, unkept.extend if self._set_aside is None else self._set_aside.add)
        except Exception as error:  # noqa: BLE001 - a sink of another distribution may raise anything; it is told, and the batch comes again
            # Without its own words, which may quote a line.
            raise SinkError(f"{self._name} takes nothing now: {words_of(error)}") from None
        if unkept:
            count = f"{len(unkept)} of {len(lines)} lines"
            raise PoisonError((), f"{self._name} will never take {count}, and `set_aside` names no file for them")

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
