"""The reference of the API for people: the OpenAPI document as a page. Pure, and of nothing but that document: the two cannot differ."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from attrs import frozen

_METHODS: Final = ("get", "post", "put", "patch", "delete")
_OTHERS: Final = "others"


@frozen
class Taken:
    """A parameter.

    Attributes:
        name: of it.
        place: "query", "path" or "header".
        kind: what it may hold, in words.
        usual: what it is without; empty where it is nothing.
        told: what it means.
        is_needed: whether it has to be there.
    """

    name: str
    place: str
    kind: str
    usual: str
    told: str
    is_needed: bool


@frozen
class Way:
    """Something that can be asked.

    Attributes:
        name: of the operation; its anchor.
        method, path: how.
        summary, told: what it does.
        takes: its parameters.
        body: an example of what is sent; empty where there is none.
        answer: an example of what is answered.
        statuses: status and meaning of the answers that are no trouble of every request's.
    """

    name: str
    method: str
    path: str
    summary: str
    told: str
    takes: tuple[Taken, ...]
    body: str
    answer: str
    statuses: tuple[tuple[str, str], ...]


@frozen
class Chapter:
    """What can be asked about one kind of thing."""

    name: str
    told: str
    ways: tuple[Way, ...]


def chapters_of(document: Mapping[str, Any], usual: frozenset[str]) -> list[Chapter]:
    """Return what a document describes, in its order.

    Args:
        document: OpenAPI 3.1.
        usual: statuses that any request may be answered with: told once, and not of each.
    """
    found: dict[str, list[Way]] = {tag["name"]: [] for tag in document["tags"]}
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                tag = (item[method].get("tags") or [_OTHERS])[0]
                found.setdefault(tag, []).append(_way(method.upper(), path, item[method], usual))
    told = {tag["name"]: tag.get("description", "") for tag in document["tags"]}
    return [Chapter(name, told.get(name, ""), tuple(ways)) for name, ways in found.items() if ways]


def paragraphs(text: str) -> list[tuple[str, str]]:
    """Return the lines of a description without its signs: what is bold at the beginning of a point of a list, and the text."""
    found = []
    for line in text.splitlines():
        point = re.fullmatch(r"- \*\*(.+?)\*\*(.*)", line)
        head, rest = (point[1], point[2]) if point else ("", line.strip())
        if rest or head:
            found.append((head, rest.replace("`", "")))
    return found


def _way(method: str, path: str, operation: Mapping[str, Any], usual: frozenset[str]) -> Way:
    answers = operation["responses"]
    done: Mapping[str, Any] = next((answer for status, answer in answers.items() if status.startswith("2")), {})
    return Way(
        name=operation["operationId"],
        method=method,
        path=path,
        summary=operation.get("summary", ""),
        told=operation.get("description", "").replace("`", ""),
        takes=tuple(_takes(operation)),
        body=_example(operation.get("requestBody", {})),
        answer=_example(done),
        statuses=tuple((status, answer.get("description", "")) for status, answer in answers.items() if status not in usual),
    )


def _takes(operation: Mapping[str, Any]) -> Iterator[Taken]:
    for one in operation.get("parameters", ()):
        schema = one.get("schema", {})
        value = schema.get("default")
        shown = "" if value is None else str(value)
        told = (one.get("description") or schema.get("description") or "").replace("`", "")
        yield Taken(one["name"], one["in"], _kind(schema), shown, told, bool(one.get("required")))


def _kind(schema: Mapping[str, Any]) -> str:
    """Return what a value may be, in words."""
    if "enum" in schema:
        return ", ".join(str(one) for one in schema["enum"] if one is not None)
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    several = schema.get("oneOf") or schema.get("anyOf")
    if several:
        return " or ".join(filter(None, (_kind(one) for one in several)))
    kind = schema.get("type", "")
    if kind == "array":
        return f"{_kind(schema.get('items', {}))}, repeated"
    return "" if kind == "null" else {"integer": "whole number", "string": "text", "boolean": "true or false"}.get(str(kind), str(kind))


def _example(of: Mapping[str, Any]) -> str:
    for content in of.get("content", {}).values():
        for example in content.get("examples", {}).values():
            return msgspec.json.format(msgspec.json.encode(example["value"]), indent=2).decode()
    return ""
