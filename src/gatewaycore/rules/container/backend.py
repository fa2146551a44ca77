"""Backend: a registry that images come from, as the configuration names it."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, TypeAlias

from attrs import frozen

from gatewaycore.outgoing import wire_query
from gatewaycore.rules.container.names import api_host

Auth: TypeAlias = Literal["token", "anonymous"]
Scheme: TypeAlias = Literal["https", "http"]


@frozen
class Backend:
    """One registry.

    Attributes:
        registry: its host as people know it: "docker.io"; lower-case, with its port where it has one.
        auth: "token" where it asks for tokens, even of anonymous clients; "anonymous" where it asks nobody anything.
        scheme: "https" or "http".
    """

    registry: str
    auth: Auth = "token"
    scheme: Scheme = "https"

    @property
    def origin(self) -> str:
        """Scheme and authority of its API: "https://registry-1.docker.io"."""
        return f"{self.scheme}://{api_host(self.registry)}"

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
        return f"{self.registry} ({self.auth}, {self.scheme})"


@lru_cache(maxsize=256)
def backend(registry: str, auth: Auth, scheme: Scheme) -> Backend:
    """Return the backend of these settings; thousands of images share one object."""
    return Backend(registry, auth, scheme)
