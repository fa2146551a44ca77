"""Image patterns: which names a collection admits.

``library/*``, ``repository/{a, b}``, ``acme/*-server``: "*" stands for one or more characters inside a segment, a set in
braces for one of its members. Nothing here becomes a regular expression: segments are compared piece by piece with
``str.find``, leftmost first, so that no pattern and no name can make a match slow.
"""

from __future__ import annotations

from itertools import product

from attrs import frozen

from gatewaycore.errors import ConfigError, Problem

_MEMBERS_MAX = 1024
"""Sets in one segment multiply; beyond this many members a file has most likely a typing error in it."""


@frozen
class Segment:
    """One segment of a pattern: a name's segment must be one of `literals` or fit one of `globs`.

    Attributes:
        literals: members without "*".
        globs: members with "*", each split at it; never fewer than two pieces.
    """

    literals: frozenset[str]
    globs: tuple[tuple[str, ...], ...] = ()

    @property
    def literal(self) -> str | None:
        """The only text that fits, or None where there are several."""
        return next(iter(self.literals)) if len(self.literals) == 1 and not self.globs else None

    def match(self, text: str) -> bool:
        """Tell whether a segment of a name fits."""
        return text in self.literals or any(_fits(glob, text) for glob in self.globs)

    def meets(self, other: Segment) -> bool:
        """Tell whether there is a text that fits both."""
        if any(map(other.match, self.literals)) or any(map(self.match, other.literals)):
            return True
        # Pieces in the middle can follow one another: only beginnings and ends keep two apart.
        return any(_agree(one, another) for one in self.globs for another in other.globs)


@frozen
class ImagePattern:
    """A pattern of image names.

    Attributes:
        text: as written.
        segments: as compared.
    """

    text: str
    segments: tuple[Segment, ...]

    @classmethod
    def parse(cls, text: str) -> ImagePattern:
        """Parse a pattern.

        Raises:
            ConfigError: a segment is empty, a brace has no partner, or a set is empty, nested or spans segments.
        """
        written = text.strip()
        return cls(written, tuple(_segment(text, segment) for segment in written.split("/")))

    def match(self, name: str) -> bool:
        """Tell whether a repository's name, without a registry, fits."""
        parts = name.split("/")
        return len(parts) == len(self.segments) and all(map(Segment.match, self.segments, parts))

    def meets(self, other: ImagePattern) -> bool:
        """Tell whether there is a name that fits both."""
        return len(self.segments) == len(other.segments) and all(map(Segment.meets, self.segments, other.segments))

    @property
    def specificity(self) -> tuple[int, int, int]:
        """The larger, the more specific: segments without "*", literal characters, and fewer "*"."""
        plain = sum(not segment.globs for segment in self.segments)
        stars = sum(max((len(glob) - 1 for glob in segment.globs), default=0) for segment in self.segments)
        return plain, sum(map(_characters, self.segments)), -stars

    @property
    def characters(self) -> frozenset[str]:
        """Every character that a name must be able to hold."""
        literals = (text for segment in self.segments for text in segment.literals)
        pieces = (piece for segment in self.segments for glob in segment.globs for piece in glob)
        return frozenset("").union(*literals, *pieces)

    def __str__(self) -> str:
        return self.text


def _characters(segment: Segment) -> int:
    return min([len(literal) for literal in segment.literals] + [sum(map(len, glob)) for glob in segment.globs])


def _agree(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Tell whether a text can begin and end as both say."""
    begins = one[0].startswith(other[0]) or other[0].startswith(one[0])
    return begins and (one[-1].endswith(other[-1]) or other[-1].endswith(one[-1]))


def _fits(glob: tuple[str, ...], text: str) -> bool:
    """Compare piece by piece. The leftmost place of each piece leaves the most room for the rest, so no second try is needed."""
    if not text.startswith(glob[0]):
        return False
    position = len(glob[0])
    for piece in glob[1:-1]:
        # "*" stands for at least one character.
        found = text.find(piece, position + 1)
        if found < 0:
            return False
        position = found + len(piece)
    return text.endswith(glob[-1]) and len(text) - len(glob[-1]) > position


def _segment(pattern: str, text: str) -> Segment:
    if not text:
        raise _refuse(pattern, "a segment is empty", "write library/*, without a / at either end")
    choices = _choices(pattern, text)
    count = 1
    for choice in choices:
        count *= len(choice)
    if count > _MEMBERS_MAX:
        raise _refuse(pattern, f"the sets in one segment have {count} members together", f"at most {_MEMBERS_MAX}")
    members = ["".join(parts) for parts in product(*choices)]
    for member in members:
        if "**" in member:
            raise _refuse(pattern, "'**' has no meaning here", "'*' stays inside a segment; for a deeper name write library/*/*")
        if not member.isprintable() or " " in member:
            raise _refuse(pattern, "white space or a control character")
    globs = tuple(tuple(member.split("*")) for member in members if "*" in member)
    return Segment(frozenset(member for member in members if "*" not in member), globs)


def _choices(pattern: str, text: str) -> list[list[str]]:
    """Split a segment into runs of plain text, each alone in its list, and sets."""
    choices: list[list[str]] = []
    while text:
        plain, brace, rest = text.partition("{")
        if "}" in plain:
            raise _refuse(pattern, "'}' without '{'")
        if plain:
            choices.append([plain])
        if not brace:
            break
        inside, closing, text = rest.partition("}")
        if not closing:
            raise _refuse(pattern, "'{' without '}'", "a set stays inside one segment: acme/{a, b}")
        if "{" in inside:
            raise _refuse(pattern, "a set inside a set", "write one set with all its members")
        members = [member.strip() for member in inside.split(",")]
        if "" in members:
            raise _refuse(pattern, "a set has an empty member", "write acme/{a, b}")
        choices.append(members)
    return choices


def _refuse(pattern: str, what: str, hint: str = "") -> ConfigError:
    shown = pattern if len(pattern) <= 120 else f"{pattern[:117]}..."
    return ConfigError([Problem(f"image pattern {shown!r}", what, hint)])
