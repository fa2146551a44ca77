"""``gatewaycore diff``: what one configuration answers differently than another."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gatewaycore.cli.output import console, count, show_columns, words, write_json
from gatewaycore.comparing import Asked, Compared, Group, Recorded, RuleChange, compare_answers, compare_rules, open_side, read_events
from gatewaycore.expectations import find_expectations, read_expectations

_STYLES = {"added": "green", "removed": "red", "changed": "yellow"}


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

    With --requests, both are asked those, and what is answered differently is grouped by rule. Without, the rules are compared: which were
    added, removed and changed. Nothing is sent and nothing is kept. Ends with status 1 when something differs.
    """
    before, after = open_side(old), open_side(new)
    if requests is None:
        changes = compare_rules(before, after)
        if as_json:
            write_json({"old": old, "new": new, "rules": [_change(one) for one in changes]})
        else:
            _print_rules(console(), changes)
        ctx.exit(1 if changes else 0)
    gateways = before.compile(), after.compile()
    recorded = _from_cases(requests) if _holds_cases(requests) else read_events(requests, gateways[0])
    compared = compare_answers(*gateways, recorded.asked, samples)
    if as_json:
        write_json({"old": old, "new": new, **_plain(compared, recorded)})
    else:
        _print_answers(console(), compared, recorded)
    ctx.exit(1 if compared.groups else 0)


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


def _plain(compared: Compared, recorded: Recorded) -> dict[str, Any]:
    return {
        "requests": compared.requests,
        "distinct": compared.distinct,
        "differing": compared.differing,
        "untold": dict(recorded.untold),
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


def _print_rules(out: Console, changes: list[RuleChange]) -> None:
    for change in changes:
        style = _STYLES[change.kind]
        out.print(Text.assemble((f"{change.kind:8}", style), words(change.what)), soft_wrap=True)
        if change.keys:
            rows = [
                (Text(f"         {key}"), words(old, "red"), Text("->"), words(new, "green")) for key, (old, new) in change.keys.items()
            ]
            show_columns(out, rows)
    counted = Counter(change.kind for change in changes)
    said = ", ".join(f"{counted[kind]} {kind}" for kind in ("added", "removed", "changed") if counted[kind])
    out.print(Text(said or "the rules are the same", "bold" if said else "green"))


def _print_answers(out: Console, compared: Compared, recorded: Recorded) -> None:
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
    for reason, number in recorded.untold.most_common():
        out.print(Text(f"cannot be told of {count(number, 'event')}: {reason}", "yellow"), soft_wrap=True)
    said = f"{compared.differing:,} of {count(compared.requests, 'request')} would be answered differently"
    out.print(Text(said, "bold red" if compared.groups else "bold green"))


def _side(side: tuple[str | None, str], style: str) -> Text:
    rule, answer = side
    return Text.assemble(words(rule or "no rule"), "\n", words(answer, style))
