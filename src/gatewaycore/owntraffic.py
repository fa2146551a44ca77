"""Own traffic: monitors, builds and offices whose requests are served and not recorded; told by network, User-Agent or a header field.

It is for those who run the gateway to say what is theirs. Who asks not to be counted is another matter: see `privacy`.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from hashlib import sha256
from ipaddress import ip_address, ip_network
from typing import Any, TypeAlias

from attrs import field, frozen

from gatewaycore.errors import ConfigError, Problem
from gatewaycore.headers import Headers

__all__ = ["OwnHeader", "OwnTraffic", "OwnTrafficSettings", "agent_matcher"]

_CALLERS = 4096
# As much of a user agent as is recorded of any.
_AGENT_BYTES = 1024
_HASHED = "sha256:"
_REGEX = "re:"
_KEY = "user-agents"

_Says: TypeAlias = Callable[[str], Any]


@frozen(kw_only=True)
class OwnHeader:
    """A field by which own requests are told.

    Attributes:
        name: of the field, in any case.
        value: of the field, whole; or ``sha256:`` and the hash of it, as ``gatewaycore token hash`` prints it, so that whoever reads the
            configuration cannot send it.
    """

    name: str
    value: str = field(repr=False)


@frozen(kw_only=True)
class OwnTrafficSettings:
    """The section `own-traffic`: whose requests are served and not recorded. One that is told by any of the three is own.

    Attributes:
        networks: in CIDR notation, of the clients themselves, as trusted proxies tell.
        header: a field with a value that only own clients know.
        user_agents: parts of user agents, in any case; or, behind ``re:``, regular expressions (RE2).
    """

    networks: tuple[str, ...] = ()
    header: OwnHeader | None = None
    user_agents: tuple[str, ...] = ()

    def compile(self) -> OwnTraffic | None:
        """Return what tells own requests; None when there are none.

        Raises:
            ConfigError: a user agent is empty, or no regular expression.
        """
        if not (self.networks or self.header or self.user_agents):
            return None
        return OwnTraffic(self)


class OwnTraffic:
    """Tells own requests. What it finds of a client is kept in memory, for a few thousand of them, and without their addresses.

    Args:
        settings: what to tell them by.
    """

    def __init__(self, settings: OwnTrafficSettings) -> None:
        self._networks = [ip_network(text, strict=False) for text in settings.networks]
        self._says = [agent_matcher(text) for text in settings.user_agents]
        header = settings.header
        self._name = None if header is None else header.name.lower().encode("latin-1", "replace")
        self._digest = b"" if header is None else _digest(header.value)
        # By a hash that Python keys anew in each process: addresses themselves are not held.
        self._known: dict[int, bool] = {}

    def sent(self, address: str, headers: Headers) -> bool:
        """Tell whether a request is own traffic.

        Args:
            address: of the client, "" when unknown.
            headers: of the request.
        """
        if self._name is not None:
            value = headers.first(self._name)
            # By its hash, and in constant time: how long it takes tells nothing about a value that is nearly right.
            if value is not None and hmac.compare_digest(sha256(value).digest(), self._digest):
                return True
        agent = headers.first(b"user-agent")
        agent = None if agent is None else agent[:_AGENT_BYTES]
        known, mark = self._known, hash((address, agent))
        found = known.get(mark)
        if found is None:
            found = self._looks_own(address, agent)
            if len(known) >= _CALLERS:
                known.clear()
            known[mark] = found
        return found

    def _looks_own(self, address: str, agent: bytes | None) -> bool:
        if self._networks and self._is_inside(address):
            return True
        if agent is None:
            return False
        text = agent.decode("latin-1")
        return any(says(text) for says in self._says)

    def _is_inside(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        # A socket that takes both families writes IPv4 addresses so (RFC 4291 §2.5.5.2).
        parsed = getattr(parsed, "ipv4_mapped", None) or parsed
        return any(parsed in network for network in self._networks)


def _digest(value: str) -> bytes:
    if value.startswith(_HASHED):
        return bytes.fromhex(value.removeprefix(_HASHED))
    return sha256(value.strip(" \t").encode("utf-8", "replace")).digest()


def agent_matcher(text: str) -> _Says:
    """Return what tells whether a user agent is one of those that `text` stands for.

    Raises:
        ConfigError: it is empty, or no regular expression.
    """
    if not text.removeprefix(_REGEX).strip():
        raise ConfigError([Problem(_KEY, "is empty, and would be every client's", "a part of a User-Agent")])
    if not text.startswith(_REGEX):
        part = text.lower()
        return lambda agent: part in agent.lower()
    import re2

    options = re2.Options()
    # What is wrong with it is told with its place.
    options.log_errors = False
    options.max_mem = 1 << 23
    try:
        search: _Says = re2.compile(text.removeprefix(_REGEX), options).search
    except re2.error as error:
        raise ConfigError(
            [Problem(_KEY, f"RE2 does not take {text!r}", "back-references and look-around are what it leaves out")]
        ) from error
    return search
