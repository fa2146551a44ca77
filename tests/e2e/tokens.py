"""A token server, as registries have them: the token specification of distribution, by GET, and its OAuth2 variant, by POST.

<https://distribution.github.io/distribution/spec/auth/token/> and .../oauth/. Tokens are JWTs, signed with ES256; the certificate that a
registry believes them by travels in `x5c`.
"""

from __future__ import annotations

import base64
import secrets
import ssl
import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import jwt
import trustme
from attrs import define, field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.e2e.https import Seen, see

PATH = "/token"
_LIFETIME_S = 300
_WHO = "who are you?"


@define
class Tokens:
    """Gives tokens for one service. Anybody may pull what is public, and whoever has a password everything.

    Attributes:
        issuer: its name, in every token.
        service: the registry's name, and the tokens' audience.
        passwords: user -> password.
        public: repositories that need no password.
        takes_forms: whether it knows the OAuth2 variant; otherwise it answers POST with 405, and gives no refresh tokens.
        seen: every request, in the order of the answers.
    """

    issuer: str
    service: str
    passwords: Mapping[str, str]
    public: Collection[str]
    takes_forms: bool = True
    seen: list[Seen] = field(factory=list)
    _signer: trustme.CA = field(factory=trustme.CA)
    _refresh_tokens: dict[str, str] = field(factory=dict)

    @property
    def certificate(self) -> bytes:
        """The certificate that its tokens are believed by, in PEM."""
        return self._signer.cert_pem.bytes()

    async def answer(self, request: Request) -> Response:
        """Answer a request for a token."""
        # Not yet answered; `_respond` looks at everything else.
        response = self._respond(await see(request, 0))
        self.seen.append(await see(request, response.status_code))
        return response

    def _respond(self, seen: Seen) -> Response:
        if seen.path != PATH:
            return Response(status_code=404)
        if seen.method != "GET" and not (seen.method == "POST" and self.takes_forms):
            return Response(status_code=405)
        asked = seen.form if seen.method == "POST" else seen.query
        if asked.get("service") != [self.service]:
            return JSONResponse({"details": f"the service is {self.service}"}, 400)
        user = self._user(seen)
        if user is None:
            return JSONResponse({"details": _WHO}, 401, {"www-authenticate": f'Basic realm="{self.issuer}"'})
        scopes = " ".join(asked.get("scope", [])).split()
        token = self._sign(user, list(self._granted(user, scopes)))
        given: dict[str, Any] = {"access_token": token, "expires_in": _LIFETIME_S, "scope": " ".join(scopes)}
        if seen.method == "GET":
            given["token"] = token
        # A refresh token is sent in a form.
        if user and self.takes_forms and (asked.get("offline_token") == ["true"] or asked.get("access_type") == ["offline"]):
            given["refresh_token"] = secrets.token_urlsafe()
            self._refresh_tokens[given["refresh_token"]] = user
        return JSONResponse(given)

    def _user(self, seen: Seen) -> str | None:
        """Return who asks, "" for anybody; None is refused."""
        if seen.form.get("grant_type") == ["refresh_token"]:
            return self._refresh_tokens.get(seen.form.get("refresh_token", [""])[-1])
        given = seen.credentials
        if given:
            return given.user if self.passwords.get(given.user) == given.password else None
        # A header that says nothing, and a form without a password, are no anonymous requests.
        return None if seen.scheme or seen.method == "POST" else ""

    def _granted(self, user: str, scopes: Iterable[str]) -> Iterable[dict[str, Any]]:
        for scope in scopes:
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            readable = kind == "repository" and (bool(user) or name in self.public)
            if readable and "pull" in actions.split(","):
                yield {"type": kind, "name": name, "actions": ["pull"]}

    def _sign(self, user: str, access: list[dict[str, Any]]) -> str:
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": user,
            "aud": self.service,
            "iat": now,
            # A registry whose clock is read a moment earlier believes it too.
            "nbf": now - 10,
            "exp": now + _LIFETIME_S,
            "jti": secrets.token_hex(8),
            "access": access,
        }
        certificate = base64.b64encode(ssl.PEM_cert_to_DER_cert(self.certificate.decode())).decode()
        return jwt.encode(claims, self._signer.private_key_pem.bytes(), algorithm="ES256", headers={"x5c": [certificate]})
