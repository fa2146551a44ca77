"""Python through the gateway from a live index: what each installer does, and what the journal says of it."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from attrs import frozen

from tests.e2e.python_index import PythonIndexServer, Wheel, tools
from tests.e2e.report import Grid
from tests.e2e.running import Client, Gateway, Programs, module

pytestmark = pytest.mark.e2e

MACHINE = platform.machine()
FUEL = Wheel("rocket_fuel", "0.9", tag=f"py3-none-linux_{MACHINE}")
WHEELS = (Wheel("rocket_skates", "1.2.2"), Wheel("rocket_skates", "1.2.3", ("rocket-fuel>=0.5",)), FUEL, Wheel("secret_plan", "1.0"))
ALONE = {"PIP_CONFIG_FILE": "/dev/null", "PIP_RETRIES": "0", "UV_NO_CONFIG": "1", "UV_NO_PROGRESS": "1", "UV_HTTP_RETRIES": "0"}
ALONE |= {"POETRY_VIRTUALENVS_IN_PROJECT": "true", "PDM_CHECK_UPDATE": "false", "PDM_NON_INTERACTIVE": "1"}


@frozen
class Installer:
    """One installer, as its users call it.

    Attributes:
        name: what events call it.
        install: installs rocket-skates from an index into a fresh folder; called with its programs' folder.
        requirements: what its environment is made of.
        revalidates: whether it asks again, for a page that it has, whether that has changed.
    """

    name: str
    install: Callable[[Client, Path, str, Path], None]
    requirements: tuple[str, ...] = ()
    revalidates: bool = True


def by_pip(client: Client, programs: Path, index: str, into: Path) -> None:
    python = str(programs / "python")
    # Without TLS it keeps what it fetches only from hosts that it is told to trust.
    options = ("--disable-pip-version-check", "install", "--trusted-host", urlsplit(index).netloc, "--index-url", index)
    client.run(python, "-m", "pip", *options, "--target", str(into), "Rocket.Skates")


def by_uv(client: Client, programs: Path, index: str, into: Path) -> None:
    options = ("--python", sys.executable, "--no-python-downloads", "--default-index", index, "--target", str(into))
    client.run(*module("uv"), "pip", "install", *options, "Rocket.Skates")


def project(into: Path, more: str) -> None:
    """Write a project that needs rocket-skates, with an environment of its own."""
    into.mkdir(parents=True)
    text = '[project]\nname = "cartoon"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["rocket-skates"]\n'
    (into / "pyproject.toml").write_text(text + more)


def by_poetry(client: Client, programs: Path, index: str, into: Path) -> None:
    project(into, f'[tool.poetry]\npackage-mode = false\n[[tool.poetry.source]]\nname = "acme"\nurl = "{index}"\npriority = "primary"\n')
    client.run(str(programs / "poetry"), "install", "--no-root", "--no-interaction", "--directory", str(into))


def by_pdm(client: Client, programs: Path, index: str, into: Path) -> None:
    project(into, f'[tool.pdm]\ndistribution = false\n[[tool.pdm.source]]\nname = "pypi"\nurl = "{index}"\nverify_ssl = false\n')
    client.run(str(programs / "pdm"), "install", "--no-self", "--project", str(into))


INSTALLERS: Mapping[str, Installer] = {
    "pip 23": Installer("pip", by_pip, ("pip==23.2.1",)),
    "pip": Installer("pip", by_pip, ("pip>=26",)),
    "uv": Installer("uv", by_uv),
    "poetry": Installer("poetry", by_poetry, ("poetry>=2",)),
    "pdm": Installer("pdm", by_pdm, ("pdm==2.25.9", "unearth<0.18", "hishel<1")),
}


@pytest.fixture(scope="session")
def kept(pytestconfig: pytest.Config) -> Path:
    """Where the installers' environments are kept."""
    assert pytestconfig.cache is not None
    return pytestconfig.cache.mkdir("installers")


@pytest.fixture
def index() -> Iterator[PythonIndexServer]:
    with PythonIndexServer(WHEELS) as server:
        yield server


def config(index: PythonIndexServer, **more: Any) -> dict[str, Any]:
    upstream = {"domain": "localhost", "allow-private-backends": True, **more}
    skates = {"name": "Rocket_Skates", "type": "python", "index": index.url, **upstream}
    fuel = {"name": "fuel", "type": "python", "index": index.url, "projects": ["rocket-fuel"], **upstream}
    return {"packages": [skates, fuel]}


def found_in(into: Path, project: str) -> str:
    """Return the version of a project that was installed anywhere below a folder."""
    (module_file,) = into.rglob(f"{project}/__init__.py")
    return module_file.read_text().partition("'")[2].partition("'")[0]


