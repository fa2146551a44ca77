"""Expectations: what is read, what is refused, and what counts as a difference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gatewaycore import Gateway, load
from gatewaycore.errors import ConfigError
from gatewaycore.expectations import Difference, find_expectations, read_expectations, run_case

CONFIG: dict[str, Any] = {
    "packages": [
        {"name": "cli", "type": "file", "domain": "get.acme.example", "incoming-path": "/{platform}/{version}", "outgoing-url": "https://cdn.acme.example/{version}/{platform}"},
        {"name": "usage", "type": "event", "domain": "in.acme.example", "incoming-path": "/v1/{event}"},
        {"name": "docs", "type": "pixel", "domain": "px.acme.example", "incoming-path": "/a.png"},
        {"name": "acme/skates", "type": "container", "domain": "docker.acme.example", "backend": "ghcr.io/acme/skates"},
    ],
    "sinks": [],
}  # fmt: skip
REDIRECT = "GET https://get.acme.example/linux/1.10"


@pytest.fixture(scope="module")
def gateway() -> Gateway:
    return load(CONFIG)


def differences(gateway: Gateway, tmp_path: Path, expect: str, request: str = REDIRECT, more: str = "") -> list[Difference]:
    """Run one case, its `expect` written as in a file."""
    path = tmp_path / "x.gateway-test.yaml"
    path.write_text(f"tests:\n  - request: {request}\n{more}    expect: {expect}\n")
    (case,) = read_expectations(path).cases
    return list(run_case(gateway, case).differences)


def problems(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "x.gateway-test.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_expectations(path)
    return [str(problem).removeprefix(f"{path}") for problem in caught.value.problems]


# --- what holds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expect",
    [
        "{decision: redirect}",
        "{status: 302}",
        "{location: https://cdn.acme.example/1.10/linux}",
        "{rule: 'get.acme.example/{platform}/{version}'}",
        "{body: ''}",
        "{headers: {Location: https://cdn.acme.example/1.10/linux, content-length: 0, X-Nothing: null}}",
        "{events: [{}]}",
        "{events: [{package: cli, version: 1.10, status: 302, platform_recognised: true, bytes: 0, country: null, page: }]}",
        "{events: [{variables: {platform: linux, from: null}}]}",
        "{no-events: false, status: 302}",
    ],
)
def test_these_hold(gateway: Gateway, tmp_path: Path, expect: str) -> None:
    assert differences(gateway, tmp_path, expect) == []


@pytest.mark.parametrize(
    ("expect", "what", "expected", "seen"),
    [
        ("{decision: proxy}", "decision", "proxy", "redirect"),
        ("{status: 301}", "status", "301", "302"),
        ("{location: https://cdn.acme.example/}", "location", "https://cdn.acme.example/", "https://cdn.acme.example/1.10/linux"),
        ("{upstream: https://cdn.acme.example/}", "upstream", "https://cdn.acme.example/", "none"),
        ("{rule: get.acme.example/x}", "rule", "get.acme.example/x", "get.acme.example/{platform}/{version}"),
        ("{body: hello}", "body", "hello", '""'),
        ("{headers: {Content-Type: text/plain}}", "headers.Content-Type", "text/plain", "none"),
        ("{headers: {Location: null}}", "headers.Location", "none", "https://cdn.acme.example/1.10/linux"),
        ("{no-events: true}", "events", "none", "1 event"),
        ("{events: []}", "events", "0 events", "1 event"),
        ("{events: [{}, {}]}", "events", "2 events", "1 event"),
        ("{events: [{version: 1.1}]}", "events[0].version", "1.1", "1.10"),
        ("{events: [{status: 200}]}", "events[0].status", "200", "302"),
        ("{events: [{status: '302'}]}", "events[0].status", "302", "302"),
        ("{events: [{platform_recognised: no}]}", "events[0].platform_recognised", "no", "True"),
        ("{events: [{version: null}]}", "events[0].version", "none", "1.10"),
        ("{events: [{country: GB}]}", "events[0].country", "GB", "none"),
        ("{events: [{variables: {platform: macos}}]}", "events[0].variables.platform", "macos", "linux"),
        ("{events: [{variables: {platform: null}}]}", "events[0].variables.platform", "none", "linux"),
        ("{events: [{variables: null}]}", "events[0].variables", "none", "{'platform': 'linux', 'version': '1.10'}"),
    ],
)
def test_these_do_not(gateway: Gateway, tmp_path: Path, expect: str, what: str, expected: str, seen: str) -> None:
    assert differences(gateway, tmp_path, expect) == [Difference(what, expected, seen)]


def test_all_differences_are_told(gateway: Gateway, tmp_path: Path) -> None:
    found = differences(gateway, tmp_path, "{decision: proxy, status: 1, events: [{version: x, package: y}]}")
    assert [difference.what for difference in found] == ["decision", "status", "events[0].version", "events[0].package"]


# --- requests ------------------------------------------------------------------------------------------------------------


def test_headers_body_and_caller_reach_the_gateway(gateway: Gateway, tmp_path: Path) -> None:
    more = "    headers: {Referer: https://docs.acme.example/, User-Agent: curl/8}\n"
    expect = "{events: [{page: https://docs.acme.example/, client: curl}]}"
    assert differences(gateway, tmp_path, expect, "https://px.acme.example/a.png", more) == []
    more = '    body: \'[{"a": 1}, {"a": 2}]\'\n'
    expect = "{status: 200, events: [{variables: {a: '1'}}, {variables: {a: 2}}]}"
    assert differences(gateway, tmp_path, expect, "POST https://in.acme.example/v1/stop", more) == []
    (found,) = differences(gateway, tmp_path, "{events: [{origin_id: x}]}", more="    client-ip: 203.0.113.7\n")
    assert len(found.seen) == 32


def test_repeated_headers_are_a_list(gateway: Gateway, tmp_path: Path) -> None:
    more = "    headers: [{DNT: 0}, {DNT: 1}]\n"
    assert differences(gateway, tmp_path, "{no-events: true}", more=more) == []


def test_an_upstream_answers_as_told(gateway: Gateway, tmp_path: Path) -> None:
    request = "GET https://docker.acme.example/v2/acme/skates/manifests/1.0"
    more = "    headers: {User-Agent: strange/1}\n    upstream: {status: 404, headers: {X-Up: a}}\n"
    expect = "{decision: proxy, status: 404, upstream: https://ghcr.io/v2/acme/skates/manifests/1.0, headers: {x-up: a}}"
    assert differences(gateway, tmp_path, expect, request, more) == []


# --- files ---------------------------------------------------------------------------------------------------------------


def test_a_file_knows_its_configuration_and_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.gateway-test.yaml"
    one = "  - request: https://a.example/\n    expect: {status: 200}\n\n"
    two = "  - name: b\n    request: HEAD https://a.example\n    expect: {status: 200}\n"
    path.write_text(f"config: ../gw.yaml\nscarf-hosts: true\ntests:\n{one}{two}")
    suite = read_expectations(path)
    assert (suite.config, suite.scarf_hosts, suite.lines) == (tmp_path / "../gw.yaml", True, (4, 7))
    assert [case.title for case in suite.cases] == ["GET https://a.example/", "b"]
    path.write_text("tests: []")
    assert read_expectations(path).config == tmp_path / "gateway.yaml"


ONE = "tests:\n  - {request: https://a.example, expect: "
ABSOLUTE = "(write it as GET https://host/path)"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", ": expected a mapping, found nothing (known here: config, scarf-hosts, tests)"),
        ("config: x", ": tests: is missing"),
        ("tsts: []\ntests: []", ":1: tsts: unknown key (did you mean 'tests'?)"),
        ("tests:\n  - {expect: {status: 1}}", ":2: tests[0].request: is missing"),
        ("tests:\n  - {request: https://a.example}", ":2: tests[0].expect: is missing"),
        (f"{ONE}{{}}}}", ":2: tests[0].expect: nothing is expected (name at least one of body, decision, events, headers, "),
        (f"{ONE}{{events: [{{verson: 1}}]}}}}", ":2: tests[0].expect.events[0].verson: unknown key (did you mean 'version'?)"),
        (f"{ONE}{{events: [1]}}}}", ":2: tests[0].expect.events[0]: expected a mapping, found '1' (columns of the event: "),
        (f"{ONE}{{decision: redirekt}}}}", ":2: tests[0].expect.decision: 'redirekt' is not one of redirect, proxy, respond (did you mean"),
        (f"{ONE}{{no-events: yes, events: [{{}}]}}}}", ":2: tests[0].expect: events and no-events contradict each other (keep one"),
        ("tests:\n  - {request: /a, expect: {status: 1}}", f":2: tests[0].request: '/a' is no absolute URL {ABSOLUTE}"),
        ("tests:\n  - {request: get https://a.example, expect: {status: 1}}", f":2: tests[0].request: 'get' is no method {ABSOLUTE}"),
        ("tests:\n  - {request: 'GET https:///a', expect: {status: 1}}", f":2: tests[0].request: not a host name: '' {ABSOLUTE}"),
        ("tests: [", ":2:1: not YAML: "),
        ("tests:\n  - a: 1\n    a: 2", ":3: tests[0].a: this key stands there "),
    ],
)
def test_problems_have_their_line_and_a_hint(tmp_path: Path, text: str, problem: str) -> None:
    assert any(found.startswith(problem) for found in problems(tmp_path, text)), problems(tmp_path, text)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.gateway-test.yaml", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read"):
            read_expectations(path)
    (tmp_path / "x.gateway-test.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_expectations(tmp_path / "x.gateway-test.yaml")


def test_files_are_found_by_folder_and_by_configuration(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    config, one, two = tmp_path / "gateway.yaml", tmp_path / "a.gateway-test.yaml", tmp_path / "deep" / "b.gateway-test.yaml"
    config.write_text("")
    with pytest.raises(ConfigError, match="there is no"):
        find_expectations(config)
    with pytest.raises(ConfigError, match="there is no"):
        find_expectations(tmp_path)
    one.write_text("")
    two.write_text("")
    assert find_expectations(tmp_path) == [one, two]
    assert find_expectations(config) == [one]
    assert find_expectations(one) == [one]
    assert find_expectations(tmp_path / "nowhere") == [tmp_path / "nowhere"]


BROKER = """
packages:
  - {name: skates, type: container, domain: docker.acme.example, backend: ghcr.io/acme/rocket-skates}
