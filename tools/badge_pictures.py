"""Draw the pictures of docs/badges.md, as a gateway answers the requests beside them.

    python tools/badge_pictures.py

A test compares the files with what is drawn.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import sin
from pathlib import Path

from gatewaycore.badges import FixedNumbers
from gatewaycore.config import read_config
from gatewaycore.testing import simulate

DOCS = Path(__file__).resolve().parent.parent / "docs"
_ROW = re.compile(r"^\| !\[(.*)\]\((images/badges/\S+\.svg)\) \| `(\S+)` \|$", re.MULTILINE)
_DAYS = [max(0, round(420 + 2.4 * day + 300 * sin(day / 9) - (250 if day % 7 in (5, 6) else 0))) for day in range(365)]
_NUMBERS = FixedNumbers(
    {
        ("downloads", "rocket-skates", "all"): 1_234_567,
        ("downloads", "rocket-skates", "month"): 48_210,
        ("downloads", "rocket-skates", "year"): 310_000,
        ("companies", "rocket-skates", "month"): 214,
        ("companies", "rocket-skates", "day"): 3,
    },
    {"rocket-skates": _DAYS},
)
_CONFIG = {
    "gateway": {"username": "acme"},
    "packages": [{"name": "rocket-skates", "type": "pixel", "domain": "px.acme.example"}],
    "badges": {"domains": ["badges.acme.example"], "packages": ["rocket-skates"]},
}


def pictures() -> Iterator[tuple[Path, str, bytes]]:
    """Iterate over the files, what stands in their place where they are not seen, and what is to be in them."""
    config = read_config(_CONFIG)
    gateway = config.compile()
    rows = _ROW.findall((DOCS / "badges.md").read_text())
    for _, _, target in rows:
        simulate(gateway, "GET", f"https://badges.acme.example{target}")
    config.figures.refresh(_NUMBERS, 0.0)
    for said, file, target in rows:
        yield DOCS / file, said, simulate(gateway, "GET", f"https://badges.acme.example{target}").body


def main() -> None:
    """Write the files."""
    for file, _, svg in pictures():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(svg)


if __name__ == "__main__":
    main()
