"""Memory: what one compiled rule takes, its settings dropped."""

from __future__ import annotations

import gc
import tempfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

from benchmarks import rules
from benchmarks.room import Effort, Figure
from gatewaycore import load

GROUP = "memory"


def run(effort: Effort) -> Iterator[Figure]:
    """Yield the figure."""
    # Fewer would bear more each of what is bounded, such as the caches of names.
    count = 50_000 if effort == "quick" else 100_000
    with tempfile.TemporaryDirectory(prefix="gatewaycore-bench-") as folder:
        path = Path(folder) / "gateway.json"
        rules.write_json(path, count)
        # What is made once, and caches that are bounded, are no rule's: they are there by now.
        load(path)
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        loaded = load(path)
        gc.collect()
        size = (tracemalloc.get_traced_memory()[0] - before) / count
        tracemalloc.stop()
    what = f"memory per compiled rule, {loaded.router.count:,} packages with a template each"
    yield Figure(GROUP, what, round(size), "bytes", budget="at most 1 KiB", met=size <= 1024)
