"""Publishing: a batch becomes messages, which are sent side by side and waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from gatewaycore.errors import PoisonError
from gatewaycore.sinks.nats.session import Session
from gatewaycore.sinks.rows import Part, Parts, batch_key, pair

if TYPE_CHECKING:
    from nats.js import JetStreamContext

    from gatewaycore.sinks.nats import NatsStorage

_EVENTS = 100
# Half of what a server takes in a message, if nobody told it otherwise.
_BYTES = 512 * 1024
_IN_FLIGHT = 256
# What JetStream says to a message that is larger than the stream's `max_msg_size` (JSStreamMessageExceedsMaximumErr).
_TOO_LARGE = 10054


class NatsSink:
    """Publishes events.

    Args:
        settings: where to, and how.
    """

    batch_bytes = 8 * 1024 * 1024
    linger_s = 1.0

    def __init__(self, settings: NatsStorage) -> None:
        self._session = Session(settings)
        self._parts = Parts(_EVENTS, _BYTES)
        self._too_large: set[bytes] = set()

    def write(self, lines: Sequence[bytes]) -> None:
        """Publish a batch, and wait until the stream has all of it.

        Raises:
            SinkError: no server is there, or the stream does not take everything in time.
            PoisonError: some lines are no events, or larger than a message may be; the stream has the others, and is not sent them again.
        """
        parts = self._parts.cut(pair(lines))
        left = [part for part in parts if not part.taken]
        # Those of a part that was taken when another one was not are remembered until all are.
        self._too_large &= {line for part in parts if part.taken for line, _ in part.pairs}
        if left:
            self._session.run(partial(self._publish, left))
        if self._too_large:
            for part in parts:
                self._leave_out(part)
            named = [number for number, line in enumerate(lines) if line in self._too_large]
            raise PoisonError(named, "larger than a message may be (the server's max_payload, the stream's max_msg_size)")
        self._parts.forget()

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
        """Publish a message, or two of half the size where the server or the stream takes no larger ones."""
        from nats.errors import MaxPayloadError
        from nats.js.errors import APIError

        settings, headers = self._session.settings, {"Nats-Msg-Id": part.key}
        payload = b"".join(line for line, _ in part.pairs)
        try:
            await context.publish(settings.subject, payload, stream=settings.stream, headers=headers, timeout=settings.timeout_s)
        except (MaxPayloadError, APIError) as error:
            if isinstance(error, APIError) and error.err_code != _TOO_LARGE:
                raise
            middle = len(part.pairs) // 2
            if not middle:
                self._too_large.add(payload)
                return
            await self._send(Part(part.pairs[:middle]), context)
            await self._send(Part(part.pairs[middle:]), context)

    def _leave_out(self, part: Part) -> None:
        """Take what is too large out of a part, so that the rest of it is known when it comes again."""
        part.pairs = [(line, event) for line, event in part.pairs if line not in self._too_large]
        part.key = batch_key([event.id for _, event in part.pairs])

    def close(self) -> None:
        """Close the connection."""
        self._session.close()
