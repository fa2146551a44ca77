"""Sink `nats`: messages of up to a hundred events in a stream of NATS JetStream; and `consume`, which takes them to any other sink.

A message's id (`Nats-Msg-Id`) is made of the ids of its events: what is sent again within the stream's duplicate window is there once.
The client lives in an event loop, and that in a thread of its own; everybody else calls and waits, and never for ever.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from attrs import field, frozen

from gatewaycore.errors import ConfigError, MissingExtraError, Problem
from gatewaycore.sinks.nats.consumer import Consumer, consume
from gatewaycore.sinks.nats.publishing import NatsSink
from gatewaycore.sinks.rows import check_name, check_positive
from gatewaycore.sinks.urls import is_url

_MOST_REPLICAS = 5
_SUBJECT = re.compile(r"[^\s.*>]+(?:\.[^\s.*>]+)*")


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
        problems = list(self._problems())
        if problems:
            raise ConfigError(problems)
        try:
            import nats  # noqa: F401
        except ImportError as error:
            raise MissingExtraError.of("sinks: nats", "nats") from error

    def _problems(self) -> Iterator[Problem]:
        if not all(is_url(server, "nats", "tls", "ws", "wss") for server in self.servers):
            # The URL holds a password, so it is not shown.
            yield Problem("sinks: nats: url", "is not a list of servers", "write nats://host:4222, and commas between several")
        if not _SUBJECT.fullmatch(self.subject):
            hint = "words with full stops between them, without spaces, * and >"
            yield Problem("sinks: nats: subject", f"{self.subject[:80]!r} is no subject to publish to", hint)
        if self.replicas > _MOST_REPLICAS:
            yield Problem("sinks: nats: replicas", f"{self.replicas} are too many", f"1 to {_MOST_REPLICAS}")
        if self.credentials is not None and not os.access(self.credentials, os.R_OK):
            yield Problem("sinks: nats: credentials", f"{self.credentials!r} cannot be read")


__all__ = ["Consumer", "NatsSink", "NatsStorage", "consume"]
