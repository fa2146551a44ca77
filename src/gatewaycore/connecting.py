"""Connecting: how every adapter reaches upstreams over httpx, and which addresses none of them reaches.

A name is looked up here, its addresses are held against `gatewaycore.addresses`, and one that may be connected to is: the address that was
checked is the address that is used, so that nobody answers differently the second time (DNS rebinding).
"""

from __future__ import annotations

import math
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, TypeAlias

import anyio
import httpcore
import httpx

from gatewaycore.addresses import may_connect

TIMEOUT_S = 60.0
CONNECT_S = 10.0
TIMEOUT = httpx.Timeout(TIMEOUT_S, connect=CONNECT_S, pool=CONNECT_S)
_LIMITS: dict[str, Any] = {"max_connections": 512, "max_keepalive_connections": 64, "keepalive_expiry": 30.0}

# Whoever answers for a name says how many addresses it has: each request would knock at all of them.
_MOST_TRIES = 8
# Less than this is no time to connect in; and none at all would mean, to a socket, not to wait.
_LEAST_S = 0.001
# What is written between two looks at the clock.
_PIECE_BYTES = 64 * 1024

_Options: TypeAlias = Iterable[Any]
_Found: TypeAlias = Sequence[tuple[Any, ...]]
_Share: TypeAlias = Callable[[int], float | None]


class ForbiddenAddressError(httpcore.ConnectError):
    """A host has no address that may be connected to."""


class Deadline(threading.local):
    """When all that a client does for a request is to be over. A timeout is for one step, and a server may take any number of them.

    Each thread has its own, so that threads may share a client.
    """

    def __init__(self) -> None:
        self._ends_at = math.inf

    def begin(self, seconds: float) -> None:
        """Let everything that this thread does from now on be over in so many seconds; before each request, one at a time."""
        self._ends_at = time.monotonic() + seconds

    def end(self) -> None:
        """Let it take as long as it likes."""
        self._ends_at = math.inf

    def cut(self, timeout: float | None, over: type[Exception]) -> float:
        """Return how long the next step may take, of which somebody else thinks that it may take `timeout`.

        Raises:
            Exception: `over`, when no time is left.
        """
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise over("the request takes too long")
        return left if timeout is None else min(timeout, left)


def open_client(*, private: bool, deadline: Deadline | None = None) -> httpx.Client:
    """Return a client that connects to permitted addresses only.

    It follows no redirect, keeps no cookie and knows no proxy of the environment: what is asked is what the conversation says, and nothing
    else. ``SSL_CERT_FILE`` or ``SSL_CERT_DIR`` name the authorities to believe instead of those that come with httpx.

    A blocking look-up of a name takes as long as the system's resolver lets it, whatever the request's timeouts are.

    Args:
        private: whether addresses of private networks and of this machine are permitted.
        deadline: holds for whole requests.
    """
    transport = httpx.HTTPTransport(trust_env=False, verify=_tls())
    # The one thing that httpx does not hand down: it makes its pool itself. A test holds that the guard is where it should be.
    transport._pool = httpcore.ConnectionPool(ssl_context=_tls(), network_backend=_Guard(private, deadline), **_LIMITS)
    return httpx.Client(transport=transport, timeout=TIMEOUT, follow_redirects=False, trust_env=False, cookies=_no_cookies())


def open_async_client(*, private: bool) -> httpx.AsyncClient:
    """Return the same for an event loop."""
    transport = httpx.AsyncHTTPTransport(trust_env=False, verify=_tls())
    transport._pool = httpcore.AsyncConnectionPool(ssl_context=_tls(), network_backend=_AsyncGuard(private), **_LIMITS)
    return httpx.AsyncClient(transport=transport, timeout=TIMEOUT, follow_redirects=False, trust_env=False, cookies=_no_cookies())


def was_forbidden(error: BaseException) -> bool:
    """Tell whether a request failed because of its host's addresses."""
    return isinstance(error.__cause__, ForbiddenAddressError)


@cache
def _tls() -> ssl.SSLContext:
    # Reading the authorities takes longer than most requests: once for all clients.
    return httpx.create_ssl_context(trust_env=True)


def _no_cookies() -> CookieJar:
    # What httpx is given to keep cookies in otherwise keeps those of every path for as long as the process runs, though none is ever sent.
    return CookieJar(DefaultCookiePolicy(allowed_domains=()))


class _Guard(httpcore.SyncBackend):
    def __init__(self, private: bool, deadline: Deadline | None) -> None:
        self._private = private
        self._deadline = deadline

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, local_address: str | None = None, socket_options: _Options | None = None
    ) -> httpcore.NetworkStream:
        share = _shares(timeout)
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError("the name has no address") from error
        if self._deadline is None:
            return self._connect(found, port, share, local_address, socket_options)
        share = _shares(self._deadline.cut(share(1), httpcore.ConnectTimeout))
        return _Timed(self._connect(found, port, share, local_address, socket_options), self._deadline)

    def _connect(
        self, found: _Found, port: int, share: _Share, local_address: str | None, socket_options: _Options | None
    ) -> httpcore.NetworkStream:
        left = _permitted(found, self._private)
        while True:
            address = left.pop(0)
            try:
                return super().connect_tcp(address, port, share(len(left) + 1), local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if not left:
                    raise


class _Timed(httpcore.NetworkStream):
    """A connection whose steps all end before a deadline.

    Args:
        stream: the connection.
        deadline: of what it is used for now.
    """

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.cut(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # In pieces: what is beneath waits as long as this for whatever part of a buffer the other side takes.
        for start in range(0, len(buffer), _PIECE_BYTES):
            self._stream.write(buffer[start : start + _PIECE_BYTES], self._deadline.cut(timeout, httpcore.WriteTimeout))

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = self._deadline.cut(timeout, httpcore.ConnectTimeout)
        return _Timed(self._stream.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def close(self) -> None:
        self._stream.close()


class _AsyncGuard(httpcore.AnyIOBackend):
    def __init__(self, private: bool) -> None:
        self._private = private

    async def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, local_address: str | None = None, socket_options: _Options | None = None
    ) -> httpcore.AsyncNetworkStream:
        share = _shares(timeout)
        try:
            with anyio.fail_after(timeout):
                found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout from error
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError("the name has no address") from error
        left = _permitted(found, self._private)
        while True:
            address = left.pop(0)
            try:
                return await super().connect_tcp(address, port, share(len(left) + 1), local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if not left:
                    raise


def _permitted(found: _Found, private: bool) -> list[str]:
    """Return the first few addresses that may be connected to, in the resolver's order (RFC 6724), each once.

    Raises:
        ForbiddenAddressError: there are none.
    """
    addresses = dict.fromkeys(str(entry[4][0]) for entry in found)
    permitted = [address for address in addresses if may_connect(address, private=private)]
    if not permitted:
        raise ForbiddenAddressError("the name's addresses are not to be connected to")
    return permitted[:_MOST_TRIES]


def _shares(timeout: float | None) -> _Share:
    """Return what tells how long the next of so many tries may take, so that all of them end within `timeout` from now."""
    if timeout is None:
        return lambda _: None
    end = time.monotonic() + timeout
    return lambda tries: max(end - time.monotonic(), _LEAST_S) / tries
