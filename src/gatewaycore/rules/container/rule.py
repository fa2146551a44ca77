"""Settings of images (`ContainerRule`) and of collections of images (`CollectionRule`)."""

from __future__ import annotations

from functools import lru_cache

from attrs import frozen

from gatewaycore.decision import STATUSES
from gatewaycore.errors import ConfigError, Problem
from gatewaycore.rules.container.backend import Auth, Backend, Scheme, backend
from gatewaycore.rules.container.names import HUB, is_repository, parse_backend, parse_registry
from gatewaycore.rules.container.patterns import ImagePattern
from gatewaycore.rules.container.route import ContainerRoute, Strategy, Way

_IN_NAMES = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-")


@frozen(kw_only=True)
class ContainerRule:
    """Settings of one image.

    Attributes:
        name: what is typed behind the domain: ``acme/rocket-skates``; in this version the backend's own repository name.
        domain: where it is served.
        backend: the image at its registry, or the whole pull command: ``ghcr.io/acme/rocket-skates``.
        id: stands for the package in events instead of its name.
        strategy: "auto" redirects the clients that survive it and proxies the others; "redirect" and "proxy" hold for everybody.
        backend_auth: "anonymous" for a registry that asks nobody for a token.
        backend_scheme: "http" for a registry in one's own network.
        verbatim: ask Docker Hub for a name without a slash as it stands, and not below ``library/``: what a Scarf manifest means by it.
        redirect_status: 301, 302, 303, 307 or 308; clients take them all.
        priority: settles ties between two rules for one image; the higher wins.
    """

    name: str
    domain: str
    backend: str
    id: str | None = None
    strategy: Strategy = "auto"
    backend_auth: Auth = "token"
    backend_scheme: Scheme = "https"
    verbatim: bool = False
    redirect_status: int = 302
    priority: int = 0

    def compile(self) -> tuple[ContainerRoute, ...]:
        """Make the route.

        Raises:
            ConfigError: name or backend is no image's, or the two differ.
        """
        problems: list[Problem] = []
        if not is_repository(self.name):
            problems.append(Problem("name", f"{self.name!r} is no image's name", "lower-case letters and digits, with . _ or - inside"))
        image = None
        try:
            image = parse_backend(self.backend)
        except ConfigError as error:
            problems += [_placed("backend", problem) for problem in error.problems]
        official = self.verbatim and image is not None and image.repository == f"library/{self.name}"
        if image is not None and not problems and image.repository != self.name and not official:
            problems.append(_renamed(self.name, self.backend, image.registry, image.repository))
        problems += _problems(self.domain, None if image is None else image.registry, self.redirect_status)
        if image is None or problems:
            raise ConfigError(problems)
        way = _way(backend(image.registry, self.backend_auth, self.backend_scheme), self.strategy, self.redirect_status)
        return (ContainerRoute(self.domain, self.name, way, self.id, self.priority),)


@frozen(kw_only=True)
class CollectionRule:
    """Settings of a collection: every image that fits a pattern, each a package of its own from its first pull.

    Attributes:
        pattern: ``acme/*``, ``acme/{a, b}``; "*" stays inside a segment.
        backend: the registry's host: ``ghcr.io``.
        id: names the collection to `check` and `explain`; events carry the image's own name.
        domain, strategy, backend_auth, backend_scheme, redirect_status, priority: as a `ContainerRule` has them.
    """

    domain: str
    pattern: str
    backend: str
    id: str | None = None
    strategy: Strategy = "auto"
    backend_auth: Auth = "token"
    backend_scheme: Scheme = "https"
    redirect_status: int = 302
    priority: int = 0

    def compile(self) -> tuple[ContainerRoute, ...]:
        """Make the route.

        Raises:
            ConfigError: the pattern cannot be parsed or fits no image, or the backend is more than a registry's host.
        """
        problems: list[Problem] = []
        pattern = registry = None
        try:
            pattern = ImagePattern.parse(self.pattern)
        except ConfigError as error:
            problems += [_placed("pattern", problem) for problem in error.problems]
        try:
            registry = self._registry()
        except ConfigError as error:
            problems += [_placed("backend", problem) for problem in error.problems]
        if pattern is not None:
            problems += _impossible(pattern, registry)
        problems += _problems(self.domain, registry, self.redirect_status)
        if pattern is None or registry is None or problems:
            raise ConfigError(problems)
        way = _way(backend(registry, self.backend_auth, self.backend_scheme), self.strategy, self.redirect_status)
        return (ContainerRoute(self.domain, pattern, way, self.id, self.priority),)

    def _registry(self) -> str:
        host, _, namespace = self.backend.strip().partition("/")
        if namespace and "://" not in self.backend:
            raise ConfigError(
                [
                    Problem(
                        "backend",
                        f"{self.backend!r} is more than a registry's host",
                        f"write backend: {host}, and the namespace into the pattern: {namespace.rstrip('/')}/*",
                    )
                ]
            )
        return parse_registry(host if "://" not in self.backend else self.backend)


@lru_cache(maxsize=1024)
def _way(where: Backend, strategy: Strategy, status: int) -> Way:
    """Return the way of these settings; thousands of images share one object."""
    return Way(where, strategy, status)


def _placed(key: str, problem: Problem) -> Problem:
    return Problem(key, f"{problem.where}: {problem.what}", problem.hint)


def _renamed(name: str, written: str, registry: str, repository: str) -> Problem:
    if "/" not in written and ("." in written or ":" in written) and registry == HUB:
        return Problem("backend", f"{written!r} is read as an image of {HUB}", f"for the registry of that name write {written}/{name}")
    return Problem(
        "name",
        f"{name!r} is called {repository!r} at its backend {registry}, and images keep their names in this version",
        f"write name: {repository}",
    )


def _problems(domain: str, registry: str | None, status: int) -> list[Problem]:
    found: list[Problem] = []
    if registry is not None and registry == domain:
        # Every request would come straight back.
        found.append(Problem("backend", f"{registry} is the domain itself", "name the registry that holds the image"))
    if status not in STATUSES:
        found.append(Problem("redirect-status", f"{status} is no redirect", "301, 302, 303, 307 or 308"))
    return found


def _impossible(pattern: ImagePattern, registry: str | None) -> list[Problem]:
    strange = sorted(pattern.characters - _IN_NAMES)
    if strange:
        what = f"{pattern.text!r} fits no image: names never hold {' '.join(strange)}"
        return [Problem("pattern", what, "names are lower-case, sets stand in braces, and a pattern has no tag")]
    if registry is not None and pattern.segments[0].literal == registry:
        return [Problem("pattern", f"{pattern.text!r} begins with the registry", f"write {pattern.text.partition('/')[2] or '*'}")]
    return []
