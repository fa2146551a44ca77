"""The roster of commands, and what becomes of errors: a few clear lines, never a traceback."""

from __future__ import annotations

import errno
from typing import Any

import click

from gatewaycore._version import __version__
from gatewaycore.cli.check import check
from gatewaycore.cli.consume import consume
from gatewaycore.cli.demo import demo
from gatewaycore.cli.diff import diff
from gatewaycore.cli.domains import domains
from gatewaycore.cli.explain import explain
from gatewaycore.cli.export import export
from gatewaycore.cli.import_ import import_, imports
from gatewaycore.cli.journal import journal
from gatewaycore.cli.output import complain, console
from gatewaycore.cli.packages import packages
from gatewaycore.cli.report import report
from gatewaycore.cli.serve import serve
from gatewaycore.cli.ship import ship
from gatewaycore.cli.test import test
from gatewaycore.cli.token import token
from gatewaycore.errors import GatewayError


class _Commands(click.Group):
    """A group that tells users what is wrong instead of showing them where the program was."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; end with status 2 for errors, and 130 when interrupted."""
        try:
            return super().invoke(ctx)
        except GatewayError as error:
            complain(console(stderr=True), error)
        except OSError as error:
            if error.errno == errno.EPIPE:
                # Whoever read the output has seen enough; click ends quietly.
                raise
            place = f"{error.filename}: " if error.filename else ""
            click.echo(f"{place}{error.strerror or type(error).__name__}", err=True)
        except KeyboardInterrupt:
            raise click.exceptions.Exit(130) from None
        raise click.exceptions.Exit(2)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="gatewaycore")
def commands() -> None:
    """Your own domain in front of everything you distribute."""


for _command in (
    serve, demo, check, explain, test, diff, ship, consume, journal, import_, imports, export, report, packages, domains, token,
):  # fmt: skip
    commands.add_command(_command)
