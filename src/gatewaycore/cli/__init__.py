"""The command line, one file for each verb: ``serve``, ``check``, ``explain``, ``test``, ``ship``, ``consume``, ``journal`` and others.

Exit status: 0, it is as it should be; 1, expectations do not hold, or lines could not be imported; 2, something cannot be used, and what
was said on standard error tells what; 130, interrupted.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; the console script ``gatewaycore``."""
    try:
        import click  # noqa: F401 - only looked for
        import rich  # noqa: F401
    except ImportError:
        sys.stderr.write("the command line needs gatewaycore[server]: pip install 'gatewaycore[server]'\n")
        sys.exit(2)
    from gatewaycore.cli.commands import commands

    commands(prog_name="gatewaycore")
