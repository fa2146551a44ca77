"""Images made by hand: an OCI layout (image-spec v1.0) with one tiny image for two architectures, alone and behind an index."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

from attrs import frozen

_OCI = "application/vnd.oci.image"
_TAG = "org.opencontainers.image.ref.name"


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


def write_layout(folder: Path, tag: str, index_tag: str) -> Image:
    """Write a layout and return what is in it.

    Args:
        folder: where to; made.
        tag: names the manifest for amd64.
        index_tag: names the index.
    """
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(kind: str, content: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": f"{_OCI}.{kind}", "digest": f"sha256:{digest}", "size": len(content)}

    def put_json(kind: str, content: dict[str, Any]) -> dict[str, Any]:
        return put(kind, json.dumps(content).encode())

    def build(architecture: str) -> tuple[dict[str, Any], tuple[str, str, str]]:
        archive = _archive({"skates.txt": f"eight wheels on {architecture}\n".encode()})
        layer = put("layer.v1.tar+gzip", gzip.compress(archive, mtime=0))
        root = {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(archive).hexdigest()}"]}
        config = put_json("config.v1+json", {"architecture": architecture, "os": "linux", "config": {}, "rootfs": root})
        manifest = put_json(
            "manifest.v1+json", {"schemaVersion": 2, "mediaType": f"{_OCI}.manifest.v1+json", "config": config, "layers": [layer]}
        )
        member = {**manifest, "platform": {"architecture": architecture, "os": "linux"}}
        return member, (manifest["digest"], config["digest"], layer["digest"])

    (amd64, ours), (arm64, others) = build("amd64"), build("arm64")
    index = put_json("index.v1+json", {"schemaVersion": 2, "mediaType": f"{_OCI}.index.v1+json", "manifests": [amd64, arm64]})
    tagged = [{**amd64, "annotations": {_TAG: tag}}, {**index, "annotations": {_TAG: index_tag}}]
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": tagged}))
    (folder / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
    return Image(*ours, Built(*others), index["digest"])


def _archive(files: dict[str, bytes]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return written.getvalue()
