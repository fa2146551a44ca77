"""How every command reads a configuration: with its sources, and with what was made in the console, as a gateway here serves it.

Sources are looked at once. Of one that cannot be reached, or that has what cannot be used, the last good copy in the data-dir is read, as
`serve` would, and a line on standard error says so.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from attrs import field, frozen

from gatewaycore.cli.output import console, count, show_problems
from gatewaycore.config import Config, LeftOut, MadeRule, Reader
from gatewaycore.errors import GatewayError, Problem, words_of
from gatewaycore.plugins import rosters
from gatewaycore.rulebook import Rulebook


@frozen
class Served:
    """What a gateway serves.

    Attributes:
        config: the whole.
        copied: sources that are read as they were when they were last good, and why.
        left_out: what was made in the console and is not served, and why.
        unseen: why nothing is known of what was made in the console; "" when it is.
    """

    config: Config
    copied: Sequence[Problem] = ()
    left_out: Sequence[LeftOut] = field(factory=tuple)
    unseen: str = ""


def load_config(file: Path, data_dir: Path | None = None) -> Config:
    """Read a file and its sources, for whoever needs no more, and tell what is read from a copy.

    Raises:
        ConfigError: something cannot be used, and there is no copy of it.
    """
    return _told(_look(file, data_dir, goes_back=True)).config


def load_served(file: Path, data_dir: Path | None = None) -> Config:
    """Read all that a gateway serves, what was made in its console included, and tell what is not as it should be.

    Raises:
        ConfigError: something cannot be used, and there is no copy of it.
    """
    return _told(_look(file, data_dir, goes_back=True, with_made=True)).config


def look_at(file: Path, data_dir: Path | None = None) -> Served:
    """Read all that a gateway serves, for whoever is to be told what is wrong with it: what can be reached is not read from a copy.

    What was made in the console is looked at where its database is a file that is there: no other machine is asked for it.

    Raises:
        ConfigError: something cannot be used; or cannot be reached, and there is no copy of it.
    """
    return _look(file, data_dir, goes_back=False, with_made=True, is_local=True)


def _look(file: Path, data_dir: Path | None, *, goes_back: bool, with_made: bool = False, is_local: bool = False) -> Served:
    book = Rulebook.peek(file, Reader(file, rosters=rosters), data_dir, goes_back=goes_back)
    trial = book.read()
    copied = [Problem(one.where, f"{one.what}; the last good copy is read", one.hint) for one in book.set_aside(trial)]
    if not with_made or trial.config.console is None:
        return Served(trial.config, copied)
    data = (data_dir or Path(trial.config.gateway.data_dir)).absolute()
    try:
        made, held_back = _made(trial.config, data, is_local=is_local)
    except GatewayError as error:
        return Served(trial.config, copied, unseen=words_of(error))
    trial = book.read(made)
    return Served(trial.config, copied, (*trial.left_out, *held_back))


def _made(config: Config, data: Path, *, is_local: bool) -> tuple[list[MadeRule], Sequence[LeftOut]]:
    from gatewaycore.access import CONSOLE_STATE

    state = (config.console and config.console.state) or CONSOLE_STATE
    is_file = "://" not in str(state)
    # Nothing is made by whoever looks, and no database either.
    if (is_file and not os.path.exists(data / state)) or (is_local and not is_file):
        return [], ()
    from gatewaycore.following import made_in, open_access

    with closing(open_access(config, data)) as access:
        return made_in(access, config)


def _told(served: Served) -> Served:
    out = console(stderr=True)
    show_problems(out, served.copied, "yellow", "warning")
    if served.unseen:
        out.print(f"what was made in the console is not seen: {served.unseen}", style="yellow", soft_wrap=True)
    if served.left_out:
        many = len(served.left_out)
        told = f"{count(many, 'definition')} of the console {'is' if many == 1 else 'are'} left out: gatewaycore check tells which, and why"
        out.print(told, style="yellow", soft_wrap=True)
    return served
