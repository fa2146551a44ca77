"""A text that was read again means what it means when it is read as a whole, whatever was changed in it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewaycore.config.places import SourceError
from gatewaycore.config.rereading import JSON, YAML, Language, Sheet

HEAD = "gateway: {username: acme}\n"
ITEMS = [
    "- name: a\n  type: file\n",
    "- name: b\n  text: |\n    - not an item\n    # nor a comment\n",
    "- {name: c, type: pixel}\n",
    '-   name: d\n    text: "over\n      lines"\n',
    "# a comment\n- name: é\n",
    "- plain\n",
    "- - nested\n  - lists\n",
    "- name: e\n  list:\n  - x\n  - y\n",
    "-\n  name: f\n",
    "- name: g\n\n",
]
MARKS = ["x", "- ", "  ", "\n", ":", "'", '"', "#", "---\n", "...\n", "&a ", "*a", "|", "[", "}", "\t", "\r\n", "\u2028---", "é"]
PIECES = [*ITEMS, *MARKS, "packages:\n", "collections:\n", "  more: 1\n"]


@st.composite
def documents(draw: st.DrawFn) -> str:
    indent = draw(st.sampled_from(["", "  "]))
    lists = []
    for name in draw(st.sampled_from([["packages"], ["packages", "collections"], ["collections", "sinks"]])):
        items = draw(st.lists(st.sampled_from(ITEMS), min_size=1, max_size=5))
        text = "".join("".join(f"{indent}{line}" if line.strip() else line for line in item.splitlines(keepends=True)) for item in items)
        lists.append(f"{name}:\n{text}")
    return draw(st.sampled_from(["", HEAD])) + "".join(lists) + draw(st.sampled_from(["", "badges: {}\n", "# end\n"]))


@st.composite
def changes(draw: st.DrawFn, text: str) -> str:
    for _ in range(draw(st.integers(1, 3))):
        begin = draw(st.integers(0, len(text)))
        end = min(len(text), begin + draw(st.integers(0, 12)))
        text = text[:begin] + draw(st.one_of(st.just(""), st.sampled_from(PIECES))) + text[end:]
    return text


class Item:
    """What stands for an item that is known."""

    def __init__(self, value: Any) -> None:
        self.value = value


def plain(data: Any) -> Any:
    if isinstance(data, Item):
        return data.value
    if isinstance(data, dict):
        return {key: plain(value) for key, value in data.items()}
    return [plain(value) for value in data] if isinstance(data, list) else data


def read(language: Language, text: str) -> Sheet | str:
    try:
        return Sheet.read(language, text)
    except SourceError as error:
        return str(error)


def same(language: Language, text: str, changed: str) -> None:
    sheet = read(language, text)
    if isinstance(sheet, str) or not isinstance(sheet.data, dict):
        return
    for name in ("packages", "collections"):
        if isinstance(sheet.data.get(name), list):
            sheet.know(name, [Item(value) for value in sheet.data[name]])
    whole = read(language, changed)
    if isinstance(whole, str):
        with pytest.raises(SourceError) as raised:
            sheet.read_again(changed)
        assert str(raised.value) == whole
        return
    again = sheet.read_again(changed)
    assert plain(again.data) == whole.data
    if isinstance(whole.data, dict):
        assert list(again.data) == list(whole.data)
    # Where its items lie is known as well as by who reads all of it, so that it can be read again.
    if again.extents is not None and whole.extents is not None:
        known = {name: list(one.starts) for name, one in whole.extents.items()}
        assert {name: list(one.starts) for name, one in again.extents.items()} == known
        assert {name: one.end for name, one in again.extents.items()} == {name: one.end for name, one in whole.extents.items()}


@settings(deadline=None)
@given(st.data())
def test_yaml_read_again_is_yaml_read_as_a_whole(data: st.DataObject) -> None:
    text = data.draw(documents())
    same(YAML, text, data.draw(changes(text)))


VALUES = st.recursive(st.one_of(st.integers(), st.text(max_size=5), st.booleans(), st.none()), lambda inner: st.lists(inner, max_size=3))


@settings(deadline=None)
@given(st.data())
def test_json_read_again_is_json_read_as_a_whole(data: st.DataObject) -> None:
    items = st.lists(st.one_of(VALUES, st.dictionaries(st.text(max_size=5), VALUES, max_size=3)), max_size=5)
    sections = {"packages": items, "collections": items, "gateway": st.dictionaries(st.text(max_size=3), VALUES, max_size=2)}
    document = data.draw(st.fixed_dictionaries({}, optional=sections))
    text = json.dumps(document, indent=data.draw(st.sampled_from([None, 1, 2])), ensure_ascii=data.draw(st.booleans()))
    same(JSON, text, data.draw(changes(text)))
