"""Targets: which hosts each domain may redirect to, said by the rules themselves, for those who have to let them through a firewall.

Pure, and worked out once, when the rules are loaded. A registry and an index send their clients on to storage of theirs, whose hosts no
rule names: such a domain says that its list is not complete.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from attrs import define, field, frozen

from gatewaycore.decision import Respond
from gatewaycore.headers import Headers
from gatewaycore.outgoing import authority
from gatewaycore.request import Request
from gatewaycore.rules.catch_all import CatchAllRule
from gatewaycore.rules.container import CollectionRule, ContainerRule
from gatewaycore.rules.container.names import api_host, parse_backend, parse_registry
from gatewaycore.rules.file import FileRule
from gatewaycore.rules.npm import NpmRule
from gatewaycore.rules.python import PythonRule

_HEADERS: Final = Headers([("content-type", "application/json"), ("cache-control", "public, max-age=300")])
_ANY: Final = "*"


@define
class _Domain:
    hosts: set[str] = field(factory=set)
    is_complete: bool = True


@frozen
class Targets:
    """What each domain answers.

    Attributes:
        answers: by domain.
        default_domain: whose answer is that of hosts which nobody named.
    """

    answers: Mapping[str, Respond]
    default_domain: str | None = None

    @classmethod
    def of(cls, rules: Iterable[Any], default_domain: str | None = None, known: tuple[Iterable[Any], Targets] | None = None) -> Targets:
        """Work out what rules lead to.

        Args:
            rules: settings of packages and collections; types of other distributions are taken to lead nowhere that can be told.
            default_domain: see `Router.compile`.
            known: other rules, and what they lead to: a domain that has the same rules in both leads to the same.
        """
        before = {} if known is None else _by_domain(known[0])
        answers: dict[str, Respond] = {}
        for name, those in _by_domain(rules).items():
            same = known is not None and list(map(id, those)) == list(map(id, before.get(name, ())))
            answers[name] = known[1].answers[name] if known is not None and same else _answer(name, _domain(those))
        return cls(answers, default_domain)

    def answer(self, request: Request) -> Respond | None:
        """Return what a request for them is answered; None where the host is nobody's, or it is not a question."""
        if request.method not in ("GET", "HEAD"):
            return None
        host, answers = request.host, self.answers
        names = (host, f"*.{host.partition('.')[2]}", self.default_domain or _ANY, _ANY)
        return next((answers[name] for name in names if name in answers), None)


def _by_domain(rules: Iterable[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for rule in rules:
        name = getattr(rule, "domain", None)
        if isinstance(name, str) and name:
            found.setdefault(name, []).append(rule)
    return found


def _domain(rules: Iterable[Any]) -> _Domain:
    domain = _Domain()
    for rule in rules:
        domain.hosts.update(host for host in hosts_of(rule) if host)
        domain.is_complete = domain.is_complete and is_complete(rule)
    return domain


def hosts_of(rule: Any) -> Iterator[str | None]:
    """Iterate over the hosts that a rule names, with ports where they have them; None for what is none."""
    match rule:
        case FileRule():
            for url in (rule.outgoing_url, *(way.outgoing_url for way in rule.routes)):
                yield from _hosts_of_url(url, rule.allowed_hosts)
        case CatchAllRule():
            target = rule.redirect_target_domain
            yield authority(target if "://" in target else f"https://{target}")
        case ContainerRule():
            if rule.strategy in ("auto", "redirect"):
                yield from (api_host(parse_backend(_bare(name)).registry) for name in (rule.backend, *rule.mirrors))
        case CollectionRule():
            if rule.strategy in ("auto", "redirect"):
                yield from (api_host(parse_registry(_bare(name))) for name in (rule.backend, *rule.mirrors))
        case PythonRule():
            yield from (authority(file.url) for file in rule.files)
            yield from (*rule.allowed_hosts, authority(rule.index) if rule.index else None)
        case NpmRule():
            yield from (*rule.allowed_hosts, authority(rule.registry))


def is_complete(rule: Any) -> bool:
    """Tell whether a rule leads to the hosts that it names, and to no others."""
    match rule:
        case ContainerRule() | CollectionRule() | NpmRule():
            # Also where answers are proxied: a registry's redirects to its storage are passed on.
            return False
        case PythonRule():
            return rule.index is None and rule.pip is None
    return True


def _hosts_of_url(url: str | None, allowed: Iterable[str]) -> Iterator[str | None]:
    if url is None:
        return
    # Up to the first variable: what stands behind it cannot reach the host, or the rule would have been refused.
    scheme, _, rest = url.partition("://")
    host = rest.partition("/")[0].partition("?")[0].partition("#")[0]
    if "{" in scheme or "{" in host:
        yield from (name.lower() for name in allowed)
    else:
        yield authority(f"{scheme}://{host}")


def _bare(name: str) -> str:
    return name.partition("://")[2] if "://" in name else name


def _answer(name: str, domain: _Domain) -> Respond:
    told = {"domain": name, "hosts": sorted(domain.hosts), "complete": domain.is_complete}
    return Respond(200, _HEADERS, json.dumps(told).encode() + b"\n")
