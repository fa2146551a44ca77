"""The command that people type: ``pip install rocket-skates --extra-index-url https://pkgs.acme.com/simple``, as a setting.

It says which projects there are, and where they come from. Whatever else it says would be left out without a word, so that it is refused.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Final

from attrs import frozen

from gatewaycore.errors import ConfigError, Problem
from gatewaycore.rules.python.names import is_project_name

_BEGINNINGS: Final = (
    ("pip", "install"),
    ("pip3", "install"),
    ("python", "-m", "pip", "install"),
    ("python3", "-m", "pip", "install"),
    ("uv", "pip", "install"),
)
_INDEX: Final = {"-i": "--index-url", "--index-url": "--index-url", "--pypi-url": "--index-url", "--extra-index-url": "--extra-index-url"}
_REQUIREMENT: Final = re.compile(r"([A-Za-z0-9._-]+)\s*(\[[A-Za-z0-9._, -]*\])?\s*(.*)", re.DOTALL)
# A line that goes on in the next one, as READMEs have long commands.
_CONTINUED: Final = re.compile(r"\\\r?\n")
_HINT: Final = "pip install NAME, and --index-url or --extra-index-url with the index that it comes from"


@frozen
class PipCommand:
    """What a command says.

    Attributes:
        projects: their names, as written, each once, without extras.
        index: the URL of the index that they come from; None for the public one.
    """

    projects: tuple[str, ...]
    index: str | None

    @classmethod
    def parse(cls, text: str) -> PipCommand:
        """Read a command.

        Raises:
            ConfigError: it is no ``pip install``, or says what cannot be done.
        """
        try:
            words = shlex.split(_CONTINUED.sub(" ", text))
        except ValueError as error:
            raise ConfigError([Problem("pip", f"a quote in {_quoted(text)} has no end", _HINT)]) from error
        # "$" and "#" stand before a command in many a README.
        words = words[1:] if words[:1] in (["$"], ["#"], [">"]) else words
        beginning = next((one for one in _BEGINNINGS if tuple(words[: len(one)]) == one), None)
        if beginning is None:
            raise ConfigError([Problem("pip", f"{_quoted(text)} is no pip install", _HINT)])
        return _read(words[len(beginning) :])


def _read(words: Sequence[str]) -> PipCommand:
    problems: list[Problem] = []
    projects: dict[str, None] = {}
    indexes: dict[str, list[str]] = {"--index-url": [], "--extra-index-url": []}
    left = list(words)
    while left:
        word = left.pop(0)
        if word.startswith("-i") and word != "-i":
            # pip takes the URL right behind the letter, too.
            word = f"-i={word[2:]}"
        option, equals, value = word.partition("=")
        if not word.startswith("-"):
            name = _project(word, problems)
            if name is not None:
                projects.setdefault(name)
        elif option not in _INDEX:
            hint = f"leave it out; {_HINT}"
            # What stands right behind its letter may be a URL with a password.
            option = option[:2] if "@" in option else option
            problems.append(Problem("pip", f"{option} says nothing of where a project comes from", hint))
        else:
            url = (value if equals else left.pop(0) if left else "").rstrip("/")
            if url:
                indexes[_INDEX[option]].append(url)
            else:
                # None would mean the public index, which is not what somebody means who names one.
                problems.append(Problem("pip", f"{option} has no URL behind it", _HINT))
    if not projects and not problems:
        problems.append(Problem("pip", "names no project", _HINT))
    index = _one(indexes, problems)
    if problems:
        raise ConfigError(problems)
    return PipCommand(tuple(projects), index)


def _project(word: str, problems: list[Problem]) -> str | None:
    found = _REQUIREMENT.fullmatch(word)
    if "://" in word:
        # Not repeated: a password may stand in it.
        problems.append(Problem("pip", "a URL stands where the name of a project should", _HINT))
    elif found is None or not is_project_name(found[1]) or "/" in word:
        problems.append(Problem("pip", f"{_quoted(word)} is not the name of a project", _HINT))
    elif found[3]:
        problems.append(Problem("pip", f"{_quoted(word)} says more than a name", f"write {found[1]}: an index has every version"))
    else:
        # Extras are the installer's affair: they are further projects, from wherever those come from.
        return found[1]
    return None


def _quoted(text: str) -> str:
    """Return a command, or a word of one, as a message may show it: where it may hold a password, not at all."""
    return "what stands there" if "@" in text else repr(text)


def _one(indexes: dict[str, list[str]], problems: list[Problem]) -> str | None:
    """Return the index that the projects come from, which must be one: installers take a name from whichever of two has it."""
    named = dict.fromkeys([*indexes["--index-url"], *indexes["--extra-index-url"]])
    if len(named) > 1:
        problems.append(
            Problem("pip", "names two indexes, and installers take a project from either", "keep the one that the project comes from")
        )
    return next(iter(named), None)