@pytest.fixture(scope="module", params=["json, metadata apart", "json, whole files", "html, metadata apart", "html, whole files"])
def served(request: pytest.FixtureRequest, shared_programs: Programs) -> Iterator[tuple[str, bool, Gateway]]:
    """A gateway before an index that speaks one form, and shows metadata or not."""
    way: str = request.param
    with PythonIndexServer(WHEELS, speaks_json=way.startswith("json"), shows_metadata=way.endswith("apart")) as index:
        # What is asked again is asked upstream: nothing is at hand for long enough to hide it.
        settings = config(index, **{"ttl-s": 0})
        yield way, index.shows_metadata, shared_programs.serve(settings, name=way.replace(", ", "-").replace(" ", "-"))


@pytest.mark.parametrize("called", INSTALLERS)
def test_install(called: str, served: tuple[str, bool, Gateway], kept: Path, tmp_path: Path, grid: Grid) -> None:
    installer = INSTALLERS[called]
    way, metadata, gateway = served
    client = Client(tmp_path / "client", **ALONE)
    folder = tools(kept, *installer.requirements) if installer.requirements else tmp_path
    grid.note(called, way, "no")
    before = len(gateway.events())

    installer.install(client, folder, f"{gateway.url}/simple", tmp_path / "first")
    assert (found_in(tmp_path / "first", "rocket_skates"), found_in(tmp_path / "first", "rocket_fuel")) == ("1.2.3", "0.9")
    first = gateway.events()[before:]
    check(first, installer, metadata)

    installer.install(client, folder, f"{gateway.url}/simple", tmp_path / "second")
    second = gateway.events()[before + len(first) :]
    statuses = {event.status for event in second if event.kind == "metadata" and event.version is None}
    grid.note(called, way, f"yes, then {'/'.join(map(str, sorted(statuses))) or 'kept'}")
    assert statuses == ({304} if installer.revalidates else {200})


def check(events: list[Any], installer: Installer, metadata: bool) -> None:
    """Check that the journal tells of one install of both projects."""
    runtime = f"CPython/{platform.python_version()}"
    assert {(event.client, event.client_runtime, event.package_type, event.domain) for event in events} == {
        (installer.name, runtime, "python", "localhost")
    }
    pages = {(event.package, event.variables["project"]) for event in events if event.kind == "metadata" and event.version is None}
    assert pages == {("Rocket_Skates", "rocket-skates"), ("fuel", "rocket-fuel")}
    # Where the file does not say, the client may.
    (said_arch,) = {event.arch for event in events if event.kind == "download" and event.package == "Rocket_Skates"}
    assert said_arch in (MACHINE, None)
    downloads = {
        (event.package, event.version, event.platform, event.arch, event.decision, event.target, event.variables["file-type"])
        for event in events
        if event.kind == "download"
    }
    assert downloads == {
        ("Rocket_Skates", "1.2.3", "allplatforms", said_arch, "redirect", "127.0.0.2", "wheel"),
        ("fuel", "0.9", "linux", MACHINE, "redirect", "127.0.0.2", "wheel"),
    }
    apart = {(event.package, event.version) for event in events if event.kind == "metadata" and event.version is not None}
    assert apart == ({("Rocket_Skates", "1.2.3"), ("fuel", "0.9")} if metadata else set())


def pip(client: Client, gateway: Gateway, into: Path, project: str) -> Any:
    options = ["--disable-pip-version-check", "--no-cache-dir", "download", "--no-deps", "--index-url", f"{gateway.url}/simple"]
    return client.attempt(*module("pip"), *options, "--dest", str(into), project)


def test_what_is_not_named_is_not_there(programs: Programs, index: PythonIndexServer, tmp_path: Path) -> None:
    """Although the upstream has it, and never by another index."""
    gateway, client = programs.serve(config(index)), Client(tmp_path / "client", **ALONE)
    refused = pip(client, gateway, tmp_path / "here", "secret-plan")
    assert refused.status != 0
    assert "No matching distribution found for secret-plan" in refused.said
    assert index.received == []
    assert gateway.events() == []


def test_an_outage(programs: Programs, index: PythonIndexServer, tmp_path: Path) -> None:
    """pip installs on from the page at hand, and curl sees that it is old."""
    gateway, client = programs.serve(config(index, **{"ttl-s": 0})), Client(tmp_path / "client", **ALONE)
    assert pip(client, gateway, tmp_path / "before", "rocket-skates").status == 0
    index.is_down = True
    assert pip(client, gateway, tmp_path / "after", "rocket-skates").status == 0
    assert len(list((tmp_path / "after").iterdir())) == 1
    seen = client.run("curl", "-s", "-i", "-H", "Accept: application/vnd.pypi.simple.v1+json", f"{gateway.url}/simple/rocket-skates/")
    head = seen.text.partition("\r\n\r\n")[0].lower()
    assert "http/1.1 200" in head
    assert 'warning: 110 gatewaycore "response is stale"' in head
    assert "cache-status: gatewaycore; hit; detail=stale-if-error" in head
    assert "the index 127.0.0.1:" in gateway.program.said()
    cold = client.run("curl", "-s", "-i", f"{gateway.url}/simple/rocket-fuel/").text
    assert cold.startswith("HTTP/1.1 503")
    assert "has no time for it now" in cold
