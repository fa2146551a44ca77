"""The pytest plugin: ``*.gateway-test.yaml`` files are tests, and the fixtures `gateway` and `simulate` ask a configuration.

pytest loads this in every project of an environment that has gatewaycore installed. So nothing that takes time is imported before there is
a file of expectations, or a test that asks for a fixture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gatewaycore.expectations import Case, Result, Suite
    from gatewaycore.gateway import Gateway
    from gatewaycore.testing import Seen

_SUFFIX = ".gateway-test.yaml"
_CONFIG = "gateway.yaml"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the ini option that names the configuration."""
    parser.addini("gateway_config", f"the configuration of the fixture `gateway`; by default the nearest {_CONFIG}", default=None)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect files of expectations."""
    return ExpectationFile.from_parent(parent, path=file_path) if file_path.name.endswith(_SUFFIX) else None


class ExpectationFile(pytest.File):
    """One ``*.gateway-test.yaml``; its configuration is read once, with the first of its tests that runs."""

    suite: Suite
    _gateway: Gateway | None = None

    def collect(self) -> Iterator[pytest.Item]:
        """Make an item of each case."""
        from gatewaycore.errors import ConfigError
        from gatewaycore.expectations import read_expectations

        try:
            self.suite = read_expectations(self.path)
        except ConfigError as error:
            raise self.CollectError(str(error)) from error
        for number, case in enumerate(self.suite.cases):
            yield ExpectationItem.from_parent(self, name=case.title, case=case, line=self.suite.lines[number])

    @property
    def gateway(self) -> Gateway:
        """The configuration, compiled."""
        if self._gateway is None:
            from gatewaycore.service import load

            self._gateway = load(self.suite.config, scarf_hosts=self.suite.scarf_hosts)
        return self._gateway


class ExpectationError(Exception):
    """A case that does not hold; `result` says why."""

    def __init__(self, result: Result) -> None:
        self.result = result
        super().__init__(", ".join(difference.what for difference in result.differences))


class ExpectationItem(pytest.Item):
    """One case."""

    def __init__(self, *, case: Case, line: int, **more: Any) -> None:
        super().__init__(**more)
        self._case = case
        self._line = line

    def runtest(self) -> None:
        """Ask the gateway, and compare."""
        from gatewaycore.expectations import run_case

        assert isinstance(self.parent, ExpectationFile)  # what makes items of this class is its file alone
        result = run_case(self.parent.gateway, self._case)
        if result.differences:
            raise ExpectationError(result)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show expected and seen side by side; of a configuration that cannot be used, what is wrong with it."""
        from gatewaycore.errors import GatewayError

        error = excinfo.value
        if isinstance(error, ExpectationError):
            return _shown(error.result, f"{self.path}:{self._line}")
        if isinstance(error, GatewayError):
            return str(error)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Return where the case stands."""
        # Not the bare name: pytest would take the dots in it for those of a module, and write "get::acme::example".
        return self.path, self._line - 1, f"{self.path.name}: {self.name}"


def _shown(result: Result, where: str) -> str:
    lines = [where, f"    {' '.join(result.case.request)}", f"    was answered by {result.seen.rule or 'no rule'}"]
    for difference in result.differences:
        lines += [f"  {difference.what}", f"    expected  {difference.expected}", f"    seen      {difference.seen}"]
    return "\n".join(lines)


@pytest.fixture(scope="session")
def gateway(pytestconfig: pytest.Config) -> Gateway:
    """The gateway of the ini option ``gateway_config``, or of the nearest gateway.yaml: decides, and keeps nothing."""
    from gatewaycore.errors import ConfigError
    from gatewaycore.service import load

    path = _config_path(pytestconfig)
    try:
        return load(path)
    except ConfigError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from error


@pytest.fixture(scope="session")
def simulate(gateway: Gateway) -> Callable[..., Seen]:
    """`gatewaycore.testing.simulate`, bound to the fixture `gateway`: ``simulate("GET", "https://get.acme.example/install.sh")``."""
    from gatewaycore.testing import simulate as ask

    return partial(ask, gateway)


def _config_path(config: pytest.Config) -> Path:
    named = config.getini("gateway_config")
    if named:
        return config.rootpath / str(named)
    start = config.invocation_params.dir
    for folder in (start, *start.parents):
        if (folder / _CONFIG).is_file():
            return folder / _CONFIG
        if folder == config.rootpath:
            break
    raise pytest.fail.Exception(f"there is no {_CONFIG} in {start} or above; name one with the ini option gateway_config", pytrace=False)
