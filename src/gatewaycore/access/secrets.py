"""Secrets of definitions: who looks at one sees that there is a password, and not which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gatewaycore.errors import ConfigError, Problem

HIDDEN: Final = "********"
"""What stands where a password was given. Sent again, it means the one that is there."""


def hidden(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Return a definition without the password of its credentials."""
    credentials = definition.get("credentials")
    if not isinstance(credentials, Mapping) or "password" not in credentials:
        return dict(definition)
    return {**definition, "credentials": {**credentials, "password": HIDDEN}}


def restored(definition: Mapping[str, Any], before: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a definition with the password that was there before, where it says so.

    Raises:
        ConfigError: it would go to another registry than before: whoever sends it there has to know it.
    """
    credentials, known = definition.get("credentials"), (before or {}).get("credentials")
    if not isinstance(credentials, Mapping) or not isinstance(known, Mapping) or credentials.get("password") != HIDDEN:
        return dict(definition)
    # And how it is reached: without TLS, whoever is on the way reads it.
    if any(definition.get(key) != (before or {}).get(key) for key in ("backend", "backend-scheme")):
        raise ConfigError([Problem("credentials.password", "is hidden, and the backend is another one", "write the password anew")])
    return {**definition, "credentials": {**credentials, "password": known.get("password")}}
