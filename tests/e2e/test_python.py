"""Python: pip and uv install a wheel through the index, asking nobody else, and refuse a file with another hash."""

from __future__ import annotations

import hashlib
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import apps
from tests.e2e.origin import Origin
from tests.e2e.python_index import Wheel
from tests.e2e.running import Client, Gateway, Programs, module

pytestmark = pytest.mark.e2e

WHEEL = Wheel("rocket_skates", "1.2.3")
FILE = WHEEL.file_name
WHEEL_PATH = f"/packages/{FILE}"
REQUIREMENT = "rocket-skates==1.2.3"


def config(origin: Origin, digest: str | None = None) -> dict[str, Any]:
    file: Mapping[str, Any] = {
        "file-name": FILE,
        "url": origin.url + WHEEL_PATH,
        "hashes": {"sha256": digest or hashlib.sha256(origin.files[WHEEL_PATH]).hexdigest()},
        "requires-python": ">=3.8",
    }
    return {"packages": [{"name": "Rocket_Skates", "type": "python", "domain": "localhost", "files": [file]}]}


@pytest.fixture
def origin(origin: Origin) -> Origin:
    origin.files[WHEEL_PATH] = WHEEL.build()
    return origin


@pytest.fixture
def gateway(programs: Programs, origin: Origin) -> Gateway:
    return programs.serve(config(origin))


@pytest.fixture
def client(tmp_path: Path) -> Client:
    """pip and uv, who read no configuration, keep no cache, and know of no index but the one they are told."""
    alone = {"PIP_CONFIG_FILE": "/dev/null", "PIP_NO_CACHE_DIR": "1", "PIP_RETRIES": "0", "UV_NO_CONFIG": "1", "UV_NO_CACHE": "1"}
    return Client(tmp_path / "client", **alone)


def pip(command: str, index: str, *more: str) -> list[str]:
    return [*module("pip"), "--disable-pip-version-check", command, "--no-deps", "--index-url", index, *more]


def uv(index: str, *more: str) -> list[str]:
    return [*module("uv"), "pip", "install", "--python", sys.executable, "--no-python-downloads", "--no-deps", "--index-url", index, *more]


def installer_version(client: Client, name: str) -> str:
    return client.run(*module(name), "--version").text.split()[1]


def check(gateway: Gateway, client: Client, name: str) -> None:
    """Check that the journal holds an install of the wheel by the installer of this name."""
    events = gateway.events()
    about = {(event.client, event.client_version, event.client_runtime, event.package_type, event.domain) for event in events}
    runtime = f"CPython/{platform.python_version()}"
    assert about == {(name, installer_version(client, name), runtime, "python", "localhost")}
    pages = [event for event in events if event.kind == "metadata"]
    assert {(event.package, event.status, event.decision, event.method, event.version) for event in pages} == {
        ("Rocket_Skates", 200, "respond", "GET", None)
    }
    downloads = [event for event in events if event.kind == "download"]
    assert len(pages) + len(downloads) == len(events)
    assert {(event.package, event.status, event.decision, event.version, event.target) for event in downloads} == {
        ("Rocket_Skates", 302, "redirect", "1.2.3", "127.0.0.1")
    }
    assert "GET" in {event.method for event in downloads}
    assert all(event.variables["file"] == FILE for event in downloads)


def test_pip_download(client: Client, gateway: Gateway, tmp_path: Path) -> None:
    client.run(*pip("download", f"{gateway.url}/simple", "--dest", str(tmp_path / "here"), REQUIREMENT))
    assert (tmp_path / "here" / FILE).read_bytes() == WHEEL.build()
    check(gateway, client, "pip")


@pytest.mark.parametrize("index", ["/simple", "/simple/"])
def test_pip_install(index: str, client: Client, gateway: Gateway, tmp_path: Path) -> None:
    # Another spelling of the name, which pip normalises.
    client.run(*pip("install", gateway.url + index, "--target", str(tmp_path / "site"), "Rocket.Skates==1.2.3"))
    assert (tmp_path / "site/rocket_skates/__init__.py").read_text() == "VERSION = '1.2.3'\n"
    check(gateway, client, "pip")


def test_uv_install(client: Client, gateway: Gateway, tmp_path: Path) -> None:
    client.run(*uv(f"{gateway.url}/simple", "--target", str(tmp_path / "site"), "Rocket.Skates==1.2.3"))
    assert (tmp_path / "site/rocket_skates/__init__.py").read_text() == "VERSION = '1.2.3'\n"
    check(gateway, client, "uv")


def test_unknown_projects_are_sought_nowhere_else(client: Client, gateway: Gateway, origin: Origin, tmp_path: Path) -> None:
    refused = client.attempt(*pip("download", f"{gateway.url}/simple", "--dest", str(tmp_path / "here"), "rocket-boots"))
    assert refused.status != 0
    assert "No matching distribution found for rocket-boots" in refused.said
    assert origin.received == []


def test_pip_refuses_another_hash(client: Client, programs: Programs, origin: Origin, tmp_path: Path) -> None:
    gateway = programs.serve(config(origin, "0" * 64))
    refused = client.attempt(*pip("install", f"{gateway.url}/simple", "--target", str(tmp_path / "site"), REQUIREMENT))
    assert refused.status != 0
    assert "HASH" in refused.said
    assert "0" * 64 in refused.said
    assert not (tmp_path / "site").exists()


def test_uv_refuses_another_hash(client: Client, programs: Programs, origin: Origin, tmp_path: Path) -> None:
    gateway = programs.serve(config(origin, "0" * 64))
    refused = client.attempt(*uv(f"{gateway.url}/simple", "--target", str(tmp_path / "site"), REQUIREMENT))
    assert refused.status != 0
    assert "0" * 64 in refused.said
    assert not (tmp_path / "site/rocket_skates").exists()


def test_pip_below_a_mount(client: Client, programs: Programs, origin: Origin, tmp_path: Path) -> None:
    gateway = programs.serve_below_a_mount(config(origin))
    client.run(*pip("install", f"{gateway.url}{apps.PREFIX}/simple", "--target", str(tmp_path / "site"), REQUIREMENT))
    assert (tmp_path / "site/rocket_skates/__init__.py").read_text() == "VERSION = '1.2.3'\n"
    check(gateway, client, "pip")
    assert client.attempt(*pip("download", f"{gateway.url}/simple", "--dest", str(tmp_path), REQUIREMENT)).status != 0
