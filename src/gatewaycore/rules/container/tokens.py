"""Tokens: what clients ask of a token endpoint, what they carry back, and what a token server's answer is (distribution's token
specification, and its OAuth2 form).

A token of one registry is opaque and passes as it is. Where a domain has several registries, a client keeps one token for all of them: it
holds one for each registry asked about, and each registry sees its own only.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

from attrs import frozen

from gatewaycore.headers import Headers
from gatewaycore.rules.container.backend import basic
from gatewaycore.rules.container.names import is_repository

NOBODY = "anonymous"
"""The token of those who need none: clients want to carry one."""

MAX_SCOPES = 32
FORM_BYTES = 64 * 1024
ANSWER_BYTES = 256 * 1024
"""Token servers answer with one token, of a few thousand bytes."""

SHORTEST_S = 60
"""How long a token is good for that does not say so (distribution's token specification, ``expires_in``)."""

LONGEST_PASSWORD = 4096
"""Characters: more than a registry's own token has that is used as one, and few enough to hash for whoever asks."""

_PREFIX = "gw1."
_NO_WORD = re.compile(r"[^\x21-\x7e]")
_LONGEST = 64 * 1024


@frozen
class TokenRequest:
    """What a client asks of the token endpoint.

    Attributes:
        repositories: the names, as the client says them, that it wants to pull from; none is a login.
        username, password: what it shows of itself, or None.
        refresh_token: the same, from an earlier login.
        offline: whether it wants a refresh token.
        client_id: what it says it is; "".
    """

    repositories: tuple[str, ...] = ()
    username: str | None = None
    password: str | None = None
    refresh_token: str | None = None
    offline: bool = False
    client_id: str = ""

    @property
    def has_credentials(self) -> bool:
        """Whether it shows anything of itself."""
        return self.password is not None or self.refresh_token is not None

    @property
    def basic(self) -> str | None:
        """Its name and password as an ``Authorization`` field."""
        return None if self.password is None else basic(self.username or "", self.password)


def from_query(query: str, headers: Headers) -> TokenRequest:
    """Read a GET: scopes in the query, name and password in ``Authorization``."""
    fields = _fields(query)
    username, password = basic_credentials(headers.get("authorization")) or (None, None)
    return TokenRequest(
        _repositories(fields.get("scope", [])),
        username,
        password,
        None,
        _last(fields, "offline_token").lower() == "true",
        _client_id(fields),
    )


def from_form(body: bytes) -> TokenRequest | None:
    """Read a POST: everything in the form (distribution's OAuth2 specification); None where it is no grant that is known here."""
    fields = _fields(body.decode("utf-8", "replace"))
    repositories = _repositories(fields.get("scope", []))
    offline, client_id = _last(fields, "access_type") == "offline", _client_id(fields)
    grant = _last(fields, "grant_type")
    if grant == "refresh_token" and "refresh_token" in fields:
        return TokenRequest(repositories, None, None, _last(fields, "refresh_token"), offline, client_id)
    if grant == "password" and "password" in fields:
        return TokenRequest(repositories, _last(fields, "username"), _last(fields, "password"), None, offline, client_id)
    return None


def basic_credentials(value: str | None) -> tuple[str, str] | None:
    """Return name and password of an ``Authorization`` field (RFC 7617), or None."""
    scheme, _, encoded = (value or "").strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = b64decode(encoded.strip(), validate=True).decode("utf-8", "replace").partition(":")
    except ValueError:
        return None
    return (name, password) if colon else None


def bearer(headers: Headers) -> str | None:
    """Return the Bearer token of a request (RFC 6750 §2.1), or None."""
    scheme, _, token = (headers.get("authorization") or "").strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _fields(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=100, errors="replace")
    except ValueError:
        return found
    for name, value in pairs:
        # Lone surrogates cannot be encoded, and nobody sends them: an adapter's decoding may.
        found.setdefault(name, []).append(value if value.isascii() else value.encode("utf-8", "replace").decode())
    return found


def _client_id(fields: Mapping[str, Sequence[str]]) -> str:
    return _NO_WORD.sub("", _last(fields, "client_id"))[:128]


def _last(fields: Mapping[str, Sequence[str]], name: str) -> str:
    return fields.get(name, [""])[-1]


def _repositories(scopes: Sequence[str]) -> tuple[str, ...]:
    """Return the names in scopes, which may be repeated or stand in one with spaces between; what is asked of them is to pull."""
    names: dict[str, None] = {}
    for text in " ".join(scopes).split()[:MAX_SCOPES]:
        kind, _, rest = text.partition(":")
        name, _, actions = rest.rpartition(":")
        # "repository(plugin)" is an older spelling. Whoever wants to push only gets nothing.
        if kind.partition("(")[0] == "repository" and is_repository(name) and {"pull", "*"} & set(actions.split(",")):
            names[name] = None
    return tuple(names)


# --- what a client carries -----------------------------------------------------------------------------------------------


def pack(parts: Mapping[str, str]) -> str:
    """Make one token of what each backend is to see, by its key: "Bearer …", "Basic …"."""
    text = json.dumps(parts, separators=(",", ":"), sort_keys=True)
    return _PREFIX + urlsafe_b64encode(text.encode()).decode().rstrip("=")


def unpack(token: str) -> Mapping[str, str] | None:
    """Return what `pack` was given, or None for a token of another make."""
    if not token.startswith(_PREFIX) or len(token) > _LONGEST:
        return None
    text = token[len(_PREFIX) :]
    try:
        parts = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, RecursionError):
        return None
    if not isinstance(parts, dict) or not all(
        isinstance(value, str) and value.isascii() and value.isprintable() for value in parts.values()
    ):
        return None
    return parts


