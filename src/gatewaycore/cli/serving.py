"""What runs in each serving process: the application, and SIGHUP."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from gatewaycore.cli.certificate import STARTUP_FAILURE
from gatewaycore.errors import GatewayError, words_of
from gatewaycore.gently import gently
from gatewaycore.service import Service
from gatewaycore.watching import Watcher
from gatewaycore_asgi import GatewayApp
from gatewaycore_asgi.beside import Beside
from gatewaycore_asgi.certificates import CertificateAsk
from gatewaycore_asgi.types import App

CONFIG, DATA_DIR, WATCHES = "GATEWAYCORE_CONFIG", "GATEWAYCORE_DATA_DIR", "GATEWAYCORE_WATCHES"
"""How worker processes, which share nothing with their parent, are told what to serve."""

_log = logging.getLogger("gatewaycore.serve")


def make_app() -> App:
    """Make the application of this process, as the environment says; it takes what changes, and SIGHUP reads its rules again."""
    try:
        # The parent has refused files that cannot be used. One that was damaged since is no reason to serve nothing.
        service = Service.from_file(os.environ[CONFIG], os.environ.get(DATA_DIR) or None, lenient=True)
    except (GatewayError, OSError) as error:
        # The parent has tried most of it: the configuration has been changed since, or the disk is full.
        _log.error("this worker cannot start: %s", error)
        sys.exit(STARTUP_FAILURE)
    watcher = Watcher(service, watches=os.environ.get(WATCHES) != "no", around=gently)
    app = with_console(service)
    watcher.start()
    signal.signal(signal.SIGHUP, lambda *_: watcher.ask())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
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
        if service.rulebook is not None:
            # It shows in health and metrics: what organisations have made is not served by this process, nor are their domains.
            service.rulebook.tell_console(settings.domain, error=f"no console is served: {words_of(error)}")
        return CertificateAsk(gateway, service)
    from gatewaycore.verifying import Looks, Verifier
    from gatewaycore_asgi.console import Console

    follower = Follower(service, access)
    follower.start()
    verifier = Verifier(Looks(access, lambda: service.config), access, service.data, service.tell_domains)
    verifier.start()
    console = Console(service, access, made=follower)
    ends = ExitStack()
    for close in (access.close, console.close, follower.close, verifier.close):
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
