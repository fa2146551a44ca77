"""Scarf manifests: the rules of that product's gateway -> entries as `gateway.yaml` has them.

A manifest comes from a machine and loads unchanged: keys unknown here are passed over, null means absent, and a rule that stands there
twice counts once. Its own gateway redirects with 307, and so do its rules here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from attrs import define, field, frozen

from gatewaycore.config.entries import Entry
from gatewaycore.config.faults import Fault, Invalid, Path, invalid, missing, one_of, show, suggest
from gatewaycore.config.structure import listed, text, truth
from gatewaycore.route import Rule
from gatewaycore.rules import InstallRule, PixelRule
from gatewaycore.rules.access import hash_token

REDIRECT_STATUS = 307

_PACKAGE_VARIABLE = "x-pxid"
# No text is known that hashes to this; whoever lists no token lets nobody in.
_NO_TOKEN = "sha256:" + "0" * 64
_BELOW_THE_MANIFEST = -1

Raw: TypeAlias = dict[str, Any]
_Projects: TypeAlias = dict[tuple[str, ...], tuple[Entry, list[Path]]]


def _nothing(_: Raw) -> Raw:
    return {}


@frozen
class _Shape:
    """How rules of one type are read.

    Attributes:
        tag: the type of package it is here; "" for a collection.
        required: keys that are never absent.
        names: keys here, and what they are called in the rule.
        more: makes the keys that are more than another name, and overwrites with them.
    """

    tag: str
    required: tuple[str, ...]
    names: Mapping[str, str]
    more: Callable[[Raw], Raw] = _nothing


@define
class Converted:
    """The entries of a manifest, and what is wrong with it."""

    packages: list[Entry] = field(factory=list)
    collections: list[Entry] = field(factory=list)
    faults: list[Fault] = field(factory=list)


def is_manifest(data: Mapping[Any, Any]) -> bool:
    """Tell whether plain data is a manifest."""
    return "rules" in data and "packages" not in data and "collections" not in data


def convert(rules: Any) -> Converted:
    """Convert the rules of a manifest."""
    converted = Converted()
    if not isinstance(rules, list | tuple):
        if rules is not None:
            converted.faults.append(Fault(("rules",), f"expected a list, found {show(rules)}"))
        return converted
    seen: set[Any] = set()
    projects: _Projects = {}
    for position, rule in enumerate(rules):
        path: Path = ("rules", position)
        try:
            shape, raw = _read(rule)
            if shape.tag == "python":
                _list_file(raw, path, projects, seen)
            elif _is_new(raw, seen):
                (converted.packages if shape.tag else converted.collections).append(Entry(raw, path, shape.names))
        except Invalid as error:
            converted.faults += [fault.under(path) for fault in error.faults]
    converted.packages += [entry for entry, _ in projects.values()]
    return converted


def scarf_rules() -> tuple[Rule, ...]:
    """Return the rules of that product's built-in hosts; those of the manifest win over them."""
    return (
        PixelRule(name="pixel", domain="static.scarf.sh", package_variable=_PACKAGE_VARIABLE, priority=_BELOW_THE_MANIFEST),
        InstallRule(name="install", domain="scarf.sh", priority=_BELOW_THE_MANIFEST),
    )


def _read(rule: Any) -> tuple[_Shape, Raw]:
    """Return the shape of a rule, and its keys as they are here."""
    if not isinstance(rule, Mapping):
        raise invalid(f"expected a mapping, found {show(rule)}")
    tag, known = rule.get("type"), sorted(_SHAPES)
    if tag is None:
        raise Invalid([missing(("type",), one_of(known))])
    shape = _SHAPES.get(tag) if isinstance(tag, str) else None
    if shape is None:
        raise Invalid([Fault(("type",), f"unknown type {show(tag)}", suggest(tag, known, one_of(known)))])
    present = {key: value for key, value in rule.items() if value is not None}
    absent = [missing((key,)) for key in shape.required if key not in present]
    if absent:
        raise Invalid(absent)
    raw: Raw = {"type": shape.tag} if shape.tag else {}
    raw |= {key: present[name] for key, name in shape.names.items() if name in present}
    return shape, raw | shape.more(present)


def _list_file(raw: Raw, path: Path, projects: _Projects, seen: set[Any]) -> None:
    """Add a file to its project: one package here, but a rule for each file there."""
    key = (_text(raw, "domain", "domain"), _text(raw, "id", "package-id"), _text(raw, "name", "package-name"))
    file = {name: raw.pop(name) for name in _FILE if name in raw}
    if not _is_new({**file, "project": key}, seen):
        return
    if key not in projects:
        members: list[Path] = []
        projects[key] = Entry({**raw, "files": []}, path, _SHAPES["python-v1"].names, members), members
    entry, members = projects[key]
    entry.raw["files"].append(file)
    members.append(path)


