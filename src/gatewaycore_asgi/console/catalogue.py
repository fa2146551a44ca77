"""The catalogue: which packages there are: those of the configuration, and the images that were pulled through its collections."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from attrs import frozen

from gatewaycore.errors import GatewayError
from gatewaycore.plugins import rosters
from gatewaycore.route import package_of
from gatewaycore.service import Service

_log = logging.getLogger("gatewaycore.console")
_FRESH_S = 5.0


@frozen
class Known:
    """A package.

    Attributes:
        key: what events call it.
        name: what people call it.
        type: the tag of its type.
        domain: where it is fetched from; empty where that is not known.
        path: of one of its routes, as the configuration has it; empty where there is none.
        is_configured: whether it stands in the configuration, or was only pulled through a collection.
    """

    key: str
    name: str
    type: str
    domain: str = ""
    path: str = ""
    is_configured: bool = True


class Catalogue:
    """Lists packages; looks again after a few seconds. Threads share it.

    Args:
        service: whose.
        clock: any that only goes forward, in seconds.
    """

    def __init__(self, service: Service, clock: Callable[[], float] = time.monotonic) -> None:
        self._service = service
        self._clock = clock
        self._lock = threading.Lock()
        self._found: Mapping[str, Known] = {}
        self._config = service.config
        self._looked_at: float | None = None

    def packages(self) -> Mapping[str, Known]:
        """Return the packages, by what events call them, in the order of the configuration."""
        with self._lock:
            config = self._service.config
            # What was made a moment ago is there: its maker looks at it next.
            if self._looked_at is None or config is not self._config or self._clock() - self._looked_at > _FRESH_S:
                found: dict[str, Known] = {}
                for known in (*self._configured(), *self._pulled()):
                    found.setdefault(known.key, known)
                self._found, self._config, self._looked_at = found, config, self._clock()
            return self._found

    def _configured(self) -> Iterator[Known]:
        config = self._service.config
        tags = {cls: tag for tag, cls in rosters().rules.items()}
        for rule in config.packages:
            name = getattr(rule, "name", None)
            if name is not None:
                key, domain = package_of(rule), getattr(rule, "domain", None) or ""
                yield Known(key, name, tags.get(type(rule), ""), domain, _path(rule))

    def _pulled(self) -> Iterator[Known]:
        try:
            pulled = self._service.packages()
        except GatewayError as error:
            # The numbers are there all the same.
            _log.warning("images that were pulled are not listed: %s", error)
            return
        for one in pulled:
            yield Known(one.name, one.name, one.package_type, one.domain, is_configured=False)


def _path(rule: Any) -> str:
    routes = getattr(rule, "routes", ()) or ()
    for one in (rule, *routes):
        path = getattr(one, "incoming_path", None)
        if isinstance(path, str):
            return path
    return ""
