"""A path or a mapping -> Config, or one ConfigError with everything that is wrong.

Files are opened here and nowhere else in this package. What is raised is always a `ConfigError`: what came from the operating system or
from a parser is chained to it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path as FilePath
from typing import Any

from attrs import field, frozen

from gatewaycore.config.faults import Fault, Made, Path, show, show_path
from gatewaycore.config.json_source import json_lines, parse_json
from gatewaycore.config.manifest import REDIRECT_STATUS, convert, is_manifest, scarf_rules
from gatewaycore.config.model import Config, GatewaySettings, MadeRule, Rosters
from gatewaycore.config.places import Place, SourceError
from gatewaycore.config.sections import Builder, Entry
from gatewaycore.config.yaml_source import parse_yaml, yaml_lines
from gatewaycore.errors import ConfigError, Problem
from gatewaycore.route import Rule

ROSTERS = Rosters()
_MAPPING = "configuration"
_SECTIONS = ("packages", "collections")


@frozen
class _Document:
    """Data, and how to find where in its text a path is.

    Attributes:
        name: the file as it was named, or "" for a mapping.
        data: plain.
        lines: finds the lines of paths; asked only when something is wrong.
    """

    name: str
    data: Any
    lines: Callable[[set[Path]], dict[Path, list[int]]] = field(default=lambda _: {})

    def problems(self, faults: list[Fault]) -> list[Problem]:
        """Return the faults with their places, in the order of the text."""
        lines = self.lines({fault.path for fault in faults})
        sections = {key: number for number, key in enumerate(self.data)} if isinstance(self.data, Mapping) else {}
        placed = [(_line(fault.path, lines), fault) for fault in faults]
        placed.sort(key=lambda pair: (pair[0] or 0, *_order(pair[1].path, sections)))
        return [Problem(self._where(line, fault.path), fault.what, fault.hint, about=_made(fault.path)) for line, fault in placed]

    def _where(self, line: int | None, path: Path) -> str:
        if path and isinstance(path[0], Made):
            keys = show_path(path[1:])
            return f"{path[0]}: {keys}" if keys else str(path[0])
        return _where(self.name, Place(line), path)


def read_config(
    source: FilePath | str | Mapping[str, Any],
    *,
    scarf_hosts: bool = False,
    environ: Mapping[str, str] | None = None,
    rosters: Rosters = ROSTERS,
    made: Sequence[MadeRule] = (),
) -> Config:
    """Read a configuration, or a Scarf manifest.

    Every rule is compiled on the way, so that a Config that was read has no faults left; `Config.compile` hands the routes out.

    Args:
        source: the path of a YAML or JSON file, or a mapping of the same shape.
        scarf_hosts: add the built-in hosts of that product: its pixel and its install events.
        environ: where ``url-env: NAME`` looks; the process's environment by default.
        rosters: the types that may be named.
        made: packages and collections beside those of the source.

    Raises:
        ConfigError: it cannot be read or used; `problems` holds everything that is wrong.
    """
    document = _open(source)
    data = document.data
    if not isinstance(data, Mapping):
        hint = "it begins with a section such as packages:"
        what = "there is nothing in it" if data is None else f"expected a mapping, found {show(data)}"
        raise ConfigError(document.problems([Fault((), what, hint)]))
    builder = Builder(rosters, os.environ if environ is None else environ, document.name)

    def extra(settings: GatewaySettings) -> tuple[Rule, ...]:
        return scarf_rules() if scarf_hosts or settings.scarf_hosts else ()

    if is_manifest(data):
        converted = convert(data["rules"])
        builder.faults += converted.faults
        packages, collections = converted.packages, converted.collections
        data = _manifest_sections(data)
    else:
        builder.unknown(data)
        packages, collections = (builder.entries(data.get(name), name) for name in ("packages", "collections"))
    beside = {
        name: [Entry(dict(one.keys), (Made.of(one.name, one),), is_made=True) for one in made if one.section == name] for name in _SECTIONS
    }
    config = builder.build(data, [*packages, *beside["packages"]], [*collections, *beside["collections"]], extra)
    if builder.faults:
        raise ConfigError(document.problems(builder.faults))
    return config


def place_faults(config: Config, faults: list[Fault]) -> list[Problem]:
    """Return faults that were found after reading, with their places: the file is read a second time for them."""
    document = _Document(config.file, None)
    if config.file:
        # It may have gone since: what is wrong was wrong before that, and is told without its line.
        with suppress(ConfigError):
            document = _open(config.file)
    return document.problems(faults)


def _manifest_sections(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sections beside the rules of a manifest, which a machine does not write but its user may; the status is the manifest's."""
    gateway = data.get("gateway")
    if gateway is None or isinstance(gateway, Mapping):
        gateway = {"redirect-status": REDIRECT_STATUS, **{key: value for key, value in (gateway or {}).items() if value is not None}}
    return {**data, "gateway": gateway}


def _open(source: FilePath | str | Mapping[str, Any]) -> _Document:
    if isinstance(source, Mapping):
        return _Document("", source)
    if not isinstance(source, str | os.PathLike):
        raise ConfigError([Problem(_MAPPING, f"expected a path or a mapping, found {show(source)}")])
    name = os.fspath(source)
    try:
        text = FilePath(name).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            [Problem(name, f"not UTF-8: byte 0x{error.object[error.start]:02x} at {error.start}", "save it as UTF-8")]
        ) from error
    except (OSError, ValueError) as error:
        # ValueError: a name that no file can have, with a NUL in it.
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError([Problem(show(name) if "\0" in name else name, f"cannot be read: {reason}")]) from error
    try:
        return _parse(name, text)
    except SourceError as error:
        raise ConfigError([Problem(_where(name, place, fault.path), fault.what, fault.hint) for place, fault in error.faults]) from error


def _parse(name: str, text: str) -> _Document:
    """Parse by the file's suffix; where that says nothing, a text that is JSON is JSON."""
    suffix = FilePath(name).suffix.lower()
    if suffix == ".json":
        return _Document(name, parse_json(text), lambda wanted: json_lines(text, wanted))
    if suffix not in (".yaml", ".yml") and text.lstrip().startswith("{"):
        try:
            return _Document(name, parse_json(text), lambda wanted: json_lines(text, wanted))
        except SourceError:
            # In YAML, too, a line may begin with "{".
            pass
    return _Document(name, parse_yaml(text), lambda wanted: yaml_lines(text, wanted))


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
