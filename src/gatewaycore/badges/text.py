"""What of a text may stand in a picture, and how wide it is there."""

from __future__ import annotations

import re
from functools import lru_cache
from unicodedata import category, east_asian_width

from attrs import frozen

from gatewaycore.badges.widths import HELVETICA_BOLD, VERDANA, VERDANA_BOLD

LONGEST = 200
"""Characters of a label or a message; what is longer is cut, and ends with "…"."""

# XML 1.0 §2.2 has no other controls, no surrogates, and neither of the last two. The rest turn the reading direction of what follows them,
# and so can make a text say something else than it holds.
_CONTROLS = (*(point for point in range(0x20) if point not in (9, 10, 13)), *range(0x7F, 0xA0), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF)
_TURNS = (0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_LEFT_OUT = dict.fromkeys((*_CONTROLS, *_TURNS))
_ESCAPED = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})

# Emoji that are joined to the one before them, and colours of skin, take no room of their own (UTS #51 §1.4).
_JOINED = re.compile("\u200d.|[\U0001f3fb-\U0001f3ff]")

_EM, _HALF, _HANGUL = 1000, 500, 865


def clean(text: str) -> str:
    """Return what of `text` may stand in a picture: no controls, no turns of direction, no white space around it, and not endless."""
    shown = text[: 4 * LONGEST].translate(_LEFT_OUT).strip()
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1].rstrip()}…"


def escape(text: str) -> str:
    """Return `text` as it stands in XML, between tags as well as between quotes."""
    return text.translate(_ESCAPED)


def number(value: float) -> str:
    """Return a number as SVG has it: no more digits than it needs."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


@frozen(eq=False)
class Font:
    """Letters of one size.

    Attributes:
        widths: of each letter that was measured, in thousandths of an em.
        size: in pixels.
    """

    widths: dict[str, int]
    size: float

    def measure(self, text: str) -> float:
        """Return how wide `text` is, in pixels. Letters that nobody measured are taken to be as wide as an "m"."""
        widths = self.widths
        if not text.isascii():
            text = _JOINED.sub("", text)
        return sum(widths[letter] if letter in widths else self._guess(letter) for letter in text) * self.size / 1000

    def measures(self, text: str) -> bool:
        """Tell whether the width of `text` is known, rather than guessed."""
        return all(letter in self.widths or _by_class(letter) is not None for letter in text)

    def _guess(self, letter: str) -> int:
        width = _by_class(letter)
        return self.widths["m"] if width is None else width


@lru_cache(maxsize=4096)
def _by_class(letter: str) -> int | None:
    """Return the width that letters of its class have in any font, None where each has its own."""
    if category(letter) in ("Mn", "Me", "Cf", "Cc"):
        return 0
    point = ord(letter)
    if 0xAC00 <= point <= 0xD7A3:
        return _HANGUL
    width = east_asian_width(letter)
    if width in ("W", "F") or 0x2190 <= point < 0x2E80:
        return _EM
    # Two letters of a region are one flag.
    return _HALF if width == "H" or 0x1F1E6 <= point <= 0x1F1FF else None


def _read(table: str) -> dict[str, int]:
    found: dict[str, int] = {}
    point = 0
    for line in table.splitlines():
        start, colon, rest = line.rpartition(":")
        if colon:
            point = int(start, 16)
        for word in rest.split():
            width, _, count = word.partition("*")
            for _ in range(int(count or 1)):
                found[chr(point)] = int(width)
                point += 1
    return found


_VERDANA = _read(VERDANA)
PLAIN = Font(_VERDANA, 11)
SMALL = Font(_VERDANA, 10)
SMALL_BOLD = Font(_read(VERDANA_BOLD), 10)
SOCIAL = Font(_read(HELVETICA_BOLD), 11)
