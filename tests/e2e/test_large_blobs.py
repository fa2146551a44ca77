"""A blob of one gibibyte: past the gateway where the registry has storage of its own, and through it in small pieces where it has not."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from attrs import frozen
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from tests.e2e.https import Server
from tests.e2e.registries import GATEWAY, Lab, serve
from tests.e2e.report import Table
from tests.e2e.running import Client, Gateway, Programs, tool

pytestmark = pytest.mark.e2e

GIBIBYTE = 1 << 30
MEBIBYTE = 1 << 20
NAME = "acme/large"


@frozen
class Large:
    """A registry's storage with one blob in it: zeros, for they take no room on disk."""

    root: Path
    digest: str

    @property
    def hex(self) -> str:
        return self.digest.partition(":")[2]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Large:
    digest = hashlib.sha256()
    for _ in range(GIBIBYTE // MEBIBYTE):
        digest.update(bytes(MEBIBYTE))
    made = Large(tmp_path_factory.mktemp("large"), f"sha256:{digest.hexdigest()}")
    data = made.root / f"docker/registry/v2/blobs/sha256/{made.hex[:2]}/{made.hex}/data"
    data.parent.mkdir(parents=True)
    with data.open("wb") as file:
        file.truncate(GIBIBYTE)
    link = made.root / f"docker/registry/v2/repositories/{NAME}/_layers/sha256/{made.hex}/link"
    link.parent.mkdir(parents=True)
    link.write_text(made.digest)
    return made


@pytest.fixture(scope="module")
def storage(lab: Lab, large: Large) -> Server:
    """Object storage that refuses whoever shows it a token, as S3 does."""

    async def answer(request: Request) -> Response:
        if "authorization" in request.headers:
            return Response("Only one auth mechanism allowed", 400)
        return FileResponse(large.root / request.url.path.lstrip("/"))

    return lab.serve(answer, "127.0.0.4")


def registry(programs: Programs, folder: Path, large: Large, redirect: str | None) -> str:
    """Start Debian's registry on that storage; return where it is."""
    settings: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(large.root)}},
        "http": {"addr": "127.0.0.1:0"},
    }
    if redirect is not None:
        settings["middleware"] = {"storage": [{"name": "redirect", "options": {"baseurl": f"{redirect}/"}}]}
    settings["log"]["level"] = "info"
    (folder / "registry.yaml").write_text(yaml.safe_dump(settings))
    server = programs.start("registry", [tool("docker-registry", "docker-registry"), "serve", str(folder / "registry.yaml")])
    return f"127.0.0.1:{server.listen(r'listening on 127[.]0[.]0[.]1:([0-9]+)')}"


def memory(pid: int, what: str) -> int:
    """Return bytes of memory: "VmRSS" now, "VmHWM" at the most."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no {what}")


@pytest.fixture(params=["redirects", "streams"])
def gateway(
    request: pytest.FixtureRequest, programs: Programs, tmp_path: Path, lab: Lab, large: Large, storage: Server
) -> tuple[str, Gateway]:
    backend = registry(programs, tmp_path, large, storage.url if request.param == "redirects" else None)
    package = {"name": "large", "type": "container", "domain": GATEWAY, "backend": f"{backend}/{NAME}", "backend-scheme": "http"}
    return request.param, serve(programs, lab, {"packages": [{**package, "strategy": "broker"}]})


def test_a_gibibyte_through_the_broker(gateway: tuple[str, Gateway], client: Client, large: Large, lab: Lab, table: Table) -> None:
    how, served = gateway
    curl = [tool("curl", "curl"), "--fail", "--silent", "--show-error", "--cacert", str(lab.certificates.authority)]
    token = yaml.safe_load(client.run(*curl, f"{served.url}/v2/token?scope=repository:large:pull").text)["token"]
    curl += ["--location", "--header", f"Authorization: Bearer {token}"]
    blob = f"{served.url}/v2/large/blobs/{large.digest}"
    assert client.run(*curl, "--range", "0-9", blob).output == bytes(10)
    before = memory(served.program.pid, "VmRSS")
    fetched = client.run(*curl, "--output", "/dev/null", "--write-out", "%{size_download} %{http_code}", blob)
    growth = memory(served.program.pid, "VmHWM") - before
    assert fetched.text == f"{GIBIBYTE} 200"
    ranged, whole = [event for event in served.events() if event.kind == "blob"]
    assert ranged.variables["range"] == "bytes=0-9"
    table.figures.append(
        f"a blob of 1 GiB, registry {how}: {whole.bytes} bytes through the gateway, memory grew by {growth / MEBIBYTE:.1f} MiB"
    )
    assert growth < 64 * MEBIBYTE
    if how == "redirects":
        assert whole.bytes < MEBIBYTE
        assert (whole.status, ranged.status) == (307, 307)
    else:
        assert (whole.bytes, whole.status, ranged.bytes, ranged.status) == (GIBIBYTE, 200, 10, 206)
