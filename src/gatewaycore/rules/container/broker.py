"""The broker: tokens for the clients of a domain, from the token servers of its backends.

A client knows one registry, the gateway. What it asks for is asked at the registry that has the image, under the name that the image has
there. Credentials go to the token server of the one backend they belong to, and to no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from attrs import evolve, frozen

from gatewaycore.decision import Failure, Read, Respond, Step, Upstream
from gatewaycore.headers import Headers
from gatewaycore.request import Request
from gatewaycore.rules.container.answers import FAILURES, FOREIGN, NONSENSE, busy, denied, token
from gatewaycore.rules.container.backend import Backend
from gatewaycore.rules.container.challenges import Foreign, Realm, Wanted, wanted
from gatewaycore.rules.container.memory import Memory
from gatewaycore.rules.container.paths import Ping
from gatewaycore.rules.container.tokens import (
    ANSWER_BYTES,
    NOBODY,
    SHORTEST_S,
    Granted,
    granting,
    pack,
    parse_granted,
    refresh_form,
    token_query,
)

LOOKUP_S = 10.0
"""How long a backend may take to say what it wants, and a token server to answer: a client waits for both."""

GRANT_S = 20.0
"""How long a client waits for a token, of however many registries."""

REFUSED = denied("the registry gives no token for these credentials")
NO_ACCESS = denied("this gateway gives no token for these credentials")
NO_LOGIN = denied("this gateway has several registries behind it, and none of them is named to check credentials (login-backend)")


@frozen
class Errand:
    """One token to fetch.

    Attributes:
        backend: of whose images.
        key: what tells its tokens from those of the domain's other backends.
        repositories: their names there; none for a login.
        authorization: what is shown to its token server, as an ``Authorization`` field, or None.
        account: whose that is; "".
        refresh_token: what is shown instead, or None.
        offline: whether a refresh token is wanted.
        client_id: what the client says it is.
        part: what the client carries back where a registry has no token server, and wants a password with each request.
        dispensable: whether the images are at hand without this registry too: they have mirrors.
    """

    backend: Backend
    key: str
    repositories: tuple[str, ...] = ()
    authorization: str | None = None
    account: str = ""
    refresh_token: str | None = None
    offline: bool = False
    client_id: str = ""
    part: str = ""
    dispensable: bool = False

    @property
    def is_anonymous(self) -> bool:
        """Whether anybody would get what it gets."""
        return self.authorization is None and self.refresh_token is None


class TokenConversation:
    """One answer of the token endpoint (see `gatewaycore.decision.Conversation`).

    Args:
        request: the client's.
        errands: what to fetch, one for each backend.
        packed: whether the domain has several backends, whose tokens are told apart.
        memory: of this domain.
    """

    def __init__(self, request: Request, errands: Sequence[Errand], packed: bool, memory: Memory) -> None:
        self._agent = request.headers.get("user-agent")
        self._now: datetime = request.received_at
        self._left = list(errands)
        self._packed = packed
        self._memory = memory
        self._stage: Literal["lookup", "proof", "fetch"] = "lookup"
        self._parts: dict[str, str] = {}
        self._granted: list[Granted] = []
        self._refusal: Respond | None = None

    def start(self) -> Step:
        """Return the first request, or the token where none is needed."""
        return self._go_on()

    @property
    def _errand(self) -> Errand:
        return self._left[0]

    def _go_on(self) -> Step:
        while self._left:
            backend = self._errand.backend
            found = self._memory.wanted(backend, self._now)
            if found is None:
                self._stage = "lookup"
                # The same for everybody, and so asked once for all who wait for it.
                return self._ask(f"{backend.origin}{Ping().at()}", None, shared=True)
            step = self._run(found)
            if step is not None:
                return step
            self._left.pop(0)
        return self._finish()

    def _run(self, found: Wanted) -> Step | None:
        """Return the next request of an errand, or None when it is done."""
        errand = self._errand
        if isinstance(found, Foreign):
            return evolve(FOREIGN, note=found.note(errand.backend))
        if isinstance(found, Realm):
            return self._fetch(found)
        if found == "basic" and errand.authorization is not None and not errand.repositories:
            # A login: the only way to learn whether the password is right is to try it.
            self._stage = "proof"
            return self._ask(f"{errand.backend.origin}{Ping().at()}", errand.authorization)
        self._parts[errand.key] = errand.part if found == "basic" else ""
        return None

    def _fetch(self, realm: Realm) -> Upstream:
        errand = self._errand
        self._stage = "fetch"
        if errand.refresh_token is not None:
            form = refresh_form(realm.service, errand.repositories, errand.refresh_token, errand.client_id)
            return self._ask(realm.url, None, body=form)
        query = token_query(realm.service, errand.repositories, errand.account, errand.offline, errand.client_id)
        return self._ask(realm.asking(query), errand.authorization)

    def _ask(self, url: str, authorization: str | None, *, body: bytes = b"", shared: bool = False) -> Upstream:
        lines = [("accept", "application/json"), ("accept-encoding", "identity")]
        if self._agent is not None and not shared:
            lines.append(("user-agent", self._agent))
        if authorization is not None:
            lines.append(("authorization", authorization))
        if body:
            lines.append(("content-type", "application/x-www-form-urlencoded"))
        method = "POST" if body else "GET"
        return Upstream(method, url, Headers(lines), body, private=self._errand.backend.private, shared=shared, timeout_s=LOOKUP_S)

    def receive(self, status: int, headers: Headers) -> Step:
        """Take what a registry wants, or what its token server gives."""
        if self._stage == "lookup":
            found = wanted(self._errand.backend, status, headers.get_all("www-authenticate"))
            if found is None:
                return self._skip(_unavailable(status, headers))
            self._memory.learn(self._errand.backend, found, self._now)
            step = self._run(found)
            return step if step is not None else self._done()
        if status == 200 and self._stage == "fetch":
            return Read(ANSWER_BYTES, self._take)
        if 200 <= status < 300 and self._stage == "proof":
            self._parts[self._errand.key] = self._errand.part
            return self._done()
        # 400 is what OAuth 2.0 answers to a grant that does not do (RFC 6749 §5.2).
        if status in (401, 403) or (status == 400 and not self._errand.is_anonymous):
            return self._deny(REFUSED)
        if status == 429 or status >= 500:
            return self._skip(_unavailable(status, headers))
        self._look_again()
        note = f"the token server of {self._errand.backend.registry} answers with {status}"
        return self._skip(evolve(NONSENSE, note=note))

    def fail(self, reason: Failure) -> Step:
        """Do without, where mirrors have the images; else answer for what gave no answer."""
        if self._stage == "fetch":
            self._look_again()
        return self._skip(FAILURES[reason])

    def _look_again(self) -> None:
        """Have a token server that may have moved looked up anew the next time; not where mirrors are turned to because it is known."""
        if not self._errand.dispensable:
            self._memory.forget(self._errand.backend)

    def _take(self, body: bytes | None) -> Step:
        granted = None if body is None else parse_granted(body)
        if granted is None:
            self._look_again()
            note = f"the token server of {self._errand.backend.registry} answers without a token"
            return self._skip(evolve(NONSENSE, note=note))
        if self._errand.is_anonymous:
            self._memory.note_anonymous(granted.token)
        self._parts[self._errand.key] = f"Bearer {granted.token}"
        # The gateway's own login is nobody's to keep.
        self._granted.append(granted if self._errand.offline else evolve(granted, refresh_token=None))
        return self._done()

    def _deny(self, answer: Respond) -> Step:
        self._refusal = self._refusal or answer
        return self._done()

    def _skip(self, answer: Respond) -> Step:
        if not self._errand.dispensable:
            return answer
        self._parts[self._errand.key] = ""
        return self._done()

    def _done(self) -> Step:
        self._left.pop(0)
        return self._go_on()

    def _finish(self) -> Respond:
        if not self._parts and self._refusal is not None:
            return self._refusal
        shown = {key: part for key, part in self._parts.items() if part}
        if self._packed:
            carried = pack(self._parts)
        elif not shown:
            carried = NOBODY
        else:
            part = next(iter(shown.values()))
            carried = part.removeprefix("Bearer ") if part.startswith("Bearer ") else pack(shown)
        seconds = min((granted.expires_in for granted in self._granted), default=SHORTEST_S)
        issued = self._granted[0].issued_at if len(self._granted) == 1 else None
        refresh = next((granted.refresh_token for granted in self._granted if granted.refresh_token is not None), None)
        return token(granting(carried, seconds, self._now, issued, refresh))


def _unavailable(status: int, headers: Headers) -> Respond:
    if status == 429 or status >= 500:
        return busy(429 if status == 429 else 503, headers.get("retry-after"))
    return evolve(NONSENSE, note=f"a registry answers with {status} where it should say what it wants")


def nobody(now: datetime) -> Respond:
    """Return the token of those who need none, or ask about nothing that is here."""
    return token(granting(NOBODY, SHORTEST_S, now))
