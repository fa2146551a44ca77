"""Means: what handlers work with, and who asks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias, cast

from litestar import Request
from litestar.di import NamedDependency
from litestar.params import PathParameter, SkipValidation

from gatewaycore.access import Access, Check, Principal
from gatewaycore.console_limits import DEFAULT_CONSOLE_LIMITS, ConsoleLimits
from gatewaycore.keeping import statistics_of
from gatewaycore.service import Service
from gatewaycore.verifying import Looks
from gatewaycore_asgi.console.api.uploads import Uploads

if TYPE_CHECKING:
    from gatewaycore.stats.statistics import Statistics

BY: Final = "gatewaycore.by"
"""Where in the scope it stands who asks."""

SECRET: Final = "gatewaycore.secret"  # noqa: S105 - a name
"""Where in the scope it stands that the answer holds a secret, which is not to be kept."""

BASE: Final = "gatewaycore.base"
"""Where in the scope the mount stands."""

HEAD: Final = "gatewaycore.head"
"""Where in the scope it stands whether only the head of the answer is wanted."""


def limits_of(service: Service) -> ConsoleLimits:
    """Return how much of everything there may be."""
    settings = service.config.console
    return DEFAULT_CONSOLE_LIMITS if settings is None else settings.limits


class Means:
    """What handlers work with. Threads share it.

    Args:
        service: whose packages and numbers.
        access: who may see and do what.
        check: whether definitions can be served; raises a `ConfigError` where they cannot.
        changed: called after a definition was changed, so that this process serves it at once.
        statistics: who answers; without, it is the store that ``gatewaycore report`` asks.
        uploads: what was sent to be imported.
        now: tells the time, UTC.
    """

    def __init__(
        self,
        service: Service,
        access: Access,
        check: Check,
        changed: Callable[[], None],
        statistics: Callable[[], Statistics] | None,
        uploads: Uploads,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.service = service
        self.access = access
        self.check = check
        self.changed = changed
        self.uploads = uploads
        self.now = now
        self.looks = Looks(access, lambda: service.config)
        self._others = statistics
        self._own: Statistics | None = None
        self._lock = threading.Lock()

    def statistics(self) -> Statistics:
        """Return who answers; opened with the first question.

        Raises:
            ConfigError: an extra is not installed.
        """
        if self._others is not None:
            return self._others()
        with self._lock:
            if self._own is None:
                self._own = statistics_of(self.service.config, self.service.data)
            return self._own

    def is_counted(self, key: str) -> bool:
        """Tell whether there are events of a package, whether anybody has made it or not."""
        return self.statistics().first_event((key,)) is not None

    def counted(self) -> Iterable[str]:
        """Return the keys of all packages of which there are events."""
        return self.statistics().packages()

    def names(self) -> Mapping[str, str]:
        """Return the names of organisations, by id."""
        return self.access.groups.names()

    def close(self) -> None:
        """Close what was opened here."""
        with self._lock:
            own, self._own = self._own, None
        if own is not None:
            own.close()
        self.uploads.close()


With: TypeAlias = NamedDependency[SkipValidation[Means]]
Asker: TypeAlias = NamedDependency[SkipValidation[Principal]]


def asker_of(request: Request[Any, Any, Any]) -> Principal:
    """Return who asks."""
    found: Principal = cast(dict[str, Any], request.scope)[BY]
    return found


def is_head(request: Request[Any, Any, Any]) -> bool:
    """Tell whether only the head of the answer is wanted: what it would hold need not be made."""
    found: bool = cast(dict[str, Any], request.scope)[HEAD]
    return found


def keep_no_secret(request: Request[Any, Any, Any]) -> None:
    """Say that the answer holds a secret: it is not kept for those who ask once more."""
    cast(dict[str, Any], request.scope)[SECRET] = True


def read_key(segment: str) -> str:
    """Return the key that a segment of a path stands for: "~1" is "/" and "~0" is "~", as in a JSON Pointer (RFC 6901 §3)."""
    return segment.replace("~1", "/").replace("~0", "~")


def write_key(key: str) -> str:
    """Return a key as a segment of a path."""
    return key.replace("~", "~0").replace("/", "~1")


Key: TypeAlias = Annotated[
    str, PathParameter(description='What events call it; "~1" stands for "/" and "~0" for "~" (RFC 6901 §3).', min_length=1, max_length=700)
]
Name: TypeAlias = Annotated[str, PathParameter(description="Its name.", min_length=1, max_length=253)]
Number: TypeAlias = Annotated[str, PathParameter(description="Its id.", min_length=1, max_length=64)]
