"""The registry of one domain: every path under ``/npm``, and what each is answered with.

Routes of single rules are joined into one registry when the configuration is loaded. It serves the packages and scopes that rules name,
each from the upstream of its rule; nothing else is asked for anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Final, TypeAlias, assert_never

from attrs import define

from gatewaycore.decision import Decision, Respond
from gatewaycore.errors import ConfigError, Problem
from gatewaycore.event import Kind, Observation
from gatewaycore.headers import Headers
from gatewaycore.request import Request
from gatewaycore.route import Api, Match, Pattern, Route, Variables
from gatewaycore.rules.indexes import Live, Shelf, Source
from gatewaycore.rules.npm.packument import PREFIX, WHOLE, KeysDialect, OneVersion, PackumentDialect, dist_tags, refusal
from gatewaycore.rules.npm.paths import KEYS_PATH, NOT_FOUND, Asked, Found, Keys, Ping, read
from gatewaycore.rules.variables import query_variables

_NOTHING: Final[Variables] = {}
_NO_METHOD: Final = refusal(405, "this registry is only read: nobody publishes to it", (("allow", "GET, HEAD"),))
_NO_PACKAGE: Final = refusal(404, "this registry serves no such package")
_NO_KEYS: Final = refusal(404, "this registry has no keys of its own")
_PONG: Final = Respond(200, Headers([("content-type", WHOLE), ("cache-control", "no-store")]), b"{}")


@define(slots=True, eq=False)
class NpmRoute:
    """One rule's package, or one of its scopes: a part of the `NpmRegistry` it is joined into, and nothing by itself. Nobody mutates it.

    Attributes:
        package: what events call it; None for a scope, whose packages go by their own names.
        named: the package or the scope, as registries name it: "rocket-skates", "@acme/anvil", "@acme".
        source: the upstream registry.
        status: of redirects to tarballs.
    """

    steady: ClassVar[bool] = False

    label: str
    domain: str
    priority: int
    package: str | None
    named: str
    source: Source
    status: int = 302

    @property
    def pattern(self) -> Pattern:
        """Where it stands in its host's index."""
        return _PATTERN

    def decide(self, request: Request, match: Match) -> Decision:
        """Answer 404: outside of a registry there is nothing to find."""
        return _NO_PACKAGE

    def observe(self, request: Request, match: Match, entry: Mapping[str, str] | None = None) -> Observation | None:
        """Return None."""
        return None


@define(slots=True)
class _Served:
    """What a path asks for, and the rule that serves it; `Match.detail`."""

    asked: Asked
    part: NpmRoute
    live: Live


_Detail: TypeAlias = _Served | Ping | Keys | Respond
"""A refusal is said here and not left to the rules below: a catch-all that led from an unknown package to another registry would let
anybody in who registers the name there (dependency confusion)."""


