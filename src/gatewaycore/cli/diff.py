"""``gatewaycore diff``: what one configuration answers differently than another."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gatewaycore.cli.output import console, count, show_columns, show_problems, words, write_json
from gatewaycore.comparing import (
    Asked,
    Compared,
    Group,
    Recorded,
    RuleChange,
    Untold,
    compare_answers,
    compare_rules,
    new_findings,
    open_side,
    other_sections,
    read_events,
    untold_of,
)
from gatewaycore.errors import Problem
from gatewaycore.expectations import find_expectations, read_expectations
from gatewaycore.lint import Finding

_STYLES = {"added": "green", "removed": "red", "changed": "yellow"}
_FATES = {"same": "its rule is the same in both", "changed": "its rule is changed", "gone": "its rule is gone", "unknown": ""}


@click.command()
@click.argument("old")
@click.argument("new")
@click.option(
    "--requests",
    type=click.Path(path_type=Path, exists=True),
    help="A data-dir, a journal, a file of events, or a *.gateway-test.yaml, whose requests both are asked.",
)
@click.option("--samples", default=3, show_default=True, type=click.IntRange(0, 1000), help="Requests shown of each group.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def diff(ctx: click.Context, old: str, new: str, requests: Path | None, samples: int, as_json: bool) -> None:
    """Tell what NEW answers differently than OLD: files, folders, or URLs.

    With --requests, both are asked those, and what is answered differently is grouped by rule; of what cannot be asked again, it is told
    what has become of its rule. Without, the rules are compared: which were added, removed and changed, and what is odd about them that
    was not. Nothing is sent and nothing is kept. Ends with status 1 when something differs or may, 2 when one of the two cannot be used.
    """
    before, after = open_side(old), open_side(new)
    if requests is None:
        changes, findings, others = compare_rules(before, after), new_findings(before, after), other_sections(before, after)
        if as_json:
            told = {"rules": [_change(one) for one in changes], "warnings": [_warning(one) for one in findings], "not-compared": others}
            write_json({"old": old, "new": new, **told})
        else:
            _print_rules(console(), changes, findings, others)
        ctx.exit(1 if changes or findings else 0)
    gateways = before.compile(), after.compile()
    recorded = _from_cases(requests) if _holds_cases(requests) else read_events(requests, gateways[0])
    compared, untold = compare_answers(*gateways, recorded.asked, samples), untold_of(recorded, before, after)
    if as_json:
        write_json({"old": old, "new": new, **_plain(compared, untold)})
    else:
        _print_answers(console(), compared, untold)
    ctx.exit(1 if compared.groups or any(one.may_differ for one in untold) else 0)


def _holds_cases(path: Path) -> bool:
    return path.is_file() and path.suffix in (".yaml", ".yml")


def _from_cases(path: Path) -> Recorded:
    asked: Counter[Asked] = Counter()
    for file in find_expectations(path):
        for case in read_expectations(file).cases:
            asked[Asked(*case.request, case.headers, case.body.encode("utf-8", "surrogatepass"), case.client_ip)] += 1
    return Recorded(asked)


# --- for programs --------------------------------------------------------------------------------------------------------


def _change(change: RuleChange) -> dict[str, Any]:
    keys = {key: {"old": old, "new": new} for key, (old, new) in change.keys.items()}
    return {"kind": change.kind, "rule": change.what, **({"keys": keys} if keys else {})}


def _warning(finding: Finding) -> dict[str, Any]:
    return {"kind": finding.kind, "rule": finding.where, "what": finding.what, "hint": finding.hint}


def _plain(compared: Compared, untold: list[Untold]) -> dict[str, Any]:
    return {
        "requests": compared.requests,
        "distinct": compared.distinct,
        "differing": compared.differing,
        "untold": [{"reason": one.reason, "rule": one.rule or None, "rule-is": one.fate, "events": one.count} for one in untold],
        "groups": [_group(group) for group in compared.groups],
    }


def _group(group: Group) -> dict[str, Any]:
    samples = [
        {
            "request": f"{one.asked.method} {one.asked.url}",
            "count": one.count,
            "old": {"rule": one.old.rule, "decision": one.old.decision, "status": one.old.status, "leads_to": one.old.leads_to},
            "new": {"rule": one.new.rule, "decision": one.new.decision, "status": one.new.status, "leads_to": one.new.leads_to},
        }
        for one in group.samples
    ]
    old, new = ({"rule": rule, "answer": answer} for rule, answer in (group.old, group.new))
    return {"old": old, "new": new, "requests": group.requests, "distinct": group.distinct, "samples": samples}


# --- for people ----------------------------------------------------------------------------------------------------------


def _print_rules(out: Console, changes: list[RuleChange], findings: list[Finding], others: list[str]) -> None:
    for change in changes:
        style = _STYLES[change.kind]
        out.print(Text.assemble((f"{change.kind:8}", style), words(change.what)), soft_wrap=True)
        if change.keys:
            rows = [
                (Text(f"         {key}"), words(old, "red"), Text("->"), words(new, "green")) for key, (old, new) in change.keys.items()
            ]
            show_columns(out, rows)
    for one in findings:
        show_problems(out, [Problem(one.where, one.what, one.hint)], "yellow", f"new warning: {one.kind}")
    if others:
        out.print(Text(f"not compared, and no part of an answer: {', '.join(others)}", "dim"))
    if changes:
        out.print(Text("whether requests meet other rules than before is told with --requests", "dim"))
    counted = Counter(change.kind for change in changes)
    said = ", ".join(f"{counted[kind]} {kind}" for kind in ("added", "removed", "changed") if counted[kind])
    out.print(Text(said or "the rules are the same", "bold" if said else "green"))


def _print_answers(out: Console, compared: Compared, untold: list[Untold]) -> None:
    if compared.groups:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for title in ("requests", "old", "new"):
            table.add_column(title, justify="right" if title == "requests" else "left", overflow="fold")
        for group in compared.groups:
            table.add_row(Text(f"{group.requests:,}", "bold"), _side(group.old, "red"), _side(group.new, "green"))
            for one in group.samples:
                table.add_row("", words(f"{one.asked.method} {one.asked.url}", "dim"))
                table.add_row(
                    "", words(f"  {one.old.leads_to or one.old.status}", "dim"), words(str(one.new.leads_to or one.new.status), "dim")
                )
        out.print(table)
    if untold:
        out.print(Text("Cannot be asked again", "bold"))
        show_columns(out, [_untold(one) for one in untold])
    said = f"{compared.differing:,} of {count(compared.requests, 'request')} would be answered differently"
    unsure = sum(one.count for one in untold if one.may_differ)
    if unsure:
        said += f", and {unsure:,} more may be"
    out.print(Text(said, "bold red" if compared.groups or unsure else "bold green"))


def _untold(one: Untold) -> list[Text]:
    fate = Text(_FATES[one.fate], "bold red" if one.may_differ else "dim")
    return [Text(f"  {count(one.count, 'event')}", "yellow"), words(one.rule or "no rule"), fate, Text(one.reason, "dim")]


def _side(side: tuple[str | None, str], style: str) -> Text:
    rule, answer = side
    return Text.assemble(words(rule or "no rule"), "\n", words(answer, style))
