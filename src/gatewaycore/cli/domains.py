"""``gatewaycore domains``: the domains of a gateway, what their records have to hold, and what they hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from attrs import frozen
from rich.text import Text

from gatewaycore.cli.loading import load_config
from gatewaycore.cli.output import console, show_columns, words, write_json
from gatewaycore.config import Config
from gatewaycore.errors import ConfigError, GatewayError, Problem
from gatewaycore.proving import Look, Record, read_domain, records_for
from gatewaycore.proving.resolver import Resolver

if TYPE_CHECKING:
    from gatewaycore.access import Access, Domain, Principal
    from gatewaycore.verifying import Looks

_FILE = click.argument("file", type=click.Path(path_type=Path))
_NAMES = click.argument("names", nargs=-1, metavar="[DOMAIN]...")
_DATA_DIR = click.option(
    "--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Where everything is kept, whatever FILE says."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
_STYLES = {"verified": "green", "configured": "green", "pending": "yellow", "failing": "yellow", "lost": "red"}


@frozen(kw_only=True)
class _Known:
    """A domain, of the file or of an organisation.

    Attributes:
        state: "configured", for one of the file: nobody has to prove those.
        domain: as the state database has it; None for one of the file.
        records: to be set.
    """

    name: str
    organisation: str
    state: str
    reason: str
    checked_at: datetime | None
    domain: Domain | None
    records: Sequence[Record]

    def plain(self) -> dict[str, Any]:
        """Return it for programs."""
        checked = None if self.checked_at is None else self.checked_at.isoformat()
        records = [{"type": one.type, "name": one.name, "value": one.value, "instead": one.instead} for one in self.records]
        told = {"name": self.name, "organisation": self.organisation, "state": self.state, "reason": self.reason, "checked-at": checked}
        return {**told, "proof": "file" if self.domain is None else self.domain.proof, "records": records}


@click.group()
def domains() -> None:
    """List domains, what their DNS records have to hold, and what they hold."""


@domains.command("list")
@_FILE
@_JSON
@_DATA_DIR
def list_(file: Path, as_json: bool, data_dir: Path | None) -> None:
    """List the domains of FILE, and those that organisations have named in its console."""
    with _opened(file, data_dir) as (config, access):
        found = _all(config, access)
    if as_json:
        write_json({"domains": [one.plain() for one in found]})
    elif found:
        _show(found)
    else:
        click.echo("there are no domains")


@domains.command()
@_FILE
@_NAMES
@_JSON
@_DATA_DIR
def verify(file: Path, names: tuple[str, ...], as_json: bool, data_dir: Path | None) -> None:
    """Look at the records of each DOMAIN now, or of all of them.

    The status is 1 when one of them is not proved, or does not lead here.
    """
    with _opened(file, data_dir) as (config, access):
        seen = [_look(config, access, one) for one in _chosen(config, access, names)]
    if as_json:
        write_json({"domains": [{**one.plain(), "is-well": is_well} for one, is_well in seen]})
    else:
        _show([one for one, _ in seen])
    if not all(is_well for _, is_well in seen):
        raise click.exceptions.Exit(1)


@domains.command()
@_FILE
@_NAMES
@_JSON
@_DATA_DIR
def instructions(file: Path, names: tuple[str, ...], as_json: bool, data_dir: Path | None) -> None:
    """Tell the DNS records to set for each DOMAIN, or for all of them."""
    with _opened(file, data_dir) as (config, access):
        found = _chosen(config, access, names)
    if as_json:
        write_json({"domains": [one.plain() for one in found]})
        return
    out = console()
    for one in found:
        out.print(words(one.name, "bold"), soft_wrap=True)
        if not one.records:
            out.print(words("  no records: it needs no proof"), soft_wrap=True)
            continue
        show_columns(out, [_record(record) for record in one.records])


@domains.command()
@_FILE
@click.argument("name", metavar="DOMAIN")
@click.option("--organisation", required=True, help="Whose it is, by its name in the console.")
@click.option("--vouch", is_flag=True, help="Take it for proved, whatever its records say: it is never looked at.")
@_DATA_DIR
def add(file: Path, name: str, organisation: str, vouch: bool, data_dir: Path | None) -> None:
    """Say that DOMAIN is an organisation's, and tell the records that prove it."""
    with _opened(file, data_dir) as (config, access):
        if access is None:
            raise ConfigError([Problem(f"{file}: console", "is missing: organisations are there", "console: {domain: console.acme.com}")])
        by = _operator()
        made = _looks(config, access).create(name, organisation, by)
        if vouch:
            made = access.domains.vouch(made.name, organisation, by)
        known = _of_console(config, made, organisation)
    click.echo(f"{known.name} is {known.state}")
    if known.records:
        show_columns(console(), [_record(record) for record in known.records])


