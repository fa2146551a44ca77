"""What the end-to-end tests tell at their end, beside who passed: tables of who can do what."""

from __future__ import annotations

from attrs import define, field


@define
class Table:
    """Cells that tests fill in, figures that they have seen, and a text of them all.

    Attributes:
        cells: by row, then by column, whether it succeeded.
        figures: sentences, in the order in which they were said.
    """

    cells: dict[str, dict[str, bool]] = field(factory=dict)
    figures: list[str] = field(factory=list)

    def note(self, row: str, column: str, good: bool) -> None:
        """Fill a cell in; one that was filled in before stays bad if it was."""
        cells = self.cells.setdefault(row, {})
        cells[column] = good and cells.get(column, True)

    def lines(self) -> list[str]:
        """Return the table, one line for each way and kind of registry, one column for each client."""
        columns = list(dict.fromkeys(column for cells in self.cells.values() for column in cells))
        heads = list(dict.fromkeys(column.rpartition("|")[0] for column in columns))
        width = max((len(_shown(head)) for head in heads), default=0)
        names = list(self.cells)
        head_line = " " * width + "".join(f"  {name:>{_width(name)}}" for name in names)
        lines = [head_line, "-" * len(head_line)]
        for head in heads:
            own = [column for column in columns if column.rpartition("|")[0] == head]
            lines.append(f"{_shown(head):<{width}}" + "".join(f"  {self._cell(name, own):>{_width(name)}}" for name in names))
        return [*lines, "", "each cell: an image for one architecture / an image for several"] if heads else []

    def _cell(self, name: str, columns: list[str]) -> str:
        found = [self.cells[name].get(column) for column in columns]
        return "/".join({True: "yes", False: "no", None: "-"}[one] for one in found)


def _width(name: str) -> int:
    return max(len(name), len("yes/yes"))


def _shown(head: str) -> str:
    way, _, kind = head.partition("|")
    strategy, _, what = way.partition(", ")
    return f"{strategy:<8} {kind}" + ("" if what in ("anonymous", "token") else f" ({what})")


@define
class Grid:
    """What tests have seen, in words: one row for each client, one column for each way.

    Attributes:
        cells: by row, then by column.
    """

    cells: dict[str, dict[str, str]] = field(factory=dict)

    def note(self, row: str, column: str, seen: str) -> None:
        """Fill a cell in."""
        self.cells.setdefault(row, {})[column] = seen

    def lines(self) -> list[str]:
        """Return the grid, one line for each row."""
        columns = list(dict.fromkeys(column for cells in self.cells.values() for column in cells))
        table = [["", *columns], *([row, *(cells.get(column, "-") for column in columns)] for row, cells in self.cells.items())]
        widths = [max(map(len, one)) for one in zip(*table, strict=True)]
        return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]
