"""npm, yarn and pnpm through the gateway: what each does, what stands in its lock file, and what the journal says of it."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from tests.e2e import apps
from tests.e2e.npm_registry import NpmRegistryServer, Package, tools
from tests.e2e.report import Grid
from tests.e2e.running import Client, Finished, Gateway, Programs, tool

pytestmark = pytest.mark.e2e

FUEL = Package("@acme/fuel", "0.9.0")
PACKAGES = (
    Package("rocket-skates", "1.2.2"),
    Package("rocket-skates", "1.2.3", {"@acme/fuel": ">=0.5"}),
    FUEL,
    Package("left-pad", "1.0.0"),
)


@frozen
class Installer:
    """One client, as its users call it.

    Attributes:
        program: its file below the folder of the clients; "" for the npm that is here.
        install: installs what the package.json in a folder wants.
        lock: its lock file.
        names: what its lock file says of where packages come from: the gateway's own URL, or nothing where the address is in its settings.
        client: what events call it.
        again: what the gateway answers when the client wants a document that it has seen before.
    """

    program: str
    install: Callable[[Client, list[str], str, Path], None]
    lock: str
    names: bool
    client: str
    again: int


def by_npm(client: Client, command: list[str], registry: str, into: Path) -> None:
    (into / ".npmrc").write_text(f"registry={registry}/\n")
    options = ("--no-audit", "--no-fund", "--no-update-notifier", "--fetch-retries=0")
    client.run(*command, "install", "--prefix", str(into), *options)


def by_yarn1(client: Client, command: list[str], registry: str, into: Path) -> None:
    (into / ".yarnrc").write_text(f'registry "{registry}"\n')
    options = ("--cwd", str(into), "--non-interactive", "--no-progress", "--disable-self-update-check")
    # Its cache knows tarballs by their names alone, and would not ask for them again.
    client.run(*command, "install", *options, "--cache-folder", str(into / "cache"))


def by_yarn4(client: Client, command: list[str], registry: str, into: Path) -> None:
    settings = (
        f'npmRegistryServer: "{registry}"',
        "unsafeHttpWhitelist: [localhost]",
        "enableTelemetry: false",
        "enableGlobalCache: false",
        "nodeLinker: node-modules",
        "enableImmutableInstalls: false",
        "httpRetry: 0",
    )
    (into / ".yarnrc.yml").write_text("\n".join([*settings, ""]))
    (into / "yarn.lock").touch()
    client.run(*command, "--cwd", str(into), "install")


def by_pnpm(client: Client, command: list[str], registry: str, into: Path) -> None:
    (into / ".npmrc").write_text(f"registry={registry}/\nupdate-notifier=false\n")
    options = (
        "--dir",
        str(into),
        "--store-dir",
        str(into / "store"),
        "--config.fetch-retries=0",
        "--config.lockfile-include-tarball-url=true",
    )
    client.run(*command, "install", *options)


INSTALLERS: Mapping[str, Installer] = {
    "npm": Installer("", by_npm, "package-lock.json", True, "npm", 304),
    "npm 10": Installer("npm10/bin/npm-cli.js", by_npm, "package-lock.json", True, "npm", 304),
    "yarn 1": Installer("yarn1/bin/yarn.js", by_yarn1, "yarn.lock", True, "yarn", 200),
    "yarn 4": Installer("yarn4/bin/yarn.js", by_yarn4, "yarn.lock", False, "got", 304),
    "pnpm 9": Installer("pnpm9/bin/pnpm.cjs", by_pnpm, "pnpm-lock.yaml", True, "pnpm", 200),
    "pnpm 10": Installer("pnpm10/bin/pnpm.cjs", by_pnpm, "pnpm-lock.yaml", True, "pnpm", 200),
}


@pytest.fixture(scope="session")
def programs_of_npm(pytestconfig: pytest.Config) -> Path:
    """The folder of the clients."""
    assert pytestconfig.cache is not None
    return tools(pytestconfig.cache.mkdir("npm-clients"))


def config(registry: NpmRegistryServer, **more: Any) -> dict[str, Any]:
    upstream = {"type": "npm", "domain": "localhost", "registry": registry.url, "allow-private-backends": True, **more}
    return {"packages": [{"name": "rocket-skates", "id": "skates-js", **upstream}, {"name": "acme", "scopes": ["@acme"], **upstream}]}


@frozen
class Served:
    """A gateway before a registry."""

    gateway: Gateway
    registry: NpmRegistryServer


@pytest.fixture(scope="module")
def served(shared_programs: Programs) -> Iterator[Served]:
    with NpmRegistryServer(PACKAGES) as registry:
        # What is asked again is asked upstream: nothing is at hand for long enough to hide it.
        yield Served(shared_programs.serve(config(registry, **{"ttl-s": 0})), registry)


def program_of(installer: Installer, folder: Path) -> list[str]:
    return [tool("node", "nodejs"), str(folder / installer.program)] if installer.program else [tool("npm", "nodejs npm")]


def project(into: Path) -> Path:
    into.mkdir(parents=True)
    (into / "package.json").write_text(
        json.dumps({"name": "cartoon", "version": "1.0.0", "private": True, "dependencies": {"rocket-skates": "^1.2.0"}})
    )
    return into


def installed(into: Path, package: str) -> str:
    """Return the version of a package that node finds from a folder: for pnpm, from where rocket-skates is."""
    look = f"const at = require.resolve('rocket-skates'); console.log(require(require.resolve('{package}', {{paths: [at]}})))"
    return subprocess.run([tool("node", "nodejs"), "-e", look], cwd=into, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize("called", INSTALLERS)
def test_install(called: str, served: Served, programs_of_npm: Path, tmp_path: Path, grid: Grid) -> None:
    grid.note(called, "npm", "no")
    grid.note(called, "npm", f"yes, then {install(INSTALLERS[called], served.gateway, programs_of_npm, tmp_path)}")


def test_install_from_a_registry_that_does_not_abbreviate(programs: Programs, programs_of_npm: Path, tmp_path: Path, grid: Grid) -> None:
    with NpmRegistryServer(PACKAGES, abbreviates=False) as registry:
        gateway = programs.serve(config(registry, **{"ttl-s": 0}))
        grid.note("npm", "npm, whole form alone", f"yes, then {install(INSTALLERS['npm'], gateway, programs_of_npm, tmp_path)}")


@pytest.mark.parametrize("called", ["npm", "yarn 4"])
def test_install_below_a_mount(called: str, programs: Programs, programs_of_npm: Path, tmp_path: Path) -> None:
    """Tarballs lead below the mount, in the lock file too."""
    with NpmRegistryServer(PACKAGES) as registry:
        url = programs.serve_below_a_mount(config(registry)).url + apps.PREFIX
        installer, into = INSTALLERS[called], project(tmp_path / "here")
        installer.install(Client(tmp_path / "client"), program_of(installer, programs_of_npm), f"{url}/npm", into)
        assert (installed(into, "rocket-skates"), installed(into, "@acme/fuel")) == ("1.2.3", "0.9.0")
        assert (f"{url}/npm/@acme/fuel/-/fuel-0.9.0.tgz" in (into / installer.lock).read_text()) is installer.names


def install(installer: Installer, gateway: Gateway, folder: Path, tmp_path: Path) -> str:
    """Install, from a lock file too, and once more; return what documents are answered with that a client has seen before."""
    client, program, url = Client(tmp_path / "client"), program_of(installer, folder), f"{gateway.url}/npm"
    before = len(gateway.events())
    first = project(tmp_path / "first")
    installer.install(client, program, url, first)
    assert (installed(first, "rocket-skates"), installed(first, "@acme/fuel")) == ("1.2.3", "0.9.0")
    events = gateway.events()[before:]
    check(events, installer)
    lock = (first / installer.lock).read_text()
    assert "127.0.0." not in lock
    for link in ("rocket-skates/-/rocket-skates-1.2.3.tgz", "@acme/fuel/-/fuel-0.9.0.tgz"):
        assert (f"{url}/{link}" in lock) is installer.names

    # From the lock file, with nothing at hand: every tarball is asked for again, from the gateway.
    third = project(tmp_path / "third")
    (third / installer.lock).write_text(lock)
    installer.install(Client(tmp_path / "other"), program, url, third)
    assert (installed(third, "rocket-skates"), installed(third, "@acme/fuel")) == ("1.2.3", "0.9.0")
    locked = gateway.events()[before + len(events) :]
    assert {event.version for event in locked if event.kind == "download"} == {"1.2.3", "0.9.0"}

    installer.install(client, program, url, project(tmp_path / "second"))
    second = gateway.events()[before + len(events) + len(locked) :]
    statuses = {event.status for event in second if event.kind == "metadata"}
    assert statuses == {installer.again}
    return str(installer.again)


def check(events: list[Any], installer: Installer) -> None:
    """Check that the journal tells of one install of both packages."""
    node = subprocess.run([tool("node", "nodejs"), "--version"], check=True, capture_output=True, text=True).stdout.strip()
    # yarn 4 says neither what it runs on nor where.
    runtime, system = (None, None) if installer.client == "got" else (f"node/{node}", platform.system().lower())
    assert {(event.client, event.client_runtime, event.os, event.package_type, event.domain) for event in events} == {
        (installer.client, runtime, system, "npm", "localhost")
    }
    documents = {(event.package, event.variables["project"], event.status) for event in events if event.kind == "metadata"}
    assert documents == {("skates-js", "rocket-skates", 200), ("@acme/fuel", "@acme/fuel", 200)}
    downloads = {
        (event.package, event.version, event.decision, event.status, event.target, event.variables["file"])
        for event in events
        if event.kind == "download"
    }
    assert downloads == {
        ("skates-js", "1.2.3", "redirect", 302, "127.0.0.2", "rocket-skates-1.2.3.tgz"),
        ("@acme/fuel", "0.9.0", "redirect", 302, "127.0.0.2", "fuel-0.9.0.tgz"),
    }


# --- npm's other commands ------------------------------------------------------------------------------------------------


@pytest.fixture
def npm(served: Served, tmp_path: Path) -> Callable[..., Finished]:
    """Runs npm against a gateway, with a token that it has for it, in a project that wants rocket-skates."""
    return npm_for(served.gateway, tmp_path / "client")


def npm_for(gateway: Gateway, home: Path) -> Callable[..., Finished]:
    client = Client(home, CI="")
    token = f"//{gateway.authority}/npm/:_authToken=npm_secret\n"
    (home / ".npmrc").write_text(f"registry={gateway.url}/npm/\nfetch-retries=0\nupdate-notifier=false\naudit=false\n{token}")
    wants(home, "cartoon")
    return lambda *words: client.attempt(tool("npm", "nodejs npm"), *words)


def wants(folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    manifest = {"name": name, "version": "9.9.9", "dependencies": {"rocket-skates": "^1.2.0"}}
    (folder / "package.json").write_text(json.dumps(manifest))


def test_what_is_not_named_is_not_there(npm: Callable[..., Finished], served: Served) -> None:
    """Although the upstream has it."""
    refused = npm("view", "left-pad")
    assert refused.status != 0
    assert "this registry serves no such package" in refused.said
    assert not any("left-pad" in received.path for received in served.registry.received)


def test_reading(npm: Callable[..., Finished], served: Served) -> None:
    assert npm("ping").status == 0
    assert npm("view", "rocket-skates", "version").text.strip() == "1.2.3"
    assert npm("view", "@acme/fuel@latest", "dist.tarball").text.strip() == f"{served.gateway.url}/npm/@acme/fuel/-/fuel-0.9.0.tgz"
    assert npm("dist-tag", "ls", "rocket-skates").text.strip() == "latest: 1.2.3"
    # What a client shows to the gateway is shown to nobody else.
    assert served.registry.received
    assert not any("authorization" in received.headers for received in served.registry.received)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("search rocket", "this registry is not searched"),
        ("whoami", "this registry has no accounts"),
        ("dist-tag add rocket-skates@1.2.2 old", "this registry is only read"),
        ("unpublish --force rocket-skates", "this registry is only read"),
        ("publish", "this registry is only read"),
        ("audit", "this registry knows no advisories"),
    ],
)
def test_what_is_refused(npm: Callable[..., Finished], command: str, said: str, served: Served, tmp_path: Path) -> None:
    if command == "audit":
        assert npm("install").status == 0
    if command == "publish":
        wants(tmp_path / "client", "rocket-skates")
    refused = npm(*command.split())
    assert refused.status != 0
    assert said in refused.said
    assert {received.method for received in served.registry.received} <= {"GET"}


def test_an_install_does_not_fail_for_want_of_an_audit(npm: Callable[..., Finished]) -> None:
    done = npm("install", "--audit")
    assert done.status == 0
    # Nor does it say that there are none.
    assert "vulnerabilities" not in done.text


def test_an_outage(programs: Programs, tmp_path: Path) -> None:
    """npm installs on from the document at hand; where there is none it says why."""
    with NpmRegistryServer(PACKAGES) as registry:
        gateway = programs.serve(config(registry, **{"ttl-s": 0}))
        npm = npm_for(gateway, tmp_path / "client")
        assert npm("install").status == 0
        registry.is_down = True
        wants(tmp_path / "after", "cartoon")
        assert npm("install", "--cache", str(tmp_path / "empty"), "--prefix", str(tmp_path / "after")).status == 0
        assert installed(tmp_path / "after", "@acme/fuel") == "0.9.0"
        assert "the page at hand is shown" in gateway.program.said()
        cold = npm("view", "@acme/other")
    assert cold.status != 0
    assert "the index behind this gateway has no time for it now" in cold.said
