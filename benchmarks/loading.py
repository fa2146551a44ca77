"""Loading: how long many rules take, and for how long a reload of them keeps a running event loop from its requests."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from benchmarks import rules
from benchmarks.room import Effort, Figure, settle
from gatewaycore import Service, load

GROUP = "load"
_STALL_MS = 50.0
_WRITERS = {"YAML": rules.write_yaml, "JSON": rules.write_json}


def run(effort: Effort) -> Iterator[Figure]:
    """Yield the figures."""
    count = 10_000 if effort == "quick" else 100_000
    with tempfile.TemporaryDirectory(prefix="gatewaycore-bench-") as folder:
        for name, write in _WRITERS.items():
            path = Path(folder) / f"gateway.{name.lower()}"
            write(path, count)
            begin = time.perf_counter()
            loaded = load(path)
            taken = time.perf_counter() - begin
            size = path.stat().st_size / 1e6
            yield Figure(
                GROUP,
                f"loading {loaded.router.count:,} rules from {name}",
                taken,
                "s",
                budget="at most 10 s",
                met=taken <= 10,
                note=f"{size:.0f} MB",
            )
            del loaded
        for name in _WRITERS:
            service = Service.from_file(Path(folder) / f"gateway.{name.lower()}", Path(folder) / "data")
            settle()
            quiet, stalled, taken = asyncio.run(_stalls(service))
            service.close()
            yield Figure(
                GROUP,
                f"longest stall of the event loop while {count:,} rules are reloaded from {name}",
                stalled,
                "ms",
                budget="at most 50 ms",
                met=stalled <= _STALL_MS,
                note=f"{quiet:.1f} ms without a reload; it took {taken:.1f} s",
            )


async def _stalls(service: Service) -> tuple[float, float, float]:
    """Return the longest stall in a second without a reload, the longest in one, in milliseconds, and how many seconds it took."""
    quiet = await _longest(lambda: asyncio.sleep(1.0))
    begin = time.perf_counter()
    stalled = await _longest(lambda: asyncio.to_thread(service.reload))
    return quiet, stalled, time.perf_counter() - begin


async def _longest(work: Callable[[], Awaitable[object]]) -> float:
    """Return for how many milliseconds nothing else ran, at most, until `work` was done."""
    longest = 0.0
    done = asyncio.ensure_future(work())
    while not done.done():
        begin = time.perf_counter()
        await asyncio.sleep(0.001)
        longest = max(longest, time.perf_counter() - begin - 0.001)
    await done
    return longest * 1000
