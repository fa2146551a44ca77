"""Live projects: what an upstream index has of the projects that a rule names, and of no others."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from attrs import define, evolve

from gatewaycore.decision import Decision
from gatewaycore.event import Kind, Observation
from gatewaycore.privacy import seems_to_hold_address
from gatewaycore.request import Request
from gatewaycore.rules.indexes import Live
from gatewaycore.rules.indexes.live import is_file_name
from gatewaycore.rules.python.files import file_variables
from gatewaycore.rules.python.names import NOTHING_SAID, NormalName, described
from gatewaycore.rules.variables import legible, query_variables

_USUAL_CHARACTERS: Final = 128
_BESIDE: Final[tuple[tuple[str, Kind], ...]] = ((".metadata", "metadata"), (".asc", "metadata"))
"""What stands beside a file, under its name with this behind it: its metadata (PEP 658) and its signature (PEP 503)."""


@define(slots=True)
class LiveProject:
    """A project of an upstream index. Nobody mutates it.

    Attributes:
        name: normalised.
        live: the upstream.
        package: what events call its package.
        label: of its rule.
        status: of redirects to its files.
    """

    name: NormalName
    live: Live
    package: str
    label: str
    status: int

    def page(self, request: Request) -> Decision:
        """Answer with the project's page."""
        return self.live.page(request, self.name)

    def file(self, request: Request, asked: str) -> Decision:
        """Answer with where a file is, or what stands beside it; `asked` is decoded."""
        name, suffix, _ = taken_apart(asked)
        return self.live.file(request, self.name, name, self.status, suffix)

    def observe_page(self) -> Observation:
        """Return the part of a page's event that is known here."""
        return Observation(self.package, "python", self.label, "metadata", variables={"project": self.name})

    def observe_file(self, asked: str, query: str) -> Observation:
        """Return that of a file, or of what stands beside one."""
        name, _, kind = taken_apart(asked)
        # What a client made up is not remembered: its own address may stand there.
        is_usual = len(name) <= _USUAL_CHARACTERS and "%" not in name and not seems_to_hold_address(name)
        seen = (_remembered if is_usual else _seen)(self.package, self.label, self.name, name, kind)
        if not query:
            return seen
        return evolve(seen, variables={**query_variables(query), **seen.variables})


def taken_apart(asked: str) -> tuple[str, str, Kind]:
    """Return the file that is meant, what stands beside it, and what fetching it is: `rocket-1.0.whl`, `.metadata`, "metadata"."""
    for suffix, kind in _BESIDE:
        if asked.endswith(suffix):
            return asked.removesuffix(suffix), suffix, kind
    return asked, "", "download"


def _seen(package: str, label: str, project: NormalName, name: str, kind: Kind) -> Observation:
    # No file has a longer name than that; and to cut one would be to cut an address in it.
    said = described(name, project) if is_file_name(name) else NOTHING_SAID
    variables = {"project": project, **file_variables(legible(name), said)}
    return Observation(package, "python", label, kind, said.version, said.platform, said.arch, variables=variables)


_remembered: Final = lru_cache(maxsize=8192)(_seen)
