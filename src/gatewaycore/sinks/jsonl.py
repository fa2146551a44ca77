"""Sink `jsonl`: one JSON object a line, to standard output or to a file, for whoever collects logs already."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from attrs import frozen

from gatewaycore.errors import ConfigError, Problem, SinkError


@frozen
class JsonlStorage:
    """Settings of the sink `jsonl`.

    Attributes:
        path: the file to append to; "-" is standard output.
    """

    path: str = "-"

    def open(self) -> JsonlSink:
        """Make the sink.

        Raises:
            ConfigError: the file cannot be opened.
        """
        if self.path == "-":
            return JsonlSink(sys.stdout.buffer, owned=False)
        try:
            path = Path(self.path)
            path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError([Problem("sinks: jsonl: path", f"{self.path!r} cannot be opened: {error.strerror}")]) from error
        return JsonlSink(os.fdopen(fd, "ab"), owned=True)


class JsonlSink:
    """Writes lines as they come. A line may come twice after a crash; its `id` tells.

    Args:
        file: where to.
        owned: close it in the end.
    """

    def __init__(self, file: BinaryIO, *, owned: bool) -> None:
        self._file = file
        self._owned = owned

    def write(self, lines: Sequence[bytes]) -> None:
        """Write and flush a batch.

        Raises:
            SinkError: the file or the pipe is gone or full.
        """
        try:
            self._file.write(b"".join(lines))
            self._file.flush()
        except (OSError, ValueError) as error:
            raise SinkError(f"jsonl: {error}") from error

    def close(self) -> None:
        """Close the file, if it is ours."""
        if self._owned:
            self._file.close()
