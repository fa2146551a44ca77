"""Publishing: a batch becomes messages, which are sent side by side and waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from gatewaycore.sinks.nats.session import Session
from gatewaycore.sinks.rows import Intake, Part, Parts

if TYPE_CHECKING:
    from nats.js import JetStreamContext

    from gatewaycore.sinks.nats import NatsStorage

_EVENTS = 100
# Half of what a server takes in a message, if nobody told it otherwise.
_BYTES = 512 * 1024
_IN_FLIGHT = 256


class NatsSink:
    """Publishes events.

    Args:
        settings: where to, and how.
    """

    batch_bytes = 8 * 1024 * 1024
    linger_s = 1.0

    def __init__(self, settings: NatsStorage) -> None:
        self._session = Session(settings)
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
