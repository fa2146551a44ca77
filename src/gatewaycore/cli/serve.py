"""``gatewaycore serve``: the example server, uvicorn around the ASGI application."""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import socket
import sys
from contextlib import closing
from logging.config import dictConfig
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click
from attrs import frozen
from rich.text import Text

from gatewaycore._version import __version__
from gatewaycore.cli.certificate import STARTUP_FAILURE, load_pair, renewed
from gatewaycore.cli.logs import log_config
from gatewaycore.cli.output import console, count, show_columns, words
from gatewaycore.config import Config, Reader, check_outside
from gatewaycore.errors import ConfigError, GatewayError, MissingExtraError
from gatewaycore.plugins import rosters
from gatewaycore.router import Router
from gatewaycore.rulebook import Rulebook

if TYPE_CHECKING:
    import uvicorn

_GRACE_S = 30
"""How long answers that are on their way may take after SIGTERM, where the section `operations` does not say."""

_log = logging.getLogger("gatewaycore.serve")

_NAMED_DOMAINS = 8

_UNUSABLE = 2
"""The status when something cannot be used; see `gatewaycore.cli`."""


@frozen(kw_only=True)
class ServeSettings:
    """What is served, and where: the options of ``gatewaycore serve``."""

    file: Path
    host: str
    port: int
    data_dir: Path
    workers: int = 1
    tls_cert: Path | None = None
    tls_key: Path | None = None
    log_level: str = "info"
    log_format: str = "text"
    grace_s: int = _GRACE_S
    watches: bool = True


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on; 0.0.0.0 or :: for all.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="0 takes any free port.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 256), help="Processes; each has its own journal segment.")
@click.option("--tls-cert", type=click.Path(path_type=Path), help="Certificate chain, PEM; serves https.")
@click.option("--tls-key", type=click.Path(path_type=Path), help="Its private key, PEM, unless it is in the same file.")
@click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Where everything is kept, whatever FILE says.")
@click.option("--no-watch", is_flag=True, help="Take changes of FILE and its sources on SIGHUP only.")
@click.option("--log-level", default="info", show_default=True, type=click.Choice(["debug", "info", "warning", "error"]))
@click.option("--log-format", default="text", show_default=True, type=click.Choice(["text", "json"]), help="json: one object a line.")
def serve(
    file: Path,
    host: str,
    port: int,
    workers: int,
    tls_cert: Path | None,
    tls_key: Path | None,
    data_dir: Path | None,
    no_watch: bool,
    log_level: str,
    log_format: str,
) -> None:
    """Serve the gateway that FILE describes.

    What changes in FILE and in its sources is taken within a second or two, in every worker, and rules that cannot be used leave the old
    ones where they are; SIGHUP reads everything again at once. SIGTERM and SIGINT let answers that are on their way finish, and a second
    one ends at once. There is no access log: it would hold addresses.
    """
    # With its sources: what cannot be reached, and was never, is told here too.
    with closing(Rulebook.open(file, Reader(file, rosters=rosters), data_dir)) as book:
        trial = book.read()
        book.take(trial)
        config = trial.config
        del trial
    router = config.compile().router
    # Here, where it can be told in a few lines, and not once for each worker.
    check_outside(config, data_dir)
    settings = ServeSettings(
        file=file,
        host=host,
        port=port,
        data_dir=data_dir or Path(config.gateway.data_dir),
        workers=workers,
        tls_cert=tls_cert,
        tls_key=tls_key,
        log_level=log_level,
        log_format=log_format,
        grace_s=_GRACE_S if config.operations is None else config.operations.grace_s,
        watches=not no_watch,
    )
    if tls_key is not None and tls_cert is None:
        raise click.UsageError("--tls-key needs --tls-cert")
    _check_tls(settings)
    nobody = _check_console(config, settings)
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    listener = listen(host, port)
    _banner(settings, config, router, listener.getsockname()[1], nobody=nobody)
    # A million compiled rules would otherwise stay in the parent of workers that have their own.
    del config, router
    with listener:
        run(settings, listener)


def console_is_installed() -> bool:
    """Tell whether the extra is there that the console needs."""
    return all(
        importlib.util.find_spec(name) is not None for name in ("litestar", "jinja2", "altair", "vl_convert", "sqlalchemy", "alembic")
    )


