"""Sifting: of what was made elsewhere, that which can be served beside the file, and why the rest cannot.

One definition that cannot be served any more, since a rule of the file came later or another one was deleted, must not keep everybody
else's from changing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from attrs import frozen

from gatewaycore.config.model import Config, MadeRule
from gatewaycore.errors import ConfigError, Problem


@frozen
class LeftOut:
    """A definition that cannot be served.

    Attributes:
        rule: which.
        problems: what is wrong with it, alone or beside those that can be served.
    """

    rule: MadeRule
    problems: tuple[Problem, ...]

    @property
    def why(self) -> str:
        """What is wrong, in one line."""
        return "; ".join(map(str, self.problems))


def sift(read: Callable[[Sequence[MadeRule]], Config], made: Sequence[MadeRule]) -> tuple[Config, tuple[LeftOut, ...]]:
    """Return the configuration with as much of what was made as can be served, and what is left out.

    Args:
        read: reads the file together with some of them; raises a `ConfigError`.
        made: all of them. Of those that cannot be served together, the earlier ones are.

    Raises:
        ConfigError: the file cannot be used by itself.
    """
    kept, faulty = list(made), list[MadeRule]()
    while True:
        try:
            config = read(kept)
            break
        except ConfigError as error:
            blamed = {id(problem.about) for problem in error.problems}
            found = [one for one in kept if id(one) in blamed]
            if not kept:
                raise
            if not found:
                # It is the file's, or one of the file's is told to be wrong beside one that was made.
                config, kept, faulty = read(()), [], list(made)
                break
            faulty += found
            kept = [one for one in kept if id(one) not in blamed]
    order = {id(one): place for place, one in enumerate(made)}
    return _with(read, config, kept, sorted(faulty, key=lambda one: order[id(one)]))


def _with(
    read: Callable[[Sequence[MadeRule]], Config], config: Config, kept: list[MadeRule], doubtful: list[MadeRule]
) -> tuple[Config, tuple[LeftOut, ...]]:
    """Add those of the doubtful that can be served beside the others: by halves, for a file may be long."""
    left: list[LeftOut] = []
    waiting = [doubtful] if doubtful else []
    while waiting:
        some = waiting.pop()
        try:
            config = read([*kept, *some])
            kept += some
        except ConfigError as error:
            if len(some) == 1:
                left.append(LeftOut(some[0], tuple(error.problems)))
            else:
                half = len(some) // 2
                waiting += [some[half:], some[:half]]
    return config, tuple(left)


def words_of(left_out: Iterable[LeftOut]) -> str:
    """Return what is left out, for a log, a line each."""
    return "\n".join(f"{one.rule.section}: {one.rule.name[:200]!r}: {one.why}" for one in left_out)
