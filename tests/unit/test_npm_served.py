"""npm as both adapters serve it, over real sockets: forms among many clients, a publish with a body, and registries that lie."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gatewaycore.rules.npm.packument import ABBREVIATED, WHOLE
from gatewaycore.service import Service
from tests.adapters import ADAPTERS, Adapter
from tests.worlds import Asked, Received, Script, Upstream, Write, journal, open_service, plain

DOMAIN = "npm.acme.example"
VERSION = {"name": "rocket-skates", "version": "1.0.0", "dist": {"tarball": "/t/1", "integrity": "sha512-ab=="}}
SHORT = {"name": "rocket-skates", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": VERSION}}
LONG = {**SHORT, "readme": "# It"}


def asking(accept: str, path: str = "/rocket-skates") -> Asked:
    return Asked("GET", f"https://{DOMAIN}/npm{path}", (("Accept", accept),))


AS_NPM, AS_YARN = asking(f"{ABBREVIATED}; q=1.0, {WHOLE}; q=0.8, */*"), asking("*/*")


@pytest.fixture(params=ADAPTERS.values(), ids=list(ADAPTERS))
def adapter(request: pytest.FixtureRequest) -> Adapter:
    made: Adapter = request.param
    return made


@pytest.fixture
def services(tmp_path: Path) -> Iterator[list[Service]]:
    opened: list[Service] = []
    yield opened
    for service in opened:
        service.close()


def before(services: list[Service], folder: Path, authority: str) -> Service:
    package = {"name": "rocket-skates", "type": "npm", "domain": DOMAIN, "registry": f"http://{authority}", "allow-private-backends": True}
    services.append(open_service({"packages": [package]}, folder))
    return services[-1]


def speaking(received: Received, write: Write) -> None:
    """Answer as a registry does that has both forms."""
    short = ABBREVIATED in received.headers["accept"]
    document: dict[str, Any] = SHORT if short else LONG
    plain(200, [("Content-Type", ABBREVIATED if short else WHOLE)], json.dumps(document).encode())(received, write)


def test_forms_never_mix(services: list[Service], tmp_path: Path, adapter: Adapter) -> None:
    asked = [AS_NPM, AS_YARN] * 50
    with Upstream(speaking) as upstream:
        service = before(services, tmp_path, upstream.authority)
        seen = adapter.ask(service, asked, at_once=True)
        again = adapter.ask(service, asked, at_once=True)
        assert len(upstream.received) == 2
    for one, answer in zip([*asked, *asked], [*seen, *again], strict=True):
        assert answer.status == 200
        assert answer.headers["content-type"] == (ABBREVIATED if one is AS_NPM else WHOLE)
        document = json.loads(answer.body or b"")
        assert ("readme" in document) is (one is AS_YARN)
        assert document["versions"]["1.0.0"]["dist"]["tarball"] == f"https://{DOMAIN}/npm/rocket-skates/-/rocket-skates-1.0.0.tgz"
    assert Counter(event["kind"] for event in journal(service)) == {"metadata": 200}


def test_from_lock_files_alone_a_document_is_fetched_once(services: list[Service], tmp_path: Path, adapter: Adapter) -> None:
    with Upstream(speaking) as upstream:
        service = before(services, tmp_path, upstream.authority)
        seen = adapter.ask(service, [asking("*/*", "/rocket-skates/-/rocket-skates-1.0.0.tgz")] * 40, at_once=True)
        assert {(answer.status, answer.location) for answer in seen} == {(302, f"http://{upstream.authority}/t/1")}
        assert len(upstream.received) == 1
    about = {(event["kind"], event["decision"], event["version"], event["target"]) for event in journal(service)}
    assert about == {("download", "redirect", "1.0.0", "127.0.0.1")}


def test_a_publish_is_refused_with_its_body_unread(services: list[Service], tmp_path: Path, adapter: Adapter) -> None:
    with Upstream(speaking) as upstream:
        service = before(services, tmp_path, upstream.authority)
        put = Asked("PUT", f"https://{DOMAIN}/npm/rocket-skates", (("Content-Type", WHOLE),), b"x" * 3_000_000)
        (seen,) = adapter.ask(service, [put])
        assert upstream.received == []
    assert (seen.status, json.loads(seen.body or b"")) == (405, {"error": "this registry is only read: nobody publishes to it"})


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (plain(200, [("Content-Type", WHOLE)], json.dumps({**LONG, "name": "rocket-boots"}).encode()), b"is another package's"),
        (plain(200, [("Content-Type", WHOLE)], json.dumps(LONG).encode()[:-9]), b"is no JSON"),
        (plain(200, [("Content-Type", WHOLE)], b"[" * 1_000_000), b"is no JSON"),
        (plain(200, [("Content-Type", "text/html")], b"<html>"), b"is no JSON"),
        (plain(302, [("Location", "/rocket-skates")], b""), b"redirects without end"),
        (plain(302, [("Location", "http://127.0.0.9/rocket-skates")], b""), b"where it is not known to lead"),
        (plain(500, [], b"oh"), b"does not give this page"),
    ],
    ids=["another package", "cut", "deep", "html", "circle", "elsewhere", "broken"],
)
def test_a_document_that_is_none(script: Script, said: bytes, services: list[Service], tmp_path: Path, adapter: Adapter) -> None:
    with Upstream(script) as upstream:
        (seen,) = adapter.ask(before(services, tmp_path, upstream.authority), [AS_YARN])
    assert (seen.status, seen.headers["content-type"]) == (502, WHOLE)
    assert said in (seen.body or b"")
