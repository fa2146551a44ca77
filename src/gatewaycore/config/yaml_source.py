"""YAML text -> plain data, and where each key stands.

No value is guessed at: ``1.10``, ``yes`` and ``2024-01-01`` stay the text that was written, and the field that a value is meant for says
what it is. So the data is built straight from the parser's events. This room knows YAML; it does not know what any key means.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml
from attrs import define, field
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)
from yaml.reader import Reader

from gatewaycore.config.faults import Fault, Path
from gatewaycore.config.places import Extent, Place, SourceError, Token, find_lines

try:
    from yaml._yaml import CParser as Parser
except ImportError:  # pragma: no cover - PyYAML built without libyaml: ten times slower, the same events
    from yaml.parser import Parser as _Parser
    from yaml.scanner import Scanner

    class Parser(Reader, Scanner, _Parser):  # type: ignore[no-redef]
        """PyYAML's parser in Python."""

        def __init__(self, stream: str) -> None:
            Reader.__init__(self, stream)
            Scanner.__init__(self)
            _Parser.__init__(self)


MAX_DEPTH = 64
"""Levels of nesting; a configuration has six."""

ALIAS_FACTOR = 10
"""Aliases may repeat values until the data is this many times as large as the text; a bomb wants millions of times."""

ALIAS_MINIMUM = 100_000

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_TEXT_TAGS = frozenset({"!", "tag:yaml.org,2002:str"})
_COLLECTION_TAGS = frozenset({"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off"})
_NUMBER_BEGINS = frozenset("+-.0123456789")
_TOKENS: dict[type[Event], str] = {
    MappingStartEvent: "map",
    SequenceStartEvent: "list",
    MappingEndEvent: "end",
    SequenceEndEvent: "end",
    ScalarEvent: "scalar",
    AliasEvent: "scalar",
}
_HINTS = {
    "\t": "indent with spaces: YAML takes no tabs",
    "*": 'text that begins with * is written in quotes: "*.acme.com"',
    "&": "text that begins with & is written in quotes",
    "@": "text that begins with @ is written in quotes",
    "`": "text that begins with ` is written in quotes",
    "%": "text that begins with % is written in quotes",
    "{": "text with { or } inside a line of {…} is written in quotes",
    "}": "text with { or } inside a line of {…} is written in quotes",
}
_QUOTE_HINT = 'text with ": " or "{" in it is written in quotes'


class Plain(str):
    """Text that was written without quotes and looks like a number or a truth value: a field for one of those may take it as such."""

    __slots__ = ()


def parse_yaml(text: str) -> Any:
    """Return the one document of `text`: dicts, lists, text (`Plain` where it could mean more), None.

    Raises:
        SourceError: it is no YAML, or more than a configuration may be: duplicate keys, tags, cycles, alias bombs.
    """
    return _built(text).document


def parse_yaml_lists(text: str) -> tuple[Any, dict[str, Extent] | None]:
    """Return the one document of `text`, and where the items of its top lists lie.

    The second is None where a piece of the text would not mean by itself what it means there: it has anchors.

    Raises:
        SourceError: as `parse_yaml`.
    """
    builder = _built(text)
    return builder.document, None if builder.has_anchors else builder.extents


def _built(text: str) -> _Builder:
    builder = _Builder(limit=max(ALIAS_MINIMUM, ALIAS_FACTOR * text.count("\n")))
    try:
        for event in _events(text):
            builder.take(event)
    except yaml.YAMLError as error:
        raise SourceError([_syntax(error, text)]) from error
    if builder.duplicates:
        lines = yaml_lines(text, set(builder.duplicates))
        raise SourceError([_duplicate(path, lines.get(path, [])) for path in dict.fromkeys(builder.duplicates)])
    return builder


def yaml_lines(text: str, wanted: set[Path]) -> dict[Path, list[int]]:
    """Return the lines (from 1) on which the keys and items at the `wanted` paths begin; several where a key is repeated."""
    return find_lines(_tokens(text), wanted)


def _events(text: str) -> Iterator[Any]:
    parser = Parser(text)
    get = parser.get_event
    event = get()
    while event is not None and type(event) is not StreamEndEvent:
        yield event
        event = get()


def _tokens(text: str) -> Iterator[Token]:
    for event in _events(text):
        kind = _TOKENS.get(type(event))
        if kind is not None:
            # What an alias stands for has its lines where its anchor is: here it is as good as a scalar.
            yield kind, getattr(event, "value", ""), event.start_mark.line + 1


@define(slots=True)
class _Frame:
    """A collection that is being filled. `key` is the key that waits for its value; `size` counts what is inside, aliases expanded."""

    value: Any
    is_map: bool
    anchor: str | None
    key: str | None = None
    size: int = 1


