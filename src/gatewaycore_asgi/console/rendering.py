"""Rendering: templates -> HTML. What comes from outside is escaped by the engine; the only markup that is not is what we have drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from attrs import field, frozen
from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar import Request
from markupsafe import Markup

from gatewaycore.errors import Problem
from gatewaycore.stats.report.charts import short
from gatewaycore.stats.report.contents import NOT_KNOWN, change, span_of
from gatewaycore_asgi.console.asking import ALL_AGENTS, PERIODS, Asked
from gatewaycore_asgi.console.sheets import Trouble
from gatewaycore_asgi.console.viewing import Viewer

FLUSH: Final = "\x1e"
"""Where a page is sent on, while the rest of it is asked for."""

THEMES: Final = ("auto", "light", "dark")
THEME: Final = "gatewaycore_theme"
"""The cookie of the theme that is chosen."""

_ZONES: Final = (
    "UTC", "America/Los_Angeles", "America/New_York", "America/Sao_Paulo", "Europe/London", "Europe/Berlin", "Asia/Kolkata",
    "Asia/Shanghai", "Asia/Tokyo", "Australia/Sydney", "Pacific/Auckland",
)  # fmt: skip


@frozen(kw_only=True)
class Page:
    """Where a page is, and what its links are made of.

    Attributes:
        base: the mount, without a slash at its end.
        path: of the page, below the mount.
        place: pairs of the query that say which page it is, whatever is chosen on it.
        asked: what is chosen.
        problems: what of the URL was not understood.
        viewer: who looks.
        theme: one of `THEMES`.
        asset: finds the name of a file.
        signs_in: whether there is anything to sign in to.
        csrf: what forms carry; empty where nobody is signed in.
    """

    base: str
    path: str
    asked: Asked
    viewer: Viewer
    theme: str
    asset: Callable[[str], str]
    place: tuple[tuple[str, str], ...] = ()
    problems: Sequence[Problem] = field(factory=list)
    signs_in: bool = False
    csrf: str = ""

    def to(self, path: str, *pairs: tuple[str, str], **changes: Any) -> str:
        """Return the URL of another page, for what is chosen here."""
        return f"{self.base}{path}{self.asked.query(*pairs, **changes)}"

    def plain(self, path: str) -> str:
        """Return the URL of a page for which nothing is chosen."""
        return f"{self.base}{path}"

    def here(self, *pairs: tuple[str, str], **changes: Any) -> str:
        """Return the URL of this page, with something else chosen."""
        return self.to(self.path, *self.place, *pairs, **changes)

    def narrowed(self, dimension: str, value: str | None) -> str:
        """Return where a value of a table leads."""
        if value and dimension == "package":
            return self.to("/package", ("name", value))
        if value and dimension == "company":
            return self.to("/company", ("name", value))
        return self.here(only=self.asked.narrowed(dimension, value))

    def file(self, name: str) -> str:
        """Return the URL of one of the console's files."""
        return f"{self.base}/static/{self.asset(name)}"


def theme_of(request: Request[Any, Any, Any]) -> str:
    """Return the theme that is chosen."""
    theme = request.cookies.get(THEME, "auto")
    return theme if theme in THEMES else "auto"


def environment() -> Environment:
    """Return the engine, with the house's ways of writing numbers and times."""
    found = Environment(
        loader=PackageLoader("gatewaycore_asgi.console"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    found.filters.update(
        number=lambda value: f"{value:,}",
        short=short,
        percent=lambda value: f"{100 * value:.0f} %",
        part=lambda value: f"{max(0.0, min(100.0, 100 * value)):.1f}",
        day=lambda value: f"{value:%Y-%m-%d}",
        moment=_moment,
        span=span_of,
        mood=mood,
        # Only what is drawn here is trusted to be markup; see `charts` and `world`.
        drawn=Markup,
    )
    found.globals.update(
        flush=FLUSH,
        change=change,
        not_known=NOT_KNOWN,
        periods=PERIODS,
        zones=_ZONES,
        all_agents=ALL_AGENTS,
        themes=THEMES,
        is_trouble=lambda value: isinstance(value, Trouble),
    )
    return found


def mood(text: str) -> str:
    """Return whether a change is one for the better, as a class."""
    return "up" if text.startswith(("+", "x", "new")) else "down" if text.startswith("-") else "same"


def _moment(value: datetime) -> str:
    """Return a time as short as it can be told: of a day's beginning, the day."""
    if (value.minute, value.second) == (0, 0):
        return f"{value:%Y-%m-%d}" if value.hour == 0 else f"{value:%Y-%m-%d %H:%M}"
    return f"{value:%Y-%m-%d %H:%M:%S}"


def streamed(pieces: Iterator[str]) -> Iterator[bytes]:
    """Iterate over a page in as many pieces as it has places to be sent on."""
    held: list[str] = []
    for piece in pieces:
        if piece == FLUSH:
            yield "".join(held).encode()
            held = []
        else:
            held.append(piece)
    yield "".join(held).encode()
