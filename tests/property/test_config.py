"""Whatever is read becomes a Config or a ConfigError, and what was written stays what it was."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import many

from gatewaycore.config import Config, read_config
from gatewaycore.config.json_source import json_lines, parse_json
from gatewaycore.config.places import SourceError
from gatewaycore.config.yaml_source import parse_yaml, yaml_lines
from gatewaycore.errors import ConfigError, Problem

WORDS = re.findall(
    r"\S+",
    """gateway domains packages collections sinks enrich rules type name domain id incoming-path incoming-regex outgoing-url routes
    redirect-status priority variables allowed-hosts limits body-bytes events access-tokens response-status backend strategy pattern files
    file-name url url-env path path-env client jsonl file event pixel python container catch-all install file-v1 file-v2 docker-v1
    docker-v2 python-v1 telemetry-v1 catch-all-v1 package-id package-name registry repository-name rule-id hash-value backend-url
    always-proxy hash md5 base-domain username default-domain trusted-proxies salt-rotation month redirect-target-domain acme.example
    *.acme.example /x /{a}/{b} /{a}{b} https://cdn.acme.example/{a} 302 true null version (?<version>x) 10.0.0.0/8""",
)

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(WORDS),
    st.sampled_from([302, 307, 0]),
    st.binary(max_size=3),
)
keys = st.one_of(st.sampled_from(WORDS), st.text(max_size=4), st.integers(), st.none())
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=5), st.dictionaries(st.sampled_from(WORDS), inner, max_size=8)
    ),
    max_leaves=30,
)


def entries(tags: list[str]) -> st.SearchStrategy[Any]:
    entry = st.dictionaries(st.sampled_from(WORDS), values, max_size=6)
    return st.lists(
        st.builds(lambda tag, rest: {"type": tag, "domain": "a.example", "name": "x", **rest}, st.sampled_from(tags), entry), max_size=3
    )


documents = st.one_of(
    st.dictionaries(keys, values, max_size=5),
    st.fixed_dictionaries(
        {},
        optional={
            "gateway": values,
            "domains": values,
            "packages": entries(["file", "event", "pixel", "catch-all", "container", "python", "install"]),
            "sinks": entries(["jsonl"]),
            "enrich": values,
        },
    ),
    st.fixed_dictionaries({"rules": entries(["file-v1", "file-v2", "docker-v1", "docker-v2", "python-v1", "telemetry-v1", "pixel", "x"])}),
)


def total(source: Any) -> None:
    problems: list[Problem] | None = None
    try:
        config = read_config(source, environ={})
    except ConfigError as error:
        problems = error.problems
    if problems is None:
        assert isinstance(config, Config)
    else:
        assert problems
        assert all(problem.where and problem.what for problem in problems)


def total_as_file(text: str | bytes, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"gateway{suffix}")
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
        total(path)


@settings(max_examples=many(400), deadline=None)
@given(documents)
def test_any_data(data: Any) -> None:
    total(data)


@settings(max_examples=many(200), deadline=None)
@given(documents, st.sampled_from([".yaml", ".json", ""]), st.integers(0, 3))
def test_any_data_in_a_file(data: Any, suffix: str, indent: int) -> None:
    text = json.dumps(data, default=str, indent=indent or None, skipkeys=True)
    total_as_file(text, suffix)


yaml_text = st.lists(
    st.one_of(
        st.sampled_from([*WORDS, *"\n\n\n:,[]{}&*!|>%@`'\"#-?\t ~", ": ", "- ", "\n  ", "\n- ", "---\n", "&a ", "*a", "<<: ", "!!str "]),
        st.text(max_size=3),
    ),
    max_size=40,
).map("".join)


@settings(max_examples=many(600), deadline=None)
@given(yaml_text, st.sampled_from([".yaml", ".json", ""]))
def test_any_text(text: str, suffix: str) -> None:
    total_as_file(text, suffix)


@settings(max_examples=many(100), deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes(data: bytes) -> None:
    total_as_file(data, ".yaml")


plain = st.recursive(
    st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "Zs"]), max_size=6),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text("abc", min_size=1, max_size=3), inner, max_size=3)),
    max_leaves=10,
)


@settings(deadline=None)
@given(plain)
def test_quoted_text_survives_yaml_and_json(data: Any) -> None:
    assert parse_yaml(yaml.dump(data, allow_unicode=True, default_style='"')) == data
    assert parse_json(json.dumps(data)) == data


@settings(deadline=None)
@given(yaml_text)
def test_yaml_text_is_what_a_parser_without_types_says(text: str) -> None:
    try:
        ours = parse_yaml(text)
    except SourceError:
        return

    def untyped(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: untyped(item) for key, item in value.items()}
        if isinstance(value, list):
            return [untyped(item) for item in value]
        return "" if value is None or value in ("~", "null", "Null", "NULL") else value

    assert untyped(ours) == untyped(yaml.load(text, Loader=yaml.CBaseLoader))


@settings(deadline=None)
@given(st.dictionaries(st.text("ab", min_size=1, max_size=3), plain, min_size=1, max_size=4))
def test_lines_are_those_of_the_keys(data: dict[str, Any]) -> None:
    wanted: set[tuple[str | int, ...]] = {(key,) for key in data}
    for text, lines in ((json.dumps(data, indent=1), json_lines), (yaml.dump(data, default_style='"', sort_keys=False), yaml_lines)):
        written = text.splitlines()
        found = lines(text, wanted)
        assert set(found) == wanted
        for (key,), (line,) in found.items():
            assert written[line - 1].strip().startswith(json.dumps(key))


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? ", "!!seq [", "&a ["])
def test_deep_text_is_refused_in_time(opening: str) -> None:
    with pytest.raises(SourceError):
        parse_yaml(opening * 20_000)
