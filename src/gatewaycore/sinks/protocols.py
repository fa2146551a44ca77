"""Sink and Storage: what a store has to be for events to go there, and what it is given that does not say how it wants them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

_BATCH_BYTES = 4 * 1024 * 1024
_LINGER_S = 0.0


class Sink(Protocol):
    """Keeps events.

    A sink may have three attributes more, which the shipper looks for: `batch_bytes`, about how much it wants at once (an int; 4 MiB
    without it); `linger_s`, how long the shipper waits until there is that much (a float; without it, what is there is shipped about once
    a second); and `write_spans(spans: Sequence[Span]) -> int`, for one that reads segments by itself. That keeps a batch as `write` does
    and returns how many lines it was, but nobody has looked at them: where one is no event, it keeps nothing and raises `PoisonError`,
    naming none, and the same batch comes to `write` without what is none. Each sink is asked in a thread of its own, one batch after the
    other; lines of a batch may be of several segments.
    """

    def write(self, lines: Sequence[bytes]) -> None:
        """Keep a batch of journal lines, each one JSON object and a newline; return when they are safe.

        Raises:
            SinkError: not now; the shipper keeps them and tries again, ever more rarely.
            PoisonError: some lines never; the shipper sets those aside, and sends the others again.
            ValueError: of the built-in kinds of it, too, one may be a line's fault; the shipper looks for the line, if there are others
                that are taken.
        """
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


def wishes(sink: Sink) -> tuple[int, float]:
    """Return the `batch_bytes` and the `linger_s` of a sink: its own, or what holds for those that do not say."""
    return max(1, getattr(sink, "batch_bytes", _BATCH_BYTES)), getattr(sink, "linger_s", _LINGER_S)


class Storage(Protocol):
    """Settings of a sink. Frozen; its fields are the keys of the configuration.

    A storage may have one more verb, as all of ours do: ``check()`` raises what `open` would raise for the settings themselves, and makes,
    writes and connects to nothing. ``gatewaycore check`` asks it, and ``serve`` before it starts workers. What is not installed is a
    `MissingExtraError`, raised when nothing else is wrong.
    """

    def open(self) -> Sink:
        """Make the sink.

        Raises:
            ConfigError: an extra is missing, or the settings cannot be used.
        """
        ...
