"""Certificate: that of ``serve --tls-cert``, read again when its files change; no connection is dropped for it, and no process restarted.

Every process looks for itself, once a second: at what stands behind the names, so that a link that is turned to another folder is seen as
well. A new certificate is tried aside, and given to handshakes from then on. One that cannot be used is logged once, and the old one stays.
"""

from __future__ import annotations

import logging
import os
import ssl
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from gatewaycore.errors import GatewayError

if TYPE_CHECKING:
    import uvicorn

_log = logging.getLogger("gatewaycore.serve")
_LOOK_S: Final = 1.0
STARTUP_FAILURE: Final = 3
"""The status of a worker that cannot start; what uvicorn takes for a failure that starting it again would not mend."""

_Mark: TypeAlias = tuple[tuple[int, int, int, int] | None, ...]


def load_pair(cert: Path, key: Path | None) -> ssl.SSLContext:
    """Return a context with a certificate and its key.

    Raises:
        GatewayError: they cannot be read, or are no pair.
    """
    for path in (cert, key):
        if path is not None:
            try:
                # OpenSSL does not say which of the two it could not read.
                path.open("rb").close()
            except OSError as error:
                raise GatewayError(f"{path}: {error.strerror}") from error
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        # Without a passphrase OpenSSL would ask for one, on a terminal where nobody sits.
        context.load_cert_chain(cert, key, lambda: b"")
    except (ssl.SSLError, ValueError, OSError) as error:
        reason = getattr(error, "reason", None) or "not a pair"
        raise GatewayError(f"{cert}: no certificate with its private key, unencrypted, in PEM ({reason})") from error
    return context


class Renewal:
    """Gives handshakes the newest certificate.

    Args:
        cert, key: the files.

    Raises:
        GatewayError: they cannot be used.
    """

    def __init__(self, cert: Path, key: Path | None) -> None:
        self._cert, self._key = cert, key
        # Before they are read: what changes meanwhile is read once more.
        self._mark = self._look()
        self._newest = load_pair(cert, key)
        self._told: _Mark = ()

    def serve(self, context: ssl.SSLContext) -> None:
        """Let a server's context hand the newest certificate out."""
        context.sni_callback = self._hand_over

    def _hand_over(self, connection: ssl.SSLObject, _: str | None, __: ssl.SSLContext) -> None:
        """Let a handshake, which began with the first certificate, go on with the newest; called also where no name is asked for."""
        connection.context = self._newest

    def _look(self) -> _Mark:
        found: list[tuple[int, int, int, int] | None] = []
        for path in (self._cert, self._key or self._cert):
            try:
                seen = os.stat(path)
            except OSError:
                found.append(None)
            else:
                found.append((seen.st_dev, seen.st_ino, seen.st_mtime_ns, seen.st_size))
        return tuple(found)

    def renew(self) -> bool:
        """Take a certificate that has changed; tell whether there was one that can be used."""
        mark = self._look()
        if mark == self._mark:
            return False
        try:
            newest = load_pair(self._cert, self._key)
        except GatewayError as error:
            # Its key may come a moment later: tried again as long as it is so, and told once.
            if mark != self._told:
                _log.error("the new certificate cannot be used, and the old one stays: %s", error)
            self._told = mark
            return False
        self._newest, self._mark, self._told = newest, mark, ()
        _log.info("the certificate has been read again")
        return True

    def start(self) -> None:
        """Begin to look, in a thread, for as long as the process lives."""
        threading.Thread(target=self._run, name="gatewaycore-certificate", daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(_LOOK_S)
            self.renew()


def renewed(config: uvicorn.Config, make: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """Return the context of a server whose certificate is read again when it changes: a factory for uvicorn, in each of its processes."""
    key = None if config.ssl_keyfile is None else Path(config.ssl_keyfile)
    try:
        renewal = Renewal(Path(config.ssl_certfile or ""), key)
        context = make()
    except (GatewayError, OSError) as error:
        # The parent has tried them: they have been changed since, and the other workers serve on.
        _log.error("this worker cannot start: %s", error)
        sys.exit(STARTUP_FAILURE)
    renewal.serve(context)
    renewal.start()
    return context
