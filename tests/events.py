"""Events as tests of sinks want them: each with an id and a time of its own."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from gatewaycore.event import Event
from gatewaycore.recorder import encode

_BEGAN = datetime(2026, 11, 2, 3, 4, 5, 678, tzinfo=UTC)
_numbers = itertools.count(1)


def make_event(**columns: Any) -> Event:
    """Return an event, with whatever else is said."""
    number = next(_numbers)
    time = columns.get("time", _BEGAN + timedelta(milliseconds=number))
    usual: dict[str, Any] = {
        "id": f"{int(time.timestamp() * 1000):012x}"[:8] + f"-{int(time.timestamp() * 1000) & 0xFFFF:04x}-7000-8000-{number:012x}",
        "time": time,
        "domain": "get.acme.example",
        "package": "cli",
        "package_type": "file",
        "rule": "get.acme.example/{version}",
        "kind": "download",
        "method": "GET",
        "status": 302,
        "decision": "redirect",
        "target": "cdn.acme.example",
        "version": f"1.{number % 20}",
        "variables": {"version": f"1.{number % 20}", "from": "docs"},
        "client": "curl",
        "client_version": "8.5.0",
        "agent": "human",
        "user_agent": "curl/8.5.0",
        "country": "DE",
        "confidence": 0.25,
        "origin_id": f"{number % 97:032x}",
        "endpoint_id": f"{number % 89:032x}",
    }
    return Event(**{**usual, **columns})


def make_events(count: int) -> list[Event]:
    """Return so many events."""
    return [make_event() for _ in range(count)]


def lines_of(events: list[Event]) -> list[bytes]:
    """Return their lines of a journal."""
    return [encode(event) for event in events]
