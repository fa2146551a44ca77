"""Sink `nats`: messages of up to a hundred events in a stream of NATS JetStream; and `consume`, which takes them to any other sink.

A message's id (`Nats-Msg-Id`) is made of the ids of its events: what is sent again within the stream's duplicate window is there once.
The client lives in an event loop, and that in a thread of its own; everybody else calls and waits, and never for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from attrs import field, frozen

from gatewaycore.errors import ConfigError, Problem, SinkError
from gatewaycore.sinks import rows
from gatewaycore.sinks.rows import Intake, Part, Parts, check_name, check_positive

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.js import JetStreamContext

    from gatewaycore.sinks import Sink

_T = TypeVar("_T")

_log = logging.getLogger("gatewaycore.sinks")
_EVENTS = 100
# Half of what a server takes in a message, if nobody told it otherwise.
_BYTES = 512 * 1024
_IN_FLIGHT = 256
# A message of which nobody knows whether it was taken is sent again after a minute at most, or when the stream is back. An id takes about
# a hundred bytes of the server's memory, for as long as this.
_DUPLICATES_S = 3600.0
_CONNECT_S = 5
_FETCH = 64
_FETCH_S = 1.0
# A sink that writes for longer than this sees the events again, which it recognises by their ids.
_ACK_S = 60.0
_PAUSE_S = 1.0


@frozen(kw_only=True)
class NatsStorage:
    """Settings of the sink `nats`.

    Attributes:
        url: of one server or several, with commas between them: ``nats://user:password@host:4222``; better ``url-env``.
        stream: what the stream is called; made when it is not there.
        subject: what messages are published to.
        replicas: of a stream that is made, 1 to 5.
        credentials: a file of a user's JWT and key.
        timeout_s: for each batch.
    """

    url: str = field(repr=False)
    stream: str = field(default="gatewaycore", validator=check_name)
    subject: str = "gatewaycore.events"
    replicas: int = field(default=1, validator=check_positive)
    credentials: str | None = None
    timeout_s: float = field(default=30.0, validator=check_positive)

    @property
    def servers(self) -> list[str]:
        """The servers' URLs."""
        return [url.strip() for url in self.url.split(",")]

    def open(self) -> NatsSink:
        """Make the sink. It connects when it is first written to.

        Raises:
            ConfigError: nats-py is not installed, or the URL is none.
        """
        self.check()
        return NatsSink(self)

    def check(self) -> None:
        """Find out whether the settings can be used.

        Raises:
            ConfigError: as `open`.
        """
        try:
            import nats  # noqa: F401
        except ImportError as error:
            raise rows.without_extra("nats", "nats") from error
        if not all(map(_is_url, self.servers)):
            # The URL holds a password, so it is not shown.
            hint = "write nats://host:4222, and commas between several"
            raise ConfigError([Problem("sinks: nats: url", "is not a list of servers", hint)])
        if self.credentials is not None and not os.access(self.credentials, os.R_OK):
            raise ConfigError([Problem("sinks: nats: credentials", f"{self.credentials!r} cannot be read")])


class NatsSink:
    """Publishes events.

    Args:
        settings: where to, and how.
    """

    batch_bytes = 8 * 1024 * 1024
    linger_s = 1.0

    def __init__(self, settings: NatsStorage) -> None:
        self._session = _Session(settings)
        self._intake = Intake("nats")
        self._parts = Parts(_EVENTS, _BYTES)

    @property
    def skipped(self) -> int:
        """Lines that the stream will never have."""
        return self._intake.skipped

    def write(self, lines: Sequence[bytes]) -> None:
        """Publish a batch, and wait until the stream has all of it.

        Raises:
            SinkError: no server is there, or the stream does not take everything in time.
        """
        parts = [part for part in self._parts.cut(self._intake.pair(lines)) if not part.taken]
        if parts:
            self._session.run(partial(self._publish, parts))
        self._parts.forget()
        self._intake.settle()

    async def _publish(self, parts: Sequence[Part], context: JetStreamContext) -> None:
        room = asyncio.Semaphore(_IN_FLIGHT)
        async with asyncio.TaskGroup() as group:
            for part in parts:
                group.create_task(self._publish_one(part, context, room))

    async def _publish_one(self, part: Part, context: JetStreamContext, room: asyncio.Semaphore) -> None:
        async with room:
            part.sent = True
            await self._send(part, context)
            part.taken = True

    async def _send(self, part: Part, context: JetStreamContext) -> None:
        """Publish a message, or two of half the size where the server takes no larger ones."""
        from nats.errors import MaxPayloadError

        settings, headers = self._session.settings, {"Nats-Msg-Id": part.key}
        payload = b"".join(line for line, _ in part.pairs)
        try:
            await context.publish(settings.subject, payload, stream=settings.stream, headers=headers, timeout=settings.timeout_s)
        except MaxPayloadError:
            middle = len(part.pairs) // 2
            if not middle:
                self._intake.skip(1, "they are larger than the server's max_payload")
                return
            await self._send(Part(part.pairs[:middle]), context)
            await self._send(Part(part.pairs[middle:]), context)

    def close(self) -> None:
        """Close the connection."""
        self._session.close()