@contextmanager
def _opened(file: Path, data_dir: Path | None) -> Iterator[tuple[Config, Access | None]]:
    config = load_config(file, data_dir)
    if config.console is None:
        yield config, None
        return
    from gatewaycore.following import open_access

    with closing(open_access(config, (data_dir or Path(config.gateway.data_dir)).absolute())) as access:
        yield config, access


def _all(config: Config, access: Access | None) -> list[_Known]:
    own = {domain for rule in config.rules if (domain := getattr(rule, "domain", None))}
    place = config.gateway.place
    found = [
        _Known(
            name=name,
            organisation="",
            state="configured",
            reason="",
            checked_at=None,
            domain=None,
            records=records_for(name, None, place) if name != "*" else (),
        )
        for name in own
    ]
    if access is not None:
        names = access.groups.names()
        found += [_of_console(config, one, names.get(one.organisation_id, "")) for one in access.domains.all()]
    return sorted(found, key=lambda one: (one.name, one.organisation))


def _of_console(config: Config, domain: Domain, organisation: str) -> _Known:
    records = records_for(domain.name, domain.challenge, config.gateway.place) if domain.proof == "records" else []
    return _Known(
        name=domain.name,
        organisation=organisation,
        state=domain.state,
        reason=domain.reason,
        checked_at=domain.checked_at,
        domain=domain,
        records=records,
    )


def _chosen(config: Config, access: Access | None, names: Sequence[str]) -> list[_Known]:
    found = _all(config, access)
    if not names:
        return found
    wanted = [read_domain(name) for name in names]
    for name in wanted:
        if all(one.name != name for one in found):
            raise GatewayError(f"there is no domain {name}: see gatewaycore domains list")
    return [one for one in found if one.name in wanted]


def _look(config: Config, access: Access | None, known: _Known) -> tuple[_Known, bool]:
    """Look at a domain; return it as it is now, and whether it is well."""
    if known.domain is None or access is None:
        place = config.gateway.place
        if not known.records or not place or not config.gateway.verification.leads_here:
            return known, True
        look = Look.at(known.name, None, place, Resolver(config.gateway.verification))
        seen = _Known(
            name=known.name,
            organisation="",
            state=known.state,
            reason=look.reason,
            checked_at=datetime.now(UTC),
            domain=None,
            records=known.records,
        )
        return seen, look.verdict == "proved"
    if known.domain.proof != "records" or not config.gateway.verification.verify:
        return known, known.state == "verified"
    found = _looks(config, access).look(known.domain)
    if found is None:
        raise GatewayError(f"there is no domain {known.name} any more")
    return _of_console(config, found, known.organisation), found.state == "verified" and not found.reason


def _looks(config: Config, access: Access) -> Looks:
    from gatewaycore.verifying import Looks

    return Looks(access, lambda: config)


def _operator() -> Principal:
    """Return whoever gives commands on the gateway's own machine: they can read the data-dir."""
    from gatewaycore.access import Principal, User

    return Principal(user=User(id="", name="command line", is_operator=True, created_at=datetime.now(UTC), disabled_at=None))


def _show(found: Sequence[_Known]) -> None:
    rows = [[Text(name, "dim") for name in ("domain", "organisation", "state", "looked at", "why")]]
    for one in found:
        checked = "" if one.checked_at is None else f"{one.checked_at:%Y-%m-%d %H:%M:%S}"
        style = _STYLES.get(one.state, "")
        rows.append([words(one.name, "bold"), words(one.organisation), words(one.state, style), words(checked), words(one.reason)])
    show_columns(console(), rows)


def _record(record: Record) -> list[Text]:
    note = "instead of the CNAME, where none can stand" if record.instead else ""
    value = record.value if record.value is not None else "(a name or an address of this gateway)"
    return [words(f"  {record.type}", "dim"), words(f"{record.name}."), words(value, "bold"), words(note, "dim")]
