"""``gatewaycore explain``: what one request would be answered with, why, and what would be written down of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import msgspec
from attrs import fields, frozen
from rich.console import Console
from rich.json import JSON
from rich.text import Text

from gatewaycore.cli.loading import load_served
from gatewaycore.cli.output import console, count, show_columns, show_indented, words, write_json
from gatewaycore.cli.withheld import withheld
from gatewaycore.clientip import TrustedProxies
from gatewaycore.config import open_enrichers
from gatewaycore.event import Event
from gatewaycore.gateway import Gateway
from gatewaycore.headers import Headers
from gatewaycore.owntraffic import OwnTraffic
from gatewaycore.request import Request
from gatewaycore.testing import Seen, make_request, simulate

_SHOWN = 20
# Of a host with more rules than these, only the first are asked why they lost.
_ASKED = 100_000


@frozen
class _Tried:
    """A rule and why it lost; the winner's `why` is empty."""

    rule: str
    package: str | None
    why: str


@frozen
class _Explanation:
    request: Request
    seen: Seen
    tried: list[_Tried]
    total: int
    near: list[str]
    privacy: list[str]


def _field_line(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    lines = []
    for value in values:
        name, colon, content = value.partition(":")
        if not colon or not name.strip():
            raise click.BadParameter(f"{value!r} is no header; write it as 'Name: value'")
        lines.append((name.strip(), content.strip()))
    return tuple(lines)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("url")
@click.option("-X", "--method", help="GET, or POST with a body, unless told otherwise.")
@click.option(
    "-H",
    "--header",
    "headers",
    multiple=True,
    callback=_field_line,
    metavar="'NAME: VALUE'",
    help="A field of the request; may be repeated.",
)
@click.option("-d", "--data", default="", help="The body.")
@click.option("--client-ip", default="", metavar="ADDRESS", help="Who connects to the gateway: the client, or a proxy.")
@click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Where everything is kept, whatever FILE says.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def explain(
    file: Path,
    url: str,
    method: str | None,
    headers: tuple[tuple[str, str], ...],
    data: str,
    client_ip: str,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Tell what a request for URL would be answered with by FILE's gateway, and why.

    Shows the rules that were tried, the answer, the event as it would be written, and what privacy keeps out of it. Nothing is sent and
    nothing is kept.
    """
    config = load_served(file, data_dir)
    gateway = config.compile()
    own = config.gateway.own_traffic.compile()
    origin = TrustedProxies.parse(config.gateway.trusted_proxies).origin(client_ip, Headers(headers))
    body = data.encode("utf-8", "surrogateescape")
    seen = simulate(
        gateway,
        method or ("POST" if data else "GET"),
        _wire(_on_host(url, origin.host)),
        headers=headers,
        body=body,
        client_ip=origin.address,
        enrichers=open_enrichers(config),
        own=own,
    )
    explanation = _explained(gateway, seen, body, own)
    if as_json:
        write_json(_as_json(explanation))
    else:
        _print(console(), explanation)


def _on_host(url: str, host: str | None) -> str:
    """Return `url` as a trusted proxy says that it was asked for."""
    if host is None:
        return url
    request = make_request("GET", url)
    return f"{request.scheme}://{host}{request.path}" + (f"?{request.query}" if request.query else "")


def _wire(url: str) -> str:
    """Return `url` with its path and query as a client would send them: what is no visible ASCII character is percent-encoded."""
    start = url.find("/", url.find("://") + 3) if "://" in url else url.find("/")
    if start < 0:
        return url
    sent = (character if "!" <= character <= "~" else quote(character.encode("utf-8", "surrogateescape")) for character in url[start:])
    return url[:start] + "".join(sent)


def _explained(gateway: Gateway, seen: Seen, body: bytes, own: OwnTraffic | None) -> _Explanation:
    request = seen.outcome.request
    router = gateway.router
    tried = [_Tried(route.label, route.package, why) for route, why in islice(router.tried(request), _ASKED)]
    near = [] if tried else get_close_matches(request.host, router.domains, n=3)
    return _Explanation(request, seen, _nearest(tried, request), len(tried), near, withheld(seen.outcome, body, seen.events, own))


def _nearest(tried: Sequence[_Tried], request: Request) -> list[_Tried]:
    """Return the winner and those that came nearest, in the order in which they were tried."""
    if len(tried) <= _SHOWN:
        return list(tried)
    wanted = f"{request.host}{request.path}"

    def likeness(number: int) -> tuple[bool, bool, int]:
        one = tried[number]
        same = next((at for at, (a, b) in enumerate(zip(one.rule, wanted, strict=False)) if a != b), min(len(one.rule), len(wanted)))
        return not one.why, one.why.startswith("matches"), same

    chosen = sorted(range(len(tried)), key=likeness, reverse=True)[:_SHOWN]
    return [tried[number] for number in sorted(chosen)]


def _event(event: Event) -> dict[str, Any]:
    """Return an event as its line in the journal holds it: empty columns are not written."""
    plain: dict[str, Any] = json.loads(msgspec.json.encode(event))
    return {column.name: plain[column.name] for column in fields(Event) if plain.get(column.name) not in (None, {})}


# --- for programs --------------------------------------------------------------------------------------------------------


def _as_json(explanation: _Explanation) -> dict[str, Any]:
    seen, request = explanation.seen, explanation.request
    match = seen.outcome.match
    return {
        "request": {"method": request.method, "host": request.host, "path": request.path, "query": request.query},
        "rule": seen.rule,
        "package": None if match is None else match.route.package,
        "variables": {} if match is None else dict(match.variables),
        "decision": seen.decision,
        "status": seen.status,
        "location": seen.location,
        "upstream": seen.upstream,
        "headers": [list(line) for line in seen.headers.items()],
        "tried": [{"rule": one.rule, "package": one.package, "won": not one.why, "why": one.why} for one in explanation.tried],
        "tried_total": explanation.total,
        "events": [_event(event) for event in seen.events],
        "privacy": explanation.privacy,
    }


# --- for people ----------------------------------------------------------------------------------------------------------


def _print(out: Console, explanation: _Explanation) -> None:
    request = explanation.request
    target = f"{request.scheme}://{request.host}{request.path}" + (f"?{request.query}" if request.query else "")
    out.print(Text.assemble((request.method, "bold"), " ", words(target, "bold")), soft_wrap=True)
    _heading(out, "Rules")
    _print_rules(out, explanation)
    _heading(out, "Answer")
    _print_answer(out, explanation.seen)
    events = explanation.seen.events
    _heading(out, "Event" if len(events) == 1 else "Events")
    if not events:
        show_indented(out, Text("none is written"))
    elif explanation.seen.unread:
        show_indented(out, Text("with nothing said; its status, decision and target are those of the answer", "dim"))
    for event in events:
        show_indented(out, JSON(json.dumps(_event(event)), indent=2).text)
    _heading(out, "Kept out by privacy")
    for sentence in explanation.privacy:
        show_indented(out, words(f"- {sentence}"))


def _heading(out: Console, text: str) -> None:
    out.print()
    out.print(Text(text, "bold cyan"))


def _print_rules(out: Console, explanation: _Explanation) -> None:
    if not explanation.total:
        hint = f"; did you mean {' or '.join(explanation.near)}?" if explanation.near else ""
        show_indented(out, words(f"no rule is for the host {explanation.request.host}{hint}", "yellow"))
        return
    rows = []
    for one in explanation.tried:
        won = not one.why
        style = "bold green" if won else ""
        # Not colour alone: a pipe has none, and not every eye either.
        mark = Text(" ->" if won else "   ", style)
        rows.append((mark, words(one.rule, style), words(one.package or "", style or "dim"), words(one.why or "answers", style or "dim")))
    show_columns(out, rows)
    rest = explanation.total - len(explanation.tried)
    if rest:
        out.print(Text(f"     and {count(rest, 'rule')} more that lost", "dim"))
    if explanation.seen.rule is None:
        show_indented(out, Text("no rule matches", "yellow"))


def _print_answer(out: Console, seen: Seen) -> None:
    if seen.unread:
        out.print(Text.assemble("  ", (seen.decision, "bold")))
        out.print(words(f"  upstream  {seen.upstream}"), soft_wrap=True)
        out.print(Text("            what it says is read, and decides what is answered: nothing was asked", "dim"), soft_wrap=True)
        return
    style = "red" if seen.status >= 400 else "green"
    out.print(Text.assemble("  ", (seen.decision, "bold"), " ", (str(seen.status), f"bold {style}")))
    if seen.upstream is not None:
        out.print(words(f"  upstream  {seen.upstream}"), soft_wrap=True)
        out.print(Text("            taken to answer 200: nothing was asked", "dim"), soft_wrap=True)
    if seen.location is not None:
        out.print(words(f"  location  {seen.location}"), soft_wrap=True)
    for name, value in seen.headers.items():
        if name not in ("location", "content-length"):
            out.print(words(f"  {name}: {value}", "dim"), soft_wrap=True)
    if seen.status >= 400 and seen.body:
        out.print(words(f"  {seen.body.decode('utf-8', 'replace').strip()}", "dim"), soft_wrap=True)
