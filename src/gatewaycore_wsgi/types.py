"""The shapes of WSGI, as PEP 3333 names them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

Environ: TypeAlias = dict[str, Any]


class StartResponse(Protocol):
    """What a server hands to an application (PEP 3333 §"The start_response() Callable")."""

    def __call__(self, status: str, headers: list[tuple[str, str]], exc_info: Any = ..., /) -> Callable[[bytes], object]: ...
