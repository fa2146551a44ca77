"""Challenges: what a registry wants to see, and where its tokens come from (RFC 9110 §11.6.1, distribution's token specification).

This room reads what an upstream says of its token server, and decides whether that server is to be believed in. It knows no request.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

from attrs import field, frozen

from gatewaycore.outgoing import authority
from gatewaycore.rules.container.backend import Backend

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PIECE = re.compile(rf'[\s,]*(?:({_WORD})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))|({_WORD}))')
_QUOTED_PAIR = re.compile(r"\\(.)")
_LONGEST = 4096
_PASSED = ("realm", "service", "scope", "error", "charset")


@frozen
class Challenge:
    """One challenge.

    Attributes:
        scheme: lower-case: "bearer", "basic"; `ODD` for what nobody can tell how a client would read it.
        parameters: lower-case names to values.
    """

    scheme: str
    parameters: Mapping[str, str] = field(factory=dict)

    def __str__(self) -> str:
        # Written anew and not passed on: what was read is what a client reads.
        shown = ",".join(f'{name}="{_quoted(value)}"' for name, value in self.parameters.items())
        return f"{self.scheme.capitalize()} {shown}".rstrip()


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


ODD = "odd"


def parse_challenges(lines: Iterable[str]) -> list[Challenge]:
    """Return the challenges in ``WWW-Authenticate`` fields.

    A parameter that stands there twice, a line without an end, and whatever is no challenge makes one that is `ODD`: of two readers one may
    take the first of two realms, and the other the last.
    """
    return [challenge for line in lines for challenge in _parse(line)]


def _parse(line: str) -> list[Challenge]:
    found: list[Challenge] = []
    position = 0
    current: dict[str, str] | None = None
    while len(line) <= _LONGEST and (piece := _PIECE.match(line, position)) is not None:
        position = piece.end()
        name, quoted, bare, scheme = piece.groups()
        if scheme is not None:
            current = {}
            found.append(Challenge(scheme.lower(), current))
        elif current is None or name.lower() in current:
            return [Challenge(ODD)]
        else:
            current[name.lower()] = bare if quoted is None else _QUOTED_PAIR.sub(r"\1", quoted)
    return found if not line[position:].strip(" \t,") else [Challenge(ODD)]


@frozen
class Realm:
    """A registry's own token server.

    Attributes:
        url: where it is; absolute, without a fragment.
        service: how the registry calls itself there; "" where it does not.
    """

    url: str
    service: str = ""

    def asking(self, query: str) -> str:
        """Return the URL of a GET with this query."""
        return f"{self.url}{'&' if '?' in self.url else '?'}{query}" if query else self.url


@frozen
class Foreign:
    """A token server that is not the registry's own, and gets nothing.

    Attributes:
        host: where it is, as far as it says so: never more than ``host[:port]``.
    """

    host: str

    def note(self, backend: Backend) -> str:
        """Return what the operator should know; the host is what a stranger wrote, cut and without anything a terminal would obey."""
        shown = re.sub(r"[^A-Za-z0-9.:\[\]_-]", "?", self.host)[:100]
        return f"{backend.registry} names a token server at {shown}, which is not its own; list that under allowed-realms if it is"


Wanted: TypeAlias = Realm | Foreign | Literal["basic", "nothing"]
"""What a registry wants: a token of its realm, a password with each request, or nothing. A foreign realm is not to be asked."""


def wanted(backend: Backend, status: int, lines: Iterable[str]) -> Wanted | None:
    """Return what an answer of a registry to a request without credentials means; None where it means nothing of the kind."""
    if 200 <= status < 300:
        return "nothing"
    if status != 401:
        return None
    challenges = parse_challenges(lines)
    foreign = _foreign(backend, challenges)
    if foreign is not None:
        return foreign
    for challenge in challenges:
        if challenge.scheme == "bearer" and "realm" in challenge.parameters:
            return believe(backend, challenge)
    return "basic" if any(challenge.scheme == "basic" for challenge in challenges) else None


def believe(backend: Backend, challenge: Challenge) -> Realm | Foreign:
    """Return the token server that a Bearer challenge names, as long as it is the registry's own."""
    url = challenge.parameters.get("realm", "")
    host = authority(url)
    if host is None:
        return Foreign("a place that is no URL")
    # A registry behind TLS whose tokens come in the clear would put every password on the wire.
    if not backend.owns(host) or (backend.scheme == "https" and not url.lower().startswith("https:")):
        return Foreign(host)
    return Realm(url.partition("#")[0], challenge.parameters.get("service", ""))


def passed_on(backend: Backend, lines: Iterable[str], scope: str | None) -> list[str] | Foreign:
    """Return the challenges of `backend` for its client, or the token server in them that is not its own.

    Args:
        backend: whose they are.
        lines: its ``WWW-Authenticate`` fields.
        scope: what the client is to ask for, where it must not see what the backend calls it; None to leave it as it is.
    """
    challenges = parse_challenges(lines)
    foreign = _foreign(backend, challenges)
    if foreign is not None:
        return foreign
    seen = []
    for one in challenges:
        if one.scheme in ("bearer", "basic"):
            parameters = {name: one.parameters[name] for name in _PASSED if name in one.parameters}
            if scope is not None and "scope" in parameters:
                parameters["scope"] = scope
            seen.append(str(Challenge(one.scheme, parameters)))
    return seen


def _foreign(backend: Backend, challenges: Iterable[Challenge]) -> Foreign | None:
    for challenge in challenges:
        if challenge.scheme == ODD:
            return Foreign("a place that cannot be told")
        if challenge.scheme == "bearer" and "realm" in challenge.parameters:
            found = believe(backend, challenge)
            if isinstance(found, Foreign):
                return found
    return None
