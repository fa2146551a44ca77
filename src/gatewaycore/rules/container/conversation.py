"""Fetching an image: what is sent to its backend and its mirrors, and what of their answers reaches the client.

Almost everything passes untouched: digests, ranges, a backend's own challenge where the client authenticates there. A redirect that stays
with the backend's API is followed, a few times; any other is passed on to the client, so that image bytes do not flow through the gateway
and no answer chooses where the gateway connects to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from urllib.parse import urlsplit

from attrs import evolve, frozen

from gatewaycore.decision import STATUSES, Failure, Read, Relay, Respond, Step, Upstream
from gatewaycore.headers import Headers
from gatewaycore.request import Request
from gatewaycore.rules.container.answers import ASTRAY, CIRCLE, FAILURES, FOREIGN, JSON, NONSENSE, REFUSED, busy
from gatewaycore.rules.container.backend import Backend, Place
from gatewaycore.rules.container.challenges import Foreign, Realm, passed_on, wanted
from gatewaycore.rules.container.memory import Kept, Memory
from gatewaycore.rules.container.names import is_digest
from gatewaycore.rules.container.passing import relayed, sent
from gatewaycore.rules.container.paths import ImageCall, Manifest, Ping, Tags
from gatewaycore.rules.container.renaming import ERROR_BYTES, PASSED, TAGS_BYTES, Renaming
from gatewaycore.rules.container.tokens import ANSWER_BYTES, parse_granted, token_query
from gatewaycore.rules.leading import leads_inside, locate, origin

MOST_HOPS = 4
"""Redirects of one backend that are followed for one request."""

_STATUSES = range(200, 600)
_NO_BODY = frozenset({204, 304})


@frozen
class Pass:
    """The client's own ``Authorization`` is sent, to the first place: it was made for that registry, by its own challenge."""


@frozen
class Show:
    """Something else is shown to the first place.

    Attributes:
        authorization: the value of the field, or None for nothing at all.
        challenge: what the client is answered when that does not do; None where it is the gateway's own, and nothing that a client shows
            would mend it.
        public: whether what it gets is everybody's.
    """

    authorization: str | None
    challenge: Respond | None
    public: bool = False


