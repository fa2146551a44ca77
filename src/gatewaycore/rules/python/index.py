"""The simple index of one domain: every path under ``/simple``, and what each is answered with.

Routes of single rules are joined into one index when the configuration is loaded. A request then costs two lookups, however many files
there are, and nothing it says becomes more than a key: names in answers are the configuration's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from gatewaycore.rules.python.files import Listed
from gatewaycore.rules.python.names import NormalName, normalise
from gatewaycore.rules.python.pages import Page, project_page, root_page

PREFIX: Final = "/simple"
_NOTHING: Final[Variables] = {}
_NO_METHOD: Final = Respond(405, Headers([("allow", "GET, HEAD"), *TEXT.items()]), b"an index is only read: GET or HEAD\n")
_NOT_FOUND: Final = Respond(404, TEXT, b"this index has no such project or file\n")


@define(slots=True)
class _Moved:
    """Another spelling of a page's address. `location` is relative (RFC 9110 §10.2.2): right under any mount prefix."""

    location: str


_Found: TypeAlias = Listed | Page | _Moved | None
"""What a path leads to; `Match.detail`. None is said here and not left to the rules below: a catch-all that led installers from an unknown
project to another index would let anybody in who registers the name there (dependency confusion)."""

_TO_ROOT: Final = _Moved("simple/")


@define(slots=True, eq=False)
class PythonRoute:
    """One rule's project on one domain: a part of the `PythonIndex` it is joined into, and nothing by itself. Nobody mutates it.

    Attributes:
        project: its normalised name.
        files: what it lists.
    """

    steady: ClassVar[bool] = False

    label: str
    domain: str
    priority: int
    package: str
    project: NormalName
    files: tuple[Listed, ...]

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
    files: dict[str, Listed]
    page: Page
    from_name: _Moved
    from_spelling: _Moved


@define(slots=True, eq=False)
class PythonIndex:
    """The projects of one domain. Nobody mutates it."""

    steady: ClassVar[bool] = False

    label: str
    domain: str
    priority: int
    package: str | None
    root: Page
    projects: dict[str, _Project]

    @classmethod
    def join(cls, routes: Sequence[Route]) -> PythonIndex:
        """Make the index of one domain. A file that several rules list is the one's with the highest priority.

        Raises:
            ConfigError: two rules of one priority give one file two URLs.
        """
        parts = sorted((route for route in routes if isinstance(route, PythonRoute)), key=lambda route: -route.priority)
        grouped: dict[NormalName, list[PythonRoute]] = {}
        for route in parts:
            grouped.setdefault(route.project, []).append(route)
        domain = parts[0].domain if parts else "*"
        label = index_label(domain)
        problems: list[Problem] = []
        projects: dict[str, _Project] = {name: _project(name, members, label, problems) for name, members in grouped.items()}
        if problems:
            raise ConfigError(problems)
        root = root_page(grouped, Observation(None, "python", label, "metadata"))
        return cls(label, domain, max((route.priority for route in parts), default=0), None, root, projects)

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
            return project.files.get(file) or project.files.get(unquote(file))
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
        # What moved is no event; the page it leads to is.
        return found.observation if isinstance(found, Page) else None


def index_label(domain: str) -> str:
    """Return what `explain` and events call a domain's index."""
    return f"{domain}{PREFIX}"


def _project(name: NormalName, members: Sequence[PythonRoute], label: str, problems: list[Problem]) -> _Project:
    files: dict[str, tuple[Listed, PythonRoute]] = {}
    for route in members:
        for listed in route.files:
            kept, owner = files.setdefault(listed.file.file_name, (listed, route))
            if kept.file.url != listed.file.url and owner.priority == route.priority:
                problems.append(_ambiguous(route, kept))
    shown = {file_name: listed for file_name, (listed, _) in files.items()}
    page = project_page(name, shown.values(), Observation(members[0].package, "python", label, "metadata"))
    return _Project(shown, page, _Moved(f"{name}/"), _Moved(f"../{name}/"))


def _ambiguous(route: PythonRoute, other: Listed) -> Problem:
    what = f"{other.file.file_name!r} is listed by another rule of this project already, with another url"
    return Problem(f"package {route.package!r}", what, "remove one of the two, or say with priority which one counts", about=route)


def _name(segment: str) -> str:
    # Decoded once, used as a key and for nothing else. ASCII alone: lower() folds the Kelvin sign into a "k".
    decoded = unquote(segment)
    return normalise(decoded) if decoded.isascii() else ""


_PATTERN: Final = Api("python", (PREFIX,), PythonIndex.join)
