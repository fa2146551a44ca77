"""Pulls counted are pulls made: every client, twenty times, its requests answered by two processes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from gatewaycore.pulls import derive
from gatewaycore.segments import read_lines, segments
from tests.e2e.pulling import ContainerClient
from tests.e2e.registries import ANN, GATEWAY, Lab, Registry, image, serve
from tests.e2e.report import Table
from tests.e2e.running import Client, Gateway, Programs, module

pytestmark = pytest.mark.e2e

TIMES = 20
PULLERS = ["skopeo", "podman", "buildah", "ctr", "docker", "docker manifest", "oras-py"]
WAYS = ["auto", "renamed", "anonymous"]


@pytest.fixture(scope="module", params=WAYS)
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, lab: Lab, registries: dict[str, Registry]
) -> Iterator[tuple[str, Gateway, Registry, str]]:
    """A gateway of two processes, the registry behind it, and the image as clients call it."""
    own, open_ = registries["own"], registries["open"]
    name, registry, settings = {
        "auto": (own.public, own, {}),
        "renamed": ("skates", own, {}),
        "anonymous": (open_.public, open_, {"backend-auth": "anonymous"}),
    }[request.param]
    package: dict[str, Any] = image(name, registry, registry.public, **settings)
    programs = Programs(tmp_path_factory.mktemp("gateway"))
    yield request.param, serve(programs, lab, {"packages": [package]}, "--workers", "2"), registry, name
    programs.stop()


def test_pulls_counted_are_pulls_made(
    served: tuple[str, Gateway, Registry, str], clients: dict[str, ContainerClient], table: Table
) -> None:
    way, gateway, registry, image_name = served
    made: Counter[tuple[str, str]] = Counter()
    digests: dict[str, str] = {}
    for name in PULLERS:
        client = clients[name]
        content = registry.oci if client.reads_oci else registry.docker
        digests |= {content.tag: content.image.manifest, content.index_tag: content.image.index}
        for number in range(TIMES):
            tag = (content.tag, content.index_tag)[number % 2]
            pulled = client.pull(f"{gateway.authority}/{image_name}:{tag}", ANN if way == "auto" and number % 4 == 0 else None)
            assert pulled.ok, pulled.said
            made[name, tag] += 1
    pulls = gateway.pulls(made.total())
    by_agent = {clients[name].product: name for name in PULLERS}
    counted = Counter((by_agent[(one.user_agent or "").partition("/")[0].lower()], one.version) for one in pulls)
    for name in PULLERS:
        seen = {version: count for (who, version), count in counted.items() if who == name}
        table.figures.append(
            f"pulls, {way}, {name}: {sum(count for (who, _), count in made.items() if who == name)} made, {sum(seen.values())} counted"
        )
    assert counted == made
    # The digest is what the tag stands for, as far as the gateway has seen it: who is redirected may ask for no other than its own.
    for one in pulls:
        assert one.variables["tag"] == one.version
        assert one.package == image_name
        found = one.variables.get("digest")
        assert found in {digests[str(one.version)], None} or one.decision == "redirect"
        if one.decision == "proxy":
            assert found == digests[str(one.version)]
    # Counted again from the events themselves, nothing changes.
    assert {one.id for one in derive(gateway.events())} == {one.id for one in pulls}
    by_process = [
        segment for segment in segments(gateway.data_dir / "journal") if any(b'"manifest"' in line for line in read_lines(segment)[0])
    ]
    assert len(by_process) > 1


def test_an_image_of_a_collection_is_a_package_from_its_first_pull(
    programs: Programs, lab: Lab, registries: dict[str, Registry], clients: dict[str, ContainerClient], client: Client
) -> None:
    open_ = registries["open"]
    collection = {"domain": GATEWAY, "pattern": "open/*", "backend": open_.authority, "backend-auth": "anonymous"}
    gateway = serve(programs, lab, {"collections": [collection]})
    listed = [*module("gatewaycore"), "packages", str(programs.folder / "gateway.yaml"), "--json"]
    assert json.loads(client.run(*listed).text)["collections"] == []
    assert clients["skopeo"].pull(f"{gateway.authority}/{open_.public}:{open_.oci.tag}").ok
    (pull,) = gateway.pulls(1)
    assert (pull.package, pull.version) == (open_.public, open_.oci.tag)
    (brought,) = json.loads(client.run(*listed).text)["collections"]
    assert (brought["name"], brought["domain"], brought["pulls"]) == (open_.public, GATEWAY, 1)
