"""gatewaycore: your own domain in front of everything you distribute.

A request comes in as (host, path, method, headers); `Gateway.decide` answers with a redirect, a proxied response or a 200, and an `Event`
says what was fetched, never by whom. `gatewaycore_asgi` and `gatewaycore_wsgi` perform what is decided here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gatewaycore._version import __version__
from gatewaycore.decision import Collect, Proxy, Redirect, Respond
from gatewaycore.errors import ConfigError, GatewayError, TemplateError
from gatewaycore.event import Event
from gatewaycore.gateway import Gateway, Outcome
from gatewaycore.headers import Headers
from gatewaycore.request import Request
from gatewaycore.template import UrlTemplate

if TYPE_CHECKING:
    from gatewaycore.config import Config
    from gatewaycore.service import Service, load

__all__ = [
    "Collect",
    "Config",
    "ConfigError",
    "Event",
    "Gateway",
    "GatewayError",
    "Headers",
    "Outcome",
    "Proxy",
    "Redirect",
    "Request",
    "Respond",
    "Service",
    "TemplateError",
    "UrlTemplate",
    "__version__",
    "load",
]

# The floors above the sans-I/O line bring files, threads and cattrs: whoever only decides does not pay for them (PEP 562).
_ABOVE = {"Config": "gatewaycore.config", "Service": "gatewaycore.service", "load": "gatewaycore.service"}


def __getattr__(name: str) -> Any:
    if name in _ABOVE:
        from importlib import import_module

        value = getattr(import_module(_ABOVE[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
