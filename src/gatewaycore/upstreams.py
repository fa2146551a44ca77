"""Upstreams: what every adapter knows of asking one over httpx: how long, how many, how often, and a conversation's words for the outcome.

An adapter only sends and streams. What is asked, and what becomes of the answer, is the conversation's (`gatewaycore.decision.Proxy`).
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import httpx

from gatewaycore.decision import Upstream
from gatewaycore.headers import Headers, end_to_end

Failure: TypeAlias = Literal["connect", "timeout", "protocol"]

TIMEOUT = httpx.Timeout(60.0, connect=10.0, pool=10.0)
LIMITS = httpx.Limits(max_connections=512, max_keepalive_connections=64, keepalive_expiry=30.0)
MOST_TURNS = 8
"""Requests that one conversation may make: a registry that sends it in circles is left."""
UNANSWERED = (httpx.HTTPError, httpx.InvalidURL)
"""What httpx raises where there is no answer; a URL longer than it takes is none of its `HTTPError`s."""


class UpstreamBrokenError(Exception):
    """The upstream ended in the middle of an answer, whose beginning the client has already: the connection must not end well."""


def asked(upstream: Upstream) -> httpx.Request:
    """Return the request to send: these header lines and no others, but for the ``Host`` of the URL.

    Raises:
        httpx.InvalidURL: the URL is longer than httpx takes.
    """
    return httpx.Request(upstream.method, upstream.url, headers=upstream.headers.raw)


def received(answer: httpx.Response) -> Headers:
    """Return an upstream's header lines, without those that concern its connection only."""
    return end_to_end(Headers.from_raw([(name.lower(), value) for name, value in answer.headers.raw]))


def failure(error: Exception) -> Failure:
    """Return what went wrong, in the conversation's words."""
    if isinstance(error, httpx.TimeoutException):
        return "timeout"
    return "connect" if isinstance(error, httpx.ConnectError) else "protocol"
