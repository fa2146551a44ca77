"""Variables: what a request's query and body say, and which of them have a meaning."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any
from urllib.parse import parse_qsl

from attrs import define, frozen

from gatewaycore.event import MAX_TEXT, Kind, Observation
from gatewaycore.privacy import REACH

MAX_PARAMETERS = 100
"""Query parameters that are read, and variables of an event; what an absurd request has beyond is dropped, and the request served."""

MAX_DEPTH = 32
"""Levels of nesting that a body may have."""

MAX_NAME = 256
"""Characters of a variable's name. A parameter with more is dropped; in a body they are refused: a long key around thousands of short ones
would make gigabytes of little."""

_READ = MAX_TEXT + REACH
# What is recorded is cut by who knows the client's address: a cut through it here would leave a part that nobody recognises.

_NOTHING: Mapping[str, str] = {}


class BodyError(ValueError):
    """A body that holds no events; the message says where it goes wrong."""


class TooManyEventsError(ValueError):
    """A body that holds more events than the limit."""


def query_variables(query: str) -> Mapping[str, str]:
    """Return the parameters of a raw query as variables, form-decoded and bounded; the first of two with one name wins."""
    pairs = parse_qsl(query, keep_blank_values=True, errors="replace") if query.count("&") < MAX_PARAMETERS else _first_pairs(query)
    variables: dict[str, str] = {}
    for name, value in pairs:
        if name:
            variables.setdefault(name, value)
    # What is decoded is no longer than what was sent.
    return variables if len(query) <= MAX_NAME and query.isascii() else _bounded(variables)


def _first_pairs(query: str) -> list[tuple[str, str]]:
    return parse_qsl("&".join(query.split("&", MAX_PARAMETERS)[:MAX_PARAMETERS]), keep_blank_values=True, errors="replace")


def body_entries(body: bytes, limit: int) -> tuple[dict[str, str], ...]:
    """Return the events in a body: a JSON object, several one after another (NDJSON or not), or an array of them.

    Nested objects are flattened, ``{"a": {"b": "c"}}`` becomes ``a.b``; numbers keep the text they were sent as; null is left out.

    Args:
        body: UTF-8 JSON text; empty or blank means no events.
        limit: the most events taken.

    Raises:
        BodyError: it is no JSON, or something else than objects.
        TooManyEventsError: it holds more than `limit` objects.
    """
    try:
        text = body.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise BodyError(f"the body is not UTF-8 (byte {error.start})") from error
    entries: list[dict[str, str]] = []
    for value in _values(text):
        for item in value if isinstance(value, list) else [value]:
            if not isinstance(item, dict):
                raise BodyError(f"expected a JSON object, found {type(item).__name__}")
            if len(entries) == limit:
                raise TooManyEventsError(f"more than {limit} events in one body")
            entries.append(dict(_flatten("", item, MAX_DEPTH)))
    return tuple(entries)


# Numbers stay text: 1.10 is a version, and 9007199254740993 is not 9007199254740992.
_DECODER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str, strict=False)


def _values(text: str) -> Iterator[Any]:
    position = 0
    while position < len(text):
        try:
            value, end = _DECODER.raw_decode(text, position)
        except json.JSONDecodeError as error:
            raise BodyError(f"not JSON at character {error.pos}: {error.msg}") from error
        except RecursionError as error:
            raise BodyError("nested too deeply") from error
        yield value
        position = end
        while position < len(text) and text[position] in " \t\r\n,":
            position += 1


def _flatten(prefix: str, value: Any, depth: int) -> Iterator[tuple[str, str]]:
    if not depth:
        raise BodyError("nested too deeply")
    items = value.items() if isinstance(value, dict) else ((str(index), item) for index, item in enumerate(value))
    for key, item in items:
        name = _sound(f"{prefix}.{key}" if prefix else key)
        if len(name) > MAX_NAME:
            raise BodyError(f"a name of more than {MAX_NAME} characters")
        if isinstance(item, dict | list):
            yield from _flatten(name, item, depth - 1)
        elif isinstance(item, bool):
            yield name, "true" if item else "false"
        elif item is not None:
            yield name, _sound(item)


def _sound(text: str) -> str:
    # Lone surrogates, which JSON can spell, cannot be written as UTF-8.
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _bounded(variables: Mapping[str, str]) -> Mapping[str, str]:
    """Return `variables`, sound, and no longer than is read; themselves where that changes nothing."""
    text = "".join([*variables, *variables.values()])
    if len(text) <= MAX_NAME and text.isascii():
        return variables
    return {_sound(name): _sound(value[:_READ]) for name, value in variables.items() if len(name) <= MAX_NAME}


def legible(text: str) -> str:
    """Return what is read of a text that a client chose: sound, and bounded behind where the recorder cuts."""
    return _sound(text[:_READ])


def _text(value: str | None) -> str | None:
    return None if value is None else legible(value)


@frozen
class Meaning:
    """Which variables fill which columns, for one package.

    Attributes:
        version, platform, arch, page: the name of the variable that fills the column.
        package: the same; none unless the rule names one, for a path may well say ``{package}`` of what its package is not called.
    """

    version: str = "version"
    platform: str = "platform"
    arch: str = "arch"
    page: str = "page"
    package: str = ""


USUAL = Meaning()


@define(slots=True, weakref_slot=False)
class Subject:
    """What every event of one package has in common. Nobody mutates it; one is shared by all the routes of a package.

    Attributes:
        package: its id where it has one, else its name.
        package_type: the roster's tag.
        kind: what a request to it is.
        meaning: which variables have a meaning.
    """

    package: str
    package_type: str
    kind: Kind
    meaning: Meaning = USUAL

    def observe(
        self, rule: str, variables: Mapping[str, str], query: str, entry: Mapping[str, str] = _NOTHING, page: str | None = None
    ) -> Observation:
        """Return the observation of one request, or of one event in its body.

        Args:
            rule: the label of the route.
            variables: what the path named; these win over the query's and the body's, and come first where there are too many.
            query: raw, without "?".
            entry: one object of the body. Names that begin with "$" are reserved: ``$version``, ``$type`` and ``$referrer`` have their
                meaning, and the others (an address may be among them) are dropped.
            page: what the page is when no variable says.

        Returns:
            Text that can be written as UTF-8, none of it longer than `MAX_TEXT` and, behind that, what an address may need that ends there:
            whoever asks must not be able to fill the disk.
        """
        found, said = variables, _NOTHING
        if query:
            found = {**query_variables(query), **variables}
        kind, version = self.kind, None
        if entry:
            version, page = _text(entry.get("$version")), entry.get("$referrer", page)
            kind = _TYPES.get(entry.get("$type", ""), kind)
            said = {name: value for name, value in entry.items() if not name.startswith("$")}
            found = {**found, **said, **variables}
        if page is not None:
            page = _text(page)
        if not found:
            return Observation(self.package, self.package_type, rule, kind, version, None, None, page)
        if len(found) > MAX_PARAMETERS:
            # In the order in which they win: nobody pushes the path's own variables out.
            found = {name: found[name] for name in islice(dict.fromkeys([*variables, *said, *found]), MAX_PARAMETERS)}
        # Every request comes by here: one look at all values together. Names are the operator's, or bounded already, but for a body's.
        text = "".join(found.values())
        if said or len(text) > MAX_TEXT or not text.isascii():
            found = _bounded(found)
        meaning = self.meaning
        return Observation(
            (meaning.package and found.get(meaning.package)) or self.package,
            self.package_type,
            rule,
            kind,
            version or found.get(meaning.version),
            found.get(meaning.platform),
            found.get(meaning.arch),
            found.get(meaning.page, page),
            found,
        )


_TYPES: Mapping[str, Kind] = {"download": "download", "view": "view"}
