"""Where a key stands in its text. Only asked when something is wrong, by reading the text a second time.

This room knows tokens, not the languages they come from.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from attrs import define, field, frozen

from gatewaycore.config.faults import Fault, Path

Token: TypeAlias = tuple[str, str, int]
"""Kind ("map", "list", "end" or "scalar"), text of a scalar, line from 1."""


@frozen
class Place:
    """A place in a text, lines and columns counted from 1; None where it is not known."""

    line: int | None
    column: int | None = None

    def __str__(self) -> str:
        return "".join(f":{number}" for number in (self.line, self.column) if number is not None)


@define(slots=True, eq=False)
class Extent:
    """Where a list at the top of a document lies.

    Attributes:
        starts: of each item, the offset of its first character (in YAML, behind the dash).
        end: the offset of what comes behind the list, or of the end of the text.
    """

    starts: array[int] = field(factory=lambda: array("Q"))
    end: int = 0


class SourceError(ValueError):
    """A text that no data can be made of."""

    def __init__(self, faults: Sequence[tuple[Place, Fault]]) -> None:
        self.faults = faults
        super().__init__("; ".join(fault.what for _, fault in faults))


def find_lines(tokens: Iterable[Token], wanted: set[Path]) -> dict[Path, list[int]]:
    """Return the lines on which keys (of mappings) and items (of lists) at the `wanted` paths begin.

    Args:
        tokens: the whole text's.
        wanted: paths from the top. Those that lead nowhere are not in the result; those above them are.
    """
    prefixes = {path[:length] for path in wanted for length in range(len(path) + 1)}
    found: dict[Path, list[int]] = {}
    # For each open collection: its path, or None when nothing below it is wanted; and the key or position that comes next.
    open_: list[tuple[Path | None, bool]] = []
    steps: list[str | int | None] = []
    for kind, text, line in tokens:
        if kind == "end":
            open_.pop()
            steps.pop()
            continue
        path: Path | None = ()
        if open_:
            parent, is_map = open_[-1]
            step = steps[-1]
            if is_map and step is None:
                steps[-1] = text
                _note(found, prefixes, parent, text, line)
                continue
            path = None if parent is None or step is None else (*parent, step)
            if is_map:
                steps[-1] = None
            elif isinstance(step, int):
                _note(found, prefixes, parent, step, line)
                steps[-1] = step + 1
        if kind != "scalar":
            open_.append((path if path in prefixes else None, kind == "map"))
            steps.append(None if kind == "map" else 0)
    return found


def _note(found: dict[Path, list[int]], prefixes: set[Path], parent: Path | None, step: str | int, line: int) -> None:
    if parent is not None and (*parent, step) in prefixes:
        found.setdefault((*parent, step), []).append(line)
