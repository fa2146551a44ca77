"""Faults: what is wrong with a value, and how values and near misses are written in messages.

A fault knows its place as a path of keys and positions. File names and lines are added at the end, when there is something to tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeAlias

from attrs import evolve, fields, frozen
from cattrs.errors import AttributeValidationNote, BaseValidationError, ForbiddenExtraKeysError

from gatewaycore.errors import ConfigError, TemplateError

Path: TypeAlias = tuple[str | int, ...]
"""Keys and positions from the top: ``("packages", 3, "routes", 0, "incoming-path")``."""


class Made(str):
    """The first step of the path of what stands in no file: what somebody calls it.

    Attributes:
        rule: what was made.
    """

    __slots__ = ("rule",)
    rule: object

    @classmethod
    def of(cls, name: str, rule: object) -> Made:
        """Return the step of something that was made."""
        made = cls(name)
        made.rule = rule
        return made


class Within(str):
    """The first step of the path of what stands in a document beside the first one: the document's name."""

    __slots__ = ()


_SHOWN = 80
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]{1,80}")
_STEP = re.compile(r"([A-Za-z0-9_-]+)|\[(\d{1,9})\]")
_RELATIVE = re.compile(r"[A-Za-z0-9_-]+(?:\[\d{1,9}\]|\.[A-Za-z0-9_-]+)*")


@frozen
class Fault:
    """One thing wrong.

    Attributes:
        path: where, from the top or from the value it was found in.
        what: what is wrong, with the bad value.
        hint: what to write instead, or "".
    """

    path: Path
    what: str
    hint: str = ""

    def under(self, path: Path) -> Fault:
        """Return it as seen from further up."""
        return evolve(self, path=path + self.path)


class Invalid(ValueError):  # noqa: N818 - raised and caught inside this package, and read as "raise invalid(…)"
    """A value that is not what its key wants; `faults` says why, their paths beginning at the value."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = faults
        super().__init__("; ".join(fault.what for fault in faults))


class Discreet(Invalid):
    """The same of a secret, in words that tell nothing of it: they may be shown."""


def invalid(what: str, hint: str = "") -> Invalid:
    """Return the error for a value that has one fault."""
    return Invalid([Fault((), what, hint)])


def kebab(name: str) -> str:
    """Return the key of a field: ``redirect_status`` is written ``redirect-status``."""
    return name.replace("_", "-")


def show(value: object) -> str:
    """Return a value as messages show it: short, on one line, its type visible."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case str():
            return repr(str(value)) if len(value) <= _SHOWN else repr(value[:_SHOWN]) + "…"
        case int() | float():
            # An int of a million digits is refused by repr(); nobody reads one either.
            return repr(value) if isinstance(value, float) or abs(value) < 10**_SHOWN else "a very large number"
        case Mapping():
            return "a mapping"
        case list() | tuple():
            return "a list"
    return f"a {type(value).__name__}"


def show_path(path: Path) -> str:
    """Return a path as people write it: ``packages[3].routes[0].incoming-path``."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            shown = step if _PLAIN_KEY.fullmatch(step) else show(step)
            text += f".{shown}" if text else shown
    return text


def parse_path(text: str) -> Path:
    """Return the path that ends a place as rules name it (``files[3].url``, ``package 'x': files[3]``), or () when none does."""
    last = text.rpartition(": ")[2]
    if not _RELATIVE.fullmatch(last):
        return ()
    return tuple(key or int(position) for key, position in _STEP.findall(last))


def suggest(wrong: object, known: Iterable[str], otherwise: str = "") -> str:
    """Return "did you mean …?" for the nearest of the known words, or `otherwise` when none is near."""
    near = get_close_matches(wrong.lower()[:_SHOWN], known, n=1) if isinstance(wrong, str) else []
    return f"did you mean '{near[0]}'?" if near else otherwise


def one_of(words: Iterable[str]) -> str:
    """Return "one of a, b, c"."""
    return f"one of {', '.join(words)}"


def missing(path: Path, hint: str = "") -> Fault:
    """Return the fault of a key that is not there."""
    return Fault(path, "is missing", hint)


def unknown_key(path: Path, key: object, known: Iterable[str]) -> Fault:
    """Return the fault of a key that nothing reads."""
    if not isinstance(key, str):
        return Fault(path, f"the key {show(key)} is not text", "write it in quotes")
    if key == "<<":
        return Fault((*path, key), "merge keys are not read", "give packages what they share under gateway: or domains:")
    known = sorted(known)
    return Fault((*path, key), "unknown key", suggest(key, known, f"known here: {', '.join(known)}"))


def faults_of(error: BaseException, path: Path = ()) -> Iterator[Fault]:
    """Take apart what structuring or compiling raised.

    Args:
        error: one of ours, or cattrs' tree of them.
        path: where the value stands.
    """
    match error:
        case Invalid():
            yield from (fault.under(path) for fault in error.faults)
        case BaseValidationError():
            for inner in error.exceptions:
                yield from faults_of(inner, path + _noted(inner))
        case ForbiddenExtraKeysError():
            known = [kebab(field.name) for field in fields(error.cl)]
            yield from (unknown_key(path, key, known) for key in sorted(error.extra_fields))
        case KeyError():
            yield missing(path)
        case ConfigError():
            for problem in error.problems:
                yield Fault(path + parse_path(problem.where), problem.what, problem.hint)
        case TemplateError():
            yield Fault(path, str(error))
        case _:
            yield Fault(path, f"cannot be used: {str(error)[:400] or type(error).__name__}")


def _noted(error: BaseException) -> Path:
    notes: Sequence[Any] = getattr(error, "__notes__", ())
    return tuple(kebab(note.name) for note in notes if isinstance(note, AttributeValidationNote))
