"""Variables: what a query and a body say."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Mapping

import pytest

from gatewaycore.event import MAX_TEXT, Kind
from gatewaycore.privacy import REACH
from gatewaycore.rules.variables import (
    MAX_DEPTH,
    MAX_NAME,
    MAX_PARAMETERS,
    BodyError,
    Meaning,
    Subject,
    TooManyEventsError,
    body_entries,
    query_variables,
)


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ("", {}),
        ("a=b", {"a": "b"}),
        ("a=b&a=c", {"a": "b"}),
        ("a", {"a": ""}),
        ("a=&b", {"a": "", "b": ""}),
        ("=x&&", {}),
        ("a=b+c%20d", {"a": "b c d"}),
        ("a%3Db=c", {"a=b": "c"}),
        ("a=%FF", {"a": "\ufffd"}),
        ("a=%", {"a": "%"}),
        ("a=b;c=d", {"a": "b;c=d"}),
        ("a=\ud800", {"a": "?"}),
        ("\udfffb=%C3%A9", {"?b": "é"}),
        (f"{'n' * MAX_NAME}={'v' * 3_000}&a=b", {"n" * MAX_NAME: "v" * (MAX_TEXT + REACH), "a": "b"}),
        (f"{'n' * (MAX_NAME + 1)}=1&a=b", {"a": "b"}),
    ],
)
def test_query_variables(query: str, variables: dict[str, str]) -> None:
    assert query_variables(query) == variables


def test_an_absurd_query_is_cut() -> None:
    query = "&".join(f"n{number}=1" for number in range(100_000))
    assert list(query_variables(query)) == [f"n{number}" for number in range(MAX_PARAMETERS)]
    exactly = "&".join(f"n{number}=1" for number in range(MAX_PARAMETERS))
    assert len(query_variables(exactly)) == MAX_PARAMETERS


@pytest.mark.parametrize(
    ("body", "entries"),
    [
        (b"", []),
        (b" \r\n", []),
        (b"{}", [{}]),
        (b'{"a": "b"}', [{"a": "b"}]),
        (b'{"a": {"b": {"c": "d"}}}', [{"a.b.c": "d"}]),
        (b'{"a": ["x", {"b": "y"}]}', [{"a.0": "x", "a.1.b": "y"}]),
        (b'{"a": null, "b": true, "c": false, "d": []}', [{"b": "true", "c": "false"}]),
        # Numbers keep the text they were sent as.
        (
            b'{"a": 1.10, "b": 9007199254740993, "c": -0, "d": 1e5, "e": NaN}',
            [{"a": "1.10", "b": "9007199254740993", "c": "-0", "d": "1e5", "e": "NaN"}],
        ),
        (b'{"a": 1}{"a": 2}', [{"a": "1"}, {"a": "2"}]),
        (b'{"a": 1}\n{"a": 2}\n', [{"a": "1"}, {"a": "2"}]),
        (b'[{"a": 1}, {"a": 2}]', [{"a": "1"}, {"a": "2"}]),
        (b'[{"a": 1}] {"a": 2}', [{"a": "1"}, {"a": "2"}]),
        (b'{"a": "1\n2"}', [{"a": "1\n2"}]),
        ('{"é": "ü"}'.encode(), [{"é": "ü"}]),
        # A lone surrogate cannot be written as UTF-8, in a value or in a name.
        (b'{"a": "\\ud800", "\\udfff": "b"}', [{"a": "?", "?": "b"}]),
        (b'{"a": "\\ud83d\\ude00"}', [{"a": "😀"}]),
    ],
)
def test_body_entries(body: bytes, entries: list[dict[str, str]]) -> None:
    assert list(body_entries(body, 10)) == entries


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"\xff", "not UTF-8"),
        (b"x", "not JSON at character 0"),
        (b'{"a": 1', "not JSON at character"),
        (b'{"a": 1} x', "not JSON at character 9"),
        (b'"text"', "expected a JSON object, found str"),
        (b"[1]", "expected a JSON object, found str"),
        (b"[[{}]]", "expected a JSON object, found list"),
        (b"null", "expected a JSON object, found NoneType"),
        (b'{"a":' * 200_000, "nested too deeply"),
        (b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1), "nested too deeply"),
        (json.dumps({"x" * (MAX_NAME + 1): 1}).encode(), "a name of more than"),
        (json.dumps({"x" * 200: {"y" * 100: 1}}).encode(), "a name of more than"),
    ],
)
def test_a_body_that_holds_no_events(body: bytes, message: str) -> None:
    with pytest.raises(BodyError, match=message):
        body_entries(body, 10)


def test_nesting_is_allowed_up_to_a_depth() -> None:
    entries = body_entries(b'{"a":' * MAX_DEPTH + b"1" + b"}" * MAX_DEPTH, 10)
    assert entries == ({".".join("a" * MAX_DEPTH): "1"},)


def test_a_body_holds_only_so_many_events() -> None:
    assert len(body_entries(b"{}" * 3, 3)) == 3
    with pytest.raises(TooManyEventsError, match="more than 3 events"):
        body_entries(b"{}" * 4, 3)


def test_a_small_body_does_not_become_gigabytes() -> None:
    # One long name around thousands of short ones: each would carry the long one.
    body = json.dumps({"x" * 400_000: {str(number): 1 for number in range(60_000)}}).encode()
    tracemalloc.start()
    try:
        with pytest.raises(BodyError):
            body_entries(body, 10)
        assert tracemalloc.get_traced_memory()[1] < 60_000_000
    finally:
        tracemalloc.stop()


SUBJECT = Subject("pkg", "file", "download")


@pytest.mark.parametrize(
    ("variables", "query", "entry", "version", "page", "found"),
    [
        ({}, "", {}, None, "ref", {}),
        ({"version": "1"}, "", {}, "1", "ref", {"version": "1"}),
        ({"version": "1"}, "version=2&page=p", {}, "1", "p", {"version": "1", "page": "p"}),
        ({}, "version=2", {"version": "3", "a": "b"}, "3", "ref", {"version": "3", "a": "b"}),
        ({"version": "1"}, "", {"version": "3"}, "1", "ref", {"version": "1"}),
        # Names that begin with "$" are reserved, and those without a meaning dropped.
        ({"version": "1"}, "", {"$version": "9", "$referrer": "r", "$ip": "203.0.113.7"}, "9", "r", {"version": "1"}),
        ({}, "", {"$version": "9"}, "9", "ref", {}),
    ],
)
def test_the_path_wins_over_the_body_and_the_body_over_the_query(
    variables: Mapping[str, str], query: str, entry: Mapping[str, str], version: str | None, page: str, found: Mapping[str, str]
) -> None:
    seen = SUBJECT.observe("rule", variables, query, entry, "ref")
    assert (seen.version, seen.page, dict(seen.variables)) == (version, page, found)
    assert (seen.package, seen.package_type, seen.rule, seen.kind) == ("pkg", "file", "rule", "download")


LONG = "x" * 10_000


@pytest.mark.parametrize(
    ("variables", "query", "entry"),
    [
        ({"version": LONG}, "", {}),
        ({"version": LONG}, f"page={LONG}&{LONG}=1", {}),
        ({}, "", {"$version": LONG, "$referrer": LONG, LONG: LONG}),
        ({"version": "\ud800" + LONG}, "page=\ud800", {"\ud800": "\ud800"}),
    ],
)
def test_no_text_of_an_observation_is_long_or_unsound(variables: Mapping[str, str], query: str, entry: Mapping[str, str]) -> None:
    seen = SUBJECT.observe("rule", variables, query, entry, LONG)
    texts = [seen.version or "", seen.page or "", *seen.variables.values()]
    assert max(map(len, texts)) == MAX_TEXT + REACH
    assert all(len(name) <= MAX_NAME for name in seen.variables)
    assert all(text.encode() for text in [*texts, *seen.variables] if text)


def test_of_too_many_variables_the_paths_stay_then_the_bodys() -> None:
    query = "&".join(f"q{number}=1" for number in range(MAX_PARAMETERS))
    entry = {f"b{number}": "1" for number in range(60)}
    seen = SUBJECT.observe("rule", {"version": "1", "b0": "path"}, query, entry)
    assert len(seen.variables) == MAX_PARAMETERS
    assert list(seen.variables)[:3] == ["version", "b0", "b1"]
    assert (seen.variables["b0"], seen.variables["b59"], seen.variables["q38"]) == ("path", "1", "1")
    assert "q39" not in seen.variables


@pytest.mark.parametrize(
    ("said", "kind"), [({"$type": "view"}, "view"), ({"$type": "download"}, "download"), ({"$type": "x"}, "event"), ({"a": "b"}, "event")]
)
def test_an_event_in_a_body_may_say_what_it_is(said: Mapping[str, str], kind: Kind) -> None:
    assert Subject("p", "event", "event").observe("rule", {}, "", said).kind == kind


def test_a_package_may_name_other_variables() -> None:
    subject = Subject("p", "file", "download", Meaning(version="release", platform="os", arch="cpu", page="from"))
    seen = subject.observe("rule", {"release": "1", "os": "linux", "cpu": "arm64", "from": "here", "version": "x"}, "")
    assert (seen.version, seen.platform, seen.arch, seen.page) == ("1", "linux", "arm64", "here")
