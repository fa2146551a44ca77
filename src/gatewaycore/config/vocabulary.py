"""What the words of a configuration mean beyond their types: domains, statuses, networks, tokens.

Readers in the sense of `structure`: each takes plain data, and returns the value or raises `Invalid`.
"""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from gatewaycore.config.faults import Discreet, Fault, invalid, one_of, show
from gatewaycore.config.structure import Vocabulary, decimal, listed, text, whole
from gatewaycore.decision import STATUSES
from gatewaycore.errors import ConfigError, RequestError
from gatewaycore.outgoing import authority
from gatewaycore.owntraffic import agent_matcher
from gatewaycore.proving.resolver import split
from gatewaycore.request import normalise_host

_HASHED = re.compile(r"sha256:[0-9a-fA-F]{64}")
_FIELD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def host(raw: Any) -> str:
    """Read a host name: lower-case, A-label, no port."""
    written = text(raw)
    try:
        if "/" not in written and (":" not in written or written.startswith("[")):
            return normalise_host(written)
    except RequestError:
        pass
    raise invalid(f"{show(written)} is no domain", _domain_hint(written))


def domain(raw: Any) -> str:
    """Read the domain of a package: a host name, ``*.parent`` for hosts one label below it, or ``*`` for every unknown host."""
    written = text(raw)
    if written == "*":
        return written
    if written.startswith("*."):
        return f"*.{host(written[2:])}"
    return host(written)


def domains(raw: Any) -> tuple[str, ...]:
    """Read domains, at least one of them."""
    found = listed(raw, domain)
    if not found:
        raise invalid("is empty", "a domain such as badges.acme.com")
    return tuple(dict.fromkeys(found))


def names(raw: Any) -> tuple[str, ...]:
    """Read names of packages; a "*" stands at the end of one, for all that begin so."""
    return listed(raw, _name)


def _name(raw: Any) -> str:
    written = text(raw)
    if "*" in written[:-1]:
        raise invalid(f"{show(written)} has a * before its end", "acme/* stands for all that begin with acme/")
    if not written:
        raise invalid("is empty")
    return written


def slug(raw: Any) -> str:
    """Read a name as it stands in URLs."""
    written = text(raw).lower()
    if not _SLUG.fullmatch(written):
        raise invalid(f"{show(raw)} is no name", "1 to 64 of a to z, 0 to 9, '.', '_' and '-', the first and the last a letter or a digit")
    return written


def label(raw: Any) -> str:
    """Read one label of a host name."""
    written = text(raw).lower()
    if not _LABEL.fullmatch(written):
        raise invalid(f"{show(written)} cannot be part of a domain", "letters, digits and -, at most 63")
    return written


def status(raw: Any) -> int:
    """Read the status of a redirect (RFC 9110 §15.4)."""
    number = whole(raw)
    if number not in STATUSES:
        raise invalid(f"{show(number)} is no redirect", one_of(str(known) for known in sorted(STATUSES)))
    return number


def networks(raw: Any) -> tuple[str, ...]:
    """Read networks in CIDR notation."""
    return listed(raw, _network)


def hosts(raw: Any) -> tuple[str, ...]:
    """Read hosts that a redirect may lead to, each with a port where it needs one."""
    return listed(raw, _target)


def _optional_hosts(raw: Any) -> tuple[str, ...] | None:
    return None if raw is None else hosts(raw)


def tokens(raw: Any) -> tuple[str, ...]:
    """Read hashed access tokens. What is not hashed is a secret in plain text, and is not repeated."""
    return listed(raw, _token)


def field_name(raw: Any) -> str:
    """Read the name of a header field (RFC 9110 §5.1)."""
    written = text(raw)
    if not _FIELD.fullmatch(written):
        raise invalid(f"{show(written)} is no name of a header field", "a name such as X-Acme-Own")
    return written


def field_value(raw: Any) -> str:
    """Read the value of a header field, or the hash of one. It is a secret, and is not repeated."""
    written = text(raw).strip(" \t")
    if not written:
        raise invalid("is empty")
    if written.startswith("sha256:"):
        return _token(written)
    return written


def user_agents(raw: Any) -> tuple[str, ...]:
    """Read parts of user agents, and regular expressions for them."""
    return listed(raw, _user_agent)


def addresses(raw: Any) -> tuple[str, ...]:
    """Read addresses."""
    return listed(raw, _address)


def resolvers(raw: Any) -> tuple[str, ...]:
    """Read DNS servers, each with a port where it is not 53."""
    return listed(raw, _resolver)


def state(raw: Any) -> str:
    """Read where a console's state is: the path of a file, or a URL of PostgreSQL, in which there may be a password."""
    written = text(raw)
    scheme, is_url, rest = written.partition("://")
    if not written.strip() or (is_url and (scheme != "postgresql" or not rest)):
        hint = "write postgresql://user:password@host/database, or console.sqlite3"
        raise Discreet([Fault((), "is neither a path nor a URL of PostgreSQL", hint)])
    return written


def positive(raw: Any) -> int:
    """Read a whole number from 1."""
    number = whole(raw)
    if number < 1:
        raise invalid(f"{show(number)} is too small", "a whole number from 1")
    return number


