"""Copies: what was good last of a source, on the node's disk, for whoever starts while it is bad or away."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

FOLDER: Final = "sources"
"""Where, under the data-dir, copies are kept."""

SUFFIX: Final = ".new"
"""How the name of a file ends that is being written."""


def folder_of(data: Path, name: str) -> Path:
    """Return where the copies of one source lie."""
    return data / FOLDER / hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def make_folder(folder: Path) -> None:
    """Make the folder of a source, and what it lies in, for its owner only: rules may hold secrets."""
    for one in (folder.parent.parent, folder.parent, folder):
        one.mkdir(parents=True, exist_ok=True, mode=0o700)


def write_whole(path: Path, body: bytes) -> None:
    """Put a whole file in the place of another."""
    beside = path.with_name(f"{path.name}.{os.getpid()}{SUFFIX}")
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError:
        # A disk that is full has no room for halves of files either.
        beside.unlink(missing_ok=True)
        raise
