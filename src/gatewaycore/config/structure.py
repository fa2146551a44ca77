"""The one cattrs converter of our own: plain data -> settings classes, with exact scalar types.

Nothing is converted silently: a field of text takes text, and a number in its place is an error that says how to write it. Only scalars of
YAML that stand without quotes (`Plain`) may become numbers or truth values, where the field is one. Keys are the fields' names in
kebab-case; every key must be known.

Two converters come of one recipe: a fast one, and one that collects every fault of a value that the fast one refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin

import attrs
from cattrs import Converter
from cattrs.errors import BaseValidationError, ForbiddenExtraKeysError
from cattrs.gen import make_dict_structure_fn, override

from gatewaycore.config.faults import Discreet, Fault, Invalid, Path, faults_of, invalid, kebab, one_of, show, suggest, unknown_key
from gatewaycore.config.yaml_source import Plain
from gatewaycore.errors import GatewayError

Read: TypeAlias = Callable[[Any], Any]
"""Takes plain data; returns a field's value or raises `Invalid`."""

Vocabulary: TypeAlias = Mapping[str, Read]
"""Readers of fields, by name, that want more than their type says."""

REFUSALS = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError, GatewayError, ForbiddenExtraKeysError)
"""What the fast converter raises for a value that does not fit, and what a settings class's own checks may raise."""

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_TRUE = frozenset({"true", "yes", "on"})
_FALSE = frozenset({"false", "no", "off"})


def text(raw: Any) -> str:
    """Read text."""
    if isinstance(raw, str):
        if not raw.isascii():
            try:
                raw.encode()
            except UnicodeEncodeError as error:
                raise invalid(f"{show(raw)} is not Unicode text", "a lone surrogate stands in it") from error
        return raw if type(raw) is str else str(raw)
    hint = ""
    if isinstance(raw, bool | int | float):
        hint = "write it in quotes"
    elif isinstance(raw, Mapping):
        hint = "text that begins with { is written in quotes"
    raise invalid(f"expected text, found {show(raw)}", hint)


def whole(raw: Any) -> int:
    """Read a whole number."""
    if isinstance(raw, int) and not isinstance(raw, bool):
        return raw
    if type(raw) is Plain and _WHOLE.fullmatch(raw):
        return int(raw)
    quoted = isinstance(raw, str) and type(raw) is not Plain and _WHOLE.fullmatch(raw)
    raise invalid(f"expected a whole number, found {show(raw)}", "write it without quotes" if quoted else "")


def decimal(raw: Any) -> float:
    """Read a number."""
    if isinstance(raw, int | float) and not isinstance(raw, bool):
        return float(raw)
    if type(raw) is Plain and _DECIMAL.fullmatch(raw):
        return float(raw)
    quoted = isinstance(raw, str) and type(raw) is not Plain and _DECIMAL.fullmatch(raw)
    raise invalid(f"expected a number, found {show(raw)}", "write it without quotes" if quoted else "")


def truth(raw: Any) -> bool:
    """Read a truth value; in YAML, any of the words of YAML 1.1 without quotes."""
    if isinstance(raw, bool):
        return raw
    word = raw.lower() if isinstance(raw, str) else ""
    if type(raw) is Plain and word in _TRUE | _FALSE:
        return word in _TRUE
    raise invalid(f"expected true or false, found {show(raw)}", "write it without quotes" if word in _TRUE | _FALSE else "")


def listed(raw: Any, read: Read) -> tuple[Any, ...]:
    """Read a list, each item with `read`; all that is wrong in it is raised at once."""
    if not isinstance(raw, list | tuple):
        raise invalid(f"expected a list, found {show(raw)}", "write [ ] around it" if isinstance(raw, str) else "")
    try:
        return tuple([read(item) for item in raw])
    except (*REFUSALS, BaseValidationError):
        faults = [fault for position, item in enumerate(raw) for fault in _faults(read, item, (position,))]
        raise Invalid(faults) from None


def mapped(raw: Any, read: Read) -> dict[str, Any]:
    """Read a mapping with text for keys, each value with `read`; all that is wrong in it is raised at once."""
    if not isinstance(raw, Mapping):
        raise invalid(f"expected a mapping, found {show(raw)}", "write key: value")
    try:
        return {text(key): read(value) for key, value in raw.items()}
    except (*REFUSALS, BaseValidationError):
        faults: list[Fault] = []
        for key, value in raw.items():
            faults += _faults(read, value, (key,)) if isinstance(key, str) else [unknown_key((), key, ())]
            faults += _faults(text, key, ()) if isinstance(key, str) else []
        raise Invalid(faults) from None


def _faults(read: Read, item: Any, path: Path) -> list[Fault]:
    try:
        read(item)
    except (*REFUSALS, BaseValidationError) as error:
        return list(faults_of(error, path))
    return []


def present(raw: Any, keys: frozenset[str]) -> dict[str, Any]:
    """Return a mapping without the known `keys` whose value is null: nothing written is the same as nothing said."""
    if not isinstance(raw, Mapping):
        raise invalid(f"expected a mapping, found {show(raw)}", f"known here: {', '.join(sorted(keys))}")
    wrong = [key for key in raw if type(key) is not str and not isinstance(key, str)]
    if wrong:
        raise Invalid([unknown_key((), key, keys) for key in wrong])
    if type(raw) is dict and None not in raw.values():
        return raw
    return {key: value for key, value in raw.items() if value is not None or key not in keys}