def consume(settings: NatsStorage, sink: Sink, stop: threading.Event, *, durable: str = "gatewaycore") -> int:
    """Take events from the stream to another sink until `stop` is set; messages are acknowledged when the sink has them.

    Args:
        settings: where the stream is.
        sink: keeps them; it is not closed. A batch may come twice.
        stop: ends it, after the batch that is under way.
        durable: names the consumer. Several with one name share the work.

    Returns:
        The number of events that the sink has taken.

    Raises:
        ConfigError: nats-py is not installed, or the URL is none.
    """
    settings.check()
    session, consumer, count = _Session(settings), _Consumer(settings, durable), 0
    try:
        while not stop.is_set():
            try:
                count += _move(session, consumer, sink)
            except SinkError as error:
                # Whatever has not been acknowledged comes again.
                _log.warning("consuming is tried again in %.0f s: %s", _PAUSE_S, error)
                stop.wait(_PAUSE_S)
    finally:
        session.close()
    return count


def _move(session: _Session, consumer: _Consumer, sink: Sink) -> int:
    """Take what is there to the sink, and return how much it was."""
    messages = session.run(consumer.fetch)
    if not messages:
        return 0
    lines = [line for message in messages for line in message.data.splitlines(keepends=True)]
    try:
        sink.write(lines)
    except SinkError:
        session.run(lambda _: _each(message.nak(_PAUSE_S) for message in messages))
        raise
    session.run(lambda _: _each(message.ack() for message in messages))
    return len(lines)


async def _each(calls: Iterable[Coroutine[Any, Any, None]]) -> None:
    for call in calls:
        await call


class _Consumer:
    """A durable consumer, subscribed to once in each connection."""

    def __init__(self, settings: NatsStorage, durable: str) -> None:
        self._settings = settings
        self._durable = durable
        self._context: JetStreamContext | None = None
        self._subscription: JetStreamContext.PullSubscription | None = None

    async def fetch(self, context: JetStreamContext) -> list[Msg]:
        import nats.errors
        from nats.js.api import ConsumerConfig

        if self._subscription is None or context is not self._context:
            config = ConsumerConfig(ack_wait=_ACK_S)
            settings = self._settings
            self._subscription = await context.pull_subscribe(settings.subject, self._durable, stream=settings.stream, config=config)
            self._context = context
        try:
            return await self._subscription.fetch(_FETCH, timeout=_FETCH_S)
        except nats.errors.TimeoutError:
            return []


class _Session:
    """A connection in a thread of its own; made anew after every failure.

    Args:
        settings: where to.
    """

    def __init__(self, settings: NatsStorage) -> None:
        self.settings = settings
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._client: Client | None = None
        self._context: JetStreamContext | None = None
        self._lost = asyncio.Event()

    def run(self, work: Callable[[JetStreamContext], Coroutine[Any, Any, _T]]) -> _T:
        """Let the thread do something, and wait for it.

        Raises:
            SinkError: it has failed, or was not done in time.
        """
        import nats.errors

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="nats", daemon=True)
            self._thread.start()
        try:
            return asyncio.run_coroutine_threadsafe(self._within(work), self._loop).result()
        except (nats.errors.Error, OSError) as error:
            # Words of the client may hold the URL. A time-out is an OSError.
            code = getattr(error, "err_code", None)
            raise SinkError(f"nats: {type(error).__name__} {code or ''}".rstrip()) from None

    async def _within(self, work: Callable[[JetStreamContext], Coroutine[Any, Any, _T]]) -> _T:
        try:
            async with asyncio.timeout(self.settings.timeout_s), asyncio.TaskGroup() as group:
                context = self._context or await self._connect()
                watching = group.create_task(self._watch())
                result = await work(context)
                watching.cancel()
        except BaseException as error:
            await self._drop()
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            raise error from None
        return result

    async def _watch(self) -> None:
        """End what waits for a server that is gone: nothing of it comes any more."""
        from nats.errors import ConnectionClosedError

        await self._lost.wait()
        raise ConnectionClosedError

    async def _connect(self) -> JetStreamContext:
        import nats
        from nats.js.api import StreamConfig
        from nats.js.errors import NotFoundError

        settings, lost = self.settings, asyncio.Event()

        async def lose() -> None:
            lost.set()

        self._lost = lost
        # A connection that comes back by itself leaves what was under way to its time-out; ours is made anew, to any of the servers.
        self._client = await nats.connect(
            settings.servers,
            name="gatewaycore",
            allow_reconnect=False,
            connect_timeout=_CONNECT_S,
            closed_cb=lose,
            error_cb=_ignore,
            **({} if settings.credentials is None else {"user_credentials": settings.credentials}),
        )
        context = self._client.jetstream(timeout=settings.timeout_s)
        try:
            await context.stream_info(settings.stream)
        except NotFoundError:
            config = StreamConfig(
                name=settings.stream, subjects=[settings.subject], num_replicas=settings.replicas, duplicate_window=_DUPLICATES_S
            )
            await context.add_stream(config)
        self._context = context
        return context

    async def _drop(self) -> None:
        client, self._client, self._context = self._client, None, None
        if client is not None:
            with contextlib.suppress(Exception):
                # It is let go of anyway, and must not keep anybody waiting.
                await asyncio.wait_for(client.close(), _CONNECT_S)

    def close(self) -> None:
        """Close the connection, and end the thread."""
        if self._loop is not None and self._thread is not None:
            asyncio.run_coroutine_threadsafe(self._drop(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            self._loop = self._thread = None


async def _ignore(_: Exception) -> None:
    """Leave it to the call that needed what is broken."""


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("nats", "tls", "ws", "wss") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
