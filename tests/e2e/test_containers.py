"""Containers: skopeo, podman, buildah and containerd pull an image through the gateway, redirected and proxied."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
import yaml
from attrs import frozen

from gatewaycore.event import Event
from tests.e2e.images import Built, Image, write_layout
from tests.e2e.running import Client, Gateway, Program, Programs, root, tool

pytestmark = pytest.mark.e2e

NAME, TAG, INDEX_TAG = "acme/rocket-skates", "1.2.3", "1.2.3-all"

# Strategy, what the backend is said to ask for, and the decision for clients that lose their token on a redirect, and for containerd.
WAYS = {
    "redirect": ("redirect", "anonymous", "redirect", "redirect"),
    "proxy": ("proxy", "anonymous", "proxy", "proxy"),
    "auto, anonymous": ("auto", "anonymous", "redirect", "redirect"),
    "auto, token": ("auto", "token", "proxy", "redirect"),
}


@frozen
class Registry:
    """A registry on loopback that asks nobody for a token, with an image in it."""

    authority: str
    image: Image


@frozen
class Served:
    """A gateway in front of the registry, and how it must answer each family of clients."""

    gateway: Gateway
    image: Image
    most: str
    containerd: str

    @property
    def name(self) -> str:
        """The image, as it is typed behind ``pull``."""
        return f"localhost:{self.gateway.port}/{NAME}"


@pytest.fixture(scope="module")
def registry(shared_programs: Programs) -> Registry:
    folder = shared_programs.folder
    image = write_layout(folder / "layout", TAG, INDEX_TAG)
    settings = {
        "version": 0.1,
        "log": {"level": "info", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "registry")}},
        "http": {"addr": "127.0.0.1:0"},
    }
    (folder / "registry.yaml").write_text(yaml.safe_dump(settings))
    server = shared_programs.start("registry", [tool("docker-registry", "docker-registry"), "serve", str(folder / "registry.yaml")])
    authority = f"127.0.0.1:{server.listen(r'listening on 127[.]0[.]0[.]1:([0-9]+)')}"
    client = Client(folder / "pusher")
    for tag in (TAG, INDEX_TAG):
        skopeo(client, "copy", "--all", "--dest-tls-verify=false", f"oci:{folder}/layout:{tag}", f"docker://{authority}/{NAME}:{tag}")
    return Registry(authority, image)


@pytest.fixture(params=WAYS)
def served(request: pytest.FixtureRequest, programs: Programs, registry: Registry) -> Served:
    strategy, auth, most, containerd = WAYS[request.param]
    package: dict[str, Any] = {"name": NAME, "type": "container", "domain": "localhost", "backend": f"{registry.authority}/{NAME}"}
    package |= {"allow-private-backends": True, "backend-scheme": "http", "backend-auth": auth, "strategy": strategy}
    return Served(programs.serve({"packages": [package]}), registry.image, most, containerd)


@pytest.fixture(scope="module")
def containerd(shared_programs: Programs, short_folder: Path) -> Iterator[str]:
    """The socket of a containerd."""
    root()
    folder = shared_programs.folder / "containerd"
    folder.mkdir()
    socket = short_folder / "c.sock"
    (folder / "config.toml").write_text(
        f'version = 2\nroot = "{folder}/root"\nstate = "{folder}/state"\n'
        'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
        f'[grpc]\n  address = "{socket}"\n'
    )
    daemon: Program = shared_programs.start("containerd", [tool("containerd", "containerd"), "--config", str(folder / "config.toml")])
    daemon.wait_for("containerd successfully booted")
    yield str(socket)
    daemon.stop()


def skopeo(client: Client, *command: str) -> str:
    return client.run(tool("skopeo", "skopeo"), "--insecure-policy", *command).text


def storage(folder: Path, short_folder: Path) -> list[str]:
    """Return where podman and buildah keep what this test pulls; without mounts."""
    return ["--root", f"{folder}/images", "--runroot", mkdtemp(dir=short_folder), "--storage-driver", "vfs"]


def version_of(client: Client, name: str) -> str:
    """Return the version that the program names last or, as containerd does, in the middle."""
    return next(word for word in client.run(tool(name, name), "--version").text.split() if word[0].isdigit())


def by_kind(events: list[Event], kind: str) -> list[Event]:
    return [event for event in events if event.kind == kind]


def check(served: Served, decision: str, client: str, *, manifests: list[tuple[str, str]], pings: int, pulled: Built | None = None) -> None:
    """Check that the journal holds one pull.

    Args:
        served: the gateway.
        decision: what every request must have been answered with.
        client: who pulled.
        manifests: method and reference of the requests for manifests.
        pings: how many.
        pulled: what; the image for amd64 unless given.
    """
    image = pulled or served.image
    events = served.gateway.events()
    status = 302 if decision == "redirect" else 200
    assert {(event.client, event.decision, event.status, event.domain, event.target) for event in events} == {
        (client, decision, status, "localhost", "127.0.0.1")
    }
    assert {(event.package, event.package_type) for event in events if event.kind != "ping"} == {(NAME, "container")}
    assert [(event.method, event.version) for event in by_kind(events, "manifest")] == manifests
    assert [event.method for event in by_kind(events, "ping")] == ["GET"] * pings
    assert all(event.package is None for event in by_kind(events, "ping"))
    blobs = {(event.method, event.variables["digest"], event.version) for event in by_kind(events, "blob")}
    assert blobs == {("GET", image.config, None), ("GET", image.layer, None)}
    assert len(events) == pings + len(manifests) + 2


def test_skopeo_copy(served: Served, client: Client, tmp_path: Path) -> None:
    skopeo(client, "copy", "--src-tls-verify=false", f"docker://{served.name}:{TAG}", f"oci:{tmp_path}/pulled:x")
    (manifest,) = json.loads((tmp_path / "pulled/index.json").read_text())["manifests"]
    assert manifest["digest"] == served.image.manifest
    check(served, served.most, "skopeo", manifests=[("GET", TAG)], pings=1)
    assert {event.client_version for event in served.gateway.events()} == {version_of(client, "skopeo")}


def test_skopeo_copy_of_one_architecture(served: Served, client: Client, tmp_path: Path) -> None:
    source = f"docker://{served.name}:{INDEX_TAG}"
    skopeo(client, "--override-arch", "arm64", "copy", "--src-tls-verify=false", source, f"oci:{tmp_path}/pulled:x")
    (manifest,) = json.loads((tmp_path / "pulled/index.json").read_text())["manifests"]
    arm64 = served.image.arm64
    assert manifest["digest"] == arm64.manifest
    check(served, served.most, "skopeo", manifests=[("GET", INDEX_TAG), ("GET", arm64.manifest)], pings=1, pulled=arm64)


def test_skopeo_inspect(served: Served, client: Client) -> None:
    seen = json.loads(skopeo(client, "inspect", "--tls-verify=false", f"docker://{served.name}:{TAG}"))
    assert (seen["Digest"], seen["Layers"]) == (served.image.manifest, [served.image.layer])
    assert set(seen["RepoTags"]) == {TAG, INDEX_TAG}
    events = served.gateway.events()
    assert {event.decision for event in events} == {served.most}
    assert [event.version for event in by_kind(events, "manifest")] == [TAG]
    assert [event.package for event in by_kind(events, "metadata")] == [NAME]


def test_podman_pull(served: Served, client: Client, tmp_path: Path, short_folder: Path) -> None:
    root()
    podman = [tool("podman", "podman"), *storage(tmp_path, short_folder), "--tmpdir", mkdtemp(dir=short_folder)]
    client.run(*podman, "pull", "--quiet", "--tls-verify=false", f"{served.name}:{TAG}")
    assert client.run(*podman, "image", "inspect", "--format", "{{.Digest}}", f"{served.name}:{TAG}").text.strip() == served.image.manifest
    # podman names the library that it pulls with.
    check(served, served.most, "containers", manifests=[("GET", TAG)], pings=1)


def test_buildah_pull(served: Served, client: Client, tmp_path: Path, short_folder: Path) -> None:
    root()
    buildah = [tool("buildah", "buildah"), *storage(tmp_path, short_folder)]
    client.run(*buildah, "pull", "--quiet", "--tls-verify=false", f"{served.name}:{TAG}")
    images = json.loads(client.run(*buildah, "images", "--json", "--digests").text)
    assert [image["digest"] for image in images] == [served.image.manifest]
    check(served, served.most, "buildah", manifests=[("GET", TAG)], pings=1)


def test_containerd_fetch(served: Served, client: Client, containerd: str) -> None:
    ctr = [tool("ctr", "containerd"), "--address", containerd]
    for image in client.run(*ctr, "images", "ls", "-q").text.split():
        client.run(*ctr, "images", "rm", "--sync", image)
    client.run(*ctr, "content", "fetch", "--plain-http", f"{served.name}:{TAG}")
    assert served.image.manifest in client.run(*ctr, "images", "ls").text
    content = set(client.run(*ctr, "content", "ls", "-q").text.split())
    assert content == {served.image.manifest, served.image.config, served.image.layer}
    check(served, served.containerd, "containerd", manifests=[("HEAD", TAG), ("GET", served.image.manifest)], pings=0)


def test_an_unknown_image_is_refused(served: Served, client: Client) -> None:
    refused = client.attempt(
        tool("skopeo", "skopeo"), "inspect", "--tls-verify=false", f"docker://localhost:{served.gateway.port}/acme/rocket-boots:1"
    )
    assert refused.status != 0
    assert "manifest" in refused.said or "name unknown" in refused.said
    assert {event.kind for event in served.gateway.events()} == {"ping"}
