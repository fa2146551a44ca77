"""Logos: shapes of Simple Icons, out of an installed package. None is ever fetched, nor taken from what a request holds."""

from __future__ import annotations

import re
from functools import lru_cache

from attrs import frozen

from gatewaycore.badges.colors import contrast, is_bright

_NAME = re.compile(r"[a-z0-9]{1,64}")
_SPELLED = str.maketrans({"+": "plus", ".": "dot", "&": "and", "#": "sharp", " ": None, "-": None, "_": None})
# Path data and nothing else (SVG 2 §9.3): what is put into a picture is looked at, whoever has published it.
_PATH = re.compile(r'<path d="([MmLlHhVvCcSsQqTtAaZz0-9eE ,.+-]+)"/>')
_HEX = re.compile(r"[0-9A-Fa-f]{6}")
_LEGIBLE = 3.0
"""The contrast that a picture needs with what is behind it (WCAG 2.2 §1.4.11)."""


@frozen
class Logo:
    """A shape in a square of 24 by 24.

    Attributes:
        path: its path data.
        color: the brand's own.
    """

    path: str
    color: str

    def color_on(self, background: str, wanted: str | None = None) -> str:
        """Return the colour to draw it in: the one that is `wanted`, else the brand's where it can be told from the background."""
        if wanted is not None:
            return wanted
        if contrast(self.color, background) >= _LEGIBLE:
            return self.color
        return "#333" if is_bright(background) else "#fff"


@lru_cache(maxsize=256)
def find_logo(name: str) -> Logo | None:
    """Return the logo of that name, or None where there is none.

    Args:
        name: of a brand: "python", "Visual Studio Code", "node.js". Needs ``gatewaycore[badges]``; without it there are no logos.
    """
    slug = name.strip().lower().translate(_SPELLED)
    if not _NAME.fullmatch(slug):
        return None
    try:
        from simple_icons_pack import get_icon
    except ImportError:
        return None
    icon = get_icon(slug)
    path = None if icon is None else _PATH.search(icon.svg)
    if icon is None or path is None or not _HEX.fullmatch(icon.hex):
        return None
    return Logo(path[1], f"#{icon.hex.lower()}")