def natural(raw: Any) -> int:
    """Read a whole number from 0."""
    number = whole(raw)
    if number < 0:
        raise invalid(f"{show(number)} is too small", "a whole number from 0")
    return number


def port(raw: Any) -> int:
    """Read the number of a port."""
    number = natural(raw)
    if number > 65535:
        raise invalid(f"{show(number)} is no port", "a whole number up to 65535; 0 takes any free one")
    return number


def share(raw: Any) -> float:
    """Read a number from 0 to 1."""
    number = decimal(raw)
    if not 0 <= number <= 1:
        raise invalid(f"{show(number)} is no share", "a number from 0 to 1")
    return number


def endpoint(raw: Any) -> str:
    """Read the URL of a collector."""
    written = text(raw)
    try:
        parts = urlsplit(written)
        if parts.scheme in ("http", "https") and parts.hostname and parts.path.strip("/") and parts.username is None:
            return written
    except ValueError:
        pass
    raise invalid("is no URL with a path", "such as http://localhost:4318/v1/traces; credentials stand in headers")


RULE: Vocabulary = {
    "domain": domain,
    "redirect_status": status,
    "allowed_hosts": hosts,
    "allowed_realms": hosts,
    "access_tokens": tokens,
    "deadline_s": positive,
    "ttl_s": natural,
    "stale_s": natural,
}
GATEWAY: Vocabulary = {
    "redirect_status": status,
    "allowed_realms": hosts,
    "trusted_proxies": networks,
    "request_id_header": field_name,
    "base_domain": host,
    "default_domain": host,
    "username": label,
}
DEFAULTS: Vocabulary = {"redirect_status": status, "allowed_realms": _optional_hosts}
LIMITS: Vocabulary = {"body_bytes": positive, "events": positive}
BADGES: Vocabulary = {"domains": domains, "packages": names, "minimum_companies": natural, "max_age_s": natural}
CONSOLE: Vocabulary = {"domain": host, "state": state, "organisation": slug}
CONSOLE_LIMITS: Vocabulary = {
    "requests": positive,
    "window_s": positive,
    "exports": positive,
    "exports_each": positive,
    "import_bytes": positive,
    "imports_bytes": positive,
    "packages": natural,
    "collections": natural,
    "domains": natural,
    "members": positive,
    "tokens": positive,
}
OPERATIONS: Vocabulary = {"port": port, "drain_s": natural, "grace_s": natural}
TRACES: Vocabulary = {"endpoint": endpoint, "share": share, "timeout_s": positive}
OWN_TRAFFIC: Vocabulary = {"networks": networks, "user_agents": user_agents}
HTTP_SOURCE: Vocabulary = {"every_s": positive, "timeout_s": positive, "max_bytes": positive}
SHARED_SALTS: Vocabulary = {"timeout_s": positive}
OWN_HEADER: Vocabulary = {"name": field_name, "value": field_value}
VERIFICATION: Vocabulary = {
    "target": host,
    "addresses": addresses,
    "resolvers": resolvers,
    "timeout_s": positive,
    "every_s": positive,
    "grace_s": natural,
}
JOURNAL: Vocabulary = {
    "segment_bytes": positive,
    "segment_age_s": positive,
    "max_bytes": positive,
    "keep_s": natural,
    "keep_days": positive,
}


def _address(raw: Any) -> str:
    written = text(raw)
    try:
        return str(ip_address(written))
    except ValueError as error:
        raise invalid(f"{show(written)} is no address", "an address such as 203.0.113.7") from error


def _resolver(raw: Any) -> str:
    written = text(raw)
    try:
        address, port = split(written)
        ip_address(address)
        if not 0 < port < 65536:
            raise ValueError(port)
    except ValueError as error:
        raise invalid(f"{show(written)} is no DNS server", "an address such as 192.0.2.53, with a port where it needs one") from error
    return written


def _network(raw: Any) -> str:
    written = text(raw)
    try:
        ip_network(written, strict=False)
    except ValueError as error:
        raise invalid(f"{show(written)} is no network", "an address or a network in CIDR notation: 10.0.0.0/8") from error
    return written


def _target(raw: Any) -> str:
    written = text(raw).lower()
    if authority(f"https://{written}") != written or "*" in written:
        raise invalid(f"{show(written)} is no host", "a host such as cdn.acme.com, with a port where it needs one; no wildcards")
    return written


def _token(raw: Any) -> str:
    if isinstance(raw, str) and _HASHED.fullmatch(raw):
        return str(raw).lower()
    raise invalid("an access token that is not hashed", 'run "gatewaycore token hash" and write the sha256:… it prints')


def _user_agent(raw: Any) -> str:
    written = text(raw)
    try:
        agent_matcher(written)
    except ConfigError as error:
        (problem,) = error.problems
        raise invalid(problem.what, problem.hint) from error
    return written


def _domain_hint(written: str) -> str:
    try:
        found = urlsplit(written if "://" in written else f"//{written}").hostname
        return f"write {normalise_host(found)}" if found else "a host name such as get.acme.com"
    except (ValueError, RequestError):
        return "a host name such as get.acme.com"
