"""Deciding: which way a request for an image goes, and what its event says.

One domain has one backend in this version, and one ping: a client learns from it how to authenticate, so ping and manifests
must go the same way. Which way is told by the User-Agent and by `Authorization` alone, which a client sends on every request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import ClassVar, Literal, TypeAlias

from attrs import define, frozen

from gatewaycore.decision import Decision, Proxy, Redirect, Respond
from gatewaycore.errors import ConfigError, Problem
from gatewaycore.event import Observation
from gatewaycore.headers import Headers
from gatewaycore.request import Request
from gatewaycore.route import Api, Match, Route
from gatewaycore.rules.container.answers import API_VERSION, READ_ONLY, unknown
from gatewaycore.rules.container.backend import Backend
from gatewaycore.rules.container.clients import survives
from gatewaycore.rules.container.conversation import RegistryConversation
from gatewaycore.rules.container.index import Entry, ImageIndex, twins
from gatewaycore.rules.container.paths import PREFIX, Blob, ImageCall, Manifest, Ping, parse
from gatewaycore.rules.container.patterns import ImagePattern

Strategy: TypeAlias = Literal["auto", "redirect", "proxy"]

PACKAGE_TYPE = "container"

_NOTHING: Mapping[str, str] = {}
_BYTE_RANGE = re.compile(r"bytes=[0-9, -]{1,200}")
_PLAIN_REDIRECT = Headers([API_VERSION])
# A cache that kept such a redirect for every client would send those to the backend who cannot authenticate there.
_CHOSEN_REDIRECT = Headers([API_VERSION, ("vary", "User-Agent, Authorization")])


@frozen
class Way:
    """How requests reach the backend.

    Attributes:
        backend: the registry.
        strategy: "redirect" and "proxy" hold for every client; "auto" asks the table of clients.
        status: of a redirect.
    """

    backend: Backend
    strategy: Strategy
    status: int

    def decide(self, request: Request, path: str, own: str, ping_proxied: bool) -> Decision:
        """Redirect or proxy.

        Args:
            request: the client's request.
            path: where to at the backend; it has passed the grammar.
            own: the path under which the same image is found here and there.
            ping_proxied: whether this domain's ping is proxied for everybody.
        """
        url = self.backend.url(path, request.query)
        if self._redirects(request, ping_proxied):
            chosen = self.strategy == "auto" and self.backend.auth == "token"
            return Redirect(url, self.status, _CHOSEN_REDIRECT if chosen else _PLAIN_REDIRECT)
        return Proxy(partial(RegistryConversation, request, url, own))

    def _redirects(self, request: Request, ping_proxied: bool) -> bool:
        if self.strategy != "auto":
            return self.strategy == "redirect"
        credentials = request.headers.first(b"authorization")
        # Basic credentials are a password: a client that follows a redirect with them leaks it, one that drops them gets nothing.
        if credentials is not None and any(map(_is_basic, request.headers.get_all("authorization"))):
            return False
        if self.backend.auth == "anonymous":
            return True
        return survives(request.headers.get("user-agent"), credentials=bool(credentials), ping_proxied=ping_proxied)


def _is_basic(value: str) -> bool:
    return value.lstrip()[:6].lower() in ("basic", "basic ", "basic\t")


@define(slots=True)
class Asked:
    """The note from `match` to `decide`: a call for an image that is served."""

    call: ImageCall
    ping_proxied: bool


@define(slots=True, eq=False)
class ContainerRoute:
    """One image or one pattern of images. Nobody mutates it.

    Attributes:
        domain, priority: as every route has them.
        image: a repository's name, or a pattern.
        way: how requests reach the backend.
        id: stands for the package in events instead of the image's name; a collection's never does.
    """

    steady: ClassVar[bool] = False

    domain: str
    image: str | ImagePattern
    way: Way
    id: str | None = None
    priority: int = 0

    @property
    def pattern(self) -> Api:
        """The distribution API's."""
        return CONTAINER

    @property
    def label(self) -> str:
        """What is typed behind ``docker pull``."""
        return f"{self.domain}/{self.image}"

    @property
    def package(self) -> str:
        """The id, or the image's name or pattern."""
        return self.id or str(self.image)

    def decide(self, request: Request, match: Match) -> Decision:
        """Redirect to the backend, or proxy it."""
        asked = match.detail
        if not isinstance(asked, Asked):
            return unknown(str(self.image))
        call = asked.call
        return self.way.decide(request, call.path, f"{PREFIX}/{call.name}/", asked.ping_proxied)

    def observe(self, request: Request, match: Match, entry: Mapping[str, str] | None = None) -> Observation | None:
        """Return what was fetched of the image: a manifest, a blob, or metadata about it."""
        if not isinstance(match.detail, Asked):
            return None
        call = match.detail.call
        package = (self.id or self.image) if isinstance(self.image, str) else call.name
        if isinstance(call, Manifest):
            return Observation(package, PACKAGE_TYPE, self.label, "manifest", version=call.reference)
        if not isinstance(call, Blob):
            return Observation(package, PACKAGE_TYPE, self.label, "metadata")
        variables = {"digest": call.digest}
        asked_range = request.headers.get("range")
        if asked_range is not None and _BYTE_RANGE.fullmatch(asked_range):
            variables["range"] = asked_range
        return Observation(package, PACKAGE_TYPE, self.label, "blob", variables=variables)


