"""Settings of images (`ContainerRule`) and of collections of images (`CollectionRule`)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from attrs import frozen

from gatewaycore.decision import STATUSES
from gatewaycore.errors import ConfigError, Problem
from gatewaycore.rules.access import is_hashed
from gatewaycore.rules.container.backend import Auth, Backend, Credentials, Place, Scheme, backend
from gatewaycore.rules.container.joining import CONTAINER
from gatewaycore.rules.container.names import HUB, ImageName, is_repository, parse_backend, parse_registry
from gatewaycore.rules.container.patterns import ImagePattern
from gatewaycore.rules.container.route import ContainerRoute
from gatewaycore.rules.container.way import DEADLINE_S, Strategy, Way

MOST_MIRRORS = 4

_IN_NAMES = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-")


@frozen(kw_only=True)
class ContainerRule:
    """Settings of one image.

    Attributes:
        name: what is typed behind the domain: ``acme/rocket-skates``; the backend may call it otherwise.
        domain: where it is served.
        backend: the image at its registry, or the whole pull command: ``ghcr.io/acme/rocket-skates``.
        id: stands for the package in events instead of its name.
        strategy: "auto" redirects the clients that survive it and proxies the others, or brokers where one registry cannot answer for the
            whole domain; "redirect", "proxy" and "broker" hold for everybody.
        mirrors: the image at other registries, asked in order where the backend is down or too busy; ``http://`` or ``https://`` may stand
            before it where that is not the backend's.
        deadline_s: how long backend and mirrors together may take to begin to answer.
        public: everybody may pull it: clients that would lose their credentials are redirected too, and the gateway's own are used for all.
        credentials: what the gateway shows to the backend for its users.
        access_tokens: hashes of what those users log in to the gateway with (``sha256:…``); their passwords.
        login_backend: of several registries on one domain, the host of the one that checks its clients' credentials.
        backend_auth: "anonymous" for a registry that asks nobody for a token.
        backend_scheme: "http" for a registry in one's own network.
        allow_private_backends: connect to addresses of private networks and of this machine too.
        allowed_realms: hosts of token servers that are the backend's although they are not at its own host.
        verbatim: ask Docker Hub for a name without a slash as it stands, and not below ``library/``: what a Scarf manifest means by it.
        redirect_status: 301, 302, 303, 307 or 308; clients take them all.
        priority: settles ties between two rules for one image; the higher wins.
    """

    name: str
    domain: str
    backend: str
    id: str | None = None
    strategy: Strategy = "auto"
    mirrors: tuple[str, ...] = ()
    deadline_s: int = DEADLINE_S
    public: bool = False
    credentials: Credentials | None = None
    access_tokens: tuple[str, ...] = ()
    login_backend: str | None = None
    backend_auth: Auth = "token"
    backend_scheme: Scheme = "https"
    allow_private_backends: bool = False
    allowed_realms: tuple[str, ...] = ()
    verbatim: bool = False
    redirect_status: int = 302
    priority: int = 0

    def compile(self) -> tuple[ContainerRoute, ...]:
        """Make the route.

        Raises:
            ConfigError: name or backend is no image's, or the settings contradict each other.
        """
        problems: list[Problem] = []
        if not is_repository(self.name):
            problems.append(Problem("name", f"{self.name!r} is no image's name", "lower-case letters and digits, with . _ or - inside"))
        image = _parsed("backend", self.backend, problems)
        mirrors = [_parsed(f"mirrors[{number}]", _bare(text), problems) for number, text in enumerate(self.mirrors)]
        if image is not None and "/" not in self.backend and ("." in self.backend or ":" in self.backend) and image.registry == HUB:
            hint = f"for the registry of that name write {self.backend}/{self.name}"
            problems.append(Problem("backend", f"{self.backend!r} is read as an image of {HUB}", hint))
        problems += _problems(self, None if image is None else image.registry, [one.registry for one in mirrors if one is not None])
        if image is None or problems:
            raise ConfigError(problems)
        official = self.verbatim and image.repository == f"library/{self.name}"
        place = Place(_backend(self, image.registry), self.name if official else image.repository)
        written = zip(self.mirrors, mirrors, strict=True)
        others = tuple(Place(_mirror(self, text, one.registry), one.repository) for text, one in written if one is not None)
        return (ContainerRoute(self.domain, CONTAINER, self.name, place, _way(self), others, self.id, self.login_backend, self.priority),)


@frozen(kw_only=True)
class CollectionRule:
    """Settings of a collection: every image that fits a pattern, each a package of its own from its first pull.

    Attributes:
        pattern: ``acme/*``, ``acme/{a, b}``; "*" stays inside a segment.
        backend: the registry's host: ``ghcr.io``.
        id: names the collection to `check` and `explain`; events carry the image's own name.
        mirrors: hosts of other registries that have the same images under the same names.
        domain, strategy, deadline_s, public, credentials, access_tokens, login_backend, backend_auth, backend_scheme,
            allow_private_backends, allowed_realms, redirect_status, priority: as a `ContainerRule` has them.
    """

    domain: str
    pattern: str
    backend: str
    id: str | None = None
    strategy: Strategy = "auto"
    mirrors: tuple[str, ...] = ()
    deadline_s: int = DEADLINE_S
    public: bool = False
    credentials: Credentials | None = None
    access_tokens: tuple[str, ...] = ()
    login_backend: str | None = None
    backend_auth: Auth = "token"
    backend_scheme: Scheme = "https"
    allow_private_backends: bool = False
    allowed_realms: tuple[str, ...] = ()
    redirect_status: int = 302
    priority: int = 0

    def compile(self) -> tuple[ContainerRoute, ...]:
        """Make the route.

        Raises:
            ConfigError: the pattern cannot be parsed or fits no image, the backend is more than a registry's host, or the settings
                contradict each other.
        """
        problems: list[Problem] = []
        pattern = None
        try:
            pattern = ImagePattern.parse(self.pattern)
        except ConfigError as error:
            problems += [_placed("pattern", problem) for problem in error.problems]
        registry = _host("backend", self.backend, problems)
        mirrors = [_host(f"mirrors[{number}]", _bare(text), problems) for number, text in enumerate(self.mirrors)]
        if pattern is not None:
            problems += _impossible(pattern, registry)
        problems += _problems(self, registry, [one for one in mirrors if one is not None])
        if pattern is None or registry is None or problems:
            raise ConfigError(problems)
        others = tuple(Place(_mirror(self, text, one)) for text, one in zip(self.mirrors, mirrors, strict=True) if one is not None)
        place = Place(_backend(self, registry))
        return (ContainerRoute(self.domain, CONTAINER, pattern, place, _way(self), others, self.id, self.login_backend, self.priority),)


def _parsed(key: str, text: str, problems: list[Problem]) -> ImageName | None:
    try:
        return parse_backend(text)
    except ConfigError as error:
        problems += [_placed(key, problem) for problem in error.problems]
        return None


def _host(key: str, text: str, problems: list[Problem]) -> str | None:
    """Return the registry's host that stands in `text`, or None with the problem noted."""
    host, _, namespace = text.strip().partition("/")
    if namespace and "://" not in text:
        hint = f"write {key.partition('[')[0]}: {host}, and the namespace into the pattern: {namespace.rstrip('/')}/*"
        problems.append(Problem(key, f"{text!r} is more than a registry's host", hint))
        return None
    try:
        return parse_registry(host if "://" not in text else text)
    except ConfigError as error:
        problems += [_placed(key, problem) for problem in error.problems]
        return None


def _backend(rule: ContainerRule | CollectionRule, registry: str) -> Backend:
    realms = tuple(rule.allowed_realms)
    return backend(registry, rule.backend_auth, rule.backend_scheme, rule.allow_private_backends, realms, rule.credentials)


def _mirror(rule: ContainerRule | CollectionRule, written: str, registry: str) -> Backend:
    """Return a mirror: what the gateway has to show is for the backend alone. Its scheme is the backend's, unless it says its own."""
    scheme: Scheme = "http" if written.startswith("http://") else "https" if written.startswith("https://") else rule.backend_scheme
    return backend(registry, "token", scheme, rule.allow_private_backends, tuple(rule.allowed_realms))


def _bare(written: str) -> str:
    """Return a mirror without the scheme that may stand before it."""
    return written.removeprefix("http://").removeprefix("https://")


def _way(rule: ContainerRule | CollectionRule) -> Way:
    return _shared_way(rule.strategy, rule.redirect_status, rule.public, tuple(rule.access_tokens), rule.deadline_s)


@lru_cache(maxsize=1024)
def _shared_way(strategy: Strategy, status: int, public: bool, access_tokens: tuple[str, ...], deadline_s: int) -> Way:
    """Return the way of these settings; thousands of images share one object."""
    return Way(strategy, status, public, access_tokens, deadline_s)


def _placed(key: str, problem: Problem) -> Problem:
    return Problem(key, f"{problem.where}: {problem.what}", problem.hint)


def _problems(rule: ContainerRule | CollectionRule, registry: str | None, mirrors: Sequence[str]) -> list[Problem]:
    """Return what is wrong with settings that images and collections share."""
    found: list[Problem] = []
    for key, one in (("backend", registry), *((f"mirrors[{number}]", mirror) for number, mirror in enumerate(mirrors))):
        if one is not None and one == rule.domain:
            # Every request would come straight back.
            found.append(Problem(key, f"{one} is the domain itself", "name the registry that holds the image"))
    if rule.redirect_status not in STATUSES:
        found.append(Problem("redirect-status", f"{rule.redirect_status} is no redirect", "301, 302, 303, 307 or 308"))
    if len(rule.mirrors) > MOST_MIRRORS:
        found.append(Problem("mirrors", f"{len(rule.mirrors)} mirrors are too many to ask in time", f"at most {MOST_MIRRORS}"))
    if rule.mirrors and rule.strategy == "redirect":
        what = "whoever is redirected to a registry that is down is not sent on to a mirror"
        found.append(Problem("mirrors", what, "use strategy: auto or broker, or leave out the mirrors"))
    if rule.deadline_s < 1:
        found.append(Problem("deadline-s", f"{rule.deadline_s} leaves no time", "a whole number of seconds from 1"))
    return found + list(_access_problems(rule))


def _access_problems(rule: ContainerRule | CollectionRule) -> list[Problem]:
    found: list[Problem] = []
    if not all(map(is_hashed, rule.access_tokens)):
        # Not repeated: it is most likely the secret itself.
        found.append(Problem("access-tokens", "a token that is not hashed", "write sha256: and its SHA-256 in 64 hex digits"))
    if rule.credentials is None:
        if rule.access_tokens:
            what = "there are no credentials that those who log in could use"
            found.append(Problem("access-tokens", what, "write credentials:, or leave the check to the registry"))
        return found
    if rule.backend_auth == "anonymous" or rule.strategy in ("redirect", "proxy"):
        why = (
            "asks nobody for any"
            if rule.backend_auth == "anonymous"
            else f"is reached by strategy: {rule.strategy}, which shows the client's"
        )
        found.append(Problem("credentials", f"the backend {why}", "use strategy: auto or broker, with backend-auth: token"))
    if not rule.credentials.username or not rule.credentials.password or ":" in rule.credentials.username:
        # RFC 7617 §2. Not repeated: it may be the other of the two.
        what = "the username is empty or has a colon in it, or the password is empty"
        found.append(Problem("credentials", what, "write both as the registry knows them"))
    if bool(rule.access_tokens) == rule.public:
        what = "is for everybody, and for those who log in" if rule.public else "would let everybody pull what the gateway's account can"
        hint = "write access-tokens: for those who may log in, or public: true"
        found.append(Problem("public" if rule.public else "credentials", what, hint))
    return found


def _impossible(pattern: ImagePattern, registry: str | None) -> list[Problem]:
    strange = sorted(pattern.characters - _IN_NAMES)
    if strange:
        what = f"{pattern.text!r} fits no image: names never hold {' '.join(strange)}"
        return [Problem("pattern", what, "names are lower-case, sets stand in braces, and a pattern has no tag")]
    if registry is not None and pattern.segments[0].literal == registry:
        return [Problem("pattern", f"{pattern.text!r} begins with the registry", f"write {pattern.text.partition('/')[2] or '*'}")]
    return []
