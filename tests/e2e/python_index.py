"""A Python index with packages that the tests make, and installers of known versions that ask for them."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import define, frozen

from tests.e2e.answering import Asked, Documents
from tests.e2e.running import missing

JSON = "application/vnd.pypi.simple.v1+json"


@frozen
class Wheel:
    """A wheel (PEP 427) of one module that says which version it is.

    Attributes:
        project: its name, with "_" between words.
        version: of the project.
        requires: what it depends on.
        tag: which Pythons and platforms it fits.
    """

    project: str
    version: str
    requires: tuple[str, ...] = ()
    tag: str = "py3-none-any"

    @property
    def file_name(self) -> str:
        """Its file's name."""
        return f"{self.project}-{self.version}-{self.tag}.whl"

    @property
    def metadata(self) -> bytes:
        """Its METADATA, which PEP 658 shows by itself."""
        lines = ["Metadata-Version: 2.1", f"Name: {self.project}", f"Version: {self.version}", "Requires-Python: >=3.8"]
        return "\n".join([*lines, *(f"Requires-Dist: {one}" for one in self.requires), ""]).encode()

    def build(self) -> bytes:
        """Return the file, the same bytes each time."""
        info = f"{self.project}-{self.version}.dist-info"
        files = {
            f"{self.project}/__init__.py": f"VERSION = {self.version!r}\n".encode(),
            f"{info}/METADATA": self.metadata,
            f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: {self.tag}\n".encode(),
        }
        record = [f"{name},sha256={_record_hash(content)},{len(content)}\n" for name, content in files.items()]
        files[f"{info}/RECORD"] = "".join([*record, f"{info}/RECORD,,\n"]).encode()
        written = io.BytesIO()
        with zipfile.ZipFile(written, "w") as archive:
            for name, content in files.items():
                archive.writestr(zipfile.ZipInfo(name), content)
        return written.getvalue()


def _record_hash(content: bytes) -> str:
    return urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


@define
class PythonIndexServer(Documents):
    """A simple index and its files.

    Attributes:
        wheels: what it has.
        speaks_json: whether a page is JSON (PEP 691) for those who ask for it; HTML otherwise.
        shows_metadata: whether there are metadata files (PEP 658).
        is_down: whether every page is answered with 503.
    """

    wheels: tuple[Wheel, ...]
    speaks_json: bool = True
    shows_metadata: bool = True
    is_down: bool = False

    @property
    def url(self) -> str:
        """The index's URL."""
        return f"http://{self.authority}/simple"

    def pages(self) -> list[Asked]:
        """Return the requests for pages."""
        return [one for one in self.received if one.path.startswith("/simple/")]

    def find(self, path: str, headers: Mapping[str, str]) -> tuple[int, str, bytes]:
        """Return a file or a page."""
        if path.startswith("/files/"):
            for wheel in self.wheels:
                if path == f"/files/{wheel.file_name}":
                    return 200, "application/octet-stream", wheel.build()
                if path == f"/files/{wheel.file_name}.metadata" and self.shows_metadata:
                    return 200, "application/octet-stream", wheel.metadata
            return 404, "text/plain", b""
        name = path.removeprefix("/simple/").removesuffix("/")
        found = [wheel for wheel in self.wheels if wheel.project.replace("_", "-") == name]
        if self.is_down:
            return 503, "text/plain", b"not now"
        if not found or not path.startswith("/simple/"):
            return 404, "text/plain", b""
        if self.speaks_json and JSON in headers.get("accept", ""):
            return 200, JSON, self._json(name, found)
        return 200, "text/html", self._html(found)

    def _json(self, name: str, wheels: Sequence[Wheel]) -> bytes:
        files = []
        for wheel in wheels:
            content = wheel.build()
            file = {
                "filename": wheel.file_name,
                "url": f"http://{self.files_host}/files/{wheel.file_name}",
                "hashes": {"sha256": hashlib.sha256(content).hexdigest()},
                "requires-python": ">=3.8",
                "size": len(content),
                "upload-time": "2026-01-02T03:04:05.000006Z",
                "yanked": False,
            }
            if self.shows_metadata:
                file["core-metadata"] = {"sha256": hashlib.sha256(wheel.metadata).hexdigest()}
            files.append(file)
        versions = [wheel.version for wheel in wheels]
        return json.dumps({"meta": {"api-version": "1.1"}, "name": name, "versions": versions, "files": files}).encode()

    def _html(self, wheels: Sequence[Wheel]) -> bytes:
        lines = ["<!DOCTYPE html><html><body>"]
        for wheel in wheels:
            digest = hashlib.sha256(wheel.build()).hexdigest()
            more = f' data-core-metadata="sha256={hashlib.sha256(wheel.metadata).hexdigest()}"' if self.shows_metadata else ""
            url = f"http://{self.files_host}/files/{wheel.file_name}#sha256={digest}"
            lines.append(f'<a href="{url}" data-requires-python="&gt;=3.8"{more}>{wheel.file_name}</a>')
        return "\n".join([*lines, "</body></html>"]).encode()


def tools(folder: Path, *requirements: str) -> Path:
    """Return the folder of programs of an environment that has these requirements; made once, and kept for the next run.

    Args:
        folder: where environments are kept.
        requirements: as pip takes them.
    """
    name = hashlib.sha256(" ".join([sys.version, *requirements]).encode()).hexdigest()[:16]
    here, done = folder / name, folder / f"{name}.done"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(here)], check=True, capture_output=True)
        install = [str(here / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements]
        made = subprocess.run(install, check=False, capture_output=True, text=True)
        if made.returncode != 0:
            missing(f"needs {' '.join(requirements)}: {' '.join(install)} failed: {made.stderr[-500:]}")
        done.touch()
    return here / "bin"
