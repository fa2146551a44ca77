"""Config: everything a configuration says, as frozen settings.

Nothing here reads a file; see `gatewaycore.config.reading`. A Config may as well be made by hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

from attrs import define, field, frozen

from gatewaycore.badges import BadgeSettings, Figures, Listing, Package
from gatewaycore.badges.figures import TTL_S
from gatewaycore.config.faults import Path, faults_of, parse_path, show_path
from gatewaycore.console_limits import DEFAULT_CONSOLE_LIMITS, ConsoleLimits
from gatewaycore.enrich import ENRICHMENTS, Enrichment
from gatewaycore.errors import ConfigError, GatewayError, Problem
from gatewaycore.gateway import Gateway
from gatewaycore.journal import JournalSettings
from gatewaycore.operations import OperationsSettings, TracesSettings
from gatewaycore.owntraffic import OwnTrafficSettings
from gatewaycore.proving import Place, VerificationSettings
from gatewaycore.route import Route, Rule, package_of
from gatewaycore.router import Router
from gatewaycore.rules import RULES, CollectionRule
from gatewaycore.rules.container import ImagePattern
from gatewaycore.rules.container.way import Strategy
from gatewaycore.rules.limits import DEFAULT_LIMITS, Limits
from gatewaycore.shared_salts import SharedSalts
from gatewaycore.sinks import SINKS, Storage
from gatewaycore.sources import Source
from gatewaycore.targets import Targets


@frozen(kw_only=True)
class GatewaySettings:
    """The section `gateway`: what holds for all packages, and for the gateway as a whole.

    Attributes:
        redirect_status: 301, 302, 303, 307 or 308; for packages that say nothing else.
        strategy: how containers are served; for packages that say nothing else.
        limits: bounds on a request's body; for packages that say nothing else.
        allow_private_backends: whether upstreams may be at addresses of private networks and of this machine; for packages that say nothing
            else.
        allowed_realms: hosts of token servers that are a registry's although they are not at its own host; the same.
        trusted_proxies: networks, in CIDR notation, of proxies whose word about the client counts; none are trusted by default.
        request_id_header: the field in which trusted proxies send what is each request's own: its events' ids are made of it.
        base_domain: packages without a domain live below it, see `username`.
        username: whose packages they are: ``<username>.docker.<base-domain>`` for containers, ``<username>.gateway.<base-domain>`` else.
        default_domain: requests for unknown hosts are answered as if they were for this one.
        data_dir: where everything lies that the gateway keeps.
        redirect_targets: tell on each domain, under ``/.well-known/redirect-targets.json``, which hosts it may redirect to.
        scarf_hosts: serve that product's built-in hosts too: its pixel and its install events.
        salt_rotation: how often the salts of identifiers are replaced, and the old ones destroyed.
        shared_salts: where the nodes of one gateway share their salts; each has its own without it.
        journal: how safe events are in the journal, and how long and how much of them is kept.
        own_traffic: whose requests are served and not recorded.
        verification: how it is found out whose the domains are that organisations name in the console.
    """

    redirect_status: int = 302
    strategy: Strategy = "auto"
    limits: Limits = DEFAULT_LIMITS
    allow_private_backends: bool = False
    allowed_realms: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    request_id_header: str | None = None
    base_domain: str | None = None
    username: str | None = None
    default_domain: str | None = None
    data_dir: str = "gatewaycore-data"
    redirect_targets: bool = True
    scarf_hosts: bool = False
    salt_rotation: Literal["month", "day"] = "month"
    shared_salts: SharedSalts | None = None
    journal: JournalSettings = field(factory=JournalSettings)
    own_traffic: OwnTrafficSettings = field(factory=OwnTrafficSettings)
    verification: VerificationSettings = field(factory=VerificationSettings)

    @property
    def place(self) -> Place:
        """Where domains have to lead."""
        return Place(target=self.verification.target or self.base_domain, addresses=self.verification.addresses)


@frozen(kw_only=True)
class DomainDefaults:
    """An entry of the section `domains`: what holds for the packages on one domain, None where the gateway's word stands.

    Attributes:
        login_backend: of several registries behind the domain, the host of the one that checks its clients' credentials.
        redirect_status, strategy, limits, allow_private_backends, allowed_realms: as the section `gateway` has them.
    """

    redirect_status: int | None = None
    strategy: Strategy | None = None
    limits: Limits | None = None
    allow_private_backends: bool | None = None
    allowed_realms: tuple[str, ...] | None = None
    login_backend: str | None = None


@frozen(kw_only=True)
class ConsoleSettings:
    """The section `console`: where the dashboard and the API are served.

    Attributes:
        domain: theirs alone: no package is on it.
        state: who may see and do what is kept there: a path below the data-dir, or a URL of PostgreSQL, which several nodes share.
        organisation: what the organisation is called that the packages of the file belong to.
        limits: how much of everything there may be.
    """

    domain: str
    state: str | None = field(default=None, repr=False)
    organisation: str = "home"
    limits: ConsoleLimits = DEFAULT_CONSOLE_LIMITS


@frozen
class MadeRule:
    """A package or a collection that stands in no file: somebody has made it elsewhere.

    Attributes:
        section: "packages" or "collections".
        name: what it is called where something is wrong with it.
        keys: as an entry of the section has them. No secret is taken out of the environment for it.
    """

    section: str
    name: str
    keys: Mapping[str, Any]


REFUSED = (GatewayError, ValueError, ArithmeticError, RecursionError)
"""Whatever a type of another distribution cannot compile is the configuration's problem too, and has a place in it."""

