"""The token endpoint: what a client that asks for a token gets, with whose credentials, and what its token then stands for.

What has to be asked for it is the broker's affair (`gatewaycore.rules.container.broker`).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from functools import partial

from attrs import frozen

from gatewaycore.decision import Collect, Proxy, Reception, Respond
from gatewaycore.request import Request
from gatewaycore.rules.access import admits
from gatewaycore.rules.container.answers import BAD_GRANT, TOO_LARGE
from gatewaycore.rules.container.backend import Backend
from gatewaycore.rules.container.broker import GRANT_S, NO_ACCESS, NO_LOGIN, Errand, TokenConversation, nobody
from gatewaycore.rules.container.index import ImageIndex
from gatewaycore.rules.container.memory import Memory
from gatewaycore.rules.container.route import ContainerRoute
from gatewaycore.rules.container.tokens import (
    FORM_BYTES,
    LONGEST_PASSWORD,
    NOBODY,
    TokenRequest,
    basic_credentials,
    from_form,
    from_query,
    unpack,
)

MOST_ERRANDS = 4
"""Registries that one token may be for."""

_LOGIN, _PUBLIC = "Login ", "Public"


@frozen(eq=False)
class TokenEndpoint:
    """Where the tokens of one domain come from.

    Attributes:
        index: the images of the domain.
        logins: the registry that checks credentials, in each of its settings; empty where none does.
        users: hashes of the passwords of the gateway's own users.
        keys: of each backend that has tokens, what tells them from the others' in what clients carry; one alone needs none.
        memory: what was learned of the backends.
    """

    index: ImageIndex[ContainerRoute]
    logins: tuple[Backend, ...]
    users: frozenset[str]
    keys: Mapping[Backend, str]
    memory: Memory

    @property
    def packed(self) -> bool:
        """Whether several backends have tokens here, which are told apart in what clients carry."""
        return len(self.keys) > 1

    @property
    def takes_logins(self) -> bool:
        """Whether a client may have credentials for this domain."""
        return bool(self.logins or self.users)

    # --- giving -----------------------------------------------------------------------------------------------

    def decide(self, request: Request) -> Respond | Proxy | Collect:
        """Answer a GET, or a POST when its form is there."""
        if request.method == "GET":
            return self._grant(request, from_query(request.query, request.headers))
        return Collect(FORM_BYTES, partial(self._receive, request), TOO_LARGE)

    def _receive(self, request: Request, body: bytes) -> Reception:
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
            route = self.index.find(name)
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

    # --- taking -----------------------------------------------------------------------------------------------

    def part(self, token: str, backend: Backend) -> str | None:
        """Return what a token holds for one backend; "" where that needs none, None where it holds nothing for it."""
        if token == NOBODY:
            return ""
        parts = unpack(token)
        if parts is not None:
            return parts.get(self.keys[backend])
        # A token as a registry gave it is that registry's: of several, nobody can tell whose it is.
        return None if self.packed else f"Bearer {token}"

    def authorization(self, route: ContainerRoute, part: str) -> tuple[str | None, bool] | None:
        """Return what a backend is shown for a part of a token, and whether that is the gateway's own; None where it does not do."""
        own = route.place.backend.credentials
        if part == _PUBLIC or part.startswith(_LOGIN):
            _, password = basic_credentials(f"Basic {part.removeprefix(_LOGIN)}") or ("", None)
            return (own.basic, True) if own is not None and route.way.admits(password) else None
        return part or None, False
