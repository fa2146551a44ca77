"""``gatewaycore demo``: a gateway with a year of events that never were, to look at everything in a minute."""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from gatewaycore._version import __version__
from gatewaycore.cli.output import console, show_columns, words
from gatewaycore.cli.serve import ServeSettings, console_is_installed, end, listen, run
from gatewaycore.config import read_config
from gatewaycore.errors import ConfigError, MissingExtraError, Problem
from gatewaycore.sinks import LakeStorage
from gatewaycore.stats import check_installed
from gatewaycore.synthetic import Year
from gatewaycore.synthetic.acme import CONFIG

if TYPE_CHECKING:
    from gatewaycore.access import Role

_HOST = "127.0.0.1"
_FILE, _DATA = "gateway.yaml", "data"
_ROLES: Final[Mapping[str, Role]] = {"ada": "owner", "grace": "admin", "linus": "member"}
_AT_ONCE = 40_000
"""Events that are committed to the lake together: few enough that the bar moves, enough that days have few files."""


@click.command()
@click.option("--events", default=300_000, show_default=True, type=click.IntRange(1_000, 100_000_000), help="How many there are.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="0 takes any free port.")
@click.option(
    "--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Keep it there, and serve it again; a temporary folder without."
)
def demo(events: int, port: int, data_dir: Path | None) -> None:
    """Serve a gateway that somebody might have had for a year: packages of every type, versions, companies, weekends.

    The events are made up, and the same each time. It listens on this machine only; Ctrl-C ends it.
    """
    check_installed()
    if not console_is_installed():
        raise MissingExtraError.of("demo", "console")
    # From here on: what is in a temporary folder goes with it.
    signal.signal(signal.SIGTERM, end)
    with listen(_HOST, port) as listener, _folder(data_dir) as folder:
        actual: int = listener.getsockname()[1]
        told = _fill(folder, events, actual)
        _banner(folder, actual, told, _let_in(folder), is_kept=data_dir is not None)
        # What ends it is what it waits for.
        with suppress(KeyboardInterrupt):
            run(ServeSettings(file=folder / _FILE, host=_HOST, port=actual, data_dir=folder / _DATA, log_level="warning"), listener)


@contextmanager
def _folder(chosen: Path | None) -> Iterator[Path]:
    """Give the folder that everything lies in; one that was not chosen is deleted in the end, however that comes."""
    if chosen is not None:
        chosen.mkdir(parents=True, exist_ok=True, mode=0o700)
        yield chosen.absolute()
        return
    made = Path(tempfile.mkdtemp(prefix="gatewaycore-demo-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _fill(folder: Path, events: int, port: int) -> str:
    """Write the configuration and the events, unless they are there; return what was done, in words.

    Raises:
        ConfigError: there is something else.
    """
    if (folder / _FILE).exists() and (folder / _DATA / "lake").exists():
        return "the year that is there"
    if any(folder.iterdir()):
        raise ConfigError([Problem("--data-dir", f"{folder} has something else in it", "an empty folder, or one of another demo")])
    begin = time.monotonic()
    _write(Year(events, datetime.now(UTC)), LakeStorage(str(folder / _DATA / "lake")))
    # The last thing: a folder without it was not filled to the end.
    (folder / _FILE).write_text(CONFIG.format(data_dir=folder / _DATA, port=port), encoding="utf-8")
    return f"a year, {events:,} events, in {time.monotonic() - begin:.0f} s"


def _write(year: Year, lake: LakeStorage) -> None:
    sink = lake.open()
    out = console(stderr=True)
    columns = TextColumn("  making a year up"), BarColumn(), MofNCompleteColumn()
    bar = Progress(*columns, console=out, transient=True, disable=not out.is_terminal)
    lines: list[bytes] = []
    with bar:
        task = bar.add_task("", total=year.events)
        for day in year.days_of_lines():
            lines += day
            if len(lines) >= _AT_ONCE:
                sink.write(lines)
                bar.advance(task, len(lines))
                lines = []
        sink.write(lines)
    sink.close()


def _let_in(folder: Path) -> str:
    """Return a token for the console, good for a day, of somebody who may do everything; others have less to say."""
    from gatewaycore.following import open_access

    with closing(open_access(read_config(folder / _FILE), folder / _DATA)) as access:
        people = {name: access.people.find_user(name) or access.people.create_user(name, is_operator=name == "ada") for name in _ROLES}
        for name, role in _ROLES.items():
            access.groups.set_role("acme", name, role, None)
        return access.people.create_token(people["ada"], "demo", ["admin"], datetime.now(UTC) + timedelta(days=1))[1]


def _banner(folder: Path, port: int, told: str, token: str, is_kept: bool) -> None:
    """Say what there is to open, one line for each part."""
    shown = {
        "console": f"http://console.acme.localhost:{port}",
        "sign in": token,
        "badge": f"http://badges.acme.localhost:{port}/installs-badge/acme/rocket-skates?package-type=container&logo=docker",
        "chart": f"http://badges.acme.localhost:{port}/downloads-chart/acme/rocket-skates?package-type=container&period=year",
        "fetch": f"curl -i http://get.acme.localhost:{port}/install.sh",
        "report": f"gatewaycore report {folder / _FILE} --period year",
        "rules": f"gatewaycore check {folder / _FILE}",
        "Ctrl-C": "ends it" if is_kept else "ends it, and deletes the folder",
    }
    out = console(stderr=True)
    out.print(Text.assemble(("gatewaycore", "bold cyan"), words(f" {__version__}  {told}")), soft_wrap=True)
    rows = [(Text(f"  {name}", "dim"), words(value, "bold" if name in ("console", "sign in") else "")) for name, value in shown.items()]
    show_columns(out, rows)
