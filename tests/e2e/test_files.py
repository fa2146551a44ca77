"""Files: curl and wget fetch a tarball through a redirect, and the journal says what they fetched."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from gatewaycore.event import Event
from tests.e2e.origin import Origin
from tests.e2e.running import Client, Gateway, Programs, tool

pytestmark = pytest.mark.e2e

TARBALL = bytes(range(256)) * 4096
PATH = "/linux/1.2.3+build.5/rocket-skates.tgz"
VARIABLES = {"platform": "linux", "version": "1.2.3+build.5"}


@pytest.fixture
def gateway(programs: Programs, origin: Origin) -> Gateway:
    origin.files["/1.2.3+build.5/rocket-skates-linux.tgz"] = TARBALL
    return programs.serve(config(origin))


def config(origin: Origin) -> dict[str, Any]:
    target = origin.url + "/{version}/rocket-skates-{platform}.tgz"
    route = {"incoming-path": "/{platform}/{version}/rocket-skates.tgz", "outgoing-url": target}
    return {"packages": [{"name": "rocket-skates-cli", "type": "file", "domain": "localhost", "routes": [route]}]}


@pytest.fixture
def curl() -> list[str]:
    return [tool("curl", "curl"), "-fsSL"]


def only(gateway: Gateway) -> Event:
    (event,) = gateway.events()
    return event


def version_of(client: Client, program: str) -> str:
    found = re.search(r"\d+(\.\d+)+", client.run(program, "--version").text)
    assert found is not None
    return found[0]


@pytest.mark.parametrize("name", ["curl", "wget"])
def test_a_download(name: str, client: Client, gateway: Gateway, tmp_path: Path) -> None:
    program = tool(name, name)
    command = {"curl": [program, "-fsSL", "-o"], "wget": [program, "-q", "-O"]}[name]
    client.run(*command, str(tmp_path / "x.tgz"), gateway.url + PATH)
    assert (tmp_path / "x.tgz").read_bytes() == TARBALL
    event = only(gateway)
    assert (event.kind, event.package, event.package_type, event.domain) == ("download", "rocket-skates-cli", "file", "localhost")
    assert (event.version, event.platform, event.platform_recognised) == ("1.2.3+build.5", "linux", True)
    assert event.variables == VARIABLES
    assert (event.client, event.client_version) == (name, version_of(client, program))
    assert (event.method, event.status, event.decision, event.target) == ("GET", 302, "redirect", "127.0.0.1")
    assert event.origin_id
    assert event.endpoint_id


def test_head(client: Client, gateway: Gateway, origin: Origin, curl: list[str]) -> None:
    head = client.run(*curl, "-I", gateway.url + PATH).text
    assert f"content-length: {len(TARBALL)}" in head.lower()
    assert [request.method for request in origin.received] == ["HEAD"]
    event = only(gateway)
    assert (event.method, event.status, event.decision, event.variables) == ("HEAD", 302, "redirect", VARIABLES)


def test_a_range_survives_the_redirect(client: Client, gateway: Gateway, curl: list[str]) -> None:
    part = client.run(*curl, "-r", "1000-1999", gateway.url + PATH).output
    assert part == TARBALL[1000:2000]
    assert only(gateway).variables == VARIABLES


def test_a_download_goes_on_where_it_stopped(client: Client, gateway: Gateway, origin: Origin, tmp_path: Path) -> None:
    (tmp_path / "x.tgz").write_bytes(TARBALL[:1000])
    client.run(tool("wget", "wget"), "-q", "-c", "-O", str(tmp_path / "x.tgz"), gateway.url + PATH)
    assert (tmp_path / "x.tgz").read_bytes() == TARBALL
    assert all(request.headers["range"] == "bytes=1000-" for request in origin.received if request.method == "GET")
    assert {event.package for event in gateway.events()} == {"rocket-skates-cli"}


def test_post_keeps_its_method_and_its_body(client: Client, gateway: Gateway, origin: Origin, curl: list[str]) -> None:
    body = '{"customer": {"plan": "team"}, "seats": 3}'
    answer = client.run(*curl, "-H", "Content-Type: application/json", "-d", body, f"{gateway.url}{PATH}?campaign=spring").output
    assert answer == TARBALL
    (received,) = origin.received
    assert (received.method, received.body) == ("POST", body.encode())
    assert received.path.endswith("?campaign=spring")
    event = only(gateway)
    assert (event.method, event.status, event.decision) == ("POST", 307, "redirect")
    assert event.variables == {**VARIABLES, "campaign": "spring", "customer.plan": "team", "seats": "3"}


def test_who_opted_out_is_served_and_not_counted(client: Client, gateway: Gateway, origin: Origin, curl: list[str]) -> None:
    ways: list[list[str]] = [[], ["-I"], ["-d", '{"seats": 3}'], ["-r", "0-99"]]
    for field in ("Sec-GPC: 1", "DNT: 1"):
        for way in ways:
            client.run(*curl, *way, "-H", field, f"{gateway.url}{PATH}?left=out")
    assert len(origin.received) == 8
    # A journal is written in the order of its requests: what comes later is there, and nothing before it.
    client.run(*curl, "-o", "x", f"{gateway.url}{PATH}?kept=yes")
    assert only(gateway).variables == {**VARIABLES, "kept": "yes"}


def test_what_nobody_serves_is_no_event(client: Client, gateway: Gateway, curl: list[str]) -> None:
    refused = client.attempt(*curl, gateway.url + "/nothing/here")
    assert refused.status == 22
    assert "404" in refused.said
    assert gateway.events() == []
