"""What the command line tells of domains."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatewaycore.cli import domains as module
from gatewaycore.config import read_config
from gatewaycore.errors import GatewayError
from tests.dns_server import DnsServer
from tests.unit.test_cli import run

FILE = """
gateway:
  base-domain: gw.test
  verification: {{addresses: [203.0.113.7], resolvers: ["{resolver}"], timeout-s: 2}}
{console}
packages:
  - {{type: pixel, name: docs, domain: px.acme.test}}
  - {{type: pixel, name: all, domain: "*"}}
"""


@pytest.fixture
def server() -> Iterator[DnsServer]:
    with DnsServer() as started:
        yield started


@pytest.fixture
def file(tmp_path: Path, server: DnsServer) -> Path:
    path = tmp_path / "gateway.yaml"
    path.write_text(FILE.format(resolver=server.address, console="console: {domain: console.acme.test}"))
    return path


def test_a_domain_is_added_told_and_proved(file: Path, tmp_path: Path, server: DnsServer) -> None:
    data = ("--data-dir", tmp_path / "data")
    added = run("domains", "add", file, "Get.Acme.test", "--organisation", "home", *data)
    assert (added.exit_code, added.stdout.splitlines()[0]) == (0, "get.acme.test is pending")
    told = json.loads(run("domains", "instructions", file, "get.acme.test", "--json", *data).stdout)["domains"][0]
    challenge, cname, address = told["records"]
    assert (challenge["name"], cname["value"], address["value"]) == ("_gatewaycore-challenge.get.acme.test", "gw.test", "203.0.113.7")
    shown = run("domains", "instructions", file, *data).stdout
    assert f"TXT    _gatewaycore-challenge.get.acme.test.  {challenge['value']}" in shown
    assert "instead of the CNAME, where none can stand" in shown
    assert "*\n  no records: it needs no proof" in shown

    refused = run("domains", "verify", file, "get.acme.test", *data)
    assert (refused.exit_code, "there is no TXT record" in refused.stdout) == (1, True)
    server.set(challenge["name"], "TXT", challenge["value"])
    server.set("get.acme.test", "A", "203.0.113.7")
    assert run("domains", "verify", file, "get.acme.test", *data).exit_code == 0
    listed = json.loads(run("domains", "list", file, "--json", *data).stdout)["domains"]
    assert [(one["name"], one["organisation"], one["state"], one["proof"]) for one in listed] == [
        ("*", "", "configured", "file"),
        ("get.acme.test", "home", "verified", "records"),
        ("px.acme.test", "", "configured", "file"),
    ]
    # Those of the file have only to lead here.
    all_ = run("domains", "verify", file, *data, "--json")
    assert all_.exit_code == 1
    assert [one["is-well"] for one in json.loads(all_.stdout)["domains"]] == [True, True, False]
    server.set("px.acme.test", "CNAME", "gw.test")
    assert run("domains", "verify", file, *data).exit_code == 0
    assert "px.acme.test" in run("domains", "list", file, *data).stdout


def test_an_operator_vouches(file: Path, tmp_path: Path) -> None:
    data = ("--data-dir", tmp_path / "data")
    added = run("domains", "add", file, "get.acme.test", "--organisation", "home", "--vouch", *data)
    assert added.stdout == "get.acme.test is verified\n"
    assert run("domains", "verify", file, "get.acme.test", *data).exit_code == 0
    assert "no records" in run("domains", "instructions", file, "get.acme.test", *data).stdout
    again = run("domains", "add", file, "get.acme.test", "--organisation", "home", *data)
    assert (again.exit_code, "has get.acme.test already" in again.output) == (2, True)


def test_without_proofs_nothing_is_looked_at(file: Path, tmp_path: Path, server: DnsServer) -> None:
    data = ("--data-dir", tmp_path / "data")
    text = file.read_text()
    file.write_text(text.replace("verification: {", "verification: {verify: off, leads-here: false, "))
    assert run("domains", "add", file, "get.acme.test", "--organisation", "home", *data).stdout.startswith("get.acme.test is verified")
    assert run("domains", "verify", file, *data).exit_code == 0
    assert server.asked == []
    # Behind a CDN it is known of none of them where they lead; what has to be proved is looked at all the same.
    file.write_text(text.replace("verification: {", "verification: {leads-here: false, "))
    seen = run("domains", "verify", file, "--json", *data)
    found = {one["name"]: (one["state"], one["is-well"]) for one in json.loads(seen.stdout)["domains"]}
    assert found == {"*": ("configured", True), "get.acme.test": ("failing", False), "px.acme.test": ("configured", True)}
    assert server.asked == [("_gatewaycore-challenge.get.acme.test", "TXT")]


def test_a_gateway_without_a_console(tmp_path: Path, server: DnsServer) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(FILE.format(resolver=server.address, console=""))
    assert "px.acme.test" in run("domains", "list", path).stdout
    assert run("domains", "verify", path).exit_code == 1
    refused = run("domains", "add", path, "get.acme.test", "--organisation", "home")
    assert (refused.exit_code, "console: error: is missing" in refused.output) == (2, True)
    unknown = run("domains", "verify", path, "get.acme.test")
    assert (unknown.exit_code, "there is no domain get.acme.test" in unknown.output) == (2, True)
    path.write_text("packages: []\n")
    assert run("domains", "list", path).stdout == "there are no domains\n"


def test_a_domain_that_is_removed_meanwhile(file: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    run("domains", "add", file, "get.acme.test", "--organisation", "home", "--data-dir", data)
    with module._opened(file, data) as (config, access):
        assert access is not None
        (known,) = module._chosen(config, access, ["get.acme.test"])
        access.domains.delete("get.acme.test", module._operator())
        with pytest.raises(GatewayError, match="any more"):
            module._look(config, access, known)


@pytest.mark.parametrize(
    ("written", "what"),
    [
        ("resolvers: [dns.acme.test]", "is no DNS server"),
        ("resolvers: ['192.0.2.53:70000']", "is no DNS server"),
        ("resolvers: ['192.0.2.53:x']", "is no DNS server"),
        ("addresses: [acme.test]", "is no address"),
        ("timeout-s: 0", "is too small"),
        ("target: 'a b'", "is no domain"),
    ],
)
def test_what_cannot_be_configured(tmp_path: Path, written: str, what: str) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(f"gateway: {{verification: {{{written}}}}}\npackages: []\n")
    with pytest.raises(GatewayError, match=what):
        read_config(path)
