"""Deciding: which way a request for an image goes.

A client learns from a domain's ping how to authenticate, for all of its images. So the domain decides who answers that: the one registry
behind it (`passed`), or the gateway itself, which then hands out tokens (`own`) or asks nobody for anything (`open`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import ClassVar, Literal, TypeAlias

from attrs import define, evolve

from gatewaycore.decision import Decision, Proxy, Redirect, Respond
from gatewaycore.event import Observation
from gatewaycore.headers import Headers
from gatewaycore.request import Request
from gatewaycore.route import Api, Match
from gatewaycore.rules.container.answers import API_VERSION, PONG, READ_ONLY, READ_ONLY_TOKENS, challenge, unknown
from gatewaycore.rules.container.backend import Backend
from gatewaycore.rules.container.clients import keeps_credentials, survives
from gatewaycore.rules.container.conversation import ImageConversation, Pass, Show
from gatewaycore.rules.container.endpoint import TokenEndpoint
from gatewaycore.rules.container.index import twins
from gatewaycore.rules.container.paths import GRANT_PATH, PREFIX, ImageCall, Ping, Tokens, parse
from gatewaycore.rules.container.route import PACKAGE_TYPE, Asked, ContainerRoute, entry
from gatewaycore.rules.container.tokens import bearer

Mode: TypeAlias = Literal["passed", "open", "own"]
"""Who answers a domain's ping: its registry; the gateway, which asks for nothing; or the gateway, with a challenge of its own."""

_NOTHING: Mapping[str, str] = {}
_PLAIN_REDIRECT = Headers([API_VERSION])
# A cache that kept such a redirect for every client would send those to the backend who cannot authenticate there.
_CHOSEN_REDIRECT = Headers([API_VERSION, ("vary", "User-Agent, Authorization")])


