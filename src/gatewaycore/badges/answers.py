"""A badge's request -> its answer: what is known, drawn, with what caches and browsers need to know of it."""

from __future__ import annotations

import json
from functools import lru_cache
from hashlib import sha256
from typing import Literal, TypeAlias

from attrs import define, field, frozen

from gatewaycore.badges.charts import CHART_HEIGHT, CHART_WIDTH, chart
from gatewaycore.badges.colors import read_color
from gatewaycore.badges.drawing import STYLES, render
from gatewaycore.badges.figures import Figure, Figures, Metric, Period, Question, short
from gatewaycore.badges.listing import Published, Reference
from gatewaycore.badges.options import Options, read_options
from gatewaycore.decision import TEXT, Respond
from gatewaycore.headers import Headers, holds
from gatewaycore.request import Request

Kind: TypeAlias = Literal["downloads", "companies", "chart"]

KEPT = 1024
"""Answers that are kept drawn."""
KEPT_LENGTH = 512
"""Characters of a query, and sixteenths of the bytes of an answer, up to which one is kept: larger ones would fill the memory."""

SOON_S = 60
"""How long caches keep what is said of a package that nothing is known of yet."""

_NOT_ALLOWED = Respond(405, Headers([("allow", "GET, HEAD"), *TEXT.items()]), b"a badge is fetched with GET\n")
_SAFE = (
    # Whoever opens a badge by itself runs nothing and loads nothing, whatever text is in it.
    ("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'"),
    ("x-content-type-options", "nosniff"),
    ("cross-origin-resource-policy", "cross-origin"),
    ("access-control-allow-origin", "*"),
)
_DEFAULT_PERIOD: dict[Kind, Period] = {"downloads": "all", "companies": "month", "chart": "month"}
# A chart has a day for each bar.
_DRAWN_PERIOD: dict[Period, Period] = {"day": "week", "all": "year"}
_PLAIN, _QUIET = "blue", "lightgrey"

_remembered = lru_cache(maxsize=1024)(read_options)


@frozen
class _Words:
    """What a badge says.

    Attributes:
        settled: whether it says what is so, rather than why there is nothing to say.
    """

    message: str
    color: str
    status: int = 200
    settled: bool = True
    days: tuple[int, ...] = ()


_UNKNOWN = _Words("package not found", _QUIET, 404, settled=False)
_UNCOUNTED = _Words("not counted yet", _QUIET, settled=False)


@define(slots=True)
class Picture:
    """An answer: whole, and "you have it already"."""

    tag: str
    whole: Respond
    unchanged: Respond

    @classmethod
    def make(cls, status: int, media_type: str, body: bytes, max_age_s: int) -> Picture:
        """Make one of its bytes."""
        tag = f'"{sha256(body).hexdigest()[:32]}"'
        # Everything a 304 must repeat (RFC 9110 §15.4.5) is everything that a cache needs.
        kept = [("etag", tag), ("cache-control", f"public, max-age={max_age_s}")]
        whole = Headers([("content-type", media_type), *kept, *_SAFE])
        return cls(tag, Respond(status, whole, body), Respond(304, Headers(kept)))

    def answer(self, headers: Headers) -> Respond:
        """Return it, or 304 where the client holds just that."""
        return self.unchanged if self.whole.status == 200 and holds(headers, self.tag) else self.whole


