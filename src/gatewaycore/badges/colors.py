"""Colours: names and notations as shields.io takes them, and how bright each is."""

from __future__ import annotations

import re
from colorsys import hls_to_rgb
from functools import lru_cache
from types import MappingProxyType

_CSS = """
    aliceblue f0f8ff antiquewhite faebd7 aqua 00ffff aquamarine 7fffd4 azure f0ffff beige f5f5dc bisque ffe4c4 black 000000
    blanchedalmond ffebcd blue 0000ff blueviolet 8a2be2 brown a52a2a burlywood deb887 cadetblue 5f9ea0 chartreuse 7fff00 chocolate
    d2691e coral ff7f50 cornflowerblue 6495ed cornsilk fff8dc crimson dc143c cyan 00ffff darkblue 00008b darkcyan 008b8b darkgoldenrod
    b8860b darkgray a9a9a9 darkgreen 006400 darkgrey a9a9a9 darkkhaki bdb76b darkmagenta 8b008b darkolivegreen 556b2f darkorange
    ff8c00 darkorchid 9932cc darkred 8b0000 darksalmon e9967a darkseagreen 8fbc8f darkslateblue 483d8b darkslategray 2f4f4f
    darkslategrey 2f4f4f darkturquoise 00ced1 darkviolet 9400d3 deeppink ff1493 deepskyblue 00bfff dimgray 696969 dimgrey 696969
    dodgerblue 1e90ff firebrick b22222 floralwhite fffaf0 forestgreen 228b22 fuchsia ff00ff gainsboro dcdcdc ghostwhite f8f8ff gold
    ffd700 goldenrod daa520 gray 808080 green 008000 greenyellow adff2f grey 808080 honeydew f0fff0 hotpink ff69b4 indianred cd5c5c
    indigo 4b0082 ivory fffff0 khaki f0e68c lavender e6e6fa lavenderblush fff0f5 lawngreen 7cfc00 lemonchiffon fffacd lightblue add8e6
    lightcoral f08080 lightcyan e0ffff lightgoldenrodyellow fafad2 lightgray d3d3d3 lightgreen 90ee90 lightgrey d3d3d3 lightpink
    ffb6c1 lightsalmon ffa07a lightseagreen 20b2aa lightskyblue 87cefa lightslategray 778899 lightslategrey 778899 lightsteelblue
    b0c4de lightyellow ffffe0 lime 00ff00 limegreen 32cd32 linen faf0e6 magenta ff00ff maroon 800000 mediumaquamarine 66cdaa
    mediumblue 0000cd mediumorchid ba55d3 mediumpurple 9370db mediumseagreen 3cb371 mediumslateblue 7b68ee mediumspringgreen 00fa9a
    mediumturquoise 48d1cc mediumvioletred c71585 midnightblue 191970 mintcream f5fffa mistyrose ffe4e1 moccasin ffe4b5 navajowhite
    ffdead navy 000080 oldlace fdf5e6 olive 808000 olivedrab 6b8e23 orange ffa500 orangered ff4500 orchid da70d6 palegoldenrod eee8aa
    palegreen 98fb98 paleturquoise afeeee palevioletred db7093 papayawhip ffefd5 peachpuff ffdab9 peru cd853f pink ffc0cb plum dda0dd
    powderblue b0e0e6 purple 800080 rebeccapurple 663399 red ff0000 rosybrown bc8f8f royalblue 4169e1 saddlebrown 8b4513 salmon fa8072
    sandybrown f4a460 seagreen 2e8b57 seashell fff5ee sienna a0522d silver c0c0c0 skyblue 87ceeb slateblue 6a5acd slategray 708090
    slategrey 708090 snow fffafa springgreen 00ff7f steelblue 4682b4 tan d2b48c teal 008080 thistle d8bfd8 tomato ff6347 turquoise
    40e0d0 violet ee82ee wheat f5deb3 white ffffff whitesmoke f5f5f5 yellow ffff00 yellowgreen 9acd32
"""
_WORDS = _CSS.split()
CSS_COLORS = MappingProxyType({name: f"#{code}" for name, code in zip(_WORDS[::2], _WORDS[1::2], strict=True)})
"""The named colours of CSS Color Module Level 4 §6.1."""