@define(slots=True)
class _Builder:
    limit: int
    document: Any = None
    documents: int = 0
    frames: list[_Frame] = field(factory=list)
    anchors: dict[str, tuple[Any, int]] = field(factory=dict)
    expanded: int = 0
    duplicates: list[Path] = field(factory=list)
    extents: dict[str, Extent] = field(factory=dict)
    has_anchors: bool = False

    def take(self, event: Any) -> None:
        kind = type(event)
        if len(self.frames) == 2 and not self.frames[1].is_map and self.frames[0].is_map:
            self._note(event, kind)
        if kind is ScalarEvent:
            self._scalar(event)
        elif kind is MappingStartEvent or kind is SequenceStartEvent:
            self._open(event, kind is MappingStartEvent)
        elif kind is MappingEndEvent or kind is SequenceEndEvent:
            frame = self.frames.pop()
            if frame.anchor is not None:
                self.anchors[frame.anchor] = (frame.value, frame.size)
            self._add(frame.value, frame.size)
        elif kind is AliasEvent:
            self._alias(event)
        elif kind is DocumentStartEvent:
            self.documents += 1
            if self.documents > 1:
                raise _refuse(event, "a second document begins here", "a configuration is one document; remove the ---")

    def _note(self, event: Any, kind: type[Event]) -> None:
        """Note where an item of a list at the top begins, or where the list ends."""
        extent = self.extents.setdefault(str(self.frames[0].key), Extent())
        if kind is SequenceEndEvent:
            extent.end = event.start_mark.index
        else:
            extent.starts.append(event.start_mark.index)

    def _scalar(self, event: Any) -> None:
        frame = self.frames[-1] if self.frames else None
        text: str = event.value
        if event.tag is not None and event.tag not in _TEXT_TAGS:
            raise _refuse(event, f"the tag {event.tag[:80]!r} is not read", "remove it; text is written in quotes")
        if frame is not None and frame.is_map and frame.key is None:
            if text in frame.value:
                self.duplicates.append(self._path(text))
            frame.key = text
            if event.anchor is not None:
                self.has_anchors = True
                self.anchors[event.anchor] = (text, 1)
            return
        value: Any = text
        if event.implicit[0]:
            value = _plain(text)
        if event.anchor is not None:
            self.has_anchors = True
            self.anchors[event.anchor] = (value, 1)
        if frame is None:
            self.document = value
        elif frame.is_map:
            frame.value[frame.key] = value
            frame.key = None
            frame.size += 1
        else:
            frame.value.append(value)
            frame.size += 1

    def _open(self, event: Any, is_map: bool) -> None:
        if event.tag is not None and event.tag not in _COLLECTION_TAGS:
            raise _refuse(event, f"the tag {event.tag[:80]!r} is not read", "remove it")
        if self.frames and self.frames[-1].is_map and self.frames[-1].key is None:
            raise _refuse(event, "a key must be text, and this one is a collection", _QUOTE_HINT)
        if len(self.frames) == MAX_DEPTH:
            raise _refuse(event, f"nested more than {MAX_DEPTH} levels deep")
        if event.anchor is not None:
            self.has_anchors = True
            # An anchor of this name that was finished before must not stand in for the one that begins here.
            self.anchors.pop(event.anchor, None)
        self.frames.append(_Frame({} if is_map else [], is_map, event.anchor))

    def _alias(self, event: Any) -> None:
        found = self.anchors.get(event.anchor)
        if found is None:
            raise _refuse(event, f"the alias *{event.anchor[:80]} stands for nothing, or for what it stands in", _HINTS["*"])
        value, size = found
        self.expanded += size
        if self.expanded > self.limit:
            raise _refuse(
                event,
                f"the aliases up to here repeat more than {self.limit} values",
                "give packages what they share under gateway:",
            )
        frame = self.frames[-1] if self.frames else None
        if frame is not None and frame.is_map and frame.key is None:
            raise _refuse(event, "a key must be text, and this one is an alias", _HINTS["*"])
        self._add(value, size)

    def _add(self, value: Any, size: int) -> None:
        if not self.frames:
            self.document = value
            return
        frame = self.frames[-1]
        frame.size += size
        if frame.is_map:
            frame.value[frame.key] = value
            frame.key = None
        else:
            frame.value.append(value)

    def _path(self, key: str) -> Path:
        steps = [frame.key if frame.is_map else len(frame.value) for frame in self.frames[:-1]]
        return (*(step for step in steps if step is not None), key)


def _plain(text: str) -> str | None:
    if text in _NULLS:
        return None
    if text[0] in _NUMBER_BEGINS or (len(text) < 6 and text.lower() in _WORDS):
        return Plain(text)
    return text


def _refuse(event: Any, what: str, hint: str = "") -> SourceError:
    return SourceError([(Place(event.start_mark.line + 1), Fault((), what, hint))])


def _duplicate(path: Path, lines: list[int]) -> tuple[Place, Fault]:
    where = " and ".join(str(line) for line in lines)
    times = "twice" if len(lines) == 2 else f"{len(lines)} times"
    return Place(lines[-1] if lines else None), Fault(path, f"this key stands there {times}, on lines {where}", "keep one of them")


def _syntax(error: yaml.YAMLError, text: str) -> tuple[Place, Fault]:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        return _unprintable(text)
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    problem = getattr(error, "problem", None) or getattr(error, "context", None) or "cannot be read"
    context = getattr(error, "context_mark", None)
    began = f", in what began on line {context.line + 1}" if context is not None and context.line != mark.line else ""
    # The mark stands at the character that begins no value, or behind it.
    begins = (line[mark.column : mark.column + 1], line[max(mark.column - 1, 0) : mark.column])
    hint = next((_HINTS[character] for character in begins if character in _HINTS), _QUOTE_HINT if "mapping values" in problem else "")
    if re.match(r" *\t", line):
        hint = _HINTS["\t"]
    return Place(mark.line + 1, mark.column + 1), Fault((), f"not YAML: {problem}{began}", hint)


def _unprintable(text: str) -> tuple[Place, Fault]:
    found = Reader.NON_PRINTABLE.search(text)
    if found is None:
        return Place(None), Fault((), "not YAML: it holds characters that YAML does not allow")
    line = text.count("\n", 0, found.start()) + 1
    column = found.start() - text.rfind("\n", 0, found.start())
    return Place(line, column), Fault((), f"not YAML: the character U+{ord(found[0]):04X} is not allowed", "remove it")
