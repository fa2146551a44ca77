"""Routes: the projects of one domain's index, where every path means a page or a file.

For package managers whose paths are no more than that. One that lists files of its own, or spells names in many ways, has its own route
and asks `Live` what to answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import ClassVar, Final, Protocol

from attrs import define, field, frozen

from gatewaycore.decision import Decision, Respond
from gatewaycore.errors import ConfigError, Problem
from gatewaycore.event import Kind, Observation
from gatewaycore.request import Request
from gatewaycore.route import Api, Match, Route
from gatewaycore.rules.indexes.dialect import Dialect
from gatewaycore.rules.indexes.live import Live
from gatewaycore.rules.indexes.shelf import Shelf
from gatewaycore.rules.indexes.source import Source
from gatewaycore.rules.variables import legible, query_variables

_NOTHING: Final[Mapping[str, str]] = {}


@frozen
class Asked:
    """What a path asks for.

    Attributes:
        project: as rules name it.
        file: one of its files, decoded; None for its page.
        suffix: what is asked for stands beside the file, under its URL with this behind it.
        kind: what fetching it is: "download", or "metadata" of what is not the package itself. A page is "metadata" always.
        version, platform, arch: what the file's name says.
        variables: what else is known of it.
    """

    project: str
    file: str | None = None
    suffix: str = ""
    kind: Kind = "download"
    version: str | None = None
    platform: str | None = None
    arch: str | None = None
    variables: Mapping[str, str] = field(factory=dict, hash=False)


class Layout(Protocol):
    """What the paths of a package manager's index mean; kept by nobody, and asked from any thread."""

    def read(self, path: str) -> Asked | Respond | None:
        """Return what a wire path asks for, or what is answered to it whatever the projects are; None for one that is none of ours."""
        ...


@define(slots=True, eq=False)
class ProjectRoute:
    """One project of one rule: a part of the `IndexRoute` it is joined into, and nothing by itself. Nobody mutates it.

    Attributes:
        label, domain, priority: as every route has them.
        package: what events call its package.
        pattern: from `index_pattern`; the same for all projects of a package manager.
        project: its name.
        source: the upstream that has it.
        status: of redirects to its files.
    """

    steady: ClassVar[bool] = False

    label: str
    domain: str
    package: str
    pattern: Api
    project: str
    source: Source
    status: int = 302
    priority: int = 0

    def decide(self, request: Request, match: Match) -> Decision:
        """Answer 404: outside of an index there is nothing to find."""
        return Respond(404)

    def observe(self, request: Request, match: Match, entry: Mapping[str, str] | None = None) -> Observation | None:
        """Return None."""
        return None


@define(slots=True, eq=False)
class IndexRoute:
    """The projects of one domain. Nobody mutates it, but for the pages that it has at hand."""

    steady: ClassVar[bool] = False

    label: str
    domain: str
    priority: int
    package: None
    pattern: Api
    dialect: Dialect
    layout: Layout
    shelf: Shelf
    projects: Mapping[str, tuple[ProjectRoute, Live]]

    @classmethod
    def join(cls, dialect: Dialect, layout: Layout, routes: Sequence[Route]) -> IndexRoute:
        """Make the index of one domain. A project that several rules have is the one's with the highest priority.

        Raises:
            ConfigError: two rules of one priority have one project.
        """
        parts = sorted((route for route in routes if isinstance(route, ProjectRoute)), key=lambda route: -route.priority)
        shelf, problems = Shelf(), []
        projects: dict[str, tuple[ProjectRoute, Live]] = {}
        for part in parts:
            first, _ = projects.setdefault(part.project, (part, Live(part.source, dialect, shelf)))
            if first is not part and first.priority == part.priority:
                what = f"the project {part.project} is another rule's already"
                hint = "remove one of the two, or say with priority which one counts"
                problems.append(Problem(f"package {part.package!r}", what, hint, about=part))
        if problems:
            raise ConfigError(problems)
        top, pattern = parts[0], parts[0].pattern
        return cls(f"{top.domain}{pattern.prefixes[0]}", top.domain, top.priority, None, pattern, dialect, layout, shelf, projects)

    def match(self, request: Request) -> Match | None:
        """Return what a path leads to; None for one that is none of the index's.

        A project that no rule names is answered here, and not left to the rules below: a catch-all that led from there to another index
        would let anybody in who registers the name (dependency confusion).
        """
        found = self.layout.read(request.path)
        if found is None:
            return None
        if isinstance(found, Asked) and found.project not in self.projects:
            found = self.dialect.refuse(404, "this index has no such project")
        return Match(self, _NOTHING, found)

    def decide(self, request: Request, match: Match) -> Decision:
        """Return what to answer."""
        found: Asked | Respond = match.detail
        if request.method not in ("GET", "HEAD"):
            return self.dialect.refuse(405, "an index is only read: GET or HEAD", (("allow", "GET, HEAD"),))
        if isinstance(found, Respond):
            return found
        part, live = self.projects[found.project]
        if found.file is None:
            return live.page(request, found.project)
        return live.file(request, found.project, found.file, part.status, found.suffix)

    def observe(self, request: Request, match: Match, entry: Mapping[str, str] | None = None) -> Observation | None:
        """Return this part of the event: for pages and files of projects that rules name."""
        found: Asked | Respond = match.detail
        if request.method not in ("GET", "HEAD") or isinstance(found, Respond):
            return None
        part, _ = self.projects[found.project]
        known = {"project": found.project, **found.variables}
        if found.file is None:
            return Observation(part.package, self.pattern.name, part.label, "metadata", variables=known)
        known = {**query_variables(request.query), **known, "file": legible(found.file)}
        return Observation(
            part.package, self.pattern.name, part.label, found.kind, found.version, found.platform, found.arch, variables=known
        )

    def sources(self) -> Iterator[tuple[str, Source]]:
        """Iterate over the upstream of each project, with the package that it is of."""
        return ((part.package, part.source) for part, _ in self.projects.values())

    def inherit(self, older: IndexRoute) -> None:
        """Go on with the pages that it has had at hand before its rules were read again."""
        self.shelf.inherit(older.shelf)

    def forget(self) -> None:
        """Let go of the pages at hand."""
        self.shelf.clear()


def index_pattern(name: str, prefixes: tuple[str, ...], dialect: Dialect, layout: Layout) -> Api:
    """Return the pattern of a package manager's routes: where its paths begin, and how those of one domain are joined.

    Args:
        name: the package type, and what events call it.
        prefixes: each of one or two segments, without a trailing "/": ("/go",).
        dialect: what its pages are made of.
        layout: what its paths mean.
    """
    return Api(name, prefixes, partial(IndexRoute.join, dialect, layout))
