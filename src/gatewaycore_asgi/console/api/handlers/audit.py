"""Audit: who has changed what."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request, Response, get
from litestar.params import QueryParameter

from gatewaycore.access import Principal, covers
from gatewaycore.errors import AccessError
from gatewaycore_asgi.console.api.describing import problems
from gatewaycore_asgi.console.api.means import Asker, Means, With
from gatewaycore_asgi.console.api.models.happenings import EntryPage, EntryTold
from gatewaycore_asgi.console.api.paging import Cursor, Limit, next_link, read_cursor, write_cursor


@get("/audit", tags=["audit"], summary="Tell who has changed what", responses=problems(404), sync_to_thread=True)
def list_changes(
    request: Request[Any, Any, Any],
    means: With,
    by: Asker,
    organisation: Annotated[str | None, QueryParameter(description="Of this organisation alone.", max_length=64)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response[EntryPage]:
    """Tell the changes of the organisations that you are an admin of, the latest first; operators are told all."""
    found = means.access.trail.entries(_of(means, by, organisation), read_cursor(cursor), limit + 1)
    names = means.names()
    following = write_cursor(found[limit - 1].id) if len(found) > limit else None
    headers = {} if following is None else {"Link": next_link(request, following)}
    return Response(EntryPage(items=[EntryTold.of(one, names) for one in found[:limit]], next=following), headers=headers)


def _of(means: Means, by: Principal, organisation: str | None) -> list[str] | None:
    """Return the ids of the organisations whose changes somebody may see; None for everything there is."""
    groups = means.access.groups
    if organisation is not None:
        pairs = [groups.organisation(organisation, by)]
    elif by.runs_the_gateway:
        return None
    else:
        pairs = groups.organisations(by)
    mine = [found.id for found, role in pairs if covers(role, "admin")]
    if not mine:
        raise AccessError("this takes the role admin of an organisation")
    return mine


HANDLERS = (list_changes,)