@define(slots=True, eq=False)
class NpmRegistry:
    """The packages and scopes of one domain. Nobody mutates it, but for the pages that it has at hand."""

    steady: ClassVar[bool] = False

    label: str
    domain: str
    priority: int
    package: None
    shelf: Shelf
    named: Mapping[str, tuple[NpmRoute, Live]]
    keys: Live | None

    @classmethod
    def join(cls, routes: Sequence[Route]) -> NpmRegistry:
        """Make the registry of one domain. What several rules name is the one's with the highest priority.

        Raises:
            ConfigError: one package or scope is named by two rules of one priority.
        """
        parts = sorted((route for route in routes if isinstance(route, NpmRoute)), key=lambda route: -route.priority)
        shelf, dialect = Shelf(), PackumentDialect()
        named: dict[str, tuple[NpmRoute, Live]] = {}
        problems: list[Problem] = []
        for part in parts:
            first, _ = named.setdefault(part.named, (part, Live(part.source, dialect, shelf)))
            if first is not part and first.priority == part.priority:
                problems.append(_named_twice(part, first))
        if problems:
            raise ConfigError(problems)
        top = parts[0]
        # Of several registries nobody could say whose keys are meant.
        alone = len({part.source.url for part, _ in named.values()}) == 1
        keys = Live(top.source, KeysDialect(), shelf) if alone else None
        return cls(registry_label(top.domain), top.domain, top.priority, None, shelf, named, keys)

    @property
    def pattern(self) -> Pattern:
        """Where it stands in its host's index."""
        return _PATTERN

    def match(self, request: Request) -> Match | None:
        """Return what a path under ``/npm`` leads to; None for other paths."""
        found = read(request.path)
        return None if found is None else Match(self, _NOTHING, self._serve(found))

    def _serve(self, found: Found) -> _Detail:
        if not isinstance(found, Asked):
            return found
        # A package that is named is of the rule that names it, even where another rule has its whole scope too
        serving = self.named.get(found.package)
        if serving is None and found.package.startswith("@"):
            serving = self.named.get(found.package.partition("/")[0])
        return _NO_PACKAGE if serving is None else _Served(found, *serving)

    def decide(self, request: Request, match: Match) -> Decision:
        """Return what to answer."""
        found: _Detail = match.detail
        if request.method not in ("GET", "HEAD") and (found in (NOT_FOUND, _NO_PACKAGE) or not isinstance(found, Respond)):
            # 404 would be taken for success by who wants something removed.
            return _NO_METHOD
        match found:
            case Respond():
                return found
            case Ping():
                return _PONG
            case Keys():
                return _NO_KEYS if self.keys is None else self.keys.page(request, KEYS_PATH)
            case _Served(asked, part, live):
                return _answer(request, asked, part, live)
            case _:
                assert_never(found)

    def observe(self, request: Request, match: Match, entry: Mapping[str, str] | None = None) -> Observation | None:
        """Return this part of the event: for what is served of packages, and for pings."""
        found: _Detail = match.detail
        if request.method not in ("GET", "HEAD") or isinstance(found, Respond | Keys):
            # Keys are the registry's own, and nobody installs them.
            return None
        if isinstance(found, Ping):
            return Observation(None, "npm", self.label, "ping")
        asked, part = found.asked, found.part
        variables = {"project": asked.package}
        if asked.what == "tarball":
            variables = {**query_variables(request.query), **variables, "file": asked.name}
        elif asked.what == "version" and not asked.version:
            variables["tag"] = asked.name
        kind: Kind = "download" if asked.what == "tarball" else "metadata"
        return Observation(part.package or asked.package, "npm", part.label, kind, asked.version or None, variables=variables)

    def sources(self) -> Iterator[tuple[str, Source]]:
        """Iterate over the upstream of each package and scope that is named, with what events call it."""
        return ((part.package or part.named, part.source) for part, _ in self.named.values())

    def inherit(self, older: NpmRegistry) -> None:
        """Go on with the pages that it has had at hand before its rules were read again."""
        self.shelf.inherit(older.shelf)

    def forget(self) -> None:
        """Let go of the pages at hand."""
        self.shelf.clear()


def registry_label(domain: str) -> str:
    """Return what `explain` and events call a domain's registry."""
    return f"{domain}{PREFIX}"


def _answer(request: Request, asked: Asked, part: NpmRoute, live: Live) -> Decision:
    match asked.what:
        case "packument":
            return live.page(request, asked.package)
        case "version":
            return live.page(request, asked.package, OneVersion(asked.name))
        case "dist-tags":
            return live.page(request, asked.package, dist_tags) if not asked.name else NOT_FOUND
        case "tarball" | "attestations":
            return live.file(request, asked.package, asked.name, part.status)
        case _:
            assert_never(asked.what)


def _named_twice(part: NpmRoute, first: NpmRoute) -> Problem:
    """One name of two places is how a stranger's package gets in: nobody could say which of them a client got."""
    what = f"{part.named} comes from {first.source.name} by another rule, and from {part.source.name} by this one"
    about = part.package or part.named
    return Problem(f"package {about!r}", what, "remove one of the two, or say with priority which one counts", about=part)


_PATTERN: Final = Api("npm", (PREFIX,), NpmRegistry.join)
