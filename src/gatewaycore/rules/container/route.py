"""Deciding: which way a request for an image goes, and what its event says.

A client learns from a domain's ping how to authenticate, for all of its images. So the domain decides who answers that: the one registry
behind it (`passed`), or the gateway itself, which then hands out tokens (`own`) or asks nobody for anything (`open`).
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from functools import partial
from typing import ClassVar, Literal, TypeAlias

from attrs import define, evolve, field

from gatewaycore.decision import Collect, Decision, Proxy, Reception, Redirect, Respond
from gatewaycore.event import Observation
from gatewaycore.headers import Headers
from gatewaycore.request import Request
from gatewaycore.route import Api, Match
from gatewaycore.rules.access import admits
from gatewaycore.rules.container.answers import (
    API_VERSION,
    BAD_GRANT,
    PONG,
    READ_ONLY,
    READ_ONLY_TOKENS,
    TOO_LARGE,
    challenge,
    unknown,
)
from gatewaycore.rules.container.backend import Backend, Place
from gatewaycore.rules.container.broker import GRANT_S, NO_ACCESS, NO_LOGIN, Errand, TokenConversation, nobody
from gatewaycore.rules.container.clients import keeps_credentials, survives
from gatewaycore.rules.container.conversation import ImageConversation, Pass, Show
from gatewaycore.rules.container.index import Entry, ImageIndex, twins
from gatewaycore.rules.container.memory import Memory
from gatewaycore.rules.container.paths import GRANT_PATH, PREFIX, Blob, ImageCall, Manifest, Ping, Tokens, parse
from gatewaycore.rules.container.patterns import ImagePattern
from gatewaycore.rules.container.tokens import (
    FORM_BYTES,
    LONGEST_PASSWORD,
    NOBODY,
    TokenRequest,
    basic_credentials,
    bearer,
    from_form,
    from_query,
    unpack,
)
from gatewaycore.rules.container.way import Way

PACKAGE_TYPE = "container"

Mode: TypeAlias = Literal["passed", "open", "own"]
"""Who answers a domain's ping: its registry; the gateway, which asks for nothing; or the gateway, with a challenge of its own."""

MOST_ERRANDS = 4
"""Registries that one token may be for."""

_NOTHING: Mapping[str, str] = {}
_BYTE_RANGE = re.compile(r"bytes=[0-9, -]{1,200}")
_PLAIN_REDIRECT = Headers([API_VERSION])
# A cache that kept such a redirect for every client would send those to the backend who cannot authenticate there.
_CHOSEN_REDIRECT = Headers([API_VERSION, ("vary", "User-Agent, Authorization")])
_LOGIN, _PUBLIC = "Login ", "Public"


@define(slots=True)
class Asked:
    """The note from `match` to `decide`: a call for an image that is served, and the registry that it is asked of."""

    call: ImageCall
    registry: RegistryRoute


