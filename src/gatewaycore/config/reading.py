"""A path or a mapping -> Config, or one ConfigError with everything that is wrong.

Files are opened here and nowhere else in this package. What is raised is always a `ConfigError`: what came from the operating system or
from a parser is chained to it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path as FilePath
from typing import Any

from attrs import evolve, field, frozen

from gatewaycore.config.entries import Doubled, Entry, Known, Listed
from gatewaycore.config.faults import Fault, Made, Path, Within, show, show_path, unknown_key
from gatewaycore.config.json_source import json_lines
from gatewaycore.config.manifest import REDIRECT_STATUS, convert, is_manifest, scarf_rules
from gatewaycore.config.model import Config, GatewaySettings, MadeRule, Rosters
from gatewaycore.config.places import Place, SourceError
from gatewaycore.config.rereading import JSON, YAML, Sheet
from gatewaycore.config.sections import Builder, Inherited, OtherwiseError
from gatewaycore.config.yaml_source import yaml_lines
from gatewaycore.errors import ConfigError, Problem
from gatewaycore.gently import let_go
from gatewaycore.route import Rule
from gatewaycore.sources import Source

ROSTERS = Rosters()
_MAPPING = "configuration"
_SECTIONS = ("packages", "collections")
_BLOCK = 1024 * 1024


@frozen
class Beside:
    """A document that is read beside the first one. It has packages and collections, and no other sections.

    Attributes:
        name: what it is called where something is wrong with it; no other document is called so.
        text: YAML or JSON.
        has_environment: whether secrets are taken out of the environment for it.
    """

    name: str
    text: str = field(repr=False)
    has_environment: bool = True


@frozen(eq=False)
class _Document:
    """Data, and how to find where in its text a path is.

    Attributes:
        name: the file as it was named, or "" for a mapping.
        data: plain.
        lines: finds the lines of paths; asked only when something is wrong.
        sheet: the text and what is known of it; None for a mapping.
    """

    name: str
    data: Any
    lines: Callable[[set[Path]], dict[Path, list[int]]] = field(default=lambda _: {})
    sheet: Sheet | None = None

    def problems(self, faults: list[Fault]) -> list[Problem]:
        """Return the faults with their places, in the order of the text."""
        lines = self.lines({fault.path for fault in faults})
        sections = {key: number for number, key in enumerate(self.data)} if isinstance(self.data, Mapping) else {}
        placed = [(_line(fault.path, lines), fault) for fault in faults]
        placed.sort(key=lambda pair: (pair[0] or 0, *_order(pair[1].path, sections)))
        return [self._problem(line, fault) for line, fault in placed]

    def _problem(self, line: int | None, fault: Fault) -> Problem:
        made = _made(fault.path)
        # What was made elsewhere stands in no document, and none is to blame for it.
        return Problem(self._where(line, fault.path), fault.what, fault.hint, about=made, document="" if made else self.name)

    def entry(self, path: Path) -> str:
        """Return where an entry stands that was read, and that nothing is wrong with."""
        line = self.sheet.line(str(path[0]), path[1]) if self.sheet is not None and isinstance(path[1], int) else None
        return self._where(line, path)

    def _where(self, line: int | None, path: Path) -> str:
        if path and isinstance(path[0], Made):
            keys = show_path(path[1:])
            return f"{path[0]}: {keys}" if keys else str(path[0])
        return _where(self.name, Place(line), path)


@frozen(eq=False)
class _Before:
    """What was read before, and found to be good.

    Attributes:
        sheets: by the name of their document.
        inherited: what the entries were given beside their own keys.
        config: the whole.
        made: what was made elsewhere, and what became of it.
        rosters: the types that could be named.
    """

    sheets: Mapping[str, Sheet]
    inherited: Inherited
    config: Config
    made: Mapping[tuple[str, str], tuple[MadeRule, Known]]
    rosters: Rosters


class Reader:
    """Reads a configuration, and then again: what is as it was is neither parsed nor compiled anew. Threads may share it.

    Args:
        source: the path of a YAML or JSON file, a mapping of the same shape, or a text at hand.
        scarf_hosts: add the built-in hosts of that product: its pixel and its install events.
        environ: where ``url-env: NAME`` looks; the process's environment by default.
        rosters: gives the types that may be named; asked each time.
    """

    def __init__(
        self,
        source: FilePath | str | Mapping[str, Any] | Beside,
        *,
        scarf_hosts: bool = False,
        environ: Mapping[str, str] | None = None,
        rosters: Callable[[], Rosters] = lambda: ROSTERS,
    ) -> None:
        self._source = source
        self._scarf_hosts = scarf_hosts
        self._environ: Mapping[str, str] = os.environ if environ is None else environ
        self._rosters = rosters
        self._before: _Before | None = None

    def read(self, made: Sequence[MadeRule] = (), beside: Sequence[Beside] = ()) -> Config:
        """Read it as it is now.

        Every rule is compiled on the way, so that a Config that was read has no faults left; `Config.compile` hands the routes out.

        Args:
            made: packages and collections beside those of the source.
            beside: documents with more of them. Where two say the same, the source comes first, then these in their order; see
                `Config.doubled`.

        Raises:
            ConfigError: it cannot be read or used; `problems` holds everything that is wrong.
        """
        spare: list[Any] = []
        try:
            found = self._read(made, beside, self._before, spare)
        except OtherwiseError:
            found = self._read(made, beside, None, spare)
        # By now nobody else holds the plain data of a hundred thousand entries, nor what was known of them before.
        let_go(spare)
        if isinstance(found, Config):
            return found
        raise ConfigError(found)

    def sources(self) -> tuple[tuple[Source, ...], str]:
        """Return the settings of the sources that it names, and its data-dir; nothing else is looked at.

        Raises:
            ConfigError: it cannot be parsed, or they cannot be used.
        """
        document = _open(self._source)
        if is_manifest(document.data):
            return (), GatewaySettings().data_dir
        builder = Builder(self._rosters(), self._environ, document.name)
        found = builder.sources(document.data)
        if builder.faults:
            raise ConfigError(document.problems(builder.faults))
        return found

    def _read(self, made: Sequence[MadeRule], beside: Sequence[Beside], before: _Before | None, spare: list[Any]) -> Config | list[Problem]:
        """Read, and return the configuration or all that is wrong; what is not needed any more is in `spare` afterwards."""
        document = _open(self._source, before)
        others = [_parse(one.name, one.text, before) for one in beside]
        builder = Builder(self._rosters(), self._environ, document.name)
        if before is not None and before.rosters is not builder.rosters:
            raise OtherwiseError
        lists, data = self._lists(builder, document, others, beside, made, {} if before is None else before.made)

        def extra(settings: GatewaySettings) -> tuple[Rule, ...]:
            return scarf_rules() if self._scarf_hosts or settings.scarf_hosts else ()

        documents = {one.name: one for one in (document, *others)}
        known = None if before is None else (before.inherited, before.config)
        config = builder.build(data, lists, extra, partial(_doubled, documents, document), known)
        for listed in lists:
            spare += [one for one in listed.entries if isinstance(one, Entry)]
            spare += [one.raw for one in listed.entries if isinstance(one, Entry)]
        if builder.faults:
            return _problems(documents, document, builder.faults)
        if before is not None:
            spare += [one for sheet in before.sheets.values() for known in sheet.known.values() for one in known]
        self._remember(document, others, builder, lists, config)
        return config

    def _lists(
        self,
        builder: Builder,
        document: _Document,
        others: Sequence[_Document],
        beside: Sequence[Beside],
        made: Sequence[MadeRule],
        known: Mapping[tuple[str, str], tuple[MadeRule, Known]],
    ) -> tuple[list[Listed], Mapping[str, Any]]:
        """Return the lists of entries of all documents, and the sections of the first one."""
        data = document.data
        lists: list[Listed] = []
        if is_manifest(data):
            converted = convert(data["rules"])
            builder.faults += converted.faults
            lists = [Listed(("rules",), converted.packages, "packages"), Listed(("rules",), converted.collections, "collections")]
            data = _manifest_sections(data)
        else:
            builder.unknown(data)
            lists = [Listed((name,), builder.entries(data.get(name), (name,)), name) for name in _SECTIONS]
        for rank, (other, one) in enumerate(zip(others, beside, strict=True), 1):
            root = Within(other.name)
            builder.faults += [fault.under((root,)) for fault in unread(other.data)]
            for name in _SECTIONS if isinstance(other.data, Mapping) else ():
                entries = builder.entries(other.data.get(name), (root, name), has_environment=one.has_environment)
                lists.append(Listed((root, name), entries, name, rank))
        for name in _SECTIONS:
            those = [one for one in made if one.section == name]
            entries = [_made_entry(one, known.get((name, one.name))) for one in those]
            lists.append(Listed(("console", name), entries, name, None, those))
        return lists, data

    def _remember(
        self, document: _Document, others: Sequence[_Document], builder: Builder, lists: Sequence[Listed], config: Config
    ) -> None:
        sheets: dict[str, Sheet] = {}
        found: dict[tuple[str, str], tuple[MadeRule, Known]] = {}
        roots = {"": document.sheet, **{other.name: other.sheet for other in others}}
        for listed, known in zip(lists, builder.made, strict=True):
            if listed.rank is None:
                found |= {(one.section, one.name): (one, entry) for one, entry in zip(listed.made, known, strict=True)}
                continue
            sheet = roots[listed.path[0] if isinstance(listed.path[0], Within) else ""]
            if sheet is not None and isinstance(sheet.data.get(listed.section), list):
                sheet.know(listed.section, known)
        for one in (document, *others):
            if one.sheet is not None:
                sheets[one.name] = one.sheet
        self._before = _Before(sheets, builder.inherited, config, found, builder.rosters)


def read_config(
    source: FilePath | str | Mapping[str, Any] | Beside,
    *,
    scarf_hosts: bool = False,
    environ: Mapping[str, str] | None = None,
    rosters: Rosters = ROSTERS,
    made: Sequence[MadeRule] = (),
    beside: Sequence[Beside] = (),
) -> Config:
    """Read a configuration, or a Scarf manifest, once; see `Reader`.

    Raises:
        ConfigError: it cannot be read or used; `problems` holds everything that is wrong.
    """
    return Reader(source, scarf_hosts=scarf_hosts, environ=environ, rosters=lambda: rosters).read(made, beside)


def unread(data: Any) -> Iterator[Fault]:
    """Iterate over what is wrong with the sections of a document beside the first one."""
    if not isinstance(data, Mapping):
        # A file that somebody has begun to write, or that a full disk has cut off, says nothing about its rules.
        what = "there is nothing in it" if data is None else f"expected a mapping, found {show(data)}"
        yield Fault((), what, "packages: [] says that there are none" if data is None else "it begins with packages: or collections:")
        return
    for key in data:
        if key not in _SECTIONS:
            fault = unknown_key((), key, _SECTIONS)
            yield Fault(fault.path, "only packages and collections are read here", "what holds for all stands in the file that is served")


def _made_entry(one: MadeRule, known: tuple[MadeRule, Known] | None) -> Entry | Known:
    if known is not None and known[0] == one:
        return known[1]
    return Entry(dict(one.keys), (Made.of(one.name, one),), is_made=True)


def _problems(documents: Mapping[str, _Document], first: _Document, faults: Sequence[Fault]) -> list[Problem]:
    """Return faults with their places, document by document."""
    found: dict[str, list[Fault]] = {}
    for fault in faults:
        inside = fault.path and isinstance(fault.path[0], Within)
        name, path = (str(fault.path[0]), fault.path[1:]) if inside else (first.name, fault.path)
        found.setdefault(name, []).append(evolve(fault, path=path))
    return [problem for name, document in documents.items() if name in found for problem in document.problems(found[name])]


def _doubled(documents: Mapping[str, _Document], first: _Document, one: Doubled) -> Problem:
    def place(path: Path) -> tuple[str, _Document]:
        inside = isinstance(path[0], Within)
        document = documents[str(path[0])] if inside else first
        return document.entry(path[1:] if inside else path), document

    (here, document), (there, _) = place(one.path), place(one.other)
    return Problem(here, f"is left out: {one.what} is at {there} already", "keep one of the two", document=document.name)


def place_faults(config: Config, faults: list[Fault]) -> list[Problem]:
    """Return faults that were found after reading, with their places: the file is read a second time for them."""
    document = _Document(config.file, None)
    if config.file:
        # It may have gone since: what is wrong was wrong before that, and is told without its line.
        with suppress(ConfigError):
            document = _read(config.file, None)
    return document.problems(faults)


def _manifest_sections(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sections beside the rules of a manifest, which a machine does not write but its user may; the status is the manifest's."""
    gateway = data.get("gateway")
    if gateway is None or isinstance(gateway, Mapping):
        gateway = {"redirect-status": REDIRECT_STATUS, **{key: value for key, value in (gateway or {}).items() if value is not None}}
    return {**data, "gateway": gateway}