class ImageConversation:
    """One request for an image, or for a domain's registry, proxied (see `gatewaycore.decision.Conversation`).

    Args:
        request: the client's request; GET or HEAD.
        call: what it asks for; it has passed the grammar.
        places: where the image is, the first being asked first.
        way: what is shown there.
        memory: of this domain.
        timeout_s: for each place; None for as long as ever.
    """

    def __init__(
        self,
        request: Request,
        call: ImageCall | Ping,
        places: Sequence[Place],
        way: Pass | Show,
        memory: Memory,
        timeout_s: float | None = None,
    ) -> None:
        self._request = request
        self._call = call
        self._places = tuple(places)
        self._way = way
        self._memory = memory
        self._timeout_s = timeout_s
        self._at = 0
        self._url = ""
        self._hops = 0
        self._asks_token = False
        self._token: str | None = None
        self._refused: list[tuple[int, str | None]] = []
        self._failed: Failure | None = None
        self._note = ""

    # --- asking -----------------------------------------------------------------------------------------------

    def start(self) -> Upstream:
        """Return the client's request for the first place: repeated lines apart, and nobody's address."""
        return self._begin()

    def _begin(self) -> Upstream:
        place = self._places[self._at]
        self._hops = 0
        self._asks_token = False
        self._token = None if self._at == 0 else self._memory.mirror_token(place.backend, self._name, self._request.received_at)
        return self._ask(place.backend.url(self._call.at(self._name), self._request.query))

    @property
    def _backend(self) -> Backend:
        return self._places[self._at].backend

    @property
    def _name(self) -> str:
        """What the image is called where it is asked for now."""
        return "" if isinstance(self._call, Ping) else self._places[self._at].name(self._call.name)

    @property
    def _renaming(self) -> Renaming:
        here = "" if isinstance(self._call, Ping) else self._call.name
        return Renaming(self._backend.origin, self._name, here)

    def _ask(self, url: str) -> Upstream:
        self._url = url
        lines = sent(self._request)
        passes = isinstance(self._way, Pass) and self._at == 0
        if not passes:
            lines = [line for line in lines if line[0] != b"authorization"]
            shown = self._shown()
            if shown is not None:
                lines.append((b"authorization", shown.encode("latin-1", "replace")))
        if self._renaming.changes or self._may_keep:
            # What is read here, or kept for others, is wanted as it is.
            lines = [line for line in lines if line[0] != b"accept-encoding"]
        if self._renaming.changes:
            lines.append((b"accept-encoding", b"identity"))
            if isinstance(self._call, Tags):
                lines = [line for line in lines if line[0] not in (b"range", b"if-range")]
        return Upstream(self._request.method, url, Headers.from_raw(lines), private=self._backend.private, timeout_s=self._timeout_s)

    def _shown(self) -> str | None:
        """Return what is shown: to the first place what was decided, to a mirror the token that it gives to anybody."""
        if self._at > 0:
            return None if self._token is None else f"Bearer {self._token}"
        return self._way.authorization if isinstance(self._way, Show) else None

    @property
    def _may_keep(self) -> bool:
        """Whether the answer is a manifest that anybody may have."""
        if not isinstance(self._call, Manifest) or self._request.method != "GET":
            return False
        if self._at > 0:
            return True
        return self._way.public if isinstance(self._way, Show) else self._request.headers.first(b"authorization") is None

    # --- being answered ---------------------------------------------------------------------------------------

    def receive(self, status: int, headers: Headers) -> Step:
        """Pass the answer on, its end-to-end fields with it; or go on, to where it leads or to the next place."""
        if self._asks_token:
            return self._receive_token(status, headers)
        if status not in _STATUSES:
            # Interim answers are none, and what is beyond 599 is no status (RFC 9110 §15).
            return self.fail("protocol")
        if status in STATUSES and headers.first(b"location") is not None:
            return self._lead(status, headers)
        if status == 401:
            return self._unauthorized(status, headers)
        if status == 429 or status >= 500:
            self._refused.append((status, headers.get("retry-after")))
            return self._next() or self._pass_on(status, headers)
        if self._at > 0 and 400 <= status < 500 and status != 416:
            # A mirror that does not have it yet, or does not give it to everybody, says nothing of the image.
            return self._next() or self._give_up()
        return self._pass_on(status, headers)

    def fail(self, reason: Failure) -> Step:
        """Go on to the next place; or answer for a backend that did not."""
        # The first place is the image's own: why it gave no answer says more than why a mirror did not.
        self._failed = self._failed or reason
        self._asks_token = False
        return self._next() or self._give_up()

    def _next(self) -> Step | None:
        """Return the request for the next place; else the manifest that is at hand; None when there is neither."""
        if self._at + 1 < len(self._places):
            self._at += 1
            return self._begin()
        kept = self._kept()
        return None if kept is None else _from_memory(kept, self._call)

    def _kept(self) -> Kept | None:
        if not isinstance(self._call, Manifest) or not is_digest(self._call.reference):
            return None
        first = self._places[0]
        return self._memory.manifest(first.backend, first.name(self._call.name), self._call.reference)

    def _give_up(self) -> Respond:
        """Answer when nobody else is left to ask; the first that said when to come back is believed."""
        if self._refused:
            retry_after = next((when for _, when in self._refused if when is not None), None)
            answer = busy(429 if any(status == 429 for status, _ in self._refused) else 503, retry_after)
        else:
            answer = FAILURES[self._failed or "connect"]
        return evolve(answer, note=self._note)

    def _pass_on(self, status: int, headers: Headers) -> Step:
        if self._refused and len(self._places) > 1 and (status == 429 or status >= 500):
            return self._give_up()
        renaming = self._renaming
        lines = self._lines(status, headers, renaming)
        if renaming.changes and self._request.method != "HEAD" and status not in _NO_BODY:
            if status >= 400:
                return Read(ERROR_BYTES, lambda body: Respond(status, _of_json(lines), renaming.errors(status, body)))
            if isinstance(self._call, Tags):
                # A piece of it cannot be rewritten, and nobody was told that there are pieces.
                return Read(TAGS_BYTES, partial(self._tags, renaming, lines)) if status == 200 else NONSENSE
            if status >= 300:
                return Respond(status, _without_length(lines))
        found = self._found(status, headers)
        keep = None
        if self._may_keep and status == 200 and "digest" in found and headers.first(b"content-encoding") is None:
            first = self._places[0]
            name = first.name(self._call.name) if isinstance(self._call, Manifest) else ""
            keep = partial(self._memory.keep_manifest, first.backend, name, found["digest"], headers.get("content-type") or "")
        return Relay(status, Headers.from_raw(lines), found, keep)

    def _tags(self, renaming: Renaming, lines: list[tuple[bytes, bytes]], body: bytes | None) -> Step:
        renamed = None if body is None else renaming.tags(body)
        return NONSENSE if renamed is None else Respond(200, _of_json(lines), renamed)

    def _found(self, status: int, headers: Headers) -> Mapping[str, str]:
        """Return what the answer says of a manifest: which digest the tag stands for."""
        digest = headers.get("docker-content-digest")
        named = isinstance(self._call, Manifest) and 200 <= status < 300 and digest is not None and is_digest(digest)
        return {"digest": digest} if named and digest is not None else {}

    def _lines(self, status: int, headers: Headers, renaming: Renaming) -> list[tuple[bytes, bytes]]:
        """Return the fields as the client sees them. Where it leads, and what it asks for, are told apart from them."""
        lines: list[tuple[bytes, bytes]] = []
        for name, value in relayed(headers):
            if renaming.changes and name not in PASSED:
                continue
            if name == b"content-length" and (status == 204 or self._is_rewritten(status, renaming)):
                # RFC 9110 §8.6 forbids it there, and who believes it waits for a body; and what is rewritten has another length.
                continue
            if name == b"link":
                here = renaming.link(value.decode("latin-1"), self._url)
                if here is not None:
                    lines.append((name, here.encode("latin-1", "replace")))
            else:
                lines.append((name, value))
        return lines

    def _is_rewritten(self, status: int, renaming: Renaming) -> bool:
        return renaming.changes and (status >= 400 or isinstance(self._call, Tags))

    # --- being led elsewhere ----------------------------------------------------------------------------------

    def _lead(self, status: int, headers: Headers) -> Step:
        """Follow a redirect that stays with the backend's API, and pass any other on."""
        url = locate(self._url, headers.first(b"location") or b"")
        if url is None:
            return self.fail("protocol")
        parts = urlsplit(url)
        if origin(parts.scheme, parts.netloc) == self._backend.origin and parts.path.startswith("/v2/"):
            self._hops += 1
            if self._hops > MOST_HOPS:
                return self._distrust(CIRCLE, f"{self._backend.registry} redirects without end")
            return self._ask(url)
        if leads_inside(parts.hostname or "", private=self._backend.private):
            return self._distrust(ASTRAY, f"{self._backend.registry} redirects to an address inside of a network")
        lines = [*self._lines(status, headers, self._renaming), (b"location", url.encode("ascii"))]
        if self._renaming.changes:
            return Respond(status, _without_length(lines))
        return Relay(status, Headers.from_raw(lines))

    def _distrust(self, answer: Respond, note: str) -> Step:
        """Leave a place that leads where it should not: a mirror for the next one."""
        self._note = note
        if self._at > 0:
            return self._next() or self._give_up()
        # Not passed over, as other failures of the first place are: somebody may have taken it over, and should be noticed.
        return evolve(answer, note=note)

    # --- being asked for credentials --------------------------------------------------------------------------

    def _unauthorized(self, status: int, headers: Headers) -> Step:
        lines = headers.get_all("www-authenticate")
        renaming = self._renaming
        challenges = passed_on(self._backend, lines, f"repository:{renaming.here}:pull" if renaming.changes else None)
        if isinstance(challenges, Foreign):
            return self._distrust(FOREIGN, challenges.note(self._backend))
        if self._at > 0:
            return self._ask_for_token(lines)
        if isinstance(self._way, Pass):
            return self._challenge(headers, challenges)
        found, known = wanted(self._backend, status, lines), self._memory.wanted(self._backend, self._request.received_at)
        if found is not None:
            self._memory.learn(self._backend, found, self._request.received_at)
        if self._way.authorization is None and len(self._places) > 1 and (isinstance(known, Realm) or not isinstance(found, Realm)):
            # Its token server is known, and gave nothing; mirrors do.
            self._failed = self._failed or "connect"
            return self._next() or self._give_up()
        if self._way.challenge is None:
            note = f"{self._backend.registry} refuses what the gateway shows it"
            return self._next() or evolve(REFUSED, note=note)
        return self._way.challenge

    def _challenge(self, headers: Headers, challenges: Sequence[str]) -> Step:
        """Pass on what the registry wants to see, in our words."""
        lines = [(b"www-authenticate", text.encode("latin-1", "replace")) for text in challenges]
        return _with_lines(self._pass_on(401, headers), lines)

    def _ask_for_token(self, lines: Sequence[str]) -> Step:
        """Ask a mirror's token server for what it gives to anybody; what a client shows is for the first place alone."""
        realm = wanted(self._backend, 401, lines)
        if not isinstance(realm, Realm) or self._token is not None:
            self._memory.forget_mirror_token(self._backend, self._name)
            return self._next() or self._give_up()
        self._asks_token = True
        url = realm.asking(token_query(realm.service, [self._name]))
        headers = Headers([("accept", "application/json"), ("accept-encoding", "identity")])
        return Upstream("GET", url, headers, private=self._backend.private, timeout_s=self._timeout_s)

    def _receive_token(self, status: int, _: Headers) -> Step:
        if status != 200:
            return self.fail("protocol")
        return Read(ANSWER_BYTES, self._take_token)

    def _take_token(self, body: bytes | None) -> Step:
        granted = None if body is None else parse_granted(body)
        if granted is None:
            return self.fail("protocol")
        self._asks_token = False
        self._token = granted.token
        self._memory.keep_mirror_token(self._backend, self._name, granted.token, granted.expires_in, self._request.received_at)
        return self._ask(self._url)


def _from_memory(kept: Kept, call: ImageCall | Ping) -> Respond:
    digest = call.reference if isinstance(call, Manifest) else ""
    lines = [("content-type", kept.media_type), ("docker-content-digest", digest), ("etag", f'"{digest}"')]
    return Respond(200, Headers(lines), kept.body, kept=True)


def _with_lines(step: Step, lines: Sequence[tuple[bytes, bytes]]) -> Step:
    """Return the answer with these fields too, whether it is there already or follows from its body."""
    if isinstance(step, Read):
        answer = step.receive
        return evolve(step, receive=lambda body: _with_lines(answer(body), lines))
    return evolve(step, headers=Headers.from_raw([*step.headers.raw, *lines])) if isinstance(step, Relay | Respond) else step


def _of_json(lines: Sequence[tuple[bytes, bytes]]) -> Headers:
    """Return the fields of a body that was written anew: whatever the backend's was, this one is JSON."""
    ours = [(name.encode(), value.encode()) for name, value in JSON]
    return Headers.from_raw([*(line for line in lines if line[0] != b"content-type"), *ours])


def _without_length(lines: Sequence[tuple[bytes, bytes]]) -> Headers:
    return Headers.from_raw([line for line in lines if line[0] != b"content-length"])