PALETTE = MappingProxyType(
    {
        "brightgreen": "#4b0",
        "green": "#67ac09",
        "yellow": "#d8b800",
        "yellowgreen": "#95991a",
        "orange": "#ea7233",
        "red": "#dd4343",
        "blue": "#007ec6",
        "grey": "#555",
        "gray": "#555",
        "lightgrey": "#939393",
        "lightgray": "#939393",
        "critical": "#dd4343",
        "important": "#ea7233",
        "success": "#4b0",
        "informational": "#007ec6",
        "inactive": "#939393",
    }
)
"""The names that badges have of their own, before those of CSS."""

_HEX = re.compile(r"#(?:[0-9a-f]{3,4}|[0-9a-f]{6}|[0-9a-f]{8})")
_BARE_HEX = re.compile(r"[0-9a-f]{3}|[0-9a-f]{6}")
_PART = r"\s*(\d{1,6}(?:\.\d{1,6})?)"
_ALPHA = r"(?:\s*,\s*(?:0|1|0?\.\d{1,6}|1\.0{1,6}|\d{1,2}%|100%)\s*)?\)"
_RGB = re.compile(rf"rgba?\({_PART}(%?)\s*,{_PART}\2\s*,{_PART}\2\s*{_ALPHA}")
_HSL = re.compile(rf"hsla?\({_PART}(?:deg)?\s*,{_PART}%\s*,{_PART}%\s*{_ALPHA}")
_LONGEST = 64


def read_color(text: str | None) -> str | None:
    """Return a colour as SVG takes it, None where `text` names none.

    Args:
        text: a name of the `PALETTE` or of CSS, hexadecimal digits with or without "#", ``rgb()`` or ``hsl()``.
    """
    if text is None or len(text) > _LONGEST:
        return None
    written = text.strip().lower()
    named = PALETTE.get(written)
    if named is not None:
        return named
    if _BARE_HEX.fullmatch(written):
        return f"#{written}"
    return written if rgb(written) is not None else None


@lru_cache(maxsize=512)
def rgb(color: str) -> tuple[float, float, float] | None:
    """Return red, green and blue of a colour in the notation of CSS, each from 0 to 255; None where it is none."""
    color = CSS_COLORS.get(color, color)
    if _HEX.fullmatch(color):
        digits = color[1:]
        step = 1 if len(digits) < 6 else 2
        parts = [digits[position : position + step] * (3 - step) for position in range(0, 3 * step, step)]
        red, green, blue = (float(int(part, 16)) for part in parts)
        return red, green, blue
    found = _RGB.fullmatch(color)
    if found is not None:
        scale = 2.55 if found[2] else 1.0
        red, green, blue = (min(255.0, float(found[group]) * scale) for group in (1, 3, 4))
        return red, green, blue
    found = _HSL.fullmatch(color)
    if found is not None:
        saturation, lightness = (min(1.0, float(found[group]) / 100) for group in (2, 3))
        red, green, blue = (255 * part for part in hls_to_rgb(float(found[1]) / 360 % 1, lightness, saturation))
        return red, green, blue
    return None


def brightness(color: str) -> float:
    """Return how bright a colour looks, from 0 to 1 (W3C, "Techniques for Accessibility Evaluation", 2.2)."""
    red, green, blue = rgb(color) or (0.0, 0.0, 0.0)
    return round((red * 299 + green * 587 + blue * 114) / 255000, 2)


@lru_cache(maxsize=512)
def is_bright(color: str) -> bool:
    """Tell whether text on this background is dark rather than white.

    White is what badges are read in, so it stays as far as it can be read: not beyond the brightness at which shields.io turns to dark
    text, and not where white has hardly any contrast left.
    """
    return brightness(color) > 0.69 or contrast(color, "#fff") < 2.0


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, from 1 to 21 (WCAG 2.2 §1.4.3)."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: str) -> float:
    linear = [_linear(part / 255) for part in rgb(color) or (0.0, 0.0, 0.0)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)
