"""The shared room: how often and in which order things are measured, and what a measurement is."""

from __future__ import annotations

import gc
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from attrs import frozen

Effort: TypeAlias = Literal["quick", "default", "full"]
HERE = Path(__file__).parent
ROOT = HERE.parent


@frozen
class Figure:
    """One measured number beside its budget.

    Attributes:
        group: the benchmark, as ``--only`` names it.
        what: what was measured.
        value: the number, in `unit`; None when it could not be measured, and `note` says why.
        unit: "µs", "ms", "s", "bytes", "x" for a ratio, "" for a count.
        low, high: the extremes of the repetitions that `value` is the median of.
        budget: as the design states it, in words; "" for a figure that is there for comparison.
        met: whether the budget holds; None where there is none.
        note: what a reader must know.
    """

    group: str
    what: str
    value: float | None
    unit: str = ""
    low: float | None = None
    high: float | None = None
    budget: str = ""
    met: bool | None = None
    note: str = ""


def shown(value: float | None, unit: str) -> str:
    """Return a number with its unit, no more exact than it is."""
    if value is None:
        return "–"
    if unit == "x":
        return f"{value:.2f} x"
    if value == int(value):
        text = f"{int(value):,}"
    else:
        text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
    return f"{text} {unit}".rstrip()


def rate(
    group: str,
    what: str,
    values: Sequence[float],
    unit: str,
    budget: str = "",
    within: Callable[[float], bool] | None = None,
    note: str = "",
) -> Figure:
    """Make a figure of the repetitions of one measurement: their median, with the extremes."""
    median = statistics.median(values)
    return Figure(group, what, median, unit, min(values), max(values), budget, None if within is None else within(median), note)


def ratios(one: Sequence[float], other: Sequence[float]) -> list[float]:
    """Return `one` in terms of `other`, round by round: what disturbs a round disturbs both sides of its ratio."""
    return [a / b for a, b in zip(one, other, strict=True)]


def interleaved(subjects: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Run every subject once a round, A, B, C, A, B, C…; return what each gave, round by round.

    Args:
        subjects: by name; each measures itself once and returns its number.
        rounds: how often; one more goes before them, to warm up, and is not counted.
    """
    results: dict[str, list[float]] = {name: [] for name in subjects}
    for number in range(rounds + 1):
        for name, measure in subjects.items():
            value = measure()
            if number:
                results[name].append(value)
    return results


def each_us(call: Callable[..., object], arguments: Iterable[object]) -> float:
    """Return the microseconds that one call takes, over a batch of arguments made beforehand; garbage is collected as it always is."""
    batch = list(arguments)
    begin = time.perf_counter_ns()
    for argument in batch:
        call(argument)
    return (time.perf_counter_ns() - begin) / len(batch) / 1000


def settle() -> None:
    """Take what is there out of the garbage collector's sight, as a server does once its rules are compiled."""
    gc.collect()
    gc.freeze()


def child(*arguments: str, **options: object) -> subprocess.Popen[bytes]:
    """Start a Python that sees this folder and the packages, and may keep bytecode."""
    return subprocess.Popen([sys.executable, *arguments], env=environment(), cwd=ROOT, **options)  # type: ignore[call-overload,no-any-return]


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a child: the packages on its path, bytecode allowed."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    paths = [str(ROOT / "src"), str(ROOT), *filter(None, [kept.get("PYTHONPATH")])]
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), **more}
