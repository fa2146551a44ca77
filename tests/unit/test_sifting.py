"""Of what was made elsewhere, as much is served as can be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from gatewaycore.config import Config, MadeRule, read_config, sift, words_of
from gatewaycore.errors import ConfigError, Problem


def made(*names: str) -> list[MadeRule]:
    return [MadeRule("packages", name, {"name": name}) for name in names]


class Reader:
    """Reads, and tells what is wrong: of pairs that do not go together, and of what is wrong by itself.

    Args:
        apart: pairs.
        wrong: names.
        blames: whether it is told of which it is.
    """

    def __init__(self, apart: Sequence[tuple[str, str]] = (), wrong: Sequence[str] = (), *, blames: bool = True) -> None:
        self._apart = apart
        self._wrong = wrong
        self._blames = blames
        self.times = 0

    def __call__(self, rules: Sequence[MadeRule]) -> Config:
        self.times += 1
        named = {one.name: one for one in rules}
        found = [named[name] for name in self._wrong if name in named]
        found += [named[one] for pair in self._apart if all(one in named for one in pair) for one in pair]
        if found:
            raise ConfigError([Problem(one.name, "is wrong", about=one if self._blames else None) for one in found])
        return Config()


@pytest.mark.parametrize("blames", [True, False])
def test_what_is_wrong_is_left_out_and_of_a_pair_the_later_one(blames: bool) -> None:
    rules = made(*(f"p{number}" for number in range(40)))
    read = Reader([("p3", "p30"), ("p8", "p7")], ["p11"], blames=blames)
    _, left = sift(read, rules)
    assert sorted(one.rule.name for one in left) == ["p11", "p30", "p8"]
    assert read.times < 40
    assert "packages: 'p30': p" in words_of(left)


def test_nothing_is_read_twice_where_nothing_is_wrong() -> None:
    read = Reader()
    assert sift(read, made("a", "b")) == (Config(), ())
    assert read.times == 1


def test_a_file_that_cannot_be_used_by_itself_is_told() -> None:
    def read(rules: Sequence[MadeRule]) -> Config:
        raise ConfigError([Problem("gateway.yaml", "is torn")])

    with pytest.raises(ConfigError, match="is torn"):
        sift(read, made("a"))


def test_problems_say_which_of_what_was_made_they_are_about() -> None:
    file: dict[str, Any] = {"packages": [], "xyzzy": 1}
    (rule,) = made("a")
    with pytest.raises(ConfigError) as caught:
        read_config(file, made=[rule])
    assert {problem.where: problem.about is rule for problem in caught.value.problems} == {"a: type": True, "xyzzy": False}