def _check_console(config: Config, settings: ServeSettings) -> bool:
    """Find out whether the console can be served; tell whether there is nobody yet who could sign in.

    Raises:
        ConfigError: it cannot: an extra is not installed, or its database cannot be used, and what was served of it was never kept here.
    """
    if config.console is None:
        return False
    if not console_is_installed():
        raise MissingExtraError.of(f"{settings.file}: console", "console")
    from gatewaycore.following import open_access, spare_of

    data = settings.data_dir.absolute()
    try:
        with closing(open_access(config, data)) as access:
            return access.people.is_empty()
    except ConfigError:
        spare = spare_of(config, data)
        if spare is None or not spare.is_there:
            raise
        # The workers say so, and serve what was served before.
        return False


def _check_tls(settings: ServeSettings) -> None:
    if settings.tls_cert is None:
        return
    load_pair(settings.tls_cert, settings.tls_key)


def listen(host: str, port: int) -> socket.socket:
    """Open the listening socket: here, where a port that is taken can still be told in one line, and so that no worker races for it.

    Raises:
        GatewayError: it cannot be opened.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except (OSError, UnicodeError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise GatewayError(f"cannot listen on {host} port {port}: {reason}") from error
    listener.set_inheritable(True)
    return listener


def _banner(settings: ServeSettings, config: Config, router: Router, port: int, *, nobody: bool) -> None:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    domains = list(router.domains)
    named = ", ".join(domains[:_NAMED_DOMAINS]) or "none"
    if len(domains) > _NAMED_DOMAINS:
        named += f" and {len(domains) - _NAMED_DOMAINS} more"
    url = f"{'https' if settings.tls_cert else 'http'}://{host}:{port}"
    lines = {
        "url": url if settings.workers == 1 else f"{url}, {count(settings.workers, 'worker')}",
        "domains": named,
        "rules": count(router.count, "route") + f" of {count(len(config.packages), 'package')}",
        "journal": str((settings.data_dir / "journal").absolute()),
    }
    if config.console is not None:
        lines["console"] = f"{'https' if settings.tls_cert else 'http'}://{config.console.domain}:{port}"
    if nobody:
        lines["sign in"] = f"gatewaycore token create {settings.file} --user NAME --operator"
    if settings.log_format == "json":
        dictConfig(log_config(settings.log_level, "json"))
        _log.info("serving", extra={"fields": {"version": __version__, "file": str(settings.file), **lines}})
        return
    # The last line: whoever starts a server waits for it.
    lines["journal"] = lines.pop("journal")
    out = console(stderr=True)
    out.print(Text.assemble(("gatewaycore", "bold cyan"), words(f" {__version__}  {settings.file}")), soft_wrap=True)
    show_columns(out, [(Text(f"  {name}", "dim"), words(value, "bold" if name == "url" else "")) for name, value in lines.items()])


def run(settings: ServeSettings, listener: socket.socket) -> None:
    """Serve until somebody ends it.

    Args:
        settings: what to serve.
        listener: where; see `listen`.

    Raises:
        KeyboardInterrupt: it was interrupted; everything is answered and closed.
        click.exceptions.Exit: it could not be started.
    """
    import uvicorn

    from gatewaycore.cli import serving
    from gatewaycore.cli.draining import DrainingServer

    os.environ[serving.CONFIG] = str(settings.file)
    os.environ[serving.DATA_DIR] = str(settings.data_dir)
    os.environ[serving.WATCHES] = "yes" if settings.watches else "no"
    config = uvicorn.Config(
        "gatewaycore.cli.serving:make_app",
        factory=True,
        workers=settings.workers,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
        ssl_context_factory=None if settings.tls_cert is None else renewed,
        log_config=log_config(settings.log_level, settings.log_format),
        # An access log holds addresses, and uvicorn's websockets log them whatever is asked for.
        access_log=False,
        ws="none",
        # The gateway looks at forwarded fields itself, and trusts those proxies only that its configuration names.
        proxy_headers=False,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=settings.grace_s,
        timeout_keep_alive=30,
    )
    if settings.workers > 1:
        _supervise(config, listener)
        return
    # uvicorn raises the signal that ended it again when everything is answered and closed: that is the end, and a good one.
    signal.signal(signal.SIGTERM, end)
    try:
        with serving.patient():
            DrainingServer(config).run([listener])
    except SystemExit as error:
        if error.code != STARTUP_FAILURE:
            raise
        # It has been told what.
        raise click.exceptions.Exit(_UNUSABLE) from error


def end(_: int, __: FrameType | None) -> None:
    """End the process, and well: what SIGTERM does."""
    sys.exit(0)


def _supervise(config: uvicorn.Config, listener: socket.socket) -> None:
    from gatewaycore.cli.supervising import Supervisor

    supervisor = Supervisor(config, [listener])
    supervisor.run()
    if supervisor.interrupted:
        raise KeyboardInterrupt
    if supervisor.failed:
        raise click.exceptions.Exit(_UNUSABLE)