# --- what token servers say ----------------------------------------------------------------------------------------------


@frozen
class Granted:
    """A token, as its server gave it.

    Attributes:
        token: opaque.
        expires_in: seconds.
        issued_at: as its server said, or None.
        refresh_token: for those who logged in and asked for one, or None.
    """

    token: str
    expires_in: int = SHORTEST_S
    issued_at: str | None = None
    refresh_token: str | None = None


def parse_granted(body: bytes) -> Granted | None:
    """Read a token server's answer; None where there is no token in it that a header field can carry."""
    try:
        said: Any = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    # `access_token` is OAuth 2.0's name for it; both are the same where both are there.
    token = said.get("token") or said.get("access_token")
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or " " in token or len(token) > _LONGEST:
        return None
    seconds, issued, refresh = said.get("expires_in"), said.get("issued_at"), said.get("refresh_token")
    return Granted(
        token,
        seconds if isinstance(seconds, int) and not isinstance(seconds, bool) and seconds > 0 else SHORTEST_S,
        issued if isinstance(issued, str) and len(issued) < 64 else None,
        refresh if isinstance(refresh, str) and refresh else None,
    )


def granting(token: str, expires_in: int, now: datetime, issued_at: str | None = None, refresh_token: str | None = None) -> bytes:
    """Return the body of an answer of the token endpoint; some clients look for `token`, others for `access_token`."""
    said = {
        "token": token,
        "access_token": token,
        "expires_in": expires_in,
        "issued_at": issued_at or now.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    if refresh_token is not None:
        said["refresh_token"] = refresh_token
    return json.dumps(said).encode()


def token_query(service: str, repositories: Sequence[str], account: str = "", offline: bool = False, client_id: str = "") -> str:
    """Return the query of a GET at a token server, which asks to pull."""
    pairs = [("service", service)] if service else []
    pairs += [("account", account)] if account else []
    pairs += [("client_id", client_id)] if client_id else []
    pairs += [("offline_token", "true")] if offline else []
    pairs += [("scope", f"repository:{name}:pull") for name in repositories]
    return urlencode(pairs)


def refresh_form(service: str, repositories: Sequence[str], refresh_token: str, client_id: str) -> bytes:
    """Return the form of a POST at a token server, for those who have logged in before."""
    pairs = [
        ("grant_type", "refresh_token"),
        ("service", service),
        ("client_id", client_id or "gatewaycore"),
        ("refresh_token", refresh_token),
    ]
    if repositories:
        pairs.append(("scope", " ".join(f"repository:{name}:pull" for name in repositories)))
    return urlencode(pairs).encode()
