"""Events: in pages, the latest first; and all of them as a file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from tempfile import mkstemp
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency, Provide
from litestar.params import QueryParameter, SkipValidation
from litestar.response import Stream

from gatewaycore.enrich.agent import Agent
from gatewaycore.errors import ConfigError, Problem
from gatewaycore.event import Kind
from gatewaycore.exporting import LakeSource, Selection, Source, pieces, read_columns, read_moment, read_where
from gatewaycore.importing.counters import Counters
from gatewaycore.keeping import event_source
from gatewaycore_asgi.console.api.describing import problems
from gatewaycore_asgi.console.api.handlers.stats import Packages, numbers_seen
from gatewaycore_asgi.console.api.means import Asker, Means, With, is_head
from gatewaycore_asgi.console.api.models.happenings import EventPage
from gatewaycore_asgi.console.api.paging import Cursor, Limit, next_link, read_cursor, write_cursor

_TAGS = ["events"]
_MEDIA: Mapping[str, str] = {"csv": "text/csv", "ndjson": "application/x-ndjson", "parquet": "application/vnd.apache.parquet"}
_PIECE = 256 * 1024

Columns: TypeAlias = Annotated[str, QueryParameter(description="all, scarf, or names with commas between them.", max_length=2_000)]
Moment: TypeAlias = Annotated[str | None, QueryParameter(description="A day or a time, in UTC.", max_length=64)]


def selected(
    means: With,
    by: Asker,
    package: Packages = None,
    since: Moment = None,
    until: Annotated[str | None, QueryParameter(description="The first day or time that is too late.", max_length=64)] = None,
    kind: Annotated[list[Kind] | None, QueryParameter(description="Of this kind; may be repeated, as those below.")] = None,
    country: Annotated[list[str] | None, QueryParameter(description="From this country: DE.")] = None,
    agent: Annotated[list[Agent] | None, QueryParameter(description="Of these clients.")] = None,
    where: Annotated[list[str] | None, QueryParameter(description="With this value of a variable: NAME=VALUE.")] = None,
) -> Selection:
    """Return which events are wanted, of those that somebody may see."""
    return Selection(
        since=read_moment("since", since),
        until=read_moment("until", until),
        package=numbers_seen(means, by, package),
        kind=tuple(kind or ()),
        country=tuple(country or ()),
        agent=tuple(agent or ()),
        where=read_where(where or ()),
    )


_SELECTED = {"wanted": Provide(selected, sync_to_thread=True)}
Wanted: TypeAlias = NamedDependency[SkipValidation[Selection]]


@get("/events", tags=_TAGS, summary="List events", responses=problems(404), dependencies=_SELECTED, sync_to_thread=True)
def list_events(
    request: Request[Any, Any, Any], means: With, wanted: Wanted, columns: Columns = "all", limit: Limit = 50, cursor: Cursor = None
) -> Response[EventPage]:
    """List events, the latest first. With `Accept: application/x-ndjson` a page is one event a line, and `Link` says where the next is."""
    chosen = {**read_columns(columns), _ID: "id"}
    before = read_cursor(cursor)
    with _Opened(means) as opened:
        rows = opened.source.latest(chosen, wanted, limit + 1, before)
    found = [dict(zip(chosen, row, strict=True)) for row in rows]
    following = write_cursor(found[limit - 1][_ID]) if len(found) > limit else None
    headers = {} if following is None else {"Link": next_link(request, following)}
    items = [{name: value for name, value in one.items() if value is not None and name != _ID} for one in found[:limit]]
    if request.accept.best_match(["application/json", _MEDIA["ndjson"]]) == _MEDIA["ndjson"]:
        lines = b"".join(msgspec.json.encode(one) + b"\n" for one in items)
        return Response(lines, media_type=_MEDIA["ndjson"], headers=headers)  # type: ignore[arg-type]  # the same, one a line
    page = {"items": items, "next": following}
    return Response(msgspec.json.encode(page), media_type="application/json", headers=headers)  # type: ignore[arg-type]  # encoded


@get("/exports", tags=_TAGS, summary="Export events", responses=problems(404), dependencies=_SELECTED, sync_to_thread=True)
def export_events(
    request: Request[Any, Any, Any],
    means: With,
    wanted: Wanted,
    form: Annotated[Literal["csv", "ndjson", "parquet"], QueryParameter(name="format", description="Of the file.")] = "ndjson",
    columns: Columns = "all",
) -> Stream:
    """Send all events that are wanted, each once, in no particular order, as `gatewaycore export` writes them. An answer that ends early
    is broken off, so that nobody takes it for a whole one. Few are sent at once: beyond, it is 429 or 503 with `Retry-After`."""
    chosen = read_columns(columns)
    headers = {"Content-Disposition": f'attachment; filename="events.{form}"'}
    if is_head(request):
        return Stream(iter(()), media_type=_MEDIA[form], headers=headers)
    opened = _Opened(means)
    try:
        sent = opened.parquet(chosen, wanted) if form == "parquet" else opened.rows(form, chosen, wanted)
        # The first piece is made here: whatever cannot be read is told as a problem, and not as half a file.
        first = next(sent)
    except BaseException:
        opened.close()
        raise
    return Stream(chain([first], sent), media_type=_MEDIA[form], headers=headers)


_ID = "$id"


class _Opened:
    """Where events are read from, with what remembers which were read.

    Args:
        means: whose.
    """

    def __init__(self, means: Means) -> None:
        self._means = means
        self._counters = Counters.temporary()

    @property
    def source(self) -> Source:
        service = self._means.service
        return event_source(service.config, service.data, self._counters.count)

    def rows(self, form: str, columns: Mapping[str, str], wanted: Selection) -> Iterator[bytes]:
        """Iterate over the pieces of a file."""
        try:
            yield from pieces(form, columns, self.source.rows(columns, wanted))
        finally:
            self.close()

    def parquet(self, columns: Mapping[str, str], wanted: Selection) -> Iterator[bytes]:
        """Iterate over the pieces of a Parquet file, which is made on disk: its end says what is in it."""
        source = self.source
        if not isinstance(source, LakeSource):
            raise ConfigError([Problem("format", "parquet needs a lake, or gatewaycore[lake] and no sink beside it", "csv, ndjson")])
        fd, name = mkstemp(suffix=".parquet", dir=self._means.service.data)
        try:
            source.write_parquet(Path(name), columns, wanted)
            with os.fdopen(fd, "rb") as file:
                yield from iter(lambda: file.read(_PIECE), b"")
        finally:
            Path(name).unlink(missing_ok=True)
            self.close()

    def close(self) -> None:
        """Forget what was read."""
        self._counters.close()

    def __enter__(self) -> _Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


HANDLERS = (list_events, export_events)
