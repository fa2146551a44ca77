"""Sink `jsonl`."""

from __future__ import annotations

import io
import os
import resource
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

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


@contextmanager
def room_of(size: int) -> Iterator[None]:
    """Let no file of this process become larger, as if the disk were full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_was_full_leaves_no_piece_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    lines = [b"%07d\n" % number for number in range(100_000)]
    sink = JsonlStorage(str(path)).open()
    sink.write(lines[:10])
    for _ in range(2):
        with room_of(300_003), pytest.raises(SinkError, match=r"jsonl: .*too large"):
            sink.write(lines)
        assert path.read_bytes() == b"".join(lines[:10])
    sink.write(lines)
    sink.close()
    assert path.read_bytes() == b"".join(lines[:10] + lines)


def test_a_piece_of_a_line_that_cannot_be_taken_back_is_a_line_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.jsonl"
    lines = [b"%07d\n" % number for number in range(100_000)]
    sink = JsonlStorage(str(path)).open()

    def refuse(fd: int, size: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "ftruncate", refuse)
    with room_of(300_003), pytest.raises(SinkError):
        sink.write(lines)
    sink.write(lines)
    sink.close()
    assert path.read_bytes() == b"".join(lines)[:300_003] + b"\n" + b"".join(lines)


def test_what_others_have_written_meanwhile_is_not_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"

    class Shared(io.FileIO):
        """A file of which another process has the end when the disk is full."""

        def write(self, data: Any) -> int:
            super().write(data[:3])
            with path.open("ab") as file:
                file.write(b"other\n")
            raise OSError("full")

    sink = JsonlSink(Shared(path, "a+"), owned=True)
    with pytest.raises(SinkError, match="full"):
        sink.write([b"1234\n"])
    sink.close()
    assert path.read_bytes() == b"123other\n"


@pytest.mark.parametrize("torn", [b"1\n{to", b"{to"])
def test_what_a_kill_has_left_is_a_line_by_itself(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(torn)
    sink = JsonlStorage(str(path)).open()
    sink.write([])
    assert path.read_bytes() == torn
    for line in (b"2\n", b"3\n"):
        sink.write([line])
    sink.close()
    assert path.read_bytes() == torn + b"\n2\n3\n"


def test_a_named_pipe_is_written_to_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    lines = [b"%07d\n" % number for number in range(100_000)]
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(path.read_bytes()))
    reader.start()
    sink = JsonlStorage(str(path)).open()
    sink.write(lines)
    sink.close()
    reader.join()
    assert found == [b"".join(lines)]
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_a_pipe_that_does_not_block_and_is_full_comes_again() -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    sink = JsonlSink(os.fdopen(write, "wb", buffering=0), owned=True)
    with pytest.raises(SinkError, match="jsonl: it is full"):
        sink.write([b"1\n" * 1_000_000])
    sink.close()
    os.close(read)