def _is_new(raw: Raw, seen: set[Any]) -> bool:
    """Tell whether a rule says something that no rule before it said."""
    try:
        identity = _frozen(raw)
        if identity in seen:
            return False
        seen.add(identity)
    except (TypeError, RecursionError):
        # It holds what no rule holds; reading it on will say so.
        return True
    return True


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return tuple((key, _frozen(item)) for key, item in value.items())
    return tuple(value) if isinstance(value, list) else value


def _text(rule: Raw, key: str, name: str) -> str:
    try:
        return text(rule[key])
    except Invalid as error:
        raise Invalid([fault.under((name,)) for fault in error.faults]) from None


def _named(rule: Raw) -> Raw:
    return {"name": rule.get("package-name") or rule["package-id"]}


def _entered(rule: Raw) -> Raw:
    path = _text(rule, "incoming-path", "incoming-path")
    return {**_named(rule), "incoming-path": path if path.startswith(("/", "{/")) else f"/{path}"}


def _file(rule: Raw) -> Raw:
    return {**_entered(rule), **({"outgoing-url": None} if rule.get("outgoing-url") == "" else {})}


def _regex(rule: Raw) -> Raw:
    """Make an expression for whole paths of one that is looked for anywhere in them."""
    found = _text(rule, "incoming-path", "incoming-path").strip()
    anchored = found.startswith("^") and found.endswith("$") and not found.endswith("\\$") and "|" not in found
    return {**_named(rule), "incoming-regex": found[1:-1] if anchored else f"(?s:.*?)(?:{found})(?s:.*)"}


def _image(rule: Raw) -> Raw:
    name = _text(rule, "repository-name", "repository-name")
    backend = f"{_text(rule, 'registry', 'registry')}/{name}"
    return {"backend": backend, **({} if "/" in name else {"verbatim": True}), **_strategy(rule)}


def _strategy(rule: Raw) -> Raw:
    try:
        return {"strategy": "proxy" if truth(rule.get("always-proxy", False)) else None}
    except Invalid as error:
        raise Invalid([fault.under(("always-proxy",)) for fault in error.faults]) from None


def _telemetry(rule: Raw) -> Raw:
    written = rule.get("access-tokens")
    if written is None:
        return _entered(rule)
    try:
        tokens = [hash_token(token) for token in listed(written, text)]
    except Invalid:
        # Not repeated: they are secrets.
        raise Invalid([Fault(("access-tokens",), "expected a list of texts")]) from None
    return {**_entered(rule), "access-tokens": tokens or [_NO_TOKEN]}


def _python(rule: Raw) -> Raw:
    found = rule.get("hash-value")
    if found is None:
        return {}
    if not isinstance(found, Mapping) or not isinstance(found.get("type"), str) or not isinstance(found.get("hash"), str):
        raise Invalid([Fault(("hash-value",), "expected a mapping with type and hash")])
    return {"hashes": {found["type"]: found["hash"]}}


def _pixel(_: Raw) -> Raw:
    return {"name": "pixel", "package-variable": _PACKAGE_VARIABLE}


def _same(*keys: str) -> dict[str, str]:
    return {key: key for key in keys}


_FILE = ("file-name", "url", "version", "hashes", "requires-python", "gpg-sig")
_PACKAGE = {"name": "package-name", "id": "package-id", **_same("domain")}
_IMAGES = {"backend": "registry", "strategy": "always-proxy", **_same("domain")}
_PYTHON = {**_PACKAGE, "url": "backend-url", "hashes": "hash-value", **_same("file-name", "version", "requires-python", "gpg-sig")}

_SHAPES: Mapping[str, _Shape] = {
    "catch-all-v1": _Shape(
        "catch-all", ("domain", "package-id", "redirect-target-domain"), {**_PACKAGE, **_same("redirect-target-domain")}, _named
    ),
    "docker-v1": _Shape(
        "container",
        ("domain", "package-id", "registry", "repository-name"),
        {**_IMAGES, "id": "package-id", "name": "repository-name"},
        _image,
    ),
    "docker-v2": _Shape("", ("domain", "pattern", "registry", "rule-id"), {**_IMAGES, "id": "rule-id", **_same("pattern")}, _strategy),
    "file-v1": _Shape("file", ("domain", "incoming-path", "package-id"), {**_PACKAGE, **_same("incoming-path", "outgoing-url")}, _file),
    "file-v2": _Shape(
        "file",
        ("domain", "incoming-path", "package-id"),
        {**_PACKAGE, "incoming-regex": "incoming-path", **_same("outgoing-url")},
        _regex,
    ),
    "pixel": _Shape("pixel", ("domain",), _same("domain", "content-type", "body"), _pixel),
    "python-v1": _Shape("python", ("backend-url", "domain", "file-name", "package-id", "package-name"), _PYTHON, _python),
    "telemetry-v1": _Shape(
        "event", ("domain", "incoming-path", "package-id"), {**_PACKAGE, **_same("incoming-path", "access-tokens")}, _telemetry
    ),
}
