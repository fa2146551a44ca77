"""The roster of benchmarks; each runs in a process of its own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection

from benchmarks import ask, badges, decide, importing, indexes, lake, live, loading, memory, operations, recording, serving, stats
from benchmarks.room import Effort, Figure

GROUPS: dict[str, Callable[[Effort], Iterator[Figure]]] = {
    module.GROUP: module.run
    for module in (decide, serving, memory, loading, live, recording, operations, ask, indexes, lake, badges, importing, stats)
}


def alone(name: str, effort: Effort) -> list[Figure]:
    """Measure in a process of its own, so that what one benchmark leaves in memory is no burden to the next."""
    here, there = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_measure, args=(there, name, effort))
    process.start()
    there.close()
    try:
        figures: list[Figure] = here.recv()
    except EOFError:
        figures = [Figure(name, "could not be measured: what it said is above", None)]
    process.join()
    return figures


def _measure(answer: Connection, name: str, effort: Effort) -> None:
    answer.send(list(GROUPS[name](effort)))
