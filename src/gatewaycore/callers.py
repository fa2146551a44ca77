"""Callers: the columns of an event that tell who asked. Enrichers are asked in turn, and what they say is held to what an event may hold.

Nothing is kept of a caller here: who asks often keeps the columns, and lets go of them when an enricher has other files.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

from gatewaycore.enrich import COLUMNS, Caller, Column, Enricher, Refreshed
from gatewaycore.enrich.agent import Agent
from gatewaycore.enrich.records import Connection
from gatewaycore.privacy import endpoint_id, origin_id, redact

_log = logging.getLogger("gatewaycore.callers")

# What an enricher says is a word of a few, or a name: whatever a database holds, and whoever wrote the enricher.
_COLUMN_CHARACTERS = 256
_WORDS: Mapping[str, frozenset[str]] = {"agent": frozenset(get_args(Agent)), "connection": frozenset(get_args(Connection))}

_NOTHING: Mapping[str, str] = {}


class Callers:
    """Tells of callers what enrichers know.

    Args:
        enrichers: the first that knows a column wins.

    Attributes:
        failed: how often one of them raised something.
    """

    def __init__(self, enrichers: Sequence[Enricher]) -> None:
        self.failed = 0
        self._enrichers = tuple(enrichers)

    def columns_of(self, caller: Caller, key: bytes) -> dict[str, Column]:
        """Return the columns of an event that tell of a caller: what the enrichers say, and identifiers.

        Args:
            caller: its User-Agent holds its address no more; see `redact`.
            key: of the identifiers.
        """
        columns: dict[str, Column] = {}
        for enricher in self._enrichers:
            for name, value in self._said(enricher, caller).items():
                if value is not None:
                    columns.setdefault(name, value)
        columns.setdefault("agent", "unknown")
        if caller.user_agent is not None:
            columns["user_agent"] = caller.user_agent
        if caller.address:
            columns["origin_id"] = origin_id(key, caller.address, caller.user_agent or "", caller.domain)
            columns["endpoint_id"] = endpoint_id(key, caller.address, caller.domain)
        return columns

    def _said(self, enricher: Enricher, caller: Caller) -> Mapping[str, Column]:
        """Return what an enricher says, as far as an event may hold it; an enricher that fails costs its columns, and no event."""
        try:
            return {name: fit(name, value, caller.address) for name, value in enricher.columns(caller).items()}
        except Exception as error:  # noqa: BLE001 - another's code; counted, and its type logged
            self.failed += 1
            _log.error("%s failed, and its columns stay empty: %s", type(enricher).__name__, type(error).__name__)
            return _NOTHING

    def refresh(self) -> bool:
        """Let enrichers look whether their files were replaced; True when what they said before may no longer hold."""
        # Each of them looks, whatever the first one found.
        swapped = [self._is_swapped(enricher) for enricher in self._enrichers]
        return any(swapped)

    def _is_swapped(self, enricher: Enricher) -> bool:
        """Let one look, and tell what is wrong with files that cannot be used."""
        refresh: Callable[[], Refreshed] | None = getattr(enricher, "refresh", None)
        if refresh is None:
            return False
        try:
            found = refresh()
        except Exception as error:  # noqa: BLE001 - another's code: it must not end who keeps house; its type is logged
            _log.error("%s cannot look at its files: %s", type(enricher).__name__, type(error).__name__)
            return False
        for problem in found.problems:
            _log.error("a file was replaced by one that cannot be used, and the old one is asked on: %s", problem)
        for problem in found.damaged:
            _log.error("a file is damaged, and columns stay empty where it cannot be read: %s", problem)
        for note in found.notes:
            _log.warning("%s", note)
        return found.swapped


def fit(name: str, value: Any, address: str) -> Column:
    """Return what an enricher says in one column as an event may hold it; None when it may not.

    A database may hold any text, and the address that was looked up in it too.
    """
    if name not in COLUMNS:
        return None
    if name == "confidence":
        # Not-a-number is in no range.
        return value if isinstance(value, int | float) and 0 <= value <= 1 else None
    if not isinstance(value, str):
        return None
    if name in _WORDS:
        return value if value in _WORDS[name] else None
    text = redact(value[: 4 * _COLUMN_CHARACTERS], address)[:_COLUMN_CHARACTERS]
    # What is no Unicode text could not be written down, and would cost the event.
    return text.encode("utf-8", "replace").decode() or None
