"""Sink `jsonl`."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from gatewaycore.errors import ConfigError, SinkError
from gatewaycore.sinks.jsonl import JsonlSink, JsonlStorage


def test_lines_are_appended_to_a_file_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "a" / "out.jsonl"
    for line in (b"1\n", b"2\n"):
        sink = JsonlStorage(str(path)).open()
        sink.write([line, line])
        assert path.read_bytes().endswith(line * 2)
        sink.close()
    assert path.read_bytes() == b"1\n1\n2\n2\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_standard_output_is_written_and_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=out))
    sink = JsonlStorage().open()
    sink.write([b"1\n"])
    sink.close()
    assert out.getvalue() == b"1\n"


def test_a_path_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be opened"):
        JsonlStorage(str(tmp_path)).open()


def test_a_pipe_that_is_gone_or_a_disk_that_is_full() -> None:
    read, write = os.pipe()
    os.close(read)
    sink = JsonlSink(os.fdopen(write, "wb", buffering=0), owned=True)
    with pytest.raises(SinkError, match="jsonl"):
        sink.write([b"1\n"])
    sink.close()
    with pytest.raises(SinkError, match="closed file"):
        sink.write([b"1\n"])