"""
TOKENS = """
tests:
  - name: a token is fetched under the backend's name
    request: GET https://docker.acme.example/v2/token?scope=repository:skates:pull
    upstream:
      status: 401
      headers: {WWW-Authenticate: 'Bearer realm="https://evil.example/token"'}
    expect: {status: 502, upstream: https://ghcr.io/v2/}
  - name: a registry that asks nobody
    request: GET https://docker.acme.example/v2/token?scope=repository:skates:pull
    upstream: {status: 200}
    expect: {status: 200, upstream: https://ghcr.io/v2/}
  - name: is not remembered
    request: GET https://docker.acme.example/v2/token?scope=repository:skates:pull
    upstream: {status: 503}
    expect: {status: 503, upstream: https://ghcr.io/v2/}
  - name: a body is read
    request: GET https://docker.acme.example/v2/skates/tags/list
    headers: {Authorization: Bearer t}
    upstream: {headers: {Content-Type: application/json}, body: '{"name": "acme/rocket-skates", "tags": ["1"]}'}
    expect: {status: 200, body: '{"name": "skates", "tags": ["1"]}'}
"""


def test_each_case_begins_anew_and_an_upstream_may_have_a_body(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(BROKER)
    (tmp_path / "x.gateway-test.yaml").write_text(TOKENS)
    suite = read_expectations(tmp_path / "x.gateway-test.yaml")
    gateway = load(tmp_path / "gateway.yaml")
    for case in suite.cases:
        result = run_case(gateway, case)
        assert not result.differences, (case.title, result.differences)
