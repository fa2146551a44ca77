"""The simple index of one domain: every path under ``/simple``, and what each is answered with.

Routes of single rules are joined into one index when the configuration is loaded. A request then costs two lookups, however many files
there are, and nothing it says becomes more than a key: names in answers are the configuration's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Final, TypeAlias, assert_never
from urllib.parse import unquote

from attrs import define

from gatewaycore.decision import TEXT, Decision, Respond
from gatewaycore.errors import ConfigError, Problem
from gatewaycore.event import Observation
from gatewaycore.headers import Headers
from gatewaycore.outgoing import wire_query
from gatewaycore.request import Request
from gatewaycore.route import Api, Match, Pattern, Route, Variables
from gatewaycore.rules.indexes import Live, Shelf, Source
from gatewaycore.rules.python.files import Listed
from gatewaycore.rules.python.live import LiveProject
from gatewaycore.rules.python.names import NormalName, normalise
from gatewaycore.rules.python.pages import Page, project_page, root_page
from gatewaycore.rules.python.simple import SimpleDialect

PREFIX: Final = "/simple"
_NOTHING: Final[Variables] = {}
_NO_METHOD: Final = Respond(405, Headers([("allow", "GET, HEAD"), *TEXT.items()]), b"an index is only read: GET or HEAD\n")
_NOT_FOUND: Final = Respond(404, TEXT, b"this index has no such project or file\n")


@define(slots=True)
class _Moved:
    """Another spelling of a page's address. `location` is relative (RFC 9110 §10.2.2): right under any mount prefix."""

    location: str


@define(slots=True)
class _Sought:
    """A page of a live project, or a file of one, by its decoded name."""

    project: LiveProject
    file: str | None = None


_Found: TypeAlias = Listed | Page | _Sought | _Moved | None
"""What a path leads to; `Match.detail`. None is said here and not left to the rules below: a catch-all that led installers from an unknown
project to another index would let anybody in who registers the name there (dependency confusion)."""

_TO_ROOT: Final = _Moved("simple/")


@define(slots=True, eq=False)
class PythonRoute:
    """One rule's project on one domain: a part of the `PythonIndex` it is joined into, and nothing by itself. Nobody mutates it.

    Attributes:
        project: its normalised name.
        files: what it lists.
        source: the upstream index that has its files, where they are not listed.
        status: of redirects to those.
    """

    steady: ClassVar[bool] = False

    label: str
    domain: str
    priority: int
    package: str
    project: NormalName
    files: tuple[Listed, ...]
    source: Source | None = None
    status: int = 302

    @property
    def pattern(self) -> Pattern:
        """Where it stands in its host's index."""
        return _PATTERN

    def decide(self, request: Request, match: Match) -> Decision:
        """Answer 404: outside of an index there is nothing to find."""
        return _NOT_FOUND

    def observe(self, request: Request, match: Match, entry: Mapping[str, str] | None = None) -> Observation | None:
        """Return None."""
        return None


@define(slots=True)
class _Project:
    """A project: either its page and its files are there since it was loaded, or it is `live`."""

    page: Page | _Sought
    from_name: _Moved
    from_spelling: _Moved
    files: Mapping[str, Listed] = {}
    live: LiveProject | None = None

    def file(self, name: str) -> Listed | _Sought | None:
        if self.live is not None:
            return _Sought(self.live, unquote(name))
        return self.files.get(name) or self.files.get(unquote(name))


