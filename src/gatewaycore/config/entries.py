"""Entries: rules as they were written, in lists of one or of several documents, and which of two that say the same is served.

This room knows where an entry stands; what its keys mean, `sections` knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from attrs import define, field, frozen

from gatewaycore.config.faults import Made, Path
from gatewaycore.config.model import MadeRule
from gatewaycore.route import Route, Rule


@frozen
class Entry:
    """One rule as written.

    Attributes:
        raw: its keys.
        path: where it stands.
        names: what its keys are called there, where that is not what they are called in `raw`.
        members: where the items of its `files` stand, when each is a rule of its own there.
        is_made: whether it stands in no file: whoever made it must not get at the environment.
        has_environment: whether secrets are taken out of the environment for what stands in a file.
    """

    raw: Any
    path: Path
    names: Mapping[str, str] = MappingProxyType({})
    members: Sequence[Path] = ()
    is_made: bool = False
    has_environment: bool = True

    def place(self, path: Path) -> Path:
        """Return where something of `raw` stands."""
        base = self.path
        if self.members and len(path) > 1 and path[0] == "files" and isinstance(path[1], int):
            base, path = self.members[path[1]], path[2:]
        if path and isinstance(path[0], str):
            path = (self.names.get(path[0], path[0]), *path[1:])
        return base + path


@define(slots=True, eq=False)
class Known:
    """An entry that was read before, and is as it was.

    Attributes:
        rule: its settings.
        routes: what they were compiled to.
    """

    rule: Rule
    routes: Sequence[Route]


@frozen(eq=False)
class Listed:
    """A list of entries of one document.

    Attributes:
        path: of the list.
        entries: in order.
        section: "packages" or "collections".
        rank: which of several documents it is of, 0 for the one that has the other sections: of two entries for the same, that of the lower
            rank stays. None for what stands in no document, and is not ranked: `sifting` knows what of it can be served.
        made: what was made elsewhere, where this is a list of that.
    """

    path: Path
    entries: Sequence[Entry | Known]
    section: str
    rank: int | None = 0
    made: Sequence[MadeRule] = ()

    def place(self, position: int) -> Path:
        """Return where an entry stands."""
        if self.made:
            one = self.made[position]
            return (Made.of(one.name, one),)
        return (*self.path, position)


@frozen(eq=False)
class Doubled:
    """An entry of a document that is not served, because that of another document is about the same and comes first.

    Attributes:
        rule: its settings.
        path: where it stands.
        other: where the other one stands.
        what: what both are about.
    """

    rule: Rule
    path: Path
    other: Path
    what: str


@define(slots=True, eq=False)
class Places:
    """Tells which entries rules were made of.

    Attributes:
        lists: all there are.
        made: for each, the rule of each of its entries; None for one that is faulty.
    """

    lists: Sequence[Listed]
    made: Sequence[Sequence[Rule | None]]
    _found: dict[int, tuple[int, int]] = field(factory=dict, init=False)

    def find(self, rule: Rule) -> Entry | None:
        """Return the entry of a rule; None when nobody wrote it."""
        if not self._found:
            # Only when something is wrong.
            self._found = {id(one): (at, position) for at, rules in enumerate(self.made) for position, one in enumerate(rules) if one}
        found = self._found.get(id(rule))
        if found is None:
            return None
        listed, position = self.lists[found[0]], found[1]
        entry = listed.entries[position]
        return entry if isinstance(entry, Entry) else Entry(None, listed.place(position))

    def entry(self, rule: Rule) -> Entry:
        """Return the entry of a rule that somebody wrote."""
        return self.find(rule) or Entry(None, ())

    def known(self, parts: Mapping[int, Sequence[Route]]) -> list[list[Known]]:
        """Return what is to be known of each entry of each list, when nothing is wrong with any.

        Args:
            parts: by the `id` of a rule, what it was compiled to.
        """
        found: list[list[Known]] = []
        for listed, rules in zip(self.lists, self.made, strict=True):
            pairs = zip(listed.entries, rules, strict=True)
            found.append([entry if isinstance(entry, Known) else Known(rule, parts[id(rule)]) for entry, rule in pairs if rule])
        return found


def claims(lists: Sequence[Listed], made: Sequence[Sequence[Rule | None]], parts: Mapping[int, Sequence[Route]]) -> list[Doubled]:
    """Find the entries of which one of another document, of a lower rank, is about the same: the same package, or the same way in."""
    ranked = sorted(range(len(lists)), key=lambda at: lists[at].rank or 0)
    claimed: dict[object, tuple[int, int, int]] = {}
    found: list[Doubled] = []
    for at in ranked:
        listed, rank = lists[at], lists[at].rank
        if rank is None:
            continue
        # None is faulty: otherwise nobody would ask.
        for position, rule in enumerate(one for one in made[at] if one):
            wanted = dict(_claims_of(rule, parts[id(rule)]))
            lost = next((claimed[claim] for claim in wanted if claimed.get(claim, (rank,))[0] < rank), None)
            if lost is None:
                for claim in wanted:
                    claimed.setdefault(claim, (rank, at, position))
                continue
            _, other, there = lost
            what = next(told for claim, told in wanted.items() if claimed.get(claim) == lost)
            found.append(Doubled(rule, (*listed.path, position), (*lists[other].path, there), what))
    return found


def _claims_of(rule: Rule, routes: Sequence[Route]) -> Iterator[tuple[object, str]]:
    """Iterate over what only one document may say, each with its words."""
    for route in routes:
        yield route.label, route.label
    name = getattr(rule, "id", None) or getattr(rule, "name", None)
    if name:
        yield (type(rule), getattr(rule, "domain", None), name), f"the package {name}"
