"""Write src/gatewaycore_asgi/console/world.json: the countries, and where on a map they lie, from Natural Earth (in the public domain).

    npm pack world-atlas@2.0.2 i18n-iso-countries@7.14.0      # and unpack each into a folder of its own
    python tools/world_map.py ATLAS/package COUNTRIES/package > src/gatewaycore_asgi/console/world.json

Each country has its name and its rings: places in whole units of a map that is 1,920 units wide, the first as it is and each other by how
far it is from the one before. Those that are too small for the map of 1:110 million have one ring of one place, in their middle. The
projection is Equal Earth: no country looks larger than it is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import pairwise
from math import asin, cos, radians, sin, sqrt
from pathlib import Path
from typing import Any

WIDE = 1920
# Nobody fetches much there, and it takes a fifth of the map.
LEFT_OUT = {"AQ"}
SOUTH, NORTH = -57.0, 84.0
# Natural Earth has no number for it, and events have this.
NAMED = {"Kosovo": "XK"}
_A = (1.340264, -0.081106, 0.000893, 0.003796)

Place = tuple[float, float]


def equal_earth(longitude: float, latitude: float) -> Place:
    """Return where a place is on the map (Šavrič, Patterson and Jenny, 2018), with y downwards."""
    angle = asin(sqrt(3) / 2 * sin(radians(latitude)))
    square = angle * angle
    sixth = square**3
    x = cos(angle) / (sqrt(3) / 2 * (_A[0] + 3 * _A[1] * square + sixth * (7 * _A[2] + 9 * _A[3] * square)))
    y = angle * (_A[0] + _A[1] * square + sixth * (_A[2] + _A[3] * square))
    return radians(longitude) * x, -y


EAST = equal_earth(180, 0)[0]
TOP = equal_earth(0, NORTH)[1]


def placed(longitude: float, latitude: float) -> tuple[int, int]:
    """Return the same in units of the map."""
    x, y = equal_earth(longitude, min(max(latitude, SOUTH), NORTH))
    scale = WIDE / (2 * EAST)
    return round((x + EAST) * scale), round((y - TOP) * scale)


def arcs_of(topology: dict[str, Any]) -> list[list[Place]]:
    """Return the lines of a TopoJSON in degrees."""
    (sx, sy), (tx, ty) = topology["transform"]["scale"], topology["transform"]["translate"]
    found = []
    for arc in topology["arcs"]:
        x = y = 0
        line = []
        for dx, dy in arc:
            x, y = x + dx, y + dy
            line.append((x * sx + tx, y * sy + ty))
        found.append(line)
    return found


def rings_of(topology: dict[str, Any], geometry: dict[str, Any]) -> Iterator[list[Place]]:
    """Iterate over the rings of a country."""
    arcs = arcs_of(topology)
    polygons = [geometry["arcs"]] if geometry["type"] == "Polygon" else geometry["arcs"]
    for polygon in polygons:
        for ring in polygon:
            line: list[Place] = []
            for number in ring:
                arc = arcs[number] if number >= 0 else arcs[~number][::-1]
                line += arc[1:] if line else arc
            yield line


def cut(ring: list[Place]) -> Iterator[list[Place]]:
    """Iterate over the parts of a ring on either side of the 180th meridian, where the map ends."""
    line = [ring[0]]
    for x, y in ring[1:]:
        # The shorter way round: a ring does not leap from one side of the map to the other.
        line.append((x - 360 * round((x - line[-1][0]) / 360), y))
    for turn in (-360, 0, 360):
        part = clipped(clipped([(x + turn, y) for x, y in line], -180, 1), 180, -1)
        if part:
            yield part


def clipped(ring: list[Place], edge: float, side: int) -> list[Place]:
    """Return what of a ring is on one side of a meridian (Sutherland and Hodgman, 1974)."""
    found: list[Place] = []
    for (x1, y1), (x2, y2) in zip(ring, [*ring[1:], *ring[:1]], strict=True):
        inside, next_inside = (x1 - edge) * side >= 0, (x2 - edge) * side >= 0
        if inside:
            found.append((x1, y1))
        if inside != next_inside:
            found.append((edge, y1 + (y2 - y1) * (edge - x1) / (x2 - x1)))
    return found


def whole(ring: list[Place]) -> list[tuple[int, int]]:
    """Return a ring in units of the map, without places that are the same; a side on the edge of the map keeps its bend."""
    found: list[tuple[int, int]] = []
    for (x1, y1), (x2, y2) in pairwise([*ring, ring[0]]):
        steps = max(1, int(abs(y2 - y1) // 4)) if abs(x1) > 179.9 and abs(x2) > 179.9 else 1
        for step in range(steps):
            place = placed(x1 + (x2 - x1) * step / steps, y1 + (y2 - y1) * step / steps)
            if not found or found[-1] != place:
                found.append(place)
    if len(found) > 1 and found[0] == found[-1]:
        found.pop()
    return found


def relative(places: list[tuple[int, int]]) -> list[int]:
    """Return a ring as it is written."""
    x = y = 0
    flat = []
    for px, py in places:
        flat += [px - x, py - y]
        x, y = px, py
    return flat


def main(atlas: Path, countries: Path) -> None:
    """Print the file."""
    by_number = {number: alpha2 for alpha2, _, number, *_ in json.loads((countries / "codes.json").read_text())}
    names = json.loads((countries / "langs" / "en.json").read_text())["countries"]
    found: dict[str, list[list[int]]] = {}
    for scale in ("110m", "50m"):
        topology = json.loads((atlas / f"countries-{scale}.json").read_text())
        for geometry in topology["objects"]["countries"]["geometries"]:
            code = NAMED.get(geometry["properties"]["name"]) or by_number.get(geometry.get("id", ""))
            if code is None or code in LEFT_OUT or code in found:
                continue
            rings = [part for ring in rings_of(topology, geometry) for part in cut(ring)]
            if scale == "110m":
                shapes = [relative(ring) for ring in map(whole, rings) if len(ring) > 2]
                found[code] = [shape for shape in shapes if len(shape) > 4] or [relative(whole(rings[0])[:1])]
            else:
                ring = max(rings, key=len)
                found[code] = [list(placed(sum(x for x, _ in ring) / len(ring), sum(y for _, y in ring) / len(ring)))]
    names["XK"] = "Kosovo"
    plain = {code: [name if isinstance(name, str) else name[0], found.get(code, [])] for code, name in sorted(names.items())}
    high = placed(0, SOUTH)[1]
    sys.stdout.write(json.dumps({"width": WIDE, "height": high, "countries": plain}, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
