"""`decide`: what a decision costs as rules become many, beside the routers of werkzeug and falcon, which find and decide nothing."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection

from benchmarks import rules
from benchmarks.room import Effort, Figure, each_us, interleaved, rate, ratios, settle

GROUP = "decide"
_BATCH = 500
_FALCON_S = {"quick": 5.0, "default": 60.0, "full": 300.0}

Measure = Callable[[], float]


def run(effort: Effort) -> Iterator[Figure]:
    """Yield the figures."""
    sizes = [10, 1_000, 100_000] + ([1_000_000] if effort == "full" else [])
    rounds = 7 if effort == "quick" else 31
    subjects: dict[str, Measure] = {}
    for size in sizes:
        compiled = rules.gateway(size)
        subjects[f"decide {size}"] = _distinct(compiled.decide, size)
        same = rules.requests(rules.Paths(size).take(1)) * _BATCH
        subjects[f"repeated {size}"] = lambda decide=compiled.decide, same=same: each_us(decide, same)  # type: ignore[misc]
    compared = [size for size in sizes if size <= 100_000]
    for size in compared:
        subjects[f"werkzeug {size}"] = _werkzeug(size)
        if size <= 1_000:
            subjects[f"falcon {size}"] = _falcon(size)
    settle()
    seen = interleaved(subjects, rounds)
    for size in sizes:
        first = size == sizes[0]
        yield rate(
            GROUP,
            f"decide(), every request distinct, {size:,} rules",
            seen[f"decide {size}"],
            "µs",
            "5 µs" if first else "",
            (lambda us: us <= 5) if first else None,
        )
    most = sizes[-1]
    grown = ratios(seen[f"decide {most}"], seen["decide 10"])
    yield rate(
        GROUP,
        f"… {most:,} rules against 10",
        grown,
        "x",
        "at most 1.5 x",
        lambda x: x <= 1.5,
        "" if most == 1_000_000 else "1,000,000 with --full",
    )
    for size in (10, most):
        yield rate(GROUP, f"decide(), a request seen before, {size:,} rules", seen[f"repeated {size}"], "µs")
    for size in compared:
        yield rate(GROUP, f"werkzeug Map.bind().match(), {size:,} rules", seen[f"werkzeug {size}"], "µs", note="finds only")
    for size in compared:
        what = f"falcon CompiledRouter.find(), {size:,} rules"
        if size <= 1_000:
            yield rate(GROUP, what, seen[f"falcon {size}"], "µs", note="finds only")
        else:
            yield _bounded_falcon(what, size, rounds, _FALCON_S[effort])


def _distinct(decide: Callable[..., object], size: int) -> Measure:
    paths = rules.Paths(size)
    return lambda: each_us(decide, rules.requests(paths.take(_BATCH)))


def _werkzeug(size: int) -> Measure:
    from werkzeug.routing import Map, Rule

    index = Map([Rule(_with(number, "<{}>"), endpoint=str(number)) for number in range(size)])
    index.update()
    paths = rules.Paths(size)
    return lambda: each_us(lambda path: index.bind(rules.DOMAIN).match(path, "GET"), paths.take(_BATCH))


def _falcon(size: int) -> Measure:
    from falcon.routing import CompiledRouter

    class Resource:
        def on_get(self, _request: object, _response: object) -> None:
            """Never called."""

    router = CompiledRouter()
    for number in range(size):
        router.add_route(_with(number, "{{{}}}"), Resource(), compile=number == size - 1)
    paths = rules.Paths(size)
    measure: Measure = lambda: each_us(router.find, paths.take(_BATCH))  # noqa: E731
    # Compiled with the first call, whatever `compile` said.
    router.find(paths.take(1)[0])
    return measure


def _with(number: int, spelling: str) -> str:
    return rules.incoming(number).replace("{version}", spelling.format("version")).replace("{platform}", spelling.format("platform"))


def _bounded_falcon(what: str, size: int, rounds: int, limit_s: float) -> Figure:
    """Measure in a process that can be stopped: its code for so many rules is one function, and takes its time to compile."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_falcon_child, args=(there, size, rounds))
    process.start()
    there.close()
    try:
        if here.poll(limit_s):
            compile_s, values = here.recv()
            return rate(GROUP, what, values, "µs", note=f"finds only; compiled in {compile_s:.0f} s, measured by itself")
        return Figure(GROUP, what, None, "µs", note=f"not compiled within {limit_s:.0f} s")
    except EOFError:
        return Figure(GROUP, what, None, "µs", note="could not be compiled: its process ended")
    finally:
        process.kill()
        process.join()


def _falcon_child(answer: Connection, size: int, rounds: int) -> None:
    begin = time.perf_counter()
    measure = _falcon(size)
    compile_s = time.perf_counter() - begin
    answer.send((compile_s, interleaved({"falcon": measure}, rounds)["falcon"]))
