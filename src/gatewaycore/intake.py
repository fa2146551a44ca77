"""Intake: puts together what imports into the journal of a gateway."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gatewaycore.config import Config, close_enrichers, open_enrichers
from gatewaycore.importing import ImportSession
from gatewaycore.importing.packages import Packages
from gatewaycore.keeping import storages
from gatewaycore.plugins import rosters


@contextmanager
def open_import(config: Config, data: Path, package: str | None = None) -> Iterator[ImportSession]:
    """Put together what imports into the journal under `data`, and let go of it afterwards. Sinks are not opened, and no request is served.

    Args:
        config: of the gateway.
        data: the data-dir.
        package: of lines that name none.

    Raises:
        ConfigError: enrichments cannot be used, or there is no such package.
    """
    settings = config.gateway
    tags = {cls: tag for tag, cls in rosters().rules.items()}
    packages = Packages(((rule, tags.get(type(rule), "")) for rule in config.rules), package)
    enrichers = open_enrichers(config)
    try:
        yield ImportSession(
            packages=packages,
            enrichers=enrichers,
            own=settings.own_traffic.compile(),
            data=data,
            node=platform.node(),
            journal=settings.journal,
            rotation=settings.salt_rotation,
            ships=any(storages(config, data)),
        )
    finally:
        close_enrichers(enrichers)
