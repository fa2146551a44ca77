"""Every example answers for itself and for its gateway, asked through its framework's own test client."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import werkzeug.test
from litestar.testing import TestClient as LitestarClient

from gatewaycore import load
from gatewaycore.config import read_config
from gatewaycore.expectations import read_expectations, run_case
from gatewaycore.lint import lint
from gatewaycore.rules import RULES, CollectionRule

with warnings.catch_warnings():
    # On import it announces that its next version wants another HTTP client.
    warnings.simplefilter("ignore", UserWarning)
    from fastapi.testclient import TestClient as FastapiClient
    from starlette.testclient import TestClient as StarletteClient

EXAMPLES = Path(__file__).parent.parent / "examples"
TARBALL = "/linux/1.1.0/rocket-skates.tgz"
TARGET = "https://cdn.acme.example/1.1.0/rocket-skates-linux.tgz"
Example = Callable[[str], ModuleType]


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Example]:
    """Import an example as its server would, in a working directory of its own: there its data-dir lies."""
    monkeypatch.chdir(tmp_path)
    loaded: list[ModuleType] = []

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        # Frameworks look for a module by its name: Django for its URLs, FastAPI for its annotations.
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        loaded.append(module)
        return module

    yield load
    for module in loaded:
        module.gateway.service.close()


def journal(module: ModuleType) -> list[dict[str, Any]]:
    files: list[Path] = sorted(module.gateway.service.journal.directory.glob("*.jsonl"))
    assert all(path.absolute().is_relative_to(Path.cwd()) for path in files)
    return [json.loads(line) for path in files for line in path.read_text().splitlines()]


def downloads(module: ModuleType) -> list[tuple[str, str]]:
    return [(event["package"], event["version"]) for event in journal(module)]


def test_fastapi(example: Example) -> None:
    module = example("fastapi_app")
    with FastapiClient(module.app, follow_redirects=False) as client:
        assert client.get("/versions").json() == ["1.1.0"]
        answer = client.get(f"/download{TARBALL}")
    assert (answer.status_code, answer.headers["location"]) == (302, TARGET)
    assert downloads(module) == [("rocket-skates-cli", "1.1.0")]


def test_starlette(example: Example) -> None:
    module = example("starlette_app")
    with StarletteClient(module.app, follow_redirects=False) as client:
        assert client.get("/").text == "Acme\n"
        answer = client.get(f"/download{TARBALL}")
        assert (answer.status_code, answer.headers["location"]) == (302, TARGET)
        answer = client.get("/simple/rocket-skates/", headers={"Host": "py.acme.example"})
        assert "rocket_skates-1.1.0.tar.gz" in answer.text
        containerd = {"Host": "docker.acme.example", "User-Agent": "containerd/2.0.0"}
        answer = client.get("/v2/acme/rocket-skates/manifests/1.1.0", headers=containerd)
        assert answer.headers["location"] == "https://ghcr.io/v2/acme/rocket-skates/manifests/1.1.0"
    assert [event["package_type"] for event in journal(module)] == ["file", "python", "container"]


def test_litestar(example: Example) -> None:
    module = example("litestar_app")
    with LitestarClient(module.app) as client:
        assert client.get("/versions").json() == ["1.1.0"]
        answer = client.get(f"/download{TARBALL}", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (302, TARGET)
    assert downloads(module) == [("rocket-skates-cli", "1.1.0")]


def test_flask(example: Example) -> None:
    module = example("flask_app")
    client = module.app.test_client()
    assert client.get("/versions").json == ["1.1.0"]
    answer = client.get(f"/download{TARBALL}")
    assert (answer.status_code, answer.headers["location"]) == (302, TARGET)
    answer = client.get("/download/install.sh?from=docs", headers={"Sec-GPC": "1"})
    assert answer.headers["location"] == "https://cdn.acme.example/install.sh?from=docs"
    assert downloads(module) == [("rocket-skates-cli", "1.1.0")]


def test_django(example: Example) -> None:
    module = example("django_app")
    from django.test import Client

    assert Client().get("/versions").json() == {"versions": ["1.1.0"]}
    # Django's own client asks its views and no WSGI application.
    client = werkzeug.test.Client(module.application)
    assert client.get("/versions", base_url="http://acme.example").json == {"versions": ["1.1.0"]}
    for path, base_url in ((TARBALL, "http://get.acme.example:8000"), (f"/download{TARBALL}", "http://acme.example")):
        answer = client.get(path, base_url=base_url)
        assert (answer.status_code, answer.headers["location"]) == (302, TARGET)
    assert downloads(module) == [("rocket-skates-cli", "1.1.0")] * 2


CONFIGURATIONS = sorted(path for path in EXAMPLES.glob("*.yaml") if not path.name.endswith(".gateway-test.yaml"))


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the configurations take from the environment."""
    for name in {name for path in CONFIGURATIONS for name in re.findall(r"-env: (\w+)", path.read_text())}:
        monkeypatch.setenv(name, "of the environment")


@pytest.mark.usefixtures("secrets")
@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.name)
def test_a_configuration_and_what_it_should_do(path: Path) -> None:
    """There is nothing to say against it, and what is expected beside it holds."""
    assert list(lint(read_config(path).compile().router)) == []
    suite = read_expectations(path.with_suffix(".gateway-test.yaml"))
    assert suite.config == path
    gateway = load(path)
    assert [(case.title, run_case(gateway, case).differences) for case in suite.cases] == [(case.title, ()) for case in suite.cases]


def test_every_type_of_package_is_shown() -> None:
    config = read_config(EXAMPLES / "gateway.yaml")
    assert {type(rule) for rule in config.rules} == {*RULES.values(), CollectionRule} - {RULES["install"]}


def test_no_lifespan_is_needed(example: Example) -> None:
    """Servers without one (and test clients not entered) are answered all the same."""
    module = example("fastapi_app")
    assert FastapiClient(module.app, follow_redirects=False).get(f"/download{TARBALL}").status_code == 302
    asyncio.run(module.gateway.aclose())
