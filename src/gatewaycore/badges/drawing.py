"""Badges: a label and a message, side by side, in the five styles that people know from shields.io.

The measures are those of its badge-maker 6.0 (MIT or Apache-2.0): a badge is as wide and as high as the one it replaces. Text is drawn ten
times as large and scaled down, for renderers that round the places of letters to whole pixels. `textLength` makes letters fit whatever font
is there; it is left out where widths were guessed, so that no script is torn apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import blake2b
from types import MappingProxyType

from attrs import define, frozen

from gatewaycore.badges.colors import is_bright, read_color
from gatewaycore.badges.logos import Logo, find_logo
from gatewaycore.badges.text import PLAIN, SMALL, SMALL_BOLD, SOCIAL, Font, clean, escape, number

DEFAULT_COLOR, DEFAULT_LABEL_COLOR = "#4b0", "#555"
FAMILY = "Verdana,Geneva,DejaVu Sans,sans-serif"
_SOCIAL_FAMILY = "Helvetica Neue,Helvetica,Arial,sans-serif"
_LOGO = 14
_PADDING = 5


def render(
    label: str,
    message: str,
    *,
    color: str | None = None,
    label_color: str | None = None,
    style: str = "flat",
    logo: str | None = None,
    logo_color: str | None = None,
) -> str:
    """Draw a badge. The same arguments give the same SVG; no text can get out of its place in it.

    What is not understood is left out, and there is a badge all the same: a README has no use for an error.

    Args:
        label: what it is about; "" for a message alone.
        message: what it says.
        color: behind the message: a name ("blue", "brightgreen", any of CSS), hexadecimal digits, ``rgb()`` or ``hsl()``.
        label_color: behind the label.
        style: one of `STYLES`.
        logo: the name of a brand in Simple Icons; needs ``gatewaycore[badges]``.
        logo_color: of the logo; the brand's own where that can be seen.
    """
    badge = _Badge(
        clean(label),
        clean(message),
        read_color(color) or DEFAULT_COLOR,
        read_color(label_color),
        None if logo is None else find_logo(logo),
        read_color(logo_color),
    )
    return STYLES.get(style, _flat)(badge)


@frozen
class _Badge:
    label: str
    message: str
    color: str
    label_color: str | None
    logo: Logo | None
    logo_color: str | None

    @property
    def has_label(self) -> bool:
        """Whether there is a part for the label."""
        return bool(self.label or self.label_color)

    @property
    def left_color(self) -> str:
        return self.label_color or DEFAULT_LABEL_COLOR

    def mark(self, style: str) -> str:
        """Return what the ids in this badge end with, so that several may stand in one page."""
        return blake2b(repr((style, self)).encode("utf-8", "replace"), digest_size=4).hexdigest()

    def draw_logo(self, x: float, height: int, background: str) -> str:
        if self.logo is None:
            return ""
        place = f'x="{number(x)}" y="{number((height - _LOGO) / 2)}" width="{_LOGO}" height="{_LOGO}"'
        return (
            f'<svg {place} viewBox="0 0 24 24" aria-hidden="true">'
            f'<path fill="{self.logo.color_on(background, self.logo_color)}" d="{self.logo.path}"/></svg>'
        )


@define
class _Line:
    """A text in its place.

    Attributes:
        middle, base: where its middle and its base line are, in pixels.
        width: how wide it is.
        font: what it was measured with.
    """

    text: str
    middle: float
    base: float
    width: float
    font: Font
    more: str = ""

    def draw(self, fill: str = "", dy: float = 0, more: str = "") -> str:
        if not self.text:
            return ""
        fit = f' textLength="{number(10 * self.width)}"' if self.font.measures(self.text) else ""
        color = f' fill="{fill}"' if fill else ""
        place = f'x="{number(10 * self.middle)}" y="{number(10 * (self.base + dy))}"'
        return f'<text {place} transform="scale(.1)"{color}{more}{self.more}{fit}>{escape(self.text)}</text>'

    def draw_on(self, background: str, shadow: bool = False) -> str:
        """Draw it dark on a bright background, else in white, which texts are anyway."""
        bright = is_bright(background)
        text = self.draw("#333" if bright else "")
        if not shadow:
            return text
        return self.draw("#ccc" if bright else "#010101", 1, ' fill-opacity=".3" aria-hidden="true"') + text


@frozen
class _Look:
    """What the three flat styles differ in: height, where text stands, the radius of corners, shadows, and the stops of a gradient."""

    name: str
    height: int
    base: float
    radius: int
    shadow: bool
    stops: str = ""


_FLAT = _Look("flat", 20, 14, 3, True, '<stop offset="0" stop-color="#bbb" stop-opacity=".1"/><stop offset="1" stop-opacity=".1"/>')
_SQUARE = _Look("flat-square", 20, 14, 0, False)
_PLASTIC = _Look(
    "plastic",
    18,
    13,
    4,
    True,
    '<stop offset="0" stop-color="#fff" stop-opacity=".7"/><stop offset=".1" stop-color="#aaa" stop-opacity=".1"/>'
    '<stop offset=".9" stop-opacity=".3"/><stop offset="1" stop-opacity=".5"/>',
)


def _fitted(font: Font, text: str) -> int:
    """Return a width in whole pixels, and odd ones, so that the middle of a text lies on a pixel more often."""
    return int(font.measure(text)) | 1


def _boxed(badge: _Badge, look: _Look) -> str:
    logo = badge.logo is not None
    logo_width = (_LOGO + (3 if badge.label else 0)) if logo else 0
    label_width = _fitted(PLAIN, badge.label) if badge.label else 0
    message_width = _fitted(PLAIN, badge.message)
    left = label_width + 2 * _PADDING + logo_width if badge.has_label else 0
    right = message_width + 2 * _PADDING
    margin = left - (1 if badge.message else 0)
    if not badge.has_label:
        margin += logo_width + _PADDING if logo else 1
        right += logo_width + (_PADDING - 1 if badge.message else 0) if logo else 0
    label_color = badge.left_color if badge.has_label else badge.color
    label = _Line(badge.label, logo_width + 1 + _PADDING + label_width / 2, look.base, label_width, PLAIN)
    message = _Line(badge.message, margin + _PADDING + message_width / 2, look.base, message_width, PLAIN)
    width, height = left + right, look.height
    boxes = (f'<rect width="{left}" height="{height}" fill="{label_color}"/>' if left else "") + (
        f'<rect x="{left}" width="{right}" height="{height}" fill="{badge.color}"/>'
    )
    before, around = "", ' shape-rendering="crispEdges"'
    if look.stops:
        mark = badge.mark(look.name)
        boxes += f'<rect width="{width}" height="{height}" fill="url(#s{mark})"/>'
        before = (
            f'<linearGradient id="s{mark}" x2="0" y2="100%">{look.stops}</linearGradient>'
            f'<clipPath id="r{mark}"><rect width="{width}" height="{height}" rx="{look.radius}"/></clipPath>'
        )
        around = f' clip-path="url(#r{mark})"'
    texts = (
        badge.draw_logo(_PADDING, height, label_color) + label.draw_on(label_color, look.shadow) + message.draw_on(badge.color, look.shadow)
    )
    return _picture(badge, width, height, f"{before}<g{around}>{boxes}</g>{_texts(110, texts)}")


def _flat(badge: _Badge) -> str:
    return _boxed(badge, _FLAT)


def _flat_square(badge: _Badge) -> str:
    return _boxed(badge, _SQUARE)


def _plastic(badge: _Badge) -> str:
    return _boxed(badge, _PLASTIC)


def _for_the_badge(badge: _Badge) -> str:
    written = badge
    # Read aloud, capitals may be spelled out: they are for those who see them.
    badge = _Badge(badge.label.upper(), badge.message.upper(), badge.color, badge.label_color, badge.logo, badge.logo_color)
    height, margin, spacing = 28, 12, 1.25
    # Letters stand apart, so widths need not be whole.
    label_width = int(SMALL.measure(badge.label)) + spacing * len(badge.label)
    message_width = int(SMALL_BOLD.measure(badge.message)) + spacing * len(badge.message)
    has_box = bool(badge.label or (badge.logo and badge.label_color))
    gutter = 6 if badge.label or badge.message else -3
    taken = _LOGO + gutter if badge.logo else 0
    left, label_start = 0.0, float(margin)
    if badge.logo:
        label_start = 9.0 + taken
    if has_box:
        left = label_start + label_width + margin if badge.label else 18.0 + _LOGO
        taken = 0
    right = 2 * margin + taken + message_width
    label = _Line(badge.label, label_start + label_width / 2, 17.5, label_width, SMALL)
    message = _Line(badge.message, left + margin + taken + message_width / 2, 17.5, message_width, SMALL_BOLD, ' font-weight="bold"')
    boxes = (f'<rect width="{number(left)}" height="{height}" fill="{badge.left_color}"/>' if has_box else "") + (
        f'<rect x="{number(left)}" width="{number(right)}" height="{height}" fill="{badge.color}"/>'
    )
    behind = badge.left_color if has_box else badge.color
    texts = badge.draw_logo(9, height, behind) + label.draw_on(behind) + message.draw_on(badge.color)
    return _picture(written, left + right, height, f'<g shape-rendering="crispEdges">{boxes}</g>{_texts(100, texts)}')


def _social(badge: _Badge) -> str:
    badge = _Badge(badge.label[:1].upper() + badge.label[1:], badge.message, "#fafafa", None, badge.logo, badge.logo_color)
    logo_width = (_LOGO + (3 if badge.label else 0)) if badge.logo else 0
    label_width, message_width = _fitted(SOCIAL, badge.label), _fitted(SOCIAL, badge.message)
    left, bubble, gutter = label_width + logo_width + 2 * _PADDING, message_width + 8, 6
    label = _Line(badge.label, logo_width + _PADDING + label_width / 2, 14, label_width, SOCIAL)
    message = _Line(badge.message, left + gutter + bubble / 2, 14, message_width, SOCIAL)
    mark = badge.mark("social")
    boxes = f'<rect x=".5" y=".5" width="{left}" height="19" rx="2" fill="#fcfcfc"/>'
    boxes += f'<rect x=".5" y=".5" width="{left}" height="19" rx="2" fill="url(#a{mark})"/>'
    if badge.message:
        x = left + gutter + 0.5
        # A rounded box with a notch that points to the label, as one line.
        boxes += (
            f'<path fill="#fafafa" d="M{x + 2} .5h{bubble - 4}a2 2 0 0 1 2 2v15a2 2 0 0 1-2 2h-{bubble - 4}a2 2 0 0 1-2-2v-5l-3-3v-1l3-3v-3'
            'a2 2 0 0 1 2-2z"/>'
        )
    gradient = (
        f'<linearGradient id="a{mark}" x2="0" y2="100%"><stop offset="0" stop-color="#fcfcfc" stop-opacity="0"/>'
        '<stop offset="1" stop-opacity=".1"/></linearGradient>'
    )
    lines = "".join(line.draw("#fff", 1, ' aria-hidden="true"') + line.draw() for line in (label, message))
    texts = f'<g fill="#333" text-anchor="middle" font-family="{_SOCIAL_FAMILY}" font-weight="700" font-size="110">{lines}</g>'
    inside = f'{gradient}<g stroke="#d5d5d5">{boxes}</g>{badge.draw_logo(_PADDING, 20, "#fcfcfc")}{texts}'
    return _picture(badge, left + 1 + (gutter + bubble if badge.message else 0), 20, inside)


def _texts(size: int, inside: str) -> str:
    return f'<g fill="#fff" text-anchor="middle" font-family="{FAMILY}" text-rendering="geometricPrecision" font-size="{size}">{inside}</g>'


def _picture(badge: _Badge, width: float, height: int, inside: str) -> str:
    said = escape(f"{badge.label}: {badge.message}" if badge.label else badge.message)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{number(width)}" height="{height}" role="img" aria-label="{said}">'
    return f"{head}<title>{said}</title>{inside}</svg>"


STYLES: Mapping[str, Callable[[_Badge], str]] = MappingProxyType(
    {"flat": _flat, "flat-square": _flat_square, "plastic": _plastic, "for-the-badge": _for_the_badge, "social": _social}
)
"""The styles of badges, by name."""
