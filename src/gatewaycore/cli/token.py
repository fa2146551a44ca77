"""``gatewaycore token``: access tokens: those of people, who sign in to the console and the API, and those that configurations hold."""

from __future__ import annotations

import re
import secrets
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.text import Text

from gatewaycore.cli.loading import load_config
from gatewaycore.cli.output import console, show_columns, words
from gatewaycore.errors import ConfigError, GatewayError, Problem
from gatewaycore.rules.access import hash_token

if TYPE_CHECKING:
    from gatewaycore.access import Access, Scope

_LIFETIME = re.compile(r"(\d{1,5})([hdwy])")
_HOURS = {"h": 1, "d": 24, "w": 7 * 24, "y": 365 * 24}
_FILE = click.argument("file", type=click.Path(path_type=Path))
_DATA_DIR = click.option(
    "--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Where everything is kept, whatever FILE says."
)


@click.group()
def token() -> None:
    """Make access tokens, and the hashes that a configuration holds."""


@token.command("hash")
def hash_() -> None:
    """Print the hash of a token that is typed, or piped in: what access-tokens holds."""
    # Not an argument: those are seen by everybody on the machine, and kept in the shell's history.
    text = click.prompt("token", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.read()
    written = text.strip()
    if not written:
        raise click.UsageError("there is no token on standard input")
    if any(character.isspace() for character in written):
        raise click.UsageError("a token holds no white space; pipe in one token")
    click.echo(hash_token(written))


@token.command()
def new() -> None:
    """Print a new token, which is shown only now, and its hash."""
    made = secrets.token_urlsafe(32)
    click.echo(f"token  {made}")
    click.echo(f"hash   {hash_token(made)}")


# --- of people -------------------------------------------------------------------------------------------------------------


@token.command()
@_FILE
@click.option("--user", required=True, help="Whose it is; made, if there is nobody of that name.")
@click.option("--operator", is_flag=True, help="A user who is made runs the gateway, and may do everything.")
@click.option("--name", default="made on the command line", show_default=True, help="What it is for.")
@click.option("--scope", type=click.Choice(["read", "write", "admin"]), default="admin", show_default=True, help="How far it reaches.")
@click.option("--expires", default="90d", show_default=True, metavar="TIME", help="For how long it is good: 12h, 90d, 8w, 1y, or never.")
@_DATA_DIR
def create(file: Path, user: str, operator: bool, name: str, scope: Scope, expires: str, data_dir: Path | None) -> None:
    """Make a token to sign in with to the console of FILE, or to use its API. It is shown only now.

    The first one, for whoever runs the gateway: gatewaycore token create gateway.yaml --user ada --operator
    """
    until = _until(expires)
    with closing(_open(file, data_dir)) as access:
        whose = access.people.find_user(user)
        if whose is None:
            whose = access.people.create_user(user, is_operator=operator)
        elif operator and not whose.is_operator:
            raise GatewayError(f"{whose.name} is there already, and is no operator")
        if whose.disabled_at is not None:
            raise GatewayError(f"{whose.name} is let in no more")
        _, secret = access.people.create_token(whose, name, [scope], until)
    # Alone on standard output, so that a script can take it.
    console(stderr=True).print(
        words(f"a token of {whose.name}, scope {scope}, {'for ever' if until is None else f'until {until:%Y-%m-%d}'}", "dim")
    )
    click.echo(secret)


@token.command("list")
@_FILE
@click.option("--user", required=True, help="Whose.")
@_DATA_DIR
def list_(file: Path, user: str, data_dir: Path | None) -> None:
    """List somebody's tokens: never their secrets, which nobody has kept."""
    with closing(_open(file, data_dir)) as access:
        whose = access.people.find_user(user)
        if whose is None:
            raise GatewayError(f"there is no user {user[:80]!r}")
        found = access.people.tokens(whose)
    if not found:
        click.echo(f"{whose.name} has no token")
        return
    rows = [[Text(name, "dim") for name in ("id", "for", "ends in", "scope", "expires", "used")]]
    for one in found:
        expires = "never" if one.expires_at is None else f"{one.expires_at:%Y-%m-%d}"
        used = "never" if one.used_on is None else f"{one.used_on:%Y-%m-%d}"
        rows.append([words(cell) for cell in (one.id, one.name, f"…{one.hint}", " ".join(one.scopes), expires, used)])
    show_columns(console(), rows)


@token.command()
@_FILE
@click.argument("token_id")
@_DATA_DIR
def revoke(file: Path, token_id: str, data_dir: Path | None) -> None:
    """Take a token back, by the id that list shows. Sessions that began with it end."""
    with closing(_open(file, data_dir)) as access:
        access.people.withdraw_token(token_id)


def _open(file: Path, data_dir: Path | None) -> Access:
    from gatewaycore.following import open_access

    config = load_config(file, data_dir)
    if config.console is None:
        hint = "console: {domain: console.acme.com}"
        raise ConfigError([Problem(f"{file}: console", "is missing: there is nothing to sign in to", hint)])
    return open_access(config, (data_dir or Path(config.gateway.data_dir)).absolute())


def _until(text: str) -> datetime | None:
    if text == "never":
        return None
    found = _LIFETIME.fullmatch(text)
    if found is None or not int(found[1]):
        raise click.BadParameter(f"{text[:80]!r} is no time: 12h, 90d, 8w, 1y, or never", param_hint="--expires")
    try:
        return datetime.now(UTC) + timedelta(hours=int(found[1]) * _HOURS[found[2]])
    except OverflowError:
        return None
