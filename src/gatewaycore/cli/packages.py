"""``gatewaycore packages``: what a gateway serves, and which images its collections have brought."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from attrs import frozen
from rich.text import Text

from gatewaycore.cli.loading import load_served
from gatewaycore.cli.output import console, count, show_columns, words, write_json
from gatewaycore.config import Config
from gatewaycore.plugins import rosters
from gatewaycore.route import Rule
from gatewaycore.service import STATE
from gatewaycore.state import PulledPackage, State

_IMAGES = "container"


@frozen
class _Listed:
    """A line: a package, and its pulls where it is an image."""

    name: str
    type: str
    domain: str
    pulls: int = 0
    last_pulled_at: datetime | None = None
    collection: str | None = None


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Where everything is kept, whatever FILE says.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def packages(file: Path, data_dir: Path | None, as_json: bool) -> None:
    """List the packages of FILE, and the images that its collections have brought, with their pulls.

    An image of a collection is listed from its first pull on. Pulls are counted by a server that runs, and by gatewaycore ship: up to about
    ten seconds ago.
    """
    config = load_served(file, data_dir)
    pulled = State((data_dir or Path(config.gateway.data_dir)) / STATE).packages()
    by_rule: dict[str, list[PulledPackage]] = {}
    for one in pulled:
        by_rule.setdefault(one.rule, []).append(one)
    tags = {cls: tag for tag, cls in rosters().rules.items()}
    # What is left when every package has taken its own was brought by a collection.
    configured = [_configured(rule, tags.get(type(rule), ""), by_rule) for rule in config.packages]
    brought = list(_brought(config, [one for one in pulled if one.rule in by_rule]))
    if as_json:
        write_json({"packages": [_plain(one) for one in configured], "collections": [_plain(one) for one in brought]})
    else:
        _print(configured, brought)


def _configured(rule: Rule, tag: str, by_rule: dict[str, list[PulledPackage]]) -> _Listed:
    """Return the line of a package, whose pulls it takes away: by the rule, for one on "*.acme.example" is pulled from any of its hosts."""
    labels = [route.label for route in rule.compile()]
    own = [one for label in labels for one in by_rule.pop(label, ())]
    last = max((one.last_pulled_at for one in own), default=None)
    # A type of another distribution need have neither name nor domain.
    name, domain = getattr(rule, "name", None) or labels[0], getattr(rule, "domain", None) or ""
    return _Listed(name, tag, domain, sum(one.pulls for one in own), last)


def _brought(config: Config, pulled: Iterable[PulledPackage]) -> Iterator[_Listed]:
    collections = {route.label for rule in config.collections for route in rule.compile()}
    for one in pulled:
        # What a rule has brought that is there no more is listed all the same: it was pulled.
        by = one.rule if one.rule in collections else None
        yield _Listed(one.name, one.package_type, one.domain, one.pulls, one.last_pulled_at, by)


def _plain(one: _Listed) -> dict[str, Any]:
    last = None if one.last_pulled_at is None else one.last_pulled_at.isoformat()
    plain = {"name": one.name, "type": one.type, "domain": one.domain, "pulls": one.pulls, "last-pulled-at": last}
    return plain if one.collection is None else {**plain, "collection": one.collection}


def _print(configured: Sequence[_Listed], brought: Sequence[_Listed]) -> None:
    out = console()
    for heading, lines, none in (("Packages", configured, "none"), ("Brought by collections", brought, "none yet")):
        out.print(Text(heading, "bold"))
        if lines:
            show_columns(out, [_row(one) for one in lines])
        else:
            out.print(Text(f"  {none}", "dim"))


def _row(one: _Listed) -> list[Text]:
    pulls = Text(count(one.pulls, "pull") if one.type == _IMAGES else "")
    last = "" if one.last_pulled_at is None else f"last {one.last_pulled_at:%Y-%m-%d %H:%M} UTC"
    by = "" if one.collection is None else f"by {one.collection}"
    return [words(f"  {one.name}", "bold"), words(one.type), words(one.domain), pulls, Text(last, "dim"), words(by, "dim")]
