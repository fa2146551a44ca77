"""Package type ``python``: a simple index (PEP 503, PEP 691) whose files are redirected to where they are.

This room knows projects whose files the configuration lists, and serves those and no others: an index that fell back to another one
would let the two be mixed up by whoever registers a name first. It neither fetches nor keeps a file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attrs import frozen

from gatewaycore.decision import STATUSES
from gatewaycore.errors import ConfigError, Problem, RequestError
from gatewaycore.request import normalise_host
from gatewaycore.rules.python.files import Listed, PythonFile
from gatewaycore.rules.python.index import PythonIndex, PythonRoute, index_label
from gatewaycore.rules.python.names import is_project_name, normalise

__all__ = ["PythonFile", "PythonIndex", "PythonRoute", "PythonRule"]


@frozen(kw_only=True)
class PythonRule:
    """A Python project on a domain.

    Several rules may name one project of one domain; their files are shown on one page, and each keeps its own name in events.

    Attributes:
        name: the project, in any spelling (PEP 503 §Normalized Names).
        domain: "py.acme.com", "*.acme.com" or "*".
        id: what events call the package; its name when not given.
        files: what may be installed.
        redirect_status: 301, 302, 303, 307 or 308.
        priority: whose file it is, should several rules list the same name; the higher wins.
    """

    name: str
    domain: str
    id: str | None = None
    files: tuple[PythonFile, ...] = ()
    redirect_status: int = 302
    priority: int = 0

    def compile(self) -> Sequence[PythonRoute]:
        """Make the route.

        Raises:
            ConfigError: names, URLs or digests that cannot be, or one file name with two URLs.
        """
        problems = list(self._problems())
        if problems:
            raise ConfigError(problems)
        project, domain, package = normalise(self.name), _domain(self.domain), self.id or self.name
        label = index_label(domain)
        # One entry a name; what is listed twice leads to one place, as the problems above made sure.
        unique = {file.file_name: file for file in self.files}
        files = tuple(
            Listed.compile(file, project=project, package=package, label=label, status=self.redirect_status) for file in unique.values()
        )
        return (PythonRoute(f"{label}/{project}", domain, self.priority, package, project, files),)

    def _problems(self) -> Iterator[Problem]:
        where = f"package {self.name!r}"
        if not is_project_name(self.name):
            hint = "letters, digits, '.', '_' and '-', with a letter or digit at both ends (PEP 508)"
            yield Problem(where, f"{self.name!r} is not the name of a Python project", hint)
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


def _domain(text: str) -> str:
    if text == "*":
        return text
    star, rest = ("*.", text[2:]) if text.startswith("*.") else ("", text)
    return star + normalise_host(rest)
