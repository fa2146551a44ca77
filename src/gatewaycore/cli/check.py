"""``gatewaycore check``: what is wrong with a configuration, and what is odd about it."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from gatewaycore.cli.loading import look_at
from gatewaycore.cli.output import console, count, show_problems, words, write_json
from gatewaycore.config import Config, check_outside
from gatewaycore.errors import ConfigError, Problem
from gatewaycore.lint import Finding, lint
from gatewaycore.router import Router

_STRICT = frozenset({"ambiguous", "shadowed"})


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--strict", is_flag=True, help="Ambiguous and shadowed rules are errors.")
@click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Where everything is kept, whatever FILE says.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def check(ctx: click.Context, file: Path, strict: bool, data_dir: Path | None, as_json: bool) -> None:
    """Tell what is wrong with FILE, all at once, and what is odd about it.

    Errors have their line; the files that enrichments read are opened too, and sinks are asked whether they could be. Warnings: rules that
    can never win, rules that no order can tell apart, rules of a source that another one has already, sources that cannot be reached,
    what was made in the console and is left out, variables that stay empty, targets without TLS, proxies that anybody can be, credentials
    that nobody checks, badges of packages that are not in the file, extras that are not installed here. Ends with status 2 when there are
    errors.
    """
    problems: list[Problem] = []
    findings: list[tuple[str, Problem]] = []
    summary: dict[str, int] | None = None
    try:
        served = look_at(file, data_dir)
        config = served.config
        router = config.compile().router
        lacking = check_outside(config, data_dir, extras=False)
    except ConfigError as error:
        problems = error.problems
    else:
        findings = [("missing-extra", problem) for problem in lacking]
        counted = {"packages": len(config.packages), "collections": len(config.collections)}
        summary = {**counted, "routes": router.count, "domains": len(router.domains)}
        findings += [("stale", one) for one in served.copied]
        findings += [("doubled", problem) for problem in config.doubled]
        findings += [("left-out", problem) for one in served.left_out for problem in one.problems]
        findings += _findings(file, config, router)
    refused = bool(problems) or (strict and any(kind in _STRICT for kind, _ in findings))
    if as_json:
        write_json(_as_json(file, refused, problems, findings, summary))
    else:
        _print(file, problems, findings, summary, strict)
    ctx.exit(2 if refused else 0)


def _findings(file: Path, config: Config, router: Router) -> Iterator[tuple[str, Problem]]:
    for network in config.gateway.trusted_proxies:
        if ip_network(network, strict=False).prefixlen == 0:
            what = f"{network} is everybody: any client can claim any address and host for itself"
            yield "trusts-everybody", Problem(f"{file}: gateway.trusted-proxies", what, "list the networks of your own proxies")
    if config.gateway.request_id_header is not None and not config.gateway.trusted_proxies:
        what = "nobody is trusted to send it, and it is looked at in no request"
        yield "trusts-nobody", Problem(f"{file}: gateway.request-id-header", what, "list your own proxies in trusted-proxies")
    for place, name in config.unknown_badges():
        what = f"there is no package {name[:80]!r} in this file: its badge is there once somebody has made it in the console"
        yield "unknown-package", Problem(f"{file}: badges.packages[{place}]", what)
    for finding in lint(router):
        yield finding.kind, _problem(file, finding)


def _problem(file: Path, finding: Finding) -> Problem:
    package = f" ({finding.package})" if finding.package and not finding.where.endswith(f"/{finding.package}") else ""
    return Problem(f"{file}: {finding.where}{package}", finding.what, finding.hint)


def _print(file: Path, problems: list[Problem], findings: list[tuple[str, Problem]], summary: dict[str, int] | None, strict: bool) -> None:
    out = console()
    show_problems(out, problems)
    for kind, problem in findings:
        fatal = strict and kind in _STRICT
        show_problems(out, [problem], *(("bold red", f"error: {kind}") if fatal else ("yellow", f"warning: {kind}")))
    if summary is None:
        out.print(words(f"{file} cannot be used: {count(len(problems), 'problem')}", "bold red"), soft_wrap=True)
        return
    said = ", ".join(count(number, noun[:-1]) for noun, number in summary.items() if number or noun != "collections")
    if findings:
        out.print(Text.assemble(words(f"{file}: {said}; "), (count(len(findings), "warning"), "yellow")), soft_wrap=True)
    else:
        out.print(Text.assemble(words(f"{file}: {said}; "), ("nothing wrong, nothing odd", "green")), soft_wrap=True)


def _as_json(
    file: Path, refused: bool, problems: list[Problem], findings: list[tuple[str, Problem]], summary: dict[str, int] | None
) -> dict[str, Any]:
    return {
        "file": str(file),
        "ok": not refused,
        "problems": [_plain(problem) for problem in problems],
        "warnings": [{"kind": kind, **_plain(problem)} for kind, problem in findings],
        "summary": summary,
    }


def _plain(problem: Problem) -> dict[str, str]:
    return {"where": problem.where, "what": problem.what, "hint": problem.hint}
