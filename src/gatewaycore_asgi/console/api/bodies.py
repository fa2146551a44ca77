"""Bodies: what a request holds, read once, bounded, and held against what the document says it is."""

from __future__ import annotations

from typing import Any, Self

import attrs
import msgspec
from attrs import frozen
from litestar import Request

from gatewaycore.errors import ConfigError, Problem
from gatewaycore_asgi.console.api.problems import StatusError
from gatewaycore_asgi.types import Message, Receive

_JSON = "application/json"


class StrictRequest(Request[Any, Any, Any]):
    """A request whose body is exactly what its handler takes: the framework by itself would take "1" for a number, and leave out what it
    does not know."""

    async def json(self) -> Any:
        """Return the body.

        Raises:
            StatusError: it is no JSON.
            ConfigError: it is not what it should be.
        """
        media, _ = self.content_type
        if media and media != _JSON and not media.endswith("+json"):
            raise StatusError(415, f"a body is {_JSON} here")
        body = await self.body()
        try:
            found = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            raise StatusError(400, "the body is no JSON") from None
        taken = self.route_handler.parsed_data_field
        if taken is not None and attrs.has(taken.annotation):
            _check(found, taken.annotation)
        return found


def _check(found: Any, model: type) -> None:
    try:
        msgspec.convert(found, type=model, str_keys=True)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        raise ConfigError([Problem(where.strip("`.") or "body", what)]) from None
    known = {one.name for one in attrs.fields(model)}
    unknown = sorted(set(found) - known)
    if unknown:
        raise ConfigError([Problem(name[:80], "is not known here", ", ".join(sorted(known))) for name in unknown[:20]])


@frozen
class Whole:
    """A body that was read to its end.

    Attributes:
        body: all of it.
    """

    body: bytes

    @classmethod
    async def read(cls, receive: Receive, most: int) -> Self:
        """Read a body.

        Raises:
            StatusError: it is larger than `most` bytes, or the client has gone away.
        """
        pieces: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise StatusError(400, "the client has gone away")
            piece = message.get("body", b"")
            size += len(piece)
            if size > most:
                raise StatusError(413, f"a body has at most {most:,} bytes here")
            pieces.append(piece)
            if not message.get("more_body", False):
                return cls(b"".join(pieces))

    def again(self, receive: Receive) -> Receive:
        """Return what gives the body once more, and then waits for the client to go away."""
        left: list[Message] = [{"type": "http.request", "body": self.body, "more_body": False}]

        async def give() -> Message:
            return left.pop() if left else await receive()

        return give