def keys_of(cls: type) -> frozenset[str]:
    """Return the keys of a settings class."""
    return frozenset(kebab(field.name) for field in attrs.fields(cls) if field.init)


def make_converter(words: Mapping[type, Vocabulary], *, detailed: bool) -> Converter:
    """Make a converter.

    Args:
        words: for settings classes, the readers of fields that want more than their type says.
        detailed: collect every fault, instead of stopping at the first one.
    """
    converter = Converter(detailed_validation=detailed, forbid_extra_keys=True)
    for scalar, read in ((str, text), (int, whole), (float, decimal), (bool, truth)):
        converter.register_structure_hook(scalar, _hook(read))
    converter.register_structure_hook_factory(_is_sequence, lambda kind, own: _hook(_reader_of(kind, own, listed)))
    converter.register_structure_hook_factory(_is_mapping, lambda kind, own: _hook(_reader_of(kind, own, mapped)))
    converter.register_structure_hook_factory(_is_literal, lambda kind: _hook(_literal(kind)))
    converter.register_structure_hook_factory(_is_text_or_truth, lambda _: _hook(_text_or_truth))
    converter.register_structure_hook_factory(attrs.has, lambda cls, own: _class_hook(cls, own, words.get(cls, {}), detailed))
    return converter


def _hook(read: Read) -> Callable[[Any, Any], Any]:
    return lambda raw, _: read(raw)


def _reader_of(kind: Any, converter: Converter, read: Callable[[Any, Read], Any]) -> Read:
    item = get_args(kind)[1 if read is mapped else 0]
    inner = converter.get_structure_hook(item)
    if get_origin(kind) is list:
        return lambda raw: list(read(raw, lambda value: inner(value, item)))
    return lambda raw: read(raw, lambda value: inner(value, item))


def _class_hook(cls: type, converter: Converter, words: Vocabulary, detailed: bool) -> Callable[[Any, Any], Any]:
    attrs.resolve_types(cls)
    overrides: dict[str, Any] = {}
    for field in attrs.fields(cls):
        read = words.get(field.name)
        if not field.repr:
            # What is left out of repr() is a secret, and so is what was written in its place by mistake.
            read = _discreet(read or _field_reader(field.type, converter))
        overrides[field.name] = override(rename=kebab(field.name), struct_hook=None if read is None else _hook(read))
    fill: Callable[[Any, Any], Any] = make_dict_structure_fn(
        cls, converter, _cattrs_forbid_extra_keys=True, _cattrs_detailed_validation=detailed, **overrides
    )
    keys, holds_secrets = keys_of(cls), any(not field.repr for field in attrs.fields(cls))

    def structure(raw: Any, _: Any) -> Any:
        if holds_secrets and isinstance(raw, str | int | float):
            # Whoever leaves the keys out has written the secret itself.
            raise invalid(
                "expected a mapping, and what is here may be a secret, so it is not shown", f"known here: {', '.join(sorted(keys))}"
            )
        return fill(present(raw, keys), cls)

    return structure


def _field_reader(kind: Any, converter: Converter) -> Read:
    hook = converter.get_structure_hook(kind)
    return lambda raw: hook(raw, kind)


def _discreet(read: Read) -> Read:
    def reader(raw: Any) -> Any:
        try:
            return read(raw)
        except Discreet:
            raise
        except Invalid:
            raise invalid("not what is wanted here, and a secret, so it is not shown", "text is written in quotes") from None

    return reader


def _literal(kind: Any) -> Read:
    choices = get_args(kind)

    def read(raw: Any) -> Any:
        # The number 200 may be written 200; True == 1 must not pass for it.
        value = int(raw) if type(raw) is Plain and _WHOLE.fullmatch(raw) and any(isinstance(choice, int) for choice in choices) else raw
        for choice in choices:
            if choice == value and isinstance(value, type(choice)) and not isinstance(value, bool):
                return choice
        raise invalid(
            f"{show(raw)} is not {one_of(str(choice) for choice in choices)}",
            suggest(raw, [choice for choice in choices if isinstance(choice, str)]),
        )

    return read


def _text_or_truth(raw: Any) -> str | bool | None:
    if raw is None or isinstance(raw, bool):
        return raw
    if type(raw) is Plain and raw.lower() in _TRUE | _FALSE:
        return truth(raw)
    return text(raw)


def _is_sequence(kind: Any) -> bool:
    arguments = get_args(kind)
    return (get_origin(kind) is tuple and len(arguments) == 2 and arguments[1] is Ellipsis) or get_origin(kind) in (list, Sequence)


def _is_mapping(kind: Any) -> bool:
    return get_origin(kind) in (dict, Mapping) and get_args(kind)[0] is str


def _is_literal(kind: Any) -> bool:
    return get_origin(kind) is Literal


def _is_text_or_truth(kind: Any) -> bool:
    return get_origin(kind) in (Union, UnionType) and set(get_args(kind)) - {NoneType} == {str, bool}
