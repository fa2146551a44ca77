"""``gatewaycore diff``: rules side by side, and the same requests asked of two configurations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gatewaycore import Service
from gatewaycore.cli.commands import commands
from gatewaycore.comparing import DERIVED, NO_EVENT, NO_PATH, NO_RULE, UNLIKE, Asked, compare_answers, open_side
from gatewaycore.errors import ConfigError
from gatewaycore.recorder import Sent, decode
from gatewaycore.segments import segments
from gatewaycore.testing import make_request, simulate
from tests.unit.test_sources import Site, site  # noqa: F401 - a fixture

OLD = """
packages:
  - {name: cli, type: file, domain: get.acme.example, incoming-path: "/{version}/cli.tgz", outgoing-url: "https://cdn.acme.example/{version}"}
  - {name: sh, type: file, domain: get.acme.example, incoming-path: /install.sh, outgoing-url: https://cdn.acme.example/install.sh}
  - {name: night, type: file, domain: get.acme.example, incoming-regex: "/night/[0-9]+", outgoing-url: https://cdn.acme.example/night}
  - {name: px, type: pixel, domain: px.acme.example}
  - {name: acme/app, type: container, domain: docker.acme.example, strategy: redirect, public: true, backend: ghcr.io/acme/app}
collections:
  - {domain: docker.acme.example, pattern: "labs/*", backend: ghcr.io}
sinks: []
"""
NEW = OLD.replace("https://cdn.acme.example/{version}", "https://new.acme.example/{version}").replace(
    "ghcr.io/acme/app", "ghcr.io/acme/new"
)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "old.yaml").write_text(OLD)
    (tmp_path / "new.yaml").write_text(NEW)
    return tmp_path


def diff(*arguments: object) -> Result:
    return CliRunner().invoke(commands, ["diff", *map(str, arguments)])


def as_json(*arguments: object) -> Any:
    result = diff(*arguments, "--json")
    assert result.exit_code in (0, 1), result.output
    return json.loads(result.stdout)


def record(here: Path, *requests: str) -> None:
    """Answer requests by the old configuration, and keep their events."""
    with Service.from_file(here / "old.yaml", here / "data") as service:
        for line in requests:
            method, url = line.split()
            request = make_request(method, url, {"user-agent": "curl/8.4.0"}, "203.0.113.7")
            outcome = service.gateway.decide(request)
            seen = simulate(service.gateway, method, url, headers={"user-agent": "curl/8.4.0"})
            service.recorder.record(outcome, Sent(seen.status))


# --- rules ---------------------------------------------------------------------------------------------------------------


def test_rules_are_compared(here: Path) -> None:
    (here / "new.yaml").write_text(NEW.replace("name: px", "name: pixel") + "gateway: {default-domain: get.acme.example}\n")
    told = diff(here / "old.yaml", here / "new.yaml")
    assert told.exit_code == 1
    assert told.output.splitlines() == [
        "removed pixel px on px.acme.example",
        "changed gateway",
        "         default-domain  nothing  ->  get.acme.example",
        "changed file cli on get.acme.example",
        "         outgoing-url  https://cdn.acme.example/{version}  ->  https://new.acme.example/{version}",
        "changed container acme/app on docker.acme.example",
        "         backend  ghcr.io/acme/app  ->  ghcr.io/acme/new",
        "added   pixel pixel on px.acme.example",
        "whether requests meet other rules than before is told with --requests",
        "1 added, 1 removed, 3 changed",
    ]
    found = as_json(here / "old.yaml", here / "new.yaml")["rules"]
    assert found[0] == {"kind": "removed", "rule": "pixel px on px.acme.example"}
    assert found[3]["keys"] == {"backend": {"old": "ghcr.io/acme/app", "new": "ghcr.io/acme/new"}}
    same = diff(here / "old.yaml", here / "old.yaml")
    assert (same.exit_code, same.output) == (0, "the rules are the same\n")


def test_secrets_are_not_shown_and_names_may_repeat(here: Path) -> None:
    keys = "domain: docker.acme.example, backend: ghcr.io/acme/x, public: true, credentials: {username: me, password: %s}"
    image = f"  - {{name: acme/x, type: container, {keys}}}\n"
    twice = "  - {name: px, type: pixel, domain: px.acme.example, incoming-path: /%s}\n"
    for name, secret, path in (("old.yaml", "hunter2", "b"), ("new.yaml", "hunter3", "c")):
        (here / name).write_text("packages:\n" + image % secret + twice % "a" + twice % path)
    told = diff(here / "old.yaml", here / "new.yaml")
    assert "hunter" not in told.output
    assert "changed container acme/x on docker.acme.example" in told.output
    assert "changed pixel px on px.acme.example, number 2" in told.output


def test_sides_are_files_folders_and_urls(here: Path, site: Site) -> None:  # noqa: F811
    (here / "whole").mkdir()
    (here / "whole" / "gateway.yaml").write_text(OLD)
    (here / "teams").mkdir()
    with pytest.raises(ConfigError, match="holds no configuration"):
        open_side(str(here / "teams"))
    (here / "teams" / "a.yaml").write_text(OLD.replace("sinks: []\n", ""))
    site.put("/gateway.yaml", OLD)
    for side in (here / "whole", here / "teams", f"{site.url}/gateway.yaml"):
        assert diff(here / "old.yaml", side).exit_code == 0
    assert diff(here / "old.yaml", f"{site.url}/none").exit_code == 2
    assert diff(here / "old.yaml", here / "nowhere").exit_code == 2


def test_sources_count(here: Path) -> None:
    (here / "more.yaml").write_text("packages:\n  - {name: more, type: pixel, domain: px.acme.example, incoming-path: /more}\n")
    (here / "new.yaml").write_text(OLD + f"sources: [{{type: file, path: '{here}/more.yaml'}}]\n")
    assert diff(here / "old.yaml", here / "new.yaml").output.startswith("added   pixel more on px.acme.example\n")


# --- requests ------------------------------------------------------------------------------------------------------------


def test_recorded_requests_are_asked_again(here: Path) -> None:
    record(
        here,
        *["GET https://get.acme.example/1.0/cli.tgz"] * 3,
        "GET https://get.acme.example/2.0%2Fx/cli.tgz",
        "GET https://get.acme.example/install.sh",
        "GET https://px.acme.example/a.png",
        "GET https://docker.acme.example/v2/acme/app/manifests/1.0",
        "GET https://docker.acme.example/v2/labs/x/manifests/1.0",
        "GET https://get.acme.example/night/1",
    )
    found = as_json(here / "old.yaml", here / "new.yaml", "--requests", here / "data", "--samples", "1")
    night = "get.acme.example~/night/[0-9]+"
    assert (found["differing"], found["untold"]) == (5, [{"reason": NO_PATH, "rule": night, "rule-is": "same", "events": 1}])
    cli, image = found["groups"]
    assert (cli["requests"], cli["distinct"]) == (4, 2)
    assert cli["old"] == {"rule": "get.acme.example/{version}/cli.tgz", "answer": "redirect 302 to cdn.acme.example"}
    assert cli["new"]["answer"] == "redirect 302 to new.acme.example"
    (sample,) = cli["samples"]
    assert (sample["request"], sample["count"]) == ("GET https://get.acme.example/1.0/cli.tgz", 3)
    assert sample["new"]["leads_to"] == "https://new.acme.example/1.0"
    assert image["samples"][0]["request"] == "GET https://docker.acme.example/v2/acme/app/manifests/1.0"

    told = diff(here / "old.yaml", here / "new.yaml", "--requests", here / "data" / "journal")
    assert told.exit_code == 1
    assert told.output.splitlines()[-3:-1] == [
        "Cannot be asked again",
        f"  1 event  {night}  its rule is the same in both  the event does not hold enough of its path",
    ]
    assert told.output.splitlines()[-1] == "5 of 8 requests would be answered differently"
    same = diff(here / "old.yaml", here / "old.yaml", "--requests", here / "data")
    assert same.exit_code == 0
    assert same.output.splitlines()[-1] == "0 of 8 requests would be answered differently"


def test_what_cannot_be_told_is_counted(here: Path) -> None:
    record(here, "GET https://get.acme.example/1.0/cli.tgz", "GET https://docker.acme.example/v2/acme/app/manifests/1.0")
    (file,) = segments(here / "data" / "journal")
    first, image = file.read_bytes().splitlines()[:2]
    assert decode(first).kind == "download"
    lines = [
        first.replace(b"/cli.tgz", b"/other.tgz"),
        first.replace(b'"version":"1.0"', b'"v":"1.0"'),
        first.replace(b"302", b"307"),
        image.replace(b'"manifest"', b'"pull"'),
        image.replace(b'"manifest"', b'"blob"'),
        b"{torn",
    ]
    events = here / "events.jsonl"
    events.write_bytes(b"\n".join(lines))
    found = as_json(here / "old.yaml", here / "new.yaml", "--requests", events)
    cli, app = "get.acme.example/{version}/cli.tgz", "docker.acme.example/acme/app"
    assert {(one["reason"], one["rule"], one["rule-is"]): one["events"] for one in found["untold"]} == {
        (NO_RULE, "get.acme.example/{version}/other.tgz", "unknown"): 1,
        (UNLIKE, cli, "changed"): 2,
        (DERIVED, app, "changed"): 1,
        (NO_PATH, app, "changed"): 1,
        (NO_EVENT, None, "unknown"): 1,
    }
    assert (found["requests"], found["groups"]) == (0, [])
    # They may be answered differently.
    told = diff(here / "old.yaml", here / "new.yaml", "--requests", events)
    assert told.exit_code == 1
    assert told.output.splitlines()[-1] == "0 of 0 requests would be answered differently, and 4 more may be"
    assert diff(here / "old.yaml", here / "old.yaml", "--requests", events).exit_code == 0
    (here / "empty").mkdir()
    assert "holds no segment of a journal" in diff(here / "old.yaml", here / "new.yaml", "--requests", here / "empty").output


def test_what_has_become_of_rules_whose_requests_cannot_be_told(here: Path) -> None:
    record(here, *["GET https://get.acme.example/night/1"] * 2, "GET https://docker.acme.example/v2/labs/x/blobs/sha256:" + "a" * 64)
    (here / "new.yaml").write_text(OLD.replace("night", "day").replace("ghcr.io}", "quay.io}"))
    told = diff(here / "old.yaml", here / "new.yaml", "--requests", here / "data")
    assert told.exit_code == 1
    assert told.output.splitlines() == [
        "Cannot be asked again",
        "  2 events  get.acme.example~/night/[0-9]+  its rule is gone     the event does not hold enough of its path",
        "  1 event   docker.acme.example/labs/*      its rule is changed  the event does not hold enough of its path",
        "0 of 0 requests would be answered differently, and 3 more may be",
    ]


def test_rules_that_are_the_same_may_win_no_more(here: Path) -> None:
    more = '  - {name: new, type: file, domain: get.acme.example, incoming-path: "/release/{file}", outgoing-url: "https://cdn.acme.example/{file}"}\n'
    (here / "new.yaml").write_text(OLD.replace("collections:", more + "collections:"))
    told = diff(here / "old.yaml", here / "new.yaml")
    assert told.exit_code == 1
    assert "get.acme.example/{version}/cli.tgz: new warning: ambiguous: matches /release/cli.tgz" in told.output
    (warning,) = as_json(here / "old.yaml", here / "new.yaml")["warnings"]
    assert (warning["kind"], warning["rule"]) == ("ambiguous", "get.acme.example/{version}/cli.tgz")
    # What was odd before is no difference.
    assert diff(here / "new.yaml", here / "new.yaml").exit_code == 0


def test_what_is_no_part_of_an_answer_is_named_and_badges_are(here: Path) -> None:
    (here / "new.yaml").write_text(OLD.replace("sinks: []", "sinks: [{type: jsonl, path: out.jsonl}]"))
    told = diff(here / "old.yaml", here / "new.yaml")
    assert (told.exit_code, told.output) == (0, "not compared, and no part of an answer: sinks\nthe rules are the same\n")
    assert as_json(here / "old.yaml", here / "new.yaml")["not-compared"] == ["sinks"]
    (here / "new.yaml").write_text(OLD + "console: {domain: c.acme.example}\nbadges: {domains: [b.acme.example], packages: [cli]}\n")
    assert diff(here / "old.yaml", here / "new.yaml").output.startswith("added   badges\nadded   console\n")


def test_what_cannot_be_used_ends_with_2(here: Path) -> None:
    (here / "teams").mkdir()
    (here / "teams" / "a.yaml").write_text("packages: 3\n")
    (here / "teams" / "b.yaml").write_bytes(b"\xff")
    (here / "new.yaml").write_text(OLD + f"sources: [{{type: directory, path: '{here}/teams'}}]\n")
    for side in (here / "new.yaml", here / "teams"):
        told = diff(here / "old.yaml", side)
        assert told.exit_code == 2
        assert f"{here}/teams/b.yaml: error: not UTF-8 at byte 0" in told.output
    assert diff(here / "old.yaml", here / "new.yaml", "--requests", here / "nowhere").exit_code == 2


def test_expectations_are_requests_too(here: Path) -> None:
    (here / "x.gateway-test.yaml").write_text(
        "config: old.yaml\ntests:\n"
        "  - {request: GET https://get.acme.example/1.0/cli.tgz, expect: {status: 302}}\n"
        "  - {request: GET https://other.acme.example/, expect: {status: 404}}\n"
    )
    (here / "gone.yaml").write_text("packages: []\n")
    found = as_json(here / "old.yaml", here / "gone.yaml", "--requests", here / "x.gateway-test.yaml")
    assert [(group["old"]["answer"], group["new"]) for group in found["groups"]] == [
        ("redirect 302 to cdn.acme.example", {"rule": None, "answer": "respond 404"})
    ]


def test_what_is_no_request_is_refused_by_both(here: Path) -> None:
    gateway = open_side(str(here / "old.yaml")).compile()
    assert compare_answers(gateway, gateway, {Asked("GET", "https:///x"): 1}).groups == []