@define(slots=True, eq=False)
class RegistryRoute:
    """Every image and pattern of one domain: the registry that clients see. Made by `join`; nobody mutates it.

    Attributes:
        domain, priority: as every route has them.
        ping: how the ping reaches the backend.
        ping_proxied: whether it is proxied for everybody.
        routes: in file order.
    """

    steady: ClassVar[bool] = False

    domain: str
    ping: Way
    ping_proxied: bool
    routes: tuple[ContainerRoute, ...]
    _index: ImageIndex[ContainerRoute]
    priority: int = 0

    @property
    def pattern(self) -> Api:
        """The distribution API's."""
        return CONTAINER

    @property
    def label(self) -> str:
        """The ping's address."""
        return f"{self.domain}{PREFIX}/"

    @property
    def package(self) -> None:
        """None: a registry is no package."""

    @property
    def ambiguous(self) -> Iterator[tuple[ContainerRoute, ContainerRoute]]:
        """Pairs of rules for the same images that only their order in the file tells apart."""
        return twins(map(_entry, self.routes))

    def match(self, request: Request) -> Match | None:
        """Return the match for an endpoint of the API, refusals included; None for a path that is none.

        The match names the rule of the image asked for; what is refused, and the ping, are the whole domain's.
        """
        call = parse(request.path)
        if call is None:
            return None
        if request.method not in ("GET", "HEAD"):
            return Match(self, _NOTHING, READ_ONLY)
        if isinstance(call, Ping | Respond):
            return Match(self, _NOTHING, call)
        route = self._index.find(call.name)
        if route is None:
            return Match(self, _NOTHING, unknown(call.name))
        return Match(route, _NOTHING, Asked(call, self.ping_proxied))

    def decide(self, request: Request, match: Match) -> Decision:
        """Send the ping on; refuse what is refused."""
        if isinstance(match.detail, Respond):
            return match.detail
        path = Ping().path
        return self.ping.decide(request, path, path, self.ping_proxied)

    def observe(self, request: Request, match: Match, entry: Mapping[str, str] | None = None) -> Observation | None:
        """Return a ping; a refusal is no event."""
        return Observation(None, PACKAGE_TYPE, self.label, "ping") if isinstance(match.detail, Ping) else None


def join(routes: Sequence[Route]) -> RegistryRoute:
    """Make one registry of all the images and patterns of one domain.

    Raises:
        ConfigError: they do not share a backend, or clients could not be told one way to authenticate.
    """
    own = [route for route in routes if isinstance(route, ContainerRoute)]
    if not own or len(own) != len(routes):
        raise ConfigError([Problem("type", f"a route named {PACKAGE_TYPE!r} is no container's")])
    first = own[0]
    problems = [_two_backends(first, other) for other in _strangers(own)]
    by_strategy = {route.way.strategy: route for route in reversed(own)}
    proxied = by_strategy.get("proxy")
    redirected = by_strategy.get("redirect")
    if proxied is not None and redirected is not None and first.way.backend.auth == "token":
        later = max(proxied, redirected, key=own.index)
        problems.append(_two_strategies(proxied, redirected, later))
    if problems:
        raise ConfigError(problems)
    # With an image that is always proxied, the ping is too: a client that stored the backend's own address would send its tokens past us.
    ping = (proxied or by_strategy.get("auto") or first).way
    index = ImageIndex([_entry(route) for route in own])
    return RegistryRoute(first.domain, ping, proxied is not None, tuple(own), index)


def _entry(route: ContainerRoute) -> Entry[ContainerRoute]:
    return Entry(route.image, route.priority, route)


def _strangers(routes: Sequence[ContainerRoute]) -> Iterator[ContainerRoute]:
    """Iterate over one route of each backend other than the first."""
    seen = {routes[0].way.backend}
    for route in routes:
        if route.way.backend not in seen:
            seen.add(route.way.backend)
            yield route


def _two_backends(first: ContainerRoute, other: ContainerRoute) -> Problem:
    return Problem(
        f"domain {first.domain}: backend",
        f"{first.image} comes from {first.way.backend} and {other.image} from {other.way.backend}: one domain has one backend",
        f"give {other.image} another domain",
        about=other,
    )


def _two_strategies(proxied: ContainerRoute, redirected: ContainerRoute, later: ContainerRoute) -> Problem:
    return Problem(
        f"domain {proxied.domain}: strategy",
        f"{proxied.image} is always proxied and {redirected.image} always redirected: one ping tells clients how to authenticate for both",
        "use strategy: auto for one of them, or another domain",
        about=later,
    )


CONTAINER = Api(PACKAGE_TYPE, (PREFIX,), join)
"""Where a domain's registry stands: on ``/v2``, before every other rule (OCI distribution-spec v1.1 §Endpoints)."""
