"""The pytest plugin, in projects that use it and in those that merely have it installed."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.served import environment

pytest_plugins = ["pytester"]

CONFIG = """\
packages:
  - {name: cli, type: file, domain: get.acme.example, incoming-path: "/{version}", outgoing-url: "https://cdn.acme.example/{version}"}
"""
EXPECTATIONS = """\
tests:
  - name: it holds
    request: GET https://get.acme.example/1.0
    expect: {status: 302, events: [{version: 1.0}]}
  - name: it does not
    request: GET https://get.acme.example/1.0
    expect: {status: 301, location: https://cdn.acme.example/2.0}
  - request: GET https://get.acme.example/2.0
    expect: {location: https://cdn.acme.example/2.0}
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.path.joinpath("gateway.yaml").write_text(CONFIG)
    return pytester


# Where the distribution is installed, pytest finds the plugin by itself, and would not have it named again.
NAMED = [] if any(point.name == "gatewaycore" for point in entry_points(group="pytest11")) else ["-p", "gatewaycore.pytest_plugin"]


def run(project: pytest.Pytester, *options: str) -> pytest.RunResult:
    return project.runpytest_inprocess(*NAMED, "-p", "no:cacheprovider", *options)


def test_expectations_are_items(project: pytest.Pytester) -> None:
    project.path.joinpath("a.gateway-test.yaml").write_text(EXPECTATIONS)
    result = run(project, "-v")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        [
            "a.gateway-test.yaml::it holds PASSED*",
            "a.gateway-test.yaml::it does not FAILED*",
            "a.gateway-test.yaml::GET https://get.acme.example/2.0 PASSED*",
            "*a.gateway-test.yaml:5",
            "*was answered by get.acme.example/{version}",
            "*status",
            "*expected  301",
            "*seen      302",
            "*location",
            "*expected  https://cdn.acme.example/2.0",
            "*seen      https://cdn.acme.example/1.0",
        ]
    )
    assert "Traceback" not in result.stdout.str()
    assert "runtest" not in result.stdout.str()


def test_items_are_chosen_by_name(project: pytest.Pytester) -> None:
    project.path.joinpath("a.gateway-test.yaml").write_text(EXPECTATIONS)
    run(project, "-k", "holds").assert_outcomes(passed=1, deselected=2)


def test_a_file_that_is_not_understood_is_an_error(project: pytest.Pytester) -> None:
    project.path.joinpath("a.gateway-test.yaml").write_text("tests:\n  - {requst: x}\n")
    result = run(project)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*a.gateway-test.yaml:2: tests[[]0[]].requst: unknown key (did you mean 'request'?)*"])


def test_a_configuration_that_cannot_be_used_fails_in_words(project: pytest.Pytester) -> None:
    project.path.joinpath("a.gateway-test.yaml").write_text(EXPECTATIONS)
    project.path.joinpath("gateway.yaml").write_text("packages: 3")
    result = run(project)
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(["*gateway.yaml:1: packages: *"])
    assert "def " not in result.stdout.str()


ASKS = """\
def test_it(gateway, simulate):
    assert simulate("GET", "https://get.acme.example/1.0").location == "https://cdn.acme.example/1.0"
    assert gateway.router.domains == ("get.acme.example",)
"""


def test_the_fixtures_take_the_nearest_configuration(project: pytest.Pytester) -> None:
    project.makepyfile(test_a=ASKS)
    run(project).assert_outcomes(passed=1)


def test_the_fixtures_take_the_configuration_that_the_ini_option_names(project: pytest.Pytester) -> None:
    project.makepyfile(test_a=ASKS)
    project.mkdir("deploy")
    project.path.joinpath("gateway.yaml").rename(project.path / "deploy" / "gw.yaml")
    project.makeini("[pytest]\ngateway_config = deploy/gw.yaml\n")
    run(project).assert_outcomes(passed=1)


def test_the_fixtures_say_what_is_missing(project: pytest.Pytester) -> None:
    project.makepyfile(test_a=ASKS)
    project.makeini("[pytest]\n")
    project.path.joinpath("gateway.yaml").write_text("packages: 3")
    result = run(project)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*gateway.yaml:1: packages: *"])
    project.path.joinpath("gateway.yaml").unlink()
    result = run(project)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*there is no gateway.yaml in *"])


def test_projects_that_do_not_use_it_pay_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_nothing.py").write_text(
        "import sys\n\n\ndef test_it():\n"
        "    late = ('gatewaycore.config', 'gatewaycore.service', 'gatewaycore.rules', 'click', 'rich.', 'uvicorn', 'httpx')\n"
        "    assert [name for name in sys.modules if name.startswith(late)] == []\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "gatewaycore.pytest_plugin", "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False,
        env={**environment(), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONWARNINGS": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
