"""Logs: the lines of ``gatewaycore serve``, as text or as JSON. None holds an address, a token or the value of a query.

The gateway writes none into them; what a library says of a request is dropped, and of what it raises only the type and the place are told.
"""

from __future__ import annotations

import json
import logging
import traceback
from datetime import UTC, datetime
from typing import Any, Final

from gatewaycore.upstreams import UpstreamBrokenError

FIELDS: Final = ("time", "level", "logger", "message", "process", "error", "at")
"""The fields of a line of JSON; `error` and `at` are there where something was raised."""

_REFUSED = ("Unsupported upgrade request", "No supported WebSocket library", "Invalid HTTP request received")


class Refusals(logging.Filter):
    """Drops what uvicorn says of requests for a websocket, of what is no HTTP (container clients try TLS first), and of upstreams that
    broke off, of which the adapter has told already: no trouble of ours, and anybody could fill the disk with it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the record is kept."""
        raised = record.exc_info[0] if record.exc_info else None
        if raised is not None and issubclass(raised, UpstreamBrokenError):
            return False
        return not record.getMessage().startswith(_REFUSED)


class TextLines(logging.Formatter):
    """Writes a line for each record, and below it where an error came from, if there was one."""

    def formatException(self, ei: Any) -> str:  # noqa: N802 - the library's name
        """Return where an error came from, and its type: its text may quote what a client wrote, and so may those that led to it."""
        kind, _, trace = ei
        return "".join(traceback.format_tb(trace)) + ("" if kind is None else kind.__name__)


class JsonLines(logging.Formatter):
    """Writes one object for each record."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        said: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
        }
        if record.exc_info and record.exc_info[1] is not None:
            # An error's text may quote what a client wrote: where it came from is enough to find it.
            said["error"] = type(record.exc_info[1]).__name__
            said["at"] = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(record.exc_info[2])]
        said |= getattr(record, "fields", {})
        return json.dumps(said, ensure_ascii=False)


def log_config(level: str, form: str = "text") -> dict[str, Any]:
    """Return the configuration of `logging` for every process.

    Args:
        level: "debug", "info", "warning" or "error".
        form: "text" or "json".
    """
    # At "info", uvicorn tells of each of its steps; the banner has said what matters of them.
    servers = "WARNING" if level == "info" else level.upper()
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "text": {"()": "gatewaycore.cli.logs.TextLines", "fmt": "%(asctime)s %(levelname)s %(name)s: %(message)s"},
            "json": {"()": "gatewaycore.cli.logs.JsonLines"},
        },
        "filters": {"refusals": {"()": "gatewaycore.cli.logs.Refusals"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": form, "filters": ["refusals"]}},
        "root": {"level": "WARNING", "handlers": ["stderr"]},
        "loggers": {
            "gatewaycore": {"level": level.upper()},
            "uvicorn": {"level": servers},
            "uvicorn.error": {"level": servers},
            # It writes whole URLs at "info", and in those of token servers stands who asks.
            "httpx": {"level": "WARNING"},
        },
    }