INHERITED = ("redirect-status", "strategy", "limits", "allow-private-backends", "allowed-realms")
"""Keys that a package takes from its domain, and a domain from the gateway."""


@frozen(eq=False)
class Rosters:
    """The types that a configuration may name, by tag. The service adds those of other distributions.

    Attributes:
        rules: types of packages.
        sinks: types of sinks.
        enrichments: types of enrichments.
    """

    rules: Mapping[str, type[Rule]] = RULES
    sinks: Mapping[str, type[Storage]] = SINKS
    enrichments: Mapping[str, type[Enrichment]] = ENRICHMENTS


def _client() -> tuple[Enrichment, ...]:
    return (ENRICHMENTS["client"](),)


@frozen(kw_only=True)
class Config:
    """A configuration. Frozen; a gateway that was compiled once is kept.

    Its rules are settings; `compile` makes what requests meet. Afterwards the Config may be dropped: a gateway with a million rules holds
    them compiled only.

    Attributes:
        gateway: what holds for all packages.
        domains: defaults for the packages of a domain.
        packages: settings of packages, in the order of the file.
        collections: settings of collections of images, in the order of the file.
        sinks: settings of sinks; None where none are spoken of, and the service keeps a lake if it can.
        sink_tags: the tags of the sinks, as the configuration names their types; those of other distributions are in no roster of ours.
        enrich: settings of enrichments, in the order in which they are asked.
        badges: where badges are served, and of which packages; None where nowhere.
        console: where the dashboard and the API are served; None where nowhere.
        operations: where liveness, readiness and metrics are told; None where nowhere.
        traces: where traces are sent; None where nowhere.
        sources: settings of what has more packages and collections, beside the file.
        figures: what badges know of numbers. The service keeps it up to date, where there is somebody who counts.
        made_collections: how many of the collections stand in no file, but were made elsewhere: the last ones.
        file: the name of the file it was read from, "" when there is none: what is found to be wrong later has its place there.
        doubled: entries of documents beside the file that are not served, because another document says the same and comes first.
    """

    gateway: GatewaySettings = field(factory=GatewaySettings)
    domains: Mapping[str, DomainDefaults] = field(factory=dict)
    packages: tuple[Rule, ...] = ()
    collections: tuple[Rule, ...] = ()
    sinks: tuple[Storage, ...] | None = None
    sink_tags: tuple[str, ...] = field(default=(), eq=False)
    enrich: tuple[Enrichment, ...] = field(factory=_client)
    badges: BadgeSettings | None = None
    console: ConsoleSettings | None = None
    made_collections: int = field(default=0, eq=False)
    operations: OperationsSettings | None = None
    traces: TracesSettings | None = None
    file: str = field(default="", eq=False)
    sources: tuple[Source, ...] = ()
    doubled: tuple[Problem, ...] = field(default=(), eq=False, repr=False)
    figures: Figures = field(init=False, eq=False, repr=False)
    _compiled: list[Gateway] = field(factory=list, init=False, eq=False, repr=False)

    @figures.default
    def _no_figures(self) -> Figures:
        return Figures(TTL_S if self.badges is None else self.badges.max_age_s)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All settings of rules: packages, then collections."""
        return self.packages + self.collections

    def sink_name(self, position: int) -> str:
        """Return what the sink at `position` is called in logs and by its cursor: its tag, with a number from the second of a kind on."""
        tags = self.sink_tags or tuple(type(sink).__name__.lower() for sink in self.sinks or ())
        before = tags[:position].count(tags[position])
        return f"{tags[position]}-{before + 1}" if before else tags[position]

    def compile(self) -> Gateway:
        """Return the gateway that decides by these rules.

        Raises:
            ConfigError: rules cannot be compiled, or not together; all that is wrong. A configuration that was read has nothing wrong.
        """
        if self._compiled:
            return self._compiled[0]
        compiled = compile_rules(self.rules)
        faults = [fault for number, error in compiled.failed for fault in faults_of(error, self._path(number))]
        if faults:
            raise ConfigError([Problem(show_path(fault.path), fault.what, fault.hint) for fault in faults])
        try:
            return self.join(compiled.routes)
        except ConfigError as error:
            raise ConfigError([self._placed(compiled, problem) for problem in error.problems]) from error

    def join(self, routes: Sequence[Route], before: Config | None = None) -> Gateway:
        """Make the gateway of compiled rules, with badges, and keep it: reading compiles them to find what is wrong, and that is done once.

        Args:
            routes: of all `rules`, in order.
            before: a configuration that was compiled before. What is the same for a domain is taken from it.

        Raises:
            ConfigError: rules cannot share a host.
        """
        badges = () if self.badges is None else self.badges.compile(self.listing(self.badges), self.figures)
        default = self.gateway.default_domain
        older = None if before is None or not before._compiled else before._compiled[0]
        targets = None
        if self.gateway.redirect_targets:
            known = None if before is None or older is None or not isinstance(older.targets, Targets) else (before.rules, older.targets)
            targets = Targets.of(self.rules, default, known)
        self._compiled[:] = [Gateway(Router.compile([*routes, *badges], default, None if older is None else older.router), targets)]
        return self._compiled[0]

    def listing(self, badges: BadgeSettings) -> Listing:
        """Return the packages there are, as badges know them, and which of them are public."""
        collections = [rule for rule in self.collections if isinstance(rule, CollectionRule)]
        return Listing(
            tuple(_packages(self.packages)),
            badges.packages,
            self.gateway.username,
            tuple(ImagePattern.parse(rule.pattern).match for rule in collections),
        )

    def unknown_badges(self) -> Iterator[tuple[int, str]]:
        """Iterate over the entries of `packages` of the section `badges`, with their places, that no package has for a name."""
        if self.badges is not None:
            yield from self.listing(self.badges).unknown()

    def _path(self, number: int) -> Path:
        """Return where one of `rules` stands."""
        count = len(self.packages)
        return ("packages", number) if number < count else ("collections", number - count)

    def _placed(self, compiled: Compiled, problem: Problem) -> Problem:
        number = compiled.maker(problem.about)
        if number is None:
            return problem
        return Problem(show_path(self._path(number) + parse_path(problem.where)), problem.what, problem.hint)


def _packages(rules: Sequence[Rule]) -> Iterator[Package]:
    """Iterate over packages with a name; a type of another distribution need have none."""
    tags = {cls: tag for tag, cls in RULES.items()}
    for rule in rules:
        name = getattr(rule, "name", None)
        if name is not None:
            yield Package(package_of(rule), name, tags.get(type(rule), ""))


@define
class Compiled:
    """What rules were compiled to.

    Attributes:
        routes: of all rules, in order.
        failed: the numbers of the rules that cannot be compiled, each with the reason.
        parts: for each rule, its own routes.
    """

    routes: list[Route] = field(factory=list)
    failed: list[tuple[int, Exception]] = field(factory=list)
    parts: list[Sequence[Route]] = field(factory=list)

    def maker(self, route: object) -> int | None:
        """Return the number of the rule that made `route`; None when none did. Looks through them all."""
        return next((number for number, part in enumerate(self.parts) for one in part if one is route), None)


def compile_rules(rules: Sequence[Rule], known: Mapping[int, Sequence[Route]] = MappingProxyType({})) -> Compiled:
    """Compile rules.

    Args:
        rules: settings.
        known: by the `id` of a rule, what it was compiled to before.
    """
    compiled = Compiled()
    for number, rule in enumerate(rules):
        routes: Sequence[Route] = known.get(id(rule), ())
        if not routes:
            try:
                routes = rule.compile()
            except REFUSED as error:
                compiled.failed.append((number, error))
        compiled.routes.extend(routes)
        compiled.parts.append(routes)
    return compiled
