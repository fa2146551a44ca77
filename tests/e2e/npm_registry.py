"""An npm registry with packages that the tests make, and clients of known versions that ask for them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from tests.e2e.answering import Documents
from tests.e2e.running import missing, tool

WHOLE = "application/json"
ABBREVIATED = "application/vnd.npm.install-v1+json"


@frozen
class Package:
    """A package of one module that says which version it is.

    Attributes:
        name: of the package, with its scope.
        version: of it.
        requires: what it depends on.
    """

    name: str
    version: str
    requires: Mapping[str, str] = field(factory=dict, hash=False)

    @property
    def manifest(self) -> dict[str, Any]:
        """Its package.json."""
        return {"name": self.name, "version": self.version, "main": "index.js", "license": "MIT", "dependencies": dict(self.requires)}

    @property
    def path(self) -> str:
        """Where its tarball is: not where registries usually have it."""
        return f"/tarballs/{hashlib.sha256(self.build()).hexdigest()}"

    def build(self) -> bytes:
        """Return the tarball, the same bytes each time."""
        written = io.BytesIO()
        with tarfile.open(fileobj=written, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for name, content in (
                ("package.json", json.dumps(self.manifest).encode()),
                ("index.js", f"module.exports = '{self.version}'\n".encode()),
            ):
                entry = tarfile.TarInfo(f"package/{name}")
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        return gzip.compress(written.getvalue(), mtime=0)


@define
class NpmRegistryServer(Documents):
    """A registry and its tarballs.

    Attributes:
        packages: what it has, the newest version of each last.
        abbreviates: whether it has the abbreviated form.
        is_down: whether every document is answered with 503.
    """

    packages: tuple[Package, ...]
    abbreviates: bool = True
    is_down: bool = False

    @property
    def url(self) -> str:
        """The registry's URL."""
        return f"http://{self.authority}/registry"

    def find(self, path: str, headers: Mapping[str, str]) -> tuple[int, str, bytes]:
        """Return a tarball or a document."""
        for package in self.packages:
            if path == package.path:
                return 200, "application/octet-stream", package.build()
        found = [package for package in self.packages if f"/registry/{package.name}" == path]
        if self.is_down:
            return 503, "text/plain", b"not now"
        if not found:
            return 404, WHOLE, b'{"error": "not_found"}'
        if self.abbreviates and ABBREVIATED in headers.get("accept", ""):
            return 200, ABBREVIATED, self._document(found)
        # Clients leave versions alone that are only hours old, and those of no age.
        times = dict.fromkeys(["created", "modified", *(package.version for package in found)], "2020-01-02T03:04:05.006Z")
        return 200, WHOLE, self._document(found, _id=found[0].name, time=times, readme="# It")

    def _document(self, packages: Sequence[Package], **more: Any) -> bytes:
        versions = {}
        for package in packages:
            content = package.build()
            dist = {
                "tarball": f"http://{self.files_host}{package.path}",
                "shasum": hashlib.sha1(content, usedforsecurity=False).hexdigest(),
                "integrity": f"sha512-{b64encode(hashlib.sha512(content).digest()).decode()}",
            }
            versions[package.version] = {**package.manifest, "dist": dist}
        tags = {"latest": packages[-1].version}
        return json.dumps({"name": packages[0].name, "dist-tags": tags, "versions": versions, **more}).encode()


CLIENTS = {"npm10": "npm@10", "yarn1": "yarn@1", "yarn4": "@yarnpkg/cli-dist@4", "pnpm9": "pnpm@9", "pnpm10": "pnpm@10"}
"""What is installed beside the npm that is here: folders, and what stands in them."""


def tools(folder: Path) -> Path:
    """Return the folder of the clients, each in a folder of its own; made once, and kept for the next run.

    Args:
        folder: where they are kept.
    """
    npm = tool("npm", "nodejs npm")
    wanted = [f"{name}@npm:{package}" for name, package in CLIENTS.items()]
    here = folder / hashlib.sha256(" ".join(wanted).encode()).hexdigest()[:16]
    done = here / "done"
    if not done.exists():
        here.mkdir(parents=True, exist_ok=True)
        options = ["--prefix", str(here), "--no-audit", "--no-fund", "--ignore-scripts", "--no-update-notifier", "--loglevel=error"]
        # With the machine's own settings: they say where packages come from.
        made = subprocess.run([npm, "install", *options, *wanted], check=False, capture_output=True, text=True, env=os.environ, cwd=here)
        if made.returncode != 0:
            missing(f"needs {' '.join(CLIENTS.values())}: npm install failed: {made.stderr[-500:]}")
        done.touch()
    return here / "node_modules"
