"""The world: the names of countries, and a map of them as SVG. Drawn from Natural Earth, in the public domain, by tools/world_map.py."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from math import log1p
from typing import Any, Final

from attrs import frozen

from gatewaycore.stats.questions import Breakdown
from gatewaycore.stats.report.contents import marked

SHADES: Final = 6
"""How many shades a map has, besides that of countries from which nothing came."""

_DOT = 7


@frozen
class World:
    """Countries by their two letters (ISO 3166-1): what each is called, its outline, and the middle of those that are too small for one."""

    width: int
    height: int
    names: Mapping[str, str]
    outlines: Mapping[str, str]
    dots: Mapping[str, tuple[int, int]]
    rings: Mapping[str, tuple[tuple[int, ...], ...]]


@cache
def world() -> World:
    """Return the map; read once."""
    data = json.loads(files(__package__).joinpath("world.json").read_text(encoding="utf-8"))
    names, outlines, dots, rings = {}, {}, {}, {}
    for code, (name, shapes) in data["countries"].items():
        names[code] = name
        lines = [shape for shape in shapes if len(shape) > 2]
        if lines:
            outlines[code] = "".join(f"M{x} {y}l{' '.join(map(str, rest))}z" for x, y, *rest in lines)
            rings[code] = tuple(map(tuple, lines))
        elif shapes:
            dots[code] = (shapes[0][0], shapes[0][1])
    return World(data["width"], data["height"], names, outlines, dots, rings)


def country_name(code: str) -> str:
    """Return what a country is called; the code itself where nobody knows."""
    return world().names.get(code, code)


def shade_of(count: int, most: int) -> int:
    """Return the shade of a number, from 1 to `SHADES`: by its order of magnitude, so that one large country does not hide the others."""
    return max(1, min(SHADES, round(SHADES * log1p(count) / log1p(max(most, 1)))))


def draw_world(answer: Breakdown) -> str:
    """Return a map of how much came from where, with the numbers for those who point at it. What it says is in the table beside it too."""
    there = world()
    counts = {share.value: share.count for share in answer.shares if share.value is not None}
    most = max(counts.values(), default=0)
    parts = "".join(_shapes(there, counts, most))
    view = f"0 0 {there.width} {there.height}"
    return f'<svg class="world" viewBox="{view}" role="img" aria-label="Map of countries; the same is in the table">{parts}</svg>'


def _shapes(there: World, counts: Mapping[str, int], most: int) -> Iterator[str]:
    # All that nothing came from is one shape: it is most of the map.
    yield f'<path class="s0" d="{"".join(d for code, d in there.outlines.items() if code not in counts)}"/>'
    for code, count in counts.items():
        told = f"<title>{marked(country_name(code))}: {count:,}</title>"
        name = f"s{shade_of(count, most)}"
        if code in there.outlines:
            yield f'<path class="{name}" d="{there.outlines[code]}">{told}</path>'
        elif code in there.dots:
            x, y = there.dots[code]
            yield f'<circle class="{name}" cx="{x}" cy="{y}" r="{_DOT}">{told}</circle>'


def features(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return the countries as GeoJSON in the units of the map, each with its count, for a chart that is drawn elsewhere."""
    there = world()
    return [
        {
            "type": "Feature",
            "properties": {"country": there.names[code], "count": counts.get(code, 0)},
            "geometry": {"type": "MultiPolygon", "coordinates": [[_places(ring)] for ring in rings]},
        }
        for code, rings in there.rings.items()
    ]


def _places(ring: tuple[int, ...]) -> list[list[int]]:
    x = y = 0
    found = []
    for dx, dy in zip(ring[::2], ring[1::2], strict=True):
        x, y = x + dx, y + dy
        found.append([x, y])
    return [*found, found[0]]
