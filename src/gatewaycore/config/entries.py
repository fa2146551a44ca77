"""Entries: rules as they were written, and where in them something is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from attrs import frozen

from gatewaycore.config.faults import Fault, Path, faults_of, parse_path
from gatewaycore.errors import Problem, TemplateError


@frozen
class Entry:
    """One rule as written.

    Attributes:
        raw: its keys.
        path: where it stands.
        names: what its keys are called there, where that is not what they are called in `raw`.
        members: where the items of its `files` stand, when each is a rule of its own there.
        is_made: whether it stands in no file: whoever made it must not get at the environment.
    """

    raw: Any
    path: Path
    names: Mapping[str, str] = MappingProxyType({})
    members: Sequence[Path] = ()
    is_made: bool = False

    def place(self, path: Path) -> Path:
        """Return where something of `raw` stands."""
        base = self.path
        if self.members and len(path) > 1 and path[0] == "files" and isinstance(path[1], int):
            base, path = self.members[path[1]], path[2:]
        if path and isinstance(path[0], str):
            path = (self.names.get(path[0], path[0]), *path[1:])
        return base + path


def refused(entry: Entry, error: Exception) -> Iterator[Fault]:
    """Iterate over what is wrong with an entry that cannot be compiled."""
    for fault in faults_of(error):
        path = (_find(entry.raw, error.source) if isinstance(error, TemplateError) else None) or fault.path
        yield Fault(entry.place(path), fault.what, fault.hint)


def together(entry: Entry, problem: Problem) -> Fault:
    """Return what is wrong with an entry beside another one."""
    return Fault(entry.place(parse_path(problem.where)), problem.what, problem.hint)


def _find(raw: Any, text: str) -> Path | None:
    """Return the path of the value `text` in the keys of a rule."""
    open_: list[tuple[Path, Any]] = [((), raw)]
    while open_:
        path, value = open_.pop()
        if isinstance(value, str):
            if value == text and path:
                return path
        elif len(path) < 4 and isinstance(value, Mapping | list | tuple):
            items = value.items() if isinstance(value, Mapping) else enumerate(value)
            open_ += [((*path, key), item) for key, item in items if isinstance(key, str | int)][::-1]
    return None
