"""``gatewaycore test``: the expectations beside a configuration."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from gatewaycore.cli.output import complain, console, words
from gatewaycore.errors import ConfigError
from gatewaycore.expectations import Result, Suite, find_expectations, read_expectations, run_case
from gatewaycore.gateway import Gateway
from gatewaycore.service import load


@click.command()
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="FILE…")
@click.option("-v", "--verbose", is_flag=True, help="Name the tests that pass, too.")
@click.pass_context
def test(ctx: click.Context, files: tuple[Path, ...], verbose: bool) -> None:
    """Run the expectations in FILE: a *.gateway-test.yaml, a gateway.yaml that has some beside it, or a folder.

    No server is started and nothing is kept. Ends with status 1 when an expectation does not hold, 2 when a file cannot be used.
    """
    out = console()
    suites, unusable = _read(files)
    gateways: dict[tuple[Path, bool], Gateway | None] = {}
    passed = failed = 0
    for suite in suites:
        key = suite.config.resolve(), suite.scarf_hosts
        if key not in gateways:
            gateways[key] = _load(suite)
            unusable += gateways[key] is None
        gateway = gateways[key]
        if gateway is None:
            continue
        for case, line in zip(suite.cases, suite.lines, strict=True):
            result = run_case(gateway, case)
            passed, failed = (passed, failed + 1) if result.differences else (passed + 1, failed)
            if result.differences or verbose:
                _show(out, suite, line, result)
    summary = f"{passed} passed, {failed} failed" + (f", {unusable} unusable" if unusable else "")
    out.print(Text(summary, "bold red" if failed or unusable else "bold green"))
    ctx.exit(2 if unusable else 1 if failed else 0)


def _read(files: tuple[Path, ...]) -> tuple[list[Suite], int]:
    suites: list[Suite] = []
    unusable = 0
    for file in files:
        try:
            paths = find_expectations(file)
        except ConfigError as error:
            complain(console(stderr=True), error)
            unusable += 1
            continue
        for path in paths:
            try:
                suites.append(read_expectations(path))
            except ConfigError as error:
                complain(console(stderr=True), error)
                unusable += 1
    return suites, unusable


def _load(suite: Suite) -> Gateway | None:
    try:
        return load(suite.config, scarf_hosts=suite.scarf_hosts)
    except ConfigError as error:
        complain(console(stderr=True), error)
        return None


def _show(out: Console, suite: Suite, line: int, result: Result) -> None:
    mark = ("FAILED", "bold red") if result.differences else ("passed", "green")
    out.print(Text.assemble(mark, " ", words(f"{suite.path}:{line}", "bold"), ": ", words(result.case.title)), soft_wrap=True)
    if not result.differences:
        return
    width = max(len(difference.what) for difference in result.differences)
    for difference in result.differences:
        out.print(Text.assemble(words(f"    {difference.what:{width}}  expected  "), words(difference.expected, "green")), soft_wrap=True)
        out.print(Text.assemble(f"    {'':{width}}  seen      ", words(difference.seen, "red")), soft_wrap=True)
    out.print(words(f"    {' '.join(result.case.request)} was answered by {result.seen.rule or 'no rule'}", "dim"), soft_wrap=True)