@define(slots=True, eq=False)
class RegistryRoute:
    """Every image and pattern of one domain: the registry that clients see. Nobody mutates it, but for what it remembers.

    Attributes:
        domain, pattern, priority: as every route has them.
        mode: who answers the ping.
        routes: in file order.
        ping: the route whose backend answers it, where one does.
        ping_proxied: whether that is proxied for everybody.
        tokens: where its tokens come from, where they are the gateway's.
    """

    steady: ClassVar[bool] = False

    domain: str
    pattern: Api
    mode: Mode
    routes: tuple[ContainerRoute, ...]
    ping: ContainerRoute
    ping_proxied: bool
    tokens: TokenEndpoint
    priority: int = 0

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
        return twins(map(entry, self.routes))

    def match(self, request: Request) -> Match | None:
        """Return the match for an endpoint of the API, refusals included; None for a path that is none.

        The match names the rule of the image asked for; what is refused, the ping and the tokens are the whole domain's.
        """
        call = parse(request.path)
        if call is None:
            return None
        if isinstance(call, Tokens):
            return self._match_tokens(request, call)
        if request.method not in ("GET", "HEAD"):
            return Match(self, _NOTHING, READ_ONLY)
        if isinstance(call, Ping | Respond):
            return Match(self, _NOTHING, call)
        route = self.tokens.index.find(call.name)
        if route is None:
            return Match(self, _NOTHING, unknown(call.name))
        return Match(route, _NOTHING, Asked(call, self))

    def _match_tokens(self, request: Request, call: Tokens) -> Match | None:
        if self.mode != "own":
            return None
        return Match(self, _NOTHING, call if request.method in ("GET", "POST") else READ_ONLY_TOKENS)

    def decide(self, request: Request, match: Match) -> Decision:
        """Answer the ping or send it on; hand out a token; refuse what is refused."""
        match match.detail:
            case Respond() as refusal:
                return refusal
            case Tokens():
                return self.tokens.decide(request)
            case _:
                return self._ping(request)

    def observe(self, request: Request, match: Match, entry: Mapping[str, str] | None = None) -> Observation | None:
        """Return a ping; a refusal is no event, and neither is a token."""
        return Observation(None, PACKAGE_TYPE, self.label, "ping") if isinstance(match.detail, Ping) else None

    def forget(self) -> None:
        """Forget what was learned of the backends."""
        self.tokens.memory.clear()

    # --- pings and images -------------------------------------------------------------------------------------

    def _ping(self, request: Request) -> Decision:
        if self.mode == "open":
            return PONG
        if self.mode == "own":
            # With any token: what it is good for shows where it is used.
            return PONG if bearer(request.headers) is not None else evolve(self._challenge(request), counts=True)
        route, ping = self.ping, Ping()
        if self._redirects(request, route, None):
            return self._redirect(request, route, ping.at())
        return Proxy(partial(ImageConversation, request, ping, (route.place,), Pass(), self.tokens.memory))

    def decide_image(self, request: Request, route: ContainerRoute, call: ImageCall) -> Decision:
        """Redirect, proxy or broker a request for an image of this domain."""
        if self._redirects(request, route, call.name):
            return self._redirect(request, route, call.at(route.place.name(call.name)))
        shown = self._shown(request, route, call.name)
        if isinstance(shown, Respond):
            return shown
        places = (route.place, *route.mirrors)
        if len(places) == 1:
            return Proxy(partial(ImageConversation, request, call, places, shown, self.tokens.memory))
        deadline_s = route.way.deadline_s
        # Each has its share of the time, or one that hangs would leave none for the others.
        return Proxy(partial(ImageConversation, request, call, places, shown, self.tokens.memory, deadline_s / len(places)), deadline_s)

    def _redirects(self, request: Request, route: ContainerRoute, name: str | None) -> bool:
        way, backend = route.way, route.place.backend
        if way.strategy != "auto":
            return way.strategy == "redirect"
        credentials = request.headers.first(b"authorization")
        # Basic credentials are a password: a client that follows a redirect with them leaks it, one that drops them gets nothing.
        if credentials is not None and any(map(_is_basic, request.headers.get_all("authorization"))):
            return False
        if route.mirrors:
            # Whoever is sent to a registry that is down is not sent on from there.
            return False
        agent, shown = request.headers.get("user-agent"), bool(credentials)
        if backend.auth == "anonymous":
            return self.mode != "own" or self._keeps_to_itself(request, backend, agent, shown)
        if self.mode == "passed":
            ping: Literal["proxied", "redirected"] = "proxied" if self.ping_proxied else "redirected"
            return survives(agent, credentials=shown, public=way.public, ping=ping)
        if shown or backend.credentials is not None or (name is not None and route.place.name(name) != name):
            return False
        # Some clients show the credentials that they have for this domain to whomever they are redirected to; the login registry has them
        # anyway, but for those of the gateway's own users.
        tokens = self.tokens
        if tokens.users or (tokens.takes_logins and backend not in tokens.logins):
            return False
        return survives(agent, credentials=False, public=way.public, ping="own")

    def _keeps_to_itself(self, request: Request, backend: Backend, agent: str | None, shown: bool) -> bool:
        """Tell whether a client that is redirected to a registry that asks nobody shows it nothing that is for this domain."""
        host = backend.registry.partition(":")[0]
        if shown and (host == request.host or host.endswith(f".{request.host}")):
            # Go's clients take their tokens along to hosts below the one that they are for, and to its other ports.
            return False
        return not self.tokens.takes_logins or keeps_credentials(agent)

    def _redirect(self, request: Request, route: ContainerRoute, path: str) -> Redirect:
        chosen = route.way.strategy == "auto" and route.takes_tokens
        url = route.place.backend.url(path, request.query)
        return Redirect(url, route.way.status, _CHOSEN_REDIRECT if chosen else _PLAIN_REDIRECT)

    def _shown(self, request: Request, route: ContainerRoute, name: str) -> Pass | Show | Respond:
        """Return what the backend is shown, or what the client is answered where that needs a token first."""
        if self.mode == "passed":
            return Pass()
        if not route.takes_tokens:
            return Show(None, None if self.mode == "open" else self._challenge(request, name), public=True)
        token = bearer(request.headers)
        part = None if token is None else self.tokens.part(token, route.place.backend)
        if part is None:
            return self._challenge(request, name, None if token is None else "insufficient_scope")
        shown = self.tokens.authorization(route, part)
        again = self._challenge(request, name, "invalid_token" if part else None)
        if shown is None:
            return again
        authorization, is_own = shown
        public = route.way.public or authorization is None or self.tokens.memory.is_anonymous(authorization.removeprefix("Bearer "))
        return Show(authorization, None if is_own else again, public)

    def _challenge(self, request: Request, name: str | None = None, error: str | None = None) -> Respond:
        return challenge(f"{request.origin}{GRANT_PATH}", request.host, name, error)


def _is_basic(value: str) -> bool:
    return value.lstrip()[:6].lower() in ("basic", "basic ", "basic\t")