def _open(source: FilePath | str | Mapping[str, Any] | Beside, before: _Before | None = None) -> _Document:
    document = _read(source, before)
    if not isinstance(document.data, Mapping):
        hint = "it begins with a section such as packages:"
        what = "there is nothing in it" if document.data is None else f"expected a mapping, found {show(document.data)}"
        raise ConfigError(document.problems([Fault((), what, hint)]))
    return document


def _read(source: FilePath | str | Mapping[str, Any] | Beside, before: _Before | None) -> _Document:
    if isinstance(source, Mapping):
        return _Document("", source)
    if isinstance(source, Beside):
        return _parse(source.name, source.text, before)
    if not isinstance(source, str | os.PathLike):
        raise ConfigError([Problem(_MAPPING, f"expected a path or a mapping, found {show(source)}")])
    name = os.fspath(source)
    try:
        with open(name, encoding="utf-8-sig") as file:
            # In blocks: whoever decodes keeps the interpreter's lock.
            text = "".join(iter(lambda: file.read(_BLOCK), ""))
    except UnicodeDecodeError as error:
        raise ConfigError(
            [Problem(name, f"not UTF-8: byte 0x{error.object[error.start]:02x} at {error.start}", "save it as UTF-8")]
        ) from error
    except (OSError, ValueError) as error:
        # ValueError: a name that no file can have, with a NUL in it.
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError([Problem(show(name) if "\0" in name else name, f"cannot be read: {reason}")]) from error
    return _parse(name, text, before)


