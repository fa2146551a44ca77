"""What a badge's query asks for. Nothing in it is an error: what is not understood is passed over, as README images need it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from attrs import frozen

from gatewaycore.badges.figures import PERIODS, Period

_MOST_PARAMETERS: Final = 32
_LONGEST_VALUE: Final = 200
PARAMETERS: Final = frozenset(
    ["label", "color", "label-color", "style", "logo", "logo-color", "period", "format", "kind", "width", "height", "package-type"]
)
"""What is read of a query."""

# As shields.io spells them.
_ALSO: Final[Mapping[str, str]] = {"labelColor": "label-color", "logoColor": "logo-color", "colorA": "label-color", "colorB": "color"}


@frozen(cache_hash=True)
class Options:
    """How a badge is to look, and what it is to count; None where nothing is said.

    Attributes:
        label, color, label_color, style, logo, logo_color: as `render` takes them.
        period: what to count in.
        json: whether to answer with an endpoint for shields.io rather than with a picture.
        kind, width, height: as `chart` takes them.
        package_type: which of several packages of one name is meant.
    """

    label: str | None = None
    color: str | None = None
    label_color: str | None = None
    style: str | None = None
    logo: str | None = None
    logo_color: str | None = None
    period: Period | None = None
    json: bool = False
    kind: str | None = None
    width: int | None = None
    height: int | None = None
    package_type: str | None = None


def read_options(query: str) -> Options:
    """Read a raw query; the first of two parameters with one name counts."""
    values: dict[str, str] = {}
    parts = "&".join(query.split("&", _MOST_PARAMETERS)[:_MOST_PARAMETERS])
    for name, value in parse_qsl(parts, keep_blank_values=True, errors="replace"):
        known = _ALSO.get(name, name)
        if known in PARAMETERS:
            values.setdefault(known, value[:_LONGEST_VALUE])
    return Options(
        label=values.get("label"),
        color=values.get("color"),
        label_color=values.get("label-color"),
        style=values.get("style"),
        logo=values.get("logo"),
        logo_color=values.get("logo-color"),
        period=next((period for period in PERIODS if period == values.get("period")), None),
        json=values.get("format") == "json",
        kind=values.get("kind"),
        width=_whole(values.get("width")),
        height=_whole(values.get("height")),
        package_type=values.get("package-type") or None,
    )


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) <= 4 else None
