"""Write src/gatewaycore/badges/widths.py: how wide letters are in the fonts of badges, from the published measurements of anafanafo.

    npm pack anafanafo@2.0.0 && tar xzf anafanafo-2.0.0.tgz
    python tools/badge_widths.py package/data > src/gatewaycore/badges/widths.py

The tables there hold what a browser measured, in pixels, for runs of code points. Here they are thousandths of an em, one for each letter.
Verdana is kept from one size only: at the other it is the same within 0.003 em. Beyond Latin, Greek, Cyrillic and punctuation it is the
fallback fonts of one computer that were measured; `gatewaycore.badges.text` goes by the class of a character there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from textwrap import wrap

FONTS = {
    "VERDANA": ("verdana-11px-normal.json", 11),
    "VERDANA_BOLD": ("verdana-10px-bold.json", 10),
    "HELVETICA_BOLD": ("helvetica-11px-bold.json", 11),
}
BLOCKS = ((0x20, 0x530), (0x1E00, 0x1F00), (0x2000, 0x2190))
HEAD = '''"""How wide letters are, in thousandths of an em. Written by tools/badge_widths.py; not to be edited.

Measured by anafanafo 2.0.0 (MIT License, copyright 2018 Metabolize LLC). Each line begins with the code point of its first letter; "600*3"
stands for three letters of that width.
"""
'''


def measured(path: Path, size: int) -> Iterator[tuple[int, int]]:
    """Iterate over code points and their widths."""
    for first, last, width in json.loads(path.read_text()):
        for point in range(first, last + 1):
            if any(start <= point < end for start, end in BLOCKS):
                yield point, round(width * 1000 / size)


def written(table: dict[int, int]) -> Iterator[str]:
    """Iterate over the lines of a table."""
    for _, run in groupby(enumerate(sorted(table)), lambda pair: pair[1] - pair[0]):
        points = [point for _, point in run]
        words = []
        for width, same in groupby(table[point] for point in points):
            count = len(list(same))
            words.append(f"{width}*{count}" if count > 1 else f"{width}")
        first = True
        for line in wrap(" ".join(words), 126):
            yield f"{points[0]:x}: {line}" if first else f"    {line}"
            first = False


def main() -> None:
    """Write the module to standard output."""
    folder = Path(sys.argv[1])
    out = [HEAD]
    for name, (file, size) in FONTS.items():
        out.append(f'{name} = """\\\n' + "\n".join(written(dict(measured(folder / file, size)))) + '\n"""\n')
    sys.stdout.write("\n".join(out))


if __name__ == "__main__":
    main()
