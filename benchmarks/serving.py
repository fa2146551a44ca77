"""Serving: requests per second of a gateway that records everything, beside a bare application and Starlette, which record nothing.

The server is pinned to one core and wrk to another. Beside the requests per second, those per second of the server's own processor time are
given: the two agree on a quiet machine, and on a busy one only the latter means much.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from attrs import define

from benchmarks.room import HERE, Effort, Figure, child, interleaved, rate, ratios
from gatewaycore.segments import segments

GROUP = "asgi"
_LOADS = {"mix": "1,000 URLs in turn", "hot": "one URL", "distinct": "no URL twice"}
_CONNECTIONS = 16
_TROUBLE = re.compile(r"^\s*(Non-2xx or 3xx responses.*|Socket errors.*)$", re.MULTILINE)


@define
class _Served:
    """One served application, and what wrk has seen of it."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    data: Path
    counted: int = 0
    trouble: str = ""

    def cpu_s(self) -> float:
        # The time on a processor of the main thread, which is the one that serves, in nanoseconds (proc(5), "schedstat").
        return int(Path(f"/proc/{self.process.pid}/schedstat").read_text().split()[0]) / 1e9


def run(effort: Effort) -> Iterator[Figure]:
    """Yield the figures."""
    missing = [tool for tool in ("wrk", "taskset") if shutil.which(tool) is None]
    if missing or len(os.sched_getaffinity(0)) < 2:
        why = f"needs {' and '.join(missing)}" if missing else "needs two processors"
        yield Figure(
            GROUP, "ASGI redirect, everything recorded, against a bare app", None, "x", budget="at least 0.70 x", met=False, note=why
        )
        return
    rounds, seconds = {"quick": (3, 1), "default": (15, 1), "full": (31, 2)}[effort]
    folder = Path(tempfile.mkdtemp(prefix="gatewaycore-bench-"))
    try:
        yield from _compare(folder, rounds, seconds)
    finally:
        shutil.rmtree(folder)


def _compare(folder: Path, rounds: int, seconds: int) -> Iterator[Figure]:
    served: dict[str, _Served] = {}
    try:
        for name in ("bare", "starlette", "gateway"):
            served[name] = _serve(name, folder)
        per_cpu: dict[str, list[float]] = {f"{load} {name}": [] for load in _LOADS for name in served}
        subjects = {
            f"{load} {name}": _wrk(load, one, seconds, per_cpu[f"{load} {name}"]) for load in _LOADS for name, one in served.items()
        }
        seen = interleaved(subjects, rounds)
    finally:
        for one in served.values():
            one.process.send_signal(signal.SIGTERM)
            one.process.wait(20)
    for load, words in _LOADS.items():
        for name in served:
            # The first of each was for warming up.
            del per_cpu[f"{load} {name}"][0]
        yield from _figures(load, words, seen, per_cpu)
    yield _counted(served["gateway"])
    trouble = "; ".join(f"{one.name}: {one.trouble}" for one in served.values() if one.trouble)
    yield Figure(GROUP, "answers other than 2xx and 3xx, socket errors", int(bool(trouble)), budget="0", met=not trouble, note=trouble)


def _figures(load: str, words: str, seen: dict[str, list[float]], per_cpu: dict[str, list[float]]) -> Iterator[Figure]:
    headline = load == "mix"
    bare = seen[f"{load} bare"]
    # On a busy machine both sides of a ratio suffer, and the larger program more: its figures are then too low.
    busy = f"; a busy machine: the bare app's own rounds differ by {max(bare) / min(bare):.1f} x" if max(bare) > 1.25 * min(bare) else ""
    yield rate(
        GROUP,
        f"ASGI redirect, everything recorded, against a bare app: {words}",
        ratios(seen[f"{load} gateway"], seen[f"{load} bare"]),
        "x",
        "at least 0.70 x" if headline else "",
        (lambda x: x >= 0.70) if headline else None,
        f"requests per second{busy}",
    )
    yield rate(
        GROUP,
        "… the same by processor time",
        ratios(per_cpu[f"{load} gateway"], per_cpu[f"{load} bare"]),
        "x",
        note="requests per second of the server's processor time",
    )
    yield rate(
        GROUP,
        f"ASGI redirect against Starlette's, which records nothing: {words}",
        ratios(seen[f"{load} gateway"], seen[f"{load} starlette"]),
        "x",
        "ahead" if headline else "",
        (lambda x: x > 1) if headline else None,
        "requests per second",
    )
    yield rate(GROUP, "… the same by processor time", ratios(per_cpu[f"{load} gateway"], per_cpu[f"{load} starlette"]), "x")
    for name in ("bare", "starlette", "gateway"):
        yield rate(GROUP, f"requests per second, {name}: {words}", [round(value) for value in seen[f"{load} {name}"]], "")


def _serve(name: str, folder: Path) -> _Served:
    data = folder / name
    data.mkdir()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(256)
        first, _ = _cores()
        process = child(
            "-m", "benchmarks.server", name, str(listener.fileno()), str(data), pass_fds=(listener.fileno(),), preexec_fn=_pinned(first)
        )
        port = listener.getsockname()[1]
    try:
        _until_served(port)
    except BaseException:
        process.kill()
        raise
    return _Served(name, port, process, data)


def _cores() -> tuple[int, int]:
    first, second, *_ = sorted(os.sched_getaffinity(0))
    return first, second


def _pinned(core: int) -> Callable[[], None]:
    return lambda: os.sched_setaffinity(0, {core})


def _until_served(port: int) -> None:
    """Wait for the first answer; whatever is answered to a path that no rule has, it leaves no event."""
    for _ in range(200):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", "/")
            connection.getresponse()
            return
        except OSError:
            time.sleep(0.05)
        finally:
            connection.close()
    raise RuntimeError("the server does not come up")


def _wrk(load: str, served: _Served, seconds: int, per_cpu: list[float]) -> Callable[[], float]:
    """Return what measures requests per second once; it adds those per second of processor time to `per_cpu`."""
    _, core = _cores()
    url = f"http://127.0.0.1:{served.port}/linux/1.2.3/rocket-skates.tgz"
    command = [
        "taskset",
        "-c",
        str(core),
        "wrk",
        "-t1",
        f"-c{_CONNECTIONS}",
        f"-d{seconds}s",
        "-s",
        str(HERE / "loads" / f"{load}.lua"),
        url,
    ]

    def measure() -> float:
        before = served.cpu_s()
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        spent = served.cpu_s() - before
        answered = int(text.split(" requests in ")[0].split()[-1])
        served.counted += answered
        served.trouble += " ".join(found.strip() for found in _TROUBLE.findall(text))
        per_cpu.append(answered / spent)
        return float(text.split("Requests/sec:")[1].split()[0])

    return measure


def _counted(served: _Served) -> Figure:
    """Compare what was answered with what is in the journal."""
    # What waited for the server to come up was answered too, with 404, and is no event.
    answered = json.loads((served.data / "answered.json").read_text()) - 1
    lines = sum(segment.read_bytes().count(b"\n") for segment in segments(served.data / "journal"))
    # wrk hangs up in the middle of its last requests: those were recorded, and answered to nobody.
    return Figure(
        GROUP,
        "answered requests without a line in the journal",
        max(answered - lines, 0),
        budget="0",
        met=answered <= lines <= answered + 500,
        note=f"{lines:,} lines, {answered:,} answered, {served.counted:,} of them seen by wrk before it hung up",
    )