@define(eq=False)
class Badges:
    """Answers for badges. Pure but for what it keeps: it reads what is known, and draws.

    Attributes:
        published: says which package is meant, and whether it may be shown at all.
        figures: what is known of numbers.
        minimum_companies: fewer than this many companies are "few": who they are could be guessed.
        max_age_s: how long caches keep a badge.
    """

    published: Published
    figures: Figures
    minimum_companies: int = 5
    max_age_s: int = 300
    _kept: dict[tuple[object, ...], Picture] = field(factory=dict, init=False, repr=False)

    def answer(self, request: Request, kind: Kind, text: str, by_id: bool) -> Respond:
        """Answer a request.

        Args:
            request: the request; of its query, what is not understood is passed over.
            kind: what is asked for.
            text: how the request names the package.
            by_id: whether that is an id, rather than an owner and a name.
        """
        if request.method not in ("GET", "HEAD"):
            return _NOT_ALLOWED
        short_query = len(request.query) <= KEPT_LENGTH
        options = _remembered(request.query) if short_query else read_options(request.query)
        package = self.published(Reference(text, by_id, options.package_type))
        period = _period(kind, options)
        figure = None if package is None else self.figures.get(Question("series" if kind == "chart" else kind, package, period))
        key = (kind, package is None, period, figure, options)
        picture = self._kept.get(key)
        if picture is None:
            words = _UNKNOWN if package is None else self._words(kind, figure, period)
            picture = self._draw(kind, words, options)
            if short_query and len(picture.whole.body) <= 16 * KEPT_LENGTH:
                if len(self._kept) >= KEPT:
                    self._kept.clear()
                self._kept[key] = picture
        return picture.answer(request.headers)

    def expected(self, package: str) -> list[Question]:
        """Return what a package's badges ask where their queries say nothing."""
        metrics: tuple[tuple[Metric, Kind], ...] = (("downloads", "downloads"), ("companies", "companies"))
        return [Question(metric, package, _DEFAULT_PERIOD[kind]) for metric, kind in metrics]

    def _words(self, kind: Kind, figure: Figure | None, period: Period) -> _Words:
        if figure is None:
            return _UNCOUNTED
        count = sum(figure) if isinstance(figure, tuple) else figure
        if kind == "companies" and count < self.minimum_companies:
            return _Words("few", _QUIET)
        message = short(count) if period == "all" else f"{short(count)}/{period}"
        return _Words(message, _PLAIN, days=figure if isinstance(figure, tuple) else ())

    def _draw(self, kind: Kind, words: _Words, options: Options) -> Picture:
        max_age_s = self.max_age_s if words.settled else min(SOON_S, self.max_age_s)
        if options.json:
            return Picture.make(words.status, "application/json", _endpoint(kind, words, options, max_age_s), max_age_s)
        label = _label(kind, options)
        if kind == "chart" and words.settled:
            svg = _chart(label, words, options)
        else:
            svg = render(
                label,
                words.message,
                color=_color(words, options),
                label_color=options.label_color,
                style=options.style or "flat",
                logo=options.logo,
                logo_color=options.logo_color,
            )
        return Picture.make(words.status, "image/svg+xml; charset=utf-8", svg.encode("utf-8", "replace"), max_age_s)


def _period(kind: Kind, options: Options) -> Period:
    period = options.period or _DEFAULT_PERIOD[kind]
    return _DRAWN_PERIOD.get(period, period) if kind == "chart" else period


def _label(kind: Kind, options: Options) -> str:
    if options.label is not None:
        return options.label
    return "companies" if kind == "companies" else "downloads"


def _color(words: _Words, options: Options) -> str:
    """Return the colour; what says that there is nothing looks the same everywhere."""
    return (read_color(options.color) or words.color) if words.settled else words.color


def _chart(label: str, words: _Words, options: Options) -> str:
    return chart(
        words.days,
        label,
        words.message,
        kind=options.kind or "bars",
        color=options.color,
        width=CHART_WIDTH if options.width is None else options.width,
        height=CHART_HEIGHT if options.height is None else options.height,
    )


def _endpoint(kind: Kind, words: _Words, options: Options, max_age_s: int) -> bytes:
    """Return a badge as shields.io's endpoint badge takes it, which draws it there (https://shields.io/badges/endpoint-badge)."""
    said = {
        "schemaVersion": 1,
        "label": _label(kind, options),
        "message": words.message,
        "color": _color(words, options),
        "labelColor": read_color(options.label_color),
        "namedLogo": options.logo,
        "logoColor": read_color(options.logo_color),
        "style": options.style if options.style in STYLES else None,
        "cacheSeconds": max(max_age_s, 300),
        "isError": True if words.status >= 400 else None,
    }
    return json.dumps({key: value for key, value in said.items() if value is not None}).encode()
