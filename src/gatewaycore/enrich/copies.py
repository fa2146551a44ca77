"""Copies of our own, of files that are mapped into memory.

Whoever writes into a file that is mapped, or cuts it short, ends the process that reads it: a page that is gone is a signal (SIGBUS) and no
exception. So what is mapped is a copy that nobody else writes to. There is one for all processes of a user on a machine, which share its
memory; it is held against the file whenever it is opened, and made anew when the two differ.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EINVAL, EPERM
from hashlib import sha256
from typing import Final

from attrs import frozen

__all__ = ["Copy", "open_copy"]

_BLOCK: Final = 1024 * 1024
_KEPT_S: Final = 7 * 24 * 3600


@frozen
class Copy:
    """A copy that is open.

    Attributes:
        descriptor: of the open file.
        name: where all processes of the user find it; None where it is this process's alone.
    """

    descriptor: int
    name: str | None

    @property
    def path(self) -> str:
        """Where it is read, by this process and by those that are given the descriptor."""
        return f"/dev/fd/{self.descriptor}"


@contextmanager
def open_copy(path: str) -> Iterator[Copy]:
    """Give a copy of a file. It is good until the block ends, and what was mapped of it for longer.

    Copies lie in ``gatewaycore-<user id>``, where temporary files do. Where they cannot, each process has one of its own in memory.

    Args:
        path: of the file, which may be written to meanwhile: what is in the copy is what has been read.

    Raises:
        OSError: the file cannot be read, or there is no room for a copy.
    """
    source = _open_file(path)
    try:
        try:
            copy = _shared(path, source)
        except OSError:
            if not hasattr(os, "memfd_create"):
                raise
            copy = Copy(_in_memory(source), None)
        try:
            yield copy
        finally:
            os.close(copy.descriptor)
    finally:
        os.close(source)


def _open_file(path: str) -> int:
    # A pipe would keep whoever opens it waiting for its other end.
    source = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(source).st_mode):
        os.close(source)
        raise OSError(EINVAL, "no file, but a folder or a device", path)
    return source


def _shared(path: str, source: int) -> Copy:
    """Open the copy that all processes share; it is made when there is none, or another one is needed."""
    import fcntl

    folder = _folder()
    name = os.path.join(folder, sha256(os.fsencode(os.path.abspath(path))).hexdigest()[:32])
    lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # Of several that start together one makes it, and the others find it.
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = _found(name, source)
        if found is not None:
            return Copy(found, name)
        made = _made(name, source)
        _sweep(folder, os.fstat(made).st_mtime)
        return Copy(made, name)
    finally:
        os.close(lock)


def _found(name: str, source: int) -> int | None:
    """Open the copy that is there, if it is one of this very file."""
    try:
        copy = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    if _is_same(source, copy):
        # It is in use.
        os.utime(copy)
        return copy
    os.close(copy)
    return None


def _made(name: str, source: int) -> int:
    draft = f"{name}.new"
    copy = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _copy(source, copy)
        # Before there is another copy: what was thought of the one before says nothing of it, even where it has got its number.
        with suppress(FileNotFoundError):
            os.unlink(f"{name}.verdict")
        # Whoever has the one before mapped keeps it: only its name goes.
        os.replace(draft, name)
    except BaseException:
        os.close(copy)
        with suppress(OSError):
            os.unlink(draft)
        raise
    return copy


def _sweep(folder: str, now: float) -> None:
    """Remove the names of copies that nobody has asked for in a while: of files that are called otherwise by now."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if now - entry.stat(follow_symlinks=False).st_mtime > _KEPT_S:
                with suppress(OSError):
                    os.unlink(entry)


def _folder() -> str:
    """Return the folder of our own among the temporary files, made when it is not there.

    Raises:
        OSError: it cannot be made, or is somebody else's: what others may write to is no better than the file.
    """
    import tempfile

    user = os.geteuid()
    folder = os.path.join(tempfile.gettempdir(), f"gatewaycore-{user}")
    with suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != user or found.st_mode & 0o077:
        raise OSError(EPERM, "not a folder of our own", folder)
    return folder


def _in_memory(source: int) -> int:
    copy = os.memfd_create("gatewaycore")
    try:
        _copy(source, copy)
    except BaseException:
        os.close(copy)
        raise
    return copy


def _is_same(one: int, other: int) -> bool:
    if os.fstat(one).st_size != os.fstat(other).st_size:
        return False
    os.lseek(one, 0, os.SEEK_SET)
    while True:
        # Not by size and time: they say nothing of a copy that a crash of the machine has left half-written.
        parts = os.read(one, _BLOCK), os.read(other, _BLOCK)
        if parts[0] != parts[1]:
            return False
        if not parts[0]:
            return True


def _copy(source: int, target: int) -> None:
    os.lseek(source, 0, os.SEEK_SET)
    while part := os.read(source, _BLOCK):
        while part:
            part = part[os.write(target, part) :]
