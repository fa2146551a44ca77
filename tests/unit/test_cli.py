"""The command line, as a user meets it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pty
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import trustme
from click.testing import CliRunner, Result

from gatewaycore.cli.commands import commands
from gatewaycore.recorder import encode
from tests.networks import replace, write_database
from tests.pulling import START_MS, Clock
from tests.served import Served, environment

CONFIG = """\
packages:
  - name: cli
    type: file
    domain: get.acme.example
    routes:
      - {incoming-path: "/{platform}/{version}/cli.tgz", outgoing-url: "https://cdn.acme.example/{version}/cli-{platform}.tgz"}
      - {incoming-path: /install.sh, outgoing-url: https://cdn.acme.example/install.sh}
  - {name: usage, type: event, domain: in.acme.example, incoming-path: "/v1/{event}"}
sinks: []
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.yaml"
    path.write_text(CONFIG)
    return path


def run(*arguments: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(commands, [str(argument) for argument in arguments], input=stdin)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


# --- the whole -----------------------------------------------------------------------------------------------------------


def test_version_and_help() -> None:
    assert run("--version").output.startswith("gatewaycore, version ")
    shown = run("--help").output
    for command in ("serve", "check", "explain", "test", "ship", "journal", "packages", "token"):
        assert command in shown
        assert run(command, "--help").exit_code == 0


def test_it_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "gatewaycore", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_the_extra_one_line_says_so(tmp_path: Path) -> None:
    (tmp_path / "click").mkdir()
    (tmp_path / "click" / "__init__.py").write_text("raise ImportError('not installed')\n")
    done = subprocess.run(
        [sys.executable, "-m", "gatewaycore", "--version"],
        capture_output=True, text=True, timeout=60, check=False,
        env={**environment(), "PYTHONPATH": f"{tmp_path}{os.pathsep}{environment()['PYTHONPATH']}"},
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "the command line needs gatewaycore[server]: pip install 'gatewaycore[server]'\n"


GARBAGE = {
    "missing": None,
    "empty": b"",
    "binary": bytes(range(256)),
    "torn": b"packages: [",
    "list": b"- a\n- b\n",
    "text": b"hello",
    "deep": b"[" * 5000,
    "wrong": b"packages:\n  - {name: 1, type: fil}\ngatway: {}\n",
    "folder": ...,
}


@pytest.mark.parametrize("name", GARBAGE)
@pytest.mark.parametrize(
    "command",
    ["check", "check --json", "serve --port 0", "explain", "explain --json", "test", "ship", "ship --once", "packages", "journal-stat"],
)
def test_garbage_is_refused_in_words(tmp_path: Path, command: str, name: str) -> None:
    verb, *options = command.split()
    path = tmp_path / ("x.gateway-test.yaml" if verb == "test" else "gateway.yaml")
    content = GARBAGE[name]
    if content is ...:
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    result = run(*verb.split("-"), path, *(["https://get.acme.example/"] if verb == "explain" else []), *options)
    assert result.exit_code == 2
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert str(path) in result.output
    assert "Traceback" not in result.output


def test_an_interrupt_ends_with_130(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gatewaycore.cli.check.look_at", interrupted)
    assert run("check", config).exit_code == 130


# --- check ---------------------------------------------------------------------------------------------------------------


def test_check_sums_up(config: Path) -> None:
    result = run("check", config)
    assert result.exit_code == 0
    assert result.output == f"{config}: 2 packages, 3 routes, 2 domains; nothing wrong, nothing odd\n"


def test_check_tells_every_problem_with_its_line(tmp_path: Path) -> None:
    wrong = "  - {name: a, type: fil, domain: a.example}\n  - {name: b, type: file, domain: b.example, incoming-path: '/{x'}\n"
    path = write(tmp_path / "gateway.yaml", f"packages:\n{wrong}")
    result = run("check", path)
    assert result.exit_code == 2
    assert f"{path}:2: packages[0].type: error: unknown type 'fil'" in result.output
    assert "did you mean 'file'?" in result.output
    assert f"{path}:3: packages[1].incoming-path: error: '{{' is never closed" in result.output
    # The caret stands below the brace that is meant.
    source, caret = re.findall(r"^ {4}(/\{x|\s*\^.*)$", result.output, re.MULTILINE)
    assert source.index("{") == caret.index("^")
    assert "cannot be used: 2 problems" in result.output


ODD = """\
gateway: {trusted-proxies: [0.0.0.0/0, "::/0", 10.0.0.0/8]}
packages:
  - {name: one, type: file, domain: a.example, incoming-path: "/{x}", outgoing-url: "http://cdn.example/{x}-{y}"}
  - {name: two, type: file, domain: a.example, incoming-path: "/{z}", variables: {version: release}}
  - {name: three, type: file, domain: a.example, incoming-path: "/b/{+x}"}
  - {name: four, type: file, domain: a.example, incoming-path: "/b/{x}/{y}"}
"""


@pytest.mark.parametrize("command", ["check", "check --json", "explain", "serve --port 0", "ship --once"])
def test_an_enrichment_that_cannot_be_opened_has_its_line(tmp_path: Path, command: str) -> None:
    path = write(tmp_path / "gateway.yaml", "sinks: [jsonl]\nenrich:\n  - client\n  - type: geo\n    database: missing.mmdb\n")
    verb, *options = command.split()
    result = run(verb, path, *(["https://get.acme.example/"] if verb == "explain" else []), *options)
    assert result.exit_code == 2
    assert f"{path}:5: enrich[1].database" in result.output
    assert "missing.mmdb cannot be read: No such file or directory" in result.output
    assert [found.name for found in tmp_path.iterdir()] == ["gateway.yaml"]


def test_check_warns_of_badges_of_what_is_made_in_a_console(tmp_path: Path) -> None:
    text = ODD + "badges: {domains: [badges.example], packages: [made]}\n"
    path = write(tmp_path / "gateway.yaml", text)
    assert run("check", path).exit_code == 2
    result = run("check", write(path, text + "console: {domain: console.example}\n"))
    assert result.exit_code == 0
    assert "badges.packages[0]: warning: unknown-package: there is no package 'made' in this file" in result.output


def test_check_warns_of_what_is_odd(tmp_path: Path) -> None:
    path = write(tmp_path / "gateway.yaml", ODD)
    result = run("check", path)
    assert result.exit_code == 0
    for kind in ("ambiguous", "shadowed", "unreachable-variable", "unnamed-variable", "insecure-target", "trusts-everybody"):
        assert f"warning: {kind}: " in result.output
    assert result.output.count("trusts-everybody") == 2
    assert "4 packages, 4 routes, 1 domain; 7 warnings" in result.output
    strict = run("check", "--strict", path)
    assert strict.exit_code == 2
    assert "error: ambiguous: " in strict.output
    assert "warning: insecure-target: " in strict.output


def test_check_warns_of_a_header_that_nobody_is_trusted_to_send(tmp_path: Path) -> None:
    settings = "gateway: {request-id-header: X-Request-Id, trusted-proxies: ["
    result = run("check", write(tmp_path / "gateway.yaml", f"{settings}]}}\n"))
    assert result.exit_code == 0
    assert "gateway.request-id-header: warning: trusts-nobody: " in result.output
    assert "trusts-nobody" not in run("check", write(tmp_path / "gateway.yaml", f"{settings}10.0.0.0/8]}}\n")).output


def test_check_strict_is_about_clashes_only(tmp_path: Path) -> None:
    path = write(
        tmp_path / "gateway.yaml",
        "packages:\n  - {name: a, type: file, domain: a.example, incoming-path: /a, outgoing-url: http://b.example/a}\n",
    )
    assert run("check", "--strict", path).exit_code == 0


def test_check_json(tmp_path: Path, config: Path) -> None:
    clean = json.loads(run("check", "--json", config).stdout)
    summary = {"packages": 2, "collections": 0, "routes": 3, "domains": 2}
    assert clean == {"file": str(config), "ok": True, "problems": [], "warnings": [], "summary": summary}
    odd = json.loads(run("check", "--json", write(tmp_path / "odd.yaml", ODD)).stdout)
    assert odd["ok"] is True
    assert {"kind", "where", "what", "hint"} == set(odd["warnings"][0])
    refused = run("check", "--json", write(tmp_path / "bad.yaml", "packages: 3"))
    assert refused.exit_code == 2
    assert json.loads(refused.stdout)["problems"][0]["where"].startswith(str(tmp_path))


# --- explain -------------------------------------------------------------------------------------------------------------

URL = "https://get.acme.example/linux/1.2.3/cli.tgz?from=docs"


def test_explain_shows_rules_answer_event_and_privacy(config: Path) -> None:
    result = run("explain", config, URL, "-H", "User-Agent: curl/8.5.0", "-H", "Cookie: a=b", "--client-ip", "203.0.113.77")
    assert result.exit_code == 0
    assert "-> " in result.output
    assert "segment 1 is 'linux', not 'install.sh'" in result.output
    assert "redirect 302" in result.output
    assert "https://cdn.acme.example/1.2.3/cli-linux.tgz?from=docs" in result.output
    assert '"client_version": "8.5.0"' in result.output
    assert "the field cookie" in result.output
    assert "203.0.113.77" not in result.output


def test_explain_json_holds_the_event_as_it_would_be_written(config: Path) -> None:
    told = json.loads(run("explain", config, URL, "--json", "--client-ip", "203.0.113.77", "-H", "User-Agent: curl/8.5.0").stdout)
    assert told["rule"] == "get.acme.example/{platform}/{version}/cli.tgz"
    assert (told["decision"], told["status"]) == ("redirect", 302)
    assert told["location"] == "https://cdn.acme.example/1.2.3/cli-linux.tgz?from=docs"
    assert told["variables"] == {"platform": "linux", "version": "1.2.3"}
    (event,) = told["events"]
    assert event["variables"] == {"from": "docs", "platform": "linux", "version": "1.2.3"}
    assert None not in event.values()
    assert len(event["origin_id"]) == 32
    assert [one["won"] for one in told["tried"]].count(True) == 1


def test_explain_of_an_opted_out_request_writes_nothing(config: Path) -> None:
    result = run("explain", config, URL, "-H", "Sec-GPC: 1")
    assert "none is written" in result.output
    assert "opted out" in result.output


def test_explain_makes_up_nothing_that_an_index_would_say(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text("packages: [{name: skates, type: python, domain: py.acme.example, index: 'https://pkgs.acme.example/simple'}]")
    result = run("explain", path, "https://py.acme.example/simple/skates/")
    assert result.exit_code == 0
    assert "upstream  https://pkgs.acme.example/simple/skates/" in result.output
    assert "what it says is read, and decides what is answered" in result.output
    assert "neither HTML nor JSON" not in result.output
    assert '"kind": "metadata"' in result.output


def test_explain_of_own_traffic_writes_nothing(tmp_path: Path) -> None:
    path = write(
        tmp_path / "gateway.yaml",
        "gateway:\n  own-traffic: {networks: [203.0.113.0/24]}\npackages:\n- {name: docs, type: pixel, domain: px.acme.example}\n",
    )
    url = "https://px.acme.example/a.png"
    result = run("explain", path, url, "--client-ip", "203.0.113.77")
    assert "none is written" in result.output
    assert "own traffic" in result.output
    assert "own traffic" not in run("explain", path, url, "--client-ip", "198.51.100.1").output


# Nowhere in what is told stands the address.
ADDRESS, HIDDEN = "203.0.113.77", "203%252E0.113.77"
TELLING = (
    "authorization", "cookie", "forwarded", "x-forwarded-for", "x-real-ip", "x-client-ip", "cf-connecting-ip", "true-client-ip",
    "x-api-key", "x-auth-token", "referer",
)  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([URL], ["no address was given"]),
        ([URL, "--client-ip", ADDRESS], ["the client's address: only keyed hashes"]),
        (["https://get.acme.example/nothing", "-H", "Cookie: a=b"], ["no event is written"]),
        (
            [f"https://get.acme.example/linux/{ADDRESS}/cli.tgz?ip={HIDDEN}&{ADDRESS}=1&v={ADDRESS}5", "--client-ip", ADDRESS],
            ["only keyed hashes", "the column version", "the variable ip", "the name of the variable [address]", "the variable version"],
        ),
        ([URL, "--client-ip", ADDRESS, "-H", f"User-Agent: x ({ADDRESS})"], ["only keyed hashes", "address in the field user-agent"]),
        ([URL, "-H", "User-Agent: x (198.51.100.9)"], ["no address"]),
        (["https://get.acme.example/linux/1/cli.tgz?platform=x&a=b"], ["no address", "the parameter platform of the query"]),
        (["https://get.acme.example/linux/1/cli.tgz?platform=x"], ["no address", "the query"]),
        (
            ["https://get.acme.example/install.sh?" + "&".join(f"a{number}=1" for number in range(101))],
            ["no address", "after its first 100 parameters"],
        ),
        (
            [URL, *(part for name in (*TELLING, "accept", "user-agent", "x-key-words") for part in ("-H", f"{name.title()}: x"))],
            ["no address", *(f"the field {name}" for name in TELLING)],
        ),
        ([URL, "-H", "X-Odd: by [2001:db8::7], x", "-H", "X-Other: for=198.51.100.9;x", "-H", "X-Fine: 12:30"],
         ["no address", "the field x-odd", "the field x-other"]),
        (
            ["https://in.acme.example/v1/stop", "-d", '[{"$ip": "a", "$version": "1"}, {"$ip": "b", "$user_agent": "c"}]'],
            ["no address", "$ip of the body", "$user_agent of the body"],
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("as_json", [True, False])
def test_explain_tells_what_is_kept_out(config: Path, arguments: list[str], told: list[str], as_json: bool) -> None:
    result = run("explain", config, *arguments, *(["--json"] if as_json else []))
    if as_json:
        sentences = json.loads(result.stdout)["privacy"]
    else:
        sentences = [line.strip().removeprefix("- ") for line in result.stdout.partition("Kept out by privacy\n")[2].splitlines()]
    assert len(sentences) == len(told)
    assert all(words in sentence for words, sentence in zip(told, sentences, strict=True))
    assert ADDRESS not in " ".join(sentences)


def test_explain_knows_where_the_referer_is_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "gateway.yaml", "packages:\n  - {name: p, type: pixel, domain: a.example}\n")
    url = ["https://a.example/a.png", "--client-ip", ADDRESS, "-H"]
    told = json.loads(run("explain", path, *url, "Referer: https://x/?ip=203%2E0.113.77", "--json").stdout)
    assert told["events"][0]["page"] == "https://x/?ip=[address]"
    assert told["privacy"][1:] == ["the client's address in the column page"]
    assert json.loads(run("explain", path, *url, "Referer: https://x/", "--json").stdout)["privacy"][1:] == []


def test_explain_reads_the_body(config: Path) -> None:
    told = json.loads(run("explain", config, "https://in.acme.example/v1/stop", "-d", '[{"a": 1}, {"a": 2}]', "--json").stdout)
    assert [event["variables"]["a"] for event in told["events"]] == ["1", "2"]
    assert told["request"]["method"] == "POST"


def test_explain_of_an_unknown_host_and_an_unknown_path(config: Path) -> None:
    assert (
        "no rule is for the host gt.acme.example; did you mean get.acme.example"
        in run("explain", config, "https://gt.acme.example/").output
    )
    assert "no rule matches" in run("explain", config, "https://get.acme.example/x").output


def test_explain_shows_the_nearest_of_many_rules(tmp_path: Path) -> None:
    routes = "".join(f"      - {{incoming-path: /files/number-{number:03}.tgz}}\n" for number in range(200))
    path = write(tmp_path / "gateway.yaml", f"packages:\n  - name: many\n    type: file\n    domain: a.example\n    routes:\n{routes}")
    result = run("explain", path, "https://a.example/files/number-177.tgz")
    assert "-> " in result.output
    assert "number-176.tgz" in result.output
    assert "number-001.tgz" not in result.output
    assert "and 180 rules more that lost" in result.output


def test_explain_believes_trusted_proxies_only(tmp_path: Path) -> None:
    package = "packages:\n  - {name: a, type: file, domain: a.example, incoming-path: /a}\n"
    told = []
    for gateway in ("", "gateway: {trusted-proxies: [10.0.0.0/8]}\n"):
        path = write(tmp_path / "gateway.yaml", gateway + package)
        forwarded = ["-H", "X-Forwarded-For: 203.0.113.9", "-H", "X-Forwarded-Host: a.example", "--client-ip", "10.0.0.1", "--json"]
        told.append(json.loads(run("explain", path, "https://inner.example/a", *forwarded).stdout)["status"])
    assert told == [404, 200]


@pytest.mark.parametrize("arguments", [["https:///x"], ["::::"], ["https://a b/"], ["https://get.acme.example/", "-H", "no colon"]])
def test_explain_refuses_what_is_no_request(config: Path, arguments: Sequence[str]) -> None:
    result = run("explain", config, *arguments)
    assert result.exit_code == 2
    assert isinstance(result.exception, SystemExit)


@pytest.mark.parametrize("path", ["/\x1b[31m/[bold]/cli.tgz", "/%1b/x", "/é/\udcff", "\x9b/\u202e"])
def test_what_is_asked_for_cannot_paint_the_terminal(config: Path, path: str) -> None:
    result = run("explain", config, f"https://get.acme.example{path}")
    assert result.exit_code in (0, 2)
    assert "\x1b" not in result.output


def test_a_terminal_gets_colours_and_folded_lines(config: Path) -> None:
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "gatewaycore", "explain", str(config), URL],
        stdout=follower, stderr=follower, env={**environment(), "COLUMNS": "80", "TERM": "xterm-256color"},
    ) as process:  # fmt: skip
        os.close(follower)
        shown = b""
        while True:
            try:
                block = os.read(leader, 65536)
            except OSError:
                break
            if not block:
                break
            shown += block
        assert process.wait(30) == 0
    os.close(leader)
    assert b"\x1b[" in shown
    plain = re.sub(rb"\x1b\[[0-9;]*m", b"", shown).decode()
    assert "redirect 302" in plain


# --- test ----------------------------------------------------------------------------------------------------------------

GOOD = f"""\
tests:
  - name: linux
    request: GET {URL}
    expect: {{status: 302, events: [{{version: 1.2.3}}]}}
"""


def test_test_runs_what_lies_beside_a_configuration(config: Path) -> None:
    write(config.parent / "a.gateway-test.yaml", GOOD)
    for target in (config, config.parent, config.parent / "a.gateway-test.yaml"):
        result = run("test", target)
        assert (result.exit_code, result.output) == (0, "1 passed, 0 failed\n")
    assert "passed" in run("test", "-v", config).output.splitlines()[0]


def test_test_shows_expected_and_seen_and_the_rule(config: Path) -> None:
    path = write(config.parent / "a.gateway-test.yaml", GOOD.replace("302", "301").replace("version: 1.2.3", "version: 9.9"))
    result = run("test", path)
    assert result.exit_code == 1
    assert f"FAILED {path}:2: linux" in result.output
    assert re.search(r"status +expected +301\n +seen +302", result.output)
    assert re.search(r"events\[0\]\.version +expected +9\.9\n +seen +1\.2\.3", result.output)
    assert "was answered by get.acme.example/{platform}/{version}/cli.tgz" in result.output
    assert result.output.endswith("0 passed, 1 failed\n")


def test_test_goes_on_after_a_file_that_cannot_be_used(config: Path) -> None:
    write(config.parent / "a.gateway-test.yaml", GOOD)
    write(config.parent / "b.gateway-test.yaml", "tests: [{requst: x}]")
    write(config.parent / "c.gateway-test.yaml", f"config: nowhere.yaml\n{GOOD}")
    result = run("test", config.parent)
    assert result.exit_code == 2
    assert "did you mean 'request'?" in result.output
    assert "nowhere.yaml" in result.output
    assert result.stdout.endswith("1 passed, 0 failed, 2 unusable\n")


# --- ship and token ------------------------------------------------------------------------------------------------------


def test_ship_once_brings_the_journal_to_its_sinks(tmp_path: Path) -> None:
    path = write(tmp_path / "gateway.yaml", CONFIG.replace("sinks: []", f"sinks: [{{type: jsonl, path: {tmp_path / 'out.jsonl'}}}]"))
    journal = tmp_path / "data" / "journal"
    journal.mkdir(parents=True)
    (journal / "node-1-1.jsonl").write_bytes(b'{"id":"a"}\n{"id":"b"}\n{"id":"to')
    first, second = (run("ship", path, "--once", "--data-dir", tmp_path / "data") for _ in range(2))
    assert (first.exit_code, first.output) == (0, "2 events shipped\n")
    assert second.output == "0 events shipped\n"
    assert (tmp_path / "out.jsonl").read_bytes() == b'{"id":"a"}\n{"id":"b"}\n'


def test_ship_without_sinks_says_so(config: Path, tmp_path: Path) -> None:
    result = run("ship", config, "--data-dir", tmp_path / "data")
    assert result.exit_code == 2
    assert "names no sinks" in result.output


IMAGES = """\
sinks: []
packages:
  - {name: acme/x, type: container, domain: docker.acme.example, backend: ghcr.example/acme/x}
  - {name: docs, type: pixel, domain: px.acme.example, incoming-path: /a.png}
collections:
  - {domain: docker.acme.example, pattern: "acme/*", backend: ghcr.example}
"""


def write_pulls(data: Path) -> None:
    clock = Clock()
    for image, rule in (("acme/x", "acme/x"), ("acme/new", "acme/*"), ("acme/x", "acme/x"), ("acme/old", "acme/old")):
        clock.ask("HEAD 1.0", "D:1.0", package=image, rule=f"docker.acme.example/{rule}")
    (data / "journal").mkdir(parents=True)
    (data / "journal" / f"n-1-{START_MS}000000.jsonl").write_bytes(b"".join(map(encode, clock.events)))


def test_packages_lists_what_is_configured_and_what_collections_have_brought(tmp_path: Path) -> None:
    path = write(tmp_path / "gateway.yaml", IMAGES)
    place = ("--data-dir", tmp_path / "data")
    assert run("packages", path, *place).output == (
        "Packages\n"
        "  acme/x  container  docker.acme.example  0 pulls\n"
        "  docs    pixel      px.acme.example\n"
        "Brought by collections\n"
        "  none yet\n"
    )
    write_pulls(tmp_path / "data")
    assert run("ship", path, "--once", *place).output == "4 pulls counted, 0 events shipped\n"
    assert run("packages", path, *place).output == (
        "Packages\n"
        "  acme/x  container  docker.acme.example  2 pulls  last 2023-11-14 22:13 UTC\n"
        "  docs    pixel      px.acme.example\n"
        "Brought by collections\n"
        "  acme/new  container  docker.acme.example  1 pull  last 2023-11-14 22:13 UTC  by docker.acme.example/acme/*\n"
        "  acme/old  container  docker.acme.example  1 pull  last 2023-11-14 22:13 UTC\n"
    )


def test_packages_for_programs(tmp_path: Path) -> None:
    path = write(tmp_path / "gateway.yaml", IMAGES)
    write_pulls(tmp_path / "data")
    run("ship", path, "--once", "--data-dir", tmp_path / "data")
    told = json.loads(run("packages", path, "--json", "--data-dir", tmp_path / "data").output)
    image = {"type": "container", "domain": "docker.acme.example", "pulls": 1}
    assert [one["name"] for one in told["packages"]] == ["acme/x", "docs"]
    assert told["packages"][1] == {"name": "docs", "type": "pixel", "domain": "px.acme.example", "pulls": 0, "last-pulled-at": None}
    assert told["collections"] == [
        {"name": "acme/new", **image, "last-pulled-at": "2023-11-14T22:13:20.029000+00:00", "collection": "docker.acme.example/acme/*"},
        {"name": "acme/old", **image, "last-pulled-at": "2023-11-14T22:13:20.069000+00:00"},
    ]


def test_packages_of_an_empty_configuration(tmp_path: Path) -> None:
    path = write(tmp_path / "gateway.yaml", "packages: []\n")
    assert run("packages", path).output == "Packages\n  none\nBrought by collections\n  none yet\n"
    (tmp_path / "state.sqlite3").write_bytes(b"no database, and rather long for one" * 9)
    result = run("packages", path, "--data-dir", tmp_path)
    assert result.exit_code == 2
    assert "state.sqlite3 cannot be read: file is not a database" in result.output


def test_ship_runs_until_stopped(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    path = write(tmp_path / "gateway.yaml", CONFIG.replace("sinks: []", f"sinks: [{{type: jsonl, path: {out}}}]"))
    journal = tmp_path / "data" / "journal"
    journal.mkdir(parents=True)
    (journal / "node-1-1.jsonl").write_bytes(b'{"id":"a"}\n')
    command = [sys.executable, "-m", "gatewaycore", "ship", str(path), "--data-dir", str(tmp_path / "data")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment()) as process:
        _until(lambda: out.exists() and out.stat().st_size > 0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def _until(condition: object, timeout_s: float = 30.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def test_token_hash_and_new() -> None:
    assert run("token", "hash", stdin="hello\n").output == "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\n"
    token, hashed = (line.split()[1] for line in run("token", "new").output.splitlines())
    assert len(token) >= 43
    assert run("token", "hash", stdin=token).output.strip() == hashed
    for wrong in ("", "\n", "two words"):
        assert run("token", "hash", stdin=wrong).exit_code == 2


def test_tokens_of_people(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(f"gateway: {{data-dir: {tmp_path / 'data'}}}\nconsole: {{domain: console.acme.example}}\n")
    made = run("token", "create", str(file), "--user", "ada", "--operator", "--name", "laptop", "--expires", "1y")
    assert (made.exit_code, made.stdout[:4], made.stdout.count("\n")) == (0, "gwc_", 1)
    assert "a token of ada, scope admin, until 20" in made.stderr
    assert run("token", "create", str(file), "--user", "ada", "--operator", "--expires", "never", "--scope", "read").exit_code == 0
    listed = run("token", "list", str(file), "--user", "ada").output
    assert ("laptop" in listed, "read" in listed, made.stdout.strip() in listed) == (True, True, False)
    ids = re.findall(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f-]{21}", listed)
    for one in ids:
        assert run("token", "revoke", str(file), one).exit_code == 0
    assert (len(ids), run("token", "list", str(file), "--user", "ada").output) == (2, "ada has no token\n")
    assert run("token", "create", str(file), "--user", "bob").exit_code == 0
    for wrong, told in (
        (["create", str(file), "--user", "bob", "--operator"], "bob is there already, and is no operator"),
        (["create", str(file), "--user", "b b"], "'b b' is no name"),
        (["create", str(file), "--user", "bob", "--expires", "soon"], "'soon' is no time"),
        (["create", str(file), "--user", "bob", "--expires", "0d"], "'0d' is no time"),
        (["list", str(file), "--user", "eve"], "there is no user 'eve'"),
        (["revoke", str(file), ids[0]], "there is no such token"),
    ):
        refused = run("token", *wrong)
        assert (refused.exit_code, told in refused.stderr) == (2, True), refused.stderr
    # Later than any calendar goes.
    assert "for ever" in run("token", "create", str(file), "--user", "bob", "--expires", "99999y").stderr
    file.write_text("packages: []\n")
    assert "is missing: there is nothing to sign in to" in run("token", "list", str(file), "--user", "ada").stderr


# --- sinks that cannot be used ---------------------------------------------------------------------------------------------

WRONG_SINKS = {
    "{type: webhook, url: 'ftp://x'}": "url: error: is not a URL",
    "{type: clickhouse, url: x}": "url: error: is not a URL",
    "{type: postgres, url: 'postgresql://h?x=y'}": "url: error: is not a connection string",
    "{type: nats, url: 'nats://x', replicas: 9}": "replicas: error: 9 are too many",
    "{type: nats, url: 'nats://x', subject: 'a b.*'}": "subject: error: 'a b.*' is no subject to publish to",
    "{type: nats, url: 'nats://x', subject: a..b}": "subject: error: 'a..b' is no subject to publish to",
    "{type: nats, url: 'nats://x', credentials: /nope}": "credentials: error: '/nope' cannot be read",
    "{type: nats, url: x}": "url: error: is not a list of servers",
    "{type: kafka, brokers: 'x:1', options: {nope: x}}": "options: error: librdkafka does not take them",
    "{type: kafka, brokers: ' ,'}": "brokers: error: is not a list of brokers",
    "{type: lake, compact-after: 0}": "compact-after: error: 0 is too small",
    "{type: lake, path: 'a*b'}": "path: error: 'a*b' cannot be used",
    "{type: jsonl, path: /}": "path: error: '/' cannot be opened: it is no file",
    '{type: jsonl, path: "a\\0b"}': "path: error: 'a\\x00b' cannot be opened: it is no file",
    "{type: jsonl, path: /etc/passwd/out.jsonl}": "path: error: '/etc/passwd/out.jsonl' cannot be opened: '/etc/passwd' is no folder",
}


@pytest.mark.parametrize("sink", WRONG_SINKS)
@pytest.mark.parametrize("command", ["check", "serve --port 0 --data-dir"])
def test_a_sink_that_cannot_be_used_is_told_with_its_line(tmp_path: Path, sink: str, command: str) -> None:
    data = tmp_path / "data"
    path = write(tmp_path / "gateway.yaml", CONFIG.replace("sinks: []", f"sinks:\n  - jsonl\n  - {sink}"))
    result = run(*command.split(), *([data] if "data-dir" in command else []), path)
    assert result.exit_code == 2
    assert f"{path}:11: sinks[1].{WRONG_SINKS[sink]}" in result.output
    assert "journal" not in result.output
    assert not data.exists()


@pytest.mark.parametrize("command", ["check", "serve --port 0 --data-dir"])
def test_a_file_in_the_journal_is_no_file_for_a_sink(tmp_path: Path, command: str) -> None:
    data = tmp_path / "data"
    (tmp_path / "link").symlink_to(data)
    told = [data] if "data-dir" in command else []
    kept = "gateway: {data-dir: elsewhere}" if told else f"gateway: {{data-dir: {data}}}"
    wrong, fine = tmp_path / "link" / "journal" / "a-1-2.jsonl", data / "journal.jsonl"
    path = write(tmp_path / "gateway.yaml", f"{kept}\nsinks:\n  - {{type: jsonl, path: {fine}}}\n  - {{type: jsonl, path: {wrong}}}\n")
    result = run(*command.split(), *told, path)
    assert result.exit_code == 2
    assert f"{path}:4: sinks[1].path: error: '{wrong}' lies in the journal" in result.output
    assert "sinks[0]" not in result.output
    assert not data.exists()


@pytest.mark.parametrize("command", ["check", "serve --port 0 --data-dir data"])
def test_all_that_is_wrong_outside_is_told_at_once(tmp_path: Path, command: str) -> None:
    sinks = "sinks:\n  - {type: webhook, url: x}\n  - {type: nats, url: x, replicas: 9}\n"
    path = write(tmp_path / "gateway.yaml", f"{sinks}enrich:\n  - {{type: geo, database: missing.mmdb}}\n")
    assert re.findall(r"yaml:\d+: (\S+): error", run(*command.split(), path).output) == [
        "enrich[0].database", "sinks[0].url", "sinks[1].url", "sinks[1].replicas"
    ]  # fmt: skip


EXTRAS = {
    "clickhouse": ("clickhouse_connect", "{type: clickhouse, url: 'https://x/events'}"),
    "kafka": ("confluent_kafka", "{type: kafka, brokers: 'x:1'}"),
    "lake": ("duckdb", "{type: lake, path: lake}"),
    "nats": ("nats", "{type: nats, url: 'nats://x'}"),
    "postgres": ("psycopg", "{type: postgres, url: 'postgresql://x'}"),
}


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_that_is_missing_is_a_warning_of_check_and_an_error_of_serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra: str
) -> None:
    module, sink = EXTRAS[extra]
    path = write(tmp_path / "gateway.yaml", CONFIG.replace("sinks: []", f"sinks:\n  - {sink}"))
    assert "nothing wrong, nothing odd" in run("check", path).output
    if extra == "lake":
        monkeypatch.setattr("gatewaycore.sinks.lake.place.find_spec", lambda _: None)
    else:
        monkeypatch.setitem(sys.modules, module, None)
    told = f"{path}:10: sinks[0]: %s: needs .*\n    pip install 'gatewaycore[{extra}]'\n"
    warning, error = (re.escape(told % word).replace(r"\.\*", ".*") for word in ("warning: missing-extra", "error"))
    for strict in ([], ["--strict"]):
        result = run("check", *strict, path)
        assert result.exit_code == 0
        assert re.match(warning, result.output)
    (noted,) = json.loads(run("check", "--json", path).stdout)["warnings"]
    assert (noted["kind"], noted["hint"]) == ("missing-extra", f"pip install 'gatewaycore[{extra}]'")
    refused = run("serve", "--port", "0", "--data-dir", tmp_path / "data", path)
    assert refused.exit_code == 2
    assert re.fullmatch(error, refused.output)


@pytest.mark.parametrize(
    ("section", "extra", "module"),
    [
        ("operations: {port: 0}", "metrics", "prometheus_client"),
        ("traces: {endpoint: 'http://c.example/v1/traces'}", "otel", "opentelemetry.sdk"),
        ("traces: {endpoint: 'http://c.example/v1/traces'}", "otel", "opentelemetry"),
    ],
)
def test_an_extra_that_a_section_needs_is_told_before_anything_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, section: str, extra: str, module: str
) -> None:
    path = write(tmp_path / "gateway.yaml", f"{section}\n{CONFIG}")
    assert "nothing wrong, nothing odd" in run("check", path).output

    def find(name: str) -> object:
        if name.startswith(f"{module}."):
            raise ModuleNotFoundError(name=module)
        return None if name == module else object()

    monkeypatch.setattr("gatewaycore.config.opening.find_spec", find)
    place = f"{path}:1: {section.partition(':')[0]}"
    what = f"needs gatewaycore[{extra}]\n    pip install 'gatewaycore[{extra}]'\n"
    warned = run("check", path)
    assert (warned.exit_code, warned.output.startswith(f"{place}: warning: missing-extra: {what}")) == (0, True)
    refused = run("serve", "--port", "0", "--data-dir", tmp_path / "data", path)
    assert (refused.exit_code, refused.output) == (2, f"{place}: error: {what}")
    # Metrics are not wanted, and nothing is needed for the rest.
    path.write_text(CONFIG + "operations: {port: 0, metrics: no}\n")
    assert "nothing wrong, nothing odd" in run("check", path).output


# --- serve ---------------------------------------------------------------------------------------------------------------


def get(served: Served, path: str, host: str = "get.acme.example", **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    try:
        connection.request("GET", path, headers={"Host": host, **headers})
        answer = connection.getresponse()
        answer.read()
        return answer
    finally:
        connection.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_serve_answers_records_reloads_and_ends(config: Path, tmp_path: Path, workers: int) -> None:
    with Served(config, tmp_path / "data", ["--no-watch", "--workers", str(workers)]) as served:
        for line in ("get.acme.example, in.acme.example", "3 routes of 2 packages", str(tmp_path / "data" / "journal")):
            assert line in served.errors
        answer = get(served, "/linux/1.2.3/cli.tgz")
        assert (answer.status, answer.headers["location"]) == (302, "https://cdn.acme.example/1.2.3/cli-linux.tgz")
        assert "server" not in answer.headers
        assert get(served, "/new").status == 404

        config.write_text(CONFIG.replace("/install.sh,", "/new,"))
        served.send(signal.SIGHUP)
        _until(lambda: served.errors.count("read again") == workers)
        assert {get(served, "/new").status for _ in range(8)} == {302}

        config.write_text("packages: 3")
        served.send(signal.SIGHUP)
        _until(lambda: served.errors.count("the old one stays") == workers)
        assert {get(served, "/new").status for _ in range(8)} == {302}

        assert served.stop() == 0
        assert [event["version"] for event in served.events() if "version" in event] == ["1.2.3"]
        assert len(served.events()) == 17
        assert "Traceback" not in served.errors
        assert "127.0.0.1" not in served.errors.replace(str(served.url), "")


def test_serve_lets_an_answer_on_its_way_finish(config: Path, tmp_path: Path) -> None:
    with Served(config, tmp_path / "data") as served, socket.create_connection(("127.0.0.1", served.port), 20) as client:
        client.sendall(b"POST /v1/stop HTTP/1.1\r\nHost: in.acme.example\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n")
        # Said when the gateway has begun to read the body: the request is on its way.
        assert client.recv(65536).startswith(b"HTTP/1.1 100")
        served.send(signal.SIGTERM)
        client.sendall(b'{"a": "b"}')
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
        assert served.process.wait(20) == 0
        assert [event["variables"]["a"] for event in served.events()] == ["b"]


def test_serve_interrupted_ends_with_130(config: Path, tmp_path: Path) -> None:
    for workers in ("1", "2"):
        with Served(config, tmp_path / workers, ["--workers", workers]) as served:
            assert get(served, "/install.sh").status == 302
            assert served.stop(signal.SIGINT) == 130
            assert "Traceback" not in served.errors


@pytest.mark.parametrize("workers", ["1", "2"])
def test_serve_with_a_console_beside(tmp_path: Path, workers: str) -> None:
    path = write(tmp_path / "gateway.yaml", CONFIG + "console: {domain: console.acme.example}\n")
    data = tmp_path / "data"
    with Served(path, data, ["--workers", workers]) as served:
        assert f"gatewaycore token create {path} --user NAME --operator" in served.errors
        assert f"http://console.acme.example:{served.port}" in served.errors
        secret = run("token", "create", str(path), "--user", "ada", "--operator", "--data-dir", str(data)).stdout.strip()
        assert secret.startswith("gwc_")
        for _ in range(4):
            assert get(served, "/install.sh").status == 302
            signing_in = get(served, "/sign-in", host="console.acme.example")
            assert (signing_in.status, signing_in.headers["content-security-policy"][:18]) == (200, "default-src 'none'")
        assert served.stop() == 0
        assert "Traceback" not in served.errors
    with Served(path, data) as served:
        assert "sign in" not in served.errors
        assert get(served, "/install.sh").status == 302
        assert served.stop() == 0
    # Its database is no reason to serve nothing; but whoever starts a server is told.
    for file in data.glob("console.sqlite3*"):
        file.unlink()
    (data / "console.sqlite3").write_bytes(b"no database" * 1000)
    refused = run("serve", str(path), "--data-dir", str(data), "--port", "0")
    assert (refused.exit_code, "the state database cannot be used" in refused.stderr) == (2, True)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_badges_show_what_was_fetched_before(tmp_path: Path, workers: str) -> None:
    badges = "badges: {domains: [b.acme.example], packages: [cli], max-age-s: 1}\n"
    path, data = write(tmp_path / "gateway.yaml", CONFIG + badges), tmp_path / "data"
    with Served(path, data, ["--workers", workers]) as served:
        for _ in range(3):
            assert get(served, "/install.sh").status == 302
        assert served.stop() == 0
    with Served(path, data, ["--workers", workers]) as served:
        _until(lambda: {_badge(served) for _ in range(8)} == {"downloads: 3"})
        assert served.stop() == 0
        assert "Traceback" not in served.errors
        assert "cannot be asked for" not in served.errors


def _badge(served: Served) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    with contextlib.closing(connection):
        connection.request("GET", "/package/installs-badge/cli", headers={"Host": "b.acme.example"})
        return connection.getresponse().read().decode().partition("<title>")[2].partition("<")[0]


def _writers(data: Path) -> set[int]:
    """Return the processes that have written to the journal."""
    return {int(segment.name.split("-")[-2]) for segment in (data / "journal").glob("*.jsonl")}


def test_a_worker_that_dies_is_replaced(config: Path, tmp_path: Path) -> None:
    with Served(config, tmp_path / "data", ["--workers", "2"]) as served:
        assert get(served, "/install.sh").status == 302
        _until(served.events)
        (killed,) = _writers(tmp_path / "data")
        os.kill(killed, signal.SIGKILL)

        def replaced() -> bool:
            with contextlib.suppress(OSError):
                get(served, "/install.sh")
            return len(_writers(tmp_path / "data") - {killed}) == 2

        _until(replaced)
        assert {get(served, "/install.sh").status for _ in range(6)} == {302}
        assert served.stop() == 0


def _write(served: Served) -> int:
    """Ask for something, of whichever worker; return how many of them have written by now."""
    with contextlib.suppress(OSError):
        get(served, "/install.sh")
    return len(_writers(served.data_dir))


@contextlib.contextmanager
def _with_a_worker_killed(path: Path, data: Path, change: Callable[[], object]) -> Iterator[Served]:
    """Serve with two workers; change something, and kill one of them."""
    with Served(path, data, ["--workers", "2"]) as served:
        # Both have written something, so both are ready.
        _until(lambda: _write(served) == 2)
        change()
        os.kill(served.workers()[0], signal.SIGKILL)
        yield served
        assert served.stop() == 0


def test_files_that_were_damaged_since_keep_no_worker_from_being_replaced(tmp_path: Path) -> None:
    database, ranges, data = tmp_path / "x.mmdb", tmp_path / "aws.json", tmp_path / "data"
    write_database(database, {"127.0.0.0/8": {"country": {"iso_code": "AT"}}})
    replace(ranges, '{"prefixes": [{"ip_prefix": "127.0.0.0/8"}]}')
    enrich = f"enrich:\n  - client\n  - {{type: geo, database: {database}}}\n  - {{type: cloud, ranges: [{ranges}]}}\n"
    path = write(tmp_path / "gateway.yaml", CONFIG + enrich)

    def damage() -> None:
        replace(database, database.read_bytes()[:400])
        replace(ranges, "{")

    with _with_a_worker_killed(path, data, damage) as served:
        _until(lambda: _write(served) == 3)
        assert {(event.get("country"), event.get("cloud")) for event in served.events()} == {("AT", "aws"), (None, None)}
        for said in (f"enrich[1].database: {database} is not a MaxMind DB", f"enrich[2].ranges[0]: {ranges} is no JSON"):
            assert served.errors.count(said) == 1
        assert served.errors.count("an enrichment cannot be used yet") == 2
    refused = run("serve", path, "--port", "0", "--data-dir", data)
    assert (refused.exit_code, "is no JSON" in refused.output) == (2, True)


def test_a_database_that_would_end_a_process_ends_no_worker(tmp_path: Path) -> None:
    database, data = tmp_path / "x.mmdb", tmp_path / "data"
    record = {"organization": "Acme", "isp": "x", "country": "AT", "asn": "AS24940"}
    write_database(database, {"0.0.0.0/1": record, "128.0.0.0/1": record, "2000::/3": record})
    path = write(tmp_path / "gateway.yaml", CONFIG + f"enrich:\n  - {{type: geo, database: {database}}}\n")

    def damage() -> None:
        whole = database.read_bytes()
        replace(database, whole[:633] + b"\x0d" + whole[634:])

    with _with_a_worker_killed(path, data, damage) as served:
        # A third one opens the damaged file, and answers.
        _until(lambda: _write(served) == 3)
        assert served.errors.count(f"enrich[0].database: {database} is damaged: ") == 1
        assert {get(served, "/install.sh").status for _ in range(6)} == {302}
        assert len(_writers(data)) == 3


def test_a_source_that_was_broken_since_keeps_no_worker_from_being_replaced(tmp_path: Path) -> None:
    team, data = tmp_path / "teams" / "a.yaml", tmp_path / "data"
    team.parent.mkdir()
    whole = "packages: [{name: a, type: file, domain: get.acme.example, incoming-path: /a, outgoing-url: 'https://cdn.acme.example/%s'}]\n"
    write(team, whole % "old")
    path = write(tmp_path / "gateway.yaml", CONFIG + f"sources: [{{type: directory, path: {team.parent}}}]\n")

    def answers(served: Served) -> set[str]:
        return {str(get(served, "/a").headers["location"]) for _ in range(12)}

    with _with_a_worker_killed(path, data, lambda: write(team, "packages: 3")) as served:
        # The one that was killed wrote, and so did the other; the third one was started with the broken file.
        _until(lambda: _write(served) == 3)
        assert answers(served) == {"https://cdn.acme.example/old"}
        _until(lambda: served.errors.count(f"{team}:1: packages: expected a list") >= 2)
        write(team, whole % "new")
        _until(lambda: answers(served) == {"https://cdn.acme.example/new"})
    # So is the whole gateway, when it is started meanwhile.
    write(team, "packages: 3")
    with Served(path, data) as served:
        assert answers(served) == {"https://cdn.acme.example/new"}
        assert "what was served before stays" in served.errors


def test_a_configuration_that_was_broken_since_stops_no_other_worker(config: Path, tmp_path: Path) -> None:
    whole, data = config.read_text(), tmp_path / "data"
    with _with_a_worker_killed(config, data, lambda: config.write_text("packages: 3")) as served:
        _until(lambda: "it is tried again" in served.errors)
        assert "this worker cannot start" in served.errors
        assert {get(served, "/install.sh").status for _ in range(4)} == {302}
        # It reaches those that are there, and stumbles over nobody who is not.
        served.send(signal.SIGHUP)
        _until(lambda: "the old one stays" in served.errors)
        config.write_text(whole)
        _until(lambda: _write(served) == 3)


@pytest.mark.parametrize("workers", [1, 2])
def test_serve_says_that_it_could_not_start(config: Path, tmp_path: Path, workers: int) -> None:
    # Nothing that can be seen without making it: a folder that nobody can make.
    path = write(tmp_path / "unwritable.yaml", CONFIG.replace("sinks: []", "sinks: [{type: jsonl, path: /proc/nowhere/out.jsonl}]"))
    command = [sys.executable, "-m", "gatewaycore", "serve", str(path), "--port", "0", "--data-dir", str(tmp_path / "data")]
    done = subprocess.run([*command, "--workers", str(workers)], capture_output=True, text=True, env=environment(), timeout=60, check=False)
    assert done.returncode == 2
    assert "this worker cannot start: sinks: jsonl: path: '/proc/nowhere/out.jsonl' cannot be opened" in done.stderr
    assert "Traceback" not in done.stderr


def test_serve_speaks_tls(config: Path, tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    issued.private_key_pem.write_to_path(str(key))
    chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with Served(config, tmp_path / "data", ["--tls-cert", str(chain), "--tls-key", str(key)]) as served:
        assert str(served.url).startswith("https://")
        connection = http.client.HTTPSConnection("127.0.0.1", served.port, timeout=20, context=trusting)
        connection.request("GET", "/install.sh", headers={"Host": "get.acme.example"})
        assert connection.getresponse().status == 302
        connection.close()
        assert served.stop() == 0
    for wrong in (["--tls-cert", config], ["--tls-cert", chain], ["--tls-cert", chain, "--tls-key", config]):
        assert "no certificate with its private key" in run("serve", config, "--data-dir", tmp_path / "data", *wrong).output


def test_a_websocket_is_answered_as_any_request_and_floods_no_log(config: Path, tmp_path: Path) -> None:
    with Served(config, tmp_path / "data") as served:
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "YQ=="}
        assert get(served, "/install.sh", **upgrade).status == 302
        assert served.stop() == 0
        assert "upgrade" not in served.errors.lower()


def test_a_port_that_is_taken_is_one_line(config: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("serve", config, "--port", port, "--data-dir", tmp_path / "data")
    assert result.exit_code == 2
    assert result.output == f"cannot listen on 127.0.0.1 port {port}: Address already in use\n"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--host", "nowhere.invalid"], "cannot listen on nowhere.invalid"),
        (["--host", "203.0.113.1"], "cannot listen on 203.0.113.1"),
        (["--tls-cert", "/nowhere/cert.pem"], "/nowhere/cert.pem: No such file or directory"),
        (["--tls-key", "/nowhere/key.pem"], "--tls-key needs --tls-cert"),
        (["--port", "70000"], "70000"),
        (["--workers", "0"], "0"),
        (["--data-dir", "/proc/nowhere"], "/proc/nowhere"),
        (["--log-level", "trace"], "trace"),
    ],
)
def test_serve_refuses_what_it_cannot_do_in_words(config: Path, tmp_path: Path, options: Sequence[str], said: str) -> None:
    result = run("serve", config, "--port", "0", "--data-dir", tmp_path / "data", *options)
    assert result.exit_code == 2
    assert said in result.output
    assert isinstance(result.exception, SystemExit)
