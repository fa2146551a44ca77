"""Set aside: lines that a sink will never take, kept in a file where somebody may look at them, so that what comes behind them goes on."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from attrs import frozen

from gatewaycore.errors import GatewayError

_log = logging.getLogger("gatewaycore.sinks")

SET_ASIDE = "set-aside"
"""The folder of the data-dir that holds what sinks do not take."""

MOST_BYTES = 64 * 1024 * 1024
"""What the lines of one sink may take."""

_REASON_CHARACTERS = 500


def file_name(name: str) -> str:
    """Return what the files of the sink `name` are called, without their ending."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)


@frozen
class Refused:
    """A line that is set aside.

    Attributes:
        line: as it stands in the journal.
        reason: in words.
    """

    line: bytes
    reason: str


class SetAside:
    """Keeps the lines of one sink.

    Args:
        path: the file; made when there is a line.
        name: whose they are, for the log.

    Attributes:
        count: how many lines were set aside since this began; those among them that were not kept, too.
        dropped: how many were not kept: the file has no room left.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.count = 0
        self.dropped = 0
        self._path = path
        self._name = name

    @classmethod
    def of(cls, folder: Path, name: str) -> Self:
        """Return what keeps the lines of the sink `name`, in a file of this folder."""
        return cls(file_in(folder, name), f"sink {name}")

    def add(self, refused: Sequence[Refused]) -> None:
        """Keep lines; return when they are on disk.

        Raises:
            GatewayError: the file cannot be written.
        """
        try:
            dropped = self._write(refused)
        except OSError as error:
            raise GatewayError(f"what it refuses cannot be set aside in {self._path.name}: {error.strerror}") from error
        self.count += len(refused)
        # Neither the line nor what its store says of it: this is a log.
        _log.error("%s cannot take %d lines, which are set aside in %s", self._name, len(refused), self._path.name)
        if dropped:
            if not self.dropped:
                _log.error("%s is full: further lines that %s cannot take are lost", self._path.name, self._name)
            self.dropped += dropped

    def _write(self, refused: Sequence[Refused]) -> int:
        """Write lines, and return for how many there is no room."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "ab") as file:
            room, kept = MOST_BYTES - os.fstat(fd).st_size, 0
            for one in refused:
                text = json.dumps({"time": now, "reason": one.reason[:_REASON_CHARACTERS], "line": _text(one.line)}).encode() + b"\n"
                room -= len(text)
                if room < 0:
                    break
                file.write(text)
                kept += 1
            file.flush()
            os.fsync(fd)
        return len(refused) - kept


def _text(line: bytes) -> str:
    return line.rstrip(b"\n").decode(errors="backslashreplace")


def file_in(folder: Path, name: str) -> Path:
    """Return where in `folder` the lines of the sink `name` are."""
    return folder / f"{file_name(name)}.jsonl"


def count_lines(path: Path) -> int:
    """Return how many lines a file holds; 0 when it is not there."""
    try:
        with path.open("rb") as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(1024 * 1024), b""))
    except FileNotFoundError:
        return 0
