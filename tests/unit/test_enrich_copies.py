"""Copies of files that are mapped: whatever becomes of the file, what was opened goes on answering."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gatewaycore.enrich import copies as room
from gatewaycore.enrich.copies import open_copy
from gatewaycore.enrich.geo import GeoDatabase
from gatewaycore.errors import ConfigError
from tests.networks import write_database
from tests.served import environment


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let temporary files lie somewhere of the test's own; return the folder in which copies are."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path / "tmp" / f"gatewaycore-{os.geteuid()}"


def content(path: Path) -> bytes:
    with open_copy(str(path)) as copy:
        return Path(copy.path).read_bytes()


def inode(path: Path) -> int:
    with open_copy(str(path)) as copy:
        return os.stat(copy.path).st_ino


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


IN_PLACE = """
import os, sys
from gatewaycore.enrich import Caller, GeoEnrichment
path, broken = sys.argv[1:]
enricher = GeoEnrichment(database=path).open()
with open(path, "r+b") as file:
    file.truncate(int(broken))
    file.write(b"<html>")
for third in range(64):
    assert enricher.columns(Caller(f"203.0.{third}.7", None, "x")) == {
        "country": "GB", "region": None, "city": None, "connection": None
    }
print(len(enricher.refresh().problems))
"""


@pytest.mark.parametrize("left", [0, 5_000])
def test_a_database_that_is_written_over_in_place_ends_no_process(tmp_path: Path, left: int) -> None:
    record = {"country": {"iso_code": "GB"}}
    path = write_database(tmp_path / "x.mmdb", {f"203.0.{third}.0/24": {**record, "n": str(third) * 200} for third in range(64)})
    command = [sys.executable, "-c", IN_PLACE, str(path), str(left)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")


def test_all_processes_share_one_copy_for_as_long_as_the_file_is_the_same(tmp_path: Path, temporary: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"one" * 1_000_000)
    assert content(path) == b"one" * 1_000_000
    first = inode(path)
    assert inode(path) == first
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"E")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert content(path)[-3:] == b"onE"
    path.write_bytes(b"")
    assert content(path) == b""
    assert len(list(temporary.iterdir())) == 1
    assert [temporary.stat().st_mode & 0o777, *(found.stat().st_mode & 0o777 for found in temporary.iterdir())] == [0o700, 0o600]


def test_copies_that_nobody_asks_for_are_removed_when_others_are_made(tmp_path: Path, temporary: Path) -> None:
    files = [tmp_path / name for name in ("a", "b", "c")]
    for file in files:
        file.write_text(file.name)
    weeks_ago = time.time() - 20 * 24 * 3600
    for file in files[:2]:
        content(file)
    for kept in temporary.iterdir():
        os.utime(kept, (weeks_ago, weeks_ago))
    # What is asked for again is in use.
    content(files[1])
    assert len(list(temporary.iterdir())) == 2
    content(files[2])
    assert sorted(kept.read_text() for kept in temporary.iterdir()) == ["b", "c"]


@contextmanager
def nobodys(folder: Path, way: str) -> Iterator[None]:
    """Spoil the folder of copies in one of several ways."""
    if way == "no room":
        folder.mkdir(mode=0o700)
    elif way == "open to all":
        folder.mkdir()
        folder.chmod(0o777)
    elif way == "a link":
        (folder.parent / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(folder.parent / "elsewhere")
    else:
        folder.write_text("a file")
    yield
    if folder.is_dir():
        assert not list(folder.iterdir())


@pytest.mark.parametrize("way", ["no room", "open to all", "a link", "a file"])
def test_without_a_folder_of_our_own_the_copy_is_in_memory(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"x" * 3_000_000)
    copy = room._copy

    def full(source: int, target: int) -> None:
        if os.readlink(f"/proc/self/fd/{target}").endswith(".new"):
            os.write(target, b"x")
            raise OSError(errno.ENOSPC, "No space left on device")
        copy(source, target)

    if way == "no room":
        monkeypatch.setattr(room, "_copy", full)
    before = descriptors()
    with nobodys(temporary, way):
        assert content(path) == path.read_bytes()
        monkeypatch.delattr(os, "memfd_create")
        with pytest.raises(OSError, match=r"No space left|not a folder of our own"):
            content(path)
    assert descriptors() == before


def test_what_cannot_be_copied_leaves_nothing_open(tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_database(tmp_path / "x.mmdb", {"203.0.113.0/24": {"country": "JP"}})

    def broken(*_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    before = descriptors()
    monkeypatch.setattr(room, "_copy", broken)
    with pytest.raises(ConfigError, match=r"x\.mmdb: cannot be read: Input/output error"):
        GeoDatabase.open(path)
    assert not list(temporary.iterdir())
    os.mkfifo(tmp_path / "pipe")
    for odd in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(ConfigError, match="cannot be read: no file, but a folder or a device"):
            GeoDatabase.open(odd)
    assert descriptors() == before
