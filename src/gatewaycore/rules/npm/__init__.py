"""Package type ``npm``: packages of an upstream registry, read through the gateway.

This room knows how npm, yarn and pnpm ask for packages, and what registries say of them; what is asked of an upstream and kept of its
answers is the business of `gatewaycore.rules.indexes`. It serves the packages and scopes that are named, and no others: a registry that
fell back to another one would let the two be mixed up by whoever registers a name first. It neither fetches nor keeps a tarball.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from attrs import frozen

from gatewaycore.decision import STATUSES
from gatewaycore.errors import ConfigError, Problem, RequestError
from gatewaycore.request import normalise_host
from gatewaycore.rules.indexes import Source
from gatewaycore.rules.indexes.source import STALE_S, TTL_S
from gatewaycore.rules.npm.index import NpmRegistry, NpmRoute, registry_label
from gatewaycore.rules.npm.paths import is_package_name, is_scope

__all__ = ["NpmRegistry", "NpmRoute", "NpmRule"]

_NAME_HINT: Final = "rocket-skates or @acme/rocket-skates: letters, digits, '.', '_', '~' and '-', at most 214"


@frozen(kw_only=True)
class NpmRule:
    """Packages of one upstream registry on a domain.

    Attributes:
        name: the package, "rocket-skates" or "@acme/rocket-skates"; any name where packages or scopes are named.
        domain: "npm.acme.com", "*.acme.com" or "*".
        registry: the URL of the upstream registry.
        id: what events call the package; its name when not given.
        packages: what is served of that registry; the package of this name, unless packages or scopes are named.
        scopes: whole scopes that are served of it: "@acme". Their packages go by their own names in events.
        allowed_hosts: hosts that the registry may redirect to, beside its own.
        allow_private_backends: ask a registry, and send clients to tarballs, at addresses of private networks and of this machine too.
        ttl_s: how long a packument is believed before the registry is asked whether it has changed.
        stale_s: how long after that it is still shown while the registry is down.
        redirect_status: 301, 302, 303, 307 or 308.
        priority: whose package or scope it is, should several rules name the same; the higher wins.
    """

    name: str
    domain: str
    registry: str
    id: str | None = None
    packages: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    allow_private_backends: bool = False
    ttl_s: int = TTL_S
    stale_s: int = STALE_S
    redirect_status: int = 302
    priority: int = 0

    def compile(self) -> Sequence[NpmRoute]:
        """Make the routes.

        Raises:
            ConfigError: names, scopes or a URL that cannot be.
        """
        problems = list(self._problems())
        try:
            source = Source.parse(
                self.registry, private=self.allow_private_backends, hosts=self.allowed_hosts, ttl_s=self.ttl_s, stale_s=self.stale_s
            )
        except ConfigError as error:
            problems += [Problem("registry", problem.what, problem.hint) for problem in error.problems]
        if problems:
            raise ConfigError(problems)
        domain = _domain(self.domain)
        label, called = registry_label(domain), self.id or self.name
        return [
            *(NpmRoute(f"{label}/{one}", domain, self.priority, called, one, source, self.redirect_status) for one in self._packages()),
            *(NpmRoute(f"{label}/{one}/*", domain, self.priority, None, one, source, self.redirect_status) for one in self._scopes()),
        ]

    def _packages(self) -> Sequence[str]:
        return tuple(dict.fromkeys(self.packages)) or (() if self.scopes else (self.name,))

    def _scopes(self) -> Sequence[str]:
        return tuple(dict.fromkeys(self.scopes))

    def _problems(self) -> Iterator[Problem]:
        where = f"package {self.name!r}"
        if not self.packages and not self.scopes and not is_package_name(self.name):
            yield Problem(where, f"{self.name!r} is not the name of an npm package", _NAME_HINT)
        for position, name in enumerate(self.packages):
            if not is_package_name(name):
                yield Problem(f"{where}: packages[{position}]", f"{name!r} is not the name of an npm package", _NAME_HINT)
        for position, scope in enumerate(self.scopes):
            if not is_scope(scope):
                yield Problem(f"{where}: scopes[{position}]", f"{scope!r} is not a scope", 'with its "@", in quotes: "@acme"')
        try:
            _domain(self.domain)
        except RequestError as error:
            yield Problem(f"{where}: domain", str(error), "npm.example.com, *.example.com or *")
        if self.redirect_status not in STATUSES:
            yield Problem(f"{where}: redirect-status", f"{self.redirect_status} is no redirect", "301, 302, 303, 307 or 308")


def _domain(text: str) -> str:
    if text == "*":
        return text
    star, rest = ("*.", text[2:]) if text.startswith("*.") else ("", text)
    return star + normalise_host(rest)
