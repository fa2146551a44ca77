"""``gatewaycore token``: access tokens, and the hashes that configurations hold instead of them."""

from __future__ import annotations

import secrets
import sys

import click

from gatewaycore.rules.access import hash_token


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
