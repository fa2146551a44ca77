"""What is thought of copies of databases: asked of a process of its own, once for each content, and remembered beside the copy.

Only a database that was proven sound is given to the reader in C; see `gatewaycore.enrich.soundness`. A copy that nobody writes to stays
what it was found to be.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from typing import Final, Literal, TypeAlias

from attrs import frozen

from gatewaycore.enrich.copies import Copy

__all__ = ["LIMIT_S", "Verdict", "judge"]

State: TypeAlias = Literal["sound", "damaged", "unknown"]

LIMIT_S: Final = 60
"""How long is waited for a verdict."""

_PROGRAM: Final = os.path.join(os.path.dirname(__file__), "soundness.py")
# What it is that has been proven: another number when `soundness` looks at more.
_EDITION: Final = 1
# Ends that are the file's doing. Not those by which others end a process: there is too little memory, or somebody wants it to stop.
_CRASHES: Final = frozenset({"SIGSEGV", "SIGBUS", "SIGABRT", "SIGFPE", "SIGILL"})


@frozen
class Verdict:
    """What was found out of a database.

    Attributes:
        state: whether all of it can be read; "unknown" where nobody could find out.
        why: what is wrong with it, or why nothing is known.
        took_s: how long that took; 0 when it was remembered.
    """

    state: State
    why: str = ""
    took_s: float = 0.0


def judge(copy: Copy) -> Verdict:
    """Find out whether all of a copy can be read. Of several processes that want to know, one finds out, and the others wait for it.

    Waits for up to `LIMIT_S` where it is not known yet: nothing for an event loop.
    """
    if copy.name is None:
        return _ask(copy)
    import fcntl

    # On the copy itself: whoever wants another one does not wait.
    fcntl.flock(copy.descriptor, fcntl.LOCK_EX)
    try:
        verdict = _remembered(copy)
        if verdict is None:
            verdict = _ask(copy)
            # What takes too long would take as long for each; another hindrance may be gone by the next time, as may a full disk.
            if verdict.state != "unknown" or verdict.took_s >= LIMIT_S:
                with suppress(OSError):
                    _remember(copy, verdict)
        return verdict
    finally:
        # The descriptor may have been inherited meanwhile, and would hold it there.
        fcntl.flock(copy.descriptor, fcntl.LOCK_UN)


def _ask(copy: Copy) -> Verdict:
    import subprocess
    import time

    import maxminddb

    # Servers that embed Python name themselves there, and would be started once more.
    if not os.path.basename(sys.executable or "").startswith(("python", "pypy")):
        return Verdict("unknown", "there is no interpreter that could check it")
    folder = os.path.dirname(os.path.dirname(os.path.abspath(maxminddb.__file__)))
    command = [sys.executable, "-I", _PROGRAM, copy.path, folder]
    begun = time.monotonic()
    try:
        done = subprocess.run(  # noqa: S603 - our own program, by its path
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT_S, pass_fds=(copy.descriptor,), check=False
        )
    except subprocess.TimeoutExpired:
        return Verdict("unknown", f"checking it takes longer than {LIMIT_S} s", float(LIMIT_S))
    except OSError as error:
        return Verdict("unknown", f"no process can be started to check it: {error.strerror}")
    return _understood(done.returncode, done.stdout.decode("ascii", "replace"), time.monotonic() - begun)


def _understood(status: int, said: str, took_s: float) -> Verdict:
    """Return what the program's end means. Without a word of it nothing is known: servers that reap children make 0 of any status."""
    import signal

    if status < 0:
        with suppress(ValueError):
            name = signal.Signals(-status).name
            if name in _CRASHES:
                return Verdict("damaged", f"is damaged: it ends the process that reads it ({name})", took_s)
    if status or not said:
        return Verdict("unknown", f"the process that checked it has ended without a word ({status})", took_s)
    return Verdict("sound", "", took_s) if said == "sound" else Verdict("damaged", said, took_s)


def _place(copy: Copy) -> str:
    return f"{copy.name}.verdict"


def _about(copy: Copy) -> list[object]:
    """Return what a verdict is about. Whoever writes one has the copy open, so its number is no other copy's by then."""
    import maxminddb

    found = os.fstat(copy.descriptor)
    return [found.st_ino, found.st_size, _EDITION, maxminddb.__version__, LIMIT_S]


def _remembered(copy: Copy) -> Verdict | None:
    try:
        file = os.open(_place(copy), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            found = json.loads(os.read(file, 4096))
            # It is in use.
            os.utime(file)
        finally:
            os.close(file)
        return Verdict(found["state"], found["why"]) if found["about"] == _about(copy) else None
    except (OSError, ValueError, KeyError, TypeError):
        # There is none, or a crash of the machine has left half of one.
        return None


def _remember(copy: Copy, verdict: Verdict) -> None:
    draft = f"{_place(copy)}.new"
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.write(file, json.dumps({"about": _about(copy), "state": verdict.state, "why": verdict.why}).encode())
    finally:
        os.close(file)
    os.replace(draft, _place(copy))