def _parse(name: str, text: str, before: _Before | None = None) -> _Document:
    """Parse a text.

    Args:
        name: the file's; its suffix says what the text is. Where it does not, a text that is JSON is JSON.
        text: the whole.
        before: what was read before.

    Raises:
        ConfigError: it cannot be parsed.
    """
    known = None if before is None else before.sheets.get(name)
    try:
        sheet = _sheet(FilePath(name).suffix.lower(), text) if known is None else known.read_again(text)
    except SourceError as error:
        problems = [Problem(_where(name, place, fault.path), fault.what, fault.hint, document=name) for place, fault in error.faults]
        raise ConfigError(problems) from error
    lines = json_lines if sheet.language is JSON else yaml_lines
    return _Document(name, sheet.data, lambda wanted: lines(text, wanted), sheet)


def _sheet(suffix: str, text: str) -> Sheet:
    if suffix == ".json":
        return Sheet.read(JSON, text)
    if suffix not in (".yaml", ".yml") and text.lstrip().startswith("{"):
        # In YAML, too, a line may begin with "{".
        with suppress(SourceError):
            return Sheet.read(JSON, text)
    return Sheet.read(YAML, text)


def _where(name: str, place: Place, path: Path) -> str:
    keys = show_path(path)
    if not name:
        return keys or _MAPPING
    return f"{name}{place}: {keys}" if keys else f"{name}{place}"


def _made(path: Path) -> object:
    """Return what was made elsewhere and a path is in; None where it stands in the file."""
    return path[0].rule if path and isinstance(path[0], Made) else None


def _order(path: Path, sections: Mapping[Any, int]) -> tuple[int, int]:
    """Return where a path comes among others: by its section, and its position there."""
    return (sections.get(path[0], -1) if path else -1, next((step for step in path if isinstance(step, int)), -1))


def _line(path: Path, lines: Mapping[Path, list[int]]) -> int | None:
    """Return the line of a path, or of what it would stand in."""
    for length in range(len(path), 0, -1):
        found = lines.get(path[:length])
        if found:
            return found[0]
    return None
