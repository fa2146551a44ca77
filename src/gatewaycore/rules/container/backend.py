"""Backend: a registry that images come from, as the configuration names it, and the places where one image is found."""

from __future__ import annotations

from base64 import b64encode
from functools import lru_cache
from hashlib import blake2b
from typing import Literal, TypeAlias

from attrs import field, frozen

from gatewaycore.outgoing import wire_query
from gatewaycore.rules.container.names import HUB, api_host
from gatewaycore.rules.leading import origin

Auth: TypeAlias = Literal["token", "anonymous"]
Scheme: TypeAlias = Literal["https", "http"]

_KNOWN_REALMS = {HUB: ("auth.docker.io",), "registry.gitlab.com": ("gitlab.com",)}
"""Registries whose token server is, by their own documentation, at another host than they are."""


@frozen
class Credentials:
    """What the gateway itself shows to a registry.

    Attributes:
        username: at the registry.
        password: at the registry; a token for programs, where the registry hands out such.
    """

    username: str = field(repr=False)
    password: str = field(repr=False)

    @property
    def basic(self) -> str:
        """The value of an ``Authorization`` field (RFC 7617)."""
        return basic(self.username, self.password)


def basic(username: str, password: str) -> str:
    """Return the value of an ``Authorization`` field with Basic credentials (RFC 7617)."""
    return "Basic " + b64encode(f"{username}:{password}".encode("utf-8", "replace")).decode()


@frozen
class Backend:
    """One registry.

    Attributes:
        registry: its host as people know it: "docker.io"; lower-case, with its port where it has one.
        auth: "token" where it asks for tokens, even of anonymous clients; "anonymous" where it asks nobody anything.
        scheme: "https" or "http".
        private: whether it may be at an address of a private network or of this machine.
        realms: hosts, beside its own, whose token servers are its.
        credentials: the gateway's own, or None.
    """

    registry: str
    auth: Auth = "token"
    scheme: Scheme = "https"
    private: bool = False
    realms: tuple[str, ...] = ()
    credentials: Credentials | None = None

    @property
    def origin(self) -> str:
        """Scheme and authority of its API, without a default port: "https://registry-1.docker.io"."""
        return origin(self.scheme, api_host(self.registry))

    @property
    def likeness(self) -> str:
        """What tells it from most others: 16 hex digits, the same in every process, that say nothing of it, nor of a password."""
        account = "" if self.credentials is None else self.credentials.username
        return blake2b(f"{self.origin}\0{account}".encode(), digest_size=8).hexdigest()

    def owns(self, realm: str) -> bool:
        """Tell whether a token server at ``host[:port]`` is its own: at its own host, or at one that is listed.

        A listed host with a port is that port's server; without, every port's. Credentials go nowhere else: a registry that names another
        host is trusted with its own users' secrets, and not with where they are sent (CVE-2020-15157, CVE-2026-33540).
        """
        host = _bare(realm)
        if host == _bare(api_host(self.registry)):
            return True
        # A listed port is the default one's too where none is said, of whichever scheme.
        ports = {realm} if host != realm else {host, f"{host}:443", f"{host}:80"}
        return any(known == host or known in ports for known in (*self.realms, *_KNOWN_REALMS.get(self.registry, ())))

    def url(self, path: str, query: str) -> str:
        """Return the URL of a path that has passed the grammar, with the request's query.

        Scheme and authority come from the configuration alone, and nothing of the request stands before the third "/": a request
        cannot choose where its sender's credentials go.
        """
        if not query:
            return f"{self.origin}{path}"
        # Lone surrogates cannot be encoded, and nobody sends them: an adapter's decoding may.
        text = query if query.isascii() else query.encode("utf-8", "replace").decode()
        return f"{self.origin}{path}?{wire_query(text)}"

    def __str__(self) -> str:
        return f"{self.registry} ({self.auth}, {self.scheme}{'' if self.credentials is None else ', with credentials'})"


def _bare(authority: str) -> str:
    """Return the host of ``host[:port]``; brackets stay."""
    host, colon, port = authority.rpartition(":")
    return host if colon and port.isdigit() else authority


@lru_cache(maxsize=1024)
def backend(
    registry: str, auth: Auth, scheme: Scheme, private: bool = False, realms: tuple[str, ...] = (), credentials: Credentials | None = None
) -> Backend:
    """Return the backend of these settings; thousands of images share one object."""
    return Backend(registry, auth, scheme, private, realms, credentials)


@frozen
class Place:
    """Where an image is found.

    Attributes:
        backend: the registry.
        repository: its name there; None where it is called as the client calls it.
    """

    backend: Backend
    repository: str | None = None

    def name(self, asked: str) -> str:
        """Return what the image is called there that a client calls `asked`."""
        return self.repository or asked
