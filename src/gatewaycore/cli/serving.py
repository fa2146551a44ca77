"""What runs in each serving process: the application, the log, and SIGHUP. No line of the log holds an address."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from gatewaycore.cli.certificate import STARTUP_FAILURE
from gatewaycore.errors import GatewayError
from gatewaycore.service import Service
from gatewaycore.upstreams import UpstreamBrokenError
from gatewaycore_asgi import GatewayApp
from gatewaycore_asgi.beside import Beside
from gatewaycore_asgi.certificates import CertificateAsk
from gatewaycore_asgi.types import App

CONFIG, DATA_DIR = "GATEWAYCORE_CONFIG", "GATEWAYCORE_DATA_DIR"
"""How worker processes, which share nothing with their parent, are told what to serve."""

_log = logging.getLogger("gatewaycore.serve")


_REFUSED = ("Unsupported upgrade request", "No supported WebSocket library", "Invalid HTTP request received")


class Refusals(logging.Filter):
    """Drops what uvicorn says of requests for a websocket, of what is no HTTP (container clients try TLS first), and of upstreams that
    broke off, of which the adapter has told already: no trouble of ours, and anybody could fill the disk with it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the record is kept."""
        raised = record.exc_info[0] if record.exc_info else None
        if raised is not None and issubclass(raised, UpstreamBrokenError):
            return False
        return not record.getMessage().startswith(_REFUSED)


def log_config(level: str) -> dict[str, Any]:
    """Return the configuration of `logging` for every process.

    Args:
        level: "debug", "info", "warning" or "error".
    """
    # At "info", uvicorn tells of each of its steps; the banner has said what matters of them.
    servers = "WARNING" if level == "info" else level.upper()
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
        "filters": {"refusals": {"()": "gatewaycore.cli.serving.Refusals"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain", "filters": ["refusals"]}},
        "root": {"level": "WARNING", "handlers": ["stderr"]},
        "loggers": {
            "gatewaycore": {"level": level.upper()},
            "uvicorn": {"level": servers},
            "uvicorn.error": {"level": servers},
            # It writes whole URLs at "info", and in those of token servers stands who asks.
            "httpx": {"level": "WARNING"},
        },
    }


def make_app() -> App:
    """Make the application of this process, as the environment says; SIGHUP then reads its rules again."""
    try:
        # The parent has refused files that cannot be used. One that was damaged since is no reason to serve nothing.
        service = Service.from_file(os.environ[CONFIG], os.environ.get(DATA_DIR) or None, lenient=True)
    except (GatewayError, OSError) as error:
        # The parent has tried most of it: the configuration has been changed since, or the disk is full.
        _log.error("this worker cannot start: %s", error)
        sys.exit(STARTUP_FAILURE)
    _Reloader(service)
    app = with_console(service)
    # The collector need not walk through the rules again and again: they live as long as the process, and answers come sooner (7 %).
    gc.collect()
    gc.freeze()
    return app


def with_console(service: Service) -> App:
    """Return the application of a service: its gateway, and its console beside it where there is one.

    A console that cannot be had, because its database is down, keeps nobody from serving: it is logged.
    """
    gateway, settings = GatewayApp(service), service.config.console
    if settings is None:
        return CertificateAsk(gateway, service)
    from gatewaycore.following import Follower, open_access

    try:
        access = open_access(service.config, service.data)
    except GatewayError as error:
        _log.error("no console is served: %s", error)
        return CertificateAsk(gateway, service)
    from gatewaycore.watching import Looks, Watcher
    from gatewaycore_asgi.console import Console

    follower = Follower(service, access)
    follower.start()
    watcher = Watcher(Looks(access, lambda: service.config), access, service.data)
    watcher.start()
    console = Console(service, access, made=follower)
    ends = ExitStack()
    for close in (access.close, console.close, follower.close, watcher.close):
        ends.callback(close)
    return CertificateAsk(Beside(gateway, console, settings.domain, ends.close), service, lambda: follower.names)


@contextmanager
def patient() -> Iterator[None]:
    """Hold SIGHUP back in this thread, and in the processes that are started by it until they are ready to reload: it would end them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Reloader:
    """Reloads on SIGHUP, in a thread, so that compiling a hundred thousand rules holds up no request.

    Args:
        service: whose rules they are.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._asked = threading.Event()
        threading.Thread(target=self._run, name="gatewaycore-reload", daemon=True).start()
        signal.signal(signal.SIGHUP, lambda *_: self._asked.set())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})

    def _run(self) -> None:
        while self._asked.wait():
            # Cleared first: what is asked for while rules are being read is done after them.
            self._asked.clear()
            try:
                read = self._service.reload()
            except Exception as error:  # noqa: BLE001 - the next one must still be heard; logged by its type, for a rule may hold a secret
                _log.error("the rules could not be read again: %s", type(error).__name__)
                continue
            if read:
                _log.info("the rules have been read again: %d routes", self._service.gateway.router.count)
