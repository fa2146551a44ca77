"""Import: how long a fresh interpreter takes for `import gatewaycore`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

from benchmarks.room import Effort, Figure, environment, interleaved, rate

GROUP = "import"


def run(effort: Effort) -> Iterator[Figure]:
    """Yield the figures."""
    with tempfile.TemporaryDirectory() as caches:
        # A bytecode cache of its own, warm after the first round, whatever this machine's settings are.
        started = environment(PYTHONPYCACHEPREFIX=caches)
        seen = interleaved(
            {code: _start(code, started) for code in ("pass", "import gatewaycore", "from gatewaycore import load")},
            7 if effort == "quick" else 15,
        )
    nothing = seen.pop("pass")
    for code, values in seen.items():
        plain = code == "import gatewaycore"
        yield rate(
            GROUP,
            f"`{code}`, above `pass`",
            [(value - base) * 1000 for value, base in zip(values, nothing, strict=True)],
            "ms",
            "100 ms" if plain else "",
            (lambda ms: ms <= 100) if plain else None,
        )


def _start(code: str, started: dict[str, str]) -> Callable[[], float]:
    def measure() -> float:
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], env=started, check=True)
        return time.perf_counter() - begin

    return measure
