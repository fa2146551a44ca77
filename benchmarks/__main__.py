"""``python -m benchmarks [--quick | --full] [--only NAME]… [--out FILE] [--svg FILE]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks import report
from benchmarks.room import Figure
from benchmarks.roster import GROUPS, alone


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write where asked to; always 0, for a budget that is not met on a busy machine is no error."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure gatewaycore beside its budgets.")
    parser.add_argument("--quick", action="store_const", dest="effort", const="quick", default="default", help="about a minute")
    parser.add_argument("--full", action="store_const", dest="effort", const="full", help="1,000,000 rules, longer rounds")
    parser.add_argument(
        "--only", action="append", choices=sorted(GROUPS), metavar="NAME", help=f"one of {', '.join(GROUPS)}; may be repeated"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the table there as Markdown")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the figures there")
    chosen = parser.parse_args(arguments)
    status = Console(stderr=True)
    figures: list[Figure] = []
    for name in GROUPS:
        if chosen.only is None or name in chosen.only:
            with status.status(f"measuring {name}…"):
                figures.extend(alone(name, chosen.effort))
    report.show(figures)
    if chosen.out is not None:
        chosen.out.write_text(report.markdown(figures))
    if chosen.svg is not None:
        chosen.svg.write_text(report.svg(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
