"""Badges: what one costs that was drawn before, and one that was not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

from benchmarks.room import Effort, Figure, each_us, interleaved, rate, settle
from gatewaycore.badges import FixedNumbers, chart, render
from gatewaycore.config import read_config
from gatewaycore.headers import Headers
from gatewaycore.request import Request

GROUP = "badges"
_BATCH = 200
_HOST, _PATH = "badges.acme.example", "/installs-badge/acme/rocket-skates"
_CONFIG = {
    "packages": [{"name": "rocket-skates", "type": "pixel", "domain": "px.acme.example"}],
    "badges": {"domains": [_HOST], "packages": ["rocket-skates"]},
}


def run(effort: Effort) -> Iterator[Figure]:
    """Yield the figures."""
    config = read_config(_CONFIG)
    decide = config.compile().decide
    config.figures.refresh(FixedNumbers({("downloads", "rocket-skates", "all"): 1_234_567}), 0.0)
    unseen = count()

    def asked(query: str) -> Request:
        return Request("GET", _HOST, _PATH, query, Headers({"if-none-match": '"other"', "accept": "image/*"}))

    same = [asked("style=flat&logo=python&color=blue")] * _BATCH
    subjects: dict[str, Callable[[], float]] = {
        "cached": lambda: each_us(decide, same),
        "drawn": lambda: each_us(decide, [asked(f"logo=python&label=pulls{next(unseen)}") for _ in range(_BATCH)]),
        "render": lambda: each_us(lambda number: render("downloads", f"{number}k"), range(_BATCH)),
        "chart": lambda: each_us(lambda number: chart(range(number, number + 365), "downloads"), range(_BATCH)),
    }
    settle()
    seen = interleaved(subjects, 7 if effort == "quick" else 31)
    yield rate(GROUP, "decide() on a badge drawn before", seen["cached"], "µs", "1 ms", lambda us: us < 1000)
    yield rate(GROUP, "decide() on a badge not seen before, with a logo", seen["drawn"], "µs")
    yield rate(GROUP, "render(), a badge without a logo", seen["render"], "µs")
    yield rate(GROUP, "chart(), a year of days", seen["chart"], "µs")
