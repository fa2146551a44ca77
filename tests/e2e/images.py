"""Images made by hand: an OCI layout (image-spec v1.0) with one tiny image for two architectures, alone and behind an index."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import httpx
from attrs import frozen

_TAG = "org.opencontainers.image.ref.name"


@frozen
class Format:
    """The media types of an image's parts, and of an index."""

    manifest: str
    index: str
    config: str
    layer: str


OCI = Format(
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.oci.image.layer.v1.tar+gzip",
)
"""Image-spec v1.0 §media-types."""

DOCKER = Format(
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.container.image.v1+json",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
)
"""Docker's own, which are older: "Image Manifest Version 2, Schema 2"."""


@frozen
class Built:
    """The image of one architecture.

    Attributes:
        manifest: its digest.
        config: its configuration's digest.
        layer: its layer's digest.
    """

    manifest: str
    config: str
    layer: str


@frozen
class Image(Built):
    """The image for amd64, which a layout tags alone, and what stands beside it.

    Attributes:
        arm64: the same for another architecture.
        index: the digest of an index that names both.
    """

    arm64: Built
    index: str


def write_layout(folder: Path, tag: str, index_tag: str, kinds: Format = OCI) -> Image:
    """Write a layout and return what is in it.

    Args:
        folder: where to; made.
        tag: names the manifest for amd64.
        index_tag: names the index.
        kinds: what its parts say that they are.
    """
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(kind: str, content: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}

    def put_json(kind: str, content: dict[str, Any]) -> dict[str, Any]:
        return put(kind, json.dumps(content).encode())

    def build(architecture: str) -> tuple[dict[str, Any], tuple[str, str, str]]:
        archive = _archive({"skates.txt": f"eight wheels on {architecture}\n".encode()})
        layer = put(kinds.layer, gzip.compress(archive, mtime=0))
        root = {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(archive).hexdigest()}"]}
        config = put_json(kinds.config, {"architecture": architecture, "os": "linux", "config": {}, "rootfs": root})
        manifest = put_json(kinds.manifest, {"schemaVersion": 2, "mediaType": kinds.manifest, "config": config, "layers": [layer]})
        member = {**manifest, "platform": {"architecture": architecture, "os": "linux"}}
        return member, (manifest["digest"], config["digest"], layer["digest"])

    (amd64, ours), (arm64, others) = build("amd64"), build("arm64")
    index = put_json(kinds.index, {"schemaVersion": 2, "mediaType": kinds.index, "manifests": [amd64, arm64]})
    tagged = [{**amd64, "annotations": {_TAG: tag}}, {**index, "annotations": {_TAG: index_tag}}]
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": tagged}))
    (folder / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
    return Image(*ours, Built(*others), index["digest"])


def push_layout(layout: Path, registry: httpx.Client, repository: str) -> None:
    """Push everything that a layout tags (distribution-spec v1.0 §Push); skopeo knows no layouts of Docker's images.

    Args:
        layout: the folder.
        registry: asks a registry that lets everybody push.
        repository: its name there.
    """

    def read(described: dict[str, Any]) -> bytes:
        digest: str = described["digest"]
        return (layout / "blobs" / digest.replace(":", "/")).read_bytes()

    def push_blob(described: dict[str, Any]) -> None:
        begun = registry.post(f"/v2/{repository}/blobs/uploads/").raise_for_status()
        place = httpx.URL(begun.headers["location"]).copy_merge_params({"digest": described["digest"]})
        registry.put(place, content=read(described)).raise_for_status()

    def push(described: dict[str, Any], reference: str) -> None:
        content = read(described)
        manifest = json.loads(content)
        for member in manifest.get("manifests", []):
            push(member, member["digest"])
        if "config" in manifest:
            for blob in (manifest["config"], *manifest["layers"]):
                push_blob(blob)
        kind = {"content-type": described["mediaType"]}
        registry.put(f"/v2/{repository}/manifests/{reference}", content=content, headers=kind).raise_for_status()

    for tagged in json.loads((layout / "index.json").read_text())["manifests"]:
        push(tagged, tagged["annotations"][_TAG])


def _archive(files: dict[str, bytes]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return written.getvalue()
