"""Package type ``python``: a simple index (PEP 503, PEP 691) whose files are redirected to where they are.

This room knows projects whose files the configuration lists, and projects of an upstream index that it names, and serves those and no
others: an index that fell back to another one would let the two be mixed up by whoever registers a name first. It neither fetches nor
keeps a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

from attrs import frozen

from gatewaycore.decision import STATUSES
from gatewaycore.errors import ConfigError, Problem, RequestError
from gatewaycore.request import normalise_host
from gatewaycore.rules.indexes import Source
from gatewaycore.rules.indexes.source import STALE_S, TTL_S
from gatewaycore.rules.python.files import Listed, PythonFile
from gatewaycore.rules.python.index import PythonIndex, PythonRoute, index_label
from gatewaycore.rules.python.names import is_project_name, normalise
from gatewaycore.rules.python.pip import PipCommand

__all__ = ["PythonFile", "PythonIndex", "PythonRoute", "PythonRule"]

T = TypeVar("T")
_NAME_HINT: Final = "letters, digits, '.', '_' and '-', with a letter or digit at both ends (PEP 508)"


@frozen(kw_only=True)
class PythonRule:
    """A Python project on a domain.

    Several rules may list files of one project of one domain; they are shown on one page, and each keeps its own name in events. A project
    of an index is one rule's.

    Attributes:
        name: the project, in any spelling (PEP 503 §Normalized Names).
        domain: "py.acme.com", "*.acme.com" or "*".
        id: what events call the package; its name when not given.
        files: what may be installed.
        pip: what people type, which says both projects and index: ``pip install rocket-skates --extra-index-url https://pkgs.acme.com/simple``.
            Without an index it means the public one.
        index: the URL of the upstream index that has the files: ``https://pkgs.acme.com/simple``.
        projects: what is served of that index; the project of the package's own name, unless they are named.
        allowed_hosts: hosts that the index may redirect to, beside its own.
        allow_private_backends: ask an index, and send clients to files, at addresses of private networks and of this machine too.
        ttl_s: how long a page of the index is believed before it is asked whether that has changed.
        stale_s: how long after that the page is still shown while the index is down.
        redirect_status: 301, 302, 303, 307 or 308.
        priority: whose project or file it is, should several rules have the same; the higher wins.
    """

    name: str
    domain: str
    id: str | None = None
    files: tuple[PythonFile, ...] = ()
    pip: str | None = None
    index: str | None = None
    projects: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    allow_private_backends: bool = False
    ttl_s: int = TTL_S
    stale_s: int = STALE_S
    redirect_status: int = 302
    priority: int = 0

    def compile(self) -> Sequence[PythonRoute]:
        """Make the route.

        Raises:
            ConfigError: names, URLs or digests that cannot be, one file name with two URLs, or files of more than one place.
        """
        problems = list(self._problems())
        names, source = self._upstream(problems)
        if problems:
            raise ConfigError(problems)
        domain, package = _domain(self.domain), self.id or self.name
        label = index_label(domain)
        if source is not None:
            return [
                PythonRoute(f"{label}/{one}", domain, self.priority, package, one, (), source, self.redirect_status)
                for one in dict.fromkeys(map(normalise, names))
            ]
        project = normalise(self.name)
        # One entry a name; what is listed twice leads to one place, as the problems above made sure.
        unique = {file.file_name: file for file in self.files}
        files = tuple(
            Listed.compile(file, project=project, package=package, label=label, status=self.redirect_status) for file in unique.values()
        )
        return (PythonRoute(f"{label}/{project}", domain, self.priority, package, project, files),)

    def _upstream(self, problems: list[Problem]) -> tuple[Sequence[str], Source | None]:
        """Return the projects that come from an upstream index, and that; None where files are listed."""
        names, index = self.projects, self.index
        if self.pip is not None:
            if self.index is not None or self.projects:
                problems.append(Problem("pip", "says which projects there are, and of which index", "leave out index and projects"))
            command = _attempt(lambda: PipCommand.parse(self.pip or ""), problems)
            if command is None:
                return (), None
            names, index = command.projects, _attempt(public_index, problems) if command.index is None else command.index
        elif index is None:
            if self.projects:
                problems.append(Problem("projects", "there is no index that has them", "write index:, or list files"))
            return (), None
        if self.files:
            what = "an index has the files, and there is a list of them as well"
            problems.append(Problem("files", what, "keep one of the two: files of two places are how a stranger's gets in"))
        for position, name in enumerate(self.projects):
            if not is_project_name(name):
                problems.append(Problem(f"projects[{position}]", f"{name!r} is not the name of a Python project", _NAME_HINT))
        if index is None:
            return (), None
        private, hosts = self.allow_private_backends, self.allowed_hosts
        found: list[Problem] = []
        source = _attempt(lambda: Source.parse(index, private=private, hosts=hosts, ttl_s=self.ttl_s, stale_s=self.stale_s), found)
        # Where somebody wrote it: in a command, there is no key of that name.
        key = "index" if self.pip is None else "pip"
        problems += [Problem(key, problem.what, problem.hint) for problem in found]
        return names or (self.name,), source

    def _problems(self) -> Iterator[Problem]:
        where = f"package {self.name!r}"
        if not is_project_name(self.name) and self.pip is None and not self.projects:
            yield Problem(where, f"{self.name!r} is not the name of a Python project", _NAME_HINT)
        try:
            _domain(self.domain)
        except RequestError as error:
            yield Problem(f"{where}: domain", str(error), "py.example.com, *.example.com or *")
        if self.redirect_status not in STATUSES:
            yield Problem(f"{where}: redirect-status", f"{self.redirect_status} is no redirect", "301, 302, 303, 307 or 308")
        seen: dict[str, tuple[int, str]] = {}
        for position, file in enumerate(self.files):
            here = f"{where}: files[{position}]"
            yield from (Problem(here, what, hint) for what, hint in file.problems())
            first, url = seen.setdefault(file.file_name, (position, file.url))
            if url != file.url:
                what = f"file-name {file.file_name!r} stands at files[{first}] already, with another url"
                yield Problem(here, what, "keep one of the two")


def public_index() -> str:
    """Return the URL of the index that installers ask when they are told none, as the library ``pypi-simple`` knows it.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        from pypi_simple import PYPI_SIMPLE_ENDPOINT
    except ImportError as error:
        what = "the address of the public index comes from a library that is not installed"
        raise ConfigError([Problem("pip", what, "pip install 'gatewaycore[python]', or name an index")]) from error
    return PYPI_SIMPLE_ENDPOINT


def _attempt(make: Callable[[], T], problems: list[Problem]) -> T | None:
    try:
        return make()
    except ConfigError as error:
        problems += error.problems
        return None


def _domain(text: str) -> str:
    if text == "*":
        return text
    star, rest = ("*.", text[2:]) if text.startswith("*.") else ("", text)
    return star + normalise_host(rest)