@define(slots=True, eq=False)
class ContainerRoute:
    """One image or one pattern of images. Nobody mutates it.

    Attributes:
        domain, pattern, priority: as every route has them.
        image: a repository's name, or a pattern.
        place: where it is.
        way: how requests reach it.
        mirrors: where it is too.
        id: stands for the package in events instead of the image's name; a collection's never does.
        login: the registry that checks credentials on this domain, as its settings name it, or None.
    """

    steady: ClassVar[bool] = False

    domain: str
    pattern: Api
    image: str | ImagePattern
    place: Place
    way: Way
    mirrors: tuple[Place, ...] = ()
    id: str | None = None
    login: str | None = None
    priority: int = 0

    @property
    def label(self) -> str:
        """What is typed behind ``docker pull``."""
        return f"{self.domain}/{self.image}"

    @property
    def package(self) -> str:
        """The id, or the image's name or pattern."""
        return self.id or str(self.image)

    @property
    def is_renamed(self) -> bool:
        """Whether the image has another name at its backend."""
        return self.place.repository is not None and self.place.repository != self.image

    @property
    def takes_tokens(self) -> bool:
        """Whether its backend wants tokens."""
        return self.place.backend.auth == "token"

    def decide(self, request: Request, match: Match) -> Decision:
        """Redirect to the backend, or proxy it."""
        asked = match.detail
        return asked.registry.decide_image(request, self, asked.call) if isinstance(asked, Asked) else unknown(str(self.image))

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
    """Every image and pattern of one domain: the registry that clients see. Nobody mutates it, but for what it remembers.

    Attributes:
        domain, pattern, priority: as every route has them.
        mode: who answers the ping.
        routes: in file order.
        ping: the route whose backend answers it, where one does.
        ping_proxied: whether that is proxied for everybody.
        logins: the registry that checks credentials, in each of its settings; empty where none does.
        users: hashes of the passwords of the gateway's own users.
        keys: of each backend that has tokens, what tells them from the others' in what clients carry; one alone needs none.
        memory: what was learned of the backends.
    """

    steady: ClassVar[bool] = False

    domain: str
    pattern: Api
    mode: Mode
    routes: tuple[ContainerRoute, ...]
    ping: ContainerRoute
    ping_proxied: bool
    logins: tuple[Backend, ...]
    users: frozenset[str]
    keys: Mapping[Backend, str]
    _index: ImageIndex[ContainerRoute]
    memory: Memory = field(factory=Memory)
    priority: int = 0

    @property
    def packed(self) -> bool:
        """Whether several backends have tokens here, which are told apart in what clients carry."""
        return len(self.keys) > 1

    @property
    def takes_logins(self) -> bool:
        """Whether a client may have credentials for this domain."""
        return bool(self.logins or self.users)

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
        route = self._index.find(call.name)
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
                if request.method == "GET":
                    return self._grant(request, from_query(request.query, request.headers))
                return Collect(FORM_BYTES, partial(self._receive_form, request), TOO_LARGE)
            case _:
                return self._ping(request)

    def observe(self, request: Request, match: Match, entry: Mapping[str, str] | None = None) -> Observation | None:
        """Return a ping; a refusal is no event, and neither is a token."""
        return Observation(None, PACKAGE_TYPE, self.label, "ping") if isinstance(match.detail, Ping) else None

    def forget(self) -> None:
        """Forget what was learned of the backends."""
        self.memory.clear()

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
        return Proxy(partial(ImageConversation, request, ping, (route.place,), Pass(), self.memory))

    def decide_image(self, request: Request, route: ContainerRoute, call: ImageCall) -> Decision:
        """Redirect, proxy or broker a request for an image of this domain."""
        if self._redirects(request, route, call.name):
            return self._redirect(request, route, call.at(route.place.name(call.name)))
        shown = self._shown(request, route, call.name)
        if isinstance(shown, Respond):
            return shown
        places = (route.place, *route.mirrors)
        if len(places) == 1:
            return Proxy(partial(ImageConversation, request, call, places, shown, self.memory))
        deadline_s = route.way.deadline_s
        # Each has its share of the time, or one that hangs would leave none for the others.
        return Proxy(partial(ImageConversation, request, call, places, shown, self.memory, deadline_s / len(places)), deadline_s)

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
        if self.users or (self.takes_logins and backend not in self.logins):
            return False
        return survives(agent, credentials=False, public=way.public, ping="own")

    def _keeps_to_itself(self, request: Request, backend: Backend, agent: str | None, shown: bool) -> bool:
        """Tell whether a client that is redirected to a registry that asks nobody shows it nothing that is for this domain."""
        host = backend.registry.partition(":")[0]
        if shown and (host == request.host or host.endswith(f".{request.host}")):
            # Go's clients take their tokens along to hosts below the one that they are for, and to its other ports.
            return False
        return not self.takes_logins or keeps_credentials(agent)

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
        part = None if token is None else self._part(token, route.place.backend)
        if part is None:
            return self._challenge(request, name, None if token is None else "insufficient_scope")
        return self._show(request, route, name, part)

    def _part(self, token: str, backend: Backend) -> str | None:
        """Return what a token holds for one backend; "" where that needs none, None where it holds nothing for it."""
        if token == NOBODY:
            return ""
        parts = unpack(token)
        if parts is not None:
            return parts.get(self.keys[backend])
        # A token as a registry gave it is that registry's: of several, nobody can tell whose it is.
        return None if self.packed else f"Bearer {token}"

    def _show(self, request: Request, route: ContainerRoute, name: str, part: str) -> Show | Respond:
        own, way = route.place.backend.credentials, route.way
        again = self._challenge(request, name, "invalid_token")
        if part == _PUBLIC or part.startswith(_LOGIN):
            _, password = basic_credentials(f"Basic {part.removeprefix(_LOGIN)}") or ("", None)
            if own is None or not way.admits(password):
                return again
            return Show(own.basic, None, way.public)
        if not part:
            return Show(None, self._challenge(request, name), public=True)
        return Show(part, again, way.public or self.memory.is_anonymous(part.removeprefix("Bearer ")))

    def _challenge(self, request: Request, name: str | None = None, error: str | None = None) -> Respond:
        return challenge(f"{request.origin}{GRANT_PATH}", request.host, name, error)

    # --- tokens -----------------------------------------------------------------------------------------------

    def _receive_form(self, request: Request, body: bytes) -> Reception:
        asked = from_form(body)
        return Reception(BAD_GRANT if asked is None else self._grant(request, asked))

    def _grant(self, request: Request, asked: TokenRequest) -> Respond | Proxy:
        """Return the token that a client asks for, or the conversation that fetches it."""
        if len(asked.password or "") > LONGEST_PASSWORD:
            return NO_ACCESS
        if not asked.repositories:
            return self._log_in(request, asked)
        errands: dict[Backend, Errand] = {}
        refused = False
        for backend, routes in self._wanted(asked).items():
            errand = self._errand(backend, routes, asked)
            refused = refused or errand is None
            if errand is not None and len(errands) < MOST_ERRANDS:
                errands[backend] = errand
        if errands:
            return self._fetch(request, tuple(errands.values()))
        return NO_ACCESS if refused else nobody(request.received_at)

    def _wanted(self, asked: TokenRequest) -> dict[Backend, dict[str, ContainerRoute]]:
        """Return the images asked about that need a token: by backend, and by their names there."""
        found: dict[Backend, dict[str, ContainerRoute]] = {}
        for name in asked.repositories:
            route = self._index.find(name)
            if route is not None and route.takes_tokens:
                found.setdefault(route.place.backend, {})[route.place.name(name)] = route
        return found

    def _errand(self, backend: Backend, routes: Mapping[str, ContainerRoute], asked: TokenRequest) -> Errand | None:
        """Return what to fetch of one backend, and with whose credentials; None where this client gets nothing."""
        own = backend.credentials
        dispensable = all(route.mirrors for route in routes.values())
        if own is None:
            # A password that is for this gateway would be a stranger's there, and no reason to refuse what everybody gets.
            if asked.has_credentials and backend in self.logins and not self._knows(asked.password):
                return self._clients_own(backend, tuple(routes), asked, dispensable)
            return Errand(backend, self.keys[backend], tuple(routes), dispensable=dispensable)
        admitted = [name for name, route in routes.items() if route.way.admits(asked.password)]
        if not admitted:
            return None
        public = all(routes[name].way.public for name in admitted)
        part = _PUBLIC if public else _LOGIN + b64encode(f"{asked.username or ''}:{asked.password or ''}".encode()).decode()
        return Errand(backend, self.keys[backend], tuple(admitted), own.basic, own.username, part=part, dispensable=dispensable)

    def _clients_own(self, backend: Backend, names: tuple[str, ...], asked: TokenRequest, dispensable: bool = False) -> Errand:
        return Errand(
            backend,
            self.keys[backend],
            names,
            asked.basic,
            asked.username or "",
            asked.refresh_token,
            asked.offline,
            asked.client_id,
            part=asked.basic or "",
            dispensable=dispensable,
        )

    def _log_in(self, request: Request, asked: TokenRequest) -> Respond | Proxy:
        """Answer whoever asks for no image: a login, which checks credentials, or a client that wants any token."""
        if not asked.has_credentials:
            return nobody(request.received_at)
        if self._knows(asked.password):
            return nobody(request.received_at)
        if self.logins:
            return self._fetch(request, (self._clients_own(self.logins[0], (), asked),))
        return NO_ACCESS if self.users else NO_LOGIN

    def _knows(self, password: str | None) -> bool:
        """Tell whether this is the password of one of the gateway's own users."""
        return password is not None and admits(self.users, password)

    def _fetch(self, request: Request, errands: tuple[Errand, ...]) -> Proxy:
        return Proxy(partial(TokenConversation, request, errands, self.packed, self.memory), GRANT_S)


def entry(route: ContainerRoute) -> Entry[ContainerRoute]:
    """Return a route as the index of its domain takes it."""
    return Entry(route.image, route.priority, route)


def _is_basic(value: str) -> bool:
    return value.lstrip()[:6].lower() in ("basic", "basic ", "basic\t")
