"""Names: which are domains, in which form they are kept, and the records that prove them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal

from attrs import frozen

from gatewaycore.addresses import is_address
from gatewaycore.errors import ConfigError, Problem, RequestError
from gatewaycore.request import a_labels

CHALLENGE: Final = "_gatewaycore-challenge"
WILDCARD: Final = "*."
_PROBE: Final = "gatewaycore-probe"
_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_LONGEST: Final = 253 - len(CHALLENGE) - 1


@frozen(kw_only=True)
class Place:
    """Where domains have to lead.

    Attributes:
        target: the name at the end of their CNAMEs; None where there is none.
        addresses: those of the gateway, where they are told.
    """

    target: str | None = None
    addresses: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self.target or self.addresses)


@frozen(kw_only=True)
class Record:
    """A record to be set.

    Attributes:
        type: of it.
        name: in full, without the dot at its end.
        value: what it holds; None where the gateway does not know.
        instead: whether it is for domains on which no CNAME can stand.
    """

    type: Literal["TXT", "CNAME", "A", "AAAA"]
    name: str
    value: str | None
    instead: bool = False


def read_domain(text: str) -> str:
    """Return a domain in the form in which it is kept: lower-case, in A-labels of IDNA 2008; with ``*.`` before it, all names there.

    Raises:
        ConfigError: it is none.
    """
    written = text.strip().lower().rstrip(".")
    wildcard = WILDCARD if written.startswith(WILDCARD) else ""
    bare = written.removeprefix(wildcard)
    name = bare if bare.isascii() and "xn--" not in bare else _a_labels(bare)
    labels = name.split(".")
    if len(labels) < 2 or is_address(name) or len(name) > _LONGEST or not all(_LABEL.fullmatch(one) for one in labels):
        raise ConfigError([Problem("name", f"{text[:80]!r} is no domain", "write a name such as get.acme.com")])
    return wildcard + name


def _a_labels(name: str) -> str:
    """Return a name in A-labels, each of which stands for something; empty where it has none."""
    import idna

    try:
        found = name if name.isascii() else a_labels(name)
        idna.decode(found)
    except (RequestError, idna.IDNAError):
        return ""
    return found


def plain(name: str) -> str:
    """Return a name in the form in which domains are kept, as far as it is one."""
    try:
        return read_domain(name)
    except ConfigError:
        # One that was made before there were so many questions.
        return name.strip().lower().rstrip(".")


def challenge_name(domain: str) -> str:
    """Return where the TXT record of a domain stands; a wildcard's at the name below which it stands for all."""
    return f"{CHALLENGE}.{domain.removeprefix(WILDCARD)}"


def probed(domain: str) -> str:
    """Return the name that is looked at to see where a domain leads: for a wildcard one of those it stands for."""
    return f"{_PROBE}.{domain.removeprefix(WILDCARD)}" if domain.startswith(WILDCARD) else domain


def records_for(domain: str, challenge: str | None, place: Place) -> list[Record]:
    """Return the records that prove a domain, and let it lead here; of one that needs no proof the latter alone."""
    # The target cannot lead to itself.
    is_alias = domain != place.target
    found = [Record(type="CNAME", name=domain, value=place.target)] if is_alias else []
    if challenge is not None:
        found.insert(0, Record(type="TXT", name=challenge_name(domain), value=challenge))
    return found + [Record(type="AAAA" if ":" in one else "A", name=domain, value=one, instead=is_alias) for one in place.addresses]


def supplied(organisation: str, base: str) -> list[str]:
    """Return the domains that a gateway gives an organisation, by its name; none where that cannot be a label."""
    if _LABEL.fullmatch(organisation) is None:
        return []
    return [f"{organisation}.{kind}.{base}" for kind in ("docker", "gateway")]