@define(slots=True, eq=False)
class PythonIndex:
    """The projects of one domain. Nobody mutates it, but for the pages that it has at hand."""

    steady: ClassVar[bool] = False

    label: str
    domain: str
    priority: int
    package: str | None
    root: Page
    projects: dict[str, _Project]
    shelf: Shelf

    @classmethod
    def join(cls, routes: Sequence[Route]) -> PythonIndex:
        """Make the index of one domain. What several rules have is the one's with the highest priority.

        Raises:
            ConfigError: two rules of one priority give one file two URLs, or have one project, and not both of them list its files.
        """
        parts = sorted((route for route in routes if isinstance(route, PythonRoute)), key=lambda route: -route.priority)
        grouped: dict[NormalName, list[PythonRoute]] = {}
        for route in parts:
            grouped.setdefault(route.project, []).append(route)
        domain = parts[0].domain if parts else "*"
        label = index_label(domain)
        problems: list[Problem] = []
        shelf = Shelf()
        projects: dict[str, _Project] = {name: _project(name, members, label, shelf, problems) for name, members in grouped.items()}
        if problems:
            raise ConfigError(problems)
        root = root_page(grouped, Observation(None, "python", label, "metadata"))
        return cls(label, domain, max((route.priority for route in parts), default=0), None, root, projects, shelf)

    @property
    def pattern(self) -> Pattern:
        """Where it stands in its host's index."""
        return _PATTERN

    def match(self, request: Request) -> Match | None:
        """Return what a path under ``/simple`` leads to; None for other paths."""
        path = request.path
        if not path.startswith(PREFIX):
            return None
        rest = path[len(PREFIX) :]
        if not rest:
            return Match(self, _NOTHING, _TO_ROOT)
        if rest[0] != "/":
            return None
        if rest == "/":
            return Match(self, _NOTHING, self.root)
        found = self._find(*rest[1:].partition("/"))
        return Match(self, found.observation.variables if isinstance(found, Listed) else _NOTHING, found)

    def _find(self, name: str, slash: str, file: str) -> _Found:
        project = self.projects.get(name)
        spelled = project is None
        if project is None:
            project = self.projects.get(_name(name))
            if project is None:
                return None
        if file:
            # A file is answered under any spelling of its project: one round trip less, and what it is cannot be mistaken.
            return project.file(file)
        if slash:
            return project.from_spelling if spelled else project.page
        return project.from_name

    def decide(self, request: Request, match: Match) -> Decision:
        """Return what to answer."""
        if request.method not in ("GET", "HEAD"):
            return _NO_METHOD
        found: _Found = match.detail
        match found:
            case Listed():
                return found.answer(request.query)
            case Page():
                return found.answer(request.headers)
            case _Sought(project, file):
                return project.page(request) if file is None else project.file(request, file)
            case _Moved(location):
                query = f"?{wire_query(request.query)}" if request.query else ""
                return Respond(301, Headers([("location", location + query)]))
            case None:
                return _NOT_FOUND
            case _:
                assert_never(found)

    def observe(self, request: Request, match: Match, entry: Mapping[str, str] | None = None) -> Observation | None:
        """Return this part of the event: for files and pages that are there, and for nothing else."""
        if request.method not in ("GET", "HEAD"):
            return None
        found: _Found = match.detail
        if isinstance(found, Listed):
            return found.observe(request.query)
        if isinstance(found, _Sought):
            return found.project.observe_page() if found.file is None else found.project.observe_file(found.file, request.query)
        # What moved is no event; the page it leads to is.
        return found.observation if isinstance(found, Page) else None

    def sources(self) -> Iterator[tuple[str, Source]]:
        """Iterate over the upstream of each project that has one, with the package that it is of."""
        return ((project.live.package, project.live.live.source) for project in self.projects.values() if project.live is not None)

    def inherit(self, older: PythonIndex) -> None:
        """Go on with the pages that it has had at hand before its rules were read again."""
        self.shelf.inherit(older.shelf)

    def forget(self) -> None:
        """Let go of the pages at hand."""
        self.shelf.clear()


def index_label(domain: str) -> str:
    """Return what `explain` and events call a domain's index."""
    return f"{domain}{PREFIX}"


def _project(name: NormalName, members: Sequence[PythonRoute], label: str, shelf: Shelf, problems: list[Problem]) -> _Project:
    """Make a project of the routes that have it, the highest priority first."""
    from_name, from_spelling, first = _Moved(f"{name}/"), _Moved(f"../{name}/"), members[0]
    # Lists of files are shown on one page. An index has all of its project, and whoever came second would never be counted.
    rivals = [route for route in members[1:] if route.priority == first.priority and (route.source or first.source) is not None]
    problems += [_named_twice(route, first) for route in rivals]
    if first.source is not None:
        project = LiveProject(name, Live(first.source, SimpleDialect(), shelf), first.package, label, first.status)
        return _Project(_Sought(project), from_name, from_spelling, live=project)
    files: dict[str, tuple[Listed, PythonRoute]] = {}
    for route in members:
        for listed in route.files:
            kept, owner = files.setdefault(listed.file.file_name, (listed, route))
            if kept.file.url != listed.file.url and owner.priority == route.priority:
                problems.append(_ambiguous(route, kept))
    shown = {file_name: listed for file_name, (listed, _) in files.items()}
    page = project_page(name, shown.values(), Observation(first.package, "python", label, "metadata"))
    return _Project(page, from_name, from_spelling, shown)


def _named_twice(route: PythonRoute, first: PythonRoute) -> Problem:
    """One project of two places is how a stranger's file gets in (dependency confusion): nobody could say which of them a client got."""
    places = [f"the index {one.source.name}" if one.source is not None else "a list of files" for one in (first, route)]
    what = f"the project {route.project} comes from {places[0]} by another rule, and from {places[1]} by this one"
    return Problem(f"package {route.package!r}", what, "remove one of the two, or say with priority which one counts", about=route)


def _ambiguous(route: PythonRoute, other: Listed) -> Problem:
    what = f"{other.file.file_name!r} is listed by another rule of this project already, with another url"
    return Problem(f"package {route.package!r}", what, "remove one of the two, or say with priority which one counts", about=route)


def _name(segment: str) -> str:
    # Decoded once, used as a key and for nothing else. ASCII alone: lower() folds the Kelvin sign into a "k".
    decoded = unquote(segment)
    return normalise(decoded) if decoded.isascii() else ""


_PATTERN: Final = Api("python", (PREFIX,), PythonIndex.join)
