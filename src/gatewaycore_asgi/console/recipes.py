"""Recipes: which fields a form for a package or a collection has, and what is made of them: an entry as a configuration file has it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import yaml
from attrs import frozen

from gatewaycore.config.places import SourceError
from gatewaycore.config.yaml_source import Plain, parse_yaml
from gatewaycore.errors import ConfigError, Problem
from gatewaycore_asgi.console.forms import Form

MORE: Final = "more"
"""The field for whatever has no field of its own, in YAML."""

_WHOLE = re.compile(r"-?\d{1,18}")
_WORDS: Final = {"true": True, "false": False}


@frozen
class Field:
    """A field of a form, and the key of the configuration that it fills.

    Attributes:
        key: of the configuration.
        label: above it.
        hint: below it.
        is_needed: whether it may not be left empty.
        unless: keys that stand for it, where one of them is among the other settings.
    """

    key: str
    label: str
    hint: str = ""
    is_needed: bool = False
    unless: tuple[str, ...] = ()


@frozen
class Recipe:
    """A kind of package, or a collection.

    Attributes:
        tag: of the type; "collection" for that.
        title: what it is called.
        fields: of its form.
    """

    tag: str
    title: str
    fields: tuple[Field, ...]


_NAME: Final = Field("name", "Name", "What it is called, also in events and in addresses of this console.", True)
_DOMAIN: Final = Field("domain", "Domain", "Where it is served: get.acme.example. Empty for the one that the gateway gives, if it does.")
_ROUTES: Final = ("routes",)
COLLECTION: Final = "collection"

RECIPES: Final[Mapping[str, Recipe]] = {
    one.tag: one
    for one in (
        Recipe(
            "file",
            "File or link",
            (
                _NAME,
                _DOMAIN,
                Field(
                    "incoming-path",
                    "Incoming path",
                    "What is asked for, with variables in braces: /{version}/app.tgz.",
                    True,
                    ("incoming-regex", *_ROUTES),
                ),
                Field(
                    "outgoing-url", "Outgoing URL", "Where it leads, with the same variables: https://cdn.acme.example/{version}/app.tgz."
                ),
            ),
        ),
        Recipe(
            "container",
            "Container image",
            (
                Field("name", "Name", "What is typed behind the domain: acme/app.", True),
                _DOMAIN,
                Field("backend", "Backend", "The image at its registry, or the whole pull command: ghcr.io/acme/app.", True),
            ),
        ),
        Recipe(
            "python",
            "Python project",
            (
                _NAME,
                _DOMAIN,
                Field(
                    "pip",
                    "pip command",
                    "As people type it for the upstream: pip install app --index-url https://index.example/simple.",
                    True,
                    ("index", "files"),
                ),
            ),
        ),
        Recipe(
            "npm",
            "npm package",
            (
                Field("name", "Name", "The package at its registry: app, or @acme/app.", True),
                _DOMAIN,
                Field("registry", "Registry", "The URL of the upstream registry: https://registry.example/.", True),
            ),
        ),
        Recipe("pixel", "Pixel", (_NAME, _DOMAIN, Field("incoming-path", "Path", "/a.png, unless something else is said."))),
        Recipe("event", "Events", (_NAME, _DOMAIN, Field("incoming-path", "Path", "Where programs report to: /events.", True, _ROUTES))),
        Recipe(
            "install",
            "Install reports",
            (
                Field("name", "Name", "The package of reports that name none.", True),
                _DOMAIN,
                Field("path", "Path", "/package-event/install, unless something else is said; a package may stand behind it."),
            ),
        ),
        Recipe(
            "catch-all",
            "Whole domain",
            (_NAME, _DOMAIN, Field("redirect-target-domain", "Target domain", "Every path leads to the same path there.", True)),
        ),
        Recipe(
            COLLECTION,
            "Collection of images",
            (
                Field("pattern", "Pattern", "acme/*, or acme/{a, b}: each image is a package from its first pull.", True),
                _DOMAIN,
                Field("backend", "Backend", "The host of the registry: ghcr.io.", True),
            ),
        ),
    )
}
"""What can be made, by tag. Other types are made in the configuration file."""


def definition_of(recipe: Recipe, form: Form) -> dict[str, Any]:
    """Return the entry that a form describes.

    Args:
        recipe: of the form.
        form: what was sent.

    Raises:
        ConfigError: a field is missing, or what is in `MORE` is no YAML; each problem's place is the field.
    """
    problems: list[Problem] = []
    try:
        more = _plain(parse_yaml(form.one(MORE))) if form.one(MORE).strip() else {}
    except SourceError as error:
        problems.extend(Problem(MORE, fault.what, fault.hint) for _, fault in error.faults)
        more = {}
    if not isinstance(more, dict):
        problems.append(Problem(MORE, "is no list of settings", "write one on each line, such as redirect-status: 307"))
        more = {}
    found: dict[str, Any] = {} if recipe.tag == COLLECTION else {"type": recipe.tag}
    for one in recipe.fields:
        value = form.one(one.key).strip()
        if value:
            found[one.key] = value
        elif one.is_needed and not any(key in more for key in one.unless):
            problems.append(Problem(one.key, "is missing", one.hint))
    problems.extend(Problem(MORE, f"{key} has a field of its own", "write it there") for key in found if key in more)
    if problems:
        raise ConfigError(problems)
    return {**more, **found}


def values_of(recipe: Recipe, definition: Mapping[str, Any]) -> dict[str, str]:
    """Return what the fields of a form hold for an entry."""
    keys = {one.key for one in recipe.fields}
    rest = {key: value for key, value in definition.items() if key not in keys and key != "type"}
    return {**{key: str(definition.get(key, "")) for key in keys}, MORE: write_yaml(rest) if rest else ""}


def write_yaml(definition: Mapping[str, Any]) -> str:
    """Return an entry as a configuration file has it."""
    return yaml.safe_dump(dict(definition), sort_keys=False, allow_unicode=True, default_flow_style=False)


def placed(problems: Iterable[Problem], recipe: Recipe) -> tuple[dict[str, str], list[str]]:
    """Return what is wrong: by field, and what belongs to none."""
    keys = [*(one.key for one in recipe.fields), MORE]
    of_field: dict[str, str] = {}
    others: list[str] = []
    for problem in problems:
        key = next((key for key in keys if re.search(rf"(^|[.: ]){re.escape(key)}(\[\d+\])?$", problem.where)), None)
        told = f"{problem.what}{f' ({problem.hint})' if problem.hint else ''}"
        if key is None:
            others.append(f"{problem.where}: {told}")
        else:
            of_field.setdefault(key, told)
    return of_field, others


def _plain(value: Any) -> Any:
    """Return what a document says as JSON has it: a text that may mean a number, or true, does."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, Plain):
        text = str(value)
        return int(text) if _WHOLE.fullmatch(text) else _WORDS.get(text, text)
    return value
