"""Session: one connection, in an event loop in a thread of its own; everybody else calls and waits."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from gatewaycore.errors import SinkError

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.js import JetStreamContext

    from gatewaycore.sinks.nats import NatsStorage

_T = TypeVar("_T")

# A message of which nobody knows whether it was taken is sent again after a minute at most, or when the stream is back. An id takes about
# a hundred bytes of the server's memory, for as long as this.
_DUPLICATES_S = 3600.0
_CONNECT_S = 5


class Session:
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
        try:
            return asyncio.run_coroutine_threadsafe(self._within(work), self._running()).result()
        except Exception as error:  # noqa: BLE001 - the client raises what it likes, and what it stands on does too: it is tried again
            # Words of the client may hold the URL.
            code = getattr(error, "err_code", None)
            raise SinkError(f"nats: {type(error).__name__} {code or ''}".rstrip()) from None

    def _running(self) -> asyncio.AbstractEventLoop:
        """Return the thread's event loop, begun where there is none."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="nats", daemon=True)
            self._thread.start()
        return self._loop

    @contextlib.contextmanager
    def meanwhile(self, work: Coroutine[Any, Any, None]) -> Iterator[None]:
        """Let the thread do something else as long as what is within goes on; whatever becomes of it."""
        going = asyncio.run_coroutine_threadsafe(work, self._running())
        try:
            yield
        finally:
            going.cancel()

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
        from nats.aio.client import Client
        from nats.js.api import StreamConfig
        from nats.js.errors import NotFoundError

        settings, lost = self.settings, asyncio.Event()

        async def lose() -> None:
            lost.set()

        self._lost = lost
        # A connection that comes back by itself leaves what was under way to its time-out; ours is made anew, to any of the servers.
        # One that gets no further has a socket all the same, which `_drop` closes.
        self._client = Client()
        await self._client.connect(
            settings.servers,
            name="gatewaycore",
            allow_reconnect=False,
            connect_timeout=_CONNECT_S,
            closed_cb=lose,
            error_cb=_ignore,
            user_credentials=settings.credentials,
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

    async def _end(self) -> None:
        """Close the connection, and wait for what the client has begun: it cancels its tasks and looks no more after them."""
        await self._drop()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=_CONNECT_S)

    def close(self) -> None:
        """Close the connection, and end the thread."""
        if self._loop is not None and self._thread is not None:
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            self._loop = self._thread = None


async def _ignore(_: Exception) -> None:
    """Leave it to the call that needed what is broken."""
