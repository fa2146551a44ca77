"""Connecting: how every adapter reaches upstreams over httpx, and which addresses none of them reaches.

A name is looked up here, its addresses are held against `gatewaycore.addresses`, and one that may be connected to is: the address that was
checked is the address that is used, so that nobody answers differently the second time (DNS rebinding).
"""

from __future__ import annotations

import socket
import ssl
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

_Options: TypeAlias = Iterable[Any]
_Share: TypeAlias = Callable[[int], float | None]


class ForbiddenAddressError(httpcore.ConnectError):
    """A host has no address that may be connected to."""


def open_client(*, private: bool) -> httpx.Client:
    """Return a client that connects to permitted addresses only.

    It follows no redirect, keeps no cookie and knows no proxy of the environment: what is asked is what the conversation says, and nothing
    else. ``SSL_CERT_FILE`` or ``SSL_CERT_DIR`` name the authorities to believe instead of those that come with httpx.

    A blocking look-up of a name takes as long as the system's resolver lets it, whatever the request's timeouts are.

    Args:
        private: whether addresses of private networks and of this machine are permitted.
    """
    transport = httpx.HTTPTransport(trust_env=False, verify=_tls())
    # The one thing that httpx does not hand down: it makes its pool itself. A test holds that the guard is where it should be.
    transport._pool = httpcore.ConnectionPool(ssl_context=_tls(), network_backend=_Guard(private), **_LIMITS)
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
    def __init__(self, private: bool) -> None:
        self._private = private

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, local_address: str | None = None, socket_options: _Options | None = None
    ) -> httpcore.NetworkStream:
        share = _shares(timeout)
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError("the name has no address") from error
        left = _permitted(found, self._private)
        while True:
            address = left.pop(0)
            try:
                return super().connect_tcp(address, port, share(len(left) + 1), local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if not left:
                    raise


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


def _permitted(found: Sequence[tuple[Any, ...]], private: bool) -> list[str]:
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
