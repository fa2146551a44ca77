"""Pages: who looks, what is asked, and the page that answers. Handlers run in threads, for they ask the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen
from litestar import Request, Response
from litestar.datastructures import Cookie
from litestar.exceptions import NotAuthorizedException
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect, Stream

from gatewaycore.errors import ConfigError, Problem
from gatewaycore.stats.report.contents import figures_of
from gatewaycore_asgi.console import charts
from gatewaycore_asgi.console.api.app import document
from gatewaycore_asgi.console.api.describing import ALWAYS, OPENAPI, PREFIX
from gatewaycore_asgi.console.api.problems import CODES
from gatewaycore_asgi.console.asking import Asked, read_asked, steady
from gatewaycore_asgi.console.assets import Assets
from gatewaycore_asgi.console.badging import snippets
from gatewaycore_asgi.console.catalogue import Known
from gatewaycore_asgi.console.failing import error_page, not_found
from gatewaycore_asgi.console.forms import Form, showing, taking
from gatewaycore_asgi.console.panels import Table, write_csv
from gatewaycore_asgi.console.reference import chapters_of, paragraphs
from gatewaycore_asgi.console.rendering import THEME, THEMES, Page, environment, streamed, theme_of
from gatewaycore_asgi.console.requests import base_of, is_head, last, local, query_of
from gatewaycore_asgi.console.sheets import SECTIONS, Sheet, tried
from gatewaycore_asgi.console.shelves import EmptySheet, Shelf, shelf_table
from gatewaycore_asgi.console.viewing import Group, Viewer

if TYPE_CHECKING:
    from gatewaycore_asgi.console.app import Console

Asking = Request[Any, Any, Any]
Answer = Response[Any]

_YEAR_S: Final = 365 * 86_400
_FOR_EVER: Final = "public, max-age=31536000, immutable"
# Whose page it is, and what they may see, may have changed since.
_ANEW: Final = {"cache-control": "private, no-cache", "vary": "Cookie"}


@frozen
class _View:
    """A page of numbers.

    Attributes:
        template: its file.
        path: below the mount.
        title: of it.
        sheet: its answers.
        place: pairs of the query that say which page it is.
        more: what else its template needs.
        tables: those of its own, by name.
    """

    template: str
    path: str
    title: str
    sheet: Sheet
    place: tuple[tuple[str, str], ...] = ()
    more: Mapping[str, Any] = {}
    tables: Mapping[str, Callable[[], Table]] = {}


class Pages:
    """The pages of numbers, and the files that they need.

    Args:
        console: whose.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._assets = Assets()
        self._environment = environment()

    def handlers(self) -> Sequence[HTTPRouteHandler]:
        """Return what answers."""
        return [
            showing("/", self._home),
            showing("/package", self._package),
            showing("/company", self._company),
            showing("/organisation", self._organisation),
            showing("/static/{name:str}", self._static),
            *([] if self._console.access is None else [showing("/api", self._reference)]),
            taking("/theme", self._set_theme),
        ]

    # --- pages -------------------------------------------------------------------------------------------------------------

    def _home(self, request: Asking) -> Answer:
        asked, _ = _asked(request)
        viewer = self._viewer(request)
        if viewer.name is None and not viewer.sees_all:
            raise NotAuthorizedException
        visible = self._visible(viewer)
        shelf = self._shelf(asked, None if viewer.sees_all else [one.key for one in visible])
        return self._shelved(request, "home.html", "/", "Packages", shelf, visible)

    def _organisation(self, request: Asking) -> Answer:
        name = last(request, "name")
        viewer = self._viewer(request)
        group = next((one for one in viewer.groups() if one.name == name), None)
        if group is None:
            return self._refused(request, viewer)
        asked, _ = _asked(request)
        visible = [one for one in self._visible(viewer) if one.key in group.packages]
        shelf = self._shelf(asked, [one.key for one in visible])
        return self._shelved(request, "home.html", "/organisation", group.title, shelf, visible, (("name", name),), group)

    def _shelved(
        self,
        request: Asking,
        template: str,
        path: str,
        title: str,
        shelf: Shelf,
        visible: Sequence[Known],
        place: tuple[tuple[str, str], ...] = (),
        group: Group | None = None,
    ) -> Answer:
        search = last(request, "q")[:200]

        def listed(limit: int | None = None) -> Table:
            return shelf_table(shelf, visible, search, limit)

        more = {"shelf": lambda: tried(lambda: listed(100)), "search": search, "count": len(visible), "group": group}
        return self._answer(request, _View(template, path, title, shelf.sheet, place, more, {"package": listed}))

    def _package(self, request: Asking) -> Answer:
        key = last(request, "name")
        known = self._console.catalogue.packages().get(key)
        viewer = self._viewer(request)
        if not key or not viewer.may_see(key):
            return self._refused(request, viewer)
        asked, _ = _asked(request)
        sheet = self._sheet(asked, (key,), package=key)
        if known is None:
            there = viewer.role_of(key) is not None and not viewer.sees_all
            if not there and not sheet.totals.now.count and self._console.statistics().first_event((key,)) is None:
                return not_found(request)
            known = Known(key, key, "", is_configured=False)
        badges = snippets(self._console.service.config, known)
        more = {"known": known, "sections": SECTIONS, "badges": badges, "role": viewer.role_of(key)}
        return self._answer(request, _View("package.html", "/package", known.name, sheet, (("name", key),), more))

    def _company(self, request: Asking) -> Answer:
        key = last(request, "name")
        if not key:
            return not_found(request)
        asked, _ = _asked(request)
        viewer = self._viewer(request)
        visible = None if viewer.sees_all else [one.key for one in self._visible(viewer)]
        if visible == []:
            return self._refused(request, viewer)
        sheet = self._sheet(asked, visible or (), (("company", key),))
        title = self._company_name(asked, visible or (), key)
        return self._answer(request, _View("company.html", "/company", title, sheet, (("name", key),), {"key": key}))

    def _reference(self, request: Asking) -> Answer:
        found = document()
        context = {
            "chapters": chapters_of(found, frozenset(map(str, ALWAYS))),
            "about": paragraphs(found["info"]["description"]),
            "version": found["info"]["version"],
            "document": f"{PREFIX}{OPENAPI}",
            "troubles": [(status, CODES[status]) for status in ALWAYS],
        }
        return self._console.pages.show(request, "reference.html", "/api", "API", context)

    def _company_name(self, asked: Asked, packages: Sequence[str], key: str) -> str:
        found = self._console.statistics().companies(self._moment(asked, packages), asked.filter(packages, ("company", key)), 1)
        return next((one.name for one in found.companies if one.name), key)

    # --- what they are made of ---------------------------------------------------------------------------------------------

    def _viewer(self, request: Asking) -> Viewer:
        return self._console.doors.visit(request).viewer

    def _refused(self, request: Asking, viewer: Viewer) -> Answer:
        """Answer for what is not there or not for whoever asks, who is told to sign in where they have not."""
        if viewer.name is None and not viewer.sees_all:
            raise NotAuthorizedException
        return not_found(request)

    def _visible(self, viewer: Viewer) -> list[Known]:
        return [one for one in self._console.catalogue.packages().values() if viewer.may_see(one.key)]

    def _moment(self, asked: Asked, packages: Iterable[str]) -> Any:
        first = self._console.statistics().first_event(tuple(packages)) if asked.period == "all" else None
        return asked.moment(steady(self._console.now()), first)

    def _sheet(self, asked: Asked, packages: Sequence[str] = (), also: Iterable[tuple[str, str]] = (), package: str | None = None) -> Sheet:
        return Sheet(self._console.statistics(), asked, self._moment(asked, packages), packages, also, package)

    def _shelf(self, asked: Asked, packages: Sequence[str] | None) -> Shelf:
        """Return the numbers of packages; None for all there are."""
        stats = self._console.statistics()
        kind = EmptySheet if packages is not None and not packages else Sheet
        return Shelf(stats, kind(stats, asked, self._moment(asked, packages or ()), packages or ()))

    def _answer(self, request: Asking, view: _View) -> Answer:
        """Answer with a page, or with what of it is asked for: a table as CSV, a chart's specification, the last events."""
        asked, problems = _asked(request)
        form = last(request, "format")
        try:
            if form == "csv":
                return self._csv(request, view, last(request, "table") or "series")
            if form == "chart":
                return Response(view.sheet.spec(last(request, "of") or "series"), media_type="application/json", headers=_ANEW)
        except ConfigError as error:
            return error_page(request, 400, "; ".join(map(str, error.problems)))
        page = self.page(request, view.path, view.place, asked, problems)
        if form == "feed":
            return self._feed(request, page, view)
        # The first answer is asked for before anything is sent: when the store does not answer, that is what the page says.
        first = list(figures_of(view.sheet.totals))
        context = {"page": page, "title": view.title, "sheet": view.sheet, "figures": first, "charts": charts, "now": self._console.now()}
        pieces = self._environment.get_template(view.template).generate(**context, **view.more, first=self._first_event(view.sheet))
        return Stream(streamed(pieces), media_type="text/html; charset=utf-8", headers=_ANEW)

    def page(
        self,
        request: Asking,
        path: str,
        place: tuple[tuple[str, str], ...] = (),
        asked: Asked | None = None,
        problems: Sequence[Problem] = (),
    ) -> Page:
        """Return where a page is, and what its links are made of."""
        visit = self._console.doors.visit(request)
        return Page(
            base=base_of(request),
            path=path,
            place=place,
            asked=asked or Asked(),
            problems=problems,
            viewer=visit.viewer,
            theme=theme_of(request),
            asset=self._assets.names.__getitem__,
            signs_in=self._console.doors.signs_in,
            csrf=visit.csrf,
        )

    def show(
        self,
        request: Asking,
        template: str,
        path: str,
        title: str,
        context: Mapping[str, Any],
        status: int = 200,
        place: tuple[tuple[str, str], ...] = (),
    ) -> Answer:
        """Answer with a page that is not of numbers. It is kept by nobody: it may hold what is shown once."""
        page = self.page(request, path, place)
        text = self._environment.get_template(template).render(page=page, title=title, now=self._console.now(), **context)
        return Response(text, status_code=status, media_type="text/html; charset=utf-8", headers={"cache-control": "no-store"})

    def _first_event(self, sheet: Sheet) -> Any:
        """Return when the first event was, where nothing counts in the period: a page then says where to look."""
        if sheet.totals.now.count or isinstance(sheet, EmptySheet):
            return None
        return self._console.statistics().first_event(sheet.filter.packages)

    def _csv(self, request: Asking, view: _View, key: str) -> Answer:
        name = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in f"{view.title}-{key}").strip("-") or "table"
        headers = {**_ANEW, "content-disposition": f'attachment; filename="{name[:100]}.csv"'}
        if is_head(request):
            return Response(b"", media_type="text/csv", headers=headers)
        session = self._console.doors.visit(request).session
        with self._console.slots.taken("" if session is None else session.principal.user.id):
            table = view.tables[key]() if key in view.tables else view.sheet.table(key, None)
            return Response(write_csv(table), media_type="text/csv", headers=headers)

    def _feed(self, request: Asking, page: Page, view: _View) -> Answer:
        text = self._environment.get_template("feed.html").render(page=page, feed=view.sheet.table("feed"))
        tag = f'"{blake2b(text.encode(), digest_size=8).hexdigest()}"'
        headers = {**_ANEW, "etag": tag}
        if request.headers.get("if-none-match") == tag:
            return Response(b"", status_code=304, headers=headers, media_type="text/html")
        return Response(text, media_type="text/html; charset=utf-8", headers=headers)

    def _static(self, request: Asking) -> Answer:
        asset = self._assets.find(request.path_params["name"])
        if asset is None:
            return not_found(request)
        headers = {"cache-control": _FOR_EVER, "vary": "Accept-Encoding"}
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(asset.packed, media_type=asset.type, headers={**headers, "content-encoding": "gzip"})
        return Response(asset.body, media_type=asset.type, headers=headers)

    def _set_theme(self, request: Asking, form: Form) -> Answer:
        theme = form.one("theme")
        answer = Redirect(f"{base_of(request)}{local(form.one('next'))}", status_code=303)
        chosen = theme if theme in THEMES else "auto"
        answer.set_cookie(Cookie(key=THEME, value=chosen, path=f"{base_of(request)}/", max_age=_YEAR_S, samesite="lax", httponly=True))
        return answer


def _asked(request: Asking) -> tuple[Asked, list[Any]]:
    return read_asked(query_of(request))
