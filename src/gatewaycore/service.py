"""Service: the composition root. Config -> gateway, recorder, journal, shipper; the only place that puts them together."""

from __future__ import annotations

import logging
import platform
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from gatewaycore.clientip import TrustedProxies
from gatewaycore.config import Config, read_config
from gatewaycore.gateway import Gateway
from gatewaycore.journal import Journal
from gatewaycore.recorder import Recorder
from gatewaycore.salts import Salts
from gatewaycore.shipper import Shipper

_log = logging.getLogger("gatewaycore.service")


def load(source: str | Path | Mapping[str, Any], scarf_hosts: bool = False) -> Gateway:
    """Return a gateway that decides, and keeps nothing.

    Args:
        source: a path to a gateway.yaml (or JSON, or a Scarf manifest), or what such a file holds, as a mapping.
        scarf_hosts: add that product's built-in hosts: its pixel and its install events.

    Raises:
        ConfigError: with every problem found.
    """
    return read_config(source, scarf_hosts=scarf_hosts).compile()


class Service:
    """A gateway with everything around it. Threads share it; `gateway` is swapped whole on a reload.

    Args:
        config: what to run.
        gateway: its rules, compiled.
        recorder: where events go.
        journal: what the recorder appends to.
        shipper: feeds the sinks; None when there are none.
    """

    def __init__(self, config: Config, gateway: Gateway, recorder: Recorder, journal: Journal, shipper: Shipper | None) -> None:
        self.gateway = gateway
        self.recorder = recorder
        self.journal = journal
        self.shipper = shipper
        self.trusted = TrustedProxies.parse(tuple(config.gateway.trusted_proxies))
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._source: str | Path | None = None

    @classmethod
    def open(cls, config: Config, data_dir: str | Path | None = None) -> Self:
        """Compile the rules and open everything that lies under the data-dir.

        Args:
            config: what to run.
            data_dir: keep everything here, whatever the config says.

        Raises:
            ConfigError: rules, sinks or enrichments cannot be used.
        """
        settings = config.gateway
        # Absolute, so that a process which changes its directory later keeps what it keeps in one place.
        data = Path(settings.data_dir if data_dir is None else data_dir).absolute()
        gateway = config.compile()
        enrichers = [enrichment.open() for enrichment in config.enrich]
        journal = Journal(data / "journal", platform.node())
        recorder = Recorder(journal.append, enrichers, Salts(data / "salts", settings.salt_rotation))
        sinks = {config.sink_name(position): storage.open() for position, storage in enumerate(config.sinks)}
        shipper = Shipper(data / "journal", data / "cursors", sinks) if sinks else None
        return cls(config, gateway, recorder, journal, shipper)

    @classmethod
    def from_file(cls, path: str | Path, data_dir: str | Path | None = None) -> Self:
        """Open the service that a gateway.yaml describes.

        Args:
            path: the file; `reload` reads it again.
            data_dir: keep everything here, whatever the file says.

        Raises:
            ConfigError: with every problem found.
        """
        service = cls.open(read_config(path), data_dir)
        service._source = path
        return service

    def reload(self) -> bool:
        """Read the file again and swap the rules; False, with the reason logged, when it cannot be used: the old rules stay.

        Sinks, enrichments and the data-dir take effect at the next start.
        """
        if self._source is None:
            return False
        from gatewaycore.errors import ConfigError

        try:
            config = read_config(self._source)
            gateway = config.compile()
        except ConfigError as error:
            _log.error("the new configuration cannot be used, and the old one stays:\n%s", error)
            return False
        self.trusted = TrustedProxies.parse(tuple(config.gateway.trusted_proxies))
        self.gateway = gateway
        return True

    def start(self) -> None:
        """Begin to ship, in a thread. Safe to call twice; every process of a node may, and one of them ships."""
        if self.shipper is None or self._thread is not None:
            return
        self._stop.clear()
        self._thread = threading.Thread(target=self.shipper.run, args=(self._stop,), name="gatewaycore-shipper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ship what is left, and close files. Nothing that was answered is lost: it is in the journal already."""
        self.journal.close()
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=10)
            self._thread = None
        if self.shipper is not None:
            self.shipper.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
